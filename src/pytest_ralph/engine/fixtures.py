"""What the fixtures give to tests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from pytest_ralph.core.quantity import seconds as as_seconds
from pytest_ralph.core.quantity import size
from pytest_ralph.core.timeline import Timeline, Waited
from pytest_ralph.engine.session import CASE
from pytest_ralph.world import memory
from pytest_ralph.world.upstream import Upstream
from pytest_ralph.world.world import World


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


@contextmanager
def oom(limit: int | str) -> Generator[None]:
    """Let memory run out in a block: see the ``ralph_oom`` fixture.

    Args:
        limit: How much more the block may take than there is now: bytes, or text such as ``"50 MB"``.

    Raises:
        TypeError: The limit is neither a whole number nor text.
        ValueError: The limit is no amount of memory.
    """
    import resource

    allowed = size(limit, name="limit")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory.reserved() + allowed, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


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
