"""A checkout that calls payments and rates, with a cache: one requirement for each part, two versions."""

import pytest

import checkout_careless
import checkout_hardened
import pytest_ralph as ralph
from checkout_hardened import CheckoutError


@pytest.fixture
def payments(ralph_upstream):
    """Payments may be in trouble, rates are well."""
    ralph_upstream("https://rates.example", faulted=False).get("/v1/rates", json={"usd": 1.08})
    ralph_upstream("https://api.pay.example").post("/v1/charges", json={"id": "ch_1"})


@pytest.fixture
def rates(ralph_upstream):
    """Rates may be in trouble, payments are well."""
    ralph_upstream("https://rates.example").get("/v1/rates", json={"usd": 1.08})
    ralph_upstream("https://api.pay.example", faulted=False).post("/v1/charges", json={"id": "ch_1"})


@pytest.fixture
def both(ralph_upstream):
    """Anything may be in trouble."""
    ralph_upstream("https://rates.example").get("/v1/rates", json={"usd": 1.08})
    ralph_upstream("https://api.pay.example").post("/v1/charges", json={"id": "ch_1"})


class Payments:
    """What a charge must survive."""

    markers = (
        ralph.retry(max_retries=3, backoff=(1, 2, 4)),
        ralph.timeout(10),
        ralph.idempotent,
        ralph.rate_limit(retry_after=5, max_wait=30),
        ralph.bad_data(raises=CheckoutError),
    )


def gated(*markers):
    """All of these markers on one test."""

    def mark(function):
        for marker in markers:
            function = marker(function)
        return function

    return mark


@ralph.feature("checkout, careless")
@gated(*Payments.markers)
def test_careless_payments(payments):
    assert checkout_careless.charge(100, "usd", "tok_visa") == "ch_1"


@ralph.feature("checkout, hardened")
@gated(*Payments.markers)
def test_hardened_payments(payments):
    assert checkout_hardened.charge(100, "usd", "tok_visa") == "ch_1"


@ralph.feature("checkout, careless")
@ralph.fallback(within="500 ms")
@ralph.reset(checkout_careless.rate.cache_clear)
def test_careless_rates(rates):
    assert checkout_careless.charge(100, "usd", "tok_visa") == "ch_1"


@ralph.feature("checkout, hardened")
@ralph.fallback(within="500 ms")
def test_hardened_rates(rates):
    assert checkout_hardened.charge(100, "usd", "tok_visa") == "ch_1"


@ralph.feature("checkout, careless")
@ralph.survives(raises=(CheckoutError, RuntimeError), max_requests=5, max_seconds="2 min")
def test_careless_whole(both):
    assert checkout_careless.charge(100, "usd", "tok_visa") == "ch_1"


@ralph.feature("checkout, hardened")
@ralph.survives(raises=CheckoutError, max_requests=5, max_seconds="2 min")
def test_hardened_whole(both):
    assert checkout_hardened.charge(100, "usd", "tok_visa") == "ch_1"
