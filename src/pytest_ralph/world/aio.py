"""What the world needs to know of asyncio beyond its public interface, in one place.

A task tells what it waits for by its attribute ``_fut_waiter`` only, and that is where an exception other
than a cancellation can be thrown in. A test notices when it is gone.
"""

from __future__ import annotations

import functools
import sys
from contextlib import ExitStack
from typing import Any

from pytest_ralph.world.patching import put
from pytest_ralph.world.repoint import Repointed, Undo, original
from pytest_ralph.world.suspended import IsMine, Suspended, stack
from pytest_ralph.world.unsupported import UnsupportedError


def module() -> Any:
    """The module, if the program has imported it."""
    return sys.modules.get("asyncio")


def current_task() -> Any:
    """The task that runs now, if one does."""
    try:
        return module().current_task()
    except RuntimeError:
        return None


_REFUSAL = (
    "pytest-ralph: {} waits and connects in C, where neither virtual time nor the simulated services can be "
    "seen. Run the gated test on asyncio's own event loop: asyncio.run instead of uvloop.run, and no policy "
    "or loop factory of uvloop in the tests"
)


def refuse_foreign_loops() -> Undo:
    """Refuse event loops that are not asyncio's own. Returns what undoes it.

    uvloop's are refused when they are made, for one that cannot run cannot be closed either. Any other is
    when it begins to run: every event loop says so by ``asyncio._set_running_loop``.
    """
    with ExitStack() as stack:
        stack.callback(_redirect().install())
        uvloop: Any = sys.modules.get("uvloop")
        if uvloop is not None:
            stack.callback(put([(uvloop.Loop, "__init__", _refuse)]))
        return stack.pop_all().close


@functools.cache
def _redirect() -> Repointed:
    builtin = module()._set_running_loop
    real = original(builtin)

    def set_running_loop(loop: Any) -> None:
        if loop is not None and not isinstance(loop, module().BaseEventLoop):
            _refuse(loop)
        real(loop)

    return Repointed(builtin, set_running_loop)


def _refuse(loop: Any, *_: Any, **__: Any) -> None:
    name = f"the event loop {type(loop).__module__.partition('.')[0]}.{type(loop).__name__}"
    raise UnsupportedError(_REFUSAL.format(name))


def stuck(loop: Any, is_mine: IsMine) -> list[Suspended]:
    """The tasks of a loop that wait at a line of the user's, oldest first.

    Args:
        loop: A running event loop.
        is_mine: Whether a stack has a line of the user's.
    """
    found = []
    for task in sorted(module().all_tasks(loop), key=_age):
        frames = stack(task.get_coro())
        waiter = getattr(task, "_fut_waiter", None)
        # A task that waits for another is not where the trouble is.
        if is_mine(frames) and waiter is not None and not isinstance(waiter, module().Task):
            throw = functools.partial(loop.call_soon_threadsafe, functools.partial(_fail, waiter))
            found.append(Suspended(frames=frames, throw=throw))
    return found


def _fail(waiter: Any, error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)


def _age(task: Any) -> tuple[int, str]:
    """Orders tasks by the number in the name asyncio gives them."""
    name = task.get_name()
    return len(name), name
