"""Charges a card through the Stripe SDK, as pasted from its documentation.

A `StripeClient` does not retry unless it is told to (the default of 2 is for the older, module-level API), and a
hung answer holds the caller for the SDK's 80 s.
"""

from __future__ import annotations

from stripe import PaymentIntent, StripeClient

client = StripeClient("sk_test_123")


def charge(amount: int, currency: str, payment_method: str) -> PaymentIntent:
    """Charge a card and return the payment."""
    return client.v1.payment_intents.create(
        params={"amount": amount, "currency": currency, "payment_method": payment_method, "confirm": True}
    )
