"""Asynchronous, threaded and streaming clients as people write them: each red for what is wrong with it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

RETRY = "@ralph.retry(max_retries=3, backoff=(1, 2, 4))\n"
TIMEOUT = "@ralph.timeout(10)\n"


def judged(
    project: Project, markers: str, client: str, test: str = "def test_it(api):\n    client.call()"
) -> Outcome:
    project.write(client=client)
    lines = f"""
import client

@pytest.fixture
def anyio_backend():
    return "trio"

@pytest.fixture
def report(api):
    api.get("/v1/report", body="data: line\\n\\n" * 50, headers={{"Transfer-Encoding": "chunked"}})

{markers}{test}
"""
    project.write(test_it="")
    path = project.pytester.path / "test_it.py"
    path.write_text(path.read_text() + lines.replace("{{", "{").replace("}}", "}"), encoding="utf-8")
    return project.run("--ralph")


NO_RETRY = {
    "retry.retries-transient": "fail",
    **dict.fromkeys(
        (
            *("retry.max-retries", "retry.backoff", "retry.recovers", "retry.logs-each-retry"),
            *("retry.backoff-not-exponential", "retry.silent-retries"),
        ),
        "not_exercised",
    ),
}

# -- limits -------------------------------------------------------------------------------------------------

LONGER_THAN_IT_SEEMS = """
import asyncio
import httpx

async def main():
    async with httpx.AsyncClient(timeout=None) as client:
        await asyncio.wait_for(client.post("http://api.pay.example/v1/charges", json={}), 30)

def call():
    asyncio.run(main())
"""
SHIELDED = """
import asyncio
import httpx

async def main():
    async with httpx.AsyncClient(timeout=None) as client:
        request = asyncio.create_task(client.post("http://api.pay.example/v1/charges", json={}))
        try:
            await asyncio.wait_for(asyncio.shield(request), 10)
        except asyncio.TimeoutError:
            await asyncio.sleep(120)  # the request goes on meanwhile
            request.cancel()
            raise

def call():
    asyncio.run(main())
"""
MOVED_ON = """
import httpx
import trio

async def main():
    with trio.move_on_after(25):
        async with httpx.AsyncClient(timeout=None) as client:
            await client.post("http://api.pay.example/v1/charges", json={})

def call():
    trio.run(main)
"""
DEFAULTS = """
import asyncio
import aiohttp

async def main():
    async with aiohttp.ClientSession() as session:
        async with session.post("http://api.pay.example/v1/charges", json={}) as answer:
            answer.raise_for_status()

def call():
    asyncio.run(main())
"""
STREAMS_FOR_EVER = """
import requests

def call():
    with requests.get("http://api.pay.example/v1/report", stream=True, timeout=(10, None)) as answer:
        answer.raise_for_status()
        return sum(len(piece) for piece in answer.iter_content(1024))
"""
ONLY_THE_CALLER_GIVES_UP = """
from concurrent.futures import ThreadPoolExecutor
import requests

pool = ThreadPoolExecutor(4)

def call():
    pool.submit(requests.post, "http://api.pay.example/v1/charges", json={}).result(timeout=10)
"""


@pytest.mark.parametrize(
    ("client", "not_passed", "observed"),
    [
        (
            LONGER_THAN_IT_SEEMS,
            {"timeout.gives-up": "fail", "timeout.connects-in-time": "fail"},
            "given up after 30 s",
        ),
        (
            SHIELDED,
            {"timeout.gives-up": "fail", "timeout.connects-in-time": "fail"},
            "given up after 130 s",
        ),
        (
            MOVED_ON,
            {"timeout.gives-up": "fail", "timeout.connects-in-time": "fail"},
            "given up after 25 s",
        ),
        (
            DEFAULTS,
            {"timeout.gives-up": "fail", "timeout.connects-in-time": "fail"},
            "given up after 300.63 s",
        ),
        (
            STREAMS_FOR_EVER,
            {"timeout.gives-up": "not_exercised", "timeout.waits-forever": "fail"},
            "no attempt was given up",
        ),
        (
            ONLY_THE_CALLER_GIVES_UP,
            dict.fromkeys(
                ("timeout.gives-up", "timeout.waits-forever", "timeout.connects-in-time"), "not_exercised"
            ),
            "no attempt was given up",
        ),
    ],
)
def test_limits_that_are_none(project: Project, client: str, not_passed: dict[str, str], observed: str):
    test = "def test_it(api, report):\n    client.call()"

    outcome = judged(project, TIMEOUT, client, test)

    assert not_passed == outcome.not_passed(), outcome.output
    assert observed in outcome.criterion("timeout.gives-up")["evidence"]["observed"]
    assert outcome.code == 1


def test_a_request_that_is_left_behind_is_not_limited(project: Project):
    """The caller does not wait for ever; the worker in the pool does."""
    found = judged(project, TIMEOUT, ONLY_THE_CALLER_GIVES_UP).criterion("timeout.waits-forever")

    assert (
        found["evidence"]["observed"]
        == "POST /v1/charges was still waited for elsewhere when the call had ended"
    )


# -- retries ------------------------------------------------------------------------------------------------

HEDGED = """
import asyncio, logging
import httpx

log = logging.getLogger(__name__)

