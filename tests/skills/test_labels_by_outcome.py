"""Metrics with the outcome as a label, by two markers or by one, and labels whose values have no end."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_ralph as ralph
from pytest_ralph.core.metrics import Series
from pytest_ralph.skills import _labels
from tests.harness import Outcome, Project

# Imported here: inner runs forget what they import, but the package keeps it, with the libraries of that run.
from tests.subjects import labelled  # noqa: F401


def two(name: str = "payments_total", *, more: str = ", delta=1", failed: str = "") -> str:
    """Two markers for one metric."""
    return (
        f'@ralph.emits_metric("{name}"{more}, labels={{"outcome": "ok"}}, when="success")\n'
        f'            @ralph.emits_metric("{name}"{more}, labels={{"outcome": "failed"{failed}}}, '
        'when="failure")'
    )


def one(name: str = "payments_total", *, label: str = "outcome") -> str:
    """One marker that gives the label by outcome."""
    by_outcome = f'{{"{label}": {{"success": "ok", "failure": "failed"}}}}'
    return f'@ralph.emits_metric("{name}", delta=1, labels={by_outcome})'


STEPS = "payments_steps_total"
BEGUN = (
    f'@ralph.emits_metric("{STEPS}", delta=1, labels={{"step": "begun"}})\n'
    f"            {one(STEPS, label='step')}"
)
REASON = '@ralph.emits_metric("payments_by_reason_total", labels=("reason",))'
LABELS, CHANGES, WHEN = "emits-metric.labels", "emits-metric.changes", "emits-metric.wrong-when"
Flaws = dict[tuple[str, str], str]


def flaws(outcome: Outcome) -> Flaws:
    """What did not pass, by the marker's ``when`` and the criterion: its status, or what was observed."""
    found: Flaws = {}
    for skill in outcome.whole["skills"]:
        for each in skill["criteria"]:
            if each["status"] != "pass":
                evidence: dict[str, Any] = each["evidence"] if each["status"] == "fail" else {}
                found[skill["parameters"]["when"], each["id"]] = evidence.get("observed", each["status"])
    return found


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (two(), "in_a_finally"),
        (one(), "in_both_branches"),
        pytest.param(two(), "each_attempt", marks=pytest.mark.slow),
        (one(), "handled"),
        (two("payments_duration_seconds", more=', type="histogram", delta=1'), "observed"),
        (two("payments", failed=', "error.type": "[A-Z].*"'), "otel_with_its_reason"),
        (one("payments"), "datadog_tags"),
        (BEGUN, "begun_and_ended"),
        (
            '@ralph.emits_metric("payments_total", delta=1, labels={"outcome": "ok"}, when="success")',
            "handled",
        ),
        (REASON, "class_of_the_error"),
        (REASON, "in_turn"),
    ],
)
def test_right_counts_pass(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"labelled.{subject}()")

    assert flaws(outcome) == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "subject", "expected"),
    [
        (
            two(),
            "always_ok",
            {
                ("success", WHEN): 'the call failed, and yet: payments_total{outcome="ok"} +1',
                ("failure", CHANGES): 'it did not change; what changed: payments_total{outcome="ok"} +1',
                ("failure", LABELS): "not_exercised",
            },
        ),
        (
            two(),
            "always_failed",
            {
                ("success", CHANGES): 'it did not change; what changed: payments_total{outcome="failed"} +1',
                ("success", LABELS): "not_exercised",
                ("failure", WHEN): 'the call succeeded, and yet: payments_total{outcome="failed"} +1',
            },
        ),
        (
            two(),
            "never_ok",
            {
                ("success", CHANGES): "it did not change; no metric did",
                ("success", LABELS): "not_exercised",
            },
        ),
        (
            two(more=""),
            "mistyped_failure",
            {
                ("failure", LABELS): ('it is with other values for outcome: payments_total{outcome="faild"}'),
                ("failure", CHANGES): "not_exercised",
            },
        ),
        (
            two(more=""),
            "failure_counted_as_both",
            {("success", WHEN): 'the call failed, and yet: payments_total{outcome="ok"} +1'},
        ),
        (
            two(),
            "failure_counted_twice",
            {("failure", CHANGES): 'it changed by +2: payments_total{outcome="failed"} +2'},
        ),
        (
            two(more=""),
            "counted_under_a_second_name",
            {("success", LABELS): ('it is with other values for outcome: payments_total{outcome="done"}')},
        ),
        (
            two("payments"),
            "otel_without_its_label",
            {
                ("failure", LABELS): "it is without outcome: payments",
                ("failure", CHANGES): "not_exercised",
            },
        ),
        (
            one(),
            "always_ok",
            {
                ("always", LABELS): (
                    'the call failed, and it is with other values for outcome: payments_total{outcome="ok"}'
                )
            },
        ),
        (
            one(),
            "mistyped",
            {
                ("always", LABELS): (
                    "the call succeeded, and it is with other values for outcome: "
                    'payments_total{outcome="okk"}'
                )
            },
        ),
        (
            one(),
            "swapped",
            {
                ("always", LABELS): (
                    "the call succeeded, and it is with other values for outcome: "
                    'payments_total{outcome="failed"}'
                ),
                ("always", CHANGES): "not_exercised",
            },
        ),
        (one(), "never_failed", {("always", WHEN): "the call failed, and it did not change"}),
        pytest.param(
            one(),
            "never_ok",
            {("always", CHANGES): "it did not change; no metric did"},
            marks=pytest.mark.slow,
        ),
        (
            one(),
            "success_counted_as_both",
            {
                ("always", LABELS): (
                    "the call succeeded, and it is with other values for outcome: "
                    'payments_total{outcome="failed"}'
                )
            },
        ),
        (
            one(),
            "failure_counted_twice",
            {("always", CHANGES): 'it changed by +2: payments_total{outcome="failed"} +2'},
        ),
        (
            f'@ralph.emits_metric("payments_total", labels=("outcome",))\n            {one()}',
            "counted_under_a_second_name",
            {
                ("always", LABELS): (
                    "the call succeeded, and it is with other values for outcome: "
                    'payments_total{outcome="done"}'
                )
            },
        ),
        (
            one("payments"),
            "otel_with_its_reason",
            {
                ("always", LABELS): (
                    "the call failed, and it is with error.type: "
                    'payments{error.type="HTTPError", outcome="failed"}'
                )
            },
        ),
        (
            one("payments"),
            "datadog_plain",
            {
                ("always", LABELS): (
                    'the call succeeded, and it is without outcome, it is with ok: payments{ok=""}'
                ),
                ("always", CHANGES): "not_exercised",
            },
        ),
        (
            BEGUN,
            "ended_without_a_count",
            {("always", CHANGES): 'it did not change; what changed: payments_steps_total{step="begun"} +1'},
        ),
        (
            REASON,
            "text_of_the_client_and_more",
            {
                ("always", LABELS): (
                    "the label reason takes values without end: payments_by_reason_total{reason="
                    '"payment failed: 503 Server Error: Service Unavailable for url: http://api.pay.exampl...'
                )
            },
        ),
    ],
)
def test_careless_counts_fail_for_what_is_wrong_with_them(
    project: Project, marker: str, subject: str, expected: Flaws
):
    outcome = project.judge(marker, f"labelled.{subject}()")

    assert flaws(outcome) == expected, outcome.output
    assert outcome.code == 1


