"""Which thread goes on when several could: one at a time, in the same order on every run."""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from pytest_ralph import faults
from pytest_ralph.world import real, threads
from pytest_ralph.world.waiters import Ticket, Waiter, Waiters
from pytest_ralph.world.world import World
from tests.worlds import entered

URL = "https://bank.example"
ANY_PATH = re.compile(r"/\d/\d")
# How often each is played: without turns, six threads hardly ever do the same twice.
PLAYS = 10

Log = list[tuple[object, ...]]


def by_threads(work: Callable[[int], None], number: int = 6) -> None:
    started = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def by_a_pool(work: Callable[[int], None], number: int = 6) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(number)))


def call_each_with_its_own_session(world: World, log: Log, run: Callable[..., None]) -> None:
    def work(number: int) -> None:
        with requests.Session() as session:
            for attempt in range(3):
                began = time.monotonic()
                session.get(f"{URL}/{number}/{attempt}", timeout=5)
                log.append((number, attempt, round(began - start, 6), round(time.monotonic() - start, 6)))
                time.sleep(0.5)

    world.upstream(URL).get(ANY_PATH, json={})
    start = time.monotonic()
    run(work)


def share_two_connections(world: World, log: Log, run: Callable[..., None]) -> None:
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=2, pool_block=True))

    def work(number: int) -> None:
        for attempt in range(3):
            session.get(f"{URL}/{number}/{attempt}", timeout=5)
            log.append((number, attempt, round(time.monotonic() - start, 6)))

    world.upstream(URL).get(ANY_PATH, json={})
    world.upstream(URL).inject(faults.Slow("1 s"))
    start = time.monotonic()
    run(work)


def pass_things_on(world: World, log: Log, run: Callable[..., None]) -> None:
    things: queue.Queue[int] = queue.Queue(2)

    def work(number: int) -> None:
        for _ in range(5):
            if number % 2:
                log.append((number, things.get()))
            else:
                things.put(number)

    run(work)


def played(play: Callable[..., None], run: Callable[..., None]) -> Log:
    """What happens in a play, in a world of its own."""
    log: Log = []
    with entered() as world:
        play(world, log, run)
    return log


@pytest.mark.parametrize(
    ("play", "run", "length"),
    [
        (call_each_with_its_own_session, by_threads, 18),
        (call_each_with_its_own_session, by_a_pool, 18),
        (share_two_connections, by_threads, 18),
        (share_two_connections, by_a_pool, 18),
        (pass_things_on, by_threads, 15),
    ],
)
def test_threads_do_the_same_on_every_run(play: Callable[..., None], run: Callable[..., None], length: int):
    found = [played(play, run) for _ in range(PLAYS)]

    assert len(found[0]) == length
    assert found == found[:1] * PLAYS


def test_a_thread_begins_when_the_one_that_started_it_waits(live: Callable[..., object]):
    found: list[object] = []

    def start() -> None:
        started = [threading.Thread(target=found.append, args=(number,)) for number in range(3)]
        for thread in started:
            thread.start()
        # However long this takes, none of the others runs meanwhile.
        found.append(sum(range(1_000_000)) and "all started")
        for thread in started:
            thread.join()

    live(start)

    assert found == ["all started", 0, 1, 2]


def test_those_who_wait_longest_go_first(live: Callable[..., object]):
    found = []

    def sleep(number: int) -> None:
        time.sleep(5)
        found.append(number)

    live(lambda: by_threads(sleep))

    assert found == [0, 1, 2, 3, 4, 5]


def test_a_thread_that_spins_until_another_has_done_something_does_not_hang(live: Callable[..., object]):
    done: list[int] = []

    def spin() -> None:
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        while not done:
            pass
        thread.join()

    live(spin)

    assert done == [1]


def test_a_thread_cannot_be_started_twice(live: Callable[..., object]):
    def start() -> None:
        thread = threading.Thread(target=time.sleep, args=(1,))
        thread.start()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        thread.join()

    live(start)


