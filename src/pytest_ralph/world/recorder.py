"""Writes the timeline: stamps events with virtual time, and ends calls that never would end."""

from __future__ import annotations

import os
from typing import Any

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.timeline import Abandoned, Answered, CutShort, Event, Stuck, Timeline
from pytest_ralph.world.breakout import Breakout
from pytest_ralph.world.clock import Clock

MAX_EVENTS = 5_000
MAX_SECONDS = 7 * 24 * 3600.0


class EndedByWorld(BaseException):
    """Raised in the code under test when a call goes on and on.

    It derives from BaseException so that the code under test does not take it for a failure to handle.
    """


class Recorder:
    """Appends events to the timeline of the play that is going on.

    Args:
        clock: Where times come from.
        locator: Where lines come from.
        max_attempts: How many attempts a call may make without a success before it is taken to go on for
            ever.
    """

    def __init__(self, clock: Clock, locator: Locator, *, max_attempts: int = 50) -> None:
        self._clock = clock
        self._locator = locator
        self._events: list[Event] = []
        self._start = clock.now
        self._max_attempts = max_attempts
        self._limit: str | None = None
        self._before = (0, 0, clock.now)
        self._torn = False
        self._breakout = Breakout(locator.is_user, _calls_the_body)
        self.attempt = 0

    @property
    def timeline(self) -> Timeline:
        """What was recorded since the last `restart`."""
        return Timeline(tuple(self._events))

    def restart(self) -> None:
        """Begin a new timeline at the present moment."""
        self._events.clear()
        self._start = self._clock.now
        self.attempt = 0
        self.call_begins()

    def call_begins(self) -> None:
        """The test body is about to be called: it gets all of what a call may use."""
        self._limit = None
        self._torn = False
        self._before = (self.attempt, len(self._events), self._clock.now)

    def call_is_over(self) -> None:
        """The call has come back, of its own accord or not."""
        self._breakout.reset()

    def seconds(self, moment: int) -> float:
        """A moment as seconds on the timeline."""
        return round((moment - self._start) / 1e9, 6)

    def add(self, kind: type[Event], *, at: int | None = None, **fields: Any) -> None:
        """Append an event, now or at the moment given."""
        if kind is Abandoned and self._torn:
            return  # the client would have waited on: it was the world that ended the call
        self._torn = self._torn or kind in (Stuck, CutShort)
        if kind is Answered and fields["status"] < 400:
            self._before = (self.attempt, *self._before[1:])
        moment = self._clock.now if at is None else at
        self._events.append(kind(at=self.seconds(moment), **fields))

    def here(self) -> Location | None:
        """The user's line that led here."""
        return self._locator.here()

    def site(self) -> tuple[tuple[str, int], ...]:
        """Every line of the user's that led here."""
        return self._locator.site()

    def next_attempt(self) -> int:
        """Number a new attempt."""
        self.attempt += 1
        return self.attempt

    def check(self) -> None:
        """End the call if it has gone on for too long.

        Raises:
            EndedByWorld: It has.
        """
        if self._limit is None:
            self._limit = self._exceeded()
            if self._limit:
                self.add(CutShort, limit=self._limit, location=self.here())
        if self._limit:
            self._breakout.throw(EndedByWorld(self._limit))

    def _exceeded(self) -> str | None:
        attempts, events, began = self._before
        if self.attempt - attempts > self._max_attempts:
            return f"more than {self._max_attempts} attempts without success"
        if len(self._events) - events > MAX_EVENTS:
            return f"more than {MAX_EVENTS} waits and messages"
        if self._clock.now - began > MAX_SECONDS * 1e9:
            return "more than 7 days of virtual time"
        return None


def _calls_the_body(filename: str) -> bool:
    """Whether a file is one of pytest's, through which the test body is called."""
    return f"{os.sep}_pytest{os.sep}" in filename
