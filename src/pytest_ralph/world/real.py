"""The real functions under the simulated ones, bound before anything is replaced.

The world itself lives in real time and on real sockets; every module of it takes them from here.
"""

from __future__ import annotations

import _socket
import _thread
import select
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from pytest_ralph.world import repoint

if repoint.supported() is None:
    _copy: Callable[[Any], Callable[..., Any]] = repoint.original
else:  # pragma: no cover - other interpreters run with --ralph-realtime, where nothing is replaced

    def _copy(builtin: Any) -> Callable[..., Any]:
        return cast("Callable[..., Any]", builtin)


monotonic_ns: Callable[[], int] = _copy(time.monotonic_ns)
time_ns: Callable[[], int] = _copy(time.time_ns)
thread_time_ns: Callable[[], int] = _copy(time.thread_time_ns)
process_time_ns: Callable[[], int] = _copy(time.process_time_ns)
sleep: Callable[[float], None] = _copy(time.sleep)
select_select: Callable[..., Any] = _copy(select.select)
getaddrinfo: Callable[..., Any] = _copy(_socket.getaddrinfo)
gethostbyname: Callable[..., Any] = _copy(_socket.gethostbyname)
gethostbyname_ex: Callable[..., Any] = _copy(_socket.gethostbyname_ex)
thread_id: Callable[[], int] = _thread.get_native_id

poll_poll: Callable[..., Any] = type(select.poll()).poll


_RLOCK: Any = _thread.RLock


class Mutex(_RLOCK):  # type: ignore[misc]
    """A lock that stays real while the locks of the code under test are watched.

    It is entered in C, so that no signal can come between taking it and the block that gives it back.
    """

    __enter__ = _RLOCK.__enter__
    __exit__ = _RLOCK.__exit__


_acquire: Callable[..., bool] = _thread.LockType.acquire


class Bell:
    """Wakes one thread, for real."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        _acquire(self._lock)

    def ring(self) -> None:
        """Wake the thread that waits, or keep it from waiting the next time."""
        with suppress(RuntimeError):  # it has been rung before
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait until it rings, but no longer than so many real seconds."""
        _acquire(self._lock, True, seconds)


def ready(fd: int, mask: int) -> int:
    """The events of ``mask`` (or errors) that are there on ``fd`` right now."""
    poller = select.poll()
    poller.register(fd, mask)
    found: list[tuple[int, int]] = poll_poll(poller, 0)
    return found[0][1] if found else 0
