"""The test body, called again and again in one item: with other arguments, or by several callers at once.

It also tells what the body does itself from what it calls.

Every call goes through ``item.runtest``, and so through the plugins that run asynchronous tests.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any, Protocol

import pytest

from pytest_ralph.world.endings import Ended
from pytest_ralph.world.tasks import branch_off

Outcome = BaseException | None
AsyncCall = Callable[[], Coroutine[Any, Any, object]]


class Load(Protocol):
    """Many calls at moments that are fixed before, as the body is told of them.

    Calls are known by their numbers, from 0; those to warm up come first.
    """

    @property
    def warm_up(self) -> int:
        """How many calls come before all others, at once, and are waited for."""

    @property
    def at_most(self) -> int:
        """How many calls are under way at the same time."""

    @property
    def numbers(self) -> range:
        """The calls that count."""

    def starts(self) -> None:
        """The warm-up is over: the moments count from now."""

    def left(self, number: int) -> float:
        """Seconds until a call is due; 0 if that is past."""

    def wait(self, ready: Callable[[], object], seconds: float | None = None) -> None:
        """Wait in a thread until something is so, or until time has passed."""

    def settle(self) -> None:
        """Come back when every thread waits."""

    def began(self, number: int) -> None:
        """A call begins."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """A call has come back."""


class Body:
    """Calls a test body.

    Args:
        item: The test.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item: Any = item

    @property
    def given(self) -> frozenset[str]:
        """What the test passes in every call alike: constants in its body, and values of its fixtures."""
        constants = getattr(getattr(self._item.obj, "__code__", None), "co_consts", ())
        return frozenset(_texts((*constants, *self._item.funcargs.values())))

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

    def at_once(self, callers: int, *, ended: Callable[[Outcome], None], settled: Callable[[], None]) -> None:
        """Call it several times at the same moment: in threads, or in tasks if it is asynchronous.

        The callers start one after another, each as soon as all before it wait for something or are done:
        what they find does not depend on how the operating system switches between them.

        Args:
            callers: How many times.
            ended: Told of the end of each call, in the order they end: what was raised, or None.
            settled: Comes back when every thread waits.
        """
        if self.in_tasks:
            self._in_tasks(callers, ended)
        else:
            self._in_threads(callers, ended, settled)

    @property
    def in_tasks(self) -> bool:
        """Whether several callers are tasks of one event loop, and not threads."""
        return inspect.iscoroutinefunction(self._item.obj)

    def under_load(self, load: Load) -> None:
        """Call it at moments that do not depend on how long the calls take."""
        if self.in_tasks:
            self._load_by_tasks(load)
        else:
            self._load_by_threads(load)

    @functools.cached_property
    def codes(self) -> frozenset[CodeType]:
        """The code of the body, and of what is defined in it."""
        function = inspect.unwrap(self._item.obj)
        while isinstance(function, functools.partial):
            function = inspect.unwrap(function.func)
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        return frozenset(() if code is None else _nested(code))

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

    def _in_threads(
        self, callers: int, ended: Callable[[Outcome], None], settled: Callable[[], None]
    ) -> None:
        def run(number: int) -> None:
            branch_off(number)
            ended(_raised(self._item.runtest))

        threads = [
            threading.Thread(target=run, args=(number,), name=f"ralph-caller-{number}")
            for number in range(callers)
        ]
        for thread in threads:
            thread.start()
            settled()
        for thread in threads:
            thread.join()

    def _in_tasks(self, callers: int, ended: Callable[[Outcome], None]) -> None:
        async def together(call: AsyncCall) -> None:
            async def run(number: int) -> None:
                branch_off(number)
                ended(await _awaited(call))

            await _gather(run, callers)

        self._as_one_call(together)

    def _load_by_threads(self, load: Load) -> None:
        active: set[int] = set()

        def run(number: int) -> None:
            branch_off(number)
            load.ended(number, _raised(self._item.runtest))
            active.discard(number)

        def start(number: int) -> None:
            active.add(number)
            load.began(number)
            # Of one that never comes back the test run must not wait at its end.
            threading.Thread(target=run, args=(number,), name=f"ralph-caller-{number}", daemon=True).start()
            load.settle()

        try:
            for number in range(load.warm_up):
                start(number)
            load.wait(lambda: not active)
            load.starts()
            for number in load.numbers:
                load.wait(lambda: False, load.left(number))
                load.wait(lambda: len(active) < load.at_most)
                # Whoever can go on at this moment does so first: it has waited for longer.
                load.settle()
                start(number)
            load.wait(lambda: not active)
        except Ended:
            return  # those that are left never come back

    def _load_by_tasks(self, load: Load) -> None:
        async def together(call: AsyncCall) -> None:
            async def run(number: int) -> None:
                branch_off(number)
                load.began(number)
                load.ended(number, await _awaited(call))

            await _gather(run, load.warm_up)
            load.starts()
            await _arriving(run, load)

        self._as_one_call(together)

    def _as_one_call(self, together: Callable[[AsyncCall], Coroutine[Any, Any, None]]) -> None:
        """Let an asynchronous body be called several times where it is called once, on the same loop."""
        body = self._item.obj

        @functools.wraps(body)
        async def once(*args: Any, **kwargs: Any) -> None:
            await together(lambda: body(*args, **kwargs))

        self._item.obj = once
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


async def _awaited(call: AsyncCall) -> Outcome:
    try:
        await call()
    except BaseException as error:  # noqa: BLE001 - an outcome
        return error
    return None


async def _gather(run: Callable[[int], Coroutine[Any, Any, None]], callers: int) -> None:
    """Run coroutines beside one another on the event loop that is running, asyncio's or trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import trio

        async with trio.open_nursery() as nursery:
            for number in range(callers):
                nursery.start_soon(run, number)
    else:
        await asyncio.gather(*(run(number) for number in range(callers)))


async def _arriving(run: Callable[[int], Coroutine[Any, Any, None]], load: Load) -> None:
    """Run coroutines on the event loop that is running, each from the moment it is due."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        await _arriving_in_trio(run, load)
        return
    slots = asyncio.Semaphore(load.at_most)

    async def limited(number: int) -> None:
        try:
            await run(number)
        finally:
            slots.release()

    tasks = []
    for number in load.numbers:
        if (left := load.left(number)) > 0:
            due = loop.create_future()
            # Not by `asyncio.sleep`: that would be a wait of the code under test.
            loop.call_later(left, due.set_result, None)
            await due
        await slots.acquire()
        tasks.append(loop.create_task(limited(number)))
    await asyncio.gather(*tasks)


async def _arriving_in_trio(run: Callable[[int], Coroutine[Any, Any, None]], load: Load) -> None:
    import trio

    slots = trio.Semaphore(load.at_most)

    async def limited(number: int) -> None:
        try:
            await run(number)
        finally:
            slots.release()

    async with trio.open_nursery() as nursery:
        for number in load.numbers:
            await trio.sleep(load.left(number))
            await slots.acquire()
            nursery.start_soon(limited, number)


def _texts(values: Iterable[object]) -> Iterator[str]:
    """Text and numbers among values, also in tuples, as they would stand in a message."""
    for value in values:
        if isinstance(value, tuple):
            yield from _texts(value)
        elif isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
            yield str(value)


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
