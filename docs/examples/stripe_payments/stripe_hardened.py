"""Charges a card through the Stripe SDK, with a loop for retries around the SDK's own call.

The SDK's retries (`max_network_retries`) are switched off: with a second layer the numbers would multiply,
and they leave out answers that are cut short, repeat a 409 and log nothing above INFO. One idempotency key
covers all attempts; left to itself, the SDK would take a new one for each call, and charge twice.
"""

from __future__ import annotations

import logging
import random
import time
import uuid

from stripe import APIConnectionError, PaymentIntent, RequestsClient, StripeClient, StripeError

logger = logging.getLogger(__name__)

RETRIES = 3
JITTER = 0.25  # of each wait: clients that failed together do not come back together
TIMEOUT = 30  # seconds: the bank behind the card may be slow

client = StripeClient("sk_test_123", http_client=RequestsClient(timeout=TIMEOUT), max_network_retries=0)


def charge(amount: int, currency: str, payment_method: str) -> PaymentIntent:
    """Charge a card and return the payment."""
    key = str(uuid.uuid4())
    attempt = 1
    while True:
        try:
            return client.v1.payment_intents.create(
                params={
                    "amount": amount,
                    "currency": currency,
                    "payment_method": payment_method,
                    "confirm": True,
                },
                options={"idempotency_key": key},
            )
        except StripeError as error:
            if attempt > RETRIES or not is_transient(error):
                raise
            logger.warning("charge: attempt %d failed, retrying: %s", attempt, error)
        time.sleep(2 ** (attempt - 1) * random.uniform(1 - JITTER, 1 + JITTER))
        attempt += 1


def is_transient(error: StripeError) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, APIConnectionError) or (error.http_status or 0) >= 500
