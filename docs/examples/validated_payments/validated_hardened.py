"""Charges a card, and nothing that is not a charge."""

import re
from decimal import Decimal

import requests

URL = "https://api.pay.example/v1/charges"
LARGEST = Decimal(1_000_000)
CURRENCIES = frozenset({"EUR", "GBP", "USD"})
# fullmatch, because $ would let a line break at the end through.
TOKEN = re.compile(r"[A-Za-z0-9_]{1,200}")


def checked_amount(amount):
    # bool is an int; NaN fails no comparison, so it is asked for.
    if type(amount) not in (int, Decimal) or not Decimal(amount).is_finite():
        raise ValueError("amount must be an int or a finite Decimal")
    if not 0 < amount <= LARGEST:
        raise ValueError("amount must be above 0 and at most a million")
    if Decimal(amount) != Decimal(amount).quantize(Decimal("0.01")):
        raise ValueError("amount must not have more than 2 decimal places")
    return Decimal(amount)


def checked_currency(currency):
    if not isinstance(currency, str) or currency not in CURRENCIES:
        raise ValueError(f"currency must be one of {', '.join(sorted(CURRENCIES))}")
    return currency


def checked_token(token):
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise ValueError("token must be letters, digits and _")
    return token


def charge(amount, currency, token):
    body = {
        "amount": str(checked_amount(amount)),
        "currency": checked_currency(currency),
        "source": checked_token(token),
    }
    answer = requests.post(URL, json=body, timeout=10)
    answer.raise_for_status()
    return answer.json()
