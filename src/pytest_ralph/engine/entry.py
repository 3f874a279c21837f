"""Finds the call by which a value enters the user's code: what a person would paste to see the same again."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.pasting import call

# The implicit first arguments of methods; a call to paste does not name them.
_IMPLICIT = ("self", "cls")


@dataclass(kw_only=True)
class Entry:
    """The first call in the user's code that was given a value.

    Attributes:
        location: The function that was called, at its first line; the first one that was called at all if the
            value was never seen to go into the user's code.
        call: The call as code; empty if the value was never seen to go into the user's code.
    """

    location: Location | None = None
    call: str = ""


@contextmanager
def followed(value: object, body: frozenset[CodeType], locator: Locator) -> Generator[Entry]:
    """Watch the calls that are made in this block.

    Args:
        value: The value to follow.
        body: The code of the test body, which does not count as user's code here.
        locator: Knows the user's code.
    """
    entry = Entry()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or entry.call or not locator.is_user(frame.f_code.co_filename):
            return
        if frame.f_code in body or frame.f_code.co_name.startswith("<"):
            return
        given = list(_arguments(frame))
        code = frame.f_code
        takes_it = any(each is value for _, each in given)
        if takes_it or entry.location is None:
            entry.location = locator.at(code.co_filename, code.co_firstlineno, code.co_name)
        if takes_it:
            entry.call = call(_name(frame), ((key, each) for key, each in given if key not in _IMPLICIT))

    if sys.getprofile() is not None:  # somebody measures: a thread has one profiler only
        yield entry
        return
    sys.setprofile(watch)
    try:
        yield entry
    finally:
        sys.setprofile(None)


def _arguments(frame: FrameType) -> Iterator[tuple[str, object]]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    local = frame.f_locals
    return ((name, local[name]) for name in names if name in local)


def _name(frame: FrameType) -> str:
    """The name to call: that of the class for its constructor."""
    code = frame.f_code
    if code.co_name == "__init__" and code.co_varnames:
        return type(frame.f_locals[code.co_varnames[0]]).__name__
    return code.co_name
