"""What real clients see of garbage and of limited rates, and when."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from pytest_ralph import faults
from pytest_ralph.core.retryafter import retry_after
from pytest_ralph.core.timeline import Answered, FaultMet, Spared
from pytest_ralph.faults.content import KINDS
from pytest_ralph.world.world import World
from tests.clients.wire import Live

URL = "http://bank.example/v1/accounts"
HEALTHY = {
    "id": "acc_ü",
    "cents": 1250,
    "open": True,
    "owner": None,
    "tags": ["a", 1],
    "limits": {"eur": 5.5},
}


def by_requests() -> Any:
    with requests.Session() as session:
        answer = session.get(URL, timeout=10)
        return answer.status_code, answer.content


def by_httpx() -> Any:
    with httpx.Client(timeout=10) as client:
        answer = client.get(URL)
        return answer.status_code, answer.content


def by_urllib3() -> Any:
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        answer = pool.request("GET", URL)
        return answer.status, answer.data


def by_aiohttp() -> Any:
    async def call() -> Any:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(URL) as answer:
            return answer.status, await answer.read()

    return asyncio.run(call())


def bank(world: World, fault: faults.Malformed | faults.RateLimited) -> Any:
    """A bank that is broken in some way."""
    api = world.upstream("http://bank.example")
    api.get("/v1/accounts", json=HEALTHY)
    api.inject(fault)
    return api


def trial(live: Live, call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returned or raised, and the virtual seconds it took."""

    def timed() -> tuple[Any, float]:
        began = time.monotonic()
        try:
            found = call()
        except Exception as error:
            found = error
        return found, time.monotonic() - began

    found: tuple[Any, float] = live(timed)
    return found


# -- malformed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "kind"),
    [
        (client, kind)
        for client in (by_requests, by_httpx, by_urllib3, by_aiohttp)
        for kind in ("html", "cut-json", "wrong-types", "empty", "invalid-utf8", "huge", "length-too-short")
        if (client, kind) != (by_aiohttp, "length-too-short")
    ],
)
def test_garbage_that_is_properly_sent(world: World, live: Live, client: Callable[[], Any], kind: str):
    """No client notices any of these: that is left to the code."""
    bank(world, faults.Malformed(kind))
    healthy = json.dumps(HEALTHY).encode()

    (status, body), took = trial(live, client)

    assert status == 200
    assert took < 0.01
    shape: dict[str, Callable[[], bool]] = {
        "html": lambda: body.startswith(b"<!DOCTYPE html>"),
        "cut-json": lambda: body == healthy[: len(healthy) // 2],
        "wrong-types": lambda: json.loads(body).keys() == HEALTHY.keys(),
        "empty": lambda: body == b"",
        "invalid-utf8": lambda: b'"a\xc3\x28cc_' in body,
        "huge": lambda: len(body) >= 8_000_000 and json.loads(body)["cents"] == 1250,
        "length-too-short": lambda: body == healthy[: len(healthy) // 2],
    }
    assert shape[kind]()


@pytest.mark.parametrize(
    ("kind", "client", "error", "seconds"),
    [
        ("cut-body", by_requests, requests.exceptions.ChunkedEncodingError, 0),
        ("cut-body", by_httpx, httpx.RemoteProtocolError, 0),
        ("cut-body", by_urllib3, urllib3.exceptions.ProtocolError, 0),
        ("cut-body", by_aiohttp, aiohttp.ClientPayloadError, 0),
        ("broken-chunk", by_requests, requests.exceptions.ChunkedEncodingError, 0),
        ("broken-chunk", by_httpx, httpx.RemoteProtocolError, 0),
        ("broken-chunk", by_urllib3, urllib3.exceptions.ProtocolError, 0),
        ("broken-chunk", by_aiohttp, aiohttp.ClientError, 0),
        # Its parser looks at what follows, and takes it for the next answer.
        ("length-too-short", by_aiohttp, aiohttp.ClientError, 0),
        ("length-too-long", by_requests, requests.exceptions.ConnectionError, 10),
        ("length-too-long", by_httpx, httpx.ReadTimeout, 10),
        ("length-too-long", by_urllib3, urllib3.exceptions.ReadTimeoutError, 10),
        ("length-too-long", by_aiohttp, asyncio.TimeoutError, 10),
    ],
)
def test_garbage_that_a_client_notices(
    world: World, live: Live, kind: str, client: Callable[[], Any], error: type[Exception], seconds: float
):
    bank(world, faults.Malformed(kind))

    found, took = trial(live, client)

    assert isinstance(found, error), repr(found)
    # aiohttp rounds timers above 5 s up to full seconds.
    assert seconds - 0.001 <= took <= seconds + 1


def test_values_of_other_types_in_the_same_places(world: World, live: Live):
    bank(world, faults.Malformed("wrong-types"))

    (_, body), _ = trial(live, by_requests)

    assert json.loads(body) == {
        "id": 7,
        "cents": "seven",
        "open": "seven",
        "owner": 7,
        "tags": [7, "seven"],
        "limits": {"eur": "seven"},
    }


def test_the_content_type_is_that_of_a_page(world: World, live: Live):
    bank(world, faults.Malformed("html"))

    assert live(lambda: requests.get(URL, timeout=1).headers["Content-Type"]) == "text/html"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"plain text", b"1", b'{"n": 1}', b"[]", b'""', b"\x00\xff"])
