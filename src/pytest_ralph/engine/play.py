"""Plays one scenario against one test body and collects what happened.

A faulty scenario is played once for each operation that the healthy call performs, with the fault aimed at
that operation: otherwise only the first request of a call would ever be put to the test. Before each play
much virtual time passes and one healthy call warms the code up, so that breakers, caches and pools that live
in module globals start alike.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pytest_ralph.core.fault import Fault, Request
from pytest_ralph.core.location import Locator
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import Play
from pytest_ralph.core.timeline import CallEnded, CallStarted
from pytest_ralph.world.recorder import EndedByWorld
from pytest_ralph.world.scheduler import NeverEnds
from pytest_ralph.world.upstream import Upstream
from pytest_ralph.world.world import FAR_AHEAD, World

# A path segment that holds a digit is taken for an id, unless it is a version such as v1.
_VARIABLE_PARTS = re.compile(r"(?<=/)(?!v\d+(?:/|$))[^/]*\d[^/]*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a fault is aimed at.

    Attributes:
        upstream: The service.
        operation: Method and path with variable parts replaced; None for the service as a whole.
    """

    upstream: Upstream
    operation: str | None

    def __str__(self) -> str:
        return self.operation or self.upstream.url


@dataclass(frozen=True, kw_only=True)
class Player:
    """Plays scenarios with one test's world and body.

    Attributes:
        world: The simulated world.
        body: Calls the test body again.
        locator: Finds the user's lines.
        seed: Seed of the random numbers the code under test draws.
        resets: Functions that clear state the code keeps between calls.
    """

    world: World
    body: Callable[[], object]
    locator: Locator
    seed: str
    resets: tuple[Callable[[], object], ...] = ()

    def plays(self, scenario: Scenario) -> list[Play]:
        """Play a faulty scenario; the healthy call that comes before it has just succeeded."""
        assert scenario.fault is not None
        found = []
        for number, target in enumerate(self._targets(scenario.fault)):
            if number:
                self._warm_up()
            found.append(self._play(scenario, target))
        return found

    def _targets(self, fault: Fault) -> list[Target]:
        """What the healthy call reached, in order."""
        targets: list[Target] = []
        for upstream in self.world.network.upstreams:
            if upstream.faulted:
                names = [None] if fault.connect_stage else [operation(each) for each in upstream.requests]
                targets += [
                    Target(upstream=upstream, operation=name)
                    for name in dict.fromkeys(names if upstream.requests else [])
                ]
        return targets

    def _warm_up(self) -> None:
        self.world.heal()
        self.world.advance(FAR_AHEAD)
        # The healthy call is judged elsewhere; here it only has to leave a usual state behind.
        with suppress(Exception, NeverEnds, EndedByWorld):
            self.body()

    def _play(self, scenario: Scenario, target: Target) -> Play:
        self.world.heal()
        for reset in self.resets:
            reset()
        random.seed(self.seed)
        only = None if target.operation is None else _matches(target.operation)
        assert scenario.fault is not None
        target.upstream.plan.inject(scenario.fault, times=scenario.times, only=only)
        for index in range(scenario.calls):
            if index:
                self.world.advance(scenario.pause)
            try:
                with self.call(index):
                    self.body()
            except (Exception, NeverEnds, EndedByWorld):  # noqa: BLE001
                continue  # an outcome: it is on the timeline
        return Play(scenario=scenario, timeline=self.world.timeline, aimed_at=str(target))

    @contextmanager
    def call(self, index: int = 0) -> Generator[None]:
        """Record one call of the body: when it began, how it ended, and real time it lost."""
        recorder = self.world.recorder
        recorder.call_begins()
        recorder.add(CallStarted, index=index)
        try:
            with self.world.watch():
                yield
        except BaseException as error:
            self._end(index, error)
            raise
        self._end(index, None)

    def _end(self, index: int, error: BaseException | None) -> None:
        self.world.recorder.call_is_over()
        self.world.scheduler.settle()
        recorder = self.world.recorder
        location = self.locator.of(error.__traceback__) if error is not None else None
        recorder.add(
            CallEnded,
            index=index,
            error=None if error is None else _told(error),
            mro=() if error is None else tuple(kind.__name__ for kind in type(error).__mro__),
            location=location,
        )


def operation(request: Request) -> str:
    """Method and path of a request, with parts that hold digits taken as variable."""
    path = request.target.partition("?")[0]
    return f"{request.method} {_VARIABLE_PARTS.sub('*', path)}"


def _matches(name: str) -> Callable[[Request], bool]:
    return lambda request: operation(request) == name


def _told(error: BaseException) -> str:
    if isinstance(error, (NeverEnds, EndedByWorld)):
        return "nothing: it was ended by the world"
    text = " ".join(str(error).split())
    text = text if len(text) <= 120 else text[:117] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def seed_for(base: int, nodeid: str) -> str:
    """A seed that is the same for a test on every run, wherever it runs."""
    return f"{base}:{zlib.crc32(nodeid.encode())}"
