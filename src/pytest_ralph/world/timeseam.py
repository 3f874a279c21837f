"""The seam where a program meets time: clocks read virtual time, and sleeping lets it pass."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from pytest_ralph.world import real
from pytest_ralph.world.clock import NS, VirtualClock
from pytest_ralph.world.repoint import Repointed, Undo

Sleep = Callable[[float], None]


class TimeSeam:
    """Redirects the clock functions and ``time.sleep`` to a virtual clock.

    One object serves all worlds of a run, one after another: what it redirects is made once.
    """

    def __init__(self) -> None:
        self._clock = VirtualClock(0, 0)
        self._sleep: Sleep = real.sleep
        self._redirects = [
            Repointed(builtin, replacement) for builtin, replacement in self._replacements().items()
        ]

    def install(self, clock: VirtualClock, sleep: Sleep) -> Undo:
        """Make everybody see ``clock`` and wait by ``sleep``. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._clock, self._sleep = clock, sleep
            for redirect in self._redirects:
                stack.callback(redirect.install())
            stack.callback(_move_wall_clock(clock))
            stack.callback(_free_of_charge(clock))
            return stack.pop_all().close

    def _forget(self) -> None:
        self._clock, self._sleep = VirtualClock(0, 0), real.sleep

    def _replacements(self) -> dict[Any, Callable[..., Any]]:
        return {
            time.monotonic: self._monotonic,
            time.monotonic_ns: self._monotonic_ns,
            time.perf_counter: self._monotonic,
            time.perf_counter_ns: self._monotonic_ns,
            time.time: self._time,
            time.time_ns: self._time_ns,
            time.clock_gettime: self._clock_gettime,
            time.clock_gettime_ns: self._clock_gettime_ns,
            time.sleep: self._sleep_for,
        }

    def _monotonic(self) -> float:
        return self._clock.read() / NS

    def _monotonic_ns(self) -> int:
        return self._clock.read()

    def _time(self) -> float:
        return self._clock.read_wall() / NS

    def _time_ns(self) -> int:
        return self._clock.read_wall()

    def _clock_gettime(self, clock_id: int, /) -> float:
        return self._clock_gettime_ns(clock_id) / NS

    def _clock_gettime_ns(self, clock_id: int, /) -> int:
        if clock_id in _MONOTONIC:
            return self._clock.read()
        if clock_id in _WALL:
            return self._clock.read_wall()
        nanoseconds: int = _real_clock_gettime_ns(clock_id)
        return nanoseconds

    def _sleep_for(self, seconds: float, /) -> None:
        if not isinstance(seconds, (int, float)) or not math.isfinite(seconds) or seconds <= 0:
            real.sleep(seconds)  # raises what it always raises, or gives the GIL away for zero
        else:
            self._sleep(seconds)


def _move_wall_clock(clock: VirtualClock) -> Undo:
    """Have time-machine answer ``datetime.now`` and its kin from our clock.

    It knows the C functions; its traveller's ``time_ns`` is where each of them asks for the time.
    """
    import time_machine

    travel = time_machine.travel(0, tick=False)
    traveller = travel.start()
    traveller.time_ns = clock.read_wall  # type: ignore[method-assign]
    return travel.stop


def _free_of_charge(clock: VirtualClock) -> Undo:
    """Let time stand still while garbage is collected, also for who measures that, as Hypothesis does."""

    def begins(phase: str, _: object) -> None:
        if phase == "start":
            clock.collects(phase)

    def ends(phase: str, _: object) -> None:
        if phase == "stop":
            clock.collects(phase)

    def undo() -> None:
        with suppress(ValueError):  # somebody has cleared them
            gc.callbacks.remove(begins)
            gc.callbacks.remove(ends)

    gc.callbacks.insert(0, begins)
    gc.callbacks.append(ends)
    return undo


def _clock_ids(*names: str) -> frozenset[int]:
    return frozenset(getattr(time, name) for name in names if hasattr(time, name))


_MONOTONIC = _clock_ids("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME")
_WALL = _clock_ids("CLOCK_REALTIME", "CLOCK_TAI")
_real_clock_gettime_ns = real._copy(time.clock_gettime_ns)
