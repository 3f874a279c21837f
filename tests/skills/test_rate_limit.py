"""Each criterion of ``rate_limit``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

PLAIN = "@ralph.rate_limit"
LIMIT = "@ralph.rate_limit(retry_after=5, max_wait='1 min')"


def judge(project: Project, marker: str, subject: str) -> Outcome:
    """Judge one call from `tests.subjects.searches`."""
    project.write(
        test_it=f"""
        from tests.subjects import searches

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream("http://search.example")
            service.get("/v1/search", json={{"found": []}})
            return service

        {marker}
        def test_search(service):
            searches.{subject}()
        """
    )
    return project.run("--ralph")


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (PLAIN, "right"),
        ("@ralph.rate_limit(retry_after='1 min')", "right"),
        ("@ralph.rate_limit(retry_after=1)", "right"),
        ("@ralph.rate_limit(retry_after=30, max_wait=60)", "with_limit"),
        (PLAIN, "with_limit"),
        (PLAIN, "with_jitter"),
        (LIMIT, "with_limit"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, subject: str):
    outcome = judge(project, marker, subject)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("marker", "subject", "not_passed"),
    [
        (PLAIN, "gives_up", {"waits-retry-after": "fail", "waits-http-date": "fail"}),
        (PLAIN, "gives_up_on_429", {"waits-retry-after": "fail", "waits-http-date": "fail"}),
        (PLAIN, "seconds_only", {"waits-http-date": "fail"}),
        (PLAIN, "rounds_down", {"waits-http-date": "fail", "hammers": "fail"}),
        (
            PLAIN,
            "exponential",
            {"waits-retry-after": "fail", "waits-http-date": "fail", "hammers": "fail"},
        ),
        # Only the other time to wait shows it.
        (PLAIN, "always_five", {"waits-retry-after": "fail", "hammers": "fail"}),
        (PLAIN, "always_a_minute", {"waits-retry-after": "fail", "waits-http-date": "fail"}),
        (PLAIN, "raises_all_the_same", {"waits-retry-after": "fail", "waits-http-date": "fail"}),
        (PLAIN, "ignores_503", {"hammers": "fail"}),
        (PLAIN, "at_once_when_unsaid", {"hammers": "fail"}),
        (LIMIT, "waits_half_an_hour", {"gives-up-beyond-max": "fail"}),
        (LIMIT, "sulks", {"gives-up-beyond-max": "fail"}),
        (LIMIT, "capped", {"gives-up-beyond-max": "fail", "hammers": "fail"}),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, not_passed: dict[str, str]
):
    outcome = judge(project, marker, subject)

    expected = {f"rate-limit.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output
    assert outcome.code == 1
