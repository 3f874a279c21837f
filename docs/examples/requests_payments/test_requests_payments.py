"""One requirement, two clients on `requests`."""

import pytest

import pytest_ralph as ralph
import requests_careless
import requests_hardened

pytestmark = [
    ralph.retry(max_retries=3, backoff=(1, 2, 4), log_level="WARNING"),
    ralph.timeout(10),
]


@pytest.fixture(autouse=True)
def payments(ralph_upstream):
    api = ralph_upstream("https://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api


@ralph.feature("requests, careless")
def test_careless():
    charge = requests_careless.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"


@ralph.feature("requests, hardened")
def test_hardened():
    charge = requests_hardened.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"
