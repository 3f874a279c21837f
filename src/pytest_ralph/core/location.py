"""Where in the user's code something happened.

A location is the innermost line on the stack that belongs to the code under test: not to the standard
library, an installed package or this plugin. Lines of the code under test are preferred to lines of the
test that calls it.
"""

from __future__ import annotations

import contextvars
import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

Frames = tuple[tuple[str, int, str], ...]
"""File, line number and function of each line on a stack, innermost first."""

ORIGIN: contextvars.ContextVar[Frames] = contextvars.ContextVar("ralph_origin", default=())
"""The user's lines that led to the present task or worker, where they are not on its own stack."""

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep


@dataclass(frozen=True, kw_only=True, order=True)
class Location:
    """A line of the user's code.

    Attributes:
        file: Path relative to the root folder of the test run, with forward slashes.
        line: Line number, from 1.
        function: Name of the function the line stands in.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"

    def to_json(self) -> dict[str, object]:
        """The form the report uses."""
        return {"file": self.file, "line": self.line, "function": self.function}


class Locator:
    """Finds the user's line on a stack.

    Args:
        root: The root folder of the run; locations are relative to it.
        tests: Files that hold tests: they are named only when no line of the code under test is found.
    """

    def __init__(self, root: Path, tests: Iterable[Path] = ()) -> None:
        self._root = str(root)
        self._tests = {str(path) for path in tests}
        self._foreign = _foreign_prefixes()
        self._kinds: dict[str, str] = {}

    def here(self) -> Location | None:
        """The user's line that led to this call, or None when there is none on the stack."""
        return self.pick(self.frames())

    def place(self) -> tuple[Location | None, tuple[tuple[str, int], ...]]:
        """What `here` says, and every line of the user's that led to this call, innermost first.

        Both for one look at the stack: that is deep, and looked at often.
        """
        frames = self.frames()
        return self.pick(frames), tuple((filename, line) for filename, line, _ in frames)

    def frames(self) -> Frames:
        """Every line of the user's that led to this call, with its function, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        found = []
        while frame is not None:
            code = frame.f_code
            if (self._kinds.get(code.co_filename) or self._classify(code.co_filename)) != "foreign":
                found.append((code.co_filename, frame.f_lineno, code.co_name))
            frame = frame.f_back
        return (*found, *(each for each in ORIGIN.get() if each not in found))

    def of(self, traceback: TracebackType | None) -> Location | None:
        """The user's line an exception came through, the innermost one."""
        frames = []
        while traceback is not None:
            code = traceback.tb_frame.f_code
            frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
            traceback = traceback.tb_next
        return self.pick(reversed(frames))

    def is_test(self, location: Location) -> bool:
        """Whether a line is one of the tests."""
        return any(os.path.join(self._root, location.file) == test for test in self._tests)

    def is_user(self, filename: str) -> bool:
        """Whether a file holds the user's code or tests."""
        return (self._kinds.get(filename) or self._classify(filename)) != "foreign"

    def name(self, frame: tuple[str, int, str]) -> str:
        """A line on a stack as text."""
        return str(self._location(*frame))

    def pick(self, frames: Iterable[tuple[str, int, str]]) -> Location | None:
        """The user's line among these, innermost first; a line of a test only where there is no other."""
        fallback = None
        for filename, line, function in frames:
            kind = self._kinds.get(filename) or self._classify(filename)
            if kind == "code":
                return self._location(filename, line, function)
            if kind == "test" and fallback is None:
                fallback = (filename, line, function)
        return self._location(*fallback) if fallback else None

    def relative(self, path: str) -> str | None:
        """A path relative to the root folder, with forward slashes, or None if it lies outside of it."""
        within = path.startswith(self._root + os.sep)
        return os.path.relpath(path, self._root).replace(os.sep, "/") if within else None

    def at(self, filename: str, line: int, function: str) -> Location:
        """The location of a line whose file and function are known."""
        return self._location(filename, line, function)

    def _classify(self, filename: str) -> str:
        if filename in self._tests:
            kind = "test"
        elif filename.startswith(("<", *self._foreign)) or _installed(filename) or self._is_lost(filename):
            kind = "foreign"
        else:
            kind = "code"
        self._kinds[filename] = kind
        return kind

    def _is_lost(self, filename: str) -> bool:
        """Whether it is the name of a source that is not here, as compiled modules give."""
        return not os.path.isabs(filename) and not os.path.exists(os.path.join(self._root, filename))

    def _location(self, filename: str, line: int, function: str) -> Location:
        path = os.path.relpath(filename, self._root) if os.path.isabs(filename) else filename
        return Location(file=path.replace(os.sep, "/"), line=line, function=function)


def _installed(filename: str) -> bool:
    parts = filename.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


@functools.lru_cache(maxsize=1)
def _foreign_prefixes() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    paths.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    paths.update({os.path.realpath(path) for path in paths if path})
    return (_PACKAGE, *sorted(path.rstrip(os.sep) + os.sep for path in paths if path))
