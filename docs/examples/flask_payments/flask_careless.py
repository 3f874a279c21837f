"""A small Flask service that charges a card, and leaves it to Flask what is said when that fails.

Flask logs an exception as prose, and the client is told nothing; and the counter counts what went well.
"""

from __future__ import annotations

import logging
from typing import Any

import requests
from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter
from pythonjsonlogger.json import JsonFormatter

METRICS = CollectorRegistry()
REQUESTS = Counter("charge_requests", "Requests", registry=METRICS)

handler = logging.StreamHandler()
handler.setFormatter(JsonFormatter("%(message)s"))
logger = logging.getLogger("flask_careless")
logger.addHandler(handler)
logger.setLevel(logging.INFO)

app = Flask(__name__)


@app.post("/charges")
def charge() -> Any:
    """Charge a card."""
    response = requests.post(
        "https://api.pay.example/v1/charges", json={"amount": request.json["amount"]}, timeout=10
    )
    response.raise_for_status()
    REQUESTS.inc()
    logger.info("charge_handled", extra={"amount": request.json["amount"], "status": 201})
    return response.json(), 201
