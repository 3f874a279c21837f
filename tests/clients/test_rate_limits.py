"""What real clients make of a service that limits its rate: gates over them, unmodified."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

PLAIN = "@ralph.rate_limit(retry_after=5)"
LIMIT = "@ralph.rate_limit(retry_after=5, max_wait='1 min')"
WAITS = {"waits-retry-after": "fail", "waits-http-date": "fail"}


def judge(project: Project, marker: str, client: str, url: str = "http://api.example") -> Outcome:
    """Judge ``client.call()``."""
    project.write(client=client)
    project.write(
        test_it=f"""
        import client

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream({url!r})
            service.get("/v1/items", json=[1])
            service.post("/v1/charges", json={{"id": "ch_1", "object": "charge"}})
            service.post("/v1/chat/completions", json={{
                "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                    {{"index": 0, "finish_reason": "stop",
                      "message": {{"role": "assistant", "content": "Hello"}}}}]}})
            return service

        {marker}
        def test_call(service):
            client.call()
        """
    )
    return project.run("--ralph")


def check(outcome: Outcome, not_passed: dict[str, str]) -> None:
    """Make sure of what did not pass."""
    expected = {f"rate-limit.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output


URLLIB3 = """
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

def call():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries={policy}))
        session.get("http://api.example/v1/items", timeout=10).raise_for_status()
"""


@pytest.mark.shows("clients", "urllib3", "a whole gate of rate_limit, green and red")
@pytest.mark.parametrize(
    ("marker", "policy", "not_passed"),
    [
        (PLAIN, "Retry(total=3)", {}),
        (PLAIN, "Retry(total=3, backoff_factor=1, status_forcelist=(429, 503))", {}),
        (PLAIN, "0", WAITS),
        # Without a header it waits 0 s, 0 s and 0 s.
        (PLAIN, "Retry(total=3, status_forcelist=(429, 503))", {"hammers": "fail"}),
        (
            PLAIN,
            "Retry(total=3, backoff_factor=1, status_forcelist=(429, 503), respect_retry_after_header=False)",
            {**WAITS, "hammers": "fail"},
        ),
        # It waits for 61 s; of 31 years it makes its retry_after_max of 6 hours, and asks again.
        (LIMIT, "Retry(total=3)", {"gives-up-beyond-max": "fail", "hammers": "fail"}),
    ],
)
def test_urllib3(project: Project, marker: str, policy: str, not_passed: dict[str, str]):
    check(judge(project, marker, URLLIB3.format(policy=policy)), not_passed)


HTTPX_RETRIES = """
import httpx
from httpx_retries import Retry, RetryTransport

def call():
    with httpx.Client(transport=RetryTransport(retry=Retry({policy})), timeout=10) as client:
        client.get("http://api.example/v1/items").raise_for_status()
"""


@pytest.mark.shows("libraries", "httpx-retries", "a whole gate of rate_limit, green and red")
@pytest.mark.parametrize(
    ("policy", "not_passed"),
    [
        ("total=3, backoff_factor=1, backoff_jitter=0", {}),
        ("total=3", {"hammers": "fail"}),
        (
            "total=3, backoff_factor=1, backoff_jitter=0, respect_retry_after_header=False",
            {**WAITS, "hammers": "fail"},
        ),
    ],
)
def test_httpx_retries(project: Project, policy: str, not_passed: dict[str, str]):
    check(judge(project, PLAIN, HTTPX_RETRIES.format(policy=policy)), not_passed)


TENACITY = """
import httpx
import tenacity
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone

