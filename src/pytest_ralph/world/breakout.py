"""Gets out of code that catches everything and goes on: ``while True: try: ... except: pass``.

An exception that is raised in a call can be caught there. One that a trace function raises comes from the
handler's own line, outside of its ``try``, and so leaves the loop. The trace function is set only when an
exception was swallowed before, on the frames of the call under test, and taken away with the call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_PATIENCE = 20


class Breakout:
    """Raises until the call under test is over.

    Args:
        is_user: Whether a file holds the user's code.
        is_boundary: Whether a file holds the caller of the test body: no frame from there on is touched.
    """

    def __init__(self, is_user: Callable[[str], bool], is_boundary: Callable[[str], bool]) -> None:
        self._is_user = is_user
        self._is_boundary = is_boundary
        self._raised = 0
        self._before: list[Any] = []

    def throw(self, error: BaseException) -> None:
        """Raise ``error``, so that it cannot be swallowed for ever.

        Raises:
            BaseException: The error.
        """
        self._raised += 1
        if self._raised > 1:
            self._trace(error, everywhere=self._raised > _PATIENCE)
        raise error

    def reset(self) -> None:
        """The call is over: put back what was traced before."""
        self._raised = 0
        if self._before:
            sys.settrace(self._before[0])
            self._before.clear()

    def _trace(self, error: BaseException, *, everywhere: bool) -> None:
        frames = self._frames(everywhere=everywhere)

        def tracer(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line" and frame in frames:
                raise type(error)(*error.args)
            return tracer if frame in frames else None

        if not self._before:
            self._before.append(sys.gettrace())
        sys.settrace(tracer)
        for frame in frames:
            frame.f_trace = tracer

    def _frames(self, *, everywhere: bool) -> list[FrameType]:
        found = []
        frame: FrameType | None = sys._getframe(3)
        while frame is not None and not self._is_boundary(frame.f_code.co_filename):
            if everywhere or self._is_user(frame.f_code.co_filename):
                found.append(frame)
            frame = frame.f_back
        return found
