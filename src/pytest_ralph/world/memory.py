"""Measures the memory that a forked process and all that it starts use at a time.

What counts is memory that was touched and cannot be dropped, as in a container: a reservation costs nothing.
The process itself is measured by the kernel's own high-water mark (``VmHWM``), which no peak escapes, however
short. Processes that it forks from Python leave their own mark behind when they end. Any other is looked at
from outside every few milliseconds.

The mark is above what the process had when the measuring began. So that nothing is used that was there
before, what is free in the allocators then is given back or filled, and the pages of mapped files, which a
fork does not take along, are mapped.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world import real

MECHANISM = "peak resident set of the process, its children sampled"

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MADV_POPULATE_READ = 22
_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ ([1-9]\d*) ", re.MULTILINE)
# Sizes that Python's allocator of small objects keeps apart; the two smallest are not worth the trouble.
_SMALL = range(48, 513, 16)
_FILL_STEP = 128 * 1024
_HEADER = b"".__sizeof__()


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is known of a process that the measured one has forked.

    Attributes:
        began: When, in nanoseconds of the monotonic clock.
        ended: When.
        held: Bytes that the one that forked it was using then.
        peak: Bytes that it used at most, beyond what it had from that one.
    """

    began: int
    ended: int
    held: int
    peak: int


class Meter:
    """Measures one process: part of it works in the process itself, part in its parent.

    Args:
        cap: What the process is held to.
    """

    def __init__(self, cap: MemoryCap) -> None:
        self.cap = cap
        self.peak = 0
        self.killed = ""
        self._board = mmap.mmap(-1, mmap.PAGESIZE)
        self._parent = os.getpid()
        self._held: list[object] = []
        self._tell: Callable[[Life], None] = lambda _: None

    # -- in the process itself -------------------------------------------------------------------------------

    def begin(self, tell: Callable[[Life], None]) -> None:
        """Take what the process has now for the zero that is measured from.

        Args:
            tell: Is told of each process that it forked from Python and that has ended.

        Raises:
            OSError: The kernel keeps no high-water mark here.
        """
        self._tell = tell
        if not self.cap.whole:
            self._held = _fill()
            _map_files()
        _reset_mark()
        here = 0 if self.cap.whole else resident(os.getpid())
        shared = 0 if self.cap.whole else _unshared([self._parent, os.getpid()])
        self._board[:24] = struct.pack("qqq", 1, here, shared)
        os.register_at_fork(after_in_child=self._forked)

    def end(self) -> int:
        """The most bytes that the process itself used at a time since `begin`."""
        return _mark() - self._zero[0]

    def _forked(self) -> None:
        """In a process that the measured one has forked from Python: have it tell what it used."""
        began, me = real.monotonic_ns(), os.getpid()
        _map_files()
        _reset_mark()
        start = resident(me)
        leave: Callable[[int], Any] = os._exit
        held = max(0, _unshared([self._parent, os.getppid(), me]) - self._zero[1])

        def leave_and_tell(status: int) -> None:
            if os.getpid() == me:
                peak = max(0, _mark() - start)
                self._tell(Life(began=began, ended=real.monotonic_ns(), held=held, peak=peak))
            leave(status)

        os._exit = leave_and_tell  # type: ignore[assignment]

    # -- in its parent ---------------------------------------------------------------------------------------

    def look(self, pid: int, descendants: list[int]) -> str | None:
        """See how much is used now; end the largest process if it is too much, and say so if it is the first.

        Args:
            pid: The measured process.
            descendants: All that it started.
        """
        if not self._board[0]:
            return None
        used = self._used(pid, descendants)
        self.peak = max(self.peak, used)
        if used <= self.cap.stop:
            return None
        largest = max([pid, *descendants], key=lambda each: _unshared([each]))
        if largest == pid:
            self.killed = "the process"
            return "was killed for the memory it used"
        self.killed = "a child process"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(largest, 9)
        return None

    def add(self, peak: int, lives: Iterable[Life]) -> None:
        """Take in what the process and those that it forked have told of themselves."""
        self.peak = max(self.peak, peak, together(list(lives)))

    def close(self) -> None:
        """Let go of the memory that is shared with the process."""
        self._board.close()

    @property
    def _zero(self) -> tuple[int, int]:
        """What the process had at `begin`: alone, and together with its parent without counting twice."""
        _, here, shared = struct.unpack("qqq", self._board[:24])
        return here, shared

    def _used(self, pid: int, descendants: list[int]) -> int:
        here, shared = self._zero
        if not descendants:
            return resident(pid) - here
        if self.cap.whole:
            return resident(pid) + _unshared(descendants)
        return _unshared([self._parent, pid, *descendants]) - shared


def together(lives: list[Life]) -> int:
    """The most that processes used at a time, with what the one that forked them was using."""
    most = 0
    for one in lives:
        alive = [each for each in lives if each.began <= one.began < each.ended or each is one]
        most = max(most, sum(each.peak for each in alive) + max(each.held for each in alive))
    return most


def resident(pid: int) -> int:
    """The bytes of memory that a process has mapped and touched; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _unshared(pids: Iterable[int]) -> int:
    """Bytes of memory without those of files, what several of these share counted once."""
    return sum(_share(pid) for pid in pids)


def _share(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in lines if line.startswith((b"Pss_Anon:", b"Pss_Shmem:"))
    )


def _mark() -> int:
    with open("/proc/self/status", "rb", buffering=0) as file:
        status = file.read()
    return int(status.split(b"VmHWM:")[1].split()[0]) * 1024


def _reset_mark() -> None:
    with open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")


def _fill() -> list[object]:
    """Give back or fill what is free in the allocators, so that all that is used from now on is seen."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # only the C library of GNU has it
        ctypes.CDLL(None).malloc_trim(0)
    held: list[object] = []
    me = os.getpid()
    for size in _SMALL:
        while True:
            before = resident(me)
            held.append([bytes(size - _HEADER) for _ in range(_FILL_STEP // size)])
            if resident(me) - before > _FILL_STEP // 2:
                break
    return held


def _map_files() -> None:
    """Map the pages of all mapped files: shared libraries, above all, whose pages come only when used."""
    with open("/proc/self/maps", "rb") as file:
        found = [(int(begin, 16), int(end, 16)) for begin, end, _ in _MAPPING.findall(file.read())]
    library = ctypes.CDLL(None)
    for begin, end in found:
        length = end - begin
        if library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), _MADV_POPULATE_READ):
            _read(begin, length)


def _read(begin: int, length: int) -> None:
    """The same before Linux 5.14; what cannot be read is not mapped."""
    with open("/proc/self/mem", "rb", buffering=0) as memory, contextlib.suppress(OSError, ValueError):
        for position in range(begin, begin + length, _PAGE):
            os.pread(memory.fileno(), 1, position)
