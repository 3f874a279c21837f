"""What the operating system knows about the threads of this process: does any of them still run?

A thread that waits where the world can see it is known to the scheduler. Any other may be computing, or it
may sleep in something the world does not model: an idle pool worker, a C extension, another plugin's helper.
The kernel knows which. A thread that waits for the GIL also looks asleep, so a single look is not enough: the
GIL is given away between two looks, and only a thread whose run counter did not move is taken to sleep.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from pytest_ralph.world import real

_LOOK_APART = 0.0002


class Threads:
    """Watches the threads of the process other than those the scheduler knows."""

    def __init__(self) -> None:
        self._asleep = {tid: run for tid, run in self._sample(frozenset()).items() if run}
        self._bystanders = frozenset(self._asleep)

    def all_asleep(self, known: frozenset[int], sleep: Callable[[float], None]) -> bool:
        """Whether every other thread is asleep.

        Args:
            known: Native ids of the threads that wait where the scheduler sees it.
            sleep: Really sleeps for so many seconds.
        """
        first = self._sample(known)
        if all(run and self._asleep.get(tid) == run for tid, run in first.items()):
            return True
        sleep(_LOOK_APART)
        second = self._sample(known)
        if any(not run or first.get(tid) != run for tid, run in second.items()):
            return False
        self._asleep.update(second)
        return True

    def strangers(self, known: frozenset[int]) -> bool:
        """Whether there are threads that came after the world did and sleep where it cannot see."""
        return bool(self._sample(known).keys() - self._bystanders)

    def _sample(self, known: frozenset[int]) -> dict[int, bytes]:
        """Run counters of sleeping threads, empty for a thread that runs."""
        me = real.thread_id()
        found = {}
        for name in os.listdir("/proc/self/task"):
            tid = int(name)
            if tid != me and tid not in known:
                found[tid] = _look(name)
        return found


def _look(tid: str) -> bytes:
    """The thread's scheduler statistics if it sleeps, else nothing."""
    try:
        with open(f"/proc/self/task/{tid}/stat", "rb", buffering=0) as file:
            stat = file.read()
        if stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] not in b"SIT":
            return b""
        with open(f"/proc/self/task/{tid}/schedstat", "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b"gone"
