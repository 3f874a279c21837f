"""What a world leaves behind: nothing, however it ends."""

from __future__ import annotations

import _queue
import _socket
import _thread
import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import gc
import logging
import os
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
import structlog
import trio
import uvloop
from httpcore._async.http2 import AsyncHTTP2Connection
from httpcore._sync.http2 import HTTP2Connection
from loguru import logger

from pytest_ralph import faults
from pytest_ralph.world import logseam
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.network import Network
from pytest_ralph.world.world import World
from tests.worlds import entered

URL = "https://api.pay.example"
TYPES = (
    *(
        socket.socket,
        ssl.SSLSocket,
        ssl.SSLContext,
        _thread.LockType,
        type(threading.RLock()),
        _queue.SimpleQueue,
    ),
    *(select.epoll, type(select.poll()), asyncio.BaseEventLoop, concurrent.futures.ThreadPoolExecutor),
    *(HTTP2Connection, AsyncHTTP2Connection, threading.Thread),
    *(trio.Nursery, uvloop.Loop, logging.Logger, logging.Handler, structlog.PrintLogger),
)
BUILTINS: tuple[Any, ...] = (
    *(time.sleep, time.monotonic, time.monotonic_ns, time.perf_counter, time.time, time.time_ns),
    *(
        time.clock_gettime,
        select.select,
        _socket.getaddrinfo,
        _socket.gethostbyname,
        asyncio._set_running_loop,
    ),
)


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def state() -> dict[str, Any]:
    """All that a world may touch."""
    gc.collect()
    return {
        **{f"{kind.__module__}.{kind.__name__}": dict(vars(kind)) for kind in TYPES},
        "builtins": [(each, each.__self__) for each in BUILTINS],
        "trio": trio.lowlevel.start_guest_run,
        "logging": (
            logging.Logger.manager.loggerClass,
            logging.root.handlers[:],
            logging.getLogRecordFactory(),
        ),
        "loguru": len(logger._core.handlers),  # type: ignore[attr-defined]
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in descriptors()),
        "tasks": [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()],
        "trace": sys.gettrace(),
        "hook": (sys.excepthook, threading.excepthook),
        "year": dt.datetime.now(dt.timezone.utc).year,
    }


def descriptors() -> Iterator[str]:
    """The open descriptors, without the one that looks for them."""
    return (name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}"))


def fetch() -> None:
    requests.get(URL, timeout=1)


def fetch_by_thread() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch(), range(2)))


async def fetch_by_task() -> None:
    async with httpx.AsyncClient(timeout=1) as client:
        await client.get(URL)


async def fetch_by_stream() -> None:
    async with httpx.AsyncClient(http2=True, timeout=1) as client:
        await asyncio.gather(client.get(URL), client.get(URL))


def fetch_by_streams() -> None:
    with httpx.Client(http2=True, timeout=1) as client:
        client.get(URL)


