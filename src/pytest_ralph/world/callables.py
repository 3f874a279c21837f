"""Dependencies that are Python callables: the same faults and the same timeline as for services.

A function written in Python is entered where all references to it meet: its code is replaced, so that copies
made by ``from module import function`` before follow, and so do bound methods and partials. Anything else
that can be called is replaced where it was named and in every module that holds it by then.

A call is recorded as an attempt, like a request: begun when the callable is called, ended when it returns,
raises or is given up by a caller that cancels it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from pytest_ralph.core.fault import CallStep, Fault, Hold, Kind, Pause, Request, Throw
from pytest_ralph.core.location import Location
from pytest_ralph.core.timeline import (
    Event,
    FaultMet,
    GaveUp,
    Raised,
    Requested,
    Returned,
    Stuck,
    classes,
    named,
)
from pytest_ralph.world.endings import Ended, NeverEnds
from pytest_ralph.world.injecting import Injectable
from pytest_ralph.world.patching import put
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo
from pytest_ralph.world.scheduler import Scheduler, WorldIsOver
from pytest_ralph.world.tasks import strand

if TYPE_CHECKING:
    from typing_extensions import Self

UNSET: Any = object()
"""Stands for no value, where None is one."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a Python callable.

    Attributes:
        args: The arguments by position; for a method the first is the object it was called on.
        kwargs: The arguments by name.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(kw_only=True)
class _Attempt:
    """A call that is going on."""

    number: int
    began: int
    fault: Fault | None
    location: Location | None
    thread: int
    outlived: bool = False
    """Whether the play it belongs to is over."""

    @property
    def steps(self) -> Generator[CallStep]:
        yield from self.fault.on_call() if self.fault is not None else ()


