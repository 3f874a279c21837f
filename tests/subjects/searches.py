"""Clients of a service that limits their rate: ones that come back when it says, and ones that do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate, parsedate_to_datetime

import requests

URL = "http://search.example/v1/search"


class Busy(Exception):  # noqa: N818
    """The service asks for more patience than there is."""


def send() -> requests.Response:
    """One attempt."""
    return requests.get(URL, timeout=10)


def told(answer: requests.Response) -> float | None:
    """Seconds that the answer asks to wait."""
    value = answer.headers.get("Retry-After")
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())


def search(
    *,
    wait: Callable[[requests.Response, int], float],
    attempts: int = 4,
    statuses: tuple[int, ...] = (429, 503),
    most: float | None = None,
) -> object:
    """Search, and come back when told."""
    for attempt in range(attempts):
        answer = send()
        if answer.status_code not in statuses:
            break
        pause = wait(answer, attempt)
        if most is not None and pause > most:
            raise Busy(f"busy for {pause} s")
        time.sleep(pause)
    answer.raise_for_status()
    return answer.json()


def polite(answer: requests.Response, attempt: int) -> float:
    """As long as told, or longer and longer."""
    asked = told(answer)
    return 2.0**attempt if asked is None else asked


def right() -> None:
    """Waits as long as it is told."""
    search(wait=polite)


def with_limit() -> None:
    """Waits as long as it is told, up to a minute."""
    search(wait=polite, most=60)


def with_jitter() -> None:
    """A little longer than told, so that not all clients come back at once."""
    search(wait=lambda answer, attempt: polite(answer, attempt) * 1.3)


def gives_up() -> None:
    """Takes 429 for an error like others."""
    search(wait=polite, statuses=())


def gives_up_on_429() -> None:
    """Comes back after 503 only."""
    search(wait=polite, statuses=(503,))


def seconds_only() -> None:
    """Cannot read a date."""
    search(wait=lambda answer, attempt: float(answer.headers.get("Retry-After", 2**attempt)))


def in_local_time() -> None:
    """Takes the date for local time, as ``mktime`` does: right wherever that is GMT."""

    def wait(answer: requests.Response, attempt: int) -> float:
        value = answer.headers.get("Retry-After", "")
        date = parsedate(value)
        return polite(answer, attempt) if date is None else max(0.0, time.mktime(date) - time.time())

    search(wait=wait)


def dates_only() -> None:
    """Cannot read seconds, and takes 429 for an error then."""

    def wait(answer: requests.Response, attempt: int) -> float:
        value = answer.headers.get("Retry-After")
        if value is None or answer.status_code == 503:
            return polite(answer, attempt)
        try:
            return (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
        except (TypeError, ValueError):
            raise Busy(value) from None

    search(wait=wait)


def rounds_down() -> None:
    """Cuts the time until the date down to seconds, and comes back too early."""

    def wait(answer: requests.Response, attempt: int) -> float:
        value = answer.headers.get("Retry-After", "")
        if value.isdigit() or not value:
            return polite(answer, attempt)
        return (parsedate_to_datetime(value) - datetime.now(timezone.utc)).seconds

    search(wait=wait)


def exponential() -> None:
    """Waits 1, 2 and 4 seconds, whatever it is told."""
    search(wait=lambda answer, attempt: 2.0**attempt)


def always_five() -> None:
    """Waits for 5 s, whatever it is told."""
    search(wait=lambda answer, attempt: 5.0)


def always_a_minute() -> None:
    """Waits for a minute, whatever it is told: never too early, and far too long."""
    search(wait=lambda answer, attempt: 60.0)


def raises_all_the_same() -> None:
    """Waits, tries again, and raises the refusal that is long past."""
    first = send()
    if first.status_code == 429:
        time.sleep(told(first) or 5)
        send()
    first.raise_for_status()


def ignores_503() -> None:
    """Knows Retry-After with 429 only, and tries again after 503 as it likes."""
    search(wait=lambda answer, attempt: polite(answer, attempt) if answer.status_code == 429 else 1.0)


def at_once_when_unsaid() -> None:
    """Does not wait when it is not told to."""
    search(wait=lambda answer, attempt: told(answer) or 0.0)


def waits_half_an_hour() -> None:
    """Would wait for as long as it takes."""
    search(wait=polite, most=30 * 365 * 24 * 3600.0)


def capped() -> None:
    """Waits for a minute at most, and then asks again, though it was told to wait longer."""
    search(wait=lambda answer, attempt: min(60.0, polite(answer, attempt)))


def sulks() -> None:
    """Does not ask again, but does not come back at once either."""
    try:
        with_limit()
    except Busy:
        time.sleep(60)
        raise
