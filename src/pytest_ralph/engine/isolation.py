"""Plays a scenario in a process of its own, and makes it look as if it had been played here.

The child plays; what it prints, logs and warns of, the exception it ends with and the coverage it measures
come out as they would without it. The parent only waits, and judges what it is told. Whatever becomes of the
child, the run goes on.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from pytest_ralph.core.location import Location
from pytest_ralph.core.scenario import HEALTHY
from pytest_ralph.engine import leftover
from pytest_ralph.engine.apart import Child
from pytest_ralph.engine.play import Found, Player
from pytest_ralph.engine.quiet import few_lines
from pytest_ralph.engine.session import CASE, RESULT, Case
from pytest_ralph.world import allocations
from pytest_ralph.world.culprits import Culprits
from pytest_ralph.world.memory import Life, Meter

T = TypeVar("T")

# How many lines are named that use much memory.
_MOST = 3


@dataclass(frozen=True, kw_only=True)
class Raised:
    """What the item's call ended with in the child.

    Attributes:
        error: The exception, where it travels.
        outcome: Name of the outcome of pytest's that is raised in its place otherwise.
        message: What that says.
        shown: How pytest shows it.
    """

    error: BaseException | None
    outcome: str = "fail"
    message: str = ""
    shown: Any = None


# Their classes say that they are builtins, which they are not: no pickle finds them.
_OUTCOMES: dict[str, Any] = {
    "skip": pytest.skip.Exception,
    "xfail": pytest.xfail.Exception,
    "fail": pytest.fail.Exception,
    "exit": pytest.exit.Exception,
}


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came out of a child.

    Attributes:
        found: What its play has found; None if it did not come so far.
        raised: What it ended with instead.
        healthy: Whether the healthy call had come back.
        result: What it noted of the item before it raised.
    """

    found: Any = None
    raised: Raised | None = None
    healthy: bool = False
    result: dict[str, Any] = field(default_factory=dict)


def play(
    item: pytest.Item, child: Child, meter: Meter | None, playing: Generator[None, Any, Found]
) -> Generator[None, Any, None]:
    """In the child: play, tell what was found, and end.

    Args:
        item: The item.
        child: The process that this is.
        meter: What measures its memory, if it is to be measured.
        playing: Plays; runs the test body for the first time where it yields.
    """
    try:
        with _telling(child, item):
            try:
                if meter is not None:
                    meter.begin(lambda life: child.tell("life", life))
                measured = meter is not None and not meter.cap.whole
                recorder = item.stash[CASE].world.recorder
                with few_lines(recorder) if measured else contextlib.nullcontext():
                    played: Found = yield from playing
                # The parent knows the scenario, and what it searches with does not travel.
                found = replace(played, plays=[replace(each, scenario=HEALTHY) for each in played.plays])
                if measured:
                    leftover.wait(item.stash[CASE].locator)
                _tell_end(child, meter, "found", found)
            except BaseException as error:  # noqa: BLE001 - it is raised again by the parent
                child.tell("result", item.stash[RESULT])
                _tell_end(child, meter, "raised", _raised(item, error))
    finally:
        child.leave()


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """Who used too much memory.

    Attributes:
        line: The user's line that went beyond the limit, or that held most of it.
        holders: Those that added or held most, as text.
        tool: What has found them, if that is a tool that may be there or not.
    """

    line: Location | None
    holders: tuple[str, ...]
    tool: str = ""


def culprit(sizes: Mapping[Location, int], line: Location | None = None, tool: str = "") -> Culprit:
    """The lines that most of the memory goes to.

    Args:
        sizes: Bytes by line.
        line: The line that went beyond the limit; the one with most bytes if it is not known.
        tool: What has found them.
    """
    most = sorted(sizes, key=lambda each: -sizes[each])[:_MOST]
    share = sum(sizes.values()) / 10
    holders = tuple(f"{each.file}:{each.line}" for each in most if sizes[each] >= share)
    return Culprit(line=line or next(iter(most), None), holders=holders, tool=tool)


