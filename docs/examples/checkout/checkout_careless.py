"""A checkout as it is usually pasted together: it works, as long as everything else does."""

from __future__ import annotations

import functools

import requests


@functools.lru_cache
def rate(currency: str) -> float:
    return requests.get("https://rates.example/v1/rates").json()[currency]


def charge(amount: int, currency: str, token: str) -> str:
    payment = {"amount": round(amount * rate(currency)), "source": token}
    for _ in range(5):
        answer = requests.post("https://api.pay.example/v1/charges", json=payment)
        if answer.ok:
            return answer.json()["id"]
    raise RuntimeError("payment failed")
