"""Skill ``scales``: what a call costs grows no faster with the amount of data than it may.

The body is called with several sizes, as its argument ``n``. What is judged is the slope of processor time
over size, both in logarithms, which a busy machine does not change; and, where that is asked for, that of the
memory in use at a time, and the number of requests, which is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.quantity import amount, duration
from pytest_ralph.core.scenario import Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, Died, Measured, Profiled
from pytest_ralph.marker import Decorator, attach

GROWTHS: Mapping[str, Callable[[float], float]] = {
    "1": lambda _: 1.0,
    "log n": lambda n: math.log(n) + 1,
    "n": lambda n: n,
    "n log n": lambda n: n * (math.log(n) + 1),
    "n^2": lambda n: n**2,
    "n^3": lambda n: n**3,
}
# Slopes that were measured differ from the true one by less than 0.1, on busy machines as well.
TOLERANCE = 0.3
# By how much more than the others the first call with an amount takes where answers are kept.
_KEPT = 5
# What a call costs beside the code under test is less than a tenth of this many seconds.
FLOOR = 0.001
# Line by line a call takes up to some hundred times as long, and longer while memory is traced: calls that
# take more seconds are not looked at so.
_QUICK = 0.02
_QUICK_TRACED = 0.005
_NOT_MUCH = 4
# What the simulated world allocates in a call beside it is less than a tenth of this many bytes.
MEMORY_FLOOR = 128 * 1024


@dataclass(frozen=True, kw_only=True)
class Scales:
    """The validated arguments of ``ralph.scales``."""

    sizes: tuple[int, ...]
    at_most: str = "n log n"
    memory: str | None = None
    requests: str | None = None
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "sizes": list(self.sizes),
            "at_most": self.at_most,
            "memory": self.memory,
            "requests": self.requests,
        }

    @property
    def costs(self) -> tuple[Cost, ...]:
        """What is judged by its slope, the memory last."""
        memory = () if self.memory is None else (Cost(growth=self.memory, memory=True),)
        return (Cost(growth=self.at_most), *memory)

    @property
    def provided(self) -> Mapping[str, object]:
        """Arguments of the test that the skill provides, as they are where nothing is judged."""
        return {"n": self.sizes[0]}


def scales(
    sizes: Sequence[int], *, at_most: str = "n log n", memory: str | None = None, requests: str | None = None
) -> Decorator[Any]:
    """Require that the cost of a call grows no faster with the amount of data than it may.

    The test takes the amount as its argument ``n``, and makes that much data itself.

    Args:
        sizes: At least three amounts, in rising order, the last at least eight times the first.
        at_most: How processor time may grow: ``"1"``, ``"log n"``, ``"n"``, ``"n log n"``, ``"n^2"`` or
            ``"n^3"``.
        memory: How the memory that a call has in use at a time may grow, in the same words; not judged
            without it.
        requests: How the number of requests may grow, in the same words; not judged without it.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.scales((1_000, 4_000, 16_000), at_most="n log n")
        ... def test_sorting(n):
        ...     assert sorted(range(n, 0, -1))[0] == 1
    """
    __tracebackhide__ = True
    return attach("scales", lambda: _spec(sizes, at_most, memory, requests))  # type: ignore[no-any-return]


def _spec(sizes: object, at_most: object, memory: object, requests: object) -> Scales:
    if callable(sizes):
        raise TypeError("needs the sizes: write @ralph.scales((1_000, 4_000, 16_000))")
    wanted = "sizes must be at least three whole numbers in rising order, the last 8 times the first or more"
    if not isinstance(sizes, (tuple, list)) or any(type(size) is not int or size < 1 for size in sizes):
        raise TypeError(f"{wanted}, got {sizes!r}")
    rising = all(before < after for before, after in zip(sizes, sizes[1:], strict=False))
    if len(sizes) < 3 or not rising or sizes[-1] < 8 * sizes[0]:
        raise ValueError(f"{wanted}, got {sizes!r}")
    for name, value in (("at_most", at_most), ("memory", memory), ("requests", requests)):
        if value not in tuple(GROWTHS) and (value is not None or name == "at_most"):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, GROWTHS))}, got {value!r}")
    return Scales(
        sizes=tuple(sizes),
        at_most=str(at_most),
        memory=None if memory is None else str(memory),
        requests=None if requests is None else str(requests),
    )


def _played(spec: Scales) -> tuple[Scenario, ...]:
    costs = spec.costs
    growths = "-".join(f"{'memory' if cost.memory else 'time'}-{cost.growth}" for cost in costs)
    name = f"sizes-{'-'.join(map(str, spec.sizes))}-{growths.replace(' ', '-').replace('^', '')}"
    course = Sizes(sizes=spec.sizes, costs=costs)
    return (Scenario(id=name, course=course, isolated=True, realtime=True),)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a straight line through points, both coordinates in logarithms, by least squares.

    Example:
        >>> round(slope([(1, 3), (10, 300), (100, 30_000)]), 6)
        2.0
    """
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle = sum(x for x, _ in logs) / len(logs), sum(y for _, y in logs) / len(logs)
    spread = sum((x - middle[0]) ** 2 for x, _ in logs)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in logs) / spread


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Something that calls with more data cost more of: processor time, or memory.

    Attributes:
        growth: How it may grow.
        memory: Whether it is memory.
    """

    growth: str
    memory: bool = False

    @property
    def name(self) -> str:
        """What it is."""
        return "memory" if self.memory else "processor time"

    @property
    def floor(self) -> float:
        """Amounts below this say nothing."""
        return MEMORY_FLOOR if self.memory else FLOOR

    def of(self, each: Measured) -> float:
        """How much of it a call took."""
        return each.memory if self.memory else each.seconds

    def shown(self, found: Sequence[Measured]) -> str:
        """How much calls took, as text."""
        text: Callable[[float], str] = amount if self.memory else duration
        return ", ".join(f"{text(self.of(each))} for {each.n}" for each in found)

    def tells(self, found: Sequence[Measured]) -> bool:
        """Whether enough of the calls took enough of it to tell how it grows."""
        costly = self._costly(found)
        return bool(costly) and costly[-1].n >= 4 * costly[0].n

    def is_flat(self, found: Sequence[Measured]) -> bool:
        """Whether so little memory is added that not even a byte can be held of each element."""
        amounts = [self.of(each) for each in found]
        return self.memory and max(amounts) - amounts[0] < found[-1].n - found[0].n

    def slope(self, found: Sequence[Measured]) -> float:
        """By which power it grows, at least; 0 if no call took enough of it to tell."""
        if not self._costly(found):
            return 0.0
        return slope([(each.n, max(self.of(each), self.floor)) for each in self._points(found)])

    def allowed(self, found: Sequence[Measured]) -> float:
        """By which power it may grow."""
        growth = GROWTHS[self.growth]
        return slope([(each.n, growth(each.n)) for each in self._points(found)]) + TOLERANCE

    def _costly(self, found: Sequence[Measured]) -> Sequence[Measured]:
        return [each for each in found if self.of(each) >= self.floor]

    def _points(self, found: Sequence[Measured]) -> Sequence[Measured]:
        # What took none took less than can be told: as if it had taken that much, the growth is at least so.
        return self._costly(found) if self.tells(found) else found


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The course: the body is measured with one size after another, and no further than it succeeds.

    Attributes:
        sizes: The sizes.
        costs: What is judged. Where it grows too fast, the line that takes most of it is looked for.
    """

    sizes: tuple[int, ...]
    costs: tuple[Cost, ...]

    def play(self, stage: Stage) -> None:
        """Measure."""
        memory = any(cost.memory for cost in self.costs)
        for size in self.sizes:
            if stage.measure({"n": size}, size, memory=memory).error:
                return
        found = stage.timeline.of(Measured)
        for cost in self.costs:
            quick = _quick(found, _QUICK_TRACED if cost.memory else _QUICK)
            if quick and cost.slope(found) > cost.allowed(found):
                stage.profile({"n": quick}, quick, memory=cost.memory)


