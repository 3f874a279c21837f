"""Each criterion of ``logs``: subjects that pass it, in every way to log, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Project

# Imported here: inner runs forget what they import, but the package keeps it, with the libraries of that run.
from tests.subjects import logged  # noqa: F401

FULL = (
    '@ralph.logs("payment_attempted", level="INFO", fields={"payment_id": str, "amount": int, '
    '"duration_ms": float, "outcome": "success|failure", "gateway.name": "stripe"})\n'
    '            @ralph.logs("charge_entered", level="DEBUG", fields=("amount", "currency"))\n'
    '            @ralph.logs("gateway_slow", level="WARNING", fields=("payment_id",), when="slow", '
    "slower_than=2)\n"
    '            @ralph.logs(level="ERROR", when="failure", fields=("payment_id",))\n'
    '            @ralph.secret("tok_visa")'
)
NAME = '@ralph.logs("payment_attempted")'
PLAIN = '@ralph.logs("payment_attempted", fields=("payment_id",))'


@pytest.mark.parametrize(
    "subject",
    [
        "structlog_print",
        "structlog_bytes",
        "structlog_cached",
        "structlog_into_logging",
        "json_logger",
        "not_propagated",
        "queued",
        "queued_for_good",
        "own_format",
        "own_print",
        "loguru_serialized",
        "loguru_enqueued",
        "printed",
        "printed_bytes",
    ],
)
def test_every_way_to_write_a_line_is_seen(project: Project, subject: str):
    outcome = project.judge(FULL, f"logged.{subject}()")

    assert not outcome.not_passed_of_all(), outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        ('@ralph.logs("payment_attempted", level="INFO")', "set_up_at_import"),
        (
            '@ralph.logs("payment_attempted", level="INFO", format="logfmt", fields={"amount": int})',
            "logfmt",
        ),
        ('@ralph.logs("payment_attempted", level="INFO", format="text", fields={"amount": int})', "prose"),
        ('@ralph.logs(__import__("re").compile("payment_.*"), fields=("payment_id",))', "structlog_print"),
        ("@ralph.logs", "structlog_print"),
        ('@ralph.logs("payment_attempted", per="attempt")', "once_for_each_attempt"),
        ('@ralph.logs("payment_attempted", per="attempt")', "two_handlers"),
        (PLAIN + '\n            @ralph.secret("tok_visa")', "secret_in_a_line_of_code"),
        (PLAIN, "degraded"),
        ('@ralph.logs("payment_failed", when="failure")', "at_info"),
    ],
)
def test_right_lines_of_other_kinds_pass(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"logged.{subject}()")

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize(
    ("marker", "subject", "criterion", "observed"),
    [
        (NAME, "only_on_success", "event-logged", "nothing was written to the log"),
        (NAME, "under_another_name", "event-logged", "written was only: 'Payment attempted' at INFO"),
        (NAME, "filtered_out", "event-logged", "something_else"),
        ('@ralph.logs("payment_succeeded", when="success")', "says_success_too_soon", "event-logged", "{"),
        (
            '@ralph.logs("payment_attempted", per="attempt")',
            "once_for_three_attempts",
            "event-logged",
            "it is logged 1 time for 3 attempts",
        ),
        (
            '@ralph.logs("gateway_slow", when="slow", slower_than=2)',
            "never_slow",
            "event-logged",
            "payment_attempted",
        ),
        (
            '@ralph.logs("gateway_slow", when="slow", slower_than=2)',
            "always_slow",
            "event-logged",
            "it is logged: {",
        ),
        ('@ralph.logs("payment_failed", level="ERROR", when="failure")', "at_info", "level", "is INFO"),
        (
            '@ralph.logs("payment_attempted", level="INFO")',
            "without_level",
            "level",
            "logged at INFO, but the line does not say so",
        ),
        (PLAIN, "extra_not_written", "fields", "payment_id is missing; the line has event, level"),
        (PLAIN, "missing_when_it_fails", "fields", "payment_id is missing"),
        (
            '@ralph.logs("payment_attempted", fields={"duration_ms": float})',
            "wrong_types",
            "fields",
            "duration_ms is '12 ms', which is no float",
        ),
        (
            '@ralph.logs("payment_attempted", fields={"outcome": "success|failure"})',
            "wrong_types",
            "fields",
            "outcome is 'maybe', which does not match 'success|failure'",
        ),
        (
            '@ralph.logs("payment_attempted", fields=("gateway.name",))',
            "wrong_types",
            "fields",
            "gateway.name is empty",
        ),
        (
            '@ralph.logs(when="failure", fields={"outcome": "failure"})',
            "claims_success",
            "fields",
            "outcome is 'success', which does not match 'failure'",
        ),
        (PLAIN, "not_json", "structured", "it is not JSON: INFO payment_attempted payment_id=pay_1"),
        (PLAIN, "breaks_the_line", "structured", "it is not JSON"),
        (PLAIN, "pretty", "structured", "spread over several lines"),
        (PLAIN, "not_a_number", "structured", "NaN is not JSON"),
        (PLAIN, "prints_too", "structured", "charging 100 (printed to stdout)"),
        (PLAIN, "no_stack", "stack-missing", "no line has a stack"),
        (PLAIN, "no_processor_for_stacks", "stack-missing", "no line has a stack"),
        (PLAIN, "swallowed", "stack-missing", "no line at WARNING or above tells of it"),
        (PLAIN, "logged_after_the_fact", "stack-missing", "no line has a stack"),
        (PLAIN, "secret_in_a_field", "secret-logged", "the value of the header Authorization"),
        (
            PLAIN + '\n            @ralph.secret("tok_visa")',
            "secret_declared",
            "secret-logged",
            "a declared secret is in a line of the log",
        ),
        (PLAIN, "secret_in_the_url", "secret-logged", "the parameter api_key that was sent is in the text"),
        (
            PLAIN + '\n            @ralph.secret("tok_visa")',
            "secret_in_a_diagnosis",
            "secret-logged",
            "a declared secret is in a line of the log",
        ),
        (
            PLAIN + '\n            @ralph.secret("tok_visa")',
            "secret_in_locals",
            "secret-logged",
            "a declared secret is in a line of the log",
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, criterion: str, observed: str
):
    outcome = project.judge(marker, f"logged.{subject}()")

    assert outcome.not_passed() == {f"logs.{criterion}": "fail"}
    found = outcome.criterion(f"logs.{criterion}")
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/logged.py")
    assert outcome.code == 1


BY_OUTCOME = (
    '@ralph.logs("payment_attempted", fields={"outcome": "success"}, when="success")\n'
    '            @ralph.logs("payment_attempted", fields={"outcome": "failure"}, when="failure")'
)
BESIDE = (
    '@ralph.logs("payment_attempted", level="INFO", fields={"payment_id": str})\n'
    '            @ralph.logs("payment_attempted", fields={"outcome": "failure"}, when="failure")'
)
BY_LEVEL = (
    '@ralph.logs("payment_attempted", level="INFO", fields=("payment_id",), when="success")\n'
    '            @ralph.logs("payment_attempted", level="ERROR", fields=("error",), when="failure")'
)
WITH_ERROR = (
    '@ralph.logs("payment_attempted", fields={"payment_id": "pay_.*"}, when="success")\n'
    '            @ralph.logs("payment_attempted", when="failure", '
    'fields={"payment_id": "pay_.*", "error": str})'
)
SUCCEEDED = (
    '@ralph.logs("payment_succeeded", when="success")\n'
    '            @ralph.logs("payment_succeeded", when="slow", slower_than=2)'
)


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (BY_OUTCOME, "structlog_print"),
        (BESIDE, "json_logger"),
        (f"{BESIDE}\n            {BY_OUTCOME}", "structlog_print"),
        (BY_LEVEL, "error_when_it_fails"),
        (BY_LEVEL.replace('level="INFO", ', "").replace('level="ERROR", ', ""), "info_when_it_fails"),
        (WITH_ERROR, "error_when_it_fails"),
    ],
)
def test_right_lines_of_one_event_pass_several_markers(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"logged.{subject}()")

    assert outcome.not_passed_of_all() == [], outcome.output


@pytest.mark.parametrize(
    ("marker", "subject", "expected"),
    [
        (BY_OUTCOME, "claims_success", {("success", "event-logged"), ("failure", "fields")}),
        (BY_OUTCOME, "always_a_failure", {("success", "fields"), ("failure", "event-logged")}),
        (BY_OUTCOME, "mistyped_success", {("success", "fields")}),
        pytest.param(BY_OUTCOME, "mistyped_failure", {("failure", "fields")}, marks=pytest.mark.slow),
        (BY_OUTCOME, "fails_without_an_outcome", {("failure", "fields")}),
        (BY_OUTCOME, "success_until_it_fails", {("success", "event-logged"), ("failure", "fields")}),
        (
            BY_OUTCOME,
            "swapped",
            {(when, each) for when in ("success", "failure") for each in ("event-logged", "fields")},
        ),
        (
            BESIDE.replace(', fields={"payment_id": str}', ""),
            "always_a_failure",
            {("failure", "event-logged")},
        ),
        (BY_LEVEL, "info_when_it_fails", {("success", "event-logged"), ("failure", "level")}),
        (SUCCEEDED, "says_success_too_soon", {("success", "event-logged")}),
    ],
)
def test_each_marker_of_one_event_fails_for_what_is_its_own(
    project: Project, marker: str, subject: str, expected: set[tuple[str, str]]
):
    outcome = project.judge(marker, f"logged.{subject}()")

    assert {
        (skill["parameters"]["when"], each["id"].removeprefix("logs."))
        for skill in outcome.whole["skills"]
        for each in skill["criteria"]
        if each["status"] != "pass"
    } == expected, outcome.output


def test_what_another_event_says_excuses_no_line(project: Project):
    outcome = project.judge(
        '@ralph.logs("payment_succeeded", when="success")\n'
        '            @ralph.logs(__import__("re").compile("payment_.*"))\n'
        '            @ralph.logs(level="INFO")',
        "logged.says_success_too_soon()",
    )

    assert [each[1:] for each in outcome.not_passed_of_all()] == [("logs.event-logged", "fail")]
    assert "Expected payment_succeeded is logged only when the call succeeds" in outcome.output


def test_a_line_in_the_wrong_call_is_told_with_what_it_claims(project: Project):
    outcome = project.judge(BY_OUTCOME, "logged.claims_success()")

    (evidence,) = [
        each["evidence"]
        for skill in outcome.whole["skills"]
        for each in skill["criteria"]
        if each["id"] == "logs.event-logged" and each["status"] == "fail"
    ]
    assert evidence["expected"] == (
        "payment_attempted with outcome (success) is logged only when the call succeeds"
    )
    assert '"outcome": "success"' in evidence["observed"]


def test_the_prompt_keeps_the_dots_of_a_line_that_was_shortened(project: Project):
    found = project.judge(PLAIN, "logged.no_stack()").criterion("logs.stack-missing")

    assert found["evidence"]["observed"].endswith("...")
    assert f"observed: {found['evidence']['observed']} Leave as they are: " in found["prompt"]


def test_without_any_set_up_the_line_is_what_python_writes_by_itself(project: Project):
    outcome = project.judge(PLAIN, "logged.nothing_set_up()")

    assert outcome.not_passed() == {"logs.structured": "fail", "logs.fields": "fail"}, outcome.output
    for criterion in ("structured", "fields"):
        observed = outcome.criterion(f"logs.{criterion}")["evidence"]["observed"]
        assert "no handler of the program's is set up in the test" in observed


def test_of_a_call_that_never_ends_nothing_is_claimed(project: Project):
    outcome = project.judge(PLAIN, "logged.hangs()")

    assert set(outcome.not_passed().values()) == {"not_exercised"}
    assert "see the skill timeout" in outcome.criterion("logs.event-logged")["evidence"]["observed"]


@pytest.mark.parametrize("subject", ["secret_in_a_field", "secret_in_the_url"])
def test_no_report_shows_a_secret(project: Project, subject: str):
    outcome = project.judge(PLAIN, f"logged.{subject}()", "--tb=no", "--show-capture=no")

    report = (project.pytester.path / ".ralph/report.json").read_text(encoding="utf-8")
    assert "<secret>" in report
    for text in (report, outcome.output):
        assert "sk_live" not in text


def test_a_test_that_injects_its_own_faults_is_judged_by_what_happened(project: Project):
    outcome = project.judge(
        '@ralph.logs(level="ERROR", when="failure", scenarios="manual")',
        "with api.inject(ralph.faults.Status(503)), pytest.raises(Exception): logged.json_logger()",
    )

    assert outcome.statuses()["logs.stack-missing"] == "pass", outcome.output


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("@ralph.logs('')", "event must be the name of an event or a compiled pattern, got ''"),
        ("@ralph.logs(7)", "event must be the name of an event or a compiled pattern, got 7"),
        ("@ralph.logs('a', level='LOUD')", "level must be one of 'DEBUG', 'INFO'"),
        ("@ralph.logs('a', fields='payment_id')", "fields must be names such as"),
        ("@ralph.logs('a', fields=[7])", "fields must be named by text, got 7"),
        ("@ralph.logs('a', fields={'b': 7})", "fields['b'] must be a type (str, int, float,"),
        ("@ralph.logs('a', fields={'b': '('})", "fields['b'] is no regular expression"),
        ("@ralph.logs('a', format='xml')", "format must be one of 'json', 'logfmt', 'text', got 'xml'"),
        ("@ralph.logs('a', when='later')", "when must be one of 'always', 'success', 'failure', 'slow'"),
        ("@ralph.logs('a', when='slow')", "slower_than and when='slow' need each other"),
        ("@ralph.logs('a', slower_than=2)", "slower_than and when='slow' need each other"),
        ("@ralph.logs('a', when='slow', slower_than=0)", "slower_than must be more than 0 s, got 0"),
        ("@ralph.logs(per='attempt')", "per='attempt' needs the name of the event"),
        ("@ralph.logs('a', scenarios=None)", "scenarios must be 'auto' or 'manual', got None"),
        ("@ralph.secret()", "needs the value to look for"),
        ("@ralph.secret('abc')", "needs text of at least 4 characters"),
        ("@ralph.secret(1234)", "needs text of at least 4 characters"),
    ],
)
def test_a_wrong_argument_is_a_collection_error_at_the_users_line(
    project: Project, marker: str, message: str
):
    project.check_refused(marker, message)