class Dependency(Injectable):
    """A dependency that is a Python callable.

    Made by the ``ralph_callable`` fixture.

    Example:
        >>> fetch = ralph_callable("shop.rates:fetch")  # doctest: +SKIP
        >>> fetch.inject(ralph.faults.Raises(TimeoutError), times=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        target: str,
        *,
        recorder: Recorder,
        scheduler: Scheduler,
        returns: Any = UNSET,
        faulted: bool = True,
    ) -> None:
        self._place = find(target)
        kind = Kind.COROUTINE if self._place.is_coroutine else Kind.FUNCTION
        super().__init__(target, kind, faulted=faulted)
        self._name = target.partition(":")[2]
        self._recorder = recorder
        self._scheduler = scheduler
        self._returns = returns
        self._inside: contextvars.ContextVar[bool] = contextvars.ContextVar("ralph_inside", default=False)
        self._plays = 0
        self.calls: list[Call] = []
        """The journal: every call, in order."""

    def __repr__(self) -> str:
        return f"ralph_callable({self.url!r})"

    def inject(self, fault: Fault, *, times: int | None = None) -> Self:
        """Show a fault from now on, in place of one injected before.

        Args:
            fault: ``Slow``, ``Hang``, ``Unreachable``, ``Raises``, or a ``Sequence`` or ``Randomly`` of them.
            times: How many calls meet it before the callable recovers; None while it lasts.

        Returns:
            This dependency. Used as a context manager it shows at the end of the block what it showed before.

        Raises:
            TypeError: ``fault`` is not a fault.
            ValueError: ``times`` is below 1, or the fault is for services.
        """
        self.show(fault, times)
        return self

    def install(self) -> Undo:
        """Take the callable's place. Returns what gives it back."""
        return self._place.install(self._in_place_of)

    def bookmark(self) -> Callable[[], None]:
        """What forgets the calls that are made from now on."""
        mark = len(self.calls)

        def forget() -> None:
            del self.calls[mark:]

        return forget

    def restore(self) -> None:
        """Make it what it was when it was declared: nothing called, no fault, and nobody who waits."""
        self.calls.clear()
        self._plays += 1
        self.heal()

    # -- calls ----------------------------------------------------------------------------------------

    def _in_place_of(self, original: Callable[..., Any]) -> Callable[..., Any]:
        if self.kind is Kind.COROUTINE:

            async def call_async(*args: Any, **kwargs: Any) -> Any:
                if self._inside.get():
                    return await original(*args, **kwargs)
                with self._attempt(args, kwargs) as attempt:
                    for step in attempt.steps:
                        await self._take_async(step)
                    if self._returns is not UNSET:
                        return self._returns
                    with self._being_inside():
                        return await original(*args, **kwargs)

            return call_async

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._inside.get():
                return original(*args, **kwargs)
            with self._attempt(args, kwargs) as attempt:
                for step in attempt.steps:
                    self._take(step, attempt)
                if self._returns is not UNSET:
                    return self._returns
                with self._being_inside():
                    return original(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def _being_inside(self) -> Generator[None]:
        """A context in which the callable calls itself: that is its own matter."""
        token = self._inside.set(True)
        try:
            yield
        finally:
            self._inside.reset(token)

    @contextlib.contextmanager
    def _attempt(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Generator[_Attempt]:
        """A context that is one call, and records how it ends."""
        attempt = self._begin(args, kwargs)
        try:
            yield attempt
        except Ended:
            raise
        except Exception as error:
            self._record(
                Raised,
                attempt,
                error=_told(error),
                types=classes(type(error)),
            )
            raise
        except BaseException:
            if attempt.outlived:
                raise
            after = round((self._recorder.moment - attempt.began) / 1e9, 6)
            connecting = attempt.fault is not None and attempt.fault.connect_stage
            self._record(GaveUp, attempt, phase="connect" if connecting else "call", after=after)
            raise
        self._record(Returned, attempt)

    def _begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Attempt:
        recorder = self._recorder
        recorder.check()
        request = Request(
            method="call", target=self._name, url=self.url, headers={}, body=_shown(args, kwargs)
        )
        self.calls.append(Call(args=args, kwargs=kwargs))
        location, site = recorder.place()
        attempt = _Attempt(
            number=recorder.next_attempt(),
            began=recorder.moment,
            fault=self.plan.on_request(request),
            location=location,
            thread=strand(),
        )
        self._record(
            Requested, attempt, method=request.method, target=request.target, body=request.body, site=site
        )
        if attempt.fault is not None:
            recorder.add(FaultMet, upstream=self.url, fault=repr(attempt.fault), attempt=attempt.number)
        return attempt

    def _record(self, kind: type[Event], attempt: _Attempt, **fields: Any) -> None:
        self._recorder.add(
            kind,
            upstream=self.url,
            attempt=attempt.number,
            location=attempt.location,
            thread=attempt.thread,
            **fields,
        )

    # -- steps ----------------------------------------------------------------------------------------

    def _take(self, step: CallStep, attempt: _Attempt) -> None:
        if isinstance(step, Throw):
            raise step.error
        play = self._plays
        deadline = None
        if isinstance(step, Pause):
            deadline = self._scheduler.clock.now + round(step.seconds * 1e9)
        try:
            attempt.outlived = self._scheduler.wait(lambda: self._plays != play, deadline, on_network=True)
        except NeverEnds:
            self._recorder.add(Stuck, phase="call", call=self.url, location=attempt.location)
            raise
        except WorldIsOver:
            attempt.outlived = True
        if attempt.outlived:
            sys.exit()  # ends the thread that waits here, and no handler of errors begins anew

    async def _take_async(self, step: CallStep) -> None:
        if isinstance(step, Throw):
            raise step.error
        if (trio := _trio()) is not None:
            await (trio.sleep(step.seconds) if isinstance(step, Pause) else trio.sleep_forever())
            return
        import asyncio

        loop = asyncio.get_running_loop()
        over = loop.create_future()
        if isinstance(step, Hold):
            await over
            return
        timer = loop.call_later(step.seconds, _set_result, over)
        try:
            await over
        finally:
            timer.cancel()


def _set_result(future: Any) -> None:
    if not future.done():
        future.set_result(None)


def _trio() -> Any:
    """trio, if it is what runs the present task."""
    trio = sys.modules.get("trio")
    if trio is not None:
        with contextlib.suppress(RuntimeError):
            trio.lowlevel.current_task()
            return trio
    return None


def _told(error: Exception) -> str:
    text, name = " ".join(str(error).split()), named(type(error))
    return f"{name}: {text}" if text else name


def _shown(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Arguments as text, by which calls are told apart."""
    try:
        return repr((args, dict(kwargs))).encode("utf-8", "replace")
    except Exception:  # noqa: BLE001 - the code under test may define a repr that fails
        return b"arguments that cannot be shown"


# -- where a callable is found, and how its place is taken --------------------------------------------------

Replace = Callable[[Callable[..., Any]], Callable[..., Any]]
_MISSING: Any = object()
_FORM = "ralph_callable needs 'package.module:name' or 'package.module:Class.method'"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a callable is found.

    Attributes:
        owner: The module or class that it is looked up in.
        name: Its name there.
        raw: What stands there, before methods are bound.
        own: Whether it stands in the owner itself, rather than in a base class.
    """

    owner: Any
    name: str
    raw: Any
    own: bool = field(default=True)

    @property
    def function(self) -> Any:
        """The callable itself, without ``staticmethod`` or ``classmethod`` around it."""
        return self.raw.__func__ if isinstance(self.raw, (staticmethod, classmethod)) else self.raw

    @property
    def is_coroutine(self) -> bool:
        """Whether what it returns is awaited."""
        call = getattr(type(self.function), "__call__", None)  # noqa: B004 - its type decides
        return inspect.iscoroutinefunction(self.function) or (
            not isinstance(self.function, FunctionType) and inspect.iscoroutinefunction(call)
        )

    def install(self, replace: Replace) -> Undo:
        """Put something else in its place. Returns what undoes it."""
        function = self.function
        if isinstance(function, FunctionType) and self.own:
            return _enter_by_code(function, replace)
        replacement = _StandIn(function, replace)
        shown: Any = replacement
        if isinstance(self.raw, (staticmethod, classmethod)):
            shown = type(self.raw)(replacement)
        with ExitStack() as stack:
            stack.callback(put([(self.owner, self.name, shown)]))
            if isinstance(self.owner, type(sys)):
                for module, name in _holders(function):
                    stack.callback(put([(module, name, replacement)]))
            return stack.pop_all().close


def find(target: object) -> Place:
    """Find a callable by its name.

    Args:
        target: ``package.module:name`` or ``package.module:Class.method``.

    Raises:
        ValueError: There is none, or it cannot be replaced.
    """
    if not isinstance(target, str) or target.count(":") != 1:
        raise ValueError(f"{_FORM}, got {target!r}")
    module, path = target.split(":")
    names = path.split(".")
    if not all(name.isidentifier() for name in (*module.split("."), *names)):
        raise ValueError(f"{_FORM}, got {target!r}")
    try:
        owner: Any = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"ralph_callable({target!r}): {error}") from error
    for name in names[:-1]:
        owner = _member(owner, name, target)
    value = _member(owner, names[-1], target)
    place = Place(
        owner=owner,
        name=names[-1],
        raw=inspect.getattr_static(owner, names[-1], value),
        own=names[-1] in vars(owner) if hasattr(owner, "__dict__") else True,
    )
    _check(place, value, target)
    return place


def _member(owner: Any, name: str, target: str) -> Any:
    value = getattr(owner, name, _MISSING)
    if value is _MISSING:
        shown = getattr(owner, "__qualname__", getattr(owner, "__name__", repr(owner)))
        raise ValueError(f"ralph_callable({target!r}): {shown} has no attribute {name!r}")
    return value


def _check(place: Place, value: Any, target: str) -> None:
    reason = None
    if isinstance(value, type):
        reason = f"it is a class; name what it does, such as '{target}.send'"
    elif not callable(value) or isinstance(place.raw, property):
        reason = f"it is not callable but {type(place.raw).__name__}; name a function or method"
    elif inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        reason = "it is a generator, which does its work later; name the function that does the work"
    if reason:
        raise ValueError(f"ralph_callable({target!r}): {reason}")


class _StandIn:
    """Stands in for a callable that is not a plain function, and looks like it.

    Args:
        original: The callable.
        replace: Makes what is called in its place.
    """

    def __init__(self, original: Any, replace: Replace) -> None:
        self._original = original
        self._replace = replace
        self._call = replace(original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if not hasattr(type(self._original), "__get__"):
            return self
        bound = self._original.__get__(instance, owner)
        return self if bound is self._original else functools.partial(self._call, instance)


def _holders(value: Any) -> list[tuple[Any, str]]:
    """Every module that holds an object, and by which name."""
    return [
        (module, name)
        for module in list(sys.modules.values())
        if isinstance(module, type(sys))
        for name, held in list(vars(module).items())
        if held is value
    ]


def _enter_by_code(function: FunctionType, replace: Replace) -> Undo:
    """Have a function call something else, whoever holds it. Returns what undoes it."""
    before, signature = function.__code__, inspect.signature(function)
    original = FunctionType(
        before, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    marked = "__signature__" in vars(function)
    function.__code__ = _entry(before, replace(original))
    if not marked:
        function.__signature__ = signature  # type: ignore[attr-defined]

    def undo() -> None:
        function.__code__ = before
        if not marked:
            del function.__signature__  # type: ignore[attr-defined]

    return undo


_MARK = "what is called in its place"
_ENTRY = """
def outer({free}):
    {is_async}def entry(*args, **kwargs):
        call = {mark!r}
        return {is_await}call(*args, **kwargs)
        {free}
    return entry
"""


def _entry(before: CodeType, call: Callable[..., Any]) -> CodeType:
    """Code that calls something else, for a function with as many free variables as before."""
    is_async = inspect.iscoroutinefunction(call)
    source = _ENTRY.format(
        free=", ".join(f"free_{number}" for number in range(len(before.co_freevars))) or "_",
        is_async="async " if is_async else "",
        is_await="await " if is_async else "",
        mark=_MARK,
    )
    if not before.co_freevars:
        source = source.replace("outer(_)", "outer()").replace("        _\n", "")
    module = compile(source, "<pytest-ralph>", "exec")
    outer = next(each for each in module.co_consts if isinstance(each, CodeType))
    entry = next(each for each in outer.co_consts if isinstance(each, CodeType))
    consts = tuple(call if each == _MARK else each for each in entry.co_consts)
    return entry.replace(co_consts=consts, co_name=before.co_name)
