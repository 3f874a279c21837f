"""Finds the line of the user's code in which something goes up most while a block runs.

It is looked at whenever another line of the user's begins, and what has gone up since is put down to the line
before. That is slow, and so is only done where there is too much of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_ralph.core.location import Location, Locator

_Line = tuple[str, int, str]


class Hotspot:
    """Looks for one line, in what this thread does.

    Args:
        locator: Knows the user's code.
        amount: How much there is until now of what never goes down, such as the processor time used.
    """

    def __init__(self, locator: Locator, amount: Callable[[], int]) -> None:
        self._locator = locator
        self._amount = amount
        self._last = 0
        self._line: _Line | None = None
        self._least = sys.maxsize
        self._looks: Counter[_Line | None] = Counter()
        self._added: Counter[_Line | None] = Counter()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the block, instead of whoever else traces its lines."""
        before = sys.gettrace()
        self._last = self._amount()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    @property
    def found(self) -> tuple[Location | None, float]:
        """The line, and its part of the whole; no line where none of the user's has added anything."""
        lines: Counter[Location | None] = Counter()
        for line, looks in self._looks.items():
            # To look at a line of which nothing comes takes something as well.
            lines[line and self._locator.pick([line])] += self._added[line] - looks * self._least
        whole = lines.total()
        del lines[None]
        for location, most in lines.most_common(1):
            return location, most / max(1, whole)
        return None, 0.0

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if not self._locator.is_user(frame.f_code.co_filename):
            return None
        self._step(frame, "call", None)
        return self._step

    def _step(self, frame: FrameType, event: str, _argument: object) -> Any:
        more = self._amount() - self._last
        self._added[self._line] += more
        self._looks[self._line] += 1
        self._least = min(self._least, more)
        self._line = self._outside(frame) if event == "return" else _of(frame)
        # What it takes to look is not put down to anybody.
        self._last = self._amount()
        return self._step

    def _outside(self, frame: FrameType) -> _Line | None:
        """The line of the user's that goes on when a function of the user's returns."""
        outer = frame.f_back
        while outer is not None and not self._locator.is_user(outer.f_code.co_filename):
            outer = outer.f_back
        return outer and _of(outer)


def _of(frame: FrameType) -> _Line | None:
    # Some jumps are of no line.
    return (
        None if frame.f_lineno is None else (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    )
