"""How deep the functions of a call are nested, where the code has raised the limit for that.

Else Python itself says when it is too deep. With another limit it does not, and the process may crash.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_ralph.core.location import Location, Locator

# What Python begins with, see https://docs.python.org/3/library/sys.html#sys.setrecursionlimit.
_USUAL = 1000


class Limit:
    """Notes how high the limit of recursion is in a block.

    Attributes:
        highest: The highest limit.
    """

    def __init__(self) -> None:
        self.highest = sys.getrecursionlimit()

    @property
    def is_raised(self) -> bool:
        """Whether it is above what is usual."""
        return self.highest > _USUAL

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at a block."""
        original = sys.setrecursionlimit

        def setrecursionlimit(limit: int, /) -> None:
            original(limit)
            self.highest = max(self.highest, limit)

        sys.setrecursionlimit = setrecursionlimit
        try:
            yield
        finally:
            sys.setrecursionlimit = original
            self.highest = max(self.highest, sys.getrecursionlimit())


def deepest(function: Callable[[], object], locator: Locator) -> tuple[int, Location | None]:
    """Call a function, and count how many others are under way in this thread at a time, at most.

    Args:
        function: It.
        locator: Knows the user's code.

    Returns:
        How many, and the last function of the user's among them.
    """
    depth = most = 0
    last: tuple[str, int, str] | None = None

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal depth, most, last
        if event == "call":
            depth += 1
            code = frame.f_code
            if depth > most and locator.is_user(code.co_filename):
                most, last = depth, (code.co_filename, code.co_firstlineno, code.co_name)
        elif event == "return":
            depth -= 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return most, last and locator.pick([last])
