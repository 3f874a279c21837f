"""Skill ``no_leaks``: what a call opens it closes, and what it allocates it lets go of.

The call is made again and again, healthy and in trouble, and what the process has open is counted before,
in the middle and after. What has grown in both halves is suspected, and the calls go on for so long that
pools and caches are full. What grows even then is a leak, and looked at line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ralph.core.fault import Fault
from pytest_ralph.core.location import Location
from pytest_ralph.core.quantity import amount, times
from pytest_ralph.core.scenario import Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, Counted, Held, Kept, Opened, Timeline
from pytest_ralph.faults import Hang, Refuse, Status
from pytest_ralph.marker import Decorator, attach, check_scenarios

FEWEST = 6
_WARM_UP = 3
_KINDS = ("files", "sockets", "threads", "tasks")
# So many calls fill pools and caches, one thing for each call: pools hold some ten or fifteen (requests 10,
# SQLAlchemy 15), and `functools.lru_cache` 128 unless it is told otherwise. What still grows then is a leak.
_FILLED = 16
_FILLED_MEMORY = 140
# An object of its own is two or more, as a rule: it, and what it is made of.
_OBJECTS = 2
# Bytes by which one object that only gets larger does so, for each five calls.
_LARGER = 16
# In so many parts, with pools and caches full, a line has to hold more and more.
_CONFIRMED = 2
_TROUBLE: Mapping[str, Fault] = {
    "status-503": Status(503),
    "status-404": Status(404),
    "hang": Hang(),
    "refused": Refuse(),
}


@dataclass(frozen=True, kw_only=True)
class Again:
    """The course: some calls to warm up, then so many, with a census before, in the middle and after.

    Where something has grown, the calls go on until pools and caches are full. If it grows even then, it is
    seen which line of the user's is behind it.

    Attributes:
        calls: How many calls there are if nothing grows.
    """

    calls: int

    def play(self, stage: Stage) -> None:
        """Inject what there is, and call."""
        stage.inject()
        self._call(stage, _WARM_UP)
        self._call(stage, self.calls // 2)
        self._call(stage, self.calls - self.calls // 2)
        done = self.calls
        while (enough := _suspected(stage.timeline)) > done:
            self._call(stage, enough - done)
            done = enough
        if not enough:
            return
        for _ in range(_CONFIRMED):
            self._call(stage, enough // 4)
            if not _suspected(stage.timeline):
                return
        spans = _spans(stage.timeline)
        opened = _left_open(spans)
        lines = _growing(spans[-_CONFIRMED:]) if opened is None else {}
        if lines or opened or _kept(spans):
            stage.census(closely=lines)
            self._call(stage, enough // 4, closely=lines)

    def _call(self, stage: Stage, times: int, *, closely: Collection[Location] | None = None) -> None:
        for _ in range(times):
            stage.call()
        stage.census(closely=closely)


@dataclass(frozen=True, kw_only=True)
class Span:
    """The calls between two censuses.

    Attributes:
        calls: How many there were.
        before: What was open before them.
        after: What was open after them.
    """

    calls: int
    before: Counted
    after: Counted

    @property
    def least(self) -> int:
        """How much left open in these calls is a leak: what one call in five leaves behind."""
        return max(1, self.calls // 5)


def _spans(timeline: Timeline) -> list[Span]:
    spans: list[Span] = []
    before: Counted | None = None
    calls = 0
    for event in timeline:
        if isinstance(event, CallEnded):
            calls += 1
        elif isinstance(event, Counted):
            if before is not None and calls:
                spans.append(Span(calls=calls, before=before, after=event))
            before, calls = event, 0
    return spans


def _suspected(timeline: Timeline) -> int:
    """How many calls fill what has grown so far, if it can be filled; 0 if nothing has grown."""
    spans = _spans(timeline)
    if _left_open(spans) is not None:
        return _FILLED
    return _FILLED_MEMORY if all(map(_may_hold, spans)) or _kept(spans) else 0


def _left_open(spans: Sequence[Span]) -> str | None:
    """The first kind of which more has been left open in all spans."""
    return next((kind for kind in _KINDS if _grown(spans, kind)), None)


def _is_more(size: int, count: int, blocks: int, span: Span) -> bool:
    """Whether so much more, in all the blocks that there are in the end, is what calls have left behind.

    One object that only gets larger (text, a buffer, a list of what is there anyway) takes a pointer or some
    characters for each call; many that are replaced by somewhat larger ones, as in a full cache, are none.
    """
    return size > 0 and (count >= _OBJECTS * span.least or size >= _LARGER * span.least * blocks)


def _may_hold(span: Span) -> bool:
    """Whether lines may hold more and more: all that has been added, by whatever line, is not too little."""
    before, after = _by_line(span.before), _by_line(span.after)
    more = [_more(line, before, after) for line in after]
    size, count = sum(max(0, each.size) for each in more), sum(max(0, each.count) for each in more)
    return _is_more(size, count, 1, span)


def _growing(spans: Sequence[Span]) -> Mapping[Location, Held]:
    """What each line, in whosever code, holds more in the end than before, if that has grown in all spans."""
    counts = [_by_line(count) for count in (spans[0].before, *(span.after for span in spans))]

    def grows(line: Location, number: int) -> bool:
        more, after = _more(line, *counts[number : number + 2]), counts[number + 1].get(line)
        return after is not None and _is_more(more.size, more.count, after.count, spans[number])

    return {
        line: _more(line, counts[0], counts[-1])
        for line in counts[-1]
        if all(grows(line, number) for number in range(len(spans)))
    }


def _more(line: Location, before: Mapping[Location, Held], after: Mapping[Location, Held]) -> Held:
    """What a line holds more than before."""
    nothing = Held(made=line, size=0, count=0)
    old, new = before.get(line, nothing), after.get(line, nothing)
    return Held(made=line, size=new.size - old.size, count=new.count - old.count)


def _by_line(count: Counted) -> Mapping[Location, Held]:
    return {each.made: each for each in count.memory}


def _led(growing: Mapping[Location, Held], span: Span) -> Sequence[Held]:
    """What lines of the user's hold more and more.

    Args:
        growing: What each line holds more, in whosever code.
        span: Calls in which it was seen which line of the user's led to each of these, most of the time.
    """
    led = {
        each.made: each.location
        for each in sorted(span.after.memory, key=lambda held: held.size)
        if _is_more(each.size, each.count, each.count, span)
    }
    size, count = Counter[Location](), Counter[Location]()
    for made, held in growing.items():
        if (line := led.get(made)) is not None:
            size[line] += held.size
            count[line] += held.count
    return [Held(made=line, location=line, size=size[line], count=count[line]) for line in size]


@dataclass(frozen=True, kw_only=True)
class NoLeaks:
    """The validated arguments of ``ralph.no_leaks``."""

    calls: int = 20
    faults: bool | None = None
    also: tuple[Fault, ...] = ()
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"calls": self.calls, "faults": self.faults, "also": [repr(each) for each in self.also]}

    def suited(self, served: bool) -> NoLeaks:
        """The same for a test that declares services, or does not: trouble is only for one that does."""
        return self if self.faults is not None else replace(self, faults=served)


def no_leaks(
    function: object = None,
    *,
    calls: int = 20,
    faults: bool | None = None,
    also: Sequence[Fault] = (),
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that calls leave nothing open and nothing allocated, however often they are made.

    Args:
        function: The test, where the marker is written without parentheses.
        calls: How many calls are made, at least 6.
        faults: Whether calls that fail are made as well: with status 503 and 404, with a hung service and
            with a refused connection; by default, if the test declares a service.
        also: Further faults with which calls are made, where the code turns elsewhere for them, such as
            ``[ralph.faults.Malformed("html")]``.
        scenarios: ``manual`` is of no use here: the calls have to be made.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.no_leaks(calls=20)
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    return attach("no-leaks", lambda: _spec(calls, faults, also, scenarios), function)  # type: ignore[no-any-return]


def _spec(calls: object, faults: object, also: object, scenarios: str) -> NoLeaks:
    if isinstance(calls, bool) or not isinstance(calls, int) or calls < FEWEST:
        raise ValueError(f"calls must be a whole number, at least {FEWEST}, got {calls!r}")
    if faults not in (None, True, False):
        raise ValueError(f"faults must be True or False, got {faults!r}")
    check_scenarios(scenarios)
    if scenarios == "manual":
        raise ValueError("scenarios must be 'auto': a test that injects its own faults is called once only")
    more = _faults(also)
    if more and faults is False:
        raise ValueError(f"faults=False and also={also!r} cannot both be meant: leave one of them out")
    return NoLeaks(calls=calls, faults=None if faults is None else bool(faults), also=more)


def _faults(also: object) -> tuple[Fault, ...]:
    if not isinstance(also, (list, tuple)) or not all(isinstance(each, Fault) for each in also):
        raise TypeError(
            f"also must be a list of faults such as [ralph.faults.Malformed('html')], got {also!r}"
        )
    played = list(_TROUBLE.values())
    for each in also:
        if each in played:
            raise ValueError(f"also has {each!r}, which is played anyway")
        played.append(each)
    return tuple(also)


def _name(fault: Fault) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", repr(fault).lower()).strip("-")


def _scenarios(spec: NoLeaks) -> tuple[Scenario, ...]:
    course = Again(calls=spec.calls)
    healthy = Scenario(id=f"{spec.calls}-calls", course=course)
    trouble = {**(_TROUBLE if spec.faults else {}), **{_name(each): each for each in spec.also}}
    # Each is played once: what the code turns to in trouble is not what leaks.
    broken = tuple(
        Scenario(id=f"{spec.calls}-calls-{name}", fault=fault, course=course, detours=False)
        for name, fault in trouble.items()
    )
    return (healthy, *broken)


def _grown(spans: Sequence[Span], kind: str) -> Sequence[Opened]:
    """What is open in the end and was not before, if that has grown in all spans."""

    def opened(count: Counted) -> tuple[Opened, ...]:
        found: tuple[Opened, ...] = getattr(count, kind)
        return found

    if any(len(opened(span.after)) - len(opened(span.before)) < span.least for span in spans):
        return ()
    left = Counter(opened(spans[-1].after))
    left.subtract(opened(spans[0].before))
    return list(left.elements())


def _kept(spans: Sequence[Span]) -> Sequence[Kept]:
    """The collections of the user's modules that have become longer in all spans."""

    def lengths(count: Counted) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for each in count.kept:
            found[each.name] += each.more
        return found

    grown = {each.name: each for each in spans[-1].after.kept}
    for span in spans:
        before, after = lengths(span.before), lengths(span.after)
        grown = {
            name: each for name, each in grown.items() if after[name] - before.get(name, 0) >= span.least
        }
    first, last = lengths(spans[0].before), lengths(spans[-1].after)
    return [replace(each, more=last[name] - first.get(name, 0)) for name, each in grown.items()]


