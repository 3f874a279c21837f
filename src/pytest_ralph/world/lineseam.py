"""The seam where a line of a log leaves the program: handlers, structlog's writers, loguru's sinks, prints.

What is recorded is the text as production would get it, after every processor, formatter and serialiser:
taken where a handler has formatted a record, where structlog or loguru hands a line to its file, and where
text is printed to standard output or error. Handlers of pytest are no part of production. What is emitted at
all, and with which fields, is the business of `logseam`.
"""

from __future__ import annotations

import itertools
import logging
import logging.handlers
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from pytest_ralph.core.lines import JSON, read
from pytest_ralph.core.timeline import Logged, Written
from pytest_ralph.world import instances
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

_SINKS = (
    ("loguru._simple_sinks", "StreamSink"),
    ("loguru._simple_sinks", "CallableSink"),
    ("loguru._simple_sinks", "AsyncSink"),
    ("loguru._file_sink", "FileSink"),
)


class LineSeam:
    """Records what is written to logs.

    Args:
        recorder: Where it is recorded.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._busy = threading.local()
        self._handling: set[tuple[object, ...]] = set()
        self._undos: list[Undo] = []
        self._watched: set[type] = set()
        self._left: Counter[int] = Counter()
        self._entries: dict[object, int] = {}
        self._numbers = itertools.count(1)

    def install(self) -> Undo:
        """Record from now on. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            stack.callback(wrap(logging.Handler, "handle", self._handle))
            for undo in self._queues():
                stack.callback(undo)
            for undo in self._loguru():
                stack.callback(undo)
            streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
            for stream in {id(each): each for each in streams if each is not None}.values():
                name = "stderr" if stream in (sys.stderr, sys.__stderr__) else "stdout"
                for undo in self._printed(stream, name):
                    stack.callback(undo)
            return stack.pop_all().close

    def _forget(self) -> None:
        for undo in reversed(self._undos):
            undo()
        self._undos.clear()
        self._watched.clear()
        self._handling.clear()
        self._entries.clear()

    @contextmanager
    def writing(self) -> Generator[bool]:
        """A context in which something writes; gives whether it is the outermost."""
        depth = getattr(self._busy, "depth", 0)
        self._busy.depth = depth + 1
        try:
            yield depth == 0
        finally:
            self._busy.depth = depth

    def wrote(self, line: str, **fields: Any) -> None:
        """Record a line."""
        if not self._recorder.has_room():
            return
        number = next(self._numbers)
        entry = self._entries.setdefault(fields.pop("entry", number), number)
        # An exception handled by whoever calls is seen here as well.
        handling = fields.pop("handling", False) or sys.exc_info()[0] is not None
        location = fields.pop("location", None) or self._recorder.here()
        self._recorder.add(
            Written,
            line=line.rstrip("\r\n"),
            handling=handling,
            entry=entry,
            location=location,
            **fields,
        )

    # -- standard logging -----------------------------------------------------------------------------------

    def logged(self, record: logging.LogRecord, *, handled: bool) -> None:
        """A logger emits a record.

        Args:
            record: The record.
            handled: Whether a handler is set up that writes.
        """
        if record.exc_info or sys.exc_info()[0] is not None:
            self._handling.add(_identity(record))
        last = logging.lastResort
        if not handled and last is not None and record.levelno >= last.level:
            # What Python itself does in production where nothing is set up; pytest's handlers prevent it.
            with suppress(Exception):
                self._record(record, logging.Formatter().format(record), "")

    def _record(self, record: logging.LogRecord, line: str, writer: str) -> None:
        self.wrote(
            line,
            level=record.levelname,
            logger=record.name,
            writer=writer,
            handling=_identity(record) in self._handling,
            entry=_identity(record),
            location=self._recorder.at(record.pathname, record.lineno, record.funcName or ""),
        )

    def _handle(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def handle(handler: logging.Handler, record: logging.LogRecord) -> Any:
            self._watch(type(handler))
            before = getattr(self._busy, "handled", None)
            # A handler that formats nothing may print what it has put together by itself.
            self._busy.handled = None if is_mute(handler) else (handler, record)
            try:
                with self.writing():
                    return original(handler, record)
            finally:
                self._busy.handled = before

        return handle

    def _watch(self, kind: type) -> None:
        """See what handlers of a class format."""
        owner = next(each for each in kind.__mro__ if "format" in vars(each))
        if owner not in self._watched:
            self._watched.add(owner)
            self._undos.append(wrap(owner, "format", self._format))

    def _format(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def format(handler: logging.Handler, record: logging.LogRecord) -> Any:  # noqa: A001
            inner = getattr(self._busy, "formatting", False)
            self._busy.formatting = True
            try:
                line = original(handler, record)
            finally:
                self._busy.formatting = inner
            if not inner:
                self._busy.handled = None
                if not is_mute(handler) and not _hands_on(handler):
                    self._record(record, str(line), type(handler).__name__)
            return line

        return format

    def _queues(self) -> Iterator[Undo]:
        """Count what handlers leave to other threads."""

        def enqueue(original: Callable[..., Any]) -> Callable[..., Any]:
            def put(handler: Any, record: Any) -> Any:
                self._left[id(handler.queue)] += 1
                return original(handler, record)

            return put

        def handle(original: Callable[..., Any]) -> Callable[..., Any]:
            def take(listener: Any, record: Any) -> Any:
                try:
                    return original(listener, record)
                finally:
                    self._left[id(listener.queue)] -= 1

            return take

        yield wrap(logging.handlers.QueueHandler, "enqueue", enqueue)
        yield wrap(logging.handlers.QueueListener, "handle", handle)

    # -- structlog ------------------------------------------------------------------------------------------

    def structlog(self, writer: object, level: str, message: object) -> None:
        """A logger of structlog's own is about to write."""
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        self.wrote(text, level=level, logger="structlog", writer=type(writer).__name__)

    # -- loguru ---------------------------------------------------------------------------------------------

    def _loguru(self) -> Iterator[Undo]:
        for module, name in _SINKS:
            owner = getattr(sys.modules.get(module), name, None)
            # Where loguru of another version writes elsewhere, that is not seen.
            if owner is not None and "write" in vars(owner):
                yield wrap(owner, "write", self._sink)

    def _sink(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(sink: Any, message: Any) -> Any:
            record = getattr(message, "record", None)
            function = getattr(sink, "_function", None)
            if record is not None and getattr(function, "__module__", "") != "pytest_ralph.world.logseam":
                place = (record["file"].path, record["line"], record["function"])
                self.wrote(
                    str(message),
                    level=record["level"].name,
                    logger=record["name"] or "loguru",
                    writer="loguru",
                    handling=record["exception"] is not None,
                    entry=(record["time"], *place, record["message"]),
                    location=self._recorder.at(*place),
                )
            with self.writing():
                return original(sink, message)

        return write

    # -- prints ---------------------------------------------------------------------------------------------

    def _printed(self, stream: Any, name: str) -> Iterator[Undo]:
        yield self._lines_of(stream, name, getattr(stream, "encoding", None) or "utf-8")
        # Only where text is not kept back, or it would be seen a second time when it is flushed.
        binary = getattr(stream, "buffer", None)
        if binary is not None and getattr(stream, "write_through", False):
            yield self._lines_of(binary, name, "utf-8")

    def _lines_of(self, stream: Any, name: str, encoding: str) -> Undo:
        original = stream.write
        rest = threading.local()

        def write(text: Any) -> Any:
            handled = getattr(self._busy, "handled", None)
            with self.writing() as outermost:
                if outermost or handled:
                    whole = text if isinstance(text, str) else bytes(text).decode(encoding, "replace")
                    *lines, rest.text = (getattr(rest, "text", "") + whole).split("\n")
                    for line in lines:
                        self._print(line, name, handled)
                return original(text)

        try:
            stream.write = write
        except AttributeError:  # a stream that is not made in Python may have no room for it
            return lambda: None

        def undo() -> None:
            with suppress(AttributeError):
                del stream.write

        return undo

    def _print(
        self, line: str, stream: str, handled: tuple[logging.Handler, logging.LogRecord] | None
    ) -> None:
        if handled is not None:
            self._record(handled[1], line, type(handled[0]).__name__)
            return
        if not line.strip() or not self._recorder.has_room():
            return
        location = self._recorder.here()
        if location is None:
            return
        written = Written(at=0.0, line=line, logger=stream)
        found = read(written, JSON)
        if found.named:
            self._recorder.add(
                Logged,
                logger=stream,
                level=found.level or "INFO",
                message=line,
                location=location,
            )
        self.wrote(line, logger=stream, writer=stream, location=location)

    # -- what others write for the program ------------------------------------------------------------------

    def drain(self, wait: Callable[[Callable[[], bool]], object]) -> None:
        """Give threads that write for the program the time to write what it has logged.

        Args:
            wait: Waits until a condition holds or nothing can happen any more.
        """
        if any(left > 0 for left in self._left.values()):
            queues = {id(each.queue) for each in _listeners()}
            wait(lambda: all(self._left[each] <= 0 for each in queues))
        core = getattr(getattr(sys.modules.get("loguru"), "logger", None), "_core", None)
        for handler in list(getattr(core, "handlers", {}).values()):
            if getattr(handler, "_enqueue", False):
                handler.complete_queue()


def _listeners() -> list[logging.handlers.QueueListener]:
    """The listeners whose threads run."""
    return [each for each in instances.of(logging.handlers.QueueListener) if each._thread is not None]


def _identity(record: logging.LogRecord) -> tuple[object, ...]:
    """What a record and the copies of it that travel through queues have in common."""
    return record.thread, record.created, record.lineno


def _hands_on(handler: logging.Handler) -> bool:
    """Whether a handler formats what another one is to write."""
    return isinstance(handler, logging.handlers.QueueHandler)


def is_mute(handler: logging.Handler) -> bool:
    """Whether a handler says nothing of production: it writes nothing, or it is pytest's own."""
    return isinstance(handler, logging.NullHandler) or type(handler).__module__.startswith("_pytest")