def test_every_kind_spoils_every_body(world: World, live: Live, kind: str, body: bytes):
    api = world.upstream("http://bank.example")
    api.get("/v1/accounts", body=body)
    api.inject(faults.Malformed(kind, size=1_000))

    found, _ = trial(live, by_requests)

    assert found != (200, body)
    assert len(world.timeline.of(FaultMet)) == 1


def test_a_huge_answer_is_as_large_as_it_is_told_to_be(world: World, live: Live):
    bank(world, faults.Malformed("huge", size=3_000_000))

    (_, body), _ = trial(live, by_httpx)

    assert 3_000_000 <= len(body) < 3_000_100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("method", "declared"),
    [
        ("HEAD", {"json": {"id": 1}}),
        ("GET", {"status": 204}),
        ("GET", {"body": ""}),
        ("GET", {"status": 304}),
    ],
)
def test_an_answer_without_a_body_is_left_as_it_is(
    world: World, live: Live, kind: str, method: str, declared: dict[str, Any]
):
    api = world.upstream("http://bank.example")
    api.add(method, "/v1/accounts", **declared)
    api.inject(faults.Malformed(kind))

    status = live(lambda: requests.request(method, URL, timeout=1).status_code)

    assert status == declared.get("status", 200)
    assert world.timeline.of(FaultMet) == []
    assert [event.fault for event in world.timeline.of(Spared)] == [f"Malformed({kind!r})"]


def test_a_callback_has_its_effect_once(world: World, live: Live):
    calls: list[str] = []
    api = world.upstream("http://bank.example")

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        calls.append(request.url)
        return 200, {}, "account"

    api.add_callback("GET", "/v1/accounts", answer)
    api.inject(faults.Malformed("cut-json"))

    live(by_requests)

    assert calls == [URL]


def test_a_service_that_is_garbage_once(world: World, live: Live):
    api = bank(world, faults.Malformed("empty"))
    api.inject(faults.Malformed("empty"), times=1)

    bodies = live(lambda: [by_requests()[1] for _ in range(2)])

    assert bodies == [b"", json.dumps(HEALTHY).encode()]


# -- limited rates ------------------------------------------------------------------------------------------


def come_back_after(*pauses: float) -> Callable[[], list[tuple[int, str | None]]]:
    """Ask, and ask again after each of these pauses."""

    def call() -> list[tuple[int, str | None]]:
        found = []
        for pause in (0.0, *pauses):
            time.sleep(pause)
            answer = requests.get(URL, timeout=10)
            found.append((answer.status_code, answer.headers.get("Retry-After")))
        return found

    return call


def test_who_comes_back_in_time_is_served(world: World, live: Live):
    bank(world, faults.RateLimited(5))

    assert live(come_back_after(5)) == [(429, "5"), (200, None)]


def test_who_comes_back_early_is_refused_again_and_told_what_is_left(world: World, live: Live):
    bank(world, faults.RateLimited(5))

    assert live(come_back_after(0, 2, 2.9, 0.2)) == [
        (429, "5"),
        (429, "5"),
        (429, "3"),
        (429, "1"),
        (200, None),
    ]


def test_the_time_begins_with_the_first_request(world: World, live: Live):
    bank(world, faults.RateLimited("1 min", status=503))

    def call() -> Any:
        time.sleep(100)
        return come_back_after(59, 1)()

    assert live(call) == [(503, "60"), (503, "1"), (200, None)]


def test_the_time_begins_anew_when_the_fault_does(world: World, live: Live):
    api = bank(world, faults.RateLimited(5))

    first = live(come_back_after(5))
    api.inject(faults.RateLimited(5))

    assert [first[-1][0], live(come_back_after())[0][0]] == [200, 429]


