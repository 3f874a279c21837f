"""A small Flask service that charges a card, answers 502 when it cannot, and tells of both alike."""

from __future__ import annotations

import logging
from typing import Any

import requests
from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter
from pythonjsonlogger.json import JsonFormatter

METRICS = CollectorRegistry()
REQUESTS = Counter("charge_requests", "Requests by status", ["status"], registry=METRICS)

handler = logging.StreamHandler()
handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
logger = logging.getLogger("flask_hardened")
logger.addHandler(handler)
logger.setLevel(logging.INFO)

app = Flask(__name__)


@app.post("/charges")
def charge() -> Any:
    """Charge a card."""
    amount = request.json["amount"]
    try:
        response = requests.post("https://api.pay.example/v1/charges", json={"amount": amount}, timeout=10)
        response.raise_for_status()
        answer, status = response.json(), 201
    except requests.RequestException:
        logger.exception("charge_failed", extra={"amount": amount})
        answer, status = {"error": "the payment gateway does not answer"}, 502
    REQUESTS.labels(str(status)).inc()
    logger.info("charge_handled", extra={"amount": amount, "status": status})
    return answer, status
