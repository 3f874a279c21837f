"""What tracemalloc knows of allocations, without the objects that it wraps that in.

There are tens of thousands of allocations, with thirty frames each, and to wrap them takes ten times as long
as all the rest. What is wrapped has been the same in all versions of CPython so far.
"""

from __future__ import annotations

import _tracemalloc
import tracemalloc
from collections.abc import Sequence

Frames = Sequence[tuple[str, int]]
"""File and line of each frame, innermost first."""


def trace(frames: int) -> None:
    """Trace allocations anew, with so many frames of each, or not at all."""
    tracemalloc.stop()
    if frames:
        tracemalloc.start(frames)


def blocks() -> list[tuple[int, Frames]]:
    """The size of each block that is held, and what has allocated it."""
    return [(size, frames) for _, size, frames, *_ in _tracemalloc._get_traces()]


def made(thing: object) -> Frames | None:
    """What has allocated an object; None if that is not known."""
    return _tracemalloc._get_object_traceback(thing)
