"""HTTP/2: streams that share a connection, and clients that do not say on it when they give up."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import httpx2
import pytest
import trio

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts, operations
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import Abandoned, Answered, Broken, Connected, GaveUp, Requested
from pytest_ralph.world.world import World
from tests.clients.test_gates import judge
from tests.clients.wire import Live, give_ups, waits
from tests.harness import Project

HTTP, HTTPS = "http://api.pay.example", "https://api.pay.example"
CHARGES = f"{HTTPS}/v1/charges"


def shows(what: str) -> pytest.MarkDecorator:
    return pytest.mark.shows("http", "HTTP/2", what)


def declared(world: World, url: str = HTTPS) -> Any:
    api = world.upstream(url)
    api.post("/v1/charges", json={"id": "ch_1"})
    api.get("/a", body="a")
    api.get("/b", body="b")
    return api


def in_sync(library: Any, tries: int) -> None:
    with library.Client(http2=True, timeout=10) as client:
        for _ in range(tries):
            try:
                assert client.post(CHARGES, json={}).http_version == "HTTP/2"
            except library.TransportError:
                time.sleep(1)


async def in_async(library: Any, sleep: Callable[[float], Awaitable[None]], tries: int) -> None:
    async with library.AsyncClient(http2=True, timeout=10) as client:
        for _ in range(tries):
            try:
                assert (await client.post(CHARGES, json={})).http_version == "HTTP/2"
            except library.TransportError:
                await sleep(1)


CALLS: dict[str, Callable[[], None]] = {
    "httpx": lambda: in_sync(httpx, 3),
    "httpx2": lambda: in_sync(httpx2, 3),
    "httpx on asyncio": lambda: asyncio.run(in_async(httpx, asyncio.sleep, 3)),
    "httpx2 on asyncio": lambda: asyncio.run(in_async(httpx2, asyncio.sleep, 3)),
    "httpx on trio": lambda: trio.run(in_async, httpx, trio.sleep, 3),
    "httpx2 on trio": lambda: trio.run(in_async, httpx2, trio.sleep, 3),
}


@shows("agreed on by ALPN; httpx and httpx2, sync, on asyncio and on trio: a hung stream is given up in time")
@pytest.mark.parametrize("fault", [faults.Hang(), faults.Hang(after_headers=True)])
@pytest.mark.parametrize("call", CALLS)
def test_a_hung_stream_is_given_up(world: World, live: Live, call: str, fault: Fault):
    """The connection stays open meanwhile, and nothing is sent on it that would say so."""
    declared(world).inject(fault)

    live(CALLS[call])

    assert give_ups(world) == [10, 10, 10]
    assert waits(world) == [1, 1]


@shows("every fault is met by each client as its own exception")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (faults.Reset(), "connection-error"),
        (faults.Truncate(), "connection-error"),
        (faults.Refuse(), "connection-error"),
        (faults.Unreachable(), "timeout"),
    ],
)
def test_faults(world: World, live: Live, call: str, fault: Fault, outcome: str):
    declared(world).inject(fault)

    live(CALLS[call])

    assert [each.outcome for each in attempts(world.timeline)] == [outcome] * 3
    assert waits(world) == [1, 1]


@shows("every fault is met by each client as its own exception")
@pytest.mark.parametrize("call", CALLS)
def test_statuses_and_dribbles(world: World, live: Live, call: str):
    api = declared(world)
    api.inject(faults.Status(503), times=1)
    live(CALLS[call])
    assert [each.status for each in world.timeline.of(Answered)] == [503, 200, 200]

    api.inject(faults.Dribble(4, at_least=60))
    live(CALLS[call])
    assert give_ups(world)[3:] == [60, 60, 60]


@shows("requests and their retries that share a connection are told apart, of tasks and of threads")
@pytest.mark.parametrize("fault", [faults.Hang(), faults.Status(503), faults.Truncate()])
def test_tasks_share_a_connection(world: World, live: Live, fault: Fault):
    api = declared(world)

    async def retrying(client: httpx.AsyncClient, path: str, wait: float) -> None:
        for _ in range(3):
            try:
                (await client.get(HTTPS + path)).raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(wait)

    async def call() -> None:
        async with httpx.AsyncClient(http2=True, timeout=10) as client:
            await client.get(f"{HTTPS}/a")
            api.inject(fault)
            await asyncio.gather(retrying(client, "/a", 1), retrying(client, "/b", 2.5))

    live(lambda: asyncio.run(call()))

    _, first, second = operations(world.timeline)
    assert [round(gap, 2) for gap in first.gaps] == [1, 1]
    assert [round(gap, 2) for gap in second.gaps] == [2.5, 2.5]


@shows("requests and their retries that share a connection are told apart, of tasks and of threads")
def test_threads_share_a_connection(world: World, live: Live):
    """Not at the same instant: two threads of httpcore may take the same number for their streams.

    When one gives up, all that wait on the connection do.
    """
    api = declared(world)

    def call() -> None:
        def retrying(path: str, wait: float) -> None:
            time.sleep(wait)
            for _ in range(2):
                with pytest.raises(httpx.ReadTimeout):
                    client.get(HTTPS + path)
                time.sleep(wait)

        with httpx.Client(http2=True, timeout=10) as client, ThreadPoolExecutor(2) as pool:
            client.get(f"{HTTPS}/a")
            api.inject(faults.Hang())
            list(pool.map(retrying, ["/a", "/b"], [1, 3]))

    live(call)

    _, first, second = operations(world.timeline)
    assert [round(gap, 2) for gap in first.gaps] == [1]
    assert [round(gap, 2) for gap in second.gaps] == [3]
    assert give_ups(world) == [0, 10, 8, 10, 8]


@shows("a stream that is left early, and one that its client resets, end at that moment")
def test_a_stream_that_is_left_early(world: World, live: Live):
    api = declared(world)
    api.inject(faults.Dribble(1, at_least=60))

    def call() -> str:
        with httpx.Client(http2=True, timeout=10) as client:
            with client.stream("GET", f"{HTTPS}/a") as answer:
                next(answer.iter_raw())
            api.heal()
            return client.get(f"{HTTPS}/b").text

    assert live(call) == "b"
    (left,) = world.timeline.of(Abandoned)
    assert left.at == pytest.approx(1, abs=0.01)
    assert len(world.timeline.of(Connected)) == 1


@shows("an idle connection that the service closes (GOAWAY): the request is sent anew, on another one")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_service_that_closes_an_idle_connection(world: World, live: Live, asynchronous: bool):
    api = declared(world)

    def gone() -> None:
        api.inject(faults.Refuse(), times=1)

    async def call() -> tuple[str, str]:
        async with httpx.AsyncClient(http2=True, timeout=10) as client:
            await client.get(f"{HTTPS}/a")
            gone()
            with pytest.raises(httpx.ConnectError):
                await client.post(CHARGES, json={})
            answer = await client.post(CHARGES, json={})
            return answer.http_version, answer.json()["id"]

    def call_in_sync() -> tuple[str, str]:
        with httpx.Client(http2=True, timeout=10) as client:
            client.get(f"{HTTPS}/a")
            gone()
            with pytest.raises(httpx.ConnectError):
                client.post(CHARGES, json={})
            answer = client.post(CHARGES, json={})
            return answer.http_version, answer.json()["id"]

    found = live(lambda: asyncio.run(call())) if asynchronous else live(call_in_sync)

    assert found == ("HTTP/2", "ch_1")
    assert [each.outcome for each in world.timeline.of(Connected)] == ["accepted", "refused", "accepted"]


@shows("without TLS, by prior knowledge; HEAD, empty answers, bodies larger than the window")
def test_bodies_heads_and_headers(world: World, live: Live):
    api = declared(world, HTTP)
    large = bytes(range(256)) * 10_000
    api.head("/a", headers={"X-Here": "yes", "Connection": "close"})
    api.delete("/a", status=204)
    api.put("/blob", body=large)

    def call() -> tuple[Any, ...]:
        with httpx.Client(http1=False, http2=True, timeout=10) as client:
            head = client.head(f"{HTTP}/a")
            deleted = client.delete(f"{HTTP}/a")
            put = client.put(
                f"{HTTP}/blob", content=(large[at : at + 7_000] for at in range(0, 70_000, 7_000))
            )
            again = client.put(f"{HTTP}/blob", content=large)
            return head.headers, deleted.status_code, deleted.content, put.content, again.content

    headers, status, nothing, streamed, whole = live(call)

    assert headers["x-here"] == "yes"
    assert "connection" not in headers
    assert (status, nothing) == (204, b"")
    assert streamed == whole == large
    assert [each.body for each in api.requests[2:]] == [large[:70_000], large]
    assert api.requests[0].headers["host"] == "api.pay.example"
    assert len(world.timeline.of(Connected)) == 1


class Raw:
    """A client with a small window, which reads and resets as it is told to."""

    def __init__(self) -> None:
        self.sock = socket.create_connection(("api.pay.example", 80), timeout=10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration())
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100}
        )
        self.h2.initiate_connection()

    def ask(self, stream: int, path: str) -> None:
        fields = [(":method", "GET"), (":authority", "api.pay.example"), (":scheme", "http"), (":path", path)]
        self.h2.send_headers(stream, fields, end_stream=True)
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def read(self) -> list[h2.events.Event]:
        events = self.h2.receive_data(self.sock.recv(65_536))
        self.flush()
        return events


@shows("without TLS, by prior knowledge; HEAD, empty answers, bodies larger than the window")
def test_no_more_is_sent_than_the_window_has_room_for(world: World, live: Live):
    world.upstream(HTTP).get("/blob", body=b"x" * 1_000)

    def call() -> list[int]:
        client = Raw()
        sizes: list[int] = []
        client.ask(1, "/blob")
        client.ask(3, "/blob")
        while sum(sizes) < 1_000:
            for event in client.read():
                if isinstance(event, h2.events.DataReceived) and event.stream_id == 3:
                    sizes.append(len(event.data or b""))
                    client.h2.acknowledge_received_data(event.flow_controlled_length or 0, 3)
                    client.flush()
        client.sock.close()
        time.sleep(1)
        return sizes

    sizes = live(call)

    assert max(sizes) <= 100
    # The first stream was never read to its end.
    assert [type(each).__name__ for each in world.timeline.of(Answered, Abandoned)] == [
        "Answered",
        "Abandoned",
    ]
    assert world.timeline.of(Answered)[0].attempt == 2


@shows("a stream that is left early, and one that its client resets, end at that moment")
def test_a_client_that_resets_its_stream(world: World, live: Live):
    api = declared(world, HTTP)
    api.inject(faults.Hang(), times=1)

    def call() -> None:
        client = Raw()
        client.ask(1, "/a")
        time.sleep(3)
        client.h2.reset_stream(1)
        client.flush()
        client.ask(3, "/b")
        time.sleep(5)
        client.sock.close()

    live(call)

    (left,) = world.timeline.of(Abandoned)
    assert (round(left.at, 2), left.attempt) == (3, 1)
    assert [each.attempt for each in world.timeline.of(Answered)] == [2]


def test_what_is_not_http2_is_a_broken_connection(world: World, live: Live):
    declared(world, HTTP)

    def call() -> bytes:
        with socket.create_connection(("api.pay.example", 80), timeout=10) as sock:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            while sock.recv(1000):
                pass
            return b"closed"

    assert live(call) == b"closed"
    assert "not HTTP/2" in world.timeline.of(Broken)[0].how


def test_httpcore_is_where_it_is_looked_for():
    """What the seam of streams watches is not public: this tells when it has moved."""
    for package in ("httpcore", "httpcore2"):
        for module, name in (("_sync", "HTTP2Connection"), ("_async", "AsyncHTTP2Connection")):
            owner = getattr(importlib.import_module(f"{package}.{module}.http2"), name)
            assert callable(owner._send_request_headers)
            assert callable(owner._response_closed)


def test_a_timeout_is_told_once_by_the_socket_and_seen_as_such(world: World, live: Live):
    declared(world).inject(faults.Hang(), times=1)

    live(lambda: in_sync(httpx, 2))

    (gave_up,) = world.timeline.of(GaveUp)
    assert gave_up.attempt == world.timeline.of(Requested)[0].attempt
    assert [line for line in world.timeline.lines() if "gave up" in line] == [
        "0.000 POST /v1/charges -> client gave up after 10 s (read timeout)"
    ]


# -- whole gates --------------------------------------------------------------------------------------------

MARKERS = """
@ralph.retry(max_retries=3, backoff=(1, 2, 4))
@ralph.timeout(10)
"""
# Clients in module globals, as people have them; the inner runs forget them without closing them.
LEFT_OPEN: list[Any] = []


@pytest.fixture(autouse=True)
def close_clients() -> Iterator[None]:
    yield
    while LEFT_OPEN:
        LEFT_OPEN.pop().close()


SYNC = """
import logging, time
import httpx
from tests.clients import test_http2

