"""What the gate says of circuit breaker libraries, unmodified, each as one uses it: in a module global."""

from __future__ import annotations

import pytest

from tests.harness import Project

IMPORTS = """
import httpx
import requests
from tests.subjects.breakers import ServerError, send, send_async
"""
SYNC = """
@ralph.circuit_breaker
def test_charge(api):
    guarded()
"""
ASYNC = """
@pytest.mark.asyncio
@ralph.circuit_breaker
async def test_charge(api):
    await guarded()
"""
EVERYBODY = {"circuit-breaker.half-open-limit": "fail"}

PYBREAKER = """
import pybreaker

breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60, exclude=[requests.HTTPError])

@breaker
def guarded():
    send()
"""
CIRCUITBREAKER = """
from circuitbreaker import circuit

FAILURES = (requests.ConnectionError, requests.Timeout, ServerError)

@circuit(failure_threshold=5, recovery_timeout=60, expected_exception=FAILURES)
def guarded():
    send()
"""
PURGATORY = """
import purgatory

factory = purgatory.SyncCircuitBreakerFactory(5, 60, exclude=[requests.HTTPError])

@factory("payments")
def guarded():
    send()
"""
ASYNC_PURGATORY = """
import purgatory

factory = purgatory.AsyncCircuitBreakerFactory(5, 60, exclude=[httpx.HTTPStatusError])

@factory("payments")
async def guarded():
    await send_async()
"""
AIOBREAKER = """
import datetime
import aiobreaker

breaker = aiobreaker.CircuitBreaker(5, datetime.timedelta(seconds=60), exclude=[httpx.HTTPStatusError])

@breaker
async def guarded():
    await send_async()
"""


@pytest.mark.parametrize(
    ("library", "test", "not_passed"),
    [
        # It holds a lock while it calls, so that there is one trial.
        pytest.param(PYBREAKER, SYNC, {}, id="pybreaker"),
        pytest.param(CIRCUITBREAKER, SYNC, EVERYBODY, id="circuitbreaker"),
        pytest.param(PURGATORY, SYNC, EVERYBODY, id="purgatory"),
        pytest.param(ASYNC_PURGATORY, ASYNC, EVERYBODY, id="purgatory-async"),
        pytest.param(AIOBREAKER, ASYNC, EVERYBODY, id="aiobreaker"),
        # As they are by default: open for 30 s, and on the errors of clients as well.
        pytest.param(
            PURGATORY.replace("5, 60, exclude=[requests.HTTPError]", ""),
            SYNC,
            {
                "circuit-breaker.stays-open": "fail",
                "circuit-breaker.opens-on-client-error": "fail",
                **EVERYBODY,
            },
            id="purgatory-as-it-is",
        ),
        pytest.param(
            PYBREAKER.replace("fail_max=5, reset_timeout=60, exclude=[requests.HTTPError]", ""),
            SYNC,
            {"circuit-breaker.opens-on-client-error": "fail"},
            id="pybreaker-as-it-is",
        ),
        # Two successes, where one is asked for: it is half-open still, and opens at the next failure.
        pytest.param(
            PYBREAKER.replace("fail_max=5", "fail_max=5, success_threshold=2"),
            SYNC,
            {"circuit-breaker.opens-early": "fail"},
            id="pybreaker-two-successes",
        ),
    ],
)
def test_breakers_in_module_globals(project: Project, library: str, test: str, not_passed: dict[str, str]):
    project.write(test_it=IMPORTS + library + test)

    outcome = project.run("--ralph")

    assert outcome.not_passed() == not_passed, outcome.output
    if "circuit-breaker.half-open-limit" in not_passed:
        observed = outcome.criterion("circuit-breaker.half-open-limit")["evidence"]["observed"]
        assert observed == "requests by 10 of 10 callers"
