"""Counts what a process has open: files, sockets, threads, tasks, and memory that user's code holds.

What belongs to the simulated world itself is not counted.
"""

from __future__ import annotations

import _socket
import ast
import contextlib
import functools
import gc
import io
import itertools
import os
import re
import socket
import sys
import threading
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.timeline import Held, Opened
from pytest_ralph.world import traced
from pytest_ralph.world.holdings import Holdings
from pytest_ralph.world.traced import Frames

# Frames of each allocation that are kept, which is what a census costs: so many tell the simulated world from
# other code, and so many lead from the depths of a library to the user's line.
_FEW = 8
_MANY = 30
_OWN = str(Path(__file__).resolve().parent.parent) + os.sep
_DIGITS = re.compile(r"\d+")

_RUNNING = (GeneratorType, CoroutineType, AsyncGeneratorType, FrameType)
# So many tables of dicts Python keeps for those that are made next.
_TABLES = 80

Counts = dict[str, Any]


class Census:
    """Counts, again and again, in the process it is made in.

    Args:
        locator: Finds the user's lines.
        host: Names the simulated host at an address; None for other addresses.
    """

    def __init__(self, locator: Locator, host: Callable[[str], str | None]) -> None:
        self._locator = locator
        self._host = host
        self._lines: dict[Frames, Location | None] = {}
        self._among: frozenset[tuple[str, int]] | None = None
        self._holdings = Holdings(locator)
        # What is there already is no leak: there is much of it, and it is not looked at again and again.
        gc.collect()
        self._frozen = gc.get_freeze_count() > 0
        gc.freeze()
        self._frames = tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0
        traced.trace(_FEW)
        _keep_tables()

    def take(self, *, closely: Collection[Location] | None = None) -> Counts:
        """Count, after what nobody holds any more has been collected.

        Args:
            closely: Lines that have allocated memory: from now on, tell the user's lines that led there, and
                count no other memory.
        """
        gc.collect()
        if closely is not None and self._among is None:
            # What was allocated until now is no longer known, and so not counted.
            traced.trace(_MANY)
        if closely is not None:
            self._among = frozenset((each.file, each.line) for each in closely)
        found = list(gc.get_objects())
        memory = tuple(self._memory(found)) if self._among is None or self._among else ()
        holders = _of(found, io.FileIO, _socket.socket)
        made = {number: self._maker(each) for each in holders if (number := _descriptor(each)) is not None}
        files, sockets = [], []
        for fd, target in _descriptors():
            if not target.startswith("socket:"):
                files.append(Opened(name=_named(target), location=made.get(fd)))
            elif (name := self._socket(fd)) is not None:
                sockets.append(Opened(name=name, location=made.get(fd)))
        counts = {
            "files": tuple(files),
            "sockets": tuple(sockets),
            "threads": tuple(self._threads()),
            "tasks": tuple(self._tasks(found)),
            "kept": self._holdings.take(),
            "memory": memory,
            "closely": self._among is not None,
        }
        _keep_tables()
        return counts

    def close(self) -> None:
        """Trace what allocates memory no longer, or as somebody else did before."""
        traced.trace(self._frames)
        if not self._frozen:
            gc.unfreeze()

    def _maker(self, thing: object) -> Location | None:
        """The user's line that made an object, through whatever wraps what it called."""
        # Python 3.11 does not find instances of classes that are written in Python, but what they hold.
        parts = (thing, *getattr(thing, "__dict__", {}).values())
        return self._pick(next((frames for part in parts if (frames := traced.made(part)) is not None), ()))

    def _line(self, frames: Frames) -> Location | None:
        """The user's line behind an allocation, None for what the world allocates while a call waits."""
        if frames not in self._lines:
            mine = itertools.takewhile(lambda frame: not frame[0].startswith(_OWN), frames)
            self._lines[frames] = self._pick(mine)
        return self._lines[frames]

    def _made(self, frames: Frames) -> tuple[str, int] | None:
        """The line that has allocated, whosever it is, None as above, if that can be seen in a few frames."""
        for filename, _ in frames:
            if filename.startswith(_OWN):
                return None
            if self._locator.is_user(filename):
                break
        return frames[0]

    def _place(self, frames: Frames) -> tuple[tuple[str, int], Location | None] | None:
        """The line that has allocated, and the user's that led there, if that is asked for."""
        if (made := self._made(frames)) is None:
            return None
        if self._among is None:
            return made, None
        line = self._line(frames) if made in self._among else None
        return (made, line) if line is not None else None

    def _pick(self, frames: Iterable[tuple[str, int]]) -> Location | None:
        frames = tuple(frames)
        found = self._locator.pick((filename, line, "") for filename, line in frames)
        return found and replace(found, function=_function(frames, found))

    def _memory(self, found: list[object]) -> Iterator[Held]:
        """Memory by what allocated it, except for the world's.

        Objects that can hold others count whatever library made them, and anything else where a line of the
        user's made it itself: libraries, and what simulates time, keep some small things of their own.
        """
        objects, blocks = defaultdict[Any, list[int]](list), defaultdict[Any, list[int]](list)
        for size, frames in traced.blocks():
            if self._locator.is_user(frames[0][0]):
                blocks[self._place(frames)].append(size)
        for each in found:
            if (made := traced.made(each)) is not None:
                objects[self._place(made)].append(_size(each))
        for where in sorted({*objects, *blocks} - {None}):
            sizes = max(objects.get(where, []), blocks.get(where, []), key=len)
            (file, number), line = where
            made_in = Location(file=file, line=number, function="")
            yield Held(made=made_in, location=line, size=sum(sizes), count=len(sizes))

    def _socket(self, fd: int) -> str | None:
        """Name a socket; None for one of a simulated service."""
        own, peer = _ends(fd)
        if own is None:
            return "a socket of another kind"
        if self._host(own) is not None:
            return None
        if peer is None:
            return "a socket without a peer"
        return f"a socket to {self._host(peer) or peer}"

    def _threads(self) -> Iterator[Opened]:
        known = {thread.native_id: thread for thread in threading.enumerate()}
        for name in os.listdir("/proc/self/task"):
            thread = known.get(int(name))
            if thread is None:
                yield Opened(name="a thread that Python does not know")
            else:
                yield Opened(name=f"thread {_DIGITS.sub('*', thread.name)}", location=self._maker(thread))

    def _tasks(self, found: list[object]) -> Iterator[Opened]:
        asyncio = sys.modules.get("asyncio")
        if asyncio is None:
            return
        for each in _of(found, asyncio.Task):
            if not each.done():
                name = getattr(each.get_coro(), "__qualname__", "?")
                yield Opened(name=f"task {name}", location=self._maker(each))


