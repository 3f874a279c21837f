"""Each criterion of ``emits_span``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Project

# Imported here: inner runs forget what they import, but the package keeps it, with the libraries of that run.
from tests.subjects import traced  # noqa: F401

MARKER = '@ralph.emits_span("charge", {"payment.amount": int, "payment.currency": "usd|eur"})'


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (MARKER, "right"),
        (MARKER, "handled"),
        (MARKER, "made_in_the_call"),
        ('@ralph.emits_span("charge", when="success")', "never_ended"),
    ],
)
def test_right_spans_pass(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"traced.{subject}()")

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize(
    ("marker", "subject", "criterion", "observed"),
    [
        (MARKER, "never_ended", "span-emitted", "there is none of that name; spans that were: none"),
        (MARKER, "attributes_too_late", "attributes", "payment.amount is missing"),
        (MARKER, "swallowed", "wrong-status", "the call failed, and the status of its span is UNSET"),
        (
            MARKER,
            "always_an_error",
            "wrong-status",
            "the call succeeded, and the status of its span is ERROR",
        ),
        ('@ralph.emits_span("charge", {"payment.amount": str})', "right", "attributes", "which is no str"),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, criterion: str, observed: str
):
    outcome = project.judge(marker, f"traced.{subject}()")

    assert outcome.not_passed() == {f"emits-span.{criterion}": "fail"}, outcome.output
    found = outcome.criterion(f"emits-span.{criterion}")
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/traced.py")


BY_OUTCOME = (
    '@ralph.emits_span("charge", {"outcome": "ok"}, when="success")\n'
    '            @ralph.emits_span("charge", {"outcome": "failed"}, when="failure")'
)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("outcome_told", []),
        ("outcome_always_ok", ["failure"]),
        ("outcome_mistyped", ["success"]),
    ],
)
def test_two_markers_want_one_span_with_either_outcome(project: Project, subject: str, expected: list[str]):
    outcome = project.judge(BY_OUTCOME, f"traced.{subject}()")

    assert [
        (skill["parameters"]["when"], each["id"], each["status"])
        for skill in outcome.whole["skills"]
        for each in skill["criteria"]
        if each["status"] != "pass"
    ] == [(when, "emits-span.attributes", "fail") for when in expected], outcome.output


@pytest.mark.parametrize(("subject", "others"), [("another_name", "POST /charge"), ("unsampled", "none")])
def test_a_span_that_is_not_there_is_told_with_those_that_are(project: Project, subject: str, others: str):
    outcome = project.judge(MARKER, f"traced.{subject}()")

    assert outcome.not_passed() == {
        "emits-span.span-emitted": "fail",
        "emits-span.attributes": "not_exercised",
        "emits-span.wrong-status": "not_exercised",
    }
    observed = outcome.criterion("emits-span.span-emitted")["evidence"]["observed"]
    assert observed.endswith(f"spans that were: {others}")


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.emits_span", "needs the name of the span: write @ralph.emits_span('charge')"),
        ("@ralph.emits_span(' ')", "name must be that of a span, such as 'charge', got ' '"),
        ("@ralph.emits_span('a', 'b')", "attributes must be names such as"),
        ("@ralph.emits_span('a', {'b': 7})", "attributes['b'] must be a type"),
        ("@ralph.emits_span('a', when='slow')", "when must be one of 'always', 'success', 'failure'"),
    ]

    project.check_each_refused(wrong)
