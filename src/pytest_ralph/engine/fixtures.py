"""What the fixtures give to tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import pytest

from pytest_ralph.core.fault import Fault, can_show
from pytest_ralph.core.quantity import seconds as as_seconds
from pytest_ralph.core.quantity import size
from pytest_ralph.core.timeline import HandedOver, Timeline, Waited
from pytest_ralph.engine.session import CASE
from pytest_ralph.faults import Slow, Status
from pytest_ralph.world import memory
from pytest_ralph.world.allocators import occupied
from pytest_ralph.world.callables import Dependency
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
    with ExitStack() as stack:
        # What is taken up would count for a limit that is there already.
        if before[0] == resource.RLIM_INFINITY:
            stack.enter_context(occupied(memory.reserved))
        stack.callback(resource.setrlimit, resource.RLIMIT_DATA, before)
        # A limit that is there already, as that of a block around this one, holds as well.
        most = [memory.reserved() + allowed, *(each for each in before if each != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(most), before[1]))
        yield


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

    def recorded() -> Timeline:
        world.scheduler.settle()  # what clients have sent last, such as that they accept no certificate
        return world.timeline

    return recorded


def python_callable(request: pytest.FixtureRequest) -> Callable[..., Dependency]:
    """See the ``ralph_callable`` fixture."""
    return _world(request).callable


class Everywhere:
    """A fault that all declared dependencies show at once.

    Args:
        world: The world.
        name: The fixture's name.
        make: Makes the fault.
    """

    def __init__(self, world: World, name: str, make: Callable[..., Fault]) -> None:
        self._world = world
        self._name = name
        self._make = make
        self.used = False

    def __call__(self, *args: Any, times: int | None = None, **kwargs: Any) -> AbstractContextManager[object]:
        """Show the fault, on all that is declared by now and can show it.

        Args:
            args: What the fault is made with.
            times: How many attempts meet it, of each dependency; None while it lasts.
            kwargs: What the fault is made with.

        Returns:
            A context manager, at the end of which is shown what was shown before.

        Raises:
            TypeError: An argument of the fault is of the wrong type.
            ValueError: An argument is wrong, or nothing is declared that can show the fault.
        """
        fault = self._make(*args, **kwargs)
        shown = [each for each in self._world.dependencies if each.faulted and can_show(each.kind, fault)]
        if not shown:
            raise ValueError(
                f"{self._name}: nothing is declared that can show {fault!r}; declare it before, such as with "
                'ralph_upstream("https://api.pay.example")'
            )
        undone = ExitStack()
        for each in shown:
            undone.callback(each.show(fault, times))
        self.used = True
        return undone

    def check_used(self) -> None:
        """Fail a test that asks for the fault and never shows it: it would pass without having met it."""
        if not self.used:
            pytest.fail(f"{self._name} was never called, so nothing was broken: call it in the test")


def slow(request: pytest.FixtureRequest) -> Everywhere:
    """See the ``ralph_slow`` fixture."""
    return Everywhere(_world(request), "ralph_slow", lambda delay="2 s": Slow(delay))


def server_error(request: pytest.FixtureRequest) -> Everywhere:
    """See the ``ralph_5xx`` fixture."""

    def make(code: int = 503) -> Fault:
        if code not in range(500, 600):
            raise ValueError(f"ralph_5xx needs a status code from 500 to 599, got {code!r}")
        return Status(code)

    return Everywhere(_world(request), "ralph_5xx", make)


def returned(request: pytest.FixtureRequest) -> Callable[[T], T]:
    """See the ``ralph_returned`` fixture."""
    recorder = _world(request).recorder

    def hand_over(value: T) -> T:
        kept = value
        with suppress(Exception):  # what cannot be copied is hardly changed later
            kept = copy.deepcopy(value)
        recorder.add(HandedOver, value=kept)
        return value

    return hand_over