def _keep_tables() -> None:
    """Give Python tables to keep for the dicts that are made next.

    A collection of garbage has left it none. The one that a call of the user's makes then, and lets go of,
    would be taken by what the world keeps, and be counted as held by the user's line for ever.
    """
    kept = [{"": None} for _ in range(_TABLES)]
    del kept


def _of(found: list[object], *wanted: type) -> list[Any]:
    """The objects of some classes: classes are few, and objects are many."""
    classes = {kind for kind in set(map(type, found)) if issubclass(kind, wanted)}
    return [each for each in found if type(each) in classes]


def _size(each: object) -> int:
    """Its bytes, not by the rule of its class: that may be the user's code, and do anything."""
    # But for these, what all objects inherit counts what there is by a field that they do not have.
    rule = type(each) if type(each) in _RUNNING else object
    return rule.__sizeof__(each)


def _function(frames: Frames, found: Location) -> str:
    """The function that a line stands in, which a trace of memory does not name."""
    name = Path(found.file).name
    file = next((file for file, line in frames if line == found.line and Path(file).name == name), "")
    functions = _functions(file)
    return next((name for first, last, name in functions if first <= found.line <= last), "<module>")


@functools.cache
def _functions(filename: str) -> tuple[tuple[int, int, str], ...]:
    """First line, last line and name of the functions in a file, inner ones first."""
    try:
        tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ()
    found = [
        (node.lineno, node.end_lineno or node.lineno, node.name)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return tuple(sorted(found, key=lambda each: each[1] - each[0]))


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        # The descriptor that the listing was read with is gone.
        with contextlib.suppress(FileNotFoundError):
            yield int(name), os.readlink(f"/proc/self/fd/{name}")


def _named(target: str) -> str:
    """A file by its name; pipes and the like by their kind, for their numbers say nothing."""
    return target.partition(":")[0] if not target.startswith("/") else target


def _descriptor(thing: Any) -> int | None:
    """The descriptor of a file or socket object."""
    try:
        number: int = thing.fileno()
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None


def _ends(fd: int) -> tuple[str | None, str | None]:
    """Both addresses of an internet socket, None where there is none."""
    blocking = os.get_blocking(fd)
    sock = _socket.socket(fileno=fd)
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None, None
        own: str = sock.getsockname()[0]
        try:
            return own, sock.getpeername()[0]
        except OSError:
            return own, None
    finally:
        sock.detach()
        os.set_blocking(fd, blocking)
