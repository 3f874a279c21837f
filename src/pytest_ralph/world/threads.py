"""What the operating system knows about the threads of this process: does any of them still run?

A thread that waits where the world can see it is known to the scheduler. Any other may be computing, or it
may sleep in something the world does not model: an idle pool worker, a C extension, another plugin's helper.
The kernel knows which, and for what: a thread that waits for the GIL is about to run. Only one that waits for
something else, and whose run counter has not moved for a while, is taken to sleep.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection
from contextlib import suppress

from pytest_ralph.world import real

# Nanoseconds for which a thread that was there before the world is to have slept: it has no part in the play,
# as a rule, and is told to be at work by having run since the last look.
_BYSTANDERS_NAP = 200_000
# The same for others, which may wait for a moment to get some lock of the system's. Where the kernel does not
# say who waits for the GIL, that is told by this, too: such a thread wakes up every five milliseconds, but it
# may be late on a virtual machine of a busy host.
_NAP = 20_000_000
# What begins at `_PyRuntime` is half as large in CPython 3.13.
_SIZE = 1024 * 1024


class Threads:
    """Watches the threads of the process other than those the scheduler knows."""

    def __init__(self) -> None:
        # What each was last seen to have run, and since when, in real nanoseconds.
        self._asleep = {tid: (run, 0) for tid, run in self._sample(frozenset()).items() if run}
        self._bystanders = frozenset(self._asleep)
        self._number = _number()

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
                napped = now - since >= (_BYSTANDERS_NAP if stranger else _NAP)
                asleep = asleep and napped and not is_about_to_run(tid)
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


def is_about_to_run(tid: int) -> bool:
    """Whether a thread that looks asleep waits for the GIL, or has come to run meanwhile.

    To look gives the GIL away, so that the next in line for it runs, as soon as there is a processor.

    Args:
        tid: Its native id.
    """
    try:
        with open(f"/proc/self/task/{tid}/syscall", "rb", buffering=0) as file:
            told = file.read().split()
    except OSError:
        return False
    # The number of the call, and its arguments: the first one of a wait for a lock is its address.
    return not told or not told[0].isdigit() or int(told[1], 16) in STATE


def _state() -> range:
    with suppress(ValueError):  # another one than CPython
        begin = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        return range(begin, begin + _SIZE)
    return range(0)


STATE = _state()
"""Where the interpreter keeps its own state, the GIL among it; nowhere if it does not tell."""


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
