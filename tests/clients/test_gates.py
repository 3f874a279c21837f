"""Whole gates over real libraries: green where set up with care, red by the right criterion where not."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

import pytest

from tests.harness import Outcome, Project

CRITERIA = "retry.max-retries", "retry.backoff"


def judge(project: Project, markers: str, client: str, url: str = "http://api.pay.example") -> Outcome:
    """Judge ``client.call()``."""
    project.write(client=client)
    lines = "\n".join(f"        {line.strip()}" for line in markers.strip().splitlines())
    project.write(
        test_it=f"""
        import client

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream({url!r})
            service.post("/v1/charges", json={{"id": "ch_1"}})
            service.post("/v1/chat/completions", json=client.HEALTHY)
            service.post("/2010-04-01/Accounts/AC1/Messages.json", json=client.HEALTHY, status=201)
            return service

{lines}
        def test_call(service):
            client.call()
        """
    )
    return project.run("--ralph")


# -- tenacity over httpx ------------------------------------------------------------------------------------

TENACITY = """
import logging
import httpx
import tenacity

HEALTHY = {{}}
log = logging.getLogger(__name__)

def is_transient(error):
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)

def tell(state):
    log.warning("attempt %d failed, next in %s s", state.attempt_number, state.next_action.sleep)

@tenacity.retry({policy}, reraise=True)
def call():
    httpx.post("http://api.pay.example/v1/charges", json={{}}{timeout}).raise_for_status()
"""
CAREFUL = (
    "retry=tenacity.retry_if_exception(is_transient), stop=tenacity.stop_after_attempt(4), "
    "wait=tenacity.wait_exponential(), before_sleep=tell"
)
CARELESS = (
    "stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_fixed(1), "
    "before_sleep=tenacity.before_sleep_log(log, logging.WARNING)"
)
BOTH = """
@ralph.retry(max_retries=3, backoff=(1, 2, 4))
@ralph.timeout(10)
"""


@pytest.mark.shows("libraries", "tenacity", "a whole gate of retry and timeout, green and red")
@pytest.mark.parametrize(
    ("policy", "timeout", "not_passed"),
    [
        (CAREFUL, ", timeout=10", {}),
        # Everything is retried, after the same time; its own log line tells no number.
        (
            CARELESS,
            ", timeout=10",
            {
                "retry.backoff": "fail",
                "retry.backoff-not-exponential": "fail",
                "retry.logs-each-retry": "fail",
                "retry.retries-client-error": "fail",
            },
        ),
        (
            CAREFUL.replace("stop_after_attempt(4)", "stop_after_attempt(3)"),
            ", timeout=10",
            {"retry.max-retries": "fail"},
        ),
        # httpx has a timeout of 5 s, which nobody chose.
        (CAREFUL, "", {"timeout.gives-up": "fail"}),
    ],
)
def test_tenacity(project: Project, policy: str, timeout: str, not_passed: dict[str, str]):
    outcome = judge(project, BOTH, TENACITY.format(policy=policy, timeout=timeout))

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


# -- urllib3's Retry, mounted on requests -------------------------------------------------------------------

REQUESTS = """
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

HEALTHY = {{}}

def call():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries={policy}))
        session.post("http://api.pay.example/v1/charges", json={{}}, timeout=10).raise_for_status()
"""


# It waits 0 s before its first retry, and a cut answer is never retried.
FIRST_AT_ONCE = {
    "retry.retries-transient": "fail",
    "retry.backoff": "fail",
    "retry.backoff-not-exponential": "fail",
    "retry.logs-each-retry": "fail",
}


@pytest.mark.shows("clients", "requests", "a whole gate of retry over an HTTPAdapter, red")
@pytest.mark.parametrize(
    ("policy", "not_passed"),
    [
        # POST is retried only where it could not be sent.
        ("Retry(total=3, backoff_factor=1, status_forcelist=[500, 502, 503, 504])", FIRST_AT_ONCE),
        # Statuses are retried in silence, and what is logged counts down.
        (
            "Retry(total=3, backoff_factor=1, status_forcelist=[500, 502, 503, 504], allowed_methods=None)",
            {**FIRST_AT_ONCE, "retry.silent-retries": "fail"},
        ),
    ],
)
def test_requests(project: Project, policy: str, not_passed: dict[str, str]):
    outcome = judge(project, BOTH, REQUESTS.format(policy=policy))

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


# -- backoff with full jitter -------------------------------------------------------------------------------

BACKOFF = """
import logging
import backoff
import httpx

HEALTHY = {{}}
log = logging.getLogger(__name__)

def is_final(error):
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500

