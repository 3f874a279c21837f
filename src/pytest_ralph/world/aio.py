"""What the world needs to know of asyncio beyond its public interface, in one place.

A task tells what it waits for by its attribute ``_fut_waiter`` only, and that is where an exception other
than a cancellation can be thrown in. A test notices when it is gone.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from pytest_ralph.world.suspended import IsMine, Suspended, stack


def module() -> Any:
    """The module, if the program has imported it."""
    return sys.modules.get("asyncio")


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
