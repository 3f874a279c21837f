"""Clients that serve a substitute when a service of exchange rates is down, and ones that do it wrong."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable

import requests

URL = "http://rates.example/v1/rates"
PROBLEMS: tuple[type[Exception], ...] = (requests.RequestException,)

log = logging.getLogger("rates")
kept: dict[str, float] = {}
trouble: list[float] = []


def fetch(timeout: float | None = 0.4, field: str = "usd") -> float:
    """The rate as the service has it."""
    answer = requests.get(URL, timeout=timeout)
    answer.raise_for_status()
    return float(answer.json()[field])


def tell(problem: object) -> None:
    """One word in the log."""
    log.warning("rates not available, serving what was kept: %s", problem)


def rate(
    *,
    ask: Callable[[], float] = fetch,
    problems: tuple[type[Exception], ...] = PROBLEMS,
    tell: Callable[[object], None] | None = tell,
) -> float:
    """The live rate, or the last good one."""
    try:
        kept["usd"] = ask()
    except problems as problem:
        if tell is not None:
            tell(problem)
    return kept["usd"]


def right() -> float:
    """Keeps the last good rate in a dict."""
    return rate()


def default() -> float:
    """Serves a constant."""
    try:
        return fetch()
    except PROBLEMS as problem:
        tell(problem)
        return 1.0


def expiring() -> float:
    """Asks once in ten minutes, and serves what has expired when the service is down."""
    if trouble and time.time() < trouble[-1] + 600:
        return kept["usd"]
    found = rate()
    trouble.append(time.time())
    return found


def breaker() -> float:
    """Leaves the service alone for 30 s after a failure."""
    if trouble and time.monotonic() < trouble[-1] + 30:
        tell("breaker open")
        return kept["usd"]

    def note(problem: object) -> None:
        trouble.append(time.monotonic())
        tell(problem)

    return rate(tell=note)


def none() -> float:
    """Lets every failure out."""
    return fetch()


def timeouts_only() -> float:
    """Thinks of slow services, not of broken ones."""
    return rate(problems=(requests.Timeout,))


def no_statuses() -> float:
    """Thinks of the connection, not of the status."""
    return rate(
        problems=(requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    )


def no_cut_answers() -> float:
    """An answer that breaks off is no ConnectionError to requests."""
    return rate(problems=(requests.ConnectionError, requests.Timeout, requests.HTTPError))


def nothing() -> float | None:
    """Swallows the failure, and serves nothing."""
    try:
        return fetch()
    except PROBLEMS as problem:
        tell(problem)
        return None


def patient() -> float:
    """Waits for two seconds before it serves what it has."""
    return rate(ask=lambda: fetch(timeout=2))


def no_timeout() -> float:
    """Waits for ever."""
    return rate(ask=lambda: fetch(timeout=None))


def catches_everything() -> float:
    """Waits for ever, in a bare ``except``, which catches what ends that in a simulation too."""
    try:
        answer = requests.get(URL, timeout=(0.3, None))
        answer.raise_for_status()
        kept["usd"] = float(answer.json()["usd"])
    except:  # noqa: E722 - what is tested
        log.warning("rates are down: serving the last rate")
    return kept["usd"]


def persistent() -> float:
    """Tries three times before it serves what it has; each time is short, all together are not."""

    def ask() -> float:
        for attempt in range(1, 3):
            try:
                return fetch()
            except PROBLEMS as problem:
                log.warning("attempt %d failed: %s", attempt, problem)
                time.sleep(0.1 * attempt)
        return fetch()

    return rate(ask=ask)


def silent() -> float:
    """Serves what was kept, and nobody learns of it."""
    return rate(tell=None)


def logs_at_info() -> float:
    """Tells too quietly."""
    log.setLevel(logging.INFO)
    return rate(tell=lambda problem: log.info("serving what was kept: %s", problem))


def logs_retries_only() -> float:
    """Tells that it tries again, not what it serves in the end."""

    def ask() -> float:
        try:
            return fetch(timeout=0.2)
        except PROBLEMS as problem:
            log.warning("attempt 1 failed: %s", problem)
            return fetch(timeout=0.2)

    return rate(ask=ask, tell=None)


def never_again() -> float:
    """Once burnt, it never asks again."""
    if trouble:
        return kept["usd"]

    def note(problem: object) -> None:
        trouble.append(0.0)
        tell(problem)

    return rate(tell=note)


@functools.lru_cache(maxsize=1)
def cached_for_ever() -> float:
    """Asks once in the life of the process."""
    return fetch()


def always_default() -> float:
    """Reads a field that is not there, and swallows that as well."""
    try:
        return fetch(field="dollar")
    except Exception as problem:
        log.warning("serving the default: %s", type(problem).__name__)
        return 1.0


def default_for_ever() -> float:
    """Asks again after an outage, but serves the constant from then on."""
    found = default()
    if found == 1.0:
        trouble.append(0.0)
    return 1.0 if trouble else found


def forget() -> None:
    """For a new process."""
    kept.clear()
    trouble.clear()
    cached_for_ever.cache_clear()
