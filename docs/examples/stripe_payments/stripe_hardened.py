"""Charges a card through the Stripe SDK, with a retry loop around the SDK's own call.

The SDK's retries (`max_network_retries`) are switched off, because two layers would multiply and because they
leave out answers that are cut short, try again after a 409 and never log above INFO. One idempotency key covers
all attempts; the SDK by itself would send a new one with every call, and charge twice.
"""

from __future__ import annotations

import itertools
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
    for attempt in itertools.count(1):
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


def is_transient(error: StripeError) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, APIConnectionError) or (error.http_status or 0) >= 500
