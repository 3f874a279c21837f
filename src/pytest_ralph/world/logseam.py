"""The seam where a program writes its log: standard logging, structlog's own writers, loguru.

Records are taken where they are emitted, after the levels of the loggers have had their say. The lines that
become of them are taken in `lineseam`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from pytest_ralph.core.timeline import Logged
from pytest_ralph.world.lineseam import LineSeam, is_mute
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

_STRUCTLOG_WRITERS = ("PrintLogger", "WriteLogger", "BytesLogger")
_STRUCTLOG_LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "msg": "INFO",
    "log": "INFO",
    "warn": "WARNING",
    "warning": "WARNING",
    "err": "ERROR",
    "error": "ERROR",
    "exception": "ERROR",
    "failure": "ERROR",
    "critical": "CRITICAL",
    "fatal": "CRITICAL",
}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def install(recorder: Recorder, lines: LineSeam, loguru: Loguru) -> Undo:
    """Record what is logged from now on. Returns what undoes it."""
    stack = ExitStack()
    stack.callback(_standard(recorder, lines))
    if "structlog" in sys.modules:
        for undo in _structlog(recorder, lines):
            stack.callback(undo)
    if "loguru" in sys.modules:
        stack.callback(loguru.install())
    return stack.close


def _standard(recorder: Recorder, lines: LineSeam) -> Undo:
    def around(original: Callable[..., None]) -> Callable[..., None]:
        def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
            if recorder.has_room() and _is_written(self, record):
                recorder.add(
                    Logged,
                    logger=record.name,
                    level=record.levelname,
                    message=message(record),
                    fields=fields(record),
                    location=recorder.here(),
                )
                lines.logged(record, handled=bool(_writing(self)))
            original(self, record)

        return call_handlers

    return wrap(logging.Logger, "callHandlers", around)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a field that cannot be shown must not break the program
        return f"<{type(value).__name__}>"


def _is_written(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether a handler of the program's would write the record.

    Where none is set up, as is usual in tests, it counts as written, unless it is kept from the root logger.
    """
    writing = _writing(logger)
    if not writing:
        return _reaches_the_root(logger)
    return any(record.levelno >= handler.level for handler in writing)


def _writing(logger: logging.Logger) -> list[logging.Handler]:
    """The handlers of the program's that a logger's records come to."""
    handlers: list[logging.Handler] = []
    node = logger
    while node.propagate and node.parent is not None:
        handlers += node.handlers
        node = node.parent
    return [each for each in (*handlers, *node.handlers) if not is_mute(each)]


def _reaches_the_root(logger: logging.Logger) -> bool:
    while logger.propagate and logger.parent is not None:
        logger = logger.parent
    return logger.parent is None


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What was given as `extra`, as text."""
    return {key: _text(value) for key, value in vars(record).items() if key not in _STANDARD}


def message(record: logging.LogRecord) -> str:
    """What a record says, as far as that can be told."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001
        return str(record.msg)


def _structlog(recorder: Recorder, lines: LineSeam) -> list[Undo]:
    import structlog

    undos = []
    for writer in _STRUCTLOG_WRITERS:
        owner = getattr(structlog, writer, None)
        for name, level in _STRUCTLOG_LEVELS.items():
            if owner is not None and name in vars(owner):
                undos.append(_watch(owner, name, level, recorder, lines))
    return undos


def _watch(owner: type, name: str, level: str, recorder: Recorder, lines: LineSeam) -> Undo:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def write(self: Any, message: Any) -> Any:
            if recorder.has_room():
                text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
                recorder.add(Logged, logger="structlog", level=level, message=text, location=recorder.here())
                lines.structlog(self, level, message)
            with lines.writing():
                return original(self, message)

        return write

    return wrap(owner, name, around)


class Loguru:
    """A sink of loguru's logger. To add one takes a millisecond, so it stays until its world ends.

    Args:
        recorder: Where it is recorded what is logged.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._active = False
        self._handler = -1

    def install(self) -> Undo:
        """Record from now on. Returns what undoes it."""
        from loguru import logger

        # The code under test may have removed all of them.
        if self._handler not in logger._core.handlers:  # type: ignore[attr-defined]
            self._handler = logger.add(self._write, level=0, format="{message}", catch=False)
        self._active = True
        return self._rest

    def _rest(self) -> None:
        self._active = False

    def close(self) -> None:
        """Take the sink away."""
        if self._handler >= 0:
            from loguru import logger

            with suppress(ValueError):  # the code under test may have removed all handlers
                logger.remove(self._handler)

    def _write(self, message: Any) -> None:
        if self._active and self._recorder.has_room():
            record = message.record
            self._recorder.add(
                Logged,
                logger=record["name"] or "loguru",
                level=record["level"].name,
                message=record["message"],
                fields={key: str(value) for key, value in record["extra"].items()},
                location=self._recorder.here(),
            )
