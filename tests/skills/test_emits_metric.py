"""Each criterion of ``emits_metric``: subjects that pass it, with every library, and one that fails it."""

from __future__ import annotations

import pytest

from tests.harness import Project

# Imported here: inner runs forget what they import, but the package keeps it, with the libraries of that run.
from tests.subjects import measured  # noqa: F401

PLAIN = '@ralph.emits_metric("payments_total", delta=1)'
SECONDS = '@ralph.emits_metric("payments_duration_seconds", type="histogram")'


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (
            '@ralph.emits_metric("payments_attempted_total", delta=1, labels={"outcome": "ok|failed"})',
            "counted",
        ),
        ('@ralph.emits_metric("payments_attempted_total", labels=("outcome",))', "counted"),
        (
            '@ralph.emits_metric("default_payments_total", labels=())',
            "counted_in_the_default_registry",
        ),
        ('@ralph.emits_metric("payments_of_a_call_total")', "counted_in_a_new_registry"),
        ('@ralph.emits_metric("payments_duration_seconds", type="histogram", delta=1)', "timed"),
        (SECONDS, "timed_by_decorator"),
        ('@ralph.emits_metric("payments_amount", type="summary")', "summed"),
        ('@ralph.emits_metric("payments_budget", type="gauge", delta=-100)', "gauged"),
        ('@ralph.emits_metric("payments_last_success_time", type="gauge", when="success")', "noted"),
        ('@ralph.emits_metric("payments_failed_total", delta=1, when="failure")', "failures"),
        ('@ralph.emits_metric("payments_total", when="success")', "only_on_success"),
        (PLAIN, "each_attempt"),
        (
            '@ralph.emits_metric("payments.attempted", delta=1, labels={"outcome": "ok|failed"})',
            "otel_counter",
        ),
        ('@ralph.emits_metric("payments.duration", type="histogram")', "otel_histogram"),
        ('@ralph.emits_metric("payments.open", type="gauge", delta=-1)', "otel_up_down"),
        ('@ralph.emits_metric("shop.payments.attempted", delta=1)', "statsd_package"),
        ('@ralph.emits_metric("shop.payments.duration", type="histogram", delta=1)', "statsd_package"),
        ('@ralph.emits_metric("shop.payments.duration", type="summary")', "statsd_package"),
        (
            '@ralph.emits_metric("payments.attempted", delta=1, labels={"outcome": "ok|failed"})',
            "datadog_package",
        ),
    ],
)
def test_right_metrics_of_every_library_pass(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"measured.{subject}()")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "subject", "criterion", "observed"),
    [
        (
            '@ralph.emits_metric("payments_seen_total")',
            "wrong_type",
            "type",
            "it is a gauge of prometheus",
        ),
        (PLAIN, "twice", "changes", "it changed by +2: payments_total +2"),
        (PLAIN, "twice_when_it_fails", "changes", "it changed by +2"),
        (SECONDS, "milliseconds_as_seconds", "changes", "though the call took 5 s"),
        (
            '@ralph.emits_metric("payments_duration_ms", type="histogram")',
            "seconds_as_milliseconds",
            "changes",
            "these are seconds",
        ),
        (SECONDS, "time_of_day", "changes", "though the call took"),
        (
            '@ralph.emits_metric("payments.duration", type="histogram")',
            "otel_milliseconds",
            "changes",
            "though the call took 5 s",
        ),
        (
            '@ralph.emits_metric("shop.payments.duration", type="histogram")',
            "statsd_seconds",
            "changes",
            "these are seconds",
        ),
        (
            '@ralph.emits_metric("payments_attempted_total", labels=("outcome", "gateway"))',
            "counted",
            "labels",
            "it is without gateway",
        ),
        (
            '@ralph.emits_metric("payments_attempted_total", labels=())',
            "counted",
            "labels",
            "it is with outcome",
        ),
        (
            '@ralph.emits_metric("payments_attempted_total", labels={"outcome": "ok|error"})',
            "counted",
            "labels",
            "it is with other values for outcome",
        ),
        (
            '@ralph.emits_metric("payments_by_request_total")',
            "endless_labels",
            "labels",
            "the label request_id takes values without end",
        ),
        (
            '@ralph.emits_metric("payments_by_request_total")',
            "numbered_labels",
            "labels",
            "each of 3 equal calls adds a series",
        ),
        (
            '@ralph.emits_metric("payments_by_error_total")',
            "errors_as_labels",
            "labels",
            "the label error takes values without end",
        ),
        (PLAIN, "only_on_success", "wrong-when", "the call failed, and it did not change"),
        (
            '@ralph.emits_metric("payments_total", when="success")',
            "failure_counted_as_success",
            "wrong-when",
            "the call failed, and yet: payments_total +1",
        ),
        (
            '@ralph.emits_metric("payments_failed_total", when="failure")',
            "success_counted_as_failure",
            "wrong-when",
            "the call succeeded, and yet: payments_failed_total +1",
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, criterion: str, observed: str
):
    outcome = project.judge(marker, f"measured.{subject}()")

    assert outcome.not_passed() == {f"emits-metric.{criterion}": "fail"}, outcome.output
    found = outcome.criterion(f"emits-metric.{criterion}")
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/measured.py")
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("payments_attempted", "near it: payments_attempted_total (counter)"),
        ("payment_attempts_total", "near it: payments_attempted_total (counter)"),
        ("zebra_crossings", "what the call changed: payments_attempted_total"),
    ],
)
def test_a_metric_that_is_not_there_is_told_with_what_is(project: Project, name: str, observed: str):
    outcome = project.judge(f'@ralph.emits_metric("{name}")', "measured.counted()")

    assert outcome.not_passed() == {
        "emits-metric.metric-exists": "fail",
        "emits-metric.type": "not_exercised",
        "emits-metric.changes": "not_exercised",
        "emits-metric.labels": "not_exercised",
        "emits-metric.wrong-when": "not_exercised",
    }
    assert observed in outcome.criterion("emits-metric.metric-exists")["evidence"]["observed"]


