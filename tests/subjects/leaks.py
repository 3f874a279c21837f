"""Code that leaves something behind with every call, and code that does not."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import functools
import http.client
import logging
import os
import socket
import threading
import uuid
import warnings
from typing import Any

import httpx
import requests

URL = "http://api.pay.example/v1/charges"
SESSION = requests.Session()
KEPT: list[Any] = []
SEEN: set[str] = set()


def right() -> None:
    """A session for all calls."""
    SESSION.post(URL, json={}, timeout=10).raise_for_status()


def connection_closed() -> None:
    """A connection for each call, closed whatever happens."""
    with contextlib.closing(http.client.HTTPConnection("api.pay.example", timeout=10)) as connection:
        connection.request("POST", "/v1/charges")
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 400:
            raise OSError(answer.reason)


def connection_per_call() -> None:
    """A connection for each call, and never closed; it is kept, as by a cycle or a cache."""
    connection = http.client.HTTPConnection("api.pay.example", timeout=10)
    KEPT.append(connection)
    connection.request("POST", "/v1/charges")
    connection.getresponse().read()


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


# Python keeps the numbers up to 256 anyway.
NUMBERS = iter(range(1000, 10**9))


def bounded_cache() -> None:
    """Keeps what it used last, and not more."""
    assert len(_squares(next(NUMBERS))) > 1


@functools.lru_cache
def _cubes(number: int) -> list[int]:
    return [number**3]


def largest_cache() -> None:
    """Keeps the last 128 results, as everybody does who sets no size."""
    assert _cubes(next(NUMBERS))


def history_beside_a_full_cache() -> None:
    """What is kept is small beside what a cache holds, and only lets go of for more of the same."""
    _tables(next(NUMBERS))
    history()


@functools.lru_cache
def _tables(number: int) -> list[list[int]]:
    return [[number] for _ in range(20)]


def told_of() -> None:
    """Logs what went wrong with all there is to say about it, and still calls what is deprecated."""
    warnings.warn("use session instead", DeprecationWarning, stacklevel=1)
    try:
        SESSION.post(URL, json={}, timeout=10).raise_for_status()
    except requests.RequestException as error:
        logging.getLogger(__name__).exception("failed: %s", error, extra={"error": error})
        raise


def raw_file() -> None:
    """A descriptor that nobody closes."""
    os.open("/dev/null", os.O_RDONLY)


def open_file() -> None:
    """A file that somebody keeps."""
    KEPT.append(open("/dev/null"))  # noqa: SIM115 - that is the leak


def session_per_call() -> None:
    """The same with a session of requests."""
    session = requests.Session()
    KEPT.append(session)
    session.post(URL, json={}, timeout=10).raise_for_status()


def open_in_trouble() -> None:
    """Closes what it opens if all goes well."""
    sock = socket.socket()
    try:
        connection_closed()
    except OSError:
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


BUFFER = bytearray()


def buffer() -> None:
    """One object that only grows."""
    BUFFER.extend(b"paid, 100 EUR\n")


@functools.cache
def _cached(number: int) -> str:
    return f"number {number}"


def texts() -> None:
    """Small things, made by a library, in a set that has room for many: it takes more memory now and then."""
    SEEN.add(str(uuid.uuid4()))


def unbounded_cache() -> None:
    """A cache without a bound."""
    _cached(next(NUMBERS))


def watchdog_per_timeout() -> None:
    """Somebody looks after a service that does not answer, and never stops to."""
    try:
        connection_closed()
    except TimeoutError:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        raise


async def left_behind_by_a_timeout() -> None:
    """The call is given up, and what it waits for is not."""
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(timeout=10) as client:
        try:
            (await client.post(URL)).raise_for_status()
        except httpx.TimeoutException:
            KEPT.append(loop.create_task(asyncio.Event().wait()))
            raise


def errors_kept() -> None:
    """Errors are collected for a report that nobody asks for."""
    try:
        connection_closed()
    except OSError as error:
        KEPT.append({"error": str(error), "number": next(NUMBERS)})
        raise


CLIENT = httpx.Client(timeout=10)


def unread_when_not_found() -> object:
    """Turns off before it has closed the answer."""
    answer = CLIENT.send(CLIENT.build_request("POST", URL), stream=True)
    if answer.status_code == 404:
        return None
    try:
        return answer.raise_for_status().read()
    finally:
        answer.close()


def told_of_pages() -> object:
    """Has a line to somebody who is told of what it cannot read, another one each time."""
    answer = SESSION.post(URL, json={}, timeout=10)
    answer.raise_for_status()
    try:
        return answer.json()
    except ValueError:
        KEPT.append(socket.socket())
        raise
