"""Puts something else in the place of attributes for a while, and puts back what was there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pytest_ralph.world.repoint import Undo

# Whose attribute, its name, and what is to be found there.
Change = tuple[Any, str, object]
Around = Callable[[Any], Any]

_MISSING = object()


def put(changes: Iterable[Change]) -> Undo:
    """Set attributes of classes, modules or other objects. Returns what puts back what was there before.

    An attribute that was inherited is inherited again.
    """
    before: list[Change] = []

    def undo() -> None:
        while before:
            owner, name, value = before.pop()
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

    try:
        for owner, name, value in changes:
            own = vars(owner).get(name, _MISSING) if hasattr(owner, "__dict__") else getattr(owner, name)
            setattr(owner, name, value)
            before.append((owner, name, own))
    except BaseException:
        undo()
        raise
    return undo


def wrap(owner: Any, name: str, around: Around) -> Undo:
    """Put something around a function or a method. Returns what takes it away."""
    return put([(owner, name, around(getattr(owner, name)))])
