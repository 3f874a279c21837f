"""The threads that wait in virtual time, in the order in which it is their turn.

Of several whose waits are over at the same moment, whoever began to wait first goes on first.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from pytest_ralph.world import real

Ready = Callable[[], object]
Outsider = Callable[[], "str | None"]

# The place before all others.
FRONT = -1


@dataclass(eq=False, kw_only=True)
class Waiter:
    """One thread in one wait.

    Attributes:
        ready: Says whether it is over.
        deadline: When it is over in any case, in virtual nanoseconds.
        place: Where it stands among the others, from the front.
        thread: Native id of the thread.
        on_network: Whether it waits for a simulated service.
        outsider: Names what it waits for outside of the simulation, if anything.
        bell: Wakes the thread for another look before its patience is at an end.
        over: Whether it is over, though the thread may not have noticed yet.
        patience: Real seconds for which nothing in sight could end it.
        really: Real nanoseconds it has lasted at this virtual moment, because of outsiders.
    """

    ready: Ready
    deadline: int | None
    place: int
    thread: int = field(default_factory=real.thread_id)
    on_network: bool = False
    outsider: Outsider | None = None
    bell: real.Bell = field(default_factory=real.Bell)
    over: bool = False
    patience: float = 0.0
    really: int = 0

    def is_due(self, now: int) -> bool:
        """Whether the wait is over, even if its thread has not noticed yet."""
        return self.over or self._is_late(now) or bool(self.ready())

    def ends_by(self, limit: int, now: int) -> bool:
        """Whether the wait is over, or is sure to be at some moment."""
        return self._is_late(limit) or self.is_due(now)

    def outcome(self, now: int) -> bool | None:
        """The same as its own thread asks: True for ready, False for late, None while it goes on."""
        if self.ready():
            return True
        return False if self._is_late(now) else None

    def _is_late(self, moment: int) -> bool:
        return self.deadline is not None and self.deadline <= moment


class Ticket:
    """The place of a thread that is about to be started: known before, and taken when it runs.

    Args:
        place: Where it will stand.
    """

    def __init__(self, place: int) -> None:
        self.place = place
        self.valid = False


class Waiters:
    """All who wait, whoever is first at the front."""

    def __init__(self) -> None:
        self._all: list[Waiter] = []
        self._places = itertools.count()

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def place(self) -> int:
        """The next place, behind all others."""
        return next(self._places)

    def add(self, waiter: Waiter) -> None:
        """Let one stand in its place."""
        insort(self._all, waiter, key=attrgetter("place"))

    def remove(self, waiter: Waiter) -> None:
        """Let one go."""
        self._all.remove(waiter)

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()

    @property
    def threads(self) -> frozenset[int]:
        """Native ids of the threads that wait."""
        return frozenset(waiter.thread for waiter in self._all)

    @property
    def one_is_leaving(self) -> bool:
        """Whether there is one who is about to go on."""
        return any(waiter.over for waiter in self._all)

    def whose_turn(self, now: int, me: Waiter) -> tuple[Waiter | None, bool | None]:
        """The first whose wait is over, and the outcome if it is the calling thread itself.

        Args:
            now: The virtual moment, in nanoseconds.
            me: The calling thread's own wait.
        """
        for waiter in self._all:
            if waiter is me:
                if (outcome := me.outcome(now)) is not None:
                    return me, outcome
            elif waiter.is_due(now):
                return waiter, None
        return None, None
