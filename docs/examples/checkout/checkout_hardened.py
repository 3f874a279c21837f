"""A checkout that needs two services, and says what it does when one of them is in trouble.

The rate of exchange may be a little old: without the service of rates, the last good one is served. A charge
may not be made twice, so all attempts at one share a key; and what is not an answer is not taken for one.
"""

from __future__ import annotations

import email.utils
import json
import logging
import time
import uuid
from typing import Any

import requests

logger = logging.getLogger(__name__)

RATES = "https://rates.example/v1/rates"
CHARGES = "https://api.pay.example/v1/charges"
WAITS = (1, 2, 4)  # seconds
LONGEST_WAIT = 30  # seconds
LARGEST = 100_000  # bytes

cache: dict[str, float] = {}


class CheckoutError(Exception):
    """The checkout could not be completed; nothing was charged twice."""


def rate(currency: str) -> float:
    """The rate of exchange, or the last good one."""
    try:
        with requests.get(RATES, timeout=0.2, stream=True) as answer:
            answer.raise_for_status()
            cache[currency] = number(read(answer), currency)
    except (requests.RequestException, CheckoutError) as error:
        if currency not in cache:
            raise CheckoutError("no rate of exchange") from error
        logger.warning("rates: serving the last good rate of %s: %s", currency, error)
    return cache[currency]


def charge(amount: int, currency: str, token: str) -> str:
    """Charge a card and return the id of the charge."""
    payment = {"amount": round(amount * rate(currency)), "source": token}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for attempt, backoff in enumerate((*WAITS, None), start=1):
        try:
            with requests.post(CHARGES, json=payment, headers=headers, timeout=10, stream=True) as answer:
                wait = backoff if answer.ok else pause(answer, backoff)
                if answer.ok:
                    return text(read(answer), "id")
                problem: object = answer.status_code
        except requests.RequestException as error:
            wait, problem = backoff, error
        if wait is None:
            raise CheckoutError(f"the charge failed: {problem}")
        logger.warning("charge: attempt %d failed, next one in %s s: %s", attempt, wait, problem)
        time.sleep(wait)
    raise CheckoutError("the charge failed")


def pause(answer: requests.Response, backoff: float | None) -> float | None:
    """How long to wait after an error; None if there is no use in trying again."""
    if backoff is None or (answer.status_code != 429 and answer.status_code < 500):
        return None
    told = asked(answer.headers.get("Retry-After"))
    if told is None:
        return LONGEST_WAIT if answer.status_code == 429 else backoff
    return told if told <= LONGEST_WAIT else None


def asked(told: str | None) -> float | None:
    """The seconds that Retry-After asks for: a number, or a date (RFC 9110, 10.2.3)."""
    if told is None:
        return None
    if told.strip().isdigit():
        return float(told)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return None


def read(answer: requests.Response) -> dict[str, Any]:
    """A JSON object, of a size that is to be expected."""
    body = b""
    for part in answer.iter_content(8_192):
        body += part
        if len(body) > LARGEST:
            raise CheckoutError("far too much of an answer")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise CheckoutError("no JSON") from error
    if not isinstance(found, dict):
        raise CheckoutError("no JSON object")
    return found


def text(found: dict[str, Any], name: str) -> str:
    """A field that must be text."""
    if not isinstance(found.get(name), str):
        raise CheckoutError(f"{name} is no text")
    return found[name]


def number(found: dict[str, Any], name: str) -> float:
    """A field that must be a number."""
    if isinstance(found.get(name), bool) or not isinstance(found.get(name), (int, float)):
        raise CheckoutError(f"{name} is no number")
    return float(found[name])
