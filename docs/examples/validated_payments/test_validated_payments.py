"""One requirement, two clients: what comes in is checked before anything goes out."""

import pytest

import pytest_ralph as ralph
import validated_careless
import validated_hardened

pytestmark = ralph.validates_input(
    amount=ralph.invalid.amounts(zero=True),
    currency=ralph.invalid.currencies(),
    token=ralph.invalid.tokens(),
)


@pytest.fixture(autouse=True)
def payments(ralph_upstream):
    api = ralph_upstream("https://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """For the careless client's file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def amount():
    return 100


@pytest.fixture
def currency():
    return "USD"


@pytest.fixture
def token():
    return "tok_visa"


@ralph.feature("input, careless")
def test_careless(amount, currency, token):
    charge = validated_careless.charge(amount, currency, token)
    assert charge["status"] == "succeeded"


@ralph.feature("input, hardened")
def test_hardened(amount, currency, token):
    charge = validated_hardened.charge(amount, currency, token)
    assert charge["status"] == "succeeded"
