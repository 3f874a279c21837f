"""Virtual time: who sees it, when it moves, and that nothing of it stays behind."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import functools
import gc
import queue
import socket
import threading
import time
from collections.abc import Callable
from time import monotonic as bound_monotonic
from time import sleep as bound_sleep
from typing import Any

import pytest
import requests

from pytest_ralph import faults
from pytest_ralph.world import repoint
from pytest_ralph.world.clock import VirtualClock
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.repoint import Repointed
from pytest_ralph.world.world import World

Live = Callable[[Callable[[], Any]], Any]


def default_argument(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    sleep(seconds)


@pytest.mark.parametrize("sleep", [time.sleep, bound_sleep, default_argument, lambda s: time.sleep(s)])
@pytest.mark.parametrize("clock", [time.monotonic, bound_monotonic, time.perf_counter, time.time])
def test_every_binding_of_sleep_and_clock_is_virtual(
    live: Live, sleep: Callable[[float], None], clock: Callable[[], float]
):
    def call() -> float:
        began = clock()
        sleep(1800)
        return clock() - began

    assert live(call) == pytest.approx(1800, abs=0.001)


def test_wall_clocks_move_along(live: Live):
    def call() -> list[float]:
        before = [time.time(), dt.datetime.now().timestamp(), time.mktime(time.localtime())]
        time.sleep(3600)
        after = [time.time(), dt.datetime.now().timestamp(), time.mktime(time.localtime())]
        return [later - earlier for earlier, later in zip(before, after, strict=True)]

    assert live(call) == pytest.approx([3600] * 3, abs=1)


def test_clocks_strictly_increase_by_a_microsecond(live: Live):
    reads = live(lambda: [time.monotonic_ns() for _ in range(100)])

    assert {1000} == {later - earlier for earlier, later in zip(reads, reads[1:], strict=False)}


def collect(reads: int) -> int:
    """Collect garbage, with a callback that reads the clock; give the microseconds that this takes."""

    def measure(phase: str, _: object) -> None:
        for _ in range(reads):
            time.perf_counter()

    gc.disable()
    gc.callbacks.insert(1, measure)
    try:
        began = time.perf_counter()
        gc.collect()
        return round((time.perf_counter() - began) * 1e6)
    finally:
        gc.callbacks.remove(measure)
        gc.enable()


def test_what_the_garbage_collector_reads_moves_no_time(live: Live):
    assert live(lambda: collect(10)) == 1


def test_a_garbage_collector_that_spins_until_some_moment_does_not_hang(live: Live):
    assert live(lambda: collect(2_000)) > 1_000


def test_garbage_may_be_collected_without_telling_us(live: Live):
    before = list(gc.callbacks)
    live(gc.callbacks.clear)

    assert gc.callbacks == []
    gc.callbacks[:] = before


def test_a_loop_that_polls_the_clock_ends(live: Live):
    def call() -> int:
        count, end = 0, dt.datetime.now() + dt.timedelta(seconds=30)
        while dt.datetime.now() < end:
            count += 1
        return count

    assert 10_000 < live(call) < 1_000_000


def test_dates_have_whole_seconds_at_the_start():
    clock = VirtualClock(5, 1_700_000_000_123_456_789)

    assert clock.wall == 1_700_000_001 * 10**9


def test_wrong_sleeps_raise_what_they_always_raise(live: Live):
    for value, error in ((-1, ValueError), ("1", TypeError), (float("nan"), ValueError)):
        with pytest.raises(error):
            live(functools.partial(time.sleep, value))  # type: ignore[arg-type]


def test_two_threads_that_sleep_take_the_longer_of_both(live: Live):
    def call() -> float:
        began = time.monotonic()
        threads = [threading.Thread(target=time.sleep, args=(seconds,)) for seconds in (5, 5, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began

    assert live(call) == pytest.approx(5, abs=0.01)


def test_a_result_that_is_not_waited_for_long_enough(live: Live):
    def call() -> float:
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            future = pool.submit(time.sleep, 60)
            with pytest.raises(concurrent.futures.TimeoutError):
                future.result(timeout=5)
            return time.monotonic() - began

    assert live(call) == pytest.approx(5, abs=0.01)


def test_threads_that_talk_to_a_hung_service_share_the_time(world: World, live: Live):
    url = "https://api.pay.example"
    world.upstream(url).get("/", body="fine")
    world.network.upstreams[0].inject(faults.Hang())

    def fetch() -> str:
        try:
            requests.get(url, timeout=10)
        except requests.Timeout as error:
            return type(error).__name__
        return "answered"

    def call() -> tuple[list[str], float]:
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = [future.result() for future in [pool.submit(fetch) for _ in range(4)]]
        return found, time.monotonic() - began

    found, took = live(call)

    assert found == ["ReadTimeout"] * 4
    assert took == pytest.approx(10, abs=0.1)


def test_a_computing_thread_holds_time(live: Live):
    def compute() -> int:
        return sum(number * number for number in range(600_000))

    def call() -> tuple[int, bool]:
        done = threading.Event()
        results: list[int] = []

        def work() -> None:
            results.append(compute())
            done.set()

        threading.Thread(target=work).start()
        # A minute of virtual time would pass at once if the worker were taken to be asleep.
        return compute(), done.wait(60)

    assert (compute(), True) == live(call)


def test_a_wait_for_nothing_never_ends(live: Live):
    waits: list[Callable[[], Any]] = [threading.Event().wait, queue.Queue().get]
    for wait in waits:
        with pytest.raises(NeverEnds):
            live(wait)


def test_an_idle_pool_does_not_stop_time(live: Live):
    pool = concurrent.futures.ThreadPoolExecutor(3)
    list(pool.map(abs, range(3)))

    def call() -> float:
        began = time.monotonic()
        time.sleep(100)
        return time.monotonic() - began

    assert live(call) == pytest.approx(100, abs=0.01)
    pool.shutdown()


def test_sockets_that_outlive_the_world_have_their_timeouts_back(world: World, live: Live):
    world.upstream("http://api.pay.example").get("/", body="fine")
    sock = live(lambda: socket.create_connection(("api.pay.example", 80), timeout=12))
    live(lambda: sock.settimeout(34))

    world.close()

    assert sock.gettimeout() == 34
    sock.close()


def test_other_loopback_traffic_is_left_alone(live: Live):
    listener = socket.create_server(("127.0.0.1", 0))

    def call() -> bytes:
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(b"hello")
            return client.recv(5)

    assert live(call) == b"hello"
    listener.close()


def test_time_never_goes_back_from_world_to_world():
    from tests.worlds import SEAMS

    first = SEAMS.clock()
    SEAMS.latest = first.now + 10**15

    assert SEAMS.clock().now > first.now + 10**15


def test_only_builtins_can_be_repointed():
    with pytest.raises(TypeError, match="expected a built-in function"):
        Repointed(default_argument, default_argument)  # type: ignore[arg-type]


def test_this_interpreter_is_supported():
    assert repoint.supported() is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("platform.python_implementation", lambda: "PyPy", "PyPy is not CPython"),
        ("sys.version_info", (3, 14, 0), "is not one of 3.10 to 3.13"),
        ("sys.platform", "win32", "win32 is not Linux"),
        ("sysconfig.get_config_var", lambda name: 1, "free-threaded"),
    ],
)
def test_other_interpreters_are_told_so(monkeypatch: pytest.MonkeyPatch, name: str, value: Any, reason: str):
    monkeypatch.setattr(f"pytest_ralph.world.repoint.{name}", value)

    assert reason in str(repoint.supported())
