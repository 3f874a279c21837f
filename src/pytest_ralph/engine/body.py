"""The test body, called again and again in one item: with other arguments, or by several callers at once.

It also tells what the body does itself from what it calls.

Every call goes through ``item.runtest``, and so through the plugins that run asynchronous tests.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import CodeType
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

    def __call__(self, arguments: Mapping[str, object] | None = None) -> None:
        """Call it once.

        Args:
            arguments: Arguments to be passed with other values than those of the fixtures.

        Raises:
            LookupError: The test has no such argument.
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

    @functools.cached_property
    def codes(self) -> frozenset[CodeType]:
        """The code of the body, and of what is defined in it."""
        function = inspect.unwrap(self._item.obj)
        return frozenset(_nested(getattr(function, "__func__", function).__code__))

    def raised(self, error: BaseException) -> bool:
        """Whether a line of the body itself raised an exception, and not one of what it calls."""
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        return last is not None and last.tb_frame.f_code in self.codes

    @property
    def name(self) -> str:
        """The name of the test function."""
        return str(self._item.originalname)

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
        if unknown := set(arguments) - set(before):
            raise LookupError(f"the test has no argument {', '.join(sorted(unknown))}")
        self._item.funcargs.update(arguments)
        try:
            yield
        finally:
            self._item.funcargs.clear()
            self._item.funcargs.update(before)


def _nested(code: CodeType) -> Generator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _raised(call: Callable[[], object]) -> Outcome:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - an outcome
        return error
    return None
