"""Code that depends on a Python callable, and tries it again: right, and wrong in exactly one way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import tenacity

from tests.subjects.rates import Client, RateError, UnknownCurrencyError, fetch, fetch_async

log = logging.getLogger("converting")


def convert(
    *,
    retries: int = 3,
    waits: Sequence[float] = (1, 2, 4, 8, 16),
    on: tuple[type[Exception], ...] = (ConnectionError, TimeoutError),
    tell: bool = True,
) -> float:
    """Ask for a rate, with retries as the arguments say."""
    for attempt in range(1, retries + 2):
        try:
            return 100 * fetch("usd")
        except on as problem:
            if attempt > retries:
                raise
            if tell:
                log.warning("attempt %d failed: %s", attempt, problem)
            time.sleep(waits[attempt - 1])
    raise AssertionError("unreachable")


async def convert_async(*, within: float | None = 5, retries: int = 3, base: float = 1) -> float:
    """Ask for a rate, and not for ever."""
    for attempt in range(1, retries + 2):
        try:
            return 100 * await asyncio.wait_for(fetch_async("usd"), within)
        except (asyncio.TimeoutError, ConnectionError) as problem:
            if attempt > retries:
                raise
            log.warning("attempt %d failed: %s", attempt, problem)
            await asyncio.sleep(base * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def right() -> float:
    """Three retries after growing waits, on what passes."""
    return convert()


def no_retry() -> float:
    """Gives up at once."""
    return convert(retries=0)


def one_retry() -> float:
    """Tries only once more."""
    return convert(retries=1)


def flat() -> float:
    """Waits a second each time."""
    return convert(waits=(1, 1, 1))


def silent() -> float:
    """Says nothing."""
    return convert(tell=False)


def retries_everything() -> float:
    """Tries again what will not change."""
    return convert(on=(Exception,))


def forgets_timeouts() -> float:
    """Does not try timeouts again."""
    return convert(on=(ConnectionError,))


def never_asks() -> float:
    """Does not use the dependency at all."""
    return 123.0


def swallows() -> float:
    """Gives a result that is none when all tries have failed."""
    try:
        return convert()
    except (RateError, UnknownCurrencyError, OSError):
        return 0.0


async def right_async() -> float:
    """Five seconds for each try."""
    return await convert_async()


async def no_timeout() -> float:
    """Waits for ever."""
    return await convert_async(within=None)


async def too_long() -> float:
    """Waits for half a minute."""
    return await convert_async(within=30)


async def no_retry_async() -> float:
    """Gives up at once."""
    return await convert_async(retries=0)


_CLIENT = Client()


def _tell(state: tenacity.RetryCallState) -> None:
    log.warning("attempt %d failed", state.attempt_number)


@tenacity.retry(
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_exponential(multiplier=1),
    retry=tenacity.retry_if_exception_type((ConnectionError, TimeoutError)),
    before_sleep=_tell,
    reraise=True,
)
def by_tenacity() -> float:
    """A method of a client in a module global, tried again by a library."""
    return _CLIENT.get(100)


def stacked() -> float:
    """A loop around a library: their numbers multiply."""
    for last in (False, True):
        try:
            return by_tenacity()
        except ConnectionError:
            if last:
                raise
    raise AssertionError("unreachable")


async def gathered() -> list[float]:
    """Three at the same time."""
    return await asyncio.gather(*(convert_async() for _ in range(3)))