def tell(details):
    log.warning("attempt %d failed, next in %.3f s", details["tries"], details["wait"])

@backoff.on_exception({policy}, httpx.HTTPError, giveup=is_final, max_tries=4, on_backoff=tell)
def call():
    httpx.post("http://api.pay.example/v1/charges", json={{}}, timeout=10).raise_for_status()
"""


@pytest.mark.shows("libraries", "backoff", "a whole gate of retry with jitter, green and red")
@pytest.mark.parametrize(
    ("policy", "not_passed"),
    [
        ("backoff.expo", {}),
        ("backoff.constant", {"retry.backoff-not-exponential": "fail"}),
    ],
)
def test_backoff(project: Project, policy: str, not_passed: dict[str, str]):
    """Full jitter of 1 s, 2 s and 4 s is half of them, that much shorter or longer."""
    outcome = judge(project, "@ralph.retry(base=0.5, jitter=1)", BACKOFF.format(policy=policy))

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


# -- openai -------------------------------------------------------------------------------------------------

OPENAI = """
import logging
import openai

HEALTHY = {{"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-x", "choices": []}}
logging.getLogger("openai").setLevel(logging.INFO)

def call():
    with openai.OpenAI(api_key="sk-x", base_url="https://api.openai.com/v1", {options}) as client:
        client.chat.completions.create(model="gpt-x", messages=[])
"""


@pytest.fixture
def openai_log() -> Iterator[None]:
    logger = logging.getLogger("openai")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.shows("clients", "openai", "a whole gate of retry and timeout, green and red")
@pytest.mark.parametrize(
    ("options", "never_on", "not_passed"),
    [
        ("timeout=20", "(400, 401, 403, 404, 422)", {}),
        # It takes 409 for a lock that will be released.
        ("timeout=20", "('4xx',)", {"retry.retries-client-error": "fail"}),
        ("timeout=20, max_retries=5", "(400, 401, 403, 404, 422)", {"retry.max-retries": "fail"}),
        # Ten minutes for an answer.
        ("", "(400, 401, 403, 404, 422)", {"timeout.gives-up": "fail"}),
    ],
)
def test_openai(project: Project, openai_log: None, options: str, never_on: str, not_passed: dict[str, str]):
    importlib.import_module("openai")
    markers = f"""
    @ralph.retry(max_retries=2, base=0.5, jitter=0.25, log_level="INFO", never_on={never_on})
    @ralph.timeout(20)
    """

    outcome = judge(project, markers, OPENAI.format(options=options), "https://api.openai.com")

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


# -- twilio -------------------------------------------------------------------------------------------------

TWILIO = """
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

HEALTHY = {{"sid": "SM1"}}

def call():
    client = Client("AC1", "token", http_client=TwilioHttpClient({options}))
    client.messages.create(to="+15550001", from_="+15550002", body="Hello")
"""


@pytest.mark.shows("clients", "twilio", "a whole gate of timeout, green and red")
@pytest.mark.parametrize(
    ("options", "not_passed"),
    [
        ("timeout=10", {}),
        (
            "",
            {
                "timeout.gives-up": "not_exercised",
                "timeout.connects-in-time": "fail",
                "timeout.waits-forever": "fail",
            },
        ),
    ],
)
def test_twilio(project: Project, options: str, not_passed: dict[str, str]):
    outcome = judge(project, "@ralph.timeout(10)", TWILIO.format(options=options), "https://api.twilio.com")

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


# -- retries over retries -----------------------------------------------------------------------------------

STACKED = """
import logging
import requests
import tenacity
from requests.adapters import HTTPAdapter
from urllib3 import Retry

HEALTHY = {}
log = logging.getLogger(__name__)
policy = Retry(total=3, backoff_factor=0, status_forcelist=(500, 502, 503, 504), allowed_methods=None)

def tell(state):
    log.warning("attempt %d failed", state.attempt_number)

@tenacity.retry(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_exponential(), before_sleep=tell,
                retry=tenacity.retry_if_exception_type(requests.RequestException), reraise=True)
def call():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=policy))
        session.post("http://api.pay.example/v1/charges", json={}, timeout=10)
"""


def test_stacked_retries_are_one_number_of_requests(project: Project):
    """Four attempts of tenacity, each of them four of urllib3, are sixteen requests."""
    found = judge(project, "@ralph.retry(max_retries=3, backoff=(1, 2, 4))", STACKED)

    evidence = found.criterion("retry.max-retries")["evidence"]
    assert evidence["observed"] == "15 retries of POST /v1/charges"
    assert evidence["location"]["file"] == "client.py"