@contextlib.contextmanager
def interrupted() -> Iterator[None]:
    """Ctrl-C after some time in a block. The thread that raises it may end a moment later than the block."""
    timer = threading.Timer(5, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    try:
        yield
    finally:
        timer.join()


async def interrupt_tasks() -> None:
    """Ctrl-C while tasks wait for answers, and one for ever."""
    async with httpx.AsyncClient(timeout=None) as client:
        await asyncio.gather(client.get(URL), asyncio.sleep(3_600), asyncio.Event().wait())


def interrupt_loop() -> None:
    """The same, of a loop: its task is cancelled, and the interrupt is raised once more when it has ended."""
    with interrupted():
        asyncio.run(interrupt_tasks())


async def leave_tasks_behind() -> None:
    """Tasks that nobody waits for, and the loop ends."""
    client = httpx.AsyncClient(timeout=None)
    tasks = [asyncio.create_task(client.get(URL)) for _ in range(3)]
    await asyncio.sleep(1)
    del tasks


def interrupt() -> None:
    """Ctrl-C in the middle of a wait."""
    with interrupted():
        time.sleep(60)


def hang_for_ever() -> None:
    requests.get(URL)


@pytest.mark.parametrize(
    ("call", "fault", "error"),
    [
        (fetch, None, None),
        (fetch_by_thread, None, None),
        (lambda: asyncio.run(fetch_by_task()), None, None),
        (lambda: trio.run(fetch_by_task), None, None),
        (lambda: time.sleep(10 * 365 * 24 * 3600), None, None),
        (fetch, faults.Hang(), requests.ReadTimeout),
        (fetch, faults.Reset(), requests.ConnectionError),
        (fetch, faults.Unreachable(), requests.ConnectTimeout),
        (fetch_by_thread, faults.Hang(), requests.ReadTimeout),
        (lambda: asyncio.run(fetch_by_task()), faults.Hang(), httpx.ReadTimeout),
        (lambda: asyncio.run(fetch_by_task()), faults.Unreachable(), httpx.ConnectTimeout),
        (lambda: trio.run(fetch_by_task), faults.Unreachable(), httpx.ConnectTimeout),
        (hang_for_ever, faults.Hang(), NeverEnds),
        (interrupt, None, KeyboardInterrupt),
        (interrupt_loop, faults.Hang(), KeyboardInterrupt),
        (lambda: asyncio.run(leave_tasks_behind()), faults.Hang(), None),
        (fetch_by_streams, None, None),
        (fetch_by_streams, faults.Hang(), httpx.ReadTimeout),
        (fetch_by_streams, faults.Refuse(), httpx.ConnectError),
        (lambda: asyncio.run(fetch_by_stream()), None, None),
        (lambda: asyncio.run(fetch_by_stream()), faults.Hang(), httpx.ReadTimeout),
        (lambda: asyncio.run(fetch_by_stream()), faults.Reset(), httpx.TransportError),
    ],
)
def test_nothing_is_left_behind(call: Callable[[], None], fault: Any, error: type[BaseException] | None):
    def play() -> None:
        with entered(measured=True) as world:
            world.upstream(URL).get("/", body="fine")
            if fault is not None:
                world.network.upstreams[0].inject(fault)
            call()

    def played() -> None:
        if error is None:
            play()
        else:
            with pytest.raises(error):
                play()

    played()  # what libraries keep from their first use is theirs
    gc.freeze()  # so that there is little to look through
    before = state()
    played()

    assert before == state()


@pytest.mark.parametrize(
    ("owner", "name"), [(logseam, "install"), (Network, "pump"), (Network, "settled"), (World, "sleep")]
)
def test_nothing_is_left_behind_when_the_world_itself_crashes(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
):
    def crash(*_: Any) -> None:
        raise ZeroDivisionError

    def play() -> None:
        with entered(measured=True) as world:
            world.upstream(URL).get("/", body="fine")
            time.sleep(1)
            fetch()

    play()
    gc.freeze()
    before = state()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash)
        with pytest.raises(ZeroDivisionError):
            play()

    assert before == state()


def test_time_is_real_again():
    with entered(measured=True):
        time.sleep(10**6)
    began = time.monotonic()
    found = select.select([], [], [], 0)

    assert found == ([], [], [])
    assert time.monotonic() - began < 60


def test_a_thread_that_outlives_its_world_waits_on_in_real_time():
    """An idle worker of a pool in a module global: the next test must find it alive and at work."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with entered(measured=True):
            assert pool.submit(abs, -1).result() == 1
            time.sleep(3600)

        assert pool.submit(abs, -2).result() == 2
        with entered(measured=True):
            assert pool.submit(abs, -3).result(60) == 3


def test_a_loop_in_a_thread_outlives_its_world():
    loop = asyncio.new_event_loop()
    with entered(measured=True):
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        assert asyncio.run_coroutine_threadsafe(asyncio.sleep(30, "slept"), loop).result() == "slept"

    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "still there"), loop).result(60) == "still there"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
