"""One requirement, two clients on `httpx`: here the whole call has a deadline as well."""

import pytest

import httpx_careless
import httpx_hardened
import pytest_ralph as ralph

pytestmark = [
    ralph.retry(max_retries=3, backoff=(1, 2, 4), log_level="WARNING"),
    ralph.timeout(10, total="1 min"),
]


@pytest.fixture(autouse=True)
def payments(ralph_upstream):
    api = ralph_upstream("https://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api


@ralph.feature("httpx, careless")
def test_careless():
    charge = httpx_careless.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"


@ralph.feature("httpx, hardened")
def test_hardened():
    charge = httpx_hardened.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"
