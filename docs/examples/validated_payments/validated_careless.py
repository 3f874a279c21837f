"""Charges a card, with a check of what comes in as it is usually written."""

import json
from decimal import Decimal
from pathlib import Path

import requests

URL = "https://api.pay.example/v1/charges"


def charge(amount, currency, token):
    with Path("charges.log").open("a", encoding="utf-8") as audit:
        audit.write(f"charge {amount} {currency}\n")
    assert len(currency) == 3
    if amount <= 0:
        raise ValueError("amount must be positive")
    if not token:
        raise ValueError("token is missing")
    body = {"amount": str(Decimal(amount)), "currency": currency, "source": token}
    answer = requests.post(URL, data=json.dumps(body), timeout=10)
    answer.raise_for_status()
    return answer.json()
