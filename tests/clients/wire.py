"""What the tests of clients read off the wire, and how they take the luck out of jitter."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_ralph.core.attempts import attempts, operations
from pytest_ralph.core.timeline import Logged
from pytest_ralph.world.world import World

if TYPE_CHECKING:
    import pytest

Live = Callable[[Callable[[], Any]], Any]


def waits(world: World) -> list[float]:
    """The gaps between the attempts of the only operation, in milliseconds of virtual time."""
    (operation,) = operations(world.timeline)
    return [round(gap, 3) for gap in operation.gaps]


def give_ups(world: World) -> list[float]:
    """How long each attempt lasted."""
    return [round((each.ended or 0) - each.started, 2) for each in attempts(world.timeline)]


def announced(world: World, pattern: str) -> list[float]:
    """The seconds that a library says in its own log that it is about to wait."""
    logged = world.timeline.of(Logged)
    return [float(found[1]) for each in logged if (found := re.search(pattern, each.message))]


def draw(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Let what is drawn at random be this share of its range: 0 is the least, 1 the most it can be."""
    monkeypatch.setattr(random, "random", lambda: share)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + share * (high - low))


def within(waits: list[float], low: list[float], high: list[float]) -> bool:
    """Whether there is one wait for each pair of bounds, and it is between them."""
    bounds = zip(waits, low, high, strict=True)
    return all(least - 0.001 <= wait <= most + 0.001 for wait, least, most in bounds)


def named(value: object) -> str:
    """An id for a parametrized case."""
    return value.__name__ if isinstance(value, type) else repr(value)
