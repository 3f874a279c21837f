"""What the fixtures give to tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pytest

from pytest_ralph.core.quantity import seconds as as_seconds
from pytest_ralph.core.timeline import Returned, Timeline, Waited
from pytest_ralph.engine.session import CASE
from pytest_ralph.world.upstream import Upstream
from pytest_ralph.world.world import World

T = TypeVar("T")


class Clock:
    """The clock of the simulated world.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def now(self) -> float:
        """Virtual seconds since the test or the judged call began, to the millisecond."""
        return round(self._world.recorder.seconds(self._world.clock.now), 3)

    def advance(self, seconds: float | str) -> None:
        """Let virtual time pass, with everything that is due in it.

        Args:
            seconds: How much, in seconds or as text such as ``"1 min"``.

        Raises:
            TypeError: It is neither a number nor text.
            ValueError: It is negative or not a duration.
        """
        self._world.advance(as_seconds(seconds, name="seconds"))

    @property
    def sleeps(self) -> list[float]:
        """How long each wait of the code under test took, in virtual seconds."""
        return [round(each.until - each.at, 3) for each in self._world.timeline.of(Waited)]


def _world(request: pytest.FixtureRequest) -> World:
    case = request.node.stash.get(CASE, None)
    if case is None:
        raise pytest.UsageError(
            f"{request.fixturename}: pytest-ralph's fixtures work in test functions, not in {request.node!r}"
        )
    world: World = case.world
    return world


def upstream(request: pytest.FixtureRequest) -> Callable[..., Upstream]:
    """See the ``ralph_upstream`` fixture."""
    return _world(request).upstream


def clock(request: pytest.FixtureRequest) -> Clock:
    """See the ``ralph_clock`` fixture."""
    return Clock(_world(request))


def timeline(request: pytest.FixtureRequest) -> Callable[[], Timeline]:
    """See the ``ralph_timeline`` fixture."""
    world = _world(request)
    return lambda: world.timeline


def returned(request: pytest.FixtureRequest) -> Callable[[T], T]:
    """See the ``ralph_returned`` fixture."""
    recorder = _world(request).recorder

    def hand_over(value: T) -> T:
        kept = value
        with suppress(Exception):  # what cannot be copied is hardly changed later
            kept = copy.deepcopy(value)
        recorder.add(Returned, value=kept)
        return value

    return hand_over
