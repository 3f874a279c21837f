"""Each criterion of ``no_leaks``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator

import httpx
import pytest

from pytest_ralph.core.location import Location
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import PASSED, Play, Status
from pytest_ralph.core.timeline import CallEnded, Counted, Event, Held, Kept, Opened, Timeline
from pytest_ralph.skills import no_leaks
from tests.harness import Outcome, Project
from tests.subjects import leaks


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """What leaks here must not leak into the tests that follow."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    for each in leaks.KEPT:
        if hasattr(each, "close"):
            each.close()
    leaks.CLIENT.close()
    leaks.CLIENT = httpx.Client(timeout=10)
    leaks.KEPT.clear()
    leaks.BUFFER.clear()
    leaks.SEEN.clear()
    leaks._cached.cache_clear()
    for fd in set(os.listdir("/proc/self/fd")) - before:
        if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}") == "/dev/null":
            os.close(int(fd))


def judge(project: Project, call: str, fixtures: str, marker: str, *options: str) -> Outcome:
    asynchronous = call.startswith("await")
    project.write(
        test_it=f"""
        from tests.subjects import leaks

        {marker}
        {"@pytest.mark.asyncio" if asynchronous else ""}
        {"async " if asynchronous else ""}def test_it({fixtures}):
            {call}
        """
    )
    # Threads cannot be ended from here, and must not outlive the run.
    apart = ["--ralph-isolate"] if "thread" in call or "pool" in call or "watchdog" in call else []
    return project.run("--ralph", *apart, *options, "-p", "no:unraisableexception")


@pytest.mark.parametrize(
    ("call", "fixtures", "arguments"),
    [
        ("leaks.bounded_cache()", "", ""),
        ("await leaks.awaited_task()", "", ""),
        ("leaks.connection_closed()", "api", ""),
        pytest.param("leaks.right()", "api", "", marks=pytest.mark.slow),
        pytest.param("leaks.client_per_call()", "api", ", faults=False", marks=pytest.mark.slow),
        pytest.param("leaks.pool_per_call()", "api", ", faults=False", marks=pytest.mark.slow),
        ("leaks.largest_cache()", "", ""),
        ("leaks.told_of()", "api", ""),
        pytest.param("pass", "", "", marks=pytest.mark.slow),
    ],
)
def test_right_code_leaves_nothing_behind(project: Project, call: str, fixtures: str, arguments: str):
    outcome = judge(project, call, fixtures, f"@ralph.no_leaks(calls=6{arguments})")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


