"""Charges a card, and tells of every payment: one JSON event, one count, one duration, however it ends.

What is known when the call begins is bound to the logger, so every line has it. The finally block is what
makes failures count. The processors add the level and the stack and write JSON; the token is never passed
to them.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import requests
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

METRICS = CollectorRegistry()
ATTEMPTED = Counter("payments_attempted", "Payments by outcome", ["outcome"], registry=METRICS)
DURATION = Histogram("payments_duration_seconds", "Duration of payments", registry=METRICS)
SLOW = 2  # seconds

logger = structlog.wrap_logger(
    structlog.PrintLogger(),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
)


def charge(amount: int, currency: str, token: str) -> dict[str, Any]:
    """Charge a card and return the charge."""
    log = logger.bind(payment_id=str(uuid.uuid4()), amount=amount, gateway="pay.example")
    log.debug("charge_entered", function="charge", currency=currency)
    outcome = "failure"
    began = time.monotonic()
    try:
        response = requests.post(
            "https://api.pay.example/v1/charges",
            json={"amount": amount, "currency": currency, "source": token},
            timeout=10,
        )
        response.raise_for_status()
        outcome = "success"
        return response.json()
    except requests.RequestException:
        log.exception("charge_failed")
        raise
    finally:
        seconds = time.monotonic() - began
        ATTEMPTED.labels(outcome).inc()
        DURATION.observe(seconds)
        if seconds > SLOW:
            log.warning("gateway_slow", duration_ms=seconds * 1000)
        log.info("payment_attempted", duration_ms=seconds * 1000, outcome=outcome)
