"""Charges a card through the Stripe SDK, as pasted from its documentation.

A `StripeClient` retries nothing unless it is told to: the default of two retries belongs to the older,
module-level API. A hung answer holds the caller for the SDK's own 80 s.
"""

from __future__ import annotations

from stripe import PaymentIntent, StripeClient

client = StripeClient("sk_test_123")


def charge(amount: int, currency: str, payment_method: str) -> PaymentIntent:
    """Charge a card and return the payment."""
    return client.v1.payment_intents.create(
        params={"amount": amount, "currency": currency, "payment_method": payment_method, "confirm": True}
    )
