"""Each invariant of ``survives``: a subject that holds it, and one that some schedule makes break it."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

import hypothesis
import pytest
from hypothesis.database import InMemoryExampleDatabase

from pytest_ralph import faults
from pytest_ralph.core.fault import Kind
from pytest_ralph.skills import _search, survives
from tests.harness import Outcome, Project
from tests.subjects import schedules

GATE = "@ralph.survives(raises=schedules.PaymentError, max_requests=4, max_seconds=60)"
BREAKS = {"survives.invariants-hold": "fail"}
HANGS = {"survives.hangs": "fail"}


def judge(project: Project, call: str, marker: str = GATE, *arguments: str, more: str = "") -> Outcome:
    """Judge one call from `tests.subjects.schedules`."""
    project.write(
        test_it=f"""
        from tests.subjects import schedules
        {more}

        {marker}
        def test_charge(api):
            {call}
        """
    )
    return project.run("--ralph", *arguments)


def observed(outcome: Outcome, criterion: str = "survives.invariants-hold") -> str:
    return str(outcome.criterion(criterion)["evidence"]["observed"])


@pytest.mark.parametrize(
    ("subject", "marker"),
    [
        ("right", GATE),
        ("right", "@ralph.survives"),
        pytest.param("right", "@ralph.survives(examples=400)", marks=pytest.mark.slow),
        ("kept_with_its_key", "@ralph.survives"),
    ],
)
def test_right_code_survives(project: Project, subject: str, marker: str):
    outcome = judge(project, f'assert schedules.{subject}() == "ch_1"', marker)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.whole["gate"] == "pass"


@pytest.mark.parametrize(
    ("subject", "marker", "not_passed", "shown"),
    [
        ("without_key", GATE, BREAKS, "effects, with"),
        ("trusting", GATE, BREAKS, "the test found fault with that"),
        ("persistent", GATE, BREAKS, "requests, with"),
        ("patient", GATE, BREAKS, "it took"),
        ("endless", "@ralph.survives(raises=schedules.PaymentError)", HANGS, ""),
        ("kept_for_later", "@ralph.survives", BREAKS, "3 effects, with"),
        ("stale", "@ralph.survives(raises=Exception)", BREAKS, "the test found fault with that"),
    ],
)
def test_each_flaw_breaks_one_invariant(
    project: Project, subject: str, marker: str, not_passed: dict[str, str], shown: str
):
    outcome = judge(project, f'assert schedules.{subject}() == "ch_1"', marker)

    if subject == "endless":
        # With a schedule that makes it wait for ever nothing else can be said of the call.
        assert outcome.not_passed() == {**HANGS, "survives.invariants-hold": "not_exercised"}
        assert "waits for ever" in observed(outcome, "survives.hangs")
        return
    assert outcome.not_passed() == not_passed, outcome.output
    assert shown in observed(outcome)
    location = outcome.criterion("survives.invariants-hold")["evidence"]["location"]
    assert location["file"].endswith("tests/subjects/schedules.py")


def test_a_call_that_makes_the_next_one_hang_is_found(project: Project):
    """What leaves a lock behind is no flaw that shows in the call itself."""
    outcome = judge(project, "schedules.keeps_the_lock()", "@ralph.survives(examples=10)")

    assert outcome.not_passed() == {**HANGS, "survives.invariants-hold": "not_exercised"}
    found = outcome.criterion("survives.hangs")["evidence"]
    assert found["location"]["function"] == "keeps_the_lock"


def test_the_smallest_schedule_is_shown_as_code_to_paste(project: Project):
    outcome = judge(project, "schedules.without_key()")

    call = observed(outcome).partition(", with ")[2]
    assert call.startswith("ralph_upstream('http://api.pay.example').inject(ralph.faults.")
    project.write(
        test_pasted=f"""
        from tests.subjects import schedules

        def test_pasted(ralph_upstream):
            service = ralph_upstream("http://api.pay.example")
            service.post("/v1/charges", json={{"id": "ch_1"}})
            {call}
            try:
                schedules.without_key()
            except schedules.PaymentError:
                pass
            assert len(service.requests) == 1
        """
    )
    pasted = project.run("test_pasted.py")

    assert pasted.code == 1
    assert "1 failed" in pasted.output


@pytest.fixture
def database():
    """An example database that no other test has put anything into. Inner runs in this process share it."""
    before = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile("kept", database=InMemoryExampleDatabase())
    hypothesis.settings.load_profile("kept")
    yield
    hypothesis.settings.load_profile(before)


@pytest.fixture(autouse=True)
def released():
    """What subjects keep must not outlast a test."""
    yield
    schedules._lock = threading.Lock()
    schedules.outbox.clear()
    schedules.kept.clear()


@pytest.mark.usefixtures("database")
def test_what_was_found_is_replayed_first_and_the_report_is_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    """With an empty database, and with one that holds the failure; and mended code passes in spite of it."""
    looked: list[str] = []
    calls: list[tuple[str, bool]] = []
    for way in ("replay", "search"):
        original = getattr(_search, way)

        def look(strategy: Any, shows: Any, *, way: str = way, original: Any = original, **rest: Any) -> Any:
            def shown(value: Any) -> bool:
                found = bool(shows(value))
                calls.append((way, found))
                return found

            looked.append(way)
            return original(strategy, shown, **rest)

        monkeypatch.setattr(_search, way, look)

    def report(subject: str) -> str:
        looked.clear()
        calls.clear()
        found = copy.deepcopy(
            judge(project, f"schedules.{subject}()", "@ralph.survives(max_seconds=60)").whole
        )
        del found["run"]
        return json.dumps(found)

    first = report("without_key")
    assert calls[0][0] == "search"
    again = report("without_key")
    # The stored failure is the first thing that is played, and it still is one.
    assert calls[0] == ("replay", True)
    assert [way for way, _ in calls].index("search") <= 3
    assert first == again
    mended = report("right")
    assert looked[:3] == ["replay", "replay", "search"]
    assert calls[0] == ("replay", False)
    assert sum(way == "search" for way, _ in calls) == 100
    assert '"gate": "pass"' in mended
    report("right")
    assert calls[0][0] == "search"  # what is none any more is forgotten


@pytest.mark.usefixtures("database")
def test_what_only_an_earlier_run_has_found_stays_a_failure(project: Project):
    many, few = "@ralph.survives(examples=100)", "@ralph.survives(examples=2)"

    assert judge(project, "schedules.without_key()", many).not_passed() == BREAKS
    known = judge(project, "schedules.without_key()", few)

    assert known.not_passed() == BREAKS
    assert "2 effects, with ralph_upstream" in observed(known)
    assert judge(project, "schedules.right()", few).not_passed() == {}


def test_another_seed_searches_elsewhere_and_finds_the_flaw_as_well(project: Project):
    outcome = judge(project, "schedules.without_key()", GATE, "--ralph-seed", "7")

    assert outcome.not_passed() == BREAKS


def test_a_call_that_meets_no_fault_is_not_taken_for_one_that_survives(project: Project):
    outcome = judge(project, "pass")

    assert outcome.not_passed() == {
        "survives.invariants-hold": "not_exercised",
        "survives.hangs": "not_exercised",
    }
    assert "no fault was ever met" in observed(outcome)


def test_faults_of_plugins_are_among_those_that_schedules_are_made_of(project: Project):
    project.write(
        conftest="""
        from dataclasses import dataclass
        from pytest_ralph.extend import Answer, Fault, Send

        @dataclass(frozen=True)
        class Forged(Fault):
            def on_request(self, exchange):
                yield Send(answer=Answer(status=200, body=b'{"id": "ch_forged"}'))

        def pytest_ralph_faults():
            return [Forged()]
        """
    )
    outcome = judge(project, 'assert schedules.right() == "ch_1"')

    assert outcome.not_passed() == BREAKS
    assert "ch_forged" in observed(outcome)


def test_what_plugins_give_must_be_faults(project: Project):
    project.write(conftest="def pytest_ralph_faults(): return ['503']")

    outcome = judge(project, "schedules.right()")

    assert outcome.code == 4
    assert "pytest_ralph_faults: expected a fault, got '503'" in outcome.output


def test_a_service_that_must_not_be_broken_is_left_alone(project: Project):
    project.write(
        test_it="""
        import requests

        @pytest.fixture
        def both(api, ralph_upstream):
            ralph_upstream("http://rates.example", faulted=False).get("/usd", json=1.08)

        @ralph.survives(raises=requests.HTTPError, max_seconds=20)
        def test_call(both):
            requests.get("http://rates.example/usd").raise_for_status()
        """
    )
    outcome = project.run("--ralph")

    assert set(outcome.not_passed().values()) == {"not_exercised"}


def test_schedules_are_made_of_what_a_dependency_can_show():
    found: list[dict[str, faults.Sequence]] = []
    strategy = survives.schedules({"http://a": Kind.HTTP, "call": Kind.FUNCTION}, survives.POOL)

    from hypothesis import given, settings

    @settings(max_examples=200, database=None)
    @given(strategy)
    def collect(schedule: dict[str, faults.Sequence]) -> None:
        found.append(schedule)

    collect()
    for each in found:
        for url, fault in each.items():
            kind = Kind.FUNCTION if url == "call" else Kind.HTTP
            assert all(kind in part.shown_by for part in fault.parts())
    # Both were given something to show.
    assert {url for each in found for url in each} == {"http://a", "call"}


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("examples=0", "examples must be a whole number from 1, got 0"),
        ("examples=True", "examples must be a whole number from 1, got True"),
        ("max_requests=1.5", "max_requests must be a whole number from 1, got 1.5"),
        ("max_seconds=0", "max_seconds must be more than 0 s, got 0"),
        ("raises='Error'", "a tuple of them, such as raises=PaymentError, got 'Error'"),
        ("raises=()", "raises names no exception"),
        ("header=''", "header must be the name of a header, got ''"),
    ]

    project.check_each_refused([(f"@ralph.survives({arguments})", message) for arguments, message in wrong])


def test_two_gates_with_other_limits_are_judged_apart(project: Project):
    outcome = judge(project, "schedules.persistent()", f"{GATE}\n        @ralph.survives(max_requests=6)")

    statuses = {skill["parameters"]["max_requests"]: skill["status"] for skill in outcome.whole["skills"]}
    assert statuses == {4: "fail", 6: "pass"}
