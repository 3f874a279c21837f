"""Charges a card over `httpx`, retried by `tenacity` where that helps, with a deadline for the whole call.

Only failures that may pass are retried, with the same idempotency key, so that a retry never charges twice.
The timeout of `httpx` starts anew with every byte; that is why the body is read in pieces, with an eye on the
clock.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
)

logger = logging.getLogger(__name__)

TIMEOUT = 10  # seconds, for the connect and for each read
DEADLINE = 50  # seconds: after that, no attempt begins and no more of an answer is read

client = httpx.Client(base_url="https://api.pay.example", timeout=TIMEOUT)


def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    payment = {"amount": amount, "currency": currency, "source": token}
    return post(payment, key=str(uuid.uuid4()), deadline=time.monotonic() + DEADLINE)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx.TransportError)


def log_retry(state: RetryCallState) -> None:
    """Say which attempt failed and why; tenacity's own `before_sleep_log` leaves the number out."""
    logger.warning("charge: attempt %d failed, retrying: %r", state.attempt_number, state.outcome.exception())


@retry(
    retry=retry_if_exception(is_transient),
    stop=stop_after_attempt(4) | stop_before_delay(DEADLINE),
    wait=wait_exponential(multiplier=1),  # 1, 2, 4 s
    before_sleep=log_retry,
    reraise=True,
)
def post(payment: dict[str, Any], key: str, deadline: float) -> dict[str, Any]:
    """Make one attempt."""
    headers = {"Idempotency-Key": key}
    with client.stream("POST", "/v1/charges", json=payment, headers=headers) as response:
        response.raise_for_status()
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if time.monotonic() > deadline:
                raise TimeoutError(f"no complete answer within {DEADLINE} s")
    return json.loads(body)
