"""Writes the timeline: stamps events with virtual time, and ends calls that never would end."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.timeline import (
    Abandoned,
    Answered,
    CutShort,
    Event,
    Logged,
    Mocked,
    Requested,
    Returned,
    Stuck,
    Timeline,
    Written,
)
from pytest_ralph.world.breakout import Breakout
from pytest_ralph.world.clock import Clock
from pytest_ralph.world.endings import EndedByWorld

MAX_EVENTS = 5_000
MAX_SECONDS = 7 * 24 * 3600.0


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
        self._uneventful = 0
        self._lines = 0
        self._most_lines: int | None = None
        self._told: Callable[[], None] | None = None
        self.calls = 0
        self._breakout = Breakout(locator.is_user, _calls_the_body)
        self.attempt = 0

    @property
    def timeline(self) -> Timeline:
        """What was recorded since the last `restart`."""
        return Timeline(tuple(self._events))

    @property
    def events(self) -> Sequence[Event]:
        """The same, to be looked at only."""
        return self._events

    def restart(self, *, align: bool = True) -> None:
        """Begin a new timeline.

        Args:
            align: Whether to begin it at the usual part of a second, or else at this very moment.
        """
        self._events.clear()
        if align:
            self._clock.align()
        self._start = self._clock.now
        self.attempt = 0
        self.call_begins()

    def call_begins(self) -> None:
        """The test body is about to be called: it gets all of what a call may use."""
        self.calls += 1
        self._begin()

    def _begin(self) -> None:
        self._limit = None
        self._torn = False
        self._uneventful = 0
        self._before = (self.attempt, len(self._events), self._clock.now)

    def call_is_over(self) -> None:
        """The call has come back, of its own accord or not."""
        self._breakout.reset()

    @property
    def moment(self) -> int:
        """The present moment, in virtual nanoseconds."""
        return self._clock.now

    @property
    def date(self) -> float:
        """The date, in virtual seconds since 1970."""
        return self._clock.wall / 1e9

    def seconds(self, moment: int) -> float:
        """A moment as seconds on the timeline."""
        return round((moment - self._start) / 1e9, 6)

    def add(self, kind: type[Event], *, at: int | None = None, **fields: Any) -> None:
        """Append an event, now or at the moment given."""
        if kind is Abandoned and self._torn:
            return  # the client would have waited on: it was the world that ended the call
        self._torn = self._torn or kind in (Stuck, CutShort)
        if kind in (Answered, Mocked, Returned) and (fields.get("status") or 200) < 400:
            self._before = (self.attempt, *self._before[1:])
        if kind is Requested and self._told is not None:
            self._told()
        if kind in (Logged, Written):
            self._lines += 1
            self._uneventful -= 1  # whoever writes much still comes to an end
        moment = self._clock.now if at is None else at
        self._events.append(kind(at=self.seconds(moment), **fields))

    @contextmanager
    def telling(self, told: Callable[[], None]) -> Generator[None]:
        """A block in which somebody is told of each request just before it is recorded."""
        self._told = told
        try:
            yield
        finally:
            self._told = None

    def bookmark(self) -> Callable[[], None]:
        """What forgets all that is recorded from now on, in this play, in a list of its own until then."""
        before, self._events = self._events, []
        self._begin()

        def forget() -> None:
            self._events = before
            self._begin()

        return forget

    @contextmanager
    def sparing(self, lines: int) -> Generator[None]:
        """A block in which not all is recorded that is logged and printed.

        What it takes to remember that is not the user's, where time or memory is measured.

        Args:
            lines: How many lines are recorded.
        """
        before = self._lines, self._most_lines
        self._lines, self._most_lines = 0, lines
        try:
            yield
        finally:
            self._lines, self._most_lines = before

    def has_room(self) -> bool:
        """Whether one more line that is logged or printed is recorded."""
        return self._most_lines is None or self._lines < self._most_lines

    def here(self) -> Location | None:
        """The user's line that led here."""
        return self._locator.here()

    def at(self, filename: str, line: int, function: str) -> Location | None:
        """A line that is known otherwise, if it is the user's."""
        return self._locator.pick([(filename, line, function)])

    def place(self) -> tuple[Location | None, tuple[tuple[str, int], ...]]:
        """The user's line that led here, and every line of the user's that did, innermost first."""
        return self._locator.place()

    def is_user(self, filename: str) -> bool:
        """Whether a file holds the user's code or tests."""
        return self._locator.is_user(filename)

    def relative(self, path: str) -> str | None:
        """A path as it is named in a report, or None if it lies outside of the root folder."""
        return self._locator.relative(path)

    def next_attempt(self) -> int:
        """Number a new attempt."""
        self.attempt += 1
        return self.attempt

    def check(self) -> None:
        """End the call if it has gone on for too long.

        Raises:
            EndedByWorld: It has.
        """
        if self.is_over():
            self._breakout.throw(EndedByWorld(self._limit))

    def waits(self) -> None:
        """An event loop waited: that makes no event, but it may go on for too long as well."""
        self._uneventful += 1
        self.is_over()

    def tear(self) -> None:
        """What the call waited for was ended by the world: it must not begin anything new."""
        self._limit = "a wait without an end"

    def expired(self) -> BaseException | None:
        """What the call is to be ended with, if it has gone on for too long."""
        return EndedByWorld(self._limit) if self._limit else None

    def is_over(self) -> bool:
        """Whether the call has gone on for too long."""
        if self._limit is None:
            self._limit = self._exceeded()
            if self._limit:
                self.add(CutShort, limit=self._limit, location=self.here())
        return self._limit is not None

    def _exceeded(self) -> str | None:
        attempts, events, began = self._before
        if self.attempt - attempts > self._max_attempts:
            return f"more than {self._max_attempts} attempts without success"
        if len(self._events) + self._uneventful - events > MAX_EVENTS:
            return f"more than {MAX_EVENTS} waits and messages"
        if self._clock.now - began > MAX_SECONDS * 1e9:
            return "more than 7 days of virtual time"
        return None


def _calls_the_body(filename: str) -> bool:
    """Whether a file is one of pytest's, through which the test body is called."""
    return f"{os.sep}_pytest{os.sep}" in filename
