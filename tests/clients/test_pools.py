"""What connection pools do, unmodified: how long they make callers wait, and how their workers wait."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg_pool
import pytest
import urllib3

from pytest_ralph import faults
from pytest_ralph.world.world import World
from tests.clients.wire import Live

URL = "http://api.example"


def timed(action: Callable[[], object]) -> tuple[object, float]:
    """What came of it, and how long it took in virtual time."""
    began = time.monotonic()
    try:
        found = action()
    except Exception as error:
        found = error
    return found, time.monotonic() - began


# -- psycopg_pool -------------------------------------------------------------------------------------------


@pytest.fixture
def refusing() -> Iterator[str]:
    """Where a database should be, and nobody listens: libpq is C, and connects there for real."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"host=127.0.0.1 port={sock.getsockname()[1]} dbname=shop user=shop password=x"


@pytest.mark.shows("libraries", "psycopg_pool", "callers wait 30 s for a connection, by `Condition.wait`")
@pytest.mark.parametrize(("timeout", "expected"), [(None, 30), (30, 30), (3, 3)])
def test_psycopg_pool_makes_callers_wait(live: Live, refusing: str, timeout: float | None, expected: float):
    def call() -> tuple[object, float]:
        with psycopg_pool.ConnectionPool(refusing, open=False, min_size=1) as pool:
            return timed(lambda: pool.getconn(timeout=timeout))

    error, took = live(call)

    assert isinstance(error, psycopg_pool.PoolTimeout)
    assert took == pytest.approx(expected, abs=0.01)


@pytest.mark.shows("libraries", "psycopg_pool", "ten callers wait at once")
def test_psycopg_pool_makes_callers_wait_at_once(live: Live, refusing: str):
    def call() -> list[tuple[object, float]]:
        with (
            psycopg_pool.ConnectionPool(refusing, open=False, min_size=1) as pool,
            ThreadPoolExecutor(10) as threads,
        ):
            return list(threads.map(lambda _: timed(pool.getconn), range(10)))

    found = live(call)

    assert [type(error) for error, _ in found] == [psycopg_pool.PoolTimeout] * 10
    assert [took for _, took in found] == pytest.approx([30] * 10, abs=0.01)


@pytest.mark.shows("libraries", "psycopg_pool", "opening waits until it is full, by `Event.wait`")
def test_psycopg_pool_waits_until_it_is_full(live: Live, refusing: str):
    def call() -> tuple[object, float]:
        pool = psycopg_pool.ConnectionPool(refusing, open=False)
        return timed(lambda: pool.open(wait=True, timeout=45))

    error, took = live(call)

    assert isinstance(error, psycopg_pool.PoolTimeout)
    assert took == pytest.approx(45, abs=0.01)


@pytest.mark.shows("libraries", "psycopg_pool", "its workers connect again, with waits that double")
def test_psycopg_pool_connects_again(live: Live, refusing: str):
    """It waits 1 s, give or take a tenth, and then twice as long each time, until five minutes are over."""
    moments: list[float] = []
    given_up: list[float] = []

    def call() -> None:
        began = time.monotonic()

        def conninfo() -> str:
            moments.append(time.monotonic() - began)
            return refusing

        def reconnect_failed(_: Any) -> None:
            given_up.append(time.monotonic() - began)

        with psycopg_pool.ConnectionPool(conninfo, open=False, min_size=1, reconnect_failed=reconnect_failed):
            time.sleep(400)

    live(call)

    first = moments[1]
    assert 0.9 <= first <= 1.1
    assert moments == pytest.approx([*((2**n - 1) * first for n in range(9)), 300], abs=0.01)
    assert given_up == pytest.approx([300], abs=0.01)


# -- pools of HTTP clients ----------------------------------------------------------------------------------


def beside(busy: Callable[[], object], action: Callable[[], object]) -> tuple[object, float]:
    """What comes of an action that begins one second after another thread has become busy."""
    thread = threading.Thread(target=timed, args=(busy,))
    thread.start()
    time.sleep(1)
    found = timed(action)
    thread.join()
    return found


@pytest.mark.shows("clients", "urllib3", "callers wait for a connection of a blocking pool, by `Queue.get`")
@pytest.mark.parametrize(("patience", "expected"), [(5, 5), (50, 9)])
def test_urllib3_makes_callers_wait(world: World, live: Live, patience: int, expected: float):
    api = world.upstream(URL)
    api.inject(faults.Hang(), times=1).get("/", body="fine")

    def call() -> tuple[object, float]:
        with urllib3.HTTPConnectionPool("api.example", maxsize=1, block=True, retries=False) as pool:
            return beside(
                lambda: pool.request("GET", "/", timeout=10),
                lambda: pool.urlopen("GET", "/", timeout=10, pool_timeout=patience).status,
            )

    found, took = live(call)

    assert isinstance(found, urllib3.exceptions.EmptyPoolError) if patience < 10 else found == 200
    assert took == pytest.approx(expected, abs=0.01)
    assert len(api.requests) == (1 if patience < 10 else 2)


@pytest.mark.shows("clients", "httpx", "callers wait for a connection of its pool, by `Event.wait`")
@pytest.mark.parametrize(("patience", "expected"), [(5, 5), (50, 9)])
def test_httpx_makes_callers_wait(world: World, live: Live, patience: int, expected: float):
    api = world.upstream(URL)
    api.inject(faults.Hang(), times=1).get("/", body="fine")

    def call() -> tuple[object, float]:
        with httpx.Client(
            timeout=httpx.Timeout(10, pool=patience), limits=httpx.Limits(max_connections=1)
        ) as client:
            return beside(lambda: client.get(f"{URL}/"), lambda: client.get(f"{URL}/").status_code)

    found, took = live(call)

    assert isinstance(found, httpx.PoolTimeout) if patience < 10 else found == 200
    assert took == pytest.approx(expected, abs=0.01)
    assert len(api.requests) == (1 if patience < 10 else 2)