def trace(child: Child, case: Case, player: Player, meter: Meter, record: str) -> None:
    """In the child: call the body once more, and see which lines use memory; does not come back.

    Args:
        child: The process that this is; it tells who is to blame, unless that is recorded.
        case: The test.
        player: Calls the body.
        meter: What measures its memory.
        record: The file that allocations are recorded in, where that can be done; else empty.
    """

    def found(line: Location | None, sizes: Mapping[Location, int]) -> None:
        child.tell("culprit", culprit(sizes, line))
        child.leave()

    try:
        case.world.enter()
        case.world.forked()
        meter.begin(lambda _: None)
        looking = (
            allocations.recorded(record)
            if record
            else Culprits(case.locator, meter.cap.limit, found).watching()
        )
        with looking, few_lines(case.world.recorder):
            player.body()
            leftover.wait(case.locator)
    finally:
        child.leave()


def _tell_end(child: Child, meter: Meter | None, kind: str, value: object) -> None:
    if child.astray:
        return
    if meter is not None:
        child.tell("memory", meter.end())
    child.tell(kind, value)


@contextmanager
def absent(item: pytest.Item) -> Iterator[None]:
    """In the parent: let pytest call the test body, which does nothing, for the child calls it."""
    body: Any = item
    body.runtest = lambda: None
    try:
        yield
    finally:
        del body.runtest


def listen(item: pytest.Item, child: Child, meter: Meter | None, *, died: bool) -> Came:
    """In the parent, when the child has ended: let all that it told happen here."""
    found: dict[str, Any] = {}
    lives: list[Life] = []
    for kind, value in child.told():
        if kind == "log":
            _log(*value)
        elif kind == "warning":
            warnings.warn_explicit(**value)
        elif kind == "printed":
            getattr(sys, value[0]).write(value[1])
        elif kind == "properties":
            item.user_properties.extend(value)
        elif kind == "life":
            lives.append(value)
        else:
            found[kind] = value
    if meter is not None:
        meter.add(found.get("memory", 0), lives, died=died)
    return Came(
        found=found.get("found"),
        raised=found.get("raised"),
        healthy="healthy" in found,
        result=found.get("result", {}),
    )


def reraise(item: pytest.Item, raised: Raised) -> None:
    """In the parent: end the call as the child did."""
    shown: Any = item
    shown.repr_failure = lambda *_, **__: raised.shown
    raise raised.error or _OUTCOMES[raised.outcome](raised.message)


def forget(item: pytest.Item) -> None:
    """Forget how an earlier run of an item has ended."""
    vars(item).pop("repr_failure", None)


