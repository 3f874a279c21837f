"""What circuit breakers do, unmodified: open, keep requests off the wire, close again in virtual time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import circuitbreaker  # type: ignore[import-untyped]
import purgatory
import pybreaker
import pytest
import requests
from purgatory.domain.model import OpenedState

from pytest_ralph import faults
from pytest_ralph.world.upstream import Upstream
from pytest_ralph.world.world import World
from tests.clients.wire import Live

URL = "http://api.example"
Call = Callable[[], requests.Response]


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """A library, and what its source says about it.

    Attributes:
        guard: Guards a function with a new breaker as it is by default.
        is_open: What it raises instead of calling the function.
        reset: Seconds for which it stays open.
        last: What the call that opens it raises.
        through: How many of ten calls at once it lets through when the time is up.
    """

    guard: Callable[[Call], Call]
    is_open: type[Exception]
    reset: float
    last: type[Exception]
    through: int


def guarded_by_pybreaker(function: Call) -> Call:
    guarded: Call = pybreaker.CircuitBreaker()(function)
    return guarded


def guarded_by_circuitbreaker(function: Call) -> Call:
    guarded: Call = circuitbreaker.CircuitBreaker()(function)
    return guarded


def guarded_by_purgatory(function: Call) -> Call:
    guarded: Call = purgatory.SyncCircuitBreakerFactory()("api")(function)
    return guarded


BREAKERS = {
    "pybreaker": Breaker(
        guard=guarded_by_pybreaker,
        is_open=pybreaker.CircuitBreakerError,
        reset=60,
        last=pybreaker.CircuitBreakerError,
        # It holds a lock for as long as it calls.
        through=1,
    ),
    "circuitbreaker": Breaker(
        guard=guarded_by_circuitbreaker,
        is_open=circuitbreaker.CircuitBreakerError,
        reset=30,
        last=requests.HTTPError,
        through=10,
    ),
    "purgatory": Breaker(
        guard=guarded_by_purgatory,
        is_open=OpenedState,
        reset=30,
        last=requests.HTTPError,
        through=10,
    ),
}
CLOCKS = {
    "pybreaker": "`datetime.now`",
    "circuitbreaker": "a `monotonic` bound at import",
    "purgatory": "`time.time`",
}


def breakers(what: str) -> pytest.MarkDecorator:
    """Run a test with each of the libraries."""
    return pytest.mark.parametrize(
        "breaker",
        [
            pytest.param(
                each, id=name, marks=pytest.mark.shows("libraries", name, what.format(clock=CLOCKS[name]))
            )
            for name, each in BREAKERS.items()
        ],
    )


@pytest.fixture
def api(world: World) -> Upstream:
    api = world.upstream(URL)
    api.get("/", body="fine")
    return api


def get() -> requests.Response:
    answer = requests.get(f"{URL}/", timeout=10)
    answer.raise_for_status()
    return answer


def fail(call: Call, times: int) -> list[type[Exception]]:
    """What so many calls raise."""
    found = []
    for _ in range(times):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - told by the caller
            call()
        found.append(caught.type)
    return found


@breakers("opens after five failures, and closes again by {clock}")
def test_a_breaker_opens_and_closes_again(live: Live, api: Upstream, breaker: Breaker):
    api.inject(faults.Status(503))
    call = breaker.guard(get)

    def scene() -> None:
        assert fail(call, 5) == [*[requests.HTTPError] * 4, breaker.last]
        assert fail(call, 10) == [breaker.is_open] * 10
        assert len(api.requests) == 5

        api.heal()
        time.sleep(breaker.reset - 0.1)
        assert fail(call, 1) == [breaker.is_open]
        assert len(api.requests) == 5

        time.sleep(0.2)
        assert [call().text for _ in range(3)] == ["fine"] * 3
        assert len(api.requests) == 8

        # Closed, not half-open: it takes five failures again.
        api.inject(faults.Status(503))
        assert fail(call, 5) == [*[requests.HTTPError] * 4, breaker.last]

    live(scene)


@breakers("opens again, for as long, when the trial call fails")
def test_a_breaker_opens_again(world: World, live: Live, api: Upstream, breaker: Breaker):
    api.inject(faults.Hang())
    call = breaker.guard(get)

    live(lambda: fail(call, 5))
    world.advance(breaker.reset + 0.1)
    live(lambda: fail(call, 1))
    assert len(api.requests) == 6

    world.advance(breaker.reset - 0.1)
    assert live(lambda: fail(call, 1)) == [breaker.is_open]
    assert len(api.requests) == 6

    api.heal()
    world.advance(0.2)
    assert live(lambda: call().text) == "fine"
    assert len(api.requests) == 7


@breakers("counts how long its calls take")
def test_a_breaker_stays_open_from_its_last_failure_on(live: Live, api: Upstream, breaker: Breaker):
    api.inject(faults.Hang())
    call = breaker.guard(get)

    def scene() -> None:
        began = time.monotonic()
        fail(call, 5)
        # Each of the five waited for its timeout of 10 s.
        assert time.monotonic() - began == pytest.approx(50, abs=0.01)
        time.sleep(breaker.reset - 5)
        assert fail(call, 1) == [breaker.is_open]

    live(scene)


@breakers("ten threads at once when its time is up")
def test_what_a_breaker_lets_through_at_once(world: World, live: Live, api: Upstream, breaker: Breaker):
    api.inject(faults.Hang())
    call = breaker.guard(get)

    def attempt(_: int) -> type[Exception]:
        return fail(call, 1)[0]

    def scene() -> tuple[list[type[Exception]], float]:
        fail(call, 5)
        time.sleep(breaker.reset + 1)
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(attempt, range(10)))
        return found, time.monotonic() - began

    found, took = live(scene)

    assert took == pytest.approx(10, abs=0.01)
    assert len(api.requests) - 5 == breaker.through
    assert found.count(breaker.is_open) >= 10 - breaker.through
