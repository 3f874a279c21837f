"""One request by each client library, for the tables of what they make of a fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import requests
import urllib3

from pytest_ralph.core.fault import Fault
from pytest_ralph.world.world import World

HTTP, HTTPS = "http://api.pay.example", "https://api.pay.example"
PATH = "/v1/charges"
ANSWER = {"id": "ch_1"}
BODY = b'{"amount": 1}'

Live = Callable[[Callable[[], Any]], Any]


def by_requests(url: str, timeout: float) -> Any:
    with requests.Session() as session:
        answer = session.post(url, data=BODY, timeout=timeout)
        return answer.status_code, answer.text


def by_httpx(url: str, timeout: float) -> Any:
    with httpx.Client(timeout=timeout) as client:
        answer = client.post(url, content=BODY)
        return answer.status_code, answer.text


def by_urllib3(url: str, timeout: float) -> Any:
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        answer = pool.request("POST", url, body=BODY)
        return answer.status, answer.data.decode()


def by_aiohttp(url: str, timeout: float) -> Any:
    async def call() -> Any:
        # The resolver that asks the system's: aiohttp's default unless aiodns is there.
        connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limits) as session,
            session.post(url, data=BODY) as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(call())


CLIENTS: dict[str, Callable[[str, float], Any]] = {
    "requests": by_requests,
    "httpx": by_httpx,
    "urllib3": by_urllib3,
    "aiohttp": by_aiohttp,
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a call came to.

    Attributes:
        result: What was returned or raised.
        took: How long it took, in virtual seconds.
    """

    result: Any
    took: float


def call(
    world: World, live: Live, client: str, fault: Fault, *, base: str = HTTP, timeout: float = 10
) -> Found:
    """Make one call of a service that shows a fault."""
    api = world.upstream(base)
    api.post(PATH, json=ANSWER)
    api.inject(fault)

    def run() -> Found:
        began = time.monotonic()
        try:
            result = CLIENTS[client](base + PATH, timeout)
        except Exception as error:
            result = error
        return Found(result=result, took=round(time.monotonic() - began, 2))

    found: Found = live(run)
    return found


def causes(error: BaseException | None) -> list[BaseException]:
    """An exception and all that led to it."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            inner = [arg for arg in each.args if isinstance(arg, BaseException)]
            reason = getattr(each, "reason", None)
            inner += [reason] if isinstance(reason, BaseException) else []
            waiting += [each.__cause__, each.__context__, *inner]
    return found