def _calls(spans: Sequence[Span]) -> str:
    return times(sum(span.calls for span in spans), "call")


_TOO_FEW = "the calls were not made as often as they have to be"


def _judge(kind: str) -> Callable[[NoLeaks, Play], Verdict | None]:
    def judge(spec: NoLeaks, play: Play) -> Verdict | None:
        spans = _spans(play.timeline)
        if len(spans) < 2:
            return untested(_TOO_FEW, play.timeline)
        left = _grown(spans, kind)
        if not left:
            return PASSED
        names = ", ".join(dict.fromkeys(each.name for each in left))
        more = names if len(names) <= 200 else f"{names[:200]}..."
        line = next((each.location for each in left if each.location is not None), None)
        observed = f"{len(left)} more after {_calls(spans)}: {more}"
        return failed(f"no more {kind} open after {_calls(spans)} than before", observed, line, play.timeline)

    return judge


def _memory(spec: NoLeaks, play: Play) -> Verdict | None:
    """No line of the code holds more and more."""
    spans = _spans(play.timeline)
    if len(spans) < 2:
        return untested(_TOO_FEW, play.timeline)
    other = _left_open(spans)
    if other is not None:
        return untested(f"what is left open takes memory as well: see {other}", play.timeline)
    kept = _kept(spans)
    names = ", ".join(each.name for each in kept)
    usual, close = ([span for span in spans if span.after.closely is closely] for closely in (False, True))
    confirmed = usual[-_CONFIRMED:]
    if close and (grown := _led(_growing(confirmed), close[-1])):
        most = max(grown, key=lambda each: each.size)
        blocks = times(most.count, "block") if most.count > 0 else "blocks that get larger"
        where = f" and kept in {names}" if kept else ""
        observed = (
            f"{amount(most.size)} more in {blocks} after {_calls(confirmed)}, allocated in this line{where}"
        )
        return _more_memory(observed, confirmed, most.location, play)
    if kept:
        longest = max(kept, key=lambda each: each.more)
        observed = f"{times(longest.more, 'element')} more after {_calls(spans)} in {names}"
        return _more_memory(observed, spans, longest.location, play)
    return PASSED


def _more_memory(observed: str, spans: Sequence[Span], location: Location | None, play: Play) -> Verdict:
    return failed(f"no more memory held after {_calls(spans)} than before", observed, location, play.timeline)


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
    tightened={"faults": "higher", "also": "more"},
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
