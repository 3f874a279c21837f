"""The seam where a program changes files and starts processes, as Python's audit events tell of it.

An audit hook cannot be removed again, so there is one for the whole process, made when the first world is
entered; while no world is, it looks at nothing. See https://docs.python.org/3/library/audit_events.html.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from pytest_ralph.core.timeline import FileChanged, ProcessStarted
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What has an effect on files besides opening them, and what it is called on the timeline.
_CHANGES = {
    "os.remove": "remove",
    "os.rename": "rename",
    "os.mkdir": "make folder",
    "os.rmdir": "remove folder",
    "os.truncate": "truncate",
    "os.link": "link",
    "os.symlink": "link",
    "sqlite3.connect": "open database",
}
# Files that these write are no effect of the code under test: compiled modules, logs, measurements.
_INCIDENTAL = (
    "<frozen importlib",
    os.path.dirname(logging.__file__) + os.sep,
    os.path.dirname(importlib.__file__) + os.sep,
    str(Path(__file__).resolve().parent.parent) + os.sep,
)
_INCIDENTAL_PACKAGES = re.compile(r"(site|dist)-packages[\\/](loguru|coverage)[\\/]")
_RANDOM_NAME = re.compile(r"\btmp[a-z0-9_]{8}\b")

_watching: Recorder | None = None


def install(recorder: Recorder) -> Undo:
    """Record what is done from now on. Returns what undoes it."""
    global _watching
    _hook_once()
    before, _watching = _watching, recorder

    def undo() -> None:
        global _watching  # noqa: PLW0603
        _watching = before

    return undo


@functools.lru_cache(maxsize=1)
def _hook_once() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is None:
        return
    note = _NOTES.get(event)
    if note is not None:
        note(_watching, event, arguments)


def _opened(recorder: Recorder, _: str, arguments: tuple[Any, ...]) -> None:
    path, flags = arguments[0], arguments[2]
    if isinstance(flags, int) and flags & _WRITING and not isinstance(path, int):
        _changed(recorder, "open for writing", arguments)


def _other(recorder: Recorder, event: str, arguments: tuple[Any, ...]) -> None:
    _changed(recorder, _CHANGES[event], arguments)


def _changed(recorder: Recorder, how: str, arguments: tuple[Any, ...]) -> None:
    path = _text(arguments[0])
    if path in (":memory:", os.devnull) or path.startswith("/dev/") or _is_incidental(recorder):
        return
    recorder.add(FileChanged, path=_named(recorder, path), how=how, location=recorder.here())


def _started(recorder: Recorder, event: str, arguments: tuple[Any, ...]) -> None:
    # It has told of its process itself, and CPython 3.13 starts some of them by `posix_spawn`.
    if _is_incidental(recorder) or (event != "subprocess.Popen" and _is_of(subprocess, _caller())):
        return
    command = (
        arguments[1] if event == "subprocess.Popen" else arguments[0] if arguments else "a copy of itself"
    )
    words = command if isinstance(command, (list, tuple)) else [command]
    recorder.add(ProcessStarted, command=" ".join(map(_text, words)), location=recorder.here())


_NOTES: Mapping[str, Callable[[Recorder, str, tuple[Any, ...]], None]] = {
    "open": _opened,
    **dict.fromkeys(_CHANGES, _other),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.forkpty"), _started),
}


def _is_incidental(recorder: Recorder) -> bool:
    """Whether it is the doing of the interpreter, of a log or of this plugin, the nearest on the stack."""
    frame = _caller()
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename.startswith(_INCIDENTAL) or _INCIDENTAL_PACKAGES.search(filename):
            return True
        if recorder.is_user(filename):
            return False
        frame = frame.f_back
    return False


def _caller() -> FrameType | None:
    """Who did what the hook is told of."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _is_of(module: ModuleType, frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename == module.__file__


def _text(value: object) -> str:
    if isinstance(value, (str, bytes, os.PathLike)):
        return os.fsdecode(value)
    return str(value)


def _named(recorder: Recorder, path: str) -> str:
    """A path that is the same on every run and every machine."""
    absolute = os.path.abspath(path)
    within = recorder.relative(absolute)
    if within is not None:
        return _RANDOM_NAME.sub("tmp...", within)
    temporary = "the folder for temporary files"
    if absolute == tempfile.gettempdir():  # tempfile opens the folder before it opens the file
        return temporary
    if absolute.startswith(tempfile.gettempdir() + os.sep):
        return f"{os.path.basename(_RANDOM_NAME.sub('tmp...', absolute))} in {temporary}"
    return absolute
