"""Many calls of one body: under load at moments fixed before, or one by one with what each costs the machine.

How the body is called is in `engine.body`, and what the figures mean is for a skill to say.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType

from pytest_ralph.core.timeline import (
    Answered,
    CallEnded,
    Computed,
    Event,
    Loaded,
    Requested,
    Returned,
    Spent,
    Timed,
)
from pytest_ralph.world import real
from pytest_ralph.world.world import World

# Virtual seconds between the starts of callers at the same moment.
_INSTANT = 1e-6
# Virtual seconds in which the clock is looked at: no wait is that short.
_NO_TIME = 0.0005
# Real seconds that a piece of work takes by which the machine's noise is told, and its first length.
_SPIN = 0.0005
_TURNS = 1_000
# Real seconds between two looks with a real clock.
_REAL_STEP = 0.0005
# Calls before those that are measured one by one.
_WARM_UP = 2


@dataclass(kw_only=True)
class Load:
    """One load while it goes on, see `engine.body.Load`.

    Attributes:
        world: Where time passes.
        begin: Told of the number of each call that begins.
        end: Told of the number of each call that has ended, and of how.
        due: When calls are due, in seconds from the end of the warm-up.
        warm_up: How many calls come before.
        at_most: How many calls are under way at the same time.
    """

    world: World
    begin: Callable[[int], None]
    end: Callable[[int, BaseException | None], None]
    due: tuple[float, ...]
    warm_up: int
    at_most: int
    _start: int = 0
    _events: int = 0
    _ends: dict[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def numbers(self) -> range:
        """The calls that count."""
        return range(self.warm_up, self.warm_up + len(self.due))

    def starts(self) -> None:
        """The moments count from now."""
        self._start = self.world.clock.now
        self._events = len(self.world.recorder.events)

    def left(self, number: int) -> float:
        """Seconds until a call is due."""
        return max(0.0, (self._due(number) - self.world.clock.now) / 1e9)

    def wait(self, ready: Callable[[], object], seconds: float | None = None) -> None:
        """Wait until something is so, or until time has passed."""
        clock, scheduler = self.world.clock, self.world.scheduler
        deadline = None if seconds is None else clock.now + round(seconds * 1e9)
        if clock.virtual:
            scheduler.wait(ready, deadline)
            return
        # With a real clock nobody knows what threads wait for, and so none of them waits for ever.
        while not ready() and (deadline is None or clock.now < deadline):
            scheduler.settle()
            real.sleep(_REAL_STEP)

    def settle(self) -> None:
        """Come back when every thread waits."""
        self.world.advance(_INSTANT)

    def began(self, number: int) -> None:
        """A call begins."""
        self.begin(number)

    def ended(self, number: int, outcome: BaseException | None) -> None:
        """A call has come back."""
        moment = self.world.clock.now
        self.end(number, outcome)
        error = "" if outcome is None else f"{type(outcome).__name__}: {outcome}"
        self._ends[number] = (moment, error)

    def loaded(self, *, tasks: bool, declared: bool) -> Loaded:
        """What came of it.

        Args:
            tasks: Whether the callers were tasks of one event loop.
            declared: Whether the test declares dependencies.
        """
        events = self.world.recorder.events[self._events :]
        return Loaded(
            at=0.0,
            calls=tuple(self._timed(number) for number in self.numbers),
            warm_up=self.warm_up,
            tasks=tasks,
            virtual=self.world.clock.virtual,
            requests=sum(isinstance(event, Requested) for event in events),
            declared=declared,
            instant=_instant(events),
            endless=any(number not in self._ends for number in self.numbers),
        )

    def _due(self, number: int) -> int:
        return self._start + round(self.due[number - self.warm_up] * 1e9)

    def _timed(self, number: int) -> Timed:
        due = self._due(number)
        moment, error = self._ends.get(number, (self.world.clock.now, "it never came back"))
        seconds = self.world.recorder.seconds
        return Timed(due=seconds(due), took=round((moment - due) / 1e9, 6), error=error)


def _instant(events: Iterable[Event]) -> tuple[str, ...]:
    """Services all of whose answers came without any time passing."""
    asked: dict[int, Requested] = {}
    instant: dict[str, bool] = {}
    for event in events:
        if isinstance(event, Requested):
            asked[event.attempt] = event
        elif isinstance(event, (Answered, Returned)) and event.attempt in asked:
            at_once = event.at - asked[event.attempt].at < _NO_TIME
            instant[event.upstream] = at_once and instant.get(event.upstream, True)
    return tuple(url for url, at_once in instant.items() if at_once)


class Meter:
    """A context that measures what is done in it.

    Args:
        world: Where it is done.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._before = (0.0, 0.0, 0.0)
        self.spent = Spent(computed=0.0)

    def __enter__(self) -> None:
        self._world.scheduler.metered = True
        self._before = self._read()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        after = self._read()
        self._world.scheduler.metered = False
        computed, simulating, blocked = (
            max(0.0, now - was) for now, was in zip(after, self._before, strict=True)
        )
        self.spent = Spent(computed=computed, simulating=simulating, blocked=blocked)

    def _read(self) -> tuple[float, float, float]:
        world = self._world
        # With a real clock, waits are what is measured: there is nothing to tell them from.
        outside = sum(world.scheduler.outside.values()) / 1e9
        blocked = world.blocked + outside if world.clock.virtual else 0.0
        return processor_time(), world.scheduler.computed, blocked


def processor_time() -> float:
    """Seconds that this process has computed, and those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return real.process_time_ns() / 1e9 + children.ru_utime + children.ru_stime


def measured(world: World, call: Callable[[Meter], CallEnded], calls: int) -> Computed:
    """Measure calls one by one, and between them the noise of the machine.

    Args:
        world: Where they are made.
        call: Makes one, in a meter.
        calls: How many.
    """
    for _ in range(_WARM_UP):
        call(Meter(world))
    turns = _calibrated()
    clock = real.thread_time_ns if world.clock.virtual else real.monotonic_ns
    before = world.recorder.attempt
    found: list[Spent] = []
    spins: list[float] = []
    endless = False
    with _no_collection():
        for _ in range(calls):
            # One that never comes back takes long to be known for it, and so would all that follow.
            if not endless:
                meter = Meter(world)
                end = call(meter)
                endless = end.endless
            found.append(replace(meter.spent, error=end.error or ""))
            spins.append(_spin(turns, clock))
    return Computed(at=0.0, calls=tuple(found), spins=tuple(spins), requests=world.recorder.attempt - before)


@contextmanager
def _no_collection() -> Generator[None]:
    """Keep the garbage of the whole test run from being collected in this block, at the cost of one call."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _spin(turns: int, clock: Callable[[], int] = real.thread_time_ns) -> float:
    """Do a fixed piece of work, and tell how many seconds it took by a clock."""
    began = clock()
    number = 1
    for _ in range(turns):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return (clock() - began) / 1e9


def _calibrated() -> int:
    """How long a piece of work must be to be measured well on this machine."""
    turns = _TURNS
    while min(_spin(turns) for _ in range(3)) < _SPIN:
        turns *= 2
    return turns
