"""Skill ``timeout``: the code never waits longer than it was told to.

A hung answer, a host that never answers a connect and, where a total is asked for, an answer that comes in
drops are played. What is measured is when the client itself gave up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.attempts import Attempt, attempts
from pytest_ralph.core.quantity import duration, seconds
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import PHASE, CallEnded, CallStarted, CutShort, GaveUp, Stuck
from pytest_ralph.faults import Dribble, Hang, Refuse, Status, Unreachable
from pytest_ralph.marker import Decorator, attach, check_scenarios

# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01

HANG = Scenario(id="hang", fault=Hang())
HANG_IN_BODY = Scenario(id="hang-in-body", fault=Hang(after_headers=True))
UNREACHABLE = Scenario(id="unreachable", fault=Unreachable())


# Above so many seconds aiohttp rounds up; timers of event loops are exact to a millisecond.
_ROUNDED_FROM = 5.0
_ROUNDING = 0.005

# Failures that come at once: only how long the retries go on can break a total.
_QUICK_FAILURES = (Scenario(id="status-503", fault=Status(503)), Scenario(id="refused", fault=Refuse()))


@dataclass(frozen=True, kw_only=True)
class Timeout:
    """The validated arguments of ``ralph.timeout``."""

    seconds: float
    total: float | None = None
    tolerance: float = 0.05
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"seconds": self.seconds, "total": self.total, "tolerance": self.tolerance}

    def is_right(self, waited: float, ended: float) -> bool:
        """Whether an attempt was given up at the right time."""
        return waited >= self.seconds * (1 - self.tolerance) and not self.is_late(waited, ended)

    def is_late(self, waited: float, ended: float) -> bool:
        """Whether an attempt was given up too late.

        A client that rounds its timers up to full seconds, as aiohttp does with those above 5 s
        (``ClientTimeout.ceil_threshold``), is not: it ends its waits at a full second only.
        """
        if waited <= self.seconds * (1 + self.tolerance):
            return False
        at_full_second = (ended + PHASE + _ROUNDING) % 1 < 2 * _ROUNDING
        rounded_up = waited <= self.seconds + 1 + _ROUNDING and self.seconds > _ROUNDED_FROM
        return not (rounded_up and at_full_second)


def timeout(
    seconds: float | str,
    *,
    total: float | str | None = None,
    tolerance: float = 0.05,
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that every wait for a service is limited, and by how much.

    Args:
        seconds: After how long an attempt is given up: seconds, or text such as ``"500 ms"``.
        total: Within how long the whole call ends, retries included, in seconds or as text such as
            ``"1 min"``; not judged without it.
        tolerance: Allowed deviation from ``seconds``, as a fraction of it from 0 up to 1.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.timeout(10, total="1 min")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    return attach("timeout", lambda: _spec(seconds, total, tolerance, scenarios))  # type: ignore[no-any-return]


def _spec(limit: object, total: object, tolerance: object, scenarios: str) -> Timeout:
    if callable(limit):
        raise TypeError("needs the number of seconds: write @ralph.timeout(10)")
    each = seconds(limit, name="seconds", exclusive=True)
    overall = None if total is None else seconds(total, name="total", exclusive=True)
    if overall is not None and overall < each:
        raise ValueError(
            f"total must not be less than seconds ({duration(each)}), got {total!r}: the first attempt alone "
            "may take that long"
        )
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be a fraction from 0 up to 1, such as 0.05, got {tolerance!r}")
    check_scenarios(scenarios)
    return Timeout(seconds=each, total=overall, tolerance=float(tolerance), scenarios=scenarios)


def _dribble(spec: Timeout) -> Scenario:
    assert spec.total is not None
    fault = Dribble(interval=spec.seconds / 2, at_least=spec.total * 2)
    name = f"dribble-{duration(spec.seconds / 2)}-for-{duration(spec.total * 2)}".replace(" ", "")
    return Scenario(id=name, fault=fault)


def _gives_up(spec: Timeout, play: Play) -> Verdict | None:
    """Each attempt whose answer hangs is given up after exactly the timeout."""
    expected = f"each attempt is given up after {duration(spec.seconds)}"
    hung = [attempt for attempt in attempts(play.timeline) if attempt.method and _ran_out(attempt)]
    for attempt in hung:
        waited = _waited(attempt)
        if not spec.is_right(waited, attempt.ended or attempt.started):
            return failed(expected, f"given up after {duration(waited)}", attempt.location, play.timeline)
    return PASSED if hung else None


def _ran_out(attempt: Attempt) -> bool:
    """Whether the client gave up waiting for the answer."""
    return attempt.outcome == "abandoned" or (
        attempt.gave_up is not None and attempt.gave_up.phase != "connect"
    )


def _waited(attempt: Attempt) -> float:
    """Seconds from sending the request to giving up."""
    return (attempt.ended or attempt.started) - attempt.started


def _connects_in_time(spec: Timeout, play: Play) -> Verdict | None:
    """Connecting to a host that never answers is given up within the timeout."""
    expected = f"connecting is given up within {duration(spec.seconds)}"
    tries = [event for event in play.timeline.of(GaveUp) if event.phase == "connect"]
    late = next((event for event in tries if spec.is_late(event.after, event.at)), None)
    if late:
        return failed(expected, f"given up after {duration(late.after)}", late.location, play.timeline)
    return PASSED if tries else None


def _total_deadline(spec: Timeout, play: Play) -> Verdict | None:
    """The whole call ends within the total."""
    assert spec.total is not None
    starts, ends = play.timeline.of(CallStarted), play.timeline.of(CallEnded)
    if not starts or not ends:
        return untested("the call was not seen from beginning to end")
    endless = play.timeline.of(Stuck, CutShort)
    took = ends[-1].at - starts[-1].at
    expected = f"the call ends within {duration(spec.total)}"
    made = attempts(play.timeline)
    longest = max(made, key=lambda each: (each.ended or ends[-1].at) - each.started, default=None)
    location = longest.location if longest else ends[-1].location
    if endless:
        return failed(expected, "it never ends", location or endless[0].location, play.timeline)
    if took > spec.total + _SLACK:
        return failed(expected, f"it took {duration(took)}", location, play.timeline)
    return PASSED


def _waits_forever(spec: Timeout, play: Play) -> Verdict | None:
    """No wait is without an end."""
    first = next((each.location for each in attempts(play.timeline) if each.location), None)
    for stuck in play.timeline.of(Stuck):
        what = f"waits for ever ({stuck.phase}): no timeout is set"
        return failed("every wait ends", what, stuck.location or first, play.timeline)
    for cut in play.timeline.of(CutShort):
        what = f"goes on for ever: {cut.limit}"
        return failed("the call ends", what, cut.location or first, play.timeline)
    left = next((each for each in attempts(play.timeline) if each.outcome == "pending"), None)
    if left is not None:
        return untested(f"{left.name} was still waited for elsewhere when the call had ended", play.timeline)
    return PASSED


SKILL = Skill(
    id="timeout",
    tightened={"seconds": "lower", "total": "lower", "tolerance": "lower"},
    marker="timeout",
    title="limits every wait for a service",
    phase="resilience",
    keep=lambda _: "which errors are retried, how often and with which waits",
    criteria=(
        Criterion(
            id="gives-up",
            kind="pass",
            text=lambda spec: f"a hung answer is given up after exactly {duration(spec.seconds)}",
            scenarios=lambda _: (HANG, HANG_IN_BODY),
            judge=_gives_up,
            untested="no attempt was given up: see waits-forever, or the answer was never waited for",
            fix=lambda spec: (
                f"Set the client's read timeout to {duration(spec.seconds)} explicitly where the request is "
                "made; do not rely on the library's default"
            ),
        ),
        Criterion(
            id="connects-in-time",
            kind="pass",
            text=lambda spec: f"connecting to a host that never answers ends within {duration(spec.seconds)}",
            scenarios=lambda _: (UNREACHABLE,),
            judge=_connects_in_time,
            untested="no connect was given up",
            fix=lambda spec: (
                f"Set the client's connect timeout to at most {duration(spec.seconds)} explicitly"
            ),
        ),
        Criterion(
            id="total-deadline",
            kind="pass",
            text=lambda spec: f"the whole call ends within {duration(spec.total)}, retries included",
            scenarios=lambda spec: (HANG, HANG_IN_BODY, UNREACHABLE, *_QUICK_FAILURES, _dribble(spec)),
            judge=_total_deadline,
            applies=lambda spec: spec.total is not None,
            fix=lambda spec: (
                f"Give the call a deadline of {duration(spec.total)}: fix the moment it must end when it "
                "begins, check it before each retry and each wait, and read the answer in small pieces while "
                "checking it, because a read timeout starts anew with every byte (iter_content(1) or read1; "
                "a larger block waits until it is full)"
            ),
        ),
        Criterion(
            id="waits-forever",
            kind="fail",
            text=lambda _: "a wait without any limit",
            scenarios=lambda spec: (
                HANG,
                HANG_IN_BODY,
                UNREACHABLE,
                *(() if spec.total is None else (*_QUICK_FAILURES, _dribble(spec))),
            ),
            judge=_waits_forever,
            timing=False,
            fix=lambda spec: (
                f"Pass an explicit timeout of {duration(spec.seconds)} where the request is made"
            ),
        ),
    ),
)