def _quick(found: Sequence[Measured], seconds: float) -> int:
    """The largest size that takes no longer, or else the smallest if it takes not much longer; 0 for none."""
    smallest = [each.n for each in found[:1] if each.seconds <= _NOT_MUCH * seconds]
    return max([each.n for each in found if each.seconds <= seconds] or smallest, default=0)


def _grows(cost: Callable[[Scales], Cost]) -> Callable[[Scales, Play], Verdict | None]:
    return lambda spec, play: _growth(cost(spec), spec, play)


def _growth(cost: Cost, spec: Scales, play: Play) -> Verdict | None:
    """What calls cost grows as it may."""
    found = play.timeline.of(Measured)
    if len(found) < len(spec.sizes):
        return untested("not every size could be measured: see handles-largest", play.timeline)
    measured, allowed, shown = cost.slope(found), cost.allowed(found), cost.shown(found)
    if measured > allowed:
        most = [each for each in play.timeline.of(Profiled) if each.memory == cost.memory and each.location]
        where = f"; {most[0].share:.0%} of it for {most[0].n} in {most[0].location}" if most else ""
        # The two must not look alike.
        differ = (places for places in range(1, 9) if round(measured, places) > round(allowed, places))
        digits = next(differ, 9)
        return failed(
            f"{cost.name} grows as {cost.growth}: by a power of at most {allowed:.{digits}f}",
            f"it grows by a power of {measured:.{digits}f}: {shown}{where}",
            most[0].location if most else None,
            play.timeline,
        )
    if (kept := _kept(found)) is not None:
        return kept
    if not cost.tells(found) and not cost.is_flat(found):
        return untested(
            f"too few of the calls take enough {cost.name} to tell ({shown}): use larger sizes", play.timeline
        )
    return PASSED


