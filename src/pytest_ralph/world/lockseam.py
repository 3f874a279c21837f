"""The seam where threads wait for one another: locks, and all that is built on them.

``Event``, ``Condition``, ``Semaphore``, ``Barrier``, ``Queue``, ``Future.result`` and, up to CPython 3.12,
``Thread.join`` wait by acquiring a lock. ``SimpleQueue``, where the workers of thread pools wait for work,
has a wait of its own. Uncontended acquires take the real path at once.
"""

from __future__ import annotations

import _queue
import _thread
import functools
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pytest_ralph.core.timeline import Stuck, Waited
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo, replace_in_type
from pytest_ralph.world.scheduler import Scheduler, WorldIsOver

_RLOCK = type(threading.RLock())
_LOCK = _thread.LockType
_rlock_acquire, _rlock_release, _rlock_is_owned = _RLOCK.acquire, _RLOCK.release, _RLOCK._is_owned  # type: ignore[attr-defined]
# From CPython 3.13 on, threads are joined by a handle of their own rather than by a lock.
_HANDLE: Any = getattr(_thread, "_ThreadHandle", None)

# Virtual nanoseconds after which one who waits for a lock is served before one who comes. Before that,
# threads only get in each other's way, and whoever is quicker may have it.
_MINE_AFTER = 1_000_000


@dataclass(eq=False)
class Waiting:
    """One who waits for a lock.

    Attributes:
        since: Since when, in virtual nanoseconds.
        got: Whether it has it now.
    """

    since: int
    got: bool = False


# What calls back at each line of a program that is measured or debugged.
_TRACERS = ("coverage.", "_pydevd_bundle.", "pydevd")

Lines = dict[int, list[Waiting]]
"""Who waits for a lock, by its id, in the order they came."""


def install(scheduler: Scheduler, recorder: Recorder) -> Undo:
    """Let contended locks be waited for in virtual time. Returns what undoes it."""
    stack = ExitStack()
    for owner, name in ((_LOCK, "lock.acquire"), (_RLOCK, "RLock.acquire")):
        acquire = _acquire(owner.acquire, scheduler, recorder, name)
        stack.callback(replace_in_type(owner, "acquire", acquire))
        stack.callback(replace_in_type(owner, "__enter__", lambda self, _acquire=acquire: _acquire(self)))
    stack.callback(replace_in_type(_LOCK, "acquire_lock", _LOCK.acquire))
    if _HANDLE is not None:
        stack.callback(replace_in_type(_HANDLE, "join", _join(_HANDLE.join, scheduler)))
    get = _get(_queue.SimpleQueue.get, scheduler)
    stack.callback(replace_in_type(_queue.SimpleQueue, "get", get))
    stack.callback(wrap(threading.Thread, "start", lambda original: _start(original, scheduler)))
    return stack.close


def _acquire(
    original: Callable[..., bool], scheduler: Scheduler, recorder: Recorder, name: str
) -> Callable[..., bool]:
    lines: Lines = {}

    def acquire(self: Any, blocking: bool = True, timeout: float = -1) -> bool:
        if (timeout == -1 or timeout > 0) and blocking and not scheduler.serving:
            if not _others_first(self, lines, scheduler) and original(self, False):
                return True
            if not _guards_the_run() and not is_a_tracers(self, sys._getframe().f_back):
                return _wait(original, self, timeout, scheduler, recorder, name, lines)
        return original(self, blocking, timeout)  # returns at once, or raises what it always raises

    return acquire


def _others_first(lock: Any, lines: Lines, scheduler: Scheduler) -> bool:
    """Whether a lock is due to one who has waited for it, even if it is free at this moment.

    First come, first served: else it would be up to the machine who gets it.
    """
    line = lines.get(id(lock))
    if not line or scheduler.clock.now - line[0].since < _MINE_AFTER:
        return False
    return not (isinstance(lock, _RLOCK) and _rlock_is_owned(lock))


def _guards_the_run() -> bool:
    """Whether this is the thread by which pytest-timeout limits a test: it has to count in real time.

    It usually waits since before the world is entered, but may come late.
    """
    thread = threading._active.get(_thread.get_ident())  # type: ignore[attr-defined]
    return thread is not None and thread.name.startswith("pytest_timeout")


