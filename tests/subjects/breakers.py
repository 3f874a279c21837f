"""A payment client behind a circuit breaker that is right, and behind ones that are wrong in one way."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import requests

URL = "http://api.pay.example/v1/charges"


class OpenError(Exception):
    """The breaker is open."""


class ServerError(Exception):
    """The service answered with status 5xx."""


def send(timeout: float | None = 10) -> None:
    """One attempt."""
    answer = requests.post(URL, json={"amount": 100}, timeout=timeout)
    if answer.status_code >= 500:
        raise ServerError(answer.status_code)
    answer.raise_for_status()


class Breaker:
    """A breaker as one writes it by hand, and the ways in which it may be wrong.

    Args:
        failures: After how many consecutive failures it opens.
        reset_after: For how many seconds.
        trials: How many callers are let through then.
        counts: What counts as a failure.
        flaws: What is wrong with it.
    """

    def __init__(
        self,
        failures: int = 5,
        reset_after: float = 60,
        trials: int = 1,
        counts: tuple[type[Exception], ...] = (requests.ConnectionError, requests.Timeout, ServerError),
        flaws: str = "",
    ) -> None:
        self._failures, self._reset_after, self._trials = failures, reset_after, trials
        self._counts, self._flaws = counts, flaws
        self._lock = threading.Lock()
        self._failed = self._trying = self._succeeded = 0
        self._opened: float | None = None

    def call(self, function: Callable[[], None]) -> None:
        """Call a function, unless the breaker is open."""
        with self._lock:
            self._admit()
        try:
            function()
        except self._counts:
            with self._lock:
                self._failure()
            raise
        except Exception:
            with self._lock:
                self._success()
            raise
        with self._lock:
            self._success()

    def _admit(self) -> None:
        if self._opened is None:
            return
        waits = "never closes" in self._flaws or time.monotonic() - self._opened < self._reset_after
        if waits or (self._trying >= self._trials and "lets all try" not in self._flaws):
            if "each refusal counts" in self._flaws:
                self._opened = time.monotonic()
            raise OpenError
        self._trying += 1

    def _failure(self) -> None:
        self._failed += 1
        if self._opened is not None:
            self._trying = self._succeeded = 0
            if "trials change nothing" not in self._flaws:
                self._opened = time.monotonic()
        elif self._failed >= self._failures:
            self._opened = time.monotonic()

    def _success(self) -> None:
        if self._opened is None:
            if "never counts anew" not in self._flaws:
                self._failed = 0
            return
        self._trying = max(0, self._trying - 1)
        self._succeeded += 1
        if self._succeeded >= self._trials and "stays half-open" not in self._flaws:
            self._opened, self._succeeded, self._trying = None, 0, 0
            if "keeps its count" not in self._flaws:
                self._failed = 0

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """The same around asynchronous code."""
        with self._lock:
            self._admit()
        try:
            yield
        except self._counts:
            self._failure()
            raise
        except Exception:
            self._success()
            raise
        self._success()


def retried(
    function: Callable[[], None],
    attempts: int = 4,
    errors: tuple[type[Exception], ...] = (ServerError, requests.ConnectionError, requests.Timeout),
) -> None:
    """Try again after 1, 2 and 4 seconds."""
    for attempt in range(attempts):
        try:
            return function()
        except errors:
            if attempt == attempts - 1:
                raise
            time.sleep(2**attempt)
    return None


ASYNC_FAILURES = (httpx.TransportError, ServerError)


async def send_async() -> None:
    """One attempt, asynchronously."""
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.post(URL, json={"amount": 100})
    if answer.status_code >= 500:
        raise ServerError(answer.status_code)
    answer.raise_for_status()