def _kept(found: Sequence[Measured]) -> Verdict | None:
    """Why calls say nothing if answers are kept from earlier ones; None if they are not."""
    if not all(each.first >= max(FLOOR, _KEPT * each.seconds) for each in found[-2:]):
        return None
    most = found[-1]
    return untested(
        f"the first call with {most.n} took {duration(most.first)} of processor time, and the same again "
        f"{duration(most.seconds)}: answers that are kept from earlier calls hide what one costs. Let every "
        "call of the test ask for something else, or clear what is kept in the test"
    )


def _requests(spec: Scales, play: Play) -> Verdict | None:
    """The number of requests grows as it may."""
    assert spec.requests is not None
    found = play.timeline.of(Measured)
    if len(found) < len(spec.sizes):
        return untested("not every size could be counted: see handles-largest", play.timeline)
    if not any(each.requests for each in found):
        return untested("the call made no request to a declared service", play.timeline)
    growth, first = GROWTHS[spec.requests], found[0]
    for each in found[1:]:
        allowed = math.ceil(first.requests * growth(each.n) / growth(first.n))
        if each.requests > allowed:
            return failed(
                f"requests grow as {spec.requests}: at most {allowed} for {each.n}",
                ", ".join(f"{one.requests} for {one.n}" for one in found),
                each.location,
                play.timeline,
            )
    return PASSED


def _handles_largest(spec: Scales, play: Play) -> Verdict | None:
    """The call succeeds with every size."""
    expected = f"the call succeeds with {spec.sizes[-1]}"
    for died in play.timeline.of(Died):
        return failed(expected, died.text(), died.location, play.timeline)
    for end in play.timeline.of(CallEnded):
        if end.error and end.error.startswith("RecursionError"):
            return untested("the recursion limit was reached before: see recursion-limit", play.timeline)
        if end.error:
            return failed(expected, f"it raised {end.error}", end.location, play.timeline)
    return PASSED if len(play.timeline.of(Measured)) == len(spec.sizes) else untested("not measured")


def _recursion_limit(spec: Scales, play: Play) -> Verdict | None:
    """No size reaches the recursion limit, nor would it if that had not been raised."""
    found, expected = play.timeline.of(Measured), "no recursion as deep as the data"
    for end in play.timeline.of(CallEnded):
        if end.error and end.error.startswith("RecursionError"):
            reached = f"after {found[-1].n} went well" if found else "with the smallest size"
            return failed(expected, f"{end.error}, {reached}", end.location, play.timeline)
    if not found:
        return untested("not measured", play.timeline)
    counted = [each for each in found if each.depth]
    if len(counted) > 1 and counted[-1].depth - counted[0].depth >= (counted[-1].n - counted[0].n) / 2:
        depths = ", ".join(f"{each.depth} for {each.n}" for each in counted)
        raised = f"the limit was raised to {counted[-1].limit}, and functions are nested: {depths}"
        return failed(expected, raised, counted[-1].deepest, play.timeline)
    return PASSED


SKILL = Skill(
    id="scales",
    marker="scales",
    title="costs grow no faster than they may",
    phase="resources",
    healthy=False,
    keep=lambda _: "what the call returns",
    criteria=(
        Criterion(
            id="growth",
            kind="pass",
            text=lambda spec: f"processor time grows with n as {spec.at_most}",
            scenarios=_played,
            judge=_grows(lambda spec: spec.costs[0]),
            timing=False,
            outlives=True,
            fix=lambda spec: (
                f"Make the cost grow as {spec.at_most}: look things up in a dict or set rather than a list, "
                "sort once, and do not copy or scan all that there is for each element"
            ),
        ),
        Criterion(
            id="handles-largest",
            kind="pass",
            text=lambda spec: f"succeeds with n = {spec.sizes[-1]}",
            scenarios=_played,
            judge=_handles_largest,
            timing=False,
            outlives=True,
            fix=lambda spec: f"Make the call succeed with {spec.sizes[-1]}, in pieces if need be",
        ),
        Criterion(
            id="memory",
            kind="pass",
            text=lambda spec: f"memory in use grows with n as {spec.memory}",
            scenarios=_played,
            judge=_grows(lambda spec: spec.costs[-1]),
            timing=False,
            outlives=True,
            applies=lambda spec: spec.memory is not None,
            fix=lambda spec: (
                f"Make the memory in use at a time grow as {spec.memory}: read, transform and write in "
                "pieces, and keep no second copy of what there is, nor anything for each pair of elements"
            ),
        ),
        Criterion(
            id="requests",
            kind="pass",
            text=lambda spec: f"the number of requests grows with n as {spec.requests}",
            scenarios=_played,
            judge=_requests,
            timing=False,
            applies=lambda spec: spec.requests is not None,
            fix=lambda _: "Ask for many things in one request rather than for each in a request of its own",
        ),
        Criterion(
            id="recursion-limit",
            kind="fail",
            text=lambda _: "recursion as deep as the data is long",
            scenarios=_played,
            judge=_recursion_limit,
            timing=False,
            fix=lambda _: "Replace the recursion by a loop with a stack or queue of its own",
        ),
    ),
)
