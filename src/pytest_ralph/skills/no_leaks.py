"""Skill ``no_leaks``: what a call opens it closes, and what it allocates it lets go of.

The call is made again and again, healthy and in trouble, and what the process has open is counted before,
in the middle and after. A leak is what grows in both halves: what only fills up to a limit, as pools do, is
none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ralph.core.quantity import amount, times
from pytest_ralph.core.scenario import Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import Counted, Held, Opened
from pytest_ralph.faults import Hang, Refuse, Status
from pytest_ralph.marker import Decorator, attach, check_scenarios

FEWEST = 6
_WARM_UP = 3
_KINDS = ("files", "sockets", "threads", "tasks")
_TROUBLE = (("status-503", Status(503)), ("hang", Hang()), ("refused", Refuse()))


@dataclass(frozen=True, kw_only=True)
class Again:
    """The course: some calls to warm up, then so many, with a census before, in the middle and after.

    Attributes:
        calls: How many calls there are between the first census and the last.
    """

    calls: int

    def play(self, stage: Stage) -> None:
        """Inject what there is, and call."""
        stage.inject()
        for _ in range(_WARM_UP):
            stage.call()
        stage.census()
        for half in (self.calls // 2, self.calls - self.calls // 2):
            for _ in range(half):
                stage.call()
            stage.census()


@dataclass(frozen=True, kw_only=True)
class NoLeaks:
    """The validated arguments of ``ralph.no_leaks``."""

    calls: int = 20
    faults: bool | None = None
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"calls": self.calls, "faults": self.faults}

    def suited(self, served: bool) -> NoLeaks:
        """The same for a test that declares services, or does not: trouble is only for one that does."""
        return self if self.faults is not None else replace(self, faults=served)


def no_leaks(
    function: object = None, *, calls: int = 20, faults: bool | None = None, scenarios: str = "auto"
) -> Decorator[Any]:
    """Require that calls leave nothing open and nothing allocated, however often they are made.

    Args:
        function: The test, where the marker is written without parentheses.
        calls: How many calls are made, at least 6.
        faults: Whether calls that fail are made as well: with status 503, with a hung service and with a
            refused connection; by default, if the test declares a service.
        scenarios: ``manual`` is of no use here: the calls have to be made.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.no_leaks(calls=20)
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    return attach("no-leaks", lambda: _spec(calls, faults, scenarios), function)  # type: ignore[no-any-return]


def _spec(calls: object, faults: object, scenarios: str) -> NoLeaks:
    if isinstance(calls, bool) or not isinstance(calls, int) or calls < FEWEST:
        raise ValueError(f"calls must be a whole number, at least {FEWEST}, got {calls!r}")
    if faults not in (None, True, False):
        raise ValueError(f"faults must be True or False, got {faults!r}")
    check_scenarios(scenarios)
    if scenarios == "manual":
        raise ValueError("scenarios must be 'auto': a test that injects its own faults is called once only")
    return NoLeaks(calls=calls, faults=None if faults is None else bool(faults))


def _scenarios(spec: NoLeaks) -> tuple[Scenario, ...]:
    course = Again(calls=spec.calls)
    healthy = Scenario(id=f"{spec.calls}-calls", course=course)
    # Each is played once: what the code turns to in trouble is not what leaks.
    broken = tuple(
        Scenario(id=f"{spec.calls}-calls-{name}", fault=fault, course=course, detours=False)
        for name, fault in (_TROUBLE if spec.faults else ())
    )
    return (healthy, *broken)


def _grown(play: Play, kind: str) -> Sequence[Opened]:
    """What is open in the end and was not before, if that has grown in both halves of the calls."""
    counts: list[tuple[Opened, ...]] = [getattr(each, kind) for each in play.timeline.of(Counted)]
    before, middle, after = counts
    halves = (len(middle) - len(before), len(after) - len(middle))
    if min(halves) < _least(play):
        return ()
    left = list(after)
    for each in before:
        if each in left:
            left.remove(each)
    return left


