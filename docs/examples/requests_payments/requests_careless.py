"""Charges a card over `requests`, with the recipe for retries that everybody pastes.

It looks as if it retried. But urllib3 leaves POST out, so only failed connects are tried again, the first
time without any wait; what urllib3 logs of them does not count the attempts; and without a timeout one hung
answer blocks the caller for ever.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

session = requests.Session()
retries = Retry(total=3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504])
session.mount("https://", HTTPAdapter(max_retries=retries))


def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    response = session.post(
        "https://api.pay.example/v1/charges",
        json={"amount": amount, "currency": currency, "source": token},
    )
    response.raise_for_status()
    return response.json()