def is_a_tracers(lock: object, frame: FrameType | None) -> bool:
    """Whether a trace function asks, which may be called at any line, those of the scheduler included.

    Args:
        lock: What it asks for.
        frame: The line that asks, where that is written in Python.
    """
    # A thread may have nothing to do but to take a lock: then nobody has called.
    if frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_TRACERS):
        return True
    # That of coverage is written in C, and asks for a lock of its collector's.
    collectors = getattr(sys.modules.get("coverage.collector"), "Collector", None)
    return any(each.data_lock is lock for each in getattr(collectors, "_collectors", ()))


def _is_free(lock: Any) -> bool:
    """Whether a lock could be taken right now."""
    if hasattr(lock, "locked"):
        return not lock.locked()
    # An RLock tells only by being taken; one that this thread holds is not free for others.
    if _rlock_is_owned(lock) or not _rlock_acquire(lock, False):
        return False
    _rlock_release(lock)
    return True


def _start(original: Callable[[threading.Thread], None], scheduler: Scheduler) -> Callable[..., None]:
    """Let a new thread run when the one that has started it comes to wait, and not both at once."""

    @functools.wraps(original)
    def start(thread: threading.Thread) -> None:
        with scheduler.starting() as ticket:
            run = thread.run

            def run_in_turn() -> None:
                if not _guards_the_run():
                    with suppress(WorldIsOver):
                        scheduler.begin(ticket)
                run()

            thread.run = run_in_turn  # type: ignore[method-assign]
            original(thread)

    return start


def _join(original: Callable[..., None], scheduler: Scheduler) -> Callable[..., None]:
    def join(self: Any, timeout: float | None = None) -> None:
        if not self.is_done() and (timeout is None or timeout > 0) and not scheduler.serving:
            began = scheduler.clock.now
            deadline = None if timeout is None or timeout < 0 else began + round(timeout * 1e9)
            try:
                if not scheduler.wait(self.is_done, deadline):
                    return
            except WorldIsOver:
                timeout = None if deadline is None else scheduler.left(deadline)
        original(self, timeout)

    return join


def _get(original: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        if not block or (timeout is not None and timeout <= 0) or scheduler.serving:
            return original(self, block, timeout)
        deadline = None if timeout is None else scheduler.clock.now + round(timeout * 1e9)
        me = _thread.get_ident()
        found: list[Any] = []

        def ready() -> bool:
            # Asked by other threads as well, which must not take what is there.
            if _thread.get_ident() != me:
                return not self.empty()
            if not found and not self.empty():
                with suppress(_queue.Empty):
                    found.append(original(self, False))
            return bool(found)

        try:
            if ready() or scheduler.wait(ready, deadline):
                return found[0]
        except WorldIsOver:
            return original(self, True, None if deadline is None else scheduler.left(deadline))
        raise _queue.Empty

    return get


def _wait(
    original: Callable[..., bool],
    lock: Any,
    timeout: float,
    scheduler: Scheduler,
    recorder: Recorder,
    name: str,
    lines: Lines,
) -> bool:
    began = scheduler.clock.now
    deadline = None if timeout < 0 else began + round(timeout * 1e9)
    mine = Waiting(began)
    line = lines.setdefault(id(lock), [])
    line.append(mine)

    def ready() -> bool:
        if line[0] is not mine:
            return False
        # Asked by other threads as well: only the owner-to-be may take it, the others only look.
        if _thread.get_ident() != me:
            return _is_free(lock)
        mine.got = mine.got or original(lock, False)
        return mine.got

    me = _thread.get_ident()
    try:
        over = scheduler.wait(ready, deadline)
    except WorldIsOver:
        return mine.got or original(lock, True, -1 if deadline is None else scheduler.left(deadline))
    except NeverEnds:
        recorder.add(Stuck, phase="wait", call=name, location=recorder.here())
        raise
    finally:
        line.remove(mine)
        if not line and lines.get(id(lock)) is line:
            del lines[id(lock)]
    # What an idle worker of some library does with its time is nobody's wait.
    if deadline is not None and not over and recorder.here() is not None:
        recorder.add(
            Waited,
            at=began,
            until=recorder.seconds(scheduler.clock.now),
            call=name,
            location=recorder.here(),
        )
        recorder.check()
    return over
