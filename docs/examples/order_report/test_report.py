"""A nightly report: what it may use, what it may leave behind, and how many requests it may make."""

import pytest

import pytest_ralph as ralph
import report_careless
import report_hardened


@pytest.fixture
def orders(ralph_upstream):
    """The service that knows the totals."""
    ralph_upstream("https://orders.example").get("/v1/totals", json={"total": 42})


@ralph.feature("report, careless")
@ralph.memory_limit("2 MB", mode="peak")
def test_careless_size(tmp_path):
    report_careless.report(tmp_path / "report.csv", 40_000)


@ralph.feature("report, hardened")
@ralph.memory_limit("2 MB", mode="peak")
def test_hardened_size(tmp_path):
    report_hardened.report(tmp_path / "report.csv", 40_000)


@ralph.feature("report, careless")
@ralph.no_leaks
def test_careless_history(tmp_path):
    report_careless.report(tmp_path / "report.csv", 10)


@ralph.feature("report, hardened")
@ralph.no_leaks
def test_hardened_history(tmp_path):
    report_hardened.report(tmp_path / "report.csv", 10)


@ralph.feature("report, careless")
@ralph.scales((4, 8, 32), requests="1")
def test_careless_requests(orders, n):
    assert len(report_careless.totals(n)) == n


@ralph.feature("report, hardened")
@ralph.scales((4, 8, 32), requests="1")
def test_hardened_requests(orders, n):
    assert len(report_hardened.totals(n)) == n
