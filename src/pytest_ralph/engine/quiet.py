"""Keeps what the code under test prints and logs out of pytest's output.

That is for calls by the thousand. The timeline still gets every log record. What handlers of the program's
own write is their business.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


class _Nowhere(io.RawIOBase):
    """A file that takes everything and keeps nothing."""

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Take bytes."""
        return len(memoryview(data))  # type: ignore[arg-type]


@contextmanager
def unheard() -> Generator[None]:
    """Let standard output, standard error and pytest's own log handlers take nothing up."""
    with ExitStack() as stack:
        for redirect in (redirect_stdout, redirect_stderr):
            sink = io.TextIOWrapper(
                io.BufferedWriter(_Nowhere()), encoding="utf-8", errors="backslashreplace"
            )
            stack.enter_context(redirect(sink))
        for handler in logging.getLogger().handlers:
            if type(handler).__module__.startswith("_pytest"):
                handler.addFilter(_nothing)
                stack.callback(handler.removeFilter, _nothing)
        yield


def _nothing(_: logging.LogRecord) -> bool:
    return False
