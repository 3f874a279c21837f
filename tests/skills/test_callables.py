"""Retry and timeout judge Python callables as they judge services."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

RETRY = "@ralph.retry(on=(ConnectionError, TimeoutError), never_on=(rates.UnknownCurrencyError, ValueError))"


def judge(project: Project, marker: str, call: str, *, dependency: str = "fetch", extra: str = "") -> Outcome:
    is_async = dependency.endswith("async")
    mark = "@pytest.mark.asyncio" if is_async else ""
    project.write(
        test_it=f"""
        from tests.subjects import converting, rates

        @pytest.fixture
        def fetch(ralph_callable):
            return ralph_callable("tests.subjects.rates:{dependency}")

        {marker}
        {mark}
        {"async " if is_async else ""}def test_convert(fetch{extra}):
            {"await " if is_async else ""}{call}
        """
    )
    return project.run("--ralph")


@pytest.mark.parametrize("subject", ["right", "swallows"])
def test_right_retries_pass_every_criterion(project: Project, subject: str):
    outcome = judge(project, RETRY, f"assert converting.{subject}() is not None")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert [each["id"] for each in outcome.skill("retry")["criteria"]] == [
        "retry.retries-transient",
        "retry.max-retries",
        "retry.backoff",
        "retry.recovers",
        "retry.logs-each-retry",
        "retry.retries-client-error",
        "retry.backoff-not-exponential",
        "retry.silent-retries",
        "retry.exercised",
    ]


@pytest.mark.parametrize(
    ("subject", "not_passed"),
    [
        (
            "no_retry",
            {
                "retry.retries-transient": "fail",
                "retry.max-retries": "not_exercised",
                "retry.backoff": "not_exercised",
                "retry.recovers": "not_exercised",
                "retry.logs-each-retry": "not_exercised",
                "retry.backoff-not-exponential": "not_exercised",
                "retry.silent-retries": "not_exercised",
            },
        ),
        ("one_retry", {"retry.max-retries": "fail", "retry.backoff-not-exponential": "not_exercised"}),
        ("flat", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
        ("silent", {"retry.silent-retries": "fail", "retry.logs-each-retry": "not_exercised"}),
        ("retries_everything", {"retry.retries-client-error": "fail"}),
        ("forgets_timeouts", {"retry.retries-transient": "fail"}),
    ],
)
def test_each_flaw_fails_its_own_criterion(project: Project, subject: str, not_passed: dict[str, str]):
    outcome = judge(project, RETRY, f"converting.{subject}()")

    assert outcome.not_passed() == not_passed, outcome.output
    assert outcome.code == 1


def test_a_library_retries_a_method_and_a_loop_around_it_shows(project: Project):
    right = judge(project, RETRY, "converting.by_tenacity()", dependency="Client.get")
    assert right.not_passed() == {}, right.output

    wrong = judge(project, RETRY, "converting.stacked()", dependency="Client.get")
    evidence = wrong.criterion("retry.max-retries")["evidence"]
    assert evidence["observed"] == "7 retries of call Client.get"
    assert evidence["location"]["function"] == "by_tenacity"


def test_calls_at_the_same_time_are_no_retries_of_one_another(project: Project):
    marker = "@ralph.retry(on=('timeout', ConnectionError))\n        @ralph.timeout(5)"

    outcome = judge(project, marker, "converting.gathered()", dependency="fetch_async")
    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize(
    ("subject", "criterion", "expected", "observed", "scenario"),
    [
        (
            "forgets_timeouts",
            "retries-transient",
            "TimeoutError is retried",
            "call fetch -> raised TimeoutError, and no further attempt",
            "raises-TimeoutError",
        ),
        (
            "retries_everything",
            "retries-client-error",
            "tests.subjects.rates.UnknownCurrencyError is not retried",
            "3 retries after call fetch -> raised tests.subjects.rates.UnknownCurrencyError",
            "raises-tests.subjects.rates.UnknownCurrencyError",
        ),
        ("flat", "backoff", "1 s, 2 s, 4 s", "1 s, 1 s, 1 s", "raises-ConnectionError"),
    ],
)
def test_evidence_says_what_was_raised_and_where(
    project: Project, subject: str, criterion: str, expected: str, observed: str, scenario: str
):
    evidence = judge(project, RETRY, f"converting.{subject}()").criterion(f"retry.{criterion}")["evidence"]

    assert (evidence["expected"], evidence["observed"]) == (expected, observed)
    assert (evidence["scenario"], evidence["aimed_at"]) == (scenario, "call fetch")
    assert evidence["location"]["file"].endswith("tests/subjects/converting.py")
    assert evidence["location"]["function"] == "convert"


@pytest.mark.parametrize("marker", ["@ralph.timeout(5)", "@ralph.timeout('5 s', tolerance=0.01)"])
def test_awaited_calls_are_given_up_in_time(project: Project, marker: str):
    outcome = judge(project, marker, "converting.right_async()", dependency="fetch_async")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("subject", "not_passed"),
    [
        (
            "no_timeout",
            {
                "timeout.waits-forever": "fail",
                "timeout.gives-up": "not_exercised",
                "timeout.connects-in-time": "not_exercised",
            },
        ),
        ("too_long", {"timeout.gives-up": "fail", "timeout.connects-in-time": "fail"}),
    ],
)
def test_awaited_calls_that_are_not(project: Project, subject: str, not_passed: dict[str, str]):
    outcome = judge(project, "@ralph.timeout(5)", f"converting.{subject}()", dependency="fetch_async")

    assert outcome.not_passed() == not_passed, outcome.output


def test_timeouts_and_exceptions_of_an_awaited_call_are_retried(project: Project):
    marker = "@ralph.retry(on=('timeout', ConnectionError))"

    right = judge(project, marker, "converting.right_async()", dependency="fetch_async")
    assert right.not_passed() == {}, right.output
    wrong = judge(project, marker, "converting.no_retry_async()", dependency="fetch_async")
    assert wrong.statuses()["retry.retries-transient"] == "fail"


@pytest.mark.parametrize(
    ("marker", "call", "says"),
    [
        (
            "@ralph.retry",
            "converting.right()",
            "no service or Python callable that the call uses can show it",
        ),
        ("@ralph.timeout(5)", "converting.right()", "it can hang only if it is asynchronous"),
        (RETRY, "converting.never_asks()", "the call made no request that it could hit"),
    ],
)
def test_what_no_fault_can_hit_never_passes(project: Project, marker: str, call: str, says: str):
    outcome = judge(project, marker, call)

    assert set(outcome.statuses().values()) == {"not_exercised"}
    assert outcome.code == 1
    assert says in outcome.output.replace("\n", " ").replace("           ", "") or says in str(outcome.whole)


def test_a_service_and_a_callable_are_judged_together(project: Project):
    project.write(
        test_it="""
        from tests.subjects import charges, converting

        @pytest.fixture
        def fetch(ralph_callable):
            return ralph_callable("tests.subjects.rates:fetch")

        @ralph.retry(on=("timeout", "connection-error", "5xx", ConnectionError))
        def test_right(api, fetch):
            charges.right()
            converting.right()

        @ralph.feature("service")
        @ralph.retry(on=("timeout", "connection-error", "5xx", ConnectionError))
        def test_wrong_service(api, fetch):
            charges.never_retries()
            converting.right()

        @ralph.feature("callable")
        @ralph.retry(on=("timeout", "connection-error", "5xx", ConnectionError))
        def test_wrong_callable(api, fetch):
            charges.right()
            converting.no_retry()

        @ralph.feature("named")
        @ralph.retry(on=("5xx", ConnectionError))
        def test_no_callable_at_all(api):
            charges.right()
        """
    )

    outcome = project.run("--ralph")

    failed = {
        skill["feature"]: {
            each["id"]: each["evidence"]["aimed_at"] for each in skill["criteria"] if each["status"] == "fail"
        }
        for skill in outcome.whole["skills"]
    }
    assert failed == {
        "test_it": {},
        "service": {"retry.retries-transient": "POST /v1/charges"},
        "callable": {"retry.retries-transient": "call fetch"},
        "named": {},
    }
    status = {skill["feature"]: skill["status"] for skill in outcome.whole["skills"]}
    assert status == {"test_it": "pass", "service": "fail", "callable": "fail", "named": "not_exercised"}


def test_exceptions_that_make_no_sense_are_refused(project: Project):
    wrong = [
        ("@ralph.retry(on=ConnectionError)", "on must be several of ('timeout', 'connection-error', '5xx'"),
        ("@ralph.retry(on=(KeyboardInterrupt,))", "on cannot have KeyboardInterrupt raised"),
        ("@ralph.retry(on=(UnicodeDecodeError,))", "on cannot have UnicodeDecodeError raised"),
        ("@ralph.retry(on=(OSError,), never_on=(OSError,))", "on and never_on both name OSError"),
        (
            "@ralph.retry(never_on=(int,))",
            "never_on takes 'timeout', 'connection-error', '5xx', '4xx', status",
        ),
    ]

    project.check_each_refused(wrong)
