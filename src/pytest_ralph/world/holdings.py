"""What the user's modules hold: the collections that were there before, and how many things are in each.

A list that gets longer by small things shows in the memory in use as a few large steps, far apart; its length
tells at any time. Collections that are made later are found by what allocates them, see `census`.
"""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.timeline import Kept

_COLLECTIONS = (list, dict, set, deque, bytearray)
# Through these a way leads to everything there is.
_DOORS = (ModuleType, FrameType, CodeType, BuiltinFunctionType)
_NOT_THEIRS = ("pytest_ralph", "_pytest", "pluggy", "pytest")
# So many things are looked at, which takes some milliseconds.
_MOST = 20_000


class Holdings:
    """Remembers what there is when it is made.

    Args:
        locator: Knows the user's code.
    """

    def __init__(self, locator: Locator) -> None:
        self._locator = locator
        self._found = [(each, _length(each), name, module) for each, name, module in self._walk()]

    def take(self) -> tuple[Kept, ...]:
        """The collections that have become longer or shorter, by how much, and where they belong."""
        return tuple(
            Kept(name=f"{module.__name__}.{name}", more=now - before, location=self._line(module, name))
            for each, before, name, module in self._found
            if (now := _length(each)) != before
        )

    def _walk(self) -> Iterator[tuple[object, str, ModuleType]]:
        """All collections that can be reached from the user's modules, nearer ones first."""
        ways: deque[tuple[Any, str, ModuleType]] = deque()
        for module in list(sys.modules.values()):
            if self._is_theirs(module):
                ways.extend((value, name, module) for name, value in vars(module).items() if name[:2] != "__")
        seen: set[int] = set()
        while ways and len(seen) < _MOST:
            each, name, module = ways.popleft()
            if id(each) in seen or not self._is_way(each):
                continue
            seen.add(id(each))
            if issubclass(type(each), _COLLECTIONS):
                yield each, name, module
            ways.extend((part, name, module) for part in _parts(each))

    def _is_way(self, each: Any) -> bool:
        """Whether what this holds belongs to the user's code, too."""
        # What a proxy says of its own class may be that of something that is only made when it is asked for.
        kind = type(each)
        if issubclass(kind, _COLLECTIONS):
            return True
        if issubclass(kind, _DOORS) or not gc.is_tracked(each):
            return False
        if issubclass(kind, type):
            return self._is_theirs(sys.modules.get(str(getattr(each, "__module__", ""))))
        if issubclass(kind, FunctionType):
            return self._locator.is_user(each.__code__.co_filename)
        return str(kind.__module__).partition(".")[0] not in _NOT_THEIRS

    def _is_theirs(self, module: object) -> bool:
        if not issubclass(type(module), ModuleType):
            return False
        # Not by getattr: modules that are loaded when something is asked of them are to be left alone.
        file = vars(module).get("__file__")
        return isinstance(file, str) and self._locator.is_user(file)

    def _line(self, module: ModuleType, name: str) -> Location | None:
        line = _assigned(str(module.__file__)).get(name)
        return None if line is None else self._locator.at(str(module.__file__), line, "<module>")


def _length(each: Any) -> int:
    """The length of a collection, whatever its class makes of that."""
    return next(kind.__len__(each) for kind in _COLLECTIONS if issubclass(type(each), kind))


def _parts(each: Any) -> list[Any]:
    if issubclass(type(each), FunctionType):
        # Not its globals: those of the user's modules are looked at anyway.
        return [each.__defaults__, each.__kwdefaults__, each.__closure__, each.__dict__]
    return gc.get_referents(each)


@functools.cache
def _assigned(filename: str) -> dict[str, int]:
    """The line in which each global name of a file is assigned or defined first."""
    try:
        tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, int] = {}
    for node in tree.body:
        for part in ast.walk(node) if isinstance(node, (ast.Assign, ast.AnnAssign)) else (node,):
            name = part.id if isinstance(part, ast.Name) else getattr(part, "name", None)
            if isinstance(name, str):
                found.setdefault(name, node.lineno)
    return found
