"""What the operating system knows about the threads of this process: does any of them still run?

A thread that waits where the world can see it is known to the scheduler. Any other may be computing, or it
may sleep in something the world does not model: an idle pool worker, a C extension, another plugin's helper.
The kernel knows which. A thread that waits for the GIL also looks asleep, but it wakes up each few
milliseconds to ask for it: only a thread whose run counter has not moved for longer is taken to sleep.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

from pytest_ralph.world import real

# Nanoseconds for which a thread that was there before the world is to have slept: it has no part in the play,
# as a rule, and is told to be at work by having run since the last look.
_BYSTANDERS_NAP = 200_000
# How many times longer than the interpreter lets a thread wait for the GIL before it asks again: a virtual
# machine of a busy host may be late to wake it.
_LONGER = 4


class Threads:
    """Watches the threads of the process other than those the scheduler knows."""

    def __init__(self) -> None:
        # What each was last seen to have run, and since when, in real nanoseconds.
        self._asleep = {tid: (run, 0) for tid, run in self._sample(frozenset()).items() if run}
        self._bystanders = frozenset(self._asleep)
        self._number = _number()
        self._nap = round(sys.getswitchinterval() * 1e9 * _LONGER)

    @property
    def changed(self) -> bool:
        """Whether threads have come or gone since."""
        return _number() != self._number

    def all_asleep(self, known: frozenset[int], players: Collection[int]) -> bool:
        """Whether every other thread is asleep, as far as can be told from this look and those before.

        Between two looks the GIL is to be given away.

        Args:
            known: Native ids of the threads that wait where the scheduler sees it.
            players: Those which have ever done so.
        """
        now = real.monotonic_ns()
        asleep = True
        for tid, run in self._sample(known).items():
            before, since = self._asleep.get(tid, (b"", now))
            if not run or run != before:
                self._asleep[tid] = run, now
                asleep = False
            elif since:
                stranger = tid in self._bystanders and tid not in players
                asleep = asleep and now - since >= (_BYSTANDERS_NAP if stranger else self._nap)
        return asleep

    def strangers(self, known: frozenset[int]) -> bool:
        """Whether there are threads that came after the world did and sleep where it cannot see."""
        return bool(self._sample(known).keys() - self._bystanders)

    def _sample(self, known: frozenset[int]) -> dict[int, bytes]:
        """Run counters of sleeping threads, empty for a thread that runs."""
        me = real.thread_id()
        found = {}
        for name in os.listdir("/proc/self/task"):
            tid = int(name)
            if tid != me and tid not in known and (run := _look(name)) is not None:
                found[tid] = run
        return found


def _number() -> int:
    """How many threads there are: each is a folder, which the folder above counts as a link."""
    return os.stat("/proc/self/task").st_nlink


def _look(tid: str) -> bytes | None:
    """The thread's scheduler statistics if it sleeps, else nothing; None if it is gone."""
    try:
        with open(f"/proc/self/task/{tid}/stat", "rb", buffering=0) as file:
            stat = file.read()
        if stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] not in b"SIT":
            return b""
        with open(f"/proc/self/task/{tid}/schedstat", "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
