"""Each criterion of ``retry``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Project

EXACT = "@ralph.retry(max_retries=3, backoff=(1, 2, 4))"
HALF = "@ralph.retry(jitter=0.5)"
FULL = "@ralph.retry(jitter=1)"

# What cannot be judged when nothing is retried at all.
UNSEEN = {
    "retry.max-retries": "not_exercised",
    "retry.backoff": "not_exercised",
    "retry.recovers": "not_exercised",
    "retry.logs-each-retry": "not_exercised",
    "retry.backoff-not-exponential": "not_exercised",
    "retry.silent-retries": "not_exercised",
}


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (EXACT, "right"),
        ("@ralph.retry", "right"),
        ("@ralph.retry(base='1 s', factor=2)", "right"),
        ("@ralph.retry(log_level='INFO')", "right"),
        ("@ralph.retry(max_retries=2, backoff=(1, 2))", "two_retries"),
        ("@ralph.retry(backoff=(2, 4, 8))", "doubled_waits"),
        ("@ralph.retry(backoff=(1, 1, 1))", "constant_waits"),
        ("@ralph.retry(base=1, factor=2, max_delay=1)", "constant_waits"),
        ("@ralph.retry(log_level='INFO')", "logs_at_info"),
        ("@ralph.retry(on=('timeout', 500, 502, 503))", "gives_up_on_504"),
        ("@ralph.retry(on=('5xx', 'timeout', 'connection-error', 409))", "retries_conflicts"),
        (HALF, "half_jitter"),
        (FULL, "full_jitter"),
        (HALF, "right"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"charges.{subject}()")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert outcome.whole["gate"] == "pass"


@pytest.mark.parametrize(
    ("marker", "subject", "not_passed"),
    [
        (EXACT, "never_retries", {"retry.retries-transient": "fail", **UNSEEN}),
        (EXACT, "gives_up_on_cut_answers", {"retry.retries-transient": "fail"}),
        (EXACT, "gives_up_on_504", {"retry.retries-transient": "fail"}),
        (EXACT, "two_retries", {"retry.max-retries": "fail"}),
        (EXACT, "four_retries", {"retry.max-retries": "fail"}),
        (EXACT, "doubled_waits", {"retry.backoff": "fail"}),
        (EXACT, "constant_waits", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
        (EXACT, "linear_waits", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
        (EXACT, "no_waits", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
        (HALF, "flat_within_jitter", {"retry.backoff-not-exponential": "fail"}),
        (HALF, "full_jitter", {"retry.backoff": "fail"}),
        (EXACT, "raises_first_failure", {"retry.recovers": "fail"}),
        (EXACT, "logs_at_info", {"retry.logs-each-retry": "fail"}),
        (EXACT, "logs_without_number", {"retry.logs-each-retry": "fail"}),
        (EXACT, "logs_only_waits", {"retry.logs-each-retry": "fail"}),
        (EXACT, "retries_everything", {"retry.retries-client-error": "fail"}),
        (EXACT, "retries_conflicts", {"retry.retries-client-error": "fail"}),
        (EXACT, "silent_about_resets", {"retry.silent-retries": "fail"}),
        (EXACT, "silent", {"retry.silent-retries": "fail", "retry.logs-each-retry": "not_exercised"}),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, not_passed: dict[str, str]
):
    outcome = project.judge(marker, f"charges.{subject}()")

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"


@pytest.mark.parametrize(
    ("subject", "criterion", "expected", "observed"),
    [
        ("two_retries", "max-retries", "3 retries", "2 retries of POST /v1/charges"),
        ("four_retries", "max-retries", "3 retries", "4 retries of POST /v1/charges"),
        ("doubled_waits", "backoff", "1 s, 2 s, 4 s", "2 s, 4 s, 8 s"),
        ("linear_waits", "backoff-not-exponential", "grow like 1 s, 2 s, 4 s", "1 s, 2 s, 3 s"),
        ("gives_up_on_504", "retries-transient", "status 504 is retried", "-> 504, and no further"),
        ("gives_up_on_timeouts", "retries-transient", "a timeout is retried", "gave up after 10 s"),
        ("retries_conflicts", "retries-client-error", "status 409 is not retried", "3 retries after"),
        ("raises_first_failure", "recovers", "succeeds once", "call raised"),
        ("logs_at_info", "logs-each-retry", "at WARNING or above", "logged at INFO: attempt 1 failed"),
        ("logs_only_waits", "logs-each-retry", "with the number", "retrying in 1 seconds"),
        ("silent_about_resets", "silent-retries", "a log record", "nothing is logged about retry 1"),
        ("retries_for_ever", "max-retries", "3 retries", "at least 50"),
    ],
)
def test_evidence_says_what_was_expected_and_observed(
    project: Project, subject: str, criterion: str, expected: str, observed: str
):
    found = project.judge(EXACT, f"charges.{subject}()").criterion(f"retry.{criterion}")

    assert found["status"] == "fail"
    assert expected in found["evidence"]["expected"]
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/charges.py")
    assert found["evidence"]["location"]["function"] == "send"
    assert found["evidence"]["timeline"]


def test_stacked_retries_are_counted_on_the_wire(project: Project):
    found = project.judge(EXACT, "charges.stacked_retries()").criterion("retry.max-retries")

    # A loop of 4 attempts around a session that tries twice makes 8.
    assert found["evidence"]["observed"] == "7 retries of POST /v1/charges"


def test_prompt_names_line_change_parameters_observation_and_what_stays(project: Project):
    found = project.judge(EXACT, "charges.doubled_waits()").criterion("retry.backoff")

    prompt = found["prompt"]
    line = found["evidence"]["location"]["line"]
    assert f"tests/subjects/charges.py, line {line} (send): Wait 1 s, 2 s, 4 s before the retries" in prompt
    assert "observed: 2 s, 4 s, 8 s" in prompt
    assert "Leave as they are: timeouts that are set" in prompt
    assert "Do not change the test or its markers." in prompt


def test_endless_retries_end(project: Project):
    outcome = project.judge(EXACT, "charges.retries_for_ever()")

    assert outcome.statuses()["retry.max-retries"] == "fail"
    assert "ended by the world" in outcome.output


def test_a_loop_that_swallows_everything_ends(project: Project):
    outcome = project.judge(EXACT, "charges.swallows_everything_for_ever()")

    assert outcome.statuses()["retry.max-retries"] == "fail"


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.retry(max_retries=0)", "max_retries must be a whole number from 1, got 0"),
        ("@ralph.retry(max_retries=True)", "max_retries must be a whole number from 1, got True"),
        ("@ralph.retry(max_retries=21)", "max_retries must be at most 20, got 21"),
        ("@ralph.retry(max_retries=2, backoff=(1, 2, 4))", "backoff names 3 waits, but max_retries is 2"),
        ("@ralph.retry(backoff='linear')", "backoff must be 'exponential' or the exact waits"),
        ("@ralph.retry(backoff=())", "backoff must be 'exponential' or the exact waits"),
        ("@ralph.retry(backoff=(1, -2))", "a wait of backoff must be at least 0 s, got -2"),
        ("@ralph.retry(backoff=5)", "backoff must be 'exponential' or the exact waits"),
        ("@ralph.retry(base=0)", "base must be more than 0 s, got 0"),
        ("@ralph.retry(base='soon')", "base must be seconds as a number or text such as '500 ms'"),
        ("@ralph.retry(factor=0.5)", "factor must be a number from 1, got 0.5"),
        ("@ralph.retry(max_delay=0)", "max_delay must be more than 0 s"),
        ("@ralph.retry(jitter=2)", "jitter must be a number from 0 to 1, got 2"),
        ("@ralph.retry(on=())", "on must name at least one failure"),
        ("@ralph.retry(on='5xx')", "on must be several of"),
        ("@ralph.retry(on=('503',))", "on takes 'timeout', 'connection-error', '5xx', '4xx'"),
        ("@ralph.retry(on=(200,))", "status codes or classes of exceptions, got 200"),
        ("@ralph.retry(never_on=('5xx',))", "on and never_on both name 5xx"),
        ("@ralph.retry(log_level='LOUD')", "log_level must be one of DEBUG, INFO, WARNING"),
        ("@ralph.retry(scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
        ("@ralph.retry(3)", "takes keyword arguments only, such as max_retries=3, got 3"),
        ("@ralph.retry(max_retry=3)", "unexpected keyword argument 'max_retry'"),
    ]

    project.check_each_refused(wrong)
