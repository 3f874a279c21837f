"""How long callers wait when five come at once, with a bank that takes half a second for each answer."""

import pytest

import pytest_ralph as ralph
import rates_careless
import rates_hardened

pytestmark = [
    pytest.mark.asyncio,
    ralph.latency(p50="800 ms", p95="1 s", calls=50, concurrency=5, upstream="500 ms"),
]


@pytest.fixture(autouse=True)
def bank(ralph_upstream):
    ralph_upstream("https://rates.bank.example").get("/v1/latest/usd", json={"rate": 1.25})


@ralph.feature("rates, careless")
async def test_careless():
    assert await rates_careless.convert(100, "usd") == 125


@ralph.feature("rates, hardened")
async def test_hardened():
    assert await rates_hardened.convert(100, "usd") == 125
