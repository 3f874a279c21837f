"""Waits, in a process that is measured, for the work that a call has left to threads and processes.

A call that hands its work on and returns uses no less memory than one that does it itself: the process that
it is measured in must not end before that work does. Idle workers of a pool are not waited for, and work that
never ends only for a while.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable

from pytest_ralph.core.location import Locator
from pytest_ralph.engine.apart import descendants
from pytest_ralph.world import real

# Seconds of real time between two looks.
_LOOK = 0.01
# Nanoseconds of real time for which all that is left has to sleep to be taken for what waits for more to do,
# and after which it is waited for no longer.
_ASLEEP = 500_000_000
_PATIENCE = 10_000_000_000
# Nanoseconds of computing between two looks that are more than looking whether there is something to do.
_WORK = 1_000_000


def wait(locator: Locator) -> None:
    """Come back when nothing that the call began is at work any more.

    Args:
        locator: Knows the user's code: a thread that is not in it waits for something to do.
    """
    began = awake = now = real.monotonic_ns()
    computed = 0
    while now - began < _PATIENCE and now - awake < _ASLEEP:
        children, threads = descendants(os.getpid()), _at_work(locator)
        if not children and not threads:
            return
        before, computed = computed, _computed(threads)
        real.sleep(_LOOK)
        now = real.monotonic_ns()
        if computed - before > _WORK or any(map(_runs, children)):
            awake = now


def _at_work(locator: Locator) -> list[int]:
    """The other threads that are in the user's code, by their native ids, whatever they wait for there."""
    frames, me, found = sys._current_frames(), threading.get_ident(), []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0) if thread.ident != me else None
        while frame is not None and not locator.is_user(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None and thread.native_id is not None:
            found.append(thread.native_id)
    return found


def _computed(threads: Iterable[int]) -> int:
    """Nanoseconds that threads have computed."""
    total = 0
    for each in threads:
        total += int((_read(f"/proc/self/task/{each}/schedstat").split() or [b"0"])[0])
    return total


def _runs(pid: int) -> bool:
    """Whether a process computes, or waits for a disk."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([b"R"], [b"D"])


def _read(path: str) -> bytes:
    """A file of the kernel's; nothing if what it tells of is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""