def flush(item: pytest.Item) -> None:
    """Before a fork, and before a process ends: write what is buffered, for it must be written once."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()  # type: ignore[union-attr]
    item.config.get_terminal_writer().flush()


class Coverage:
    """What measures coverage in this process, if anything does, and in a process forked from it."""

    def __init__(self) -> None:
        module: Any = sys.modules.get("coverage")
        self._module = module if hasattr(module, "Coverage") else None
        self._here = self._current()
        self._shared = False
        if self._here is not None:
            data = self._here.get_data()
            # Two processes must not write one file: with parallel = true each has its own.
            self._shared = data.data_filename() == data.base_filename()

    def _current(self) -> Any:
        return self._module.Coverage.current() if self._module is not None else None

    def save(self) -> None:
        """In the child: write what it measured to a file of its own, as coverage does in processes."""
        current = self._current()
        if current is None or (current is self._here and self._shared):
            return
        current.stop()
        current.save()


@contextmanager
def _telling(child: Child, item: pytest.Item) -> Iterator[None]:
    """Tell the parent what is written, logged and warned of in the block."""
    printed = {name: _written(getattr(sys, name)) for name in ("stdout", "stderr")}
    properties = len(item.user_properties)
    coverage = child_coverage(item)
    with ExitStack() as stack:
        stack.enter_context(_warnings(child))
        stack.enter_context(_logs(child))
        try:
            yield
        finally:
            if not child.astray:
                for name, before in printed.items():
                    text = _written(getattr(sys, name))
                    if text is not None and before is not None and len(text) > len(before):
                        child.tell("printed", (name, text[len(before) :]))
                if new := item.user_properties[properties:]:
                    child.tell("properties", new)
                flush(item)
                if coverage is not None:
                    coverage.save()


COVERAGE = pytest.StashKey[Coverage]()


def child_coverage(item: pytest.Item) -> Coverage | None:
    """What was noted of coverage before the fork."""
    return item.config.stash.get(COVERAGE, None)


def note_coverage(item: pytest.Item) -> None:
    """Before a fork: note what measures coverage here."""
    item.config.stash[COVERAGE] = Coverage()


def _written(stream: Any) -> str | None:
    """What was written to a stream that is kept in memory; files are shared with the parent anyway."""
    value = getattr(stream, "getvalue", None)
    return value() if callable(value) else None


@contextmanager
def _warnings(child: Child) -> Iterator[None]:
    """Tell of warnings that would be shown, and of exceptions that nobody sees."""
    show, thread_hook, unraisable = warnings.showwarning, threading.excepthook, sys.unraisablehook

    def tell(message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
        given = message if _travels(message) else str(message)
        kind = category if _travels(category) else UserWarning
        told = {"message": given, "category": kind, "filename": filename, "lineno": line}
        child.tell("warning", told)

    def in_thread(args: Any) -> None:
        name = args.thread.name if args.thread is not None else "<unknown>"
        text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        tell(
            f"Exception in thread {name}\n\n{text}", pytest.PytestUnhandledThreadExceptionWarning, __file__, 1
        )
        thread_hook(args)

    def ignored(args: Any) -> None:
        text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        message = f"{args.err_msg or 'Exception ignored in'}: {args.object!r}\n\n{text}"
        tell(message, pytest.PytestUnraisableExceptionWarning, __file__, 1)
        unraisable(args)

    warnings.showwarning = tell  # type: ignore[assignment]
    threading.excepthook, sys.unraisablehook = in_thread, ignored
    yield
    warnings.showwarning, threading.excepthook, sys.unraisablehook = show, thread_hook, unraisable


@contextmanager
def _logs(child: Child) -> Iterator[None]:
    """Tell of the records that handlers keep in memory; what handlers write to files is written already.

    No handler is added: Python writes by itself where there is none, and what it writes is judged.
    """
    tellers = [(handler, _Teller(child, number)) for number, handler in enumerate(_keeping())]
    for handler, teller in tellers:
        handler.addFilter(teller)
    yield
    for handler, teller in tellers:
        handler.removeFilter(teller)


def _keeping() -> list[logging.Handler]:
    """The handlers that keep records in memory, as pytest's do to show them and for ``caplog``."""
    handlers = logging.getLogger().handlers
    return [each for each in handlers if isinstance(getattr(each, "stream", None), io.StringIO)]


class _Teller(logging.Filter):
    """Tells of all that comes to a handler, and keeps nothing back."""

    def __init__(self, child: Child, number: int) -> None:
        super().__init__()
        self._child, self._number = child, number

    def filter(self, record: logging.LogRecord) -> bool:
        told = copy.copy(record)
        told.msg, told.args = record.getMessage(), None
        if record.exc_info:
            told.exc_text = logging.Formatter().formatException(record.exc_info)
            told.exc_info = None
        if not _travels(told):
            known = vars(logging.makeLogRecord({}))
            told = logging.makeLogRecord({name: vars(told).get(name) for name in known})
        self._child.tell("log", (self._number, told))
        return True


def _log(number: int, record: logging.LogRecord) -> None:
    """In the parent: give a record to the handler that kept it in the child."""
    handlers = _keeping()
    if number < len(handlers):
        handlers[number].handle(record)


def _raised(item: pytest.Item, error: BaseException) -> Raised:
    shown: object = item.repr_failure(pytest.ExceptionInfo.from_exception(error))
    if not _travels(shown):
        shown = str(shown)
    if _travels(error):
        return Raised(error=error, shown=shown)
    name = next((name for name, kind in _OUTCOMES.items() if isinstance(error, kind)), None)
    if name is not None:
        return Raised(error=None, outcome=name, message=str(error), shown=shown)
    return Raised(error=None, message=f"{type(error).__name__}: {error}", shown=shown)


def _travels(value: object) -> bool:
    """Whether a value comes out of a pickle as it went in."""
    try:
        return type(pickle.loads(pickle.dumps(value))) is type(value)
    except Exception:  # noqa: BLE001 - what a class does when it is pickled is its own affair
        return False
