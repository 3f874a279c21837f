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
import mmap
import os
import re
import signal
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world import real
from pytest_ralph.world.allocators import fill
from pytest_ralph.world.cgroup import Group

KILLED = "was killed for the memory it used"
MECHANISM = "peak resident set of the process, its children sampled"

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ZERO = struct.Struct("qqqq")
_SLOTS = 511
_MADV_POPULATE_READ = 22
_MADV_POPULATE_WRITE = 23
_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r..p \S+ \S+ ([1-9]\d*) ", re.MULTILINE)
_WRITABLE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw.p ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Bytes of memory that a process has mapped and touched.

    Attributes:
        private: Memory of its own.
        shared: Memory that it may share with other processes.
        files: Pages of files.
    """

    private: int = 0
    shared: int = 0
    files: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.private + self.shared + self.files


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
        group: The control group in which the kernel holds it to that; without one, it is looked at and killed
            from outside.
    """

    def __init__(self, cap: MemoryCap, group: Group | None = None) -> None:
        self.cap = cap
        self._group = group
        self.peak = 0
        self.killed = ""
        # Shared with the process: its zero, and those of the processes that it forks, by their ids.
        # The last byte tells that the process had more than it may when it was to be held to that.
        self._board = mmap.mmap(-1, _ZERO.size * (_SLOTS + 1) + 1)
        self._main = 0
        self._held: list[object] = []
        self._tell: Callable[[Life], None] = lambda _: None

    # -- in the process itself -------------------------------------------------------------------------------

    def begin(self, tell: Callable[[Life], None]) -> None:
        """Take what the process has now for the zero that is measured from.

        Args:
            tell: Is told of each process that it forked from Python and that has ended.

        Raises:
            OSError: The kernel keeps no high-water mark here.
            ValueError: The process cannot be moved into its control group.
        """
        self._tell, self._main = tell, os.getpid()
        if self._group is not None:
            self._group.enter()
            _unshare()
        if not self.cap.whole:
            self._held = fill(lambda: resident(self._main).total)
            _map_files()
        if self.cap.announced:
            _announce(self.cap.limit)
        _reset_mark()
        now = Resident() if self.cap.whole else resident(self._main)
        self._note(0, self._main, now)
        os.register_at_fork(after_in_child=self._forked)
        if self._group is not None and not self._group.limit(self.cap.stop, whole=self.cap.whole):
            self._board[-1] = 1
            os.kill(self._main, signal.SIGKILL)

    def end(self) -> int:
        """The most bytes that the process itself used at a time since `begin`."""
        return _mark() - self._zero(0)[1].total

    def _forked(self) -> None:
        """In a process that the measured one has forked from Python: have it tell what it used."""
        began, me, main = real.monotonic_ns(), os.getpid(), resident(self._main)
        _map_files()
        _reset_mark()
        start = resident(me)
        self._note(1 + me % _SLOTS, me, start)
        leave: Callable[[int], Any] = os._exit

        def leave_and_tell(status: int) -> None:
            if os.getpid() == me:
                # Shared pages that were there before are counted where they were touched first.
                again = min(resident(me).shared - start.shared, main.shared)
                peak = max(0, _mark() - start.total - again)
                held = max(0, main.total - self._zero(0)[1].total)
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
        if not self._zero(0)[0]:
            return None
        shares = self._shares(pid, descendants)
        used = sum(shares.values())
        self.peak = max(self.peak, used)
        if used <= self.cap.stop or self._group is not None:
            return None
        largest = max(shares, key=lambda each: shares[each])
        if largest == pid:
            self.killed = "the process"
            return KILLED
        self.killed = "a child process"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(largest, 9)
        return None

    def add(self, peak: int, lives: Iterable[Life], *, died: bool = False) -> None:
        """Take in what the process and those that it forked have told of themselves.

        Args:
            peak: What the process itself has used at most.
            lives: Those that it forked.
            died: Whether it has ended before it should.
        """
        children = together(list(lives))
        self.peak = max(self.peak, peak, children)
        if self._group is not None:
            if self._group.kills or self._board[-1]:
                self.killed = "the process" if died else "a child process"
                self.peak = max(self.peak, self.cap.stop)
        elif self.peak > self.cap.stop and not self.killed:
            # Nobody looked at the right moment, but the kernel would not have missed it.
            self.killed = "a child process" if children > peak else "the process"

    @property
    def mechanism(self) -> str:
        """How it is measured, and who kills."""
        return MECHANISM if self._group is None else f"control group v{self._group.files.version}"

    @property
    def exceeded(self) -> bool:
        """Whether more was used than there may be."""
        return bool(self.killed) or self.peak > self.cap.limit

    def close(self) -> None:
        """Let go of the memory that is shared with the process, and of its control group."""
        self._board.close()
        if self._group is not None:
            self._group.close()

    def _note(self, slot: int, pid: int, start: Resident) -> None:
        _ZERO.pack_into(self._board, slot * _ZERO.size, pid, start.private, start.shared, start.files)

    def _zero(self, slot: int) -> tuple[int, Resident]:
        """A process and what it had when it began."""
        pid, private, shared, files = _ZERO.unpack_from(self._board, slot * _ZERO.size)
        return pid, Resident(private=private, shared=shared, files=files)

    def _shares(self, pid: int, descendants: list[int]) -> dict[int, int]:
        """What each process uses of its own; what several share belongs to the one that has most of it."""
        main, zero = resident(pid), self._zero(0)[1]
        shares = {pid: main.total - zero.total}
        shared, command = main.shared - zero.shared, _command(pid)
        for each in descendants:
            now = resident(each)
            known, start = self._zero(1 + each % _SLOTS)
            if known != each:
                # Between fork and exec it has what its parent has, which is counted there.
                start = now if _command(each) == command else Resident()
            beyond = max(0, now.shared - start.shared - shared)
            shared += beyond
            shares[each] = now.private - start.private + beyond
        return shares


