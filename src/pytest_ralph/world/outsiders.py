"""What acts outside of the simulation: child processes, and the far ends of real sockets and pipes.

The world knows when nothing can happen inside of it; of these it cannot know. Where one of them is waited
for, virtual time stands still and real time passes.
"""

from __future__ import annotations

import _socket
import os
import socket
import stat
from collections.abc import Callable, Iterable
from typing import Any

from pytest_ralph.world import real

# Real seconds after which a child process that does nothing at all is taken to be an idle worker.
_IDLE_AFTER = 5.0
# Clients make one for each wait, or one for all.
_POLLS = 64


class Outsiders:
    """Tells descriptors that lead out of the simulation from those that do not.

    Args:
        is_simulated: Whether an inode is that of a simulated connection.
    """

    def __init__(self, is_simulated: Callable[[int], bool]) -> None:
        self._is_simulated = is_simulated
        self._polled: dict[int, set[int]] = {}

    def among(self, descriptors: Iterable[int]) -> str | None:
        """Name a descriptor that leads out of the simulation, or None."""
        return next((name for fd in sorted(descriptors) if (name := self._name(fd)) is not None), None)

    def inside(self, epoll: int) -> str | None:
        """Name such a descriptor among those that an ``epoll`` watches."""
        return self.among(_watched(epoll))

    def watch(self, poll: object, fd: int) -> None:
        """Remember that a ``poll`` object watches a descriptor."""
        self._used(poll).add(fd)

    def forget(self, poll: object, fd: int) -> None:
        """Remember that a ``poll`` object does not watch a descriptor any more."""
        self._used(poll).discard(fd)

    def watched_by(self, poll: object) -> str | None:
        """Name such a descriptor among those that a ``poll`` object watches."""
        return self.among(self._used(poll))

    def _used(self, poll: object) -> set[int]:
        """What a ``poll`` object watches; of those used last, for none can say when it is no more."""
        watched = self._polled[id(poll)] = self._polled.pop(id(poll), set())
        if len(self._polled) > _POLLS:
            del self._polled[next(iter(self._polled))]
        return watched

    def _name(self, fd: int) -> str | None:
        try:
            found = os.fstat(fd)
        except OSError:
            return None
        if stat.S_ISSOCK(found.st_mode):
            return None if self._is_simulated(found.st_ino) else _foreign_socket(fd)
        if stat.S_ISFIFO(found.st_mode):
            return None if _is_held_twice(found.st_ino) else "another process"
        return "another process" if _link(fd) == "anon_inode:[pidfd]" else None


class Children:
    """Watches the child processes that were started after it was made."""

    def __init__(self) -> None:
        self._before = frozenset(_children()) if _has_children() else frozenset()
        self._asleep: dict[int, tuple[bytes, int]] = {}

    def busy(self) -> str | None:
        """Name a child process that may still do something, or None."""
        if not _has_children():
            return None
        now = real.monotonic_ns()
        awake = [pid for pid in _children() if pid not in self._before and self._may_act(pid, now)]
        return "another process" if awake else None

    def _may_act(self, pid: int, now: int) -> bool:
        counter = _run_counter(pid)
        if counter is None:
            return False
        before, since = self._asleep.setdefault(pid, (counter, now))
        if before != counter:
            self._asleep[pid] = (counter, now)
            return True
        return now - since < _IDLE_AFTER * 1e9


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process().children()]


def _run_counter(pid: int) -> bytes | None:
    """What changes whenever a process runs; None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            state = file.read()
        with open(f"/proc/{pid}/schedstat", "rb", buffering=0) as file:
            counter = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state[state.rindex(b")") + 2 :].startswith(b"Z") else counter


def _watched(epoll: int) -> list[int]:
    """The descriptors that an ``epoll`` watches."""
    try:
        with open(f"/proc/self/fdinfo/{epoll}", "rb", buffering=0) as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) for line in lines if line.startswith(b"tfd:")]


def _foreign_socket(fd: int) -> str | None:
    """Name a connected socket whose other end is not in this process."""
    family, peer = _peer(fd)
    if family == socket.AF_UNIX:
        return f"a socket connected to {os.fsdecode(peer)}" if peer else None
    if family not in (socket.AF_INET, socket.AF_INET6) or not peer or peer[:2] in _own_addresses():
        return None
    return f"a socket connected to {peer[0]}"


def _peer(fd: int) -> tuple[int, Any]:
    """Family and other end of a socket; None for one that is not connected."""
    blocking = os.get_blocking(fd)
    sock = _socket.socket(fileno=fd)
    try:
        return sock.family, sock.getpeername()
    except OSError:
        return sock.family, None
    finally:
        sock.detach()
        # A default timeout (socket.setdefaulttimeout) makes every new object non-blocking, and so the socket.
        os.set_blocking(fd, blocking)


def _own_addresses() -> set[tuple[str, int]]:
    """The addresses that sockets of this process are bound to."""
    import psutil

    return {
        (each.laddr.ip, each.laddr.port)
        for each in psutil.Process().net_connections(kind="inet")
        if each.laddr
    }


def _is_held_twice(inode: int) -> bool:
    """Whether both ends of a pipe are open in this process."""
    target = f"pipe:[{inode}]"
    return sum(_link(int(name)) == target for name in os.listdir("/proc/self/fd")) > 1


def _link(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