def test_a_metric_that_never_changes_fails_wherever_that_is_asked(project: Project):
    outcome = project.judge(PLAIN, "measured.never()")

    assert outcome.not_passed() == {
        "emits-metric.changes": "fail",
        "emits-metric.labels": "not_exercised",
        "emits-metric.wrong-when": "fail",
    }


def test_without_any_metrics_that_is_said(project: Project):
    project.write(
        client="""
        import requests

        def charge():
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=10).raise_for_status()
        """,
        test_it="""
        from client import charge

        @ralph.emits_metric("payments_total")
        def test_charge(api):
            charge()
        """,
    )

    # In this process there are those of other tests.
    outcome = project.run_apart("--ralph")

    observed = outcome.criterion("emits-metric.metric-exists")["evidence"]["observed"]
    assert observed == "there are no metrics at all"


def test_a_secret_in_a_label_is_a_secret_logged(project: Project):
    outcome = project.judge(
        '@ralph.logs(format="text")\n            @ralph.secret("sk_live_51HqLyjWDarjtT1")',
        "measured.secret_as_a_label()",
    )

    found = outcome.criterion("logs.secret-logged")
    assert found["status"] == "fail"
    assert (
        "a declared secret is in a label of a metric: payments_by_error_total"
        in (found["evidence"]["observed"])
    )


MULTIPROCESS = """
import pytest_ralph as ralph
import requests
from prometheus_client import Counter, Histogram

CALLS = Counter("calls", "Calls", ["outcome"])
SECONDS = Histogram("calls_seconds", "Duration")

def call():
    with SECONDS.time():
        try:
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=5).raise_for_status()
        except requests.RequestException:
            CALLS.labels("failed").inc()
            raise
        CALLS.labels("ok").inc()

@ralph.emits_metric("calls_total", delta=1, labels=("outcome",))
@ralph.emits_metric("calls_seconds", type="histogram", delta=1)
def test_call(api):
    call()
"""


def test_multiprocess_mode_is_read_from_its_files(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("metrics")))
    project.write(test_it=MULTIPROCESS)

    outcome = project.run_apart("--ralph")

    assert outcome.not_passed_of_all() == [], outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("@ralph.emits_metric", "needs the name of the metric: write @ralph.emits_metric('payments_total')"),
        ("@ralph.emits_metric('')", "name must be that of a metric, such as 'payments_total', got ''"),
        ("@ralph.emits_metric('a b')", "name must be that of a metric"),
        ("@ralph.emits_metric('a', type='timer')", "type must be one of 'counter', 'gauge', 'histogram'"),
        ("@ralph.emits_metric('a', delta=0)", "delta must be a number other than 0, got 0"),
        ("@ralph.emits_metric('a', delta=True)", "delta must be a number other than 0, got True"),
        ("@ralph.emits_metric('a', delta=-1)", "delta must be more than 0 for a counter, got -1"),
        ("@ralph.emits_metric('a', type='summary', delta=0.5)", "delta must be a whole number"),
        ("@ralph.emits_metric('a', labels='outcome')", "labels must be names such as ('outcome',)"),
        ("@ralph.emits_metric('a', labels={'outcome': 7})", "labels['outcome'] must be a regular expression"),
        ("@ralph.emits_metric('a', labels={'outcome': '('})", "labels['outcome'] is no regular expression"),
        ("@ralph.emits_metric('a', when='slow')", "when must be one of 'always', 'success', 'failure'"),
    ],
)
def test_a_wrong_argument_is_a_collection_error_at_the_users_line(
    project: Project, marker: str, message: str
):
    project.check_refused(marker, message)
