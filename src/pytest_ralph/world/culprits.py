"""Finds the lines of the user's code that push the memory of a process up, line by line.

That is done in a run of its own, after one that has used too much: it is slow. Every kind of memory is seen,
because what is looked at is the process as the kernel sees it, and not what an allocator tells.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.world import real

# After so many lines the mark is looked at only every so many nanoseconds: a loop would take for ever else.
_EACH = 20_000
_APART = 1_000_000


class Culprits:
    """Watches the high-water mark of this process from line to line.

    Args:
        locator: Knows the user's code.
        limit: How many bytes may be used beyond what there is at the beginning.
        found: Is told, once, when more is used: the line that did it, and how much each has added until then.
    """

    def __init__(
        self, locator: Locator, limit: int, found: Callable[[Location | None, Mapping[Location, int]], None]
    ) -> None:
        self._locator = locator
        self._limit = limit
        self._found = found
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._first = self._last = self._mark()
        self._grown: dict[tuple[str, int, str], int] = {}
        self._before: dict[int, tuple[str, int, str]] = {}
        self._steps = self._again = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._step if self._locator.is_user(frame.f_code.co_filename) else None

    def _step(self, frame: FrameType, _event: str, _argument: object) -> Any:
        me = threading.get_ident()
        self._steps += 1
        if self._steps < _EACH or real.monotonic_ns() >= self._again:
            self._look(self._before.get(me))
            self._again = real.monotonic_ns() + _APART
        self._before[me] = (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        return self._step

    def _look(self, line: tuple[str, int, str] | None) -> None:
        mark = self._mark()
        if mark <= self._last or line is None:
            return
        self._grown[line] = self._grown.get(line, 0) + mark - self._last
        self._last = mark
        if mark - self._first > self._limit:
            self._report(line)

    def _report(self, line: tuple[str, int, str]) -> None:
        sizes = {place: size for each, size in self._grown.items() if (place := self._locator.pick([each]))}
        self._found(self._locator.pick([line]), sizes)

    def _mark(self) -> int:
        return int(os.pread(self._status, 4096, 0).split(b"VmHWM:")[1].split(maxsplit=1)[0]) * 1024
