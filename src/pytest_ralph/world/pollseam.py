"""The seam where event loops wait: ``select``, ``poll`` and ``epoll``; asyncio and trio stand on them.

What is ready is asked of the real functions, without blocking; the waiting is done by the scheduler. Nothing
is taken from a one-shot or edge-triggered ``epoll`` by looking: its own descriptor tells whether there is.
"""

from __future__ import annotations

import math
import select
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pytest_ralph.core.timeline import Stuck
from pytest_ralph.world import real, trio
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.outsiders import Outsiders
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Repointed, Undo, replace_in_type
from pytest_ralph.world.scheduler import Scheduler, WorldIsOver

_POLLIN = 0x1
_POLL = type(select.poll())
_EPOLL: Any = getattr(select, "epoll", None)


class PollSeam:
    """Redirects the functions that wait for descriptors.

    One object serves all worlds of a run, one after another.
    """

    def __init__(self) -> None:
        self._waits: Waits | None = None
        self._select = Repointed(select.select, self._select_select)  # type: ignore[arg-type]

    def install(self, waits: Waits) -> Undo:
        """Let everybody wait by ``waits``. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._waits = waits
            stack.callback(self._select.install())
            stack.callback(replace_in_type(_POLL, "poll", _poll(waits)))
            for name, value in _registering(waits.outsiders).items():
                stack.callback(replace_in_type(_POLL, name, value))
            stack.callback(replace_in_type(_EPOLL, "poll", _epoll(waits)))
            return stack.pop_all().close

    def _forget(self) -> None:
        self._waits = None

    def _select_select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        if self._waits is None:
            return real.select_select(rlist, wlist, xlist, timeout)
        lists = [each if isinstance(each, (list, tuple)) else list(each) for each in (rlist, wlist, xlist)]
        return self._waits.wait(
            "select.select",
            _seconds(timeout),
            look=lambda: real.select_select(*lists, 0),
            block=lambda left: real.select_select(*lists, left),
            found=any,
            outsider=lambda outsiders: outsiders.among({_fileno(each) for some in lists for each in some}),
        )


class Waits:
    """Waits for descriptors in virtual time.

    Args:
        scheduler: Does the waiting.
        recorder: Where endless waits are written down.
        outsiders: Knows which descriptors lead out of the simulation.
    """

    def __init__(self, scheduler: Scheduler, recorder: Recorder, outsiders: Outsiders) -> None:
        self._scheduler = scheduler
        self._recorder = recorder
        self.outsiders = outsiders

    def wait(
        self,
        call: str,
        timeout: float | None,
        *,
        look: Callable[[], Any],
        block: Callable[[float | None], Any],
        outsider: Callable[[Outsiders], str | None],
        found: Callable[[Any], bool] = bool,
        ready: Callable[[], object] | None = None,
    ) -> Any:
        """Wait until something is ready, and say what.

        Args:
            call: What was called.
            timeout: Seconds to wait; None for no limit.
            look: The real function, not waiting.
            block: The real function, waiting for so many seconds.
            outsider: Names a descriptor of these that leads out of the simulation.
            found: Whether a result of ``look`` is one.
            ready: Whether ``look`` would find anything, where looking takes it away.
        """
        scheduler = self._scheduler
        if scheduler.serving:
            return block(timeout)
        scheduler.settle()
        result = look()
        if found(result) or timeout == 0:
            return result
        deadline = None if timeout is None else scheduler.clock.now + math.ceil(timeout * 1e9)
        is_ready = ready or (lambda: found(look()))
        try:
            if not scheduler.wait(is_ready, deadline, outsider=lambda: outsider(self.outsiders)):
                self._recorder.waits()
        except WorldIsOver:
            return block(None if deadline is None else scheduler.left(deadline))
        except NeverEnds:
            self._recorder.add(Stuck, phase="wait", call=call, location=self._recorder.here())
            raise
        return look()


def _poll(waits: Waits) -> Any:
    original = _POLL.poll

    def poll(self: Any, timeout: float | None = None, /) -> Any:
        def block(left: float | None) -> Any:
            return original(self, None if left is None else left * 1000)

        return waits.wait(
            "poll",
            None if timeout is None else _seconds(timeout / 1000),
            look=lambda: original(self, 0),
            block=block,
            outsider=lambda outsiders: outsiders.watched_by(self),
        )

    return poll


def _registering(outsiders: Outsiders) -> dict[str, Any]:
    """A poll object does not tell which descriptors it watches: it is noted when they are registered."""
    register, unregister = _POLL.register, _POLL.unregister

    def noting(self: Any, fd: Any, *args: Any) -> None:
        register(self, fd, *args)
        outsiders.watch(self, _fileno(fd))

    def forgetting(self: Any, fd: Any, /) -> None:
        outsiders.forget(self, _fileno(fd))
        unregister(self, fd)

    return {"register": noting, "unregister": forgetting}


def _epoll(waits: Waits) -> Any:
    original = _EPOLL.poll

    def poll(self: Any, timeout: float | None = None, maxevents: int = -1) -> Any:
        return waits.wait(
            "epoll",
            None if _is_trio_idle(timeout) else _seconds(timeout),
            look=lambda: original(self, 0, maxevents),
            block=lambda left: original(self, left, maxevents),
            ready=lambda: real.ready(self.fileno(), _POLLIN),
            outsider=lambda outsiders: outsiders.inside(self.fileno()),
        )

    return poll


def _seconds(timeout: float | None) -> float | None:
    """A timeout as the real functions take it: negative is none."""
    return None if timeout is None or timeout < 0 else float(timeout)


def _is_trio_idle(timeout: float | None) -> bool:
    """Whether this is the wait of trio when it has nothing to wait for."""
    caller = sys._getframe(2).f_globals.get("__name__", "")
    return timeout == trio.LONGEST_WAIT and caller.startswith("trio.")


def _fileno(each: Any) -> int:
    return each if isinstance(each, int) else int(each.fileno())
