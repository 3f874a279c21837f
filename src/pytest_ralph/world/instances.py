"""Finds the objects of a library's class wherever a program keeps them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from pytest_ralph.world.patching import wrap
from pytest_ralph.world.repoint import Undo


class Instances:
    """The objects of a class made in Python: those there are when they are first asked for, and later ones.

    The search goes through all objects of the process, so it is made once, for several classes in one go
    (`find`). What is made after it, while this is installed, says so itself.

    Args:
        kind: The class. Its objects are hashed by identity and can be referred to weakly.
        made: Called with each object that is made from now on.
    """

    def __init__(self, kind: Any, made: Callable[[Any], None] = lambda _: None) -> None:
        self.kind = kind
        self._made = made
        self._found: weakref.WeakSet[Any] = weakref.WeakSet()
        self.searched = False

    def install(self) -> Undo:
        """See what is made from now on. Returns what undoes it."""

        def around(original: Callable[..., None]) -> Callable[..., None]:
            def init(made: Any, *args: Any, **kwargs: Any) -> None:
                original(made, *args, **kwargs)
                self._found.add(made)
                self._made(made)

            return init

        return wrap(self.kind, "__init__", around)

    def all(self) -> list[Any]:
        """The objects there are, in no particular order."""
        find([self])
        return list(self._found)

    def take(self, found: Iterable[Any]) -> None:
        """These were found by a search."""
        self.searched = True
        self._found.update(found)


def find(wanted: Iterable[Instances]) -> None:
    """Search for all that were not searched for before, in one go."""
    missing = [each for each in wanted if not each.searched]
    found = of(*(each.kind for each in missing)) if missing else []
    for each in missing:
        each.take(one for one in found if isinstance(one, each.kind))


def of(*kinds: type) -> list[Any]:
    """The objects of classes made in Python, and of those made from them: they refer to their class."""
    families = [member for kind in kinds for member in _family(kind)]
    return [each for each in gc.get_referrers(*families) if isinstance(each, kinds)]


def _family(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return [kind, *(each for child in children for each in _family(child))]
