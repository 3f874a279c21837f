"""Virtual time: frozen but for one microsecond per read, so that it strictly increases and repeats exactly.

The clock only keeps and moves time. Who may move it, and when, is decided by the scheduler; which functions
read it is decided in `world.timeseam`.
"""

from __future__ import annotations

from pytest_ralph.core.timeline import PHASE
from pytest_ralph.world import real

NS = 1_000_000_000
TICK = 1_000
_IMPATIENT_AFTER = 50_000
# How often the garbage collector may read the clock in one run.
_FREE_READS = 1_000


def aligned(moment: int) -> int:
    """The next moment at which a timeline may begin, see `pytest_ralph.core.timeline.PHASE`."""
    phase = round(PHASE * NS)
    return -(-(moment - phase) // NS) * NS + phase


class VirtualClock:
    """A clock in nanoseconds that moves when it is told to.

    Args:
        start: First value of the monotonic clock.
        wall: First value of the wall clock, nanoseconds since 1970; rounded up to a whole second, so that
            dates in headers, which have no fractions, come out the same on every run.
    """

    virtual = True

    def __init__(self, start: int, wall: int) -> None:
        self._now = start
        self._wall_offset = -(-wall // NS) * NS - start
        self._reads = 0
        self._free = 0

    @property
    def now(self) -> int:
        """Monotonic nanoseconds, without counting as a read."""
        return self._now

    @property
    def wall(self) -> int:
        """Nanoseconds since 1970, without counting as a read."""
        return self._now + self._wall_offset

    def read(self) -> int:
        """Monotonic nanoseconds, as the code under test reads them."""
        if self._free:
            self._free -= 1
            return self._now
        self._reads += 1
        # A loop that does nothing but look at the clock would take 10 million reads for ten seconds: after
        # so many reads in a row each counts for a millisecond, and the loop ends.
        self._now += TICK if self._reads < _IMPATIENT_AFTER else TICK * 1_000
        return self._now

    def collects(self, phase: str) -> None:
        """Let reads be free while garbage is collected: when that is depends on what the process did before.

        Args:
            phase: ``start`` or ``stop``, as the garbage collector says it.
        """
        self._free = _FREE_READS if phase == "start" else 0

    def read_wall(self) -> int:
        """Nanoseconds since 1970, as the code under test reads them."""
        return self.read() + self._wall_offset

    def move_to(self, moment: int) -> None:
        """Let time pass until ``moment``. Does nothing if that is past."""
        self._reads = 0
        self._now = max(self._now, moment)

    def align(self) -> None:
        """Let time pass until the part of a second at which timelines begin."""
        self.move_to(aligned(self._now))


class RealClock:
    """The machine's own time, for ``--ralph-realtime``."""

    virtual = False

    @property
    def now(self) -> int:
        """Monotonic nanoseconds."""
        return real.monotonic_ns()

    @property
    def wall(self) -> int:
        """Nanoseconds since 1970."""
        return real.time_ns()

    def align(self) -> None:
        """Do nothing: real time begins where it is."""

    def move_to(self, moment: int) -> None:
        """Wait until ``moment``, but not longer than a few milliseconds at a time."""
        left = moment - real.monotonic_ns()
        if left > 0:
            real.sleep(min(left / NS, 0.005))


Clock = VirtualClock | RealClock
