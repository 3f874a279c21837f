"""One requirement, two clients on the Stripe SDK: here the waits carry jitter."""

import pytest

import pytest_ralph as ralph
import stripe_careless
import stripe_hardened

pytestmark = [
    ralph.retry(max_retries=3, base="1 s", factor=2, jitter=0.25, log_level="WARNING"),
    ralph.timeout(30),
]


@pytest.fixture(autouse=True)
def stripe(ralph_upstream):
    api = ralph_upstream("https://api.stripe.com")
    api.post("/v1/payment_intents", json={"id": "pi_1", "object": "payment_intent", "status": "succeeded"})
    return api


@ralph.feature("stripe, careless")
def test_careless():
    payment = stripe_careless.charge(100, "usd", "pm_card_visa")
    assert payment.status == "succeeded"


@ralph.feature("stripe, hardened")
def test_hardened():
    payment = stripe_hardened.charge(100, "usd", "pm_card_visa")
    assert payment.status == "succeeded"