HEALTHY = {{}}
log = logging.getLogger(__name__)
client = httpx.Client(http2=True{timeout})
test_http2.LEFT_OPEN.append(client)

def call():
    for number in range(1, 5):
        try:
            answer = client.post("https://api.pay.example/v1/charges", json={{}})
            if answer.status_code < 500:
                answer.raise_for_status()
                assert answer.http_version == "HTTP/2"
                return answer.json()
        except httpx.TransportError:
            if number == 4:
                raise
        if number < 4:
            log.warning("attempt %d failed", number)
            time.sleep({wait})
    answer.raise_for_status()
"""
ASYNC = """
import asyncio, logging
import httpx

HEALTHY = {{}}
log = logging.getLogger(__name__)

async def charge(client):
    for number in range(1, 5):
        try:
            answer = await client.post("https://api.pay.example/v1/charges", json={{}})
            if answer.status_code < 500:
                answer.raise_for_status()
                assert answer.http_version == "HTTP/2"
                return answer.json()
        except httpx.TransportError:
            if number == 4:
                raise
        if number < 4:
            log.warning("attempt %d failed", number)
            await asyncio.sleep({wait})
    answer.raise_for_status()

async def main():
    async with httpx.AsyncClient(http2=True{timeout}) as client:
        return await charge(client)

