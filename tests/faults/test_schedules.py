"""Any schedule of faults is met in its order, over kept and new connections, and leaves a healthy service."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ralph import faults
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import FaultMet, Stuck
from tests.faults.clients import HTTP, HTTPS
from tests.worlds import entered

PLAIN: list[Fault] = [
    faults.Status(503),
    faults.Unauthorized(),
    faults.Slow(2),
    faults.Slow(1, after_bytes=3),
    faults.Hang(),
    faults.Hang(after_bytes=2),
    faults.Truncate(after_bytes=1),
    faults.Dribble(0.5),
    faults.Bandwidth(3),
    faults.Reset(),
    faults.Reset(after_bytes=2),
    faults.CloseEarly(),
    faults.CloseEarly(after=2),
    faults.CloseEarly(before_request=True),
    faults.Refuse(),
    faults.Unreachable(),
    faults.DnsFailure(),
    faults.DnsFailure("timeout", after=4),
]
SECURE = [faults.TlsError("expired"), faults.TlsError("wrong_host"), faults.TlsError("unknown_issuer")]


def schedules(base: str) -> st.SearchStrategy[list[Fault | None]]:
    known = [None, *PLAIN, *(SECURE if base == HTTPS else [])]
    return st.lists(st.sampled_from(known), min_size=1, max_size=8).filter(any)


def by_requests(calls: int, base: str) -> list[Any]:
    with requests.Session() as session:
        return [_tried(lambda: session.get(f"{base}/", timeout=5).status_code) for _ in range(calls)]


def by_httpx(calls: int, base: str) -> list[Any]:
    with httpx.Client(timeout=5) as client:
        return [_tried(lambda: client.get(f"{base}/").status_code) for _ in range(calls)]


def by_aiohttp(calls: int, base: str) -> list[Any]:
    async def run() -> list[Any]:
        # Addresses that are kept would spare lookups. A kept connection may be used again before the event
        # loop has seen that it was closed, which is a failure of its own.
        connector = aiohttp.TCPConnector(
            resolver=aiohttp.ThreadedResolver(), use_dns_cache=False, force_close=True
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=5)
        async with aiohttp.ClientSession(connector=connector, timeout=limits) as session:
            return [await _awaited(lambda: _post(session, base)) for _ in range(calls)]

    return asyncio.run(run())


async def _post(session: aiohttp.ClientSession, base: str) -> int:
    async with session.post(f"{base}/") as answer:
        await answer.read()
        return answer.status


def _tried(call: Callable[[], int]) -> Any:
    try:
        return call()
    except (requests.RequestException, httpx.TransportError) as error:
        return error


async def _awaited(call: Callable[[], Awaitable[int]]) -> Any:
    try:
        return await call()
    except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
        return error


@pytest.mark.parametrize("client", [by_requests, by_httpx, by_aiohttp])
@pytest.mark.parametrize("base", [HTTP, HTTPS])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_schedule_is_met_in_its_order(client: Callable[[int, str], list[Any]], base: str, data: Any):
    schedule = data.draw(schedules(base))
    with entered() as world:
        api = world.upstream(base)
        api.get("/", json={"ok": True})
        api.post("/", json={"ok": True})
        api.inject(faults.Sequence(*schedule))

        found = client(len(schedule) + 2, base)

        met = [each.fault for each in world.timeline.of(FaultMet)]
        assert met == [repr(each) for each in schedule if each is not None]
        assert found[-2:] == [200, 200]
        assert world.timeline.of(Stuck) == []
        assert api.plan.shown == ()
        for fault, result in zip(schedule, found, strict=False):
            if fault is None or isinstance(fault, (faults.Slow, faults.Dribble, faults.Bandwidth)):
                assert result == 200
            elif isinstance(fault, faults.Status):
                assert result == 503
            elif isinstance(fault, faults.Unauthorized):
                assert result == 401
            else:
                assert isinstance(result, Exception)
