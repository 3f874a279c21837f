"""Charges a card over `requests`, with urllib3's Retry as the policy and the loop around the whole call.

The loop stands here because `requests` reads the body when urllib3 has finished: inside the adapter, an
answer that is cut short would never be retried. One idempotency key covers all attempts, so that a retry
never charges twice.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

import requests
from urllib3.util.retry import Retry

logger = logging.getLogger(__name__)


class Policy(Retry):
    """Waits 1, 2 and 4 s before the retries; urllib3 itself would wait 0, 2 and 4 s."""

    def get_backoff_time(self) -> float:
        return float(self.backoff_factor * 2 ** (len(self.history) - 1))


POLICY = Policy(total=3, backoff_factor=1, status_forcelist=range(500, 600), allowed_methods={"POST"})
CHARGES = "https://api.pay.example/v1/charges"
TIMEOUT = 10  # seconds, for the connect and for each read

session = requests.Session()


def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    payment = {"amount": amount, "currency": currency, "source": token}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    policy = POLICY
    while True:
        try:
            response = session.post(CHARGES, json=payment, headers=headers, timeout=TIMEOUT)
            response.raise_for_status()
            return response.json()
        except requests.RequestException as error:
            if policy.total == 0 or not is_transient(error):
                raise
            policy = policy.increment("POST", CHARGES, error=error)
            logger.warning("charge: attempt %d failed, retrying: %s", len(policy.history), error)
        policy.sleep()


def is_transient(error: requests.RequestException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, requests.HTTPError):
        return POLICY.is_retry("POST", error.response.status_code)
    cut_short = requests.exceptions.ChunkedEncodingError
    return isinstance(error, (requests.ConnectionError, requests.Timeout, cut_short))
