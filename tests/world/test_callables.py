"""Dependencies that are Python callables: whoever holds them meets the fault, and the timeline shows it."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts, operations
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import FaultMet, GaveUp, Raised, Requested, Returned, Stuck, Waited
from pytest_ralph.engine.play import Target, _inject
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.world import World
from tests.subjects import rates
from tests.subjects.rates import cached, call, call_async, closed_over, closed_over_async, fetch, fetch_async

Live = Callable[[Callable[[], Any]], Any]
HERE = "tests.subjects.rates:"

CLIENT = rates.Client()
BOUND = CLIENT.get


def copied_by_default(function: Callable[[], float] = fetch) -> float:
    return function()


# What is declared, how it is called by those who hold it, and what it gives while it is healthy.
FORMS: dict[str, tuple[str, Callable[[], Any], Any]] = {
    "module": ("fetch", lambda: rates.fetch(), 1.23),
    "copied by import": ("fetch", lambda: fetch("usd", digits=1), 1.2),
    "copied by a default": ("fetch", copied_by_default, 1.23),
    "in a partial": ("fetch", rates.partial, 1.2),
    "in a class": ("fetch", lambda: rates.Client.send(), 1.23),
    "by the class that holds it": ("Client.send", lambda: fetch(), 1.23),
    "a partial": ("partial", lambda: rates.partial(), 1.2),
    "closure": ("closed_over", closed_over, 4.6),
    "cached": ("cached", lambda: rates.cached(), 7.5),
    "cached, copied by import": ("cached", lambda: cached(), 7.5),
    "method": ("Client.get", lambda: CLIENT.get(2), 4.0),
    "bound method": ("Client.get", lambda: BOUND(), 2.0),
    "method with a closure": ("Client.doubled", lambda: CLIENT.doubled(), 4.0),
    "class method": ("Client.named", lambda: CLIENT.named(), "Client"),
    "static method": ("Client.fixed", lambda: rates.Client.fixed(3), 3),
    "cached method": ("Client.cached", lambda: CLIENT.cached(), 2.0),
    "inherited": ("Client.inherited", lambda: CLIENT.inherited(), "Client"),
    "object": ("call", lambda: rates.call(1), 2),
    "object, copied by import": ("call", lambda: call(1), 2),
}
ASYNC: dict[str, tuple[str, Callable[[], Any], Any]] = {
    "module": ("fetch_async", lambda: rates.fetch_async("usd"), 1.23),
    "copied by import": ("fetch_async", lambda: fetch_async(), 1.23),
    "closure": ("closed_over_async", closed_over_async, 4.6),
    "method": ("Client.get_async", lambda: CLIENT.get_async(), 2.0),
    "object": ("call_async", lambda: call_async(1), 2),
}


def awaited(make: Callable[[], Any]) -> Callable[[], Any]:
    async def run() -> Any:
        return await make()

    return lambda: asyncio.run(run())


ALL = {**FORMS, **{f"async {name}": (path, awaited(make), got) for name, (path, make, got) in ASYNC.items()}}


@pytest.mark.parametrize(("path", "use", "healthy"), ALL.values(), ids=ALL)
def test_whoever_holds_it_meets_the_fault_and_gets_the_real_thing_afterwards(
    world: World, live: Live, path: str, use: Callable[[], Any], healthy: Any
):
    callable_ = world.callable(HERE + path)
    callable_.inject(faults.Sequence(faults.Raises(TimeoutError("late")), faults.Slow(3)))

    def calls() -> tuple[Any, float]:
        with pytest.raises(TimeoutError, match="late"):
            use()
        began = time.monotonic()
        found = use()
        took = time.monotonic() - began
        assert use() == found
        return found, took

    found, took = live(calls)

    assert found == healthy
    assert took == pytest.approx(3, abs=0.01)
    assert len(callable_.calls) == 3
    assert [type(event) for event in world.timeline.of(Raised, Returned)] == [Raised, Returned, Returned]
    assert [each.fault for each in world.timeline.of(FaultMet)] == [
        "Raises(TimeoutError('late'))",
        "Slow(3)",
    ]
    assert use() == healthy
    assert len(callable_.calls) == 3  # nothing is left behind


def test_nothing_is_left_behind(world: World, live: Live):
    before = {name: dict(vars(owner)) for name, owner in (("module", rates), ("class", rates.Client))}
    codes = [fetch.__code__, rates.Client.get.__code__, dict(vars(fetch))]
    for path, _, _ in ALL.values():
        world.callable(HERE + path)

    live(lambda: None)

    after = {name: dict(vars(owner)) for name, owner in (("module", rates), ("class", rates.Client))}
    assert after == before
    assert [fetch.__code__, rates.Client.get.__code__, dict(vars(fetch))] == codes


def test_what_others_ask_about_it_is_as_before(world: World, live: Live):
    for path in ("fetch", "fetch_async", "cached", "Client.get"):
        world.callable(HERE + path)

    def look() -> tuple[Any, ...]:
        return (
            str(inspect.signature(fetch)),
            str(inspect.signature(rates.Client.get)),
            inspect.iscoroutinefunction(fetch_async),
            inspect.iscoroutinefunction(fetch),
            fetch.__name__,
            fetch.__doc__,
            rates.cached.cache_info().maxsize,
        )

    before = look()
    assert live(look) == before


def test_only_the_class_that_is_named_is_touched(world: World, live: Live):
    world.callable(HERE + "Client.inherited").inject(faults.Raises(OSError))

    assert live(lambda: rates.Other().inherited()) == "Other"


def test_a_function_that_calls_itself_is_called_once(world: World, live: Live):
    factorial = world.callable(HERE + "factorial")

    assert live(lambda: rates.factorial(5)) == 120
    assert [each.args for each in factorial.calls] == [(5,)]


def test_the_journal_shows_arguments_and_results_can_be_given(world: World, live: Live):
    given = world.callable(HERE + "fetch", returns=9.9)
    world.callable(HERE + "fetch_async", returns=None)

    found = live(lambda: (fetch("usd", digits=4), asyncio.run(fetch_async())))

    assert found == (9.9, None)
    assert [(each.args, dict(each.kwargs)) for each in given.calls] == [(("usd",), {"digits": 4})]


def test_the_timeline_shows_calls_as_attempts(world: World, live: Live):
    world.callable(HERE + "fetch").inject(faults.Raises(ConnectionResetError("gone")), times=2)
    world.callable(HERE + "refuse")

    def calls() -> None:
        for wait in (1, 2):
            with pytest.raises(ConnectionResetError):
                fetch()
            time.sleep(wait)
        fetch()
        with pytest.raises(rates.UnknownCurrencyError):
            rates.refuse("xxx")

    live(calls)

    assert world.timeline.lines() == [
        "0.000 call fetch -> raised ConnectionResetError: gone",
        "0.000 wait 1 s",
        "1.000 call fetch -> raised ConnectionResetError: gone",
        "1.000 wait 2 s",
        "3.000 call fetch -> returned",
        "3.000 call refuse -> raised tests.subjects.rates.UnknownCurrencyError: xxx",
    ]
    first, second = operations(world.timeline)
    assert (first.retries, [round(gap, 3) for gap in first.gaps]) == (2, [1, 2])
    assert first.first.raised[:3] == ("ConnectionResetError", "ConnectionError", "OSError")
    assert (first.first.failure, first.last.failed, second.first.failed) == ("raised", False, True)
    assert first.location is not None
    assert first.location.function == "calls"
    assert [event.thread for event in world.timeline.of(Requested)] == [threading.get_native_id()] * 4


@pytest.mark.parametrize(
    ("fault", "phase"),
    [(faults.Hang(), "call"), (faults.Unreachable(), "connect"), (faults.Slow(60), "call")],
)
@pytest.mark.parametrize("runner", ["asyncio", "trio", "anyio on trio"])
def test_an_awaited_call_is_given_up_by_the_callers_timeout(
    world: World, live: Live, runner: str, fault: Fault, phase: str
):
    world.callable(HERE + "fetch_async").inject(fault)

    async def by_asyncio() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(fetch_async(), 5)

    async def by_anyio() -> None:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(5):
                await fetch_async()

    async def by_trio() -> None:
        import trio

        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(5):
                await fetch_async()

    def run() -> None:
        if runner == "asyncio":
            asyncio.run(by_asyncio())
        elif runner == "trio":
            import trio

            trio.run(by_trio)
        else:
            anyio.run(by_anyio, backend="trio")

    live(run)

    (gave_up,) = world.timeline.of(GaveUp)
    assert phase == gave_up.phase
    assert gave_up.after == pytest.approx(5, abs=0.01)
    assert [each.outcome for each in attempts(world.timeline)] == ["timeout"]
    assert world.timeline.of(Waited) == []


def test_an_unreachable_callable_ends_as_linux_ends_it(world: World, live: Live):
    world.callable(HERE + "fetch").inject(faults.Unreachable())

    def run() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="Connection timed out"):
            fetch()
        return time.monotonic() - began

    assert live(run) == pytest.approx(127, abs=0.01)


def test_a_call_that_hangs_is_seen_at_once(world: World, live: Live):
    world.callable(HERE + "fetch").inject(faults.Hang())
    world.callable(HERE + "fetch_async").inject(faults.Hang())

    with pytest.raises(NeverEnds):
        live(fetch)
    (stuck,) = world.timeline.of(Stuck)
    assert (stuck.phase, stuck.call) == ("call", HERE + "fetch")
    assert attempts(world.timeline)[0].outcome == "pending"
    with pytest.raises(NeverEnds):
        live(awaited(fetch_async))


def test_a_thread_that_hangs_is_let_go_when_its_play_is_over(world: World, live: Live):
    world.callable(HERE + "fetch").inject(faults.Hang())

    def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(fetch)
            time.sleep(5)
            assert not future.done()
            world.heal()
            assert isinstance(future.exception(timeout=5), SystemExit)

    live(run)

    assert world.timeline.of(GaveUp) == []


def test_calls_of_several_threads_wait_at_the_same_time(world: World, live: Live):
    world.callable(HERE + "fetch").inject(faults.Slow(3))

    def run() -> float:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: fetch(), range(4)))
        return time.monotonic() - began

    assert live(run) == pytest.approx(3, abs=0.05)


def test_it_can_be_declared_while_the_world_is_there(world: World, live: Live):
    def run() -> None:
        api = world.callable(HERE + "fetch")
        assert world.callable(HERE + "fetch") is api
        with api.inject(faults.Raises(KeyError)), pytest.raises(KeyError):
            fetch()
        assert fetch() == 1.23

    live(run)
    assert fetch() == 1.23


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fetch", "needs 'package.module:name' or 'package.module:Class.method', got 'fetch'"),
        (fetch, "needs 'package.module:name' or 'package.module:Class.method', got <function"),
        ("tests.subjects.rates:", "needs 'package.module:name'"),
        ("tests.subjects.rates:a b", "needs 'package.module:name'"),
        ("tests.subjects.nowhere:fetch", "No module named 'tests.subjects.nowhere'"),
        (HERE + "fetsch", "tests.subjects.rates has no attribute 'fetsch'"),
        (HERE + "Client.post", "Client has no attribute 'post'"),
        (HERE + "Client", "it is a class; name what it does, such as 'tests.subjects.rates:Client.send'"),
        (HERE + "Client.limit", "it is not callable but int; name a function or method"),
        (HERE + "Client.shown", "it is not callable but property; name a function or method"),
        (HERE + "each", "it is a generator, which does its work later"),
    ],
)
def test_what_cannot_be_replaced_is_refused(world: World, target: Any, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        world.callable(target)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            faults.Status(503),
            "Status(503) is for a service on http:// or a service on https://, and this is a",
        ),
        (faults.Sequence(faults.Hang(), faults.Refuse()), "Refuse() is for a service"),
        (faults.Randomly(faults.DnsFailure(), 0.5), "DnsFailure('nxdomain') is for a service"),
        (TimeoutError, "inject needs a fault such as ralph.faults.Hang(), got <class 'TimeoutError'>"),
    ],
    ids=repr,
)
def test_faults_of_services_are_refused(world: World, fault: Any, message: str):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        world.callable(HERE + "fetch").inject(fault)


def test_no_scenario_shows_a_callable_a_fault_of_services(world: World):
    callable_ = world.callable(HERE + "fetch")
    target = Target(upstream=callable_, operation="call fetch")

    _inject(faults.Raises(KeyError), None, [target])
    _inject(faults.Status(503), None, [target])

    assert [each.fault for each in callable_.plan.shown] == [faults.Raises(KeyError)]


def test_two_declarations_that_differ_are_refused(world: World):
    world.callable(HERE + "fetch")

    with pytest.raises(ValueError, match="is declared already"):
        world.callable(HERE + "fetch", returns=3)
    with pytest.raises(ValueError, match="is declared already"):
        world.callable(HERE + "fetch", faulted=False)
