"""What the world needs to know of trio beyond its public interface, in one place.

anyio's pytest plugin runs trio as a guest, whose waiting is done by a thread of trio's own. When nothing can
happen any more, the guest is still healthy and its tasks have to be ended, or every later test would find it
busy. A task is ended by ``Task._attempt_abort``, as cancelling does. A test notices when it is gone.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from pytest_ralph.world.suspended import IsMine, Suspended, stack

# trio never waits longer than this at a time, even if it has nothing to wait for.
LONGEST_WAIT = 24 * 60 * 60


def module() -> Any:
    """The module, if the program has imported it."""
    return sys.modules.get("trio")


class Guest:
    """A run of trio inside another event loop."""

    def __init__(self) -> None:
        self._token: Any = None
        self._root: Any = None
        self.instrument = _instrument(self)

    def note(self) -> None:
        """Remember how to reach this run; called from inside of it."""
        self._token = module().lowlevel.current_trio_token()
        self._root = module().lowlevel.current_root_task()

    def stuck(self, is_mine: IsMine) -> list[Suspended]:
        """The tasks that wait at a line of the user's.

        Args:
            is_mine: Whether a stack has a line of the user's.
        """
        found = []
        waiting = [] if self._root is None else [self._root]
        while waiting:
            task = waiting.pop(0)
            inside = [each for nursery in task.child_nurseries for each in nursery.child_tasks]
            waiting += sorted(inside, key=lambda each: str(each.name))
            frames = stack(task.coro)
            if is_mine(frames) and not inside:
                found.append(Suspended(frames=frames, throw=functools.partial(self._throw, task)))
        return found

    def _throw(self, task: Any, error: BaseException) -> None:
        def throw() -> None:
            raise error

        try:
            self._token.run_sync_soon(task._attempt_abort, throw)
        except module().RunFinishedError:
            self._root = None


def _instrument(guest: Guest) -> Any:
    class Noting(module().abc.Instrument):  # type: ignore[misc]
        """Tells the guest where it runs, once."""

        def before_task_step(self, task: object) -> None:  # noqa: ARG002
            guest.note()
            module().lowlevel.remove_instrument(self)

    return Noting()