def together(lives: list[Life]) -> int:
    """The most that processes used at a time, with what the one that forked them was using."""
    most = 0
    for one in lives:
        alive = [each for each in lives if each.began <= one.began < each.ended or each is one]
        most = max(most, sum(each.peak for each in alive) + max(each.held for each in alive))
    return most


def resident(pid: int) -> Resident:
    """What a process has mapped and touched; nothing if it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            status = file.read()
        private, files, shared = (
            int(status.split(name)[1].split(maxsplit=1)[0]) * 1024
            for name in (b"RssAnon:", b"RssFile:", b"RssShmem:")
        )
    except (OSError, IndexError):
        return Resident()
    return Resident(private=private, shared=shared, files=files)


def reserved() -> int:
    """Bytes that count for ``RLIMIT_DATA``."""
    with open("/proc/self/status", "rb", buffering=0) as file:
        return int(file.read().split(b"VmData:")[1].split(maxsplit=1)[0]) * 1024


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _mark() -> int:
    with open("/proc/self/status", "rb", buffering=0) as file:
        status = file.read()
    return int(status.split(b"VmHWM:")[1].split()[0]) * 1024


def _reset_mark() -> None:
    with open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")


def _announce(limit: int) -> None:
    """Tell programs that ask how much they may use; Linux itself does not look at this limit."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_RSS)
    resource.setrlimit(resource.RLIMIT_RSS, (limit, hard))


def _unshare() -> None:
    """Copy all that was inherited: a control group counts what is copied later, whoever has made it."""
    with open("/proc/self/maps", "rb") as file:
        found = [(int(begin, 16), int(end, 16)) for begin, end in _WRITABLE.findall(file.read())]
    library = ctypes.CDLL(None)
    for begin, end in found:
        # Before Linux 5.14 that is not to be had: then a few more bytes are counted.
        library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_POPULATE_WRITE)


def _map_files() -> None:
    """Map the pages of all mapped files: shared libraries, above all, whose pages come only when used.

    Not those of shared maps: behind them there may be nothing yet, and reading it would take memory.
    """
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