async def send(client, seconds):
    await asyncio.sleep(seconds)
    (await client.post("http://api.pay.example/v1/charges", json={})).raise_for_status()

async def main():
    async with httpx.AsyncClient(timeout=10) as client:
        tasks = [asyncio.create_task(send(client, seconds)) for seconds in range(4)]
        for each in asyncio.as_completed(tasks):
            try:
                await each
            except httpx.HTTPError as error:
                log.warning("attempt failed: %s", error)
            else:
                for task in tasks:
                    task.cancel()
                return
        raise RuntimeError("all failed")

def call():
    asyncio.run(main())
"""
RECONNECTS_FOR_EVER = """
import logging, time
import httpx

log = logging.getLogger(__name__)

def call():
    number = 0
    while True:
        try:
            with httpx.stream("GET", "http://api.pay.example/v1/report", timeout=10) as answer:
                answer.raise_for_status()
                for line in answer.iter_lines():
                    pass
            return
        except httpx.HTTPError:
            number += 1
            log.warning("reconnect %d", number)
            time.sleep(3)
"""
BY_THE_TRANSPORT = """
import asyncio
import httpx

async def main():
    transport = httpx.AsyncHTTPTransport(retries=3)
    async with httpx.AsyncClient(timeout=10, transport=transport) as client:
        (await client.post("http://api.pay.example/v1/charges", json={})).raise_for_status()

def call():
    asyncio.run(main())
"""
BY_TIMERS = """
import logging, threading
import requests

log = logging.getLogger(__name__)

def call():
    done, found = threading.Event(), []

    def end(outcome):
        found.append(outcome)
        done.set()

    def attempt(number):
        try:
            answer = requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
            if answer.status_code >= 500:
                raise requests.ConnectionError(answer.status_code)
            answer.raise_for_status()
            end(None)
        except requests.HTTPError as error:
            end(error)
        except requests.RequestException as error:
            if number == 4:
                end(error)
                return
            log.warning("attempt %d failed", number)
            threading.Timer(WAIT, attempt, (number + 1,)).start()

    attempt(1)
    done.wait()
    if found[0]:
        raise found[0]
"""
BY_THREADS = """
import logging, threading, time
import requests

log = logging.getLogger(__name__)

def attempt(found):
    try:
        answer = requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
        found.append(answer.status_code)
    except requests.RequestException:
        found.append(500)

def call():
    for number in range(1, 5):
        found = []
        thread = threading.Thread(target=attempt, args=(found,))
        thread.start()
        thread.join()
        if found[0] < 500:
            break
        if number < 4:
            log.warning("attempt %d failed", number)
            time.sleep(WAIT)
    assert found[0] < 400
"""


@pytest.mark.parametrize(
    ("client", "not_passed"),
    [
        (HEDGED, NO_RETRY),
        (
            RECONNECTS_FOR_EVER,
            dict.fromkeys(
                (
                    *("retry.max-retries", "retry.backoff", "retry.backoff-not-exponential"),
                    "retry.retries-client-error",
                ),
                "fail",
            ),
        ),
        (
            BY_THE_TRANSPORT,
            {
                "retry.retries-transient": "fail",
                "retry.backoff": "fail",
                "retry.backoff-not-exponential": "fail",
                "retry.logs-each-retry": "not_exercised",
                "retry.silent-retries": "fail",
            },
        ),
        (
            BY_TIMERS.replace("WAIT", "2"),
            {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"},
        ),
        (
            BY_THREADS.replace("WAIT", "number"),
            {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"},
        ),
    ],
)
def test_retries_that_are_none(project: Project, client: str, not_passed: dict[str, str]):
    test = "def test_it(api, report):\n    client.call()"

    outcome = judged(project, RETRY, client, test)

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == 1


# -- and with care ------------------------------------------------------------------------------------------

WITH_CARE = """
import logging
import LIBRARY
import httpx

log = logging.getLogger(__name__)

async def call():
    async with httpx.AsyncClient(timeout=10) as client:
        for number in range(1, 5):
            try:
                answer = await client.post("http://api.pay.example/v1/charges", json={})
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return answer.json()
            except httpx.TransportError:
                if number == 4:
                    raise
            if number < 4:
                log.warning("attempt %d failed", number)
                await LIBRARY.sleep(2 ** (number - 1))
        answer.raise_for_status()
"""


@pytest.mark.shows("loops", "pytest-asyncio, anyio's plugin on trio", "whole gates of retry and timeout")
@pytest.mark.parametrize(
    ("library", "test"),
    [
        ("asyncio", "@pytest.mark.asyncio\nasync def test_it(api):\n    await client.call()"),
        ("anyio", "@pytest.mark.anyio\nasync def test_it(api, anyio_backend):\n    await client.call()"),
    ],
)
def test_asynchronous_gates_with_care(project: Project, library: str, test: str):
    outcome = judged(project, RETRY + TIMEOUT, WITH_CARE.replace("LIBRARY", library), test)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize("client", [BY_TIMERS, BY_THREADS], ids=["timers", "threads"])
def test_threaded_gates_with_care(project: Project, client: str):
    outcome = judged(project, RETRY + TIMEOUT, client.replace("WAIT", "2 ** (number - 1)"))

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
