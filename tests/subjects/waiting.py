"""Charges whose latency shows under load: pools, locks, loops, caches and retries, well made and careless."""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
import time
from typing import Any

import anyio
import httpx
import requests
from requests.adapters import HTTPAdapter

URL = "http://api.pay.example/v1/charges"


def session(connections: int) -> requests.Session:
    """A session with a pool of so many connections, where one waits for a free one."""
    found = requests.Session()
    found.trust_env = False
    found.mount("http://", HTTPAdapter(pool_maxsize=connections, pool_block=True))
    return found


WIDE, NARROW, ALONE = session(20), session(5), session(1)
_LOCK = threading.Lock()


class State:
    """What lasts from call to call."""

    numbers = itertools.count(1)
    lock = threading.Lock()


def anew() -> None:
    """Begin to count again, with a lock that nobody holds."""
    State.numbers = itertools.count(1)
    State.lock = threading.Lock()


def _charge(through: requests.Session, timeout: float = 10) -> str:
    answer = through.post(URL, json={"amount": 100}, timeout=timeout)
    answer.raise_for_status()
    return str(answer.json()["id"])


def wide_pool() -> str:
    """As many connections as there are callers, and more."""
    return _charge(WIDE)


def pool_of_five() -> str:
    """Half as many connections as callers."""
    return _charge(NARROW)


def pool_of_one() -> str:
    """All callers wait for the same connection."""
    return _charge(ALONE)


def lock_held() -> str:
    """A lock that is held while the service is waited for."""
    with _LOCK:
        return _charge(WIDE)


def sleeps_at_times() -> str:
    """Every tenth call sleeps."""
    if next(State.numbers) % 10 == 0:
        time.sleep(5)
    return _charge(WIDE)


def fails_fast() -> str:
    """Four of ten calls raise at once, and one of twenty is slow: of those that succeed, one of twelve."""
    number = next(State.numbers)
    if number % 10 > 5:
        raise RuntimeError("out of order")
    if number % 20 == 5:
        time.sleep(5)
    return _charge(WIDE)


def raises_at_times() -> str:
    """Every tenth call raises, as late as the others return."""
    charge = _charge(WIDE)
    if next(State.numbers) % 10 == 0:
        raise RuntimeError("out of order")
    return charge


def retries_quickly() -> str:
    """A slow answer is given up, and asked for again until a fast one comes."""
    for _ in range(20):
        try:
            return _charge(WIDE, timeout=0.2)
        except requests.Timeout:
            continue
    raise RuntimeError("no fast answer")


@functools.lru_cache
def cached() -> str:
    """Only the first call asks the service."""
    return _charge(WIDE)


def computes(seconds: float) -> None:
    """Keep a processor busy for so long, however busy the machine is."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def computes_and_charges() -> str:
    """A fifth of a second of computing in each call."""
    computes(0.2)
    return _charge(WIDE)


async def concurrent() -> str:
    """Waits without keeping others from it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(URL, json={"amount": 100})
    return str(answer.json()["id"])


async def blocking() -> str:
    """Blocks the event loop while it waits."""
    return _charge(WIDE)


async def by_threads() -> Any:
    """Hands the waiting to worker threads."""
    return await anyio.to_thread.run_sync(lambda: _charge(WIDE))


def deadlock() -> str:
    """Comes back at first; then a lock is taken twice."""
    charge = _charge(WIDE)
    if next(State.numbers) > 7:
        State.lock.acquire()
        State.lock.acquire()
    return charge


def waits_unseen(seconds: float) -> None:
    """Waits inside of C, where no clock of Python's is looked at."""
    ctypes.CDLL(None).usleep(round(seconds * 1e6))
