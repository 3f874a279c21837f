"""Each criterion of ``timeout``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Project


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        ("@ralph.timeout(10)", "right"),
        ("@ralph.timeout('10 s')", "right"),
        ("@ralph.timeout(10, total=25)", "with_total"),
        ("@ralph.timeout(10, total='2 min')", "with_total"),
        ("@ralph.timeout(10.4)", "right"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, subject: str):
    outcome = project.judge(marker, f"timeouts.{subject}()")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "subject", "not_passed"),
    [
        ("@ralph.timeout(10)", "too_long", {"timeout.gives-up": "fail"}),
        ("@ralph.timeout(10)", "too_short", {"timeout.gives-up": "fail"}),
        ("@ralph.timeout(10.6)", "right", {"timeout.gives-up": "fail"}),
        ("@ralph.timeout(10)", "slow_to_connect", {"timeout.connects-in-time": "fail"}),
        ("@ralph.timeout(10)", "never_gives_up_connecting", {"timeout.connects-in-time": "fail"}),
        (
            "@ralph.timeout(10)",
            "reads_for_ever",
            {"timeout.waits-forever": "fail", "timeout.gives-up": "not_exercised"},
        ),
        (
            "@ralph.timeout(10)",
            "none",
            {
                "timeout.waits-forever": "fail",
                "timeout.gives-up": "not_exercised",
                "timeout.connects-in-time": "fail",
            },
        ),
        ("@ralph.timeout(10, total=25)", "no_total", {"timeout.total-deadline": "fail"}),
        ("@ralph.timeout(10, total=12)", "right", {"timeout.total-deadline": "fail"}),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, not_passed: dict[str, str]
):
    outcome = project.judge(marker, f"timeouts.{subject}()")

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("subject", "criterion", "observed"),
    [
        ("too_long", "gives-up", "given up after 30 s"),
        ("slow_to_connect", "connects-in-time", "given up after 30 s"),
        ("never_gives_up_connecting", "connects-in-time", "given up after 127 s"),
        ("reads_for_ever", "waits-forever", "waits for ever (read): no timeout is set"),
        ("no_total", "total-deadline", "it took"),
    ],
)
def test_evidence_says_what_was_observed_and_where(
    project: Project, subject: str, criterion: str, observed: str
):
    found = project.judge("@ralph.timeout(10, total=25)", f"timeouts.{subject}()").criterion(
        f"timeout.{criterion}"
    )

    assert found["status"] == "fail"
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/timeouts.py")
    assert subject == found["evidence"]["location"]["function"]


def test_a_dribbling_answer_is_what_breaks_the_total(project: Project):
    found = project.judge("@ralph.timeout(10, total=12)", "timeouts.right()").criterion(
        "timeout.total-deadline"
    )

    assert found["evidence"]["scenario"] == "dribble-5s-for-24s"


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.timeout", "needs the number of seconds: write @ralph.timeout(10)"),
        ("@ralph.timeout(0)", "seconds must be more than 0 s, got 0"),
        ("@ralph.timeout(-1)", "seconds must be more than 0 s, got -1"),
        ("@ralph.timeout(True)", "seconds must be seconds as a number or text"),
        ("@ralph.timeout(float('nan'))", "seconds must be a finite duration, got nan"),
        ("@ralph.timeout('10 parsecs')", "seconds must be seconds as a number or text"),
        ("@ralph.timeout(10, total=5)", "total must not be less than seconds (10 s), got 5"),
        ("@ralph.timeout(10, tolerance=1)", "tolerance must be a fraction from 0 up to 1"),
        ("@ralph.timeout(10, scenarios=None)", "scenarios must be 'auto' or 'manual', got None"),
        ("@ralph.timeout()", "missing 1 required positional argument: 'seconds'"),
    ]

    project.check_each_refused(wrong)