def told(state):
    value = state.outcome.exception().response.headers.get("Retry-After")
    if value is None:
        return tenacity.wait_exponential()(state)
    if value.isdigit():
        return float(value)
    return (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()

def is_busy(error):
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (429, 503)

@tenacity.retry(
    retry=tenacity.retry_if_exception(is_busy), stop=tenacity.stop_after_attempt(4), wait={wait}, reraise=True
)
def call():
    httpx.get("http://api.example/v1/items", timeout=10).raise_for_status()
"""


@pytest.mark.shows("libraries", "tenacity", "a whole gate of rate_limit, green and red")
@pytest.mark.parametrize(
    ("wait", "not_passed"),
    [("told", {}), ("tenacity.wait_exponential()", {**WAITS, "hammers": "fail"})],
)
def test_tenacity(project: Project, wait: str, not_passed: dict[str, str]):
    check(judge(project, PLAIN, TENACITY.format(wait=wait)), not_passed)


OPENAI = """
import openai

def call():
    with openai.OpenAI(api_key="sk-x", max_retries={retries}) as client:
        client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "Hi"}}])
"""


@pytest.mark.shows("clients", "openai", "a whole gate of rate_limit, green and red")
@pytest.mark.parametrize(
    ("marker", "retries", "not_passed"),
    [
        (PLAIN, 2, {}),
        (PLAIN, 0, WAITS),
        # It waits for up to two minutes, and does not come back if that is not enough.
        ("@ralph.rate_limit(retry_after=5, max_wait=120)", 2, {}),
        ("@ralph.rate_limit(retry_after=100)", 2, {"waits-retry-after": "fail"}),
        (LIMIT, 2, {"gives-up-beyond-max": "fail"}),
    ],
)
def test_openai(project: Project, marker: str, retries: int, not_passed: dict[str, str]):
    check(judge(project, marker, OPENAI.format(retries=retries), "https://api.openai.com"), not_passed)


STRIPE = """
import stripe

stripe.api_key = "sk_test_x"
stripe.max_network_retries = 2

def call():
    stripe.Charge.create(amount=100, currency="usd", source="tok_visa")
"""


@pytest.mark.shows("clients", "stripe", "a whole gate of rate_limit, red: it knows no Retry-After")
def test_stripe(project: Project):
    """429 is not tried again, and 503 as if it had no header."""
    check(judge(project, PLAIN, STRIPE, "https://api.stripe.com"), {**WAITS, "hammers": "fail"})


AZURE = """
from azure.core import PipelineClient
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

def call():
    with PipelineClient("http://api.example", policies=[RetryPolicy({policy})],
                        transport=RequestsTransport(connection_timeout=10, read_timeout=10)) as client:
        client.send_request(HttpRequest("GET", "http://api.example/v1/items")).raise_for_status()
"""


@pytest.mark.shows("clients", "azure-core", "a whole gate of rate_limit, green and red")
@pytest.mark.parametrize(("policy", "not_passed"), [("", {}), ("retry_total=0", WAITS)])
def test_azure(project: Project, policy: str, not_passed: dict[str, str]):
    check(judge(project, PLAIN, AZURE.format(policy=policy)), not_passed)


AIOHTTP = """
import asyncio
import aiohttp

async def ask():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for attempt in range(4):
            async with session.get("http://api.example/v1/items") as answer:
                if answer.status not in (429, 503):
                    return await answer.json()
                wait = answer.headers.get("Retry-After", str(2 ** attempt))
            await asyncio.sleep({wait})
    raise RuntimeError("busy")

def call():
    asyncio.run(ask())
"""


@pytest.mark.parametrize(
    ("wait", "not_passed"),
    [
        # Dates are forgotten.
        ("float(wait)", {"waits-http-date": "fail"}),
        # No longer than 10 s, whatever is told.
        ("min(10, float(wait))", {"waits-http-date": "fail", "waits-retry-after": "fail", "hammers": "fail"}),
        # Taken for milliseconds.
        (
            "int(wait) / 1000",
            {"waits-http-date": "fail", "waits-retry-after": "fail", "hammers": "fail"},
        ),
    ],
)
def test_aiohttp_by_hand(project: Project, wait: str, not_passed: dict[str, str]):
    check(judge(project, PLAIN, AIOHTTP.format(wait=wait)), not_passed)
