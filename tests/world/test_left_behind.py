"""Threads that a call leaves behind: what they still do is seen, and troubles no other test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import requests

from pytest_ralph import faults
from pytest_ralph.core.timeline import Answered, GaveUp, Waited
from pytest_ralph.world.world import World
from tests.harness import Project
from tests.worlds import entered

URL = "https://bank.example"


def post() -> None:
    with suppress(requests.Timeout):
        requests.post(f"{URL}/audit", json={}, timeout=5)


def left_behind(start: Callable[[World], object]) -> World:
    with entered() as world:
        world.upstream(URL).post("/audit", json={})
        with world.outlasting():
            start(world)
        return world


def test_a_timer_goes_off():
    world = left_behind(lambda world: threading.Timer(0.5, post).start())

    (answered,) = world.timeline.of(Answered)
    assert round(answered.at, 2) == 0.5


def test_a_request_is_given_up_in_time():
    def start(world: World) -> None:
        world.upstream(URL).inject(faults.Hang())
        threading.Thread(target=post).start()

    world = left_behind(start)

    (gave_up,) = world.timeline.of(GaveUp)
    assert round(gave_up.after, 3) == 5


def test_an_hour_is_not_waited_for():
    timers = [threading.Timer(3600, print)]
    world = left_behind(lambda world: timers[0].start())
    timers[0].cancel()

    assert world.recorder.seconds(world.clock.now) < 1


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends threads that would go on for ever."""
    event = threading.Event()
    yield event
    event.set()


def test_nobody_waits_for_workers_without_work(stop: threading.Event):
    world = left_behind(lambda world: threading.Thread(target=stop.wait).start())

    assert world.recorder.seconds(world.clock.now) < 1


@pytest.mark.parametrize(("interval", "moments"), [(1, 59), (0.01, 500)])
def test_a_thread_that_goes_on_for_ever_is_left(stop: threading.Event, interval: float, moments: int):
    def flush() -> None:
        while not stop.wait(interval):
            pass

    world = left_behind(lambda world: threading.Thread(target=flush).start())

    assert moments - 2 <= len(world.timeline.of(Waited)) <= moments


CHARGE = """
import threading

import pytest
import requests
import pytest_ralph as ralph


def charge(amount):
    {start}
    if not is_valid(amount):
        raise ValueError(amount)


def is_valid(amount):
    return type(amount) is int and 0 < amount < 1_000_000


def send(amount):
    requests.post("https://api.pay.example/v1/charges", json={{"amount": str(amount)}}, timeout=5)


@pytest.fixture(autouse=True)
def service(ralph_upstream):
    ralph_upstream("https://api.pay.example").{method}("/v1/charges", json={{"id": "ch_1"}})
"""
VALIDATED = """
@pytest.fixture
def amount():
    return 5


@ralph.validates_input(amount=ralph.invalid.amounts())
def test_charge(amount):
    charge(amount)
"""
ANOTHER = """
def test_leaves_a_timer():
    charge(5)


@ralph.timeout("1 s")
def test_another():
    requests.get("https://api.pay.example/v1/charges", timeout=1)
"""


@pytest.mark.parametrize(
    "start",
    [
        "threading.Timer(0.5, send, (amount,)).start()",
        "threading.Thread(target=send, args=(amount,)).start()",
    ],
)
def test_what_is_sent_after_the_rejection_counts(project: Project, start: str):
    project.write(test_it=CHARGE.format(start=start, method="post") + VALIDATED)
    outcome = project.run("--ralph")

    assert outcome.not_passed() == {"validates-input.calls-before-validation": "fail"}, outcome.output


def test_a_timer_of_one_test_does_not_trouble_another(project: Project):
    start = "threading.Timer(0.01, send, (amount,)).start()"
    project.write(test_it=CHARGE.format(start=start, method="get") + ANOTHER)
    outcome = project.run("--ralph", "-p", "no:cacheprovider")

    assert outcome.not_passed() == {}, outcome.output
