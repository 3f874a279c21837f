"""How the calls of a play ended, as whoever watches the program in production would see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_ralph.core.attempts import Attempt, attempts
from pytest_ralph.core.location import Location
from pytest_ralph.core.timeline import CallEnded, CallStarted, FaultMet, Timeline

SUCCESS = "success"
FAILURE = "failure"
OUTCOMES = (SUCCESS, FAILURE)

# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the test body.

    Attributes:
        index: Which call, from 0.
        timeline: What happened in it.
        end: How it ended.
        attempts: The attempts at requests that it made.
    """

    index: int
    timeline: Timeline
    end: CallEnded
    attempts: Sequence[Attempt] = field(default=())

    @property
    def outcome(self) -> str:
        """``success`` or ``failure``.

        A call failed if it raised, or if the last thing that a service did for it failed: code that handles
        an exception and returns has failed as well, one that turned to another service has not.
        """
        return FAILURE if self.end.error is not None or self.handled else SUCCESS

    @property
    def handled(self) -> bool:
        """Whether it came back although a fault made the last attempt fail."""
        met = bool(self.timeline.of(FaultMet))
        return met and self.end.error is None and bool(self.attempts) and self.attempts[-1].failed

    @property
    def troubled(self) -> bool:
        """Whether any attempt failed, or the call itself."""
        return self.end.error is not None or any(each.failed for each in self.attempts)

    @property
    def broke(self) -> bool:
        """Whether any attempt failed without an answer, and so with an exception of the client's."""
        return any(each.failed and each.outcome != "answered" for each in self.attempts)

    @property
    def seconds(self) -> float:
        """How long it took, in virtual seconds."""
        starts = self.timeline.of(CallStarted)
        return self.end.at - starts[0].at if starts else 0.0

    def took(self, limit: float) -> bool:
        """Whether an attempt that succeeded took longer than so many virtual seconds."""
        return any(
            not each.failed and each.ended is not None and each.ended - each.started > limit + _SLACK
            for each in self.attempts
        )

    @property
    def location(self) -> Location | None:
        """The user's line that makes the requests, or that it ended at."""
        made = next((each.location for each in self.attempts if each.location), None)
        return made or self.end.location


def calls(timeline: Timeline) -> list[Call]:
    """The calls of a play, in order; calls at once are not told apart, and are left out."""
    by_call: dict[int, list[Attempt]] = {}
    for attempt in attempts(timeline):
        by_call.setdefault(attempt.call, []).append(attempt)
    started = [event for event in timeline.of(CallStarted) if event.callers == 1]
    ends = {event.index: event for event in timeline.of(CallEnded)}
    return [
        Call(
            index=event.index,
            timeline=timeline.call(event.index),
            end=ends[event.index],
            attempts=tuple(by_call.get(event.index, ())),
        )
        for event in started
        if event.index in ends
    ]
