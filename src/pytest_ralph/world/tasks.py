"""Where tasks come from: the user's line that began one, and which of them run beside one another.

A library may send from a task or a worker thread of its own, on whose stack there is no line of the user's.
Tasks that start while a world is active therefore carry the lines that led to them, in a context variable,
which the tasks they start inherit in turn.

A *strand* is a line of execution. Requests of two strands are never taken for retries of one another. What
the user's code starts while something that it started before is still running is a strand of its own; what a
library starts to do a part of its caller's work, as ``asyncio.wait_for`` does up to Python 3.11, and what is
started when nothing else runs, as in a loop of retries, belongs to its caller's strand.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from pytest_ralph.core.location import ORIGIN, Frames, Locator
from pytest_ralph.core.timeline import Stuck, Waited
from pytest_ralph.world import aio, trio
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

_STRAND: contextvars.ContextVar[int | None] = contextvars.ContextVar("ralph_strand", default=None)
# How the user's code starts tasks beside one another, by the names of what it calls.
_SPAWNERS = frozenset(
    {
        *("gather", "create_task", "ensure_future", "as_completed", "wait"),
        *("start_soon", "start", "submit", "map", "to_thread", "run_in_executor", "run_sync"),
        "run_coroutine_threadsafe",
    }
)
# Far from the numbers of tasks.
_BRANCHES = -1_000_000
# Code that catches everything and waits for ever again is ended so many times.
_ROUSED_AT_MOST = 20


def strand() -> int:
    """What tells lines of execution apart: positive for threads, negative for what runs beside others."""
    own = _STRAND.get()
    # Not `threading.get_ident`: it gives the number of a thread that has ended to the next one.
    return threading.get_native_id() if own is None else own


def branch_off(number: int) -> None:
    """Be a line of execution of one's own from now on, with all that is started on it.

    Args:
        number: Which one, from 0, of those that are going on at the same time.
    """
    _STRAND.set(_BRANCHES - number)


class Tasks:
    """Follows the tasks that are started, and the sleeps of asyncio; ends tasks that wait for ever.

    Args:
        recorder: Where sleeps are written down.
        locator: Finds the user's lines.
    """

    def __init__(self, recorder: Recorder, locator: Locator) -> None:
        self._recorder = recorder
        self._locator = locator
        self._running: dict[int, list[Callable[[], bool]]] = {}
        self._numbers = itertools.count(1)
        self._loops: weakref.WeakSet[Any] = weakref.WeakSet()
        self._guests: list[trio.Guest] = []
        self._roused = 0
        self._call = 0

    def install(self) -> Undo:
        """Begin to follow. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(wrap(ThreadPoolExecutor, "submit", self._submit))
            stack.callback(wrap(threading.Thread, "start", self._start))
            if (asyncio := aio.module()) is not None:
                stack.callback(aio.refuse_foreign_loops())
                loop = asyncio.BaseEventLoop
                stack.callback(wrap(loop, "create_task", self._create_task))
                sleep = asyncio.sleep.__code__
                stack.callback(wrap(loop, "call_later", lambda original: self._call_later(original, sleep)))
            if (module := trio.module()) is not None:
                nursery = module.Nursery
                stack.callback(wrap(nursery, "start_soon", self._start_soon))
                stack.callback(wrap(module.lowlevel, "start_guest_run", self._start_guest_run))
            return stack.pop_all().close

    def rouse(self) -> bool:
        """Throw `NeverEnds` into the user's tasks, which wait for what cannot come any more.

        Returns:
            Whether there was a task to end.
        """
        if self._call != self._recorder.calls:
            self._call, self._roused = self._recorder.calls, 0
        self._roused += 1
        if self._roused > _ROUSED_AT_MOST:
            return False
        found = [each for loop in self._loops if loop.is_running() for each in aio.stuck(loop, self._is_mine)]
        found += [each for guest in self._guests for each in guest.stuck(self._is_mine)]
        for task in found:
            if self._roused == 1:
                where = self._locator.pick(task.frames)
                self._recorder.add(Stuck, phase="wait", call="event loop", location=where)
            task.throw(NeverEnds())
        if found:
            self._recorder.tear()
        return bool(found)

    def _is_mine(self, frames: Frames) -> bool:
        return self._locator.pick(frames) is not None

    def _create_task(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def create_task(loop: Any, coro: Any, **kwargs: Any) -> Any:
            self._loops.add(loop)
            with self._starting() as started:
                if kwargs.get("context") is not None:
                    for variable in (ORIGIN, _STRAND):
                        kwargs["context"].run(variable.set, variable.get())
                task = original(loop, coro, **kwargs)
                # One that starts its successor is about to end.
                started(lambda: not task.done() and task is not aio.current_task())
            return task

        return create_task

    def _start_soon(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start_soon(nursery: Any, function: Any, *args: Any, **kwargs: Any) -> None:
            before = nursery.child_tasks
            with self._starting() as started:
                original(nursery, function, *args, **kwargs)
                mine = nursery.child_tasks - before
                started(lambda: bool(mine & nursery.child_tasks))

        return start_soon

    def _start_guest_run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start_guest_run(*args: Any, **kwargs: Any) -> None:
            guest = trio.Guest()
            self._guests.append(guest)
            instruments = [*kwargs.pop("instruments", ()), guest.instrument]
            original(*args, instruments=instruments, **kwargs)

        return start_guest_run

    def _submit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def submit(executor: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            with self._starting() as started:
                origin, number = ORIGIN.get(), strand()

                def run(*args: Any, **kwargs: Any) -> Any:
                    with _having(ORIGIN, origin), _having(_STRAND, number):
                        return function(*args, **kwargs)

                future = original(executor, run, *args, **kwargs)
                started(lambda: not future.done())
            return future

        return submit

    def _start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start(thread: threading.Thread) -> None:
            # A library's own threads do not do a part of their caller's work.
            if not self._is_spawned():
                original(thread)
                return
            with self._starting() as started:
                origin, number, run = ORIGIN.get(), strand(), thread.run

                def run_as_part() -> None:
                    with _having(ORIGIN, origin), _having(_STRAND, number):
                        run()

                thread.run = run_as_part  # type: ignore[method-assign]
                original(thread)
                started(lambda: thread.is_alive() and thread is not threading.current_thread())

        return start

    def _call_later(self, original: Callable[..., Any], sleep: Any) -> Callable[..., Any]:
        @functools.wraps(original)
        def call_later(loop: Any, delay: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
            if sys._getframe(1).f_code is sleep:
                self._recorder.check()
                callback = self._recorded(callback)
            return original(loop, delay, callback, *args, **kwargs)

        return call_later

    def _recorded(self, callback: Callable[..., object]) -> Callable[..., object]:
        """A callback that ends a sleep, and writes down that there was one."""
        recorder = self._recorder
        began, location = recorder.moment, recorder.here()

        def done(*args: Any) -> None:
            until = recorder.seconds(recorder.moment)
            recorder.add(Waited, at=began, until=until, call="asyncio.sleep", location=location)
            callback(*args)

        return done

    @contextmanager
    def _starting(self) -> Generator[Callable[[Callable[[], bool]], None]]:
        """A context in which what is started inherits lines and strand; gives what to report it to."""
        mine = strand()
        spawned = self._is_spawned()
        running = [each for each in self._running.get(mine, ()) if each()] if spawned else []
        number = -next(self._numbers) if running else mine

        def started(is_running: Callable[[], bool]) -> None:
            if spawned:
                self._running[mine] = [*running, is_running]

        with _having(ORIGIN, self._locator.frames()), _having(_STRAND, number):
            yield started

    def _is_spawned(self) -> bool:
        """Whether it is the user's code that starts something, to run beside others."""
        frame: FrameType | None = sys._getframe(1)
        name = ""
        while frame is not None:
            if self._locator.is_user(frame.f_code.co_filename):
                return name in _SPAWNERS
            name = frame.f_code.co_name
            frame = frame.f_back
        return False


@contextmanager
def _having(variable: contextvars.ContextVar[Any], value: Any) -> Generator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
