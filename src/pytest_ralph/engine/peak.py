"""The most memory that a call has allocated at a time, without what the simulated world remembers of it.

Of each request the world remembers some ten kilobytes until the play ends: the journal of the service and the
timeline. Of a call that makes many requests, and keeps nothing, that would be all there is to see.
"""

from __future__ import annotations

import gc
import tracemalloc
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager

from pytest_ralph.world.world import World


@contextmanager
def peak_of_memory() -> Generator[Callable[[], int]]:
    """A block with what tells the most bytes that were allocated at a time in it, until then."""
    gc.collect()
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        if mine:
            tracemalloc.stop()


class Peak:
    """Measures one call, and has the world forget it.

    Args:
        world: The world that the call is made in.

    Attributes:
        bytes: How much it was.
    """

    def __init__(self, world: World) -> None:
        self._recorder = world.recorder
        self._forget = world.bookmark()
        # The most bytes before the first request, and after each until the next.
        self._highest = array("q")
        self._peak: Callable[[], int]
        self.bytes = 0

    @contextmanager
    def watching(self) -> Generator[None]:
        """Measure what happens in a block."""
        with peak_of_memory() as self._peak:
            before = self._peak()
            with self._recorder.telling(self._requested):
                yield
            self._requested()
            self.bytes = self._most(before)

    def _requested(self) -> None:
        self._highest.append(self._peak())
        tracemalloc.reset_peak()

    def _most(self, before: int) -> int:
        """The most bytes; what is remembered has grown by as much with each request."""
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        self._forget()
        gc.collect()
        remembered = held - tracemalloc.get_traced_memory()[0]
        requests = max(1, len(self._highest) - 1)
        return max(
            highest - before - remembered * number // requests for number, highest in enumerate(self._highest)
        )