def more(*row: str) -> object:
    """More of the same kind."""
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("call", "fixtures", "criterion", "observed", "function"),
    [
        ("leaks.open_file()", "", "files", "28 more after 28 calls: /dev/null", "open_file"),
        ("leaks.connection_per_call()", "api", "sockets", "to api.pay.example", "connection_per_call"),
        ("leaks.thread()", "", "threads", "28 more after 28 calls: thread waits-*", "thread"),
        ("await leaks.task()", "", "tasks", "28 more after 28 calls: task Event.wait", "task"),
        ("leaks.history()", "", "memory", "after 70 calls, allocated in this line", "history"),
        ("leaks.history_beside_a_full_cache()", "", "memory", "allocated in this line", "history"),
        ("leaks.buffer()", "", "memory", "in blocks that get larger after 70 calls", "buffer"),
        ("leaks.texts()", "", "memory", "245 elements more after 245 calls in tests.subjects.leaks.SEEN", ""),
        more("leaks.session_per_call()", "api", "sockets", "to api.pay.example", "session_per_call"),
        more("leaks.raw_file()", "", "files", "28 more after 28 calls: /dev/null", ""),
        more("leaks.raw_thread()", "", "threads", "a thread that Python does not know", ""),
        more("leaks.pool_never_ended()", "", "threads", "thread ThreadPoolExecutor-*_*", "pool_never_ended"),
        more(
            "leaks.unbounded_cache()",
            "",
            "memory",
            "after 70 calls, allocated in this line",
            "unbounded_cache",
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion(
    project: Project, call: str, fixtures: str, criterion: str, observed: str, function: str
):
    outcome = judge(project, call, fixtures, "@ralph.no_leaks(calls=6, faults=False)")

    allowed = {} if criterion == "memory" else {"no-leaks.memory": "not_exercised"}
    assert outcome.not_passed() == {f"no-leaks.{criterion}": "fail", **allowed}, outcome.output
    evidence = outcome.criterion(f"no-leaks.{criterion}")["evidence"]
    assert observed in evidence["observed"]
    if function:
        assert evidence["location"]["file"].endswith("tests/subjects/leaks.py")
        assert evidence["location"]["function"] == function


MALFORMED = "@ralph.no_leaks(calls=6, also=[ralph.faults.Malformed('html')])"


@pytest.mark.parametrize(
    ("call", "criterion", "scenario"),
    [
        ("leaks.open_in_trouble()", "sockets", "503"),
        more("leaks.watchdog_per_timeout()", "threads", "hang"),
        more("await leaks.left_behind_by_a_timeout()", "tasks", "hang"),
        more("leaks.errors_kept()", "memory", "refused"),
        ("leaks.unread_when_not_found()", "sockets", "404"),
        ("leaks.told_of_pages()", "sockets", "malformed-html"),
    ],
)
def test_what_leaks_only_in_trouble_is_found_there(
    project: Project, call: str, criterion: str, scenario: str
):
    # The others are not run: what they find is the same, and they take their time.
    outcome = judge(project, call, "api", MALFORMED, "-k", f"{scenario} or healthy")

    red = {name: status for name, status in outcome.statuses().items() if status == "fail"}
    assert red == {f"no-leaks.{criterion}": "fail"}, outcome.output
    evidence = outcome.criterion(f"no-leaks.{criterion}")["evidence"]
    assert evidence["scenario"].startswith("6-calls-")
    assert evidence["location"]["function"] == call.removeprefix("await ").removeprefix("leaks.")[:-2]


class Counting:
    """A stage on which nothing is called, and what is open follows from how many calls there were.

    Args:
        files: How many files are open after so many calls.
        blocks: How many blocks of memory a line holds after so many calls.
        kept: How much longer a collection is after so many calls.
    """

    def __init__(
        self,
        files: Callable[[int], int] = lambda _: 3,
        blocks: Callable[[int], int] = lambda _: 0,
        kept: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self.calls = 0
        self._files, self._blocks, self._kept = files, blocks, kept
        self._events: list[Event] = []

    def inject(self) -> None: ...

    def call(self) -> None:
        self.calls += 1
        self._events.append(CallEnded(at=0.0, index=self.calls))

    def census(self, *, closely: Collection[Location] | None = None) -> None:
        count = self._blocks(self.calls)
        led = LINE if closely is not None else None
        memory = Held(made=MADE, location=led, size=100 * count, count=count)
        self._events.append(
            Counted(
                at=0.0,
                files=(Opened(name="a file"),) * self._files(self.calls),
                memory=(memory,) if closely is None or MADE in closely else (),
                closely=closely is not None,
                kept=(Kept(name="client.HISTORY", more=self._kept(self.calls), location=LINE),),
            )
        )

    @property
    def timeline(self) -> Timeline:
        return Timeline(tuple(self._events))


LINE = Location(file="client.py", line=7, function="call")
MADE = Location(file="/lib/json/decoder.py", line=353, function="")


@pytest.mark.parametrize("calls", [6, 7, 20])
@pytest.mark.parametrize(
    ("grows", "failed"),
    [
        ({"blocks": lambda calls: 2 * min(4, calls)}, None),
        ({"blocks": lambda calls: 2 * min(128, calls)}, None),
        ({"blocks": lambda calls: 2 * calls}, "memory"),
        ({"blocks": lambda calls: calls}, "memory"),
        ({"blocks": lambda calls: calls // 50}, None),
        ({"files": lambda calls: min(15, calls)}, None),
        ({"files": lambda calls: 10 + calls}, "files"),
        ({"files": lambda calls: 10 - min(calls, 9)}, None),
        ({"files": lambda calls: calls % 3}, None),
        ({"files": lambda calls: calls, "blocks": lambda calls: 2 * calls}, "files"),
        ({"kept": lambda calls: calls}, "memory"),
        ({"kept": lambda calls: calls // 3}, "memory"),
        ({"kept": lambda calls: min(128, calls)}, None),
        ({"kept": lambda calls: calls % 7}, None),
    ],
)
def test_growth_is_confirmed_by_repetition(
    calls: int, grows: dict[str, Callable[[int], int]], failed: str | None
):
    stage = Counting(**grows)
    scenario = Scenario(id="calls", course=no_leaks.Again(calls=calls))
    scenario.course.play(stage)  # type: ignore[arg-type]
    play = Play(scenario=scenario, timeline=stage.timeline)

    verdicts = {each.id: each.judge(no_leaks.NoLeaks(calls=calls), play) for each in no_leaks.SKILL.criteria}

    red = [name for name, verdict in verdicts.items() if verdict and verdict.status is Status.FAIL]
    assert red == ([failed] if failed else [])
    # Nobody pays for a confirmation where nothing grows, and it comes to an end.
    assert stage.calls <= 3 + 245
    if not failed and stage.calls == 3 + calls:
        assert all(verdict == PASSED for verdict in verdicts.values())


@pytest.mark.parametrize("call", ["leaks.right()", "leaks.connection_closed()"])
def test_no_more_calls_are_made_where_nothing_leaks(project: Project, call: str):
    """Python's own reserves, which a census empties, once looked like a block more for each census."""
    project.write(
        test_it=f"""
        from tests.subjects import leaks

        @pytest.fixture
        def counted(api):
            yield
            assert len(api.requests) in (1, 3 + 20)

        @ralph.no_leaks(faults=False)
        def test_it(counted):
            {call}
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 0, outcome.output


def test_what_is_logged_and_warned_of_is_told_as_ever(project: Project):
    project.write(
        test_it="""
        from tests.subjects import leaks

        @ralph.no_leaks(calls=6)
        def test_it(api, caplog):
            before = len(caplog.records)
            try:
                leaks.told_of()
            except Exception:
                assert caplog.records[before].exc_info
                assert "failed: " in caplog.text
                raise
            assert len(caplog.records) == before
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 0, outcome.output
    assert outcome.output.count("DeprecationWarning: use session instead") == 1


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.no_leaks(20)", "@ralph.no_leaks: takes keyword arguments only, got 20"),
        ("@ralph.no_leaks(calls=5)", "calls must be a whole number, at least 6, got 5"),
        ("@ralph.no_leaks(calls=True)", "calls must be a whole number, at least 6, got True"),
        ("@ralph.no_leaks(faults='all')", "faults must be True or False, got 'all'"),
        ("@ralph.no_leaks(scenarios='manual')", "scenarios must be 'auto'"),
        ("@ralph.no_leaks(also=ralph.faults.Hang())", "also must be a list of faults such as [ralph.faults."),
        ("@ralph.no_leaks(also=['Hang'])", "got ['Hang']"),
        ("@ralph.no_leaks(also=[ralph.faults.Hang()])", "also has Hang(), which is played anyway"),
        ("@ralph.no_leaks(also=2 * [ralph.faults.Reset()])", "also has Reset(), which is played anyway"),
        ("@ralph.no_leaks(faults=False, also=[ralph.faults.Reset()])", "cannot both be meant"),
    ]

    project.check_each_refused(wrong)


def test_tracing_of_allocations_goes_on_as_before(project: Project):
    """Somebody else may have begun it, with too few frames to find lines by."""
    project.write(
        test_it="""
        import tracemalloc

        KEPT = []

        @pytest.fixture(autouse=True)
        def tracing():
            tracemalloc.start(1)
            yield
            assert (tracemalloc.is_tracing(), tracemalloc.get_traceback_limit()) == (True, 1)
            tracemalloc.stop()

        class Thing:
            def __init__(self):
                self.parts = sorted("ab")

        @ralph.no_leaks(calls=6)
        def test_it():
            KEPT.append(Thing())
        """
    )

    assert project.run("--ralph").not_passed() == {"no-leaks.memory": "fail"}