def test_threads_started_by_those_that_outlive_their_world_run():
    done = threading.Event()

    def late() -> None:
        go.wait()
        threading.Thread(target=done.set).start()

    go = threading.Event()
    with entered():
        thread = threading.Thread(target=late, daemon=True)
        thread.start()
    go.set()
    thread.join(10)

    assert done.wait(10)


def test_the_order_does_not_hang_on_how_often_threads_are_switched():
    before = sys.getswitchinterval()
    found: list[Log] = []
    for interval in (1e-6, before):
        sys.setswitchinterval(interval)
        try:
            found.append(played(share_two_connections, by_threads))
        finally:
            sys.setswitchinterval(before)

    assert found[0] == found[1]


def until(holds: Callable[[], bool]) -> None:
    """Come back when something holds, that must not take long."""
    for _ in range(1_000_000):
        if holds():
            return
        os.sched_yield()
    raise AssertionError("it does not come to hold")


@pytest.fixture
def spinning() -> Iterator[threading.Thread]:
    """A thread that always wants the GIL."""
    thread = threading.Thread(target=lambda: any(iter(stop.is_set, True)))
    stop = threading.Event()
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_it_is_known_who_waits_for_the_gil(spinning: threading.Thread):
    holding = ctypes.PyDLL(None)
    told = ctypes.create_string_buffer(300)
    descriptor = os.open(f"/proc/self/task/{spinning.native_id}/syscall", os.O_RDONLY)

    def is_blocked() -> bool:
        # Nobody else has the GIL meanwhile; but a busy machine may be late to let the other see that.
        holding.usleep(1000)
        holding.pread(descriptor, told, 300, 0)
        return told.value.split()[0].isdigit()

    try:
        until(is_blocked)
    finally:
        os.close(descriptor)

    assert int(told.value.split()[1], 16) in threads.STATE


def test_who_waits_for_something_else_is_not_about_to_run():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        until(lambda: not threads.is_about_to_run(thread.native_id or 0))
    finally:
        stop.set()
        thread.join()


def test_a_thread_that_is_started_counts_though_another_one_ends_meanwhile(monkeypatch: pytest.MonkeyPatch):
    """How many threads there are is the same then, and the new one may not have come to its first line."""
    stop = threading.Event()
    ending = threading.Thread(target=stop.wait)
    ending.start()
    found: list[str] = []
    over = real.Bell()

    def sleep() -> None:
        time.sleep(1)
        found.append("the end of the thread")

    with entered() as world:
        begin, outlast = world.scheduler.begin, world.scheduler.outlast

        def late(ticket: Ticket) -> None:
            over.wait(10)
            begin(ticket)

        def early(*arguments: Any) -> None:
            found.append("the end of the call")
            over.ring()
            outlast(*arguments)

        monkeypatch.setattr(world.scheduler, "begin", late)
        monkeypatch.setattr(world.scheduler, "outlast", early)
        with world.outlasting():
            stop.set()
            until(lambda: not Path(f"/proc/self/task/{ending.native_id}").exists())
            threading.Thread(target=sleep).start()

    assert found == ["the end of the call", "the end of the thread"]


def test_a_place_is_kept_for_one_who_comes_late():
    waiters = Waiters()
    kept = waiters.place()
    early = Waiter(ready=lambda: True, deadline=None, place=waiters.place())
    waiters.add(early)
    late = Waiter(ready=lambda: True, deadline=None, place=kept)
    waiters.add(late)

    assert list(waiters) == [late, early]
    assert waiters.whose_turn(0, early) == (late, None)
    assert waiters.whose_turn(0, late) == (late, True)


def test_nobody_has_a_turn_while_all_waits_go_on():
    waiters = Waiters()
    me = Waiter(ready=lambda: False, deadline=5, place=waiters.place())
    waiters.add(me)

    assert waiters.whose_turn(4, me) == (None, None)
    assert waiters.whose_turn(5, me) == (me, False)