def call():
    return asyncio.run(main())
"""


@shows("whole gates of retry and timeout, sync and async, green and red")
@pytest.mark.parametrize("client", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("timeout", "wait", "not_passed"),
    [
        (", timeout=10", "2 ** (number - 1)", {}),
        # httpx has a timeout of 5 s, which nobody chose.
        ("", "2 ** (number - 1)", {"timeout.gives-up": "fail"}),
        (", timeout=httpx.Timeout(10, read=30)", "2 ** (number - 1)", {"timeout.gives-up": "fail"}),
        (
            ", timeout=httpx.Timeout(10, connect=30)",
            "2 ** (number - 1)",
            {"timeout.connects-in-time": "fail"},
        ),
        (", timeout=10", "1", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
    ],
)
def test_gates(project: Project, client: str, timeout: str, wait: str, not_passed: dict[str, str]):
    outcome = judge(project, MARKERS, client.format(timeout=timeout, wait=wait), HTTPS)

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == bool(not_passed)


@shows("whole gates of retry and timeout, sync and async, green and red")
@pytest.mark.parametrize("client", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_gate_over_a_client_without_a_timeout(project: Project, client: str):
    source = client.format(timeout=", timeout=httpx.Timeout(10, read=None)", wait="2 ** (number - 1)")
    outcome = judge(project, "@ralph.timeout(10)", source, HTTPS)

    assert outcome.statuses()["timeout.waits-forever"] == "fail", outcome.output
    assert outcome.statuses()["timeout.gives-up"] != "pass"
