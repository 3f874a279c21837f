"""Skill ``memory_limit``: the call stays within an amount of memory, as it must in a container.

The healthy call is made in processes of its own: in one to see how much it uses, and in one that is killed,
as the kernel does it, when it uses more than the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.quantity import amount, size
from pytest_ralph.core.scenario import MemoryCap, Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, Died, MemoryUsed
from pytest_ralph.marker import Decorator, attach

MODES = ("cap", "peak")

# How far beyond the limit a call may go before it is stopped where it is only measured: far enough to say how
# much it uses, and not so far that the machine suffers.
_BEYOND = 64 * 1024**2


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """The validated arguments of ``ralph.memory_limit``."""

    limit: int
    mode: str = "cap"
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"limit": self.limit, "mode": self.mode}

    @property
    def text(self) -> str:
        """The limit for people."""
        return amount(self.limit)


def memory_limit(limit: int | str, *, mode: str = "cap") -> Decorator[Any]:
    """Require that the call, with all threads and processes it starts, stays within an amount of memory.

    What counts is memory that the call uses at a time beyond what the process had before, pytest and the
    imported modules included: memory that was touched and that the kernel cannot drop.

    Args:
        limit: The limit: a number of bytes, or text such as ``"50 MB"`` (decimal) or ``"50 MiB"`` (binary).
        mode: ``cap`` to see as well whether the call survives in a process that is killed when it uses more;
            ``peak`` only to measure.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.memory_limit("50 MB")
        ... def test_import_of_orders(): ...
    """
    __tracebackhide__ = True
    return attach("memory-limit", lambda: _spec(limit, mode))  # type: ignore[no-any-return]


def _spec(limit: object, mode: object) -> MemoryLimit:
    if callable(limit):
        raise TypeError('needs an amount of memory: write @ralph.memory_limit("50 MB")')
    if mode not in MODES:
        raise ValueError(f"mode must be 'cap' or 'peak', got {mode!r}")
    return MemoryLimit(limit=size(limit, name="limit"), mode=str(mode))


def _name(spec: MemoryLimit) -> str:
    """The limit as a part of an id: exact, for two limits must not look the same."""
    text = spec.text.replace(" ", "")
    return text if size(text, name="limit") == spec.limit else f"{spec.limit}B"


def _measured(spec: MemoryLimit) -> Scenario:
    cap = MemoryCap(limit=spec.limit, stop=spec.limit * 2 + _BEYOND)
    return Scenario(id=f"memory-{_name(spec)}", isolated=True, realtime=True, memory=cap)


def _capped(spec: MemoryLimit) -> Scenario:
    cap = MemoryCap(limit=spec.limit, stop=spec.limit, announced=True)
    return Scenario(id=f"memory-capped-{_name(spec)}", isolated=True, realtime=True, memory=cap)


def _observed(used: MemoryUsed) -> str:
    """What was used, with how that is known."""
    more = " or more" if used.killed else ""
    tool = f", says {used.tool}" if used.tool else ""
    lines = f"; most of it in {', '.join(used.holders)}{tool}" if used.holders else ""
    return f"{amount(used.peak, like=used.limit)}{more} ({used.mechanism}){lines}"


def _peak_under_limit(spec: MemoryLimit, play: Play) -> Verdict | None:
    """The most that is used at a time is not more than the limit."""
    expected = f"at most {spec.text} in use at a time"
    for used in play.timeline.of(MemoryUsed):
        if used.peak > spec.limit or used.killed:
            return failed(expected, _observed(used), used.location, play.timeline)
    for died in play.timeline.of(Died):
        return failed(expected, died.text(), died.location, play.timeline)
    for end in play.timeline.of(CallEnded):
        if end.error:
            return failed(expected, f"the call raised {end.error}", end.location, play.timeline)
    return PASSED if play.timeline.of(MemoryUsed) else untested("nothing was measured", play.timeline)


def _survives_cap(spec: MemoryLimit, play: Play) -> Verdict | None:
    """In a process that is killed beyond the limit, the call returns."""
    expected = f"the call returns in a process that may use {spec.text}"
    used = play.timeline.of(MemoryUsed)
    for died in play.timeline.of(Died):
        return failed(expected, died.text(), died.location or _line(used), play.timeline)
    for each in used:
        if each.killed == "the process":
            return failed(expected, f"killed at {_observed(each)}", each.location, play.timeline)
    for end in play.timeline.of(CallEnded):
        if end.error:
            return failed(expected, f"the call raised {end.error}", end.location, play.timeline)
    return PASSED if used else untested("nothing was measured", play.timeline)


def _oom_killed(spec: MemoryLimit, play: Play) -> Verdict | None:
    """Nothing is killed for the memory it uses."""
    used = play.timeline.of(MemoryUsed)
    for each in used:
        if each.killed:
            what = f"{each.killed} was killed at {_observed(each)}"
            return failed(
                f"nothing is killed for using more than {spec.text}", what, _line(used), play.timeline
            )
    for died in play.timeline.of(Died):
        if "SIGKILL" in died.reason:
            what = f"{died.text()}, as the kernel does it when memory runs out"
            return failed("nothing is killed for the memory it uses", what, died.location, play.timeline)
        return untested(died.text(), play.timeline)
    return PASSED if used else untested("nothing was measured", play.timeline)


def _line(used: list[MemoryUsed]) -> Any:
    return next((each.location for each in used if each.location), None)


SKILL = Skill(
    id="memory-limit",
    marker="memory_limit",
    title="stays within an amount of memory",
    phase="resources",
    healthy=False,
    tightened={"limit": "lower"},
    keep=lambda _: "what the call returns",
    criteria=(
        Criterion(
            id="peak-under-limit",
            kind="pass",
            text=lambda spec: f"never more than {spec.text} of memory in use at a time",
            scenarios=lambda spec: (_measured(spec),),
            judge=_peak_under_limit,
            timing=False,
            outlives=True,
            fix=lambda spec: (
                f"Keep what is in memory at a time below {spec.text}: read, transform and write in pieces "
                "(iterate over files, cursors and answers, use generators), and let go of each in time"
            ),
        ),
        Criterion(
            id="survives-cap",
            kind="pass",
            text=lambda spec: f"returns in a process that may use {spec.text}",
            scenarios=lambda spec: (_capped(spec),),
            judge=_survives_cap,
            timing=False,
            outlives=True,
            applies=lambda spec: spec.mode == "cap",
            fix=lambda spec: f"Make the call succeed with {spec.text} of memory",
        ),
        Criterion(
            id="oom-killed",
            kind="fail",
            text=lambda spec: f"a process is killed because more than {spec.text} is used",
            scenarios=lambda spec: (_capped(spec),),
            judge=_oom_killed,
            timing=False,
            outlives=True,
            applies=lambda spec: spec.mode == "cap",
            fix=lambda spec: (
                f"Keep what the process and all that it starts have in memory at a time below {spec.text}"
            ),
        ),
    ),
)
