"""Payment clients that are right, and ones that are wrong in exactly one way, on requests."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence

import requests

URL = "http://api.pay.example/v1/charges"
TRANSIENT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

log = logging.getLogger("payments")


class Transient(Exception):  # noqa: N818
    """Worth another try."""


def send(session: requests.Session, timeout: float | None = 10) -> requests.Response:
    """One attempt."""
    return session.post(URL, json={"amount": 100}, timeout=timeout)


def charge(
    *,
    retries: int = 3,
    waits: Sequence[float] = (1, 2, 4, 8, 16),
    transient: tuple[type[Exception], ...] = TRANSIENT,
    statuses: Callable[[int], bool] = lambda status: status >= 500,
    tell: Callable[[int, object], None] | None = lambda attempt, problem: log.warning(
        "attempt %d failed: %s", attempt, problem
    ),
    raise_first: bool = False,
    timeout: float | None = 10,
) -> dict[str, str]:
    """Charge, with retries as the arguments say."""
    retried: tuple[type[Exception], ...] = (*transient, Transient)
    with requests.Session() as session:
        first: Exception | None = None
        for attempt in range(1, retries + 2):
            try:
                answer = send(session, timeout)
                if statuses(answer.status_code):
                    raise Transient(f"status {answer.status_code}")
                if raise_first and first is not None:
                    raise first
                answer.raise_for_status()
                found: dict[str, str] = answer.json()
                return found
            except retried as problem:
                first = first or problem
                if attempt > retries:
                    raise
                if tell is not None:
                    tell(attempt, problem)
                time.sleep(waits[attempt - 1])
        raise AssertionError("unreachable")


def right() -> None:
    """Three retries after 1, 2 and 4 seconds, logged, on transient failures only."""
    charge()


def never_retries() -> None:
    """A single attempt."""
    charge(retries=0)


def two_retries() -> None:
    """One retry too few."""
    charge(retries=2)


def four_retries() -> None:
    """One retry too many."""
    charge(retries=4)


def stacked_retries() -> None:
    """A loop around a session that retries as well."""
    policy = requests.adapters.Retry(
        total=1, backoff_factor=0, status_forcelist=(500, 502, 503, 504), allowed_methods=None
    )
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=policy))
        for attempt in range(1, 5):
            try:
                session.post(URL, json={}, timeout=10).raise_for_status()
                return
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError):
                if attempt == 4:
                    raise
                log.warning("attempt %d failed", attempt)
                time.sleep(2.0 ** (attempt - 1))


def doubled_waits() -> None:
    """Waits 2, 4, 8: the right shape, twice too long."""
    charge(waits=(2, 4, 8))


def constant_waits() -> None:
    """Waits 1, 1, 1."""
    charge(waits=(1, 1, 1))


def linear_waits() -> None:
    """Waits 1, 2, 3."""
    charge(waits=(1, 2, 3))


def no_waits() -> None:
    """Hammers."""
    charge(waits=(0, 0, 0))


def full_jitter() -> None:
    """Waits anything up to twice 1, 2, 4."""
    charge(waits=[random.uniform(0, 2 * wait) for wait in (1, 2, 4)])


def half_jitter() -> None:
    """Waits 1, 2, 4, each up to half of itself longer or shorter."""
    charge(waits=[random.uniform(0.5 * wait, 1.5 * wait) for wait in (1, 2, 4)])


def flat_within_jitter() -> None:
    """Stays within half of 1, 2, 4, but hardly grows."""
    charge(waits=(1.45, 1.5, 2.05))


def gives_up_on_resets() -> None:
    """Does not retry a broken connection."""
    charge(transient=(requests.Timeout, requests.exceptions.ChunkedEncodingError))


def gives_up_on_cut_answers() -> None:
    """Does not retry an answer that was cut short: no ConnectionError to requests."""
    charge(transient=(requests.ConnectionError, requests.Timeout))


def gives_up_on_timeouts() -> None:
    """Does not retry a timeout."""
    try:
        charge(transient=(requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError))
    except requests.Timeout:
        raise ValueError("too slow") from None


def gives_up_on_504() -> None:
    """Does not retry one of the server errors."""
    charge(statuses=lambda status: status in (500, 502, 503))


def retries_everything() -> None:
    """Retries client errors as well."""
    charge(statuses=lambda status: status >= 400)


def retries_conflicts() -> None:
    """Retries 409 as well."""
    charge(statuses=lambda status: status >= 500 or status == 409)


def raises_first_failure() -> None:
    """Raises the first failure although a later attempt succeeded."""
    charge(raise_first=True)


def silent() -> None:
    """Logs nothing."""
    charge(tell=None)


def silent_about_resets() -> None:
    """Logs retries, but not those after a lost connection."""

    def tell(attempt: int, problem: object) -> None:
        if not isinstance(problem, requests.ConnectionError):
            log.warning("attempt %d failed: %s", attempt, problem)

    charge(tell=tell)


def logs_at_info() -> None:
    """Logs each retry too quietly."""
    log.setLevel(logging.INFO)
    charge(tell=lambda attempt, problem: log.info("attempt %d failed: %s", attempt, problem))


def logs_without_number() -> None:
    """Logs each retry, but not which."""
    charge(tell=lambda attempt, problem: log.warning("failed, trying again: %s", type(problem).__name__))


def logs_only_waits() -> None:
    """Logs the wait, which is not the number of the attempt."""
    charge(
        tell=lambda attempt, problem: log.warning("retrying in %d seconds", 2 ** (attempt - 1)),
    )


def retries_for_ever() -> None:
    """Never gives up."""
    charge(retries=10_000, waits=[0.5] * 10_001)


def swallows_everything_for_ever() -> None:
    """What must not be written, and is."""
    with requests.Session() as session:
        while True:
            try:
                send(session).raise_for_status()
                return
            except:  # noqa: E722
                pass
