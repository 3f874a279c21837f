"""The test body, called again and again in one item: with other arguments, or by several callers at once.

Every call goes through ``item.runtest``, and so through the plugins that run asynchronous tests.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

Outcome = BaseException | None


class Body:
    """Calls a test body.

    Args:
        item: The test.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item: Any = item

    @property
    def code(self) -> object:
        """The code of the test function."""
        return getattr(inspect.unwrap(self._item.obj), "__code__", None)

    def __call__(self, arguments: Mapping[str, object] | None = None) -> None:
        """Call it once.

        Args:
            arguments: Arguments to be passed with other values than those of the fixtures.

        Raises:
            BaseException: What the body raises.
        """
        with self._having(arguments or {}):
            self._item.runtest()

    def at_once(self, callers: int, ended: Callable[[Outcome], None]) -> None:
        """Call it several times at the same moment: in threads, or in tasks if it is asynchronous.

        Args:
            callers: How many times.
            ended: Told of the end of each call, in the order they end: what was raised, or None.

        Raises:
            TypeError: It is an asynchronous test of another library than asyncio.
        """
        if inspect.iscoroutinefunction(self._item.obj):
            self._in_tasks(callers, ended)
        else:
            self._in_threads(callers, ended)

    def _in_threads(self, callers: int, ended: Callable[[Outcome], None]) -> None:
        gate = threading.Barrier(callers)

        def run() -> None:
            gate.wait()
            ended(_raised(self._item.runtest))

        threads = [threading.Thread(target=run, name=f"ralph-caller-{number}") for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _in_tasks(self, callers: int, ended: Callable[[Outcome], None]) -> None:
        body = self._item.obj

        @functools.wraps(body)
        async def together(*args: Any, **kwargs: Any) -> None:
            async def run() -> None:
                outcome: Outcome = None
                try:
                    await body(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - an outcome
                    outcome = error
                ended(outcome)

            try:
                asyncio.get_running_loop()
            except RuntimeError:
                raise TypeError("several callers at once need a test that runs on asyncio") from None
            await asyncio.gather(*(run() for _ in range(callers)))

        self._item.obj = together
        try:
            self._item.runtest()
        finally:
            self._item.obj = body

    @contextmanager
    def _having(self, arguments: Mapping[str, object]) -> Generator[None]:
        before = dict(self._item.funcargs)
        self._item.funcargs.update(arguments)
        try:
            yield
        finally:
            self._item.funcargs.clear()
            self._item.funcargs.update(before)


def _raised(call: Callable[[], object]) -> Outcome:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - an outcome
        return error
    return None
