"""One requirement for logs and metrics, two clients."""

import pytest

import observed_careless
import observed_hardened
import pytest_ralph as ralph

FIELDS = {"payment_id": str, "amount": int, "gateway": str, "duration_ms": float}
OUTCOME = {"success": "success", "failure": "failure"}

pytestmark = [
    ralph.logs("payment_attempted", level="INFO", fields={**FIELDS, "outcome": "success"}, when="success"),
    ralph.logs("payment_attempted", level="INFO", fields={**FIELDS, "outcome": "failure"}, when="failure"),
    ralph.logs("charge_entered", level="DEBUG", fields=("function", "amount", "currency")),
    ralph.logs(level="ERROR", when="failure", fields=("payment_id",)),
    ralph.logs("gateway_slow", level="WARNING", fields=("payment_id",), when="slow", slower_than=2),
    ralph.emits_metric("payments_attempted_total", delta=1, labels={"outcome": OUTCOME}),
    ralph.emits_metric("payments_duration_seconds", type="histogram", delta=1),
    ralph.secret("tok_visa"),
]


@pytest.fixture(autouse=True)
def payments(ralph_upstream):
    api = ralph_upstream("https://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api


@ralph.feature("observed, careless")
def test_careless():
    charge = observed_careless.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"


@ralph.feature("observed, hardened")
def test_hardened():
    charge = observed_hardened.charge(100, "usd", "tok_visa")
    assert charge["status"] == "succeeded"