def _least(play: Play) -> int:
    """How much left open in half of the calls is a leak: what one call in five leaves behind."""
    course = play.scenario.course
    assert isinstance(course, Again)
    return max(1, course.calls // 2 // 5)


def _calls(play: Play) -> str:
    course = play.scenario.course
    assert isinstance(course, Again)
    return times(course.calls, "call")


def _judge(kind: str) -> Callable[[NoLeaks, Play], Verdict | None]:
    def judge(spec: NoLeaks, play: Play) -> Verdict | None:
        if len(play.timeline.of(Counted)) != 3:
            return untested("the calls were not made as often as they have to be", play.timeline)
        left = _grown(play, kind)
        if not left:
            return PASSED
        names = ", ".join(dict.fromkeys(each.name for each in left))
        more = names if len(names) <= 200 else f"{names[:200]}..."
        line = next((each.location for each in left if each.location is not None), None)
        observed = f"{len(left)} more after {_calls(play)}: {more}"
        return failed(f"no more {kind} open after {_calls(play)} than before", observed, line, play.timeline)

    return judge


def _memory(spec: NoLeaks, play: Play) -> Verdict | None:
    """No line of the code holds more and more."""
    counts = play.timeline.of(Counted)
    if len(counts) != 3:
        return untested("the calls were not made as often as they have to be", play.timeline)
    other = next((kind for kind in _KINDS if _grown(play, kind)), None)
    if other is not None:
        return untested(f"what is left open takes memory as well: see {other}", play.timeline)
    before, middle, after = ({each.location: each for each in count.memory} for count in counts)
    nothing = Held(location=None, size=0, count=0)
    grown = []
    for line, last in after.items():
        first, half = before.get(line, nothing), middle.get(line, nothing)
        if (
            min(half.count - first.count, last.count - half.count) >= 2 * _least(play)
            and min(half.size - first.size, last.size - half.size) > 0
        ):
            grown.append((last.size - first.size, last.count - first.count, line))
    if not grown:
        return PASSED
    size, count, line = max(grown, key=lambda each: each[0])
    observed = f"{amount(size)} more in {times(count, 'block')} after {_calls(play)}, allocated in this line"
    return failed(f"no more memory held after {_calls(play)} than before", observed, line, play.timeline)


_STATEMENTS = {
    "files": (
        "leaves no file open",
        "Close what is opened here whatever happens: use a with block, or close in finally",
    ),
    "sockets": (
        "leaves no socket open",
        "Close the client or answer made here whatever happens (with, finally), or use one for all calls",
    ),
    "threads": (
        "leaves no thread running",
        "End the thread or pool started here with the call (with, join), or use one for all calls",
    ),
    "tasks": (
        "leaves no task running",
        "Await or cancel the task that is started here before the call ends: use asyncio.TaskGroup or gather",
    ),
}


SKILL = Skill(
    id="no-leaks",
    marker="no_leaks",
    title="leaves nothing behind",
    phase="resources",
    tightened={"faults": "higher"},
    keep=lambda _: "what the call returns and raises",
    criteria=(
        *(
            Criterion(
                id=kind,
                kind="pass",
                text=lambda spec, kind=kind: f"{_STATEMENTS[kind][0]}, in {spec.calls} calls",  # type: ignore[misc]
                scenarios=_scenarios,
                judge=_judge(kind),
                timing=False,
                fix=lambda _, kind=kind: _STATEMENTS[kind][1],  # type: ignore[misc]
            )
            for kind in _KINDS
        ),
        Criterion(
            id="memory",
            kind="pass",
            text=lambda spec: f"holds no more memory call by call, in {spec.calls} calls",
            scenarios=_scenarios,
            judge=_memory,
            timing=False,
            fix=lambda _: (
                "Bound what is kept between calls (functools.lru_cache(maxsize=...), a deque with maxlen), "
                "or do not keep it"
            ),
        ),
    ),
)
