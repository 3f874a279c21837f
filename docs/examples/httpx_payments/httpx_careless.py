"""Charges a card over `httpx`, with the shortest retry that `tenacity` offers.

Every exception is retried, a bad request (400) as well; three attempts are only two retries; the wait does
not grow; nothing is logged. The timeout is whatever the library takes, and it starts anew with every byte, so
an answer that comes in drops holds the caller for minutes.
"""

from __future__ import annotations

from typing import Any

import httpx
from tenacity import retry, stop_after_attempt, wait_fixed

client = httpx.Client(base_url="https://api.pay.example")


@retry(stop=stop_after_attempt(3), wait=wait_fixed(2))
def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    response = client.post("/v1/charges", json={"amount": amount, "currency": currency, "source": token})
    response.raise_for_status()
    return response.json()
