"""What the simulated world still has to do, by virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Agenda:
    """Actions with a due time, first due first, equal times in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(self, due: int, action: Callable[[], None]) -> None:
        """Plan ``action`` for the moment ``due``, in nanoseconds."""
        heapq.heappush(self._heap, (due, next(self._order), action))

    @property
    def next_due(self) -> int | None:
        """When the next action is due, or None."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: int) -> bool:
        """Carry out all that is due. Returns whether there was anything."""
        ran = False
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
            ran = True
        return ran

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
