"""Coroutines that wait: where they stand, and how they are ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.location import Frames

IsMine = Callable[[Frames], bool]


@dataclass(frozen=True, kw_only=True)
class Suspended:
    """A task that waits.

    Attributes:
        frames: The lines it stands at, innermost first.
        throw: Raises an exception there, from whichever thread it is called.
    """

    frames: Frames
    throw: Callable[[BaseException], None]


def stack(coroutine: Any) -> Frames:
    """The lines a suspended coroutine stands at, innermost first."""
    found: list[tuple[str, int, str]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            found.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return tuple(reversed(found))
