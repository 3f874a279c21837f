"""Code that leaves something behind with every call, and code that does not."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import functools
import os
import socket
import threading
from typing import Any

import httpx
import requests

URL = "http://api.pay.example/v1/charges"
SESSION = requests.Session()
KEPT: list[Any] = []


def right() -> None:
    """A session for all calls."""
    SESSION.post(URL, json={}, timeout=10).raise_for_status()


def client_per_call() -> None:
    """A client for each call, closed whatever happens."""
    with httpx.Client(timeout=10) as client:
        client.post(URL).raise_for_status()


def pool_per_call() -> None:
    """A pool for each call, ended with it."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(right).result()


@functools.lru_cache(maxsize=4)
def _squares(number: int) -> list[int]:
    return [number * each for each in range(100)]


NUMBERS = iter(range(10**9))


def bounded_cache() -> None:
    """Keeps what it used last, and not more."""
    assert len(_squares(100 + next(NUMBERS))) > 1


def raw_file() -> None:
    """A descriptor that nobody closes."""
    os.open("/dev/null", os.O_RDONLY)


def open_file() -> None:
    """A file that somebody keeps."""
    KEPT.append(open("/dev/null"))  # noqa: SIM115 - that is the leak


def session_per_call() -> None:
    """A session for each call, and never closed; it is kept, as by a cycle or a cache."""
    session = requests.Session()
    KEPT.append(session)
    session.post(URL, json={}, timeout=10).raise_for_status()


def open_in_trouble() -> None:
    """Closes what it opens if all goes well."""
    sock = socket.socket()
    try:
        right()
    except requests.RequestException:
        KEPT.append(sock)
        raise
    sock.close()


def thread() -> None:
    """A thread that never ends."""
    threading.Thread(target=threading.Event().wait, daemon=True, name=f"waits-{next(NUMBERS)}").start()


def raw_thread() -> None:
    """The same, without Python's knowledge."""
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())


def pool_never_ended() -> None:
    """A pool for each call."""
    pool = concurrent.futures.ThreadPoolExecutor(2)
    KEPT.append(pool)
    pool.submit(abs, -1).result()


async def task() -> None:
    """Something that goes on in the background for ever."""
    KEPT.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))
    await asyncio.sleep(0)


async def awaited_task() -> None:
    """Something that goes on in the background and ends."""
    background = asyncio.get_running_loop().create_task(asyncio.sleep(1))
    await background


def history() -> None:
    """A list that only grows."""
    KEPT.append({"request": str(next(NUMBERS))})


@functools.cache
def _cached(number: int) -> str:
    return f"number {number}"


def unbounded_cache() -> None:
    """A cache without a bound."""
    _cached(next(NUMBERS))
