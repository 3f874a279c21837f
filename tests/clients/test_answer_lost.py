"""An answer that is lost after the effect: what each client raises, and that the effect is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from pytest_ralph import faults
from pytest_ralph.core.timeline import FaultMet, Performed, Requested, Unmatched
from pytest_ralph.world.world import World
from tests.clients.wire import Live

HTTP, HTTPS = "http://api.pay.example", "https://api.pay.example"
Client = Callable[[str], Any]


def by_requests(url: str) -> Any:
    return requests.post(f"{url}/v1/charges", json={"amount": 1}, timeout=10).json()


def by_httpx(url: str) -> Any:
    return httpx.post(f"{url}/v1/charges", json={"amount": 1}, timeout=10).json()


def by_async_httpx(url: str) -> Any:
    async def post() -> Any:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.post(f"{url}/v1/charges", json={"amount": 1})).json()

    return asyncio.run(post())


def by_urllib3(url: str) -> Any:
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        return pool.request("POST", f"{url}/v1/charges", json={"amount": 1}).json()


def by_aiohttp(url: str) -> Any:
    async def post() -> Any:
        limit = aiohttp.ClientTimeout(sock_read=10)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(f"{url}/v1/charges", json={"amount": 1}) as answer,
        ):
            return await answer.json()

    return asyncio.run(post())


RESET = [
    (by_requests, requests.ConnectionError),
    (by_httpx, httpx.TransportError),
    (by_async_httpx, httpx.TransportError),
    (by_urllib3, urllib3.exceptions.ProtocolError),
    (by_aiohttp, aiohttp.ClientConnectionError),
]
CLOSE = [
    (by_requests, requests.ConnectionError),
    (by_httpx, httpx.RemoteProtocolError),
    (by_async_httpx, httpx.RemoteProtocolError),
    (by_urllib3, urllib3.exceptions.ProtocolError),
    (by_aiohttp, aiohttp.ServerDisconnectedError),
]
HANG = [
    (by_requests, requests.ReadTimeout),
    (by_httpx, httpx.ReadTimeout),
    (by_async_httpx, httpx.ReadTimeout),
    (by_urllib3, urllib3.exceptions.ReadTimeoutError),
    (by_aiohttp, aiohttp.SocketTimeoutError),
]


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize(
    ("how", "took", "client", "error"),
    [
        *(("reset", 0, *each) for each in RESET),
        *(("close", 0, *each) for each in CLOSE),
        *(("hang", 10, *each) for each in HANG),
    ],
)
def test_the_effect_is_kept_and_the_answer_is_lost(
    world: World, live: Live, how: str, took: float, client: Client, error: type[Exception], url: str
):
    done: list[str] = []

    def charge(request: Any) -> tuple[int, dict[str, str], str]:
        done.append(request.url)
        return 201, {}, "{}"

    api = world.upstream(url)
    api.add_callback("POST", "/v1/charges", charge, content_type="application/json")
    api.inject(faults.AnswerLost(how), times=1)

    def scene() -> None:
        began = time.monotonic()
        with pytest.raises(error):
            client(url)
        # aiohttp ends its longer waits at a full second.
        assert took <= time.monotonic() - began <= took + (1 if client is by_aiohttp else 0.001)
        assert done == [f"{url}/v1/charges"]

        assert client(url) == {}

    live(scene)

    assert len(done) == 2
    assert [each.status for each in world.timeline.of(Performed)] == [201, 201]
    numbers = [each.attempt for each in world.timeline.of(Requested)]
    assert [each.attempt for each in world.timeline.of(Performed)] == numbers
    assert [(each.fault, each.attempt) for each in world.timeline.of(FaultMet)] == [
        (f"AnswerLost(how='{how}')", numbers[0])
    ]


def test_other_faults_have_no_effect_unless_they_answer(world: World, live: Live):
    api = world.upstream(HTTP)
    api.post("/v1/charges", json={})

    def failing() -> None:
        with pytest.raises(requests.RequestException):
            by_requests(HTTP)

    for fault, effects in ((faults.Reset(), 0), (faults.Hang(), 0), (faults.Truncate(), 1)):
        api.inject(fault)
        live(failing)
        assert len(world.timeline.of(Performed)) == effects


def test_what_is_not_declared_has_no_effect_to_keep(world: World, live: Live):
    world.upstream(HTTP).inject(faults.AnswerLost())

    found = live(lambda: requests.post(f"{HTTP}/v1/charges", timeout=10))

    assert found.status_code == 501
    assert len(world.timeline.of(Unmatched)) == 1
    assert world.timeline.of(Performed) == []


@pytest.mark.parametrize("how", ["RST", "", None, 1, ["reset"]])
def test_a_way_that_is_none(how: Any):
    with pytest.raises(ValueError, match="AnswerLost needs how to be one of reset, hang, close, got"):
        faults.AnswerLost(how)
