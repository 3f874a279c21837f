"""One requirement for logs and metrics, two Flask services."""

import pytest

import flask_careless
import flask_hardened
import pytest_ralph as ralph

pytestmark = [
    ralph.logs("charge_handled", level="INFO", fields={"amount": int, "status": "201"}, when="success"),
    ralph.logs("charge_handled", level="INFO", fields={"amount": int, "status": "502"}, when="failure"),
    ralph.emits_metric(
        "charge_requests_total", delta=1, labels={"status": {"success": "201", "failure": "502"}}
    ),
]


@pytest.fixture(autouse=True)
def payments(ralph_upstream):
    api = ralph_upstream("https://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api


@ralph.feature("flask, careless")
def test_careless():
    flask_careless.app.test_client().post("/charges", json={"amount": 100})


@ralph.feature("flask, hardened")
def test_hardened():
    flask_hardened.app.test_client().post("/charges", json={"amount": 100})
