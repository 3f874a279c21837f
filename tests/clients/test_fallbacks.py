"""Fallbacks as people build them: caches of libraries and in a server, judged unmodified."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import Outcome, Project

PLAIN = "@ralph.fallback(within='500 ms', returns=1.08)"
SERVER = """
from fakeredis import TcpFakeServer

server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
print(server.server_address[1], flush=True)
server.serve_forever()
"""


pytestmark = pytest.mark.usefixtures("tidy")


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    """A server that speaks the protocol of Redis, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.terminate()


def judge(project: Project, client: str, *, asynchronous: bool = False, marker: str = PLAIN) -> Outcome:
    """Judge ``client.rate()``."""
    project.write(client=client)
    mark, word, wait = ("@pytest.mark.asyncio", "async def", "await ") if asynchronous else ("", "def", "")
    project.write(
        test_it=f"""
        import client

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream("http://rates.example")
            service.get("/v1/rates", json={{"usd": 1.08}})
            return service

        {mark}
        {marker}
        @ralph.reset(getattr(client, "forget", dict))
        {word} test_rate(service, ralph_returned):
            ralph_returned({wait}client.rate())
        """
    )
    return project.run("--ralph")


def check(outcome: Outcome, not_passed: dict[str, str]) -> None:
    """Make sure of what did not pass."""
    expected = {f"fallback.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output


IN_REDIS = """
import logging
import httpx
import redis

cache = redis.Redis(host="127.0.0.1", port={port}, socket_timeout=5, decode_responses=True)
log = logging.getLogger(__name__)

def rate():
    try:
        answer = httpx.get("http://rates.example/v1/rates", timeout={timeout})
        answer.raise_for_status()
        cache.set("rate", answer.json()["usd"]{expire})
    except httpx.HTTPError as problem:
        log.warning("rates not available, serving those kept: %s", problem)
    return float(cache.get("rate"))
"""


@pytest.mark.shows(
    "clients", "redis", "as the cache of a fallback, a real server on loopback", "in real time"
)
@pytest.mark.parametrize(
    ("timeout", "expire", "not_passed"),
    [("0.4", "", {}), ("2", "", {"within-deadline": "fail"}), ("0.4", ", ex=86_400", {})],
)
def test_a_cache_in_redis(
    project: Project, redis_port: int, timeout: str, expire: str, not_passed: dict[str, str]
):
    check(judge(project, IN_REDIS.format(port=redis_port, timeout=timeout, expire=expire)), not_passed)


IN_REDIS_ASYNC = """
import asyncio
import logging
import aiohttp
import redis.asyncio as redis

log = logging.getLogger(__name__)

async def rate():
    async with redis.Redis(host="127.0.0.1", port={port}, decode_responses=True) as cache:
        try:
            timeout = aiohttp.ClientTimeout(total={timeout})
            async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
                async with session.get("http://rates.example/v1/rates") as answer:
                    await cache.set("rate", (await answer.json())["usd"])
        except (aiohttp.ClientError, asyncio.TimeoutError) as problem:
            log.warning("rates not available, serving those kept: %s", problem)
        return float(await cache.get("rate"))
"""


@pytest.mark.shows("clients", "redis", "the same on asyncio, with aiohttp", "in real time")
@pytest.mark.parametrize(("timeout", "not_passed"), [("0.4", {}), ("2", {"within-deadline": "fail"})])
def test_a_cache_in_redis_on_asyncio(
    project: Project, redis_port: int, timeout: str, not_passed: dict[str, str]
):
    client = IN_REDIS_ASYNC.format(port=redis_port, timeout=timeout)
    check(judge(project, client, asynchronous=True), not_passed)


STALE = """
import logging
import time
import requests

log = logging.getLogger(__name__)
kept = None

def forget():
    global kept
    kept = None

def fetch():
    answer = requests.get("http://rates.example/v1/rates", timeout=0.4)
    answer.raise_for_status()
    return answer.json()["usd"]

def rate():
    global kept
    if kept is None or kept[0] < time.time() - {expires}:
        try:
            kept = time.time(), fetch()
        except requests.RequestException as problem:
            log.warning("serving the rate of %s: %s", kept[0], problem)
            {keep}
    return kept[1]
"""


@pytest.mark.parametrize(
    ("expires", "keep", "not_passed"),
    [
        (300, "", {}),
        (43_200, "", {}),
        (300, "kept = time.time(), kept[1]  # ask again in five minutes", {}),
        # What has expired is taken for fresh, and for half a day nobody asks whether the service is back.
        (43_200, "kept = time.time(), kept[1]", {"prefers-live": "fail"}),
    ],
)
def test_a_cache_that_expires_and_is_served_stale(
    project: Project, expires: int, keep: str, not_passed: dict[str, str]
):
    check(judge(project, STALE.format(expires=expires, keep=keep)), not_passed)


EXPIRING = """
import logging
import cachetools
import requests

log = logging.getLogger(__name__)

@cachetools.cached(cachetools.TTLCache(maxsize=10, ttl=600))
def fetch():
    answer = requests.get("http://rates.example/v1/rates", timeout=0.4)
    answer.raise_for_status()
    return answer.json()["usd"]

def rate():
    try:
        return fetch()
    except requests.RequestException as problem:
        log.warning("rates not available: %s", problem)
        raise
"""

ANOTHER_SERVICE = """
import logging
import requests

log = logging.getLogger(__name__)

def ask(host):
    answer = requests.get(f"http://{host}.example/v1/rates", timeout=0.4)
    answer.raise_for_status()
    return answer.json()["usd"]

def rate():
    try:
        return ask("rates")
    except requests.RequestException as problem:
        log.warning("asking another service: %s", problem)
        return ask("spare")
"""


def test_what_has_expired_is_no_fallback(project: Project):
    """The usual mistake: a cache with a time to live, which holds nothing when it is needed."""
    found = judge(project, EXPIRING)

    assert found.criterion("fallback.serves-fallback")["status"] == "fail"


def test_another_service_is_a_fallback_and_is_left_in_peace(project: Project):
    project.write(client=ANOTHER_SERVICE)
    project.write(
        test_it=f"""
        import client

        @pytest.fixture
        def services(ralph_upstream):
            for host in ("rates", "spare"):
                ralph_upstream(f"http://{{host}}.example").get("/v1/rates", json={{"usd": 1.08}})

        {PLAIN}
        def test_rate(services, ralph_returned):
            ralph_returned(client.rate())
        """
    )

    check(project.run("--ralph"), {})


WAIT_FOR = """
import asyncio
import logging
import httpx

log = logging.getLogger(__name__)
kept = {}

async def fetch():
    async with httpx.AsyncClient(timeout=None) as client:
        answer = await client.get("http://rates.example/v1/rates")
        answer.raise_for_status()
        return answer.json()["usd"]

async def rate():
    try:
        kept["usd"] = await asyncio.wait_for(fetch(), 0.4)
    except (asyncio.TimeoutError, httpx.HTTPError) as problem:
        log.warning("serving what was kept: %r", problem)
    return kept["usd"]
"""

IN_A_THREAD = """
import concurrent.futures
import logging
import requests

log = logging.getLogger(__name__)
pool = concurrent.futures.ThreadPoolExecutor(4)
kept = {}

def fetch():
    answer = requests.get("http://rates.example/v1/rates", timeout=5)
    answer.raise_for_status()
    return answer.json()["usd"]

def rate():
    try:
        kept["usd"] = pool.submit(fetch).result(timeout=0.4)
    except (concurrent.futures.TimeoutError, requests.RequestException) as problem:
        log.warning("serving what was kept: %r", problem)
    return kept["usd"]
"""

BREAKER = """
import logging
import pybreaker
import requests

log = logging.getLogger(__name__)
breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=60)
kept = {}

@breaker
def fetch():
    answer = requests.get("http://rates.example/v1/rates", timeout=0.4)
    answer.raise_for_status()
    return answer.json()["usd"]

def rate():
    try:
        kept["usd"] = fetch()
    except (requests.RequestException, pybreaker.CircuitBreakerError) as problem:
        log.warning("serving what was kept: %r", problem)
    return kept["usd"]
"""

SESSION = """
import logging
import {library} as library

log = logging.getLogger(__name__)
session = library.{session}()
kept = {{}}

def rate():
    try:
        answer = session.get("http://rates.example/v1/rates", timeout=0.4)
        answer.raise_for_status()
        kept["usd"] = answer.json()["usd"]
    except library.{problem} as problem:
        log.warning("serving what was kept: %r", problem)
    return kept["usd"]
"""

HALF_OF_HTTPX = """
import logging
import httpx

log = logging.getLogger(__name__)
kept = {}

def rate():
    try:
        answer = httpx.get("http://rates.example/v1/rates", timeout=0.4)
        answer.raise_for_status()
        kept["usd"] = answer.json()["usd"]
    except (httpx.TimeoutException, httpx.HTTPStatusError) as problem:
        log.warning("serving what was kept: %r", problem)
    return kept["usd"]
"""


def test_a_deadline_of_asyncio(project: Project):
    check(judge(project, WAIT_FOR, asynchronous=True), {})


@pytest.mark.parametrize(
    ("client", "not_passed"),
    [
        (IN_A_THREAD, {}),
        (BREAKER, {}),
        (SESSION.format(library="requests", session="Session", problem="RequestException"), {}),
        (SESSION.format(library="httpx", session="Client", problem="HTTPError"), {}),
        # ConnectError and ReadError are neither.
        (HALF_OF_HTTPX, {"serves-fallback": "fail"}),
    ],
)
def test_other_ways_to_fall_back(project: Project, client: str, not_passed: dict[str, str]):
    check(judge(project, client), not_passed)
