"""The fixtures as hand-written tests use them, without and with ``--ralph``."""

from __future__ import annotations

import pytest

from tests.harness import Project

CODE = """
import time
import requests

def rates():
    for attempt in range(2):
        answer = requests.get("http://api.pay.example/v1/rates", timeout=5)
        if answer.status_code < 500:
            return answer.json()
        time.sleep(1)
    answer.raise_for_status()

def charge():
    answer = requests.post("http://api.pay.example/v1/charges", json={"amount": 1}, timeout=5)
    answer.raise_for_status()
    return answer.json()

def local():
    return 7
"""

TESTS = """
import re
import requests
from shop import charge, local, rates
import shop

@pytest.fixture
def rated(api):
    api.get("/v1/rates", json={"eur": 1})
    api.get("/v1/charges/ch_1", json={"id": "ch_1"})
    return api

def test_faults_of_several_routes_at_once(rated):
    rated.inject(ralph.faults.Status(503), path="/v1/rates", times=1)
    with rated.inject(ralph.faults.Reset(), method="POST"):
        assert rates() == {"eur": 1}
        with pytest.raises(requests.ConnectionError):
            charge()
    assert charge()["id"] == "ch_1"
    rated.inject(ralph.faults.Status(404), path=re.compile("/v1/charges/.+"))
    assert requests.get("http://api.pay.example/v1/charges/ch_1", timeout=1).status_code == 404
    rated.heal()
    assert requests.get("http://api.pay.example/v1/charges/ch_1", timeout=1).ok
    assert [each.method for each in rated.requests] == ["GET", "GET", "POST", "POST", "GET", "GET"]

def test_slow(rated, ralph_slow, ralph_clock):
    with ralph_slow("2 s"):
        charge()
    assert ralph_clock.now == pytest.approx(2, abs=0.01)
    charge()
    assert ralph_clock.now == pytest.approx(2, abs=0.01)
    ralph_slow(9)
    with pytest.raises(requests.Timeout):
        charge()

def test_slow_callables(ralph_callable, ralph_slow, ralph_clock):
    ralph_callable("shop:local")
    with ralph_slow():
        assert local() == 7
    assert ralph_clock.now == pytest.approx(2, abs=0.01)

def test_5xx(rated, ralph_5xx, ralph_upstream):
    other = ralph_upstream("http://other.example")
    spared = ralph_upstream("http://spared.example", faulted=False)
    spared.get("/", body="fine")
    with ralph_5xx(times=1):
        assert rates() == {"eur": 1}
        assert requests.get("http://other.example/", timeout=1).status_code == 503
        assert requests.get("http://spared.example/", timeout=1).ok
    with ralph_5xx(502), pytest.raises(requests.HTTPError, match="502"):
        charge()
    assert charge()

def test_ready_faults_leave_what_was_there(rated, ralph_5xx):
    rated.inject(ralph.faults.Reset(), method="POST")
    with ralph_5xx():
        with pytest.raises(requests.HTTPError, match="503"):
            charge()
    with pytest.raises(requests.ConnectionError):
        charge()

def test_callable(ralph_callable, ralph_timeline):
    dependency = ralph_callable("shop:local")
    with dependency.inject(ralph.faults.Raises(TimeoutError("late")), times=1):
        with pytest.raises(TimeoutError, match="late"):
            local()
        assert shop.local() == 7
    assert len(dependency.calls) == 2
    assert ralph_timeline().lines() == [
        "0.000 call local -> raised TimeoutError: late",
        "0.000 call local -> returned",
    ]

def test_what_clients_sent_last_is_on_the_timeline(ralph_upstream, ralph_timeline):
    secure = ralph_upstream("https://api.pay.example")
    secure.inject(ralph.faults.TlsError("expired"))
    with pytest.raises(requests.exceptions.SSLError, match="certificate has expired"):
        requests.get("https://api.pay.example", timeout=1)
    (line,) = ralph_timeline().lines()
    assert line.startswith("0.000 TLS handshake failed: ")
"""


def write(project: Project, tests: str) -> None:
    project.write(shop=CODE, test_it=tests)


def test_hand_written_tests(project: Project):
    write(project, TESTS)

    outcome = project.run()

    assert outcome.code == 0, outcome.output
    assert "passed" in outcome.output


@pytest.mark.parametrize(
    ("fixture", "call", "message"),
    [
        ("ralph_slow", "ralph_slow('soon')", "delay must be seconds as a number or text"),
        ("ralph_slow", "ralph_slow(1, times=0)", "times must be a whole number from 1, got 0"),
        ("ralph_5xx", "ralph_5xx(404)", "ralph_5xx needs a status code from 500 to 599, got 404"),
        ("ralph_5xx", "ralph_5xx('503')", "ralph_5xx needs a status code from 500 to 599, got '503'"),
        ("ralph_callable", "ralph_callable('shop')", "ralph_callable needs 'package.module:name'"),
    ],
)
def test_arguments_that_make_no_sense(project: Project, fixture: str, call: str, message: str):
    write(project, f"def test_it(api, {fixture}):\n    {call}\n")

    outcome = project.run()

    assert outcome.code == 1
    assert message in outcome.output


@pytest.mark.parametrize("call", ["ralph_slow(1)", "ralph_5xx()"])
def test_a_ready_fault_with_nothing_to_show_it(project: Project, call: str):
    write(project, f"def test_it({call.partition('(')[0]}, ralph_upstream):\n    {call}\n")

    outcome = project.run()

    assert outcome.code == 1
    assert "nothing is declared that can show" in outcome.output


@pytest.mark.parametrize("fixture", ["ralph_slow", "ralph_5xx"])
def test_a_ready_fault_that_is_never_shown_fails_the_test(project: Project, fixture: str):
    write(project, f"def test_it(api, {fixture}):\n    pass\n")

    outcome = project.run()

    assert outcome.code == 1
    assert f"{fixture} was never called, so nothing was broken" in outcome.output


def test_ready_faults_and_callables_in_a_gate_with_faults_of_its_own(project: Project):
    write(
        project,
        """
        from tests.subjects import charges, converting

        @ralph.retry(scenarios="manual")
        def test_5xx(api, ralph_5xx):
            with ralph_5xx(times=1):
                charges.right()

        @ralph.retry(on=(ConnectionError,), never_on=(), scenarios="manual")
        def test_callable(ralph_callable):
            dependency = ralph_callable("tests.subjects.rates:fetch")
            dependency.inject(ralph.faults.Raises(ConnectionError), times=2)
            converting.right()
        """,
    )

    outcome = project.run("--ralph")

    recovers = [
        each
        for skill in outcome.whole["skills"]
        for each in skill["criteria"]
        if each["id"] in ("retry.recovers", "retry.exercised", "retry.backoff")
    ]
    assert {each["status"] for each in recovers} == {"pass"}, outcome.output