def test_a_call_that_recovers_may_tell_of_the_attempt_that_failed(project: Project):
    outcome = project.judge(
        one().replace("delta=1", 'scenarios="manual"'),
        "with api.inject(ralph.faults.Status(503), times=1): labelled.each_attempt()",
    )

    # Nothing hung, and no call failed.
    assert flaws(outcome) == {("always", WHEN): "not_exercised"}, outcome.output


@pytest.mark.parametrize("subject", ["text_with_a_random_id", "text_with_an_amount", "one_more_each_time"])
def test_texts_that_differ_between_equal_calls_are_found(project: Project, subject: str):
    found = flaws(project.judge(REASON, f"labelled.{subject}()"))

    assert list(found) == [("always", LABELS)]
    assert "each of 3 equal calls adds a series, such as" in found["always", LABELS]


@pytest.mark.parametrize(
    ("value", "endless"),
    [
        ("503 Server Error: Service Unavailable for url: https://api.pay.example/v1/charges", True),
        ("Server error '503 Service Unavailable' for url 'https://api.pay.example/v1/charges'", True),
        ("503, message='Service Unavailable', url='https://api.pay.example/v1/charges'", True),
        ("3b241101-e2bb-4255-8caf-4136c566a962", True),
        ("POST https://api.pay.example/v1/charges", False),
        ("the gateway did not answer in time", False),
        ("HTTPError", False),
    ],
)
def test_a_text_with_a_url_in_it_is_no_value_of_a_small_set(value: str, endless: bool):
    assert _labels.unbound(Series(labels={"gateway": "stripe", "reason": value})) == (
        "reason" if endless else ""
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            "{'outcome': {'success': 'ok'}}",
            "labels['outcome'] must have a regular expression for 'success' and one for 'failure', got",
        ),
        ("{'outcome': {'success': 'ok', 'failure': 7}}", "labels['outcome']['failure'] must be a regular"),
        ("{'a': {'success': '(', 'failure': 'b'}}", "labels['a']['success'] is no regular expression"),
        (
            "{'a': {'success': 'none', 'failure': '.+'}}",
            "labels['a'] must tell success from failure, but 'none' is right for both",
        ),
        ("{'a': {'success': 'ok|done', 'failure': 'done'}}", "but 'done' is right for both"),
        ("{'a': {'success': '[ab]', 'failure': '[ab]'}}", "but '[ab]' is right for both"),
        (
            "{'a': {'success': 'b', 'failure': 'c'}}, when='success'",
            "labels['a'] is given by outcome, which needs when='always', got when='success'",
        ),
    ],
)
def test_a_label_by_outcome_that_says_too_little_is_refused(project: Project, labels: str, message: str):
    project.check_refused(f"@ralph.emits_metric('a', labels={labels})", message)


def test_the_report_has_a_label_by_outcome_as_it_was_written():
    by_outcome = {"outcome": {"success": "ok", "failure": "failed"}}
    mark: Any = ralph.emits_metric("payments_total", labels={"gateway": None, **by_outcome})

    assert mark.args[0].parameters()["labels"] == {"gateway": None, **by_outcome}
