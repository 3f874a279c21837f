"""Each criterion of ``rate_limit``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import os
import time

import pytest

from pytest_ralph.skills import rate_limit
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
        (PLAIN, "in_local_time", {"waits-http-date": "fail", "hammers": "fail"}),
        (PLAIN, "dates_only", {"waits-retry-after": "fail"}),
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


@pytest.mark.parametrize(
    ("marker", "subject", "criterion", "expected", "observed", "scenario"),
    [
        (PLAIN, "gives_up", "waits-retry-after", "a wait of 5 s after GET", "no further attempt", "for-5s"),
        (PLAIN, "always_five", "waits-retry-after", "a wait of 11 s", "a wait of 5 s", "for-11s"),
        (PLAIN, "always_a_minute", "waits-retry-after", "a wait of 5 s", "a wait of 60 s", "for-5s"),
        (PLAIN, "seconds_only", "waits-http-date", "a wait of 5 s", "no further", "until-date-in-5s"),
        (PLAIN, "in_local_time", "waits-http-date", "a wait of 5 s", "a wait of 0 s", "until-date-in-5s"),
        (PLAIN, "exponential", "hammers", "no request for 5 s", "a request after 1 s", "for-5s"),
        (PLAIN, "ignores_503", "hammers", "no request for 5 s", "a request after 1 s", "by-503-for-5s"),
        (PLAIN, "at_once_when_unsaid", "hammers", "fewer than 3", "3 requests right", "unsaid-for-5s"),
        (LIMIT, "waits_half_an_hour", "gives-up-beyond-max", "asks for 61 s", "after 61 s", "for-61s"),
        (LIMIT, "capped", "gives-up-beyond-max", "asks for 61 s", "another attempt after 60 s", "for-61s"),
        (LIMIT, "sulks", "gives-up-beyond-max", "ends at once", "it ended 60 s later", "for-61s"),
    ],
)
def test_evidence_says_what_was_expected_and_observed(
    project: Project, marker: str, subject: str, criterion: str, expected: str, observed: str, scenario: str
):
    found = judge(project, marker, subject).criterion(f"rate-limit.{criterion}")

    assert found["evidence"]["scenario"] == f"rate-limited-{scenario}"
    assert expected in found["evidence"]["expected"]
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/searches.py")
    assert found["evidence"]["location"]["function"] == "send"


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.rate_limit(retry_after=0)", "retry_after must be more than 0 s, got 0"),
        ("@ralph.rate_limit(retry_after=2.5)", "retry_after must be whole seconds, as the header"),
        ("@ralph.rate_limit(retry_after='500 ms')", "retry_after must be whole seconds, as the header"),
        ("@ralph.rate_limit(retry_after='soon')", "retry_after must be seconds as a number or text"),
        ("@ralph.rate_limit(retry_after=None)", "retry_after must be seconds as a number or text"),
        ("@ralph.rate_limit(max_wait=2)", "max_wait must not be less than retry_after (5 s), got 2"),
        ("@ralph.rate_limit(max_wait=0)", "max_wait must be more than 0 s, got 0"),
        ("@ralph.rate_limit(scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
        ("@ralph.rate_limit(5)", "takes keyword arguments only, such as retry_after=5, got 5"),
    ]

    project.check_each_refused(wrong)


@pytest.mark.parametrize(
    ("forms", "not_passed"),
    [
        (("seconds", "http-date"), {}),
        (("seconds",), {"rate-limit.waits-http-date": "not_exercised"}),
        (("http-date",), {"rate-limit.waits-retry-after": "not_exercised"}),
    ],
)
def test_a_test_of_ones_own_is_judged_by_the_forms_it_plays(
    project: Project, forms: tuple[str, ...], not_passed: dict[str, str]
):
    project.write(
        test_it=f"""
        from tests.subjects import searches

        @ralph.rate_limit(scenarios="manual")
        def test_search(ralph_upstream):
            service = ralph_upstream("http://search.example")
            service.get("/v1/search", json={{"found": []}})
            for form in {forms!r}:
                service.inject(ralph.faults.RateLimited(7, form=form))
                searches.right()
        """
    )

    outcome = project.run("--ralph")

    assert not_passed == outcome.not_passed(), outcome.output


@pytest.mark.parametrize("before", [None, "Europe/Vienna"])
def test_the_time_zone_of_the_machine_is_put_back(monkeypatch: pytest.MonkeyPatch, before: str | None):
    monkeypatch.delenv("TZ", raising=False)
    if before is not None:
        monkeypatch.setenv("TZ", before)
    zones = []

    class Stage:
        def inject(self) -> None:
            zones.append(time.timezone)

        def call(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rate_limit.Abroad().play(Stage())  # type: ignore[arg-type]

    assert zones == [-5.5 * 3600]
    assert os.environ.get("TZ") == before
    time.tzset()
    assert time.timezone != zones[0]
