"""Charges a card, and logs and counts it as one does at first.

It looks as if it were observed. But a failed payment says nothing under the name that is searched for, and is
not counted; the line about it is prose, without a stack, at a level that nobody is woken for; a slow gateway
goes unnoticed; each payment adds a time series; and the card's token is in the log.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import requests
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

METRICS = CollectorRegistry()
ATTEMPTED = Counter("payments_attempted", "Payments", ["payment"], registry=METRICS)
DURATION = Histogram("payments_duration_seconds", "Duration of payments", registry=METRICS)

log = structlog.wrap_logger(
    structlog.PrintLogger(),
    processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
)


def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    payment = str(uuid.uuid4())
    began = time.time()
    print(f"charging {amount} {currency} with {token}")
    try:
        response = requests.post(
            "https://api.pay.example/v1/charges",
            json={"amount": amount, "currency": currency, "source": token},
            timeout=10,
        )
        response.raise_for_status()
    except requests.RequestException as error:
        log.info(f"payment failed: {error}")
        raise
    ATTEMPTED.labels(payment).inc()
    DURATION.observe((time.time() - began) * 1000)
    log.info("payment_attempted", payment_id=payment, amount=amount, outcome="success")
    return response.json()
