"""Keeps what the code under test prints, logs and warns of out of pytest's output, or out of its memory.

That is for calls by the hundred. The timeline still gets every log record. What handlers of the program's
own write or hold is their business.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from pytest_ralph.world.logseam import fields, message
from pytest_ralph.world.recorder import Recorder

# Lines of a call that show what it logs, where memory is measured.
_ENOUGH = 1000


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
        stack.enter_context(_filtered(lambda _: False))
        yield


@contextmanager
def few_lines(recorder: Recorder, most: int = _ENOUGH) -> Generator[None]:
    """Remember only so many lines that are logged and printed, in the timeline and in pytest.

    That is for calls whose time or memory is measured.

    Args:
        recorder: Who writes the timeline.
        most: How many lines.
    """
    with recorder.sparing(most), _filtered(lambda _: recorder.has_room()):
        yield


@contextmanager
def _filtered(lets_through: Callable[[logging.LogRecord], bool]) -> Generator[None]:
    """Let pytest's own log handlers take up only some records."""
    with ExitStack() as stack:
        for handler in _of_pytest():
            handler.addFilter(lets_through)
            stack.callback(handler.removeFilter, lets_through)
        yield


@contextmanager
def held_as_text() -> Generator[Callable[[], None]]:
    """Let pytest hold what is logged and warned of as text, rather than what that was made of.

    It keeps each log record for `caplog` and the report, with exceptions, all their frames and what is in
    these, and each warning. In production nobody does that.

    Yields:
        What lets go of all but the text, of what there is up to then. Of equal warnings one is left.
    """
    with warnings.catch_warnings(record=True) as warned:

        def let_go() -> None:
            for handler in _of_pytest():
                records: list[logging.LogRecord] = getattr(handler, "records", [])
                records[:] = map(_as_text, records)
            warned[:] = _distinct(warned)

        yield let_go
    for each in _distinct(warned):
        warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def _of_pytest() -> list[logging.Handler]:
    """The log handlers that pytest has set up."""
    handlers = logging.getLogger().handlers
    return [each for each in handlers if type(each).__module__.startswith("_pytest")]


def _as_text(record: logging.LogRecord) -> logging.LogRecord:
    """The same record without the objects that its text was made of."""
    text = {"msg": message(record), "args": None, "exc_info": None}
    return logging.makeLogRecord({**vars(record), **fields(record), **text})


def _distinct(warned: list[warnings.WarningMessage]) -> list[warnings.WarningMessage]:
    """The first of equal warnings, without what they are about."""
    first = {
        (each.category, str(each.message), each.filename, each.lineno): each for each in reversed(warned)
    }
    for each in first.values():
        each.source = None
    return list(reversed(first.values()))