@pytest.mark.parametrize("form", ["absurd", "missing"])
def test_what_is_told_need_not_be_true(world: World, live: Live, form: str):
    bank(world, faults.RateLimited(5, form=form))

    told = {"absurd": "999999999", "missing": None}[form]
    assert live(come_back_after(4, 1)) == [(429, told), (429, told), (200, None)]


def test_a_date_is_at_a_full_second_and_is_kept(world: World, live: Live):
    bank(world, faults.RateLimited(5, form="http-date"))

    def call() -> tuple[float, int, int]:
        answer = requests.get(URL, timeout=10)
        ends = parsedate_to_datetime(answer.headers["Retry-After"])
        left = (ends - datetime.now(timezone.utc)).total_seconds()
        time.sleep(left - 0.05)
        early = requests.get(URL, timeout=10).status_code
        time.sleep(0.05)
        return left, early, requests.get(URL, timeout=10).status_code

    left, early, late = live(call)

    assert 4.9 <= left <= 5.99
    assert (early, late) == (429, 200)


def test_the_reset_header_holds_seconds_since_1970(world: World, live: Live):
    bank(world, faults.RateLimited(5, form="epoch"))

    def call() -> tuple[float, int]:
        answer = requests.get(URL, timeout=10)
        assert "Retry-After" not in answer.headers
        left = int(answer.headers["X-RateLimit-Reset"]) - time.time()
        time.sleep(left)
        return left, requests.get(URL, timeout=10).status_code

    left, status = live(call)

    assert 4.9 <= left <= 5.99
    assert status == 200


@pytest.mark.parametrize(
    ("form", "told"),
    [("seconds", 5), ("http-date", 5), ("epoch", 5), ("absurd", 999_999_999), ("missing", None)],
)
def test_the_timeline_tells_what_was_asked(world: World, live: Live, form: str, told: float | None):
    bank(world, faults.RateLimited(5, form=form))

    live(come_back_after())

    (answered,) = world.timeline.of(Answered)
    assert answered.retry_after == (None if told is None else pytest.approx(told, abs=1))


def test_many_clients_are_refused_together_and_served_together(world: World, live: Live):
    bank(world, faults.RateLimited(5))
    found: list[list[int]] = []

    def one() -> None:
        found.append([status for status, _ in come_back_after(5)()])

    def call() -> None:
        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    live(call)

    assert found == [[429, 200]] * 3


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), None),
        ((("Retry-After", "0"),), 0.0),
        ((("retry-after", " 120 "),), 120.0),
        ((("Retry-After", "-5"),), None),
        ((("Retry-After", "1.5"),), None),
        ((("Retry-After", "soon"),), None),
        ((("Retry-After", ""),), None),
        ((("Retry-After", "Thu, 01 Jan 1970 00:02:00 GMT"),), 20.0),
        ((("Retry-After", "Thursday, 01-Jan-70 00:02:00 GMT"),), 20.0),
        ((("Retry-After", "Thu Jan  1 00:02:00 1970"),), 20.0),
        ((("Retry-After", "Thu, 01 Jan 1970 00:00:01 GMT"),), 0.0),
        ((("X-RateLimit-Reset", "110"),), 10.0),
        ((("X-RateLimit-Reset", "90"),), 0.0),
        ((("X-RateLimit-Reset", "later"),), None),
        ((("X-RateLimit-Reset", "110"), ("Retry-After", "7")), 7.0),
    ],
)
def test_what_headers_ask_for(headers: tuple[tuple[str, str], ...], expected: float | None):
    assert retry_after(headers, now=100.0) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: faults.RateLimited(0), "retry_after must be more than 0 s, got 0"),
        (lambda: faults.RateLimited("soon"), "retry_after must be seconds"),
        (lambda: faults.RateLimited(5, form="date"), "form must be one of 'seconds', 'http-date'"),
        (lambda: faults.RateLimited(5, status=500), "status must be 429 or 503, got 500"),
        (lambda: faults.Malformed("xml"), "kind must be one of 'html', 'cut-json'"),
        (lambda: faults.Malformed("huge", size=0), "size must be a whole number of bytes from 1, got 0"),
        (
            lambda: faults.Malformed("huge", size=True),
            "size must be a whole number of bytes from 1, got True",
        ),
    ],
)
def test_faults_that_make_no_sense(make: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        make()
