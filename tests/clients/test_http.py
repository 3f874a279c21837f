"""HTTP/1.1 as clients speak it: connections that are used again, proxies, redirects, bodies of every kind."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from pytest_ralph import UndeclaredHost, faults
from pytest_ralph.core.attempts import attempts, operations
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import Connected, FaultMet, GaveUp, Outside, Requested, Stuck
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.world import World
from tests.clients.wire import Live, waits
from tests.harness import Project

Asked = Iterable[tuple[str, str]]
Client = Callable[..., list[Any]]

HTTP, HTTPS = "http://api.pay.example", "https://api.pay.example"
PROXY = "http://proxy.corp.example:3128"
SECONDS = 10


def shows(name: str, what: str) -> pytest.MarkDecorator:
    return pytest.mark.shows("http", name, what)


# Each makes one request after another, and gives status and body, or the name of the error.


def by_requests(asked: Asked, data: Callable[[], Any] = lambda: None) -> list[Any]:
    def ask(method: str, url: str) -> Any:
        try:
            answer = session.request(method, url, timeout=SECONDS, data=data())
            return answer.status_code, answer.content
        except requests.RequestException as error:
            return type(error).__name__

    with requests.Session() as session:
        return [ask(*each) for each in asked]


def by_httpx(asked: Asked, data: Callable[[], Any] = lambda: None) -> list[Any]:
    def ask(method: str, url: str) -> Any:
        try:
            answer = client.request(method, url, content=data())
            return answer.status_code, answer.content
        except httpx.HTTPError as error:
            return type(error).__name__

    with httpx.Client(timeout=SECONDS, follow_redirects=True) as client:
        return [ask(*each) for each in asked]


def by_httpx_on_asyncio(asked: Asked, data: Callable[[], Any] = lambda: None) -> list[Any]:
    async def ask(client: httpx.AsyncClient, method: str, url: str) -> Any:
        try:
            answer = await client.request(method, url, content=asynchronous(data()))
            return answer.status_code, answer.content
        except httpx.HTTPError as error:
            return type(error).__name__

    async def call() -> list[Any]:
        async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=True) as client:
            return [await ask(client, *each) for each in asked]

    return asyncio.run(call())


def by_aiohttp(asked: Asked, data: Callable[[], Any] = lambda: None) -> list[Any]:
    async def ask(session: aiohttp.ClientSession, method: str, url: str) -> Any:
        try:
            async with session.request(method, url, data=asynchronous(data())) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            return type(error).__name__

    async def call() -> list[Any]:
        limit = aiohttp.ClientTimeout(connect=SECONDS, sock_read=SECONDS, ceil_threshold=60)
        async with aiohttp.ClientSession(trust_env=True, timeout=limit) as session:
            return [await ask(session, *each) for each in asked]

    return asyncio.run(call())


def asynchronous(data: Any) -> Any:
    """A generator as asynchronous clients want it; anything else as it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in data:
            yield piece

    return pieces() if isinstance(data, Iterator) else data


CLIENTS = {
    "requests": by_requests,
    "httpx": by_httpx,
    "httpx on asyncio": by_httpx_on_asyncio,
    "aiohttp": by_aiohttp,
}
every_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
plain_and_secure = pytest.mark.parametrize("url", [HTTP, HTTPS])


def connections(world: World) -> list[str]:
    return [each.upstream for each in world.timeline.of(Connected)]


# -- connections that are used again ------------------------------------------------------------------------


@shows("keep-alive", "a connection is kept, and used again after HEAD, 204 and 304 too")
@plain_and_secure
@every_client
def test_a_connection_is_used_again(world: World, live: Live, client: Client, url: str):
    api = world.upstream(url)
    api.get("/", body="fine")
    api.head("/", body="left out")
    api.delete("/", status=204)
    api.put("/", status=304)

    found = live(lambda: client((each, url) for each in ("GET", "HEAD", "DELETE", "PUT", "GET")))

    assert found == [(200, b"fine"), (200, b""), (204, b""), (304, b""), (200, b"fine")]
    assert connections(world) == [url]


@shows("keep-alive", "a connection that the service says it will close is not used again")
@every_client
def test_a_connection_that_is_to_be_closed(world: World, live: Live, client: Client):
    world.upstream(HTTP).get("/", body="fine", headers={"Connection": "close"})

    assert live(lambda: client([("GET", HTTP)] * 2)) == [(200, b"fine")] * 2
    assert connections(world) == [HTTP, HTTP]


@shows("keep-alive", "each fault is met on a connection that was used before, in its own time")
@plain_and_secure
@pytest.mark.parametrize(
    ("fault", "outcome", "seconds"),
    [
        (faults.Status(503), "answered", 0),
        (faults.Hang(), "timeout", 10),
        (faults.Hang(after_headers=True), "timeout", 10),
        (faults.Reset(), "connection-error", 0),
        (faults.Truncate(), "connection-error", 0),
        (faults.Dribble(5), "answered", 20),
    ],
)
@every_client
def test_a_fault_on_a_used_connection(
    world: World, live: Live, client: Client, fault: Fault, outcome: str, seconds: float, url: str
):
    api = world.upstream(url)
    api.get("/", body="fine")
    api.post("/", body="done")

    def asked() -> Iterator[tuple[str, str]]:
        yield "GET", url
        api.inject(fault, times=1)
        yield "POST", url
        yield "GET", url

    found = live(lambda: client(asked()))

    assert (found[0], found[2]) == ((200, b"fine"), (200, b"fine"))
    _, second, _ = attempts(world.timeline)
    assert second.method == "POST"
    assert second.outcome.replace("abandoned", "timeout") == outcome
    assert (second.ended or 0) - second.started == pytest.approx(seconds, abs=0.02)


@shows("keep-alive", "an idle connection that the service has closed is noticed, and another one opened")
@plain_and_secure
@pytest.mark.parametrize(
    ("fault", "outcome"), [(faults.Refuse(), "refused"), (faults.Unreachable(), "unanswered")]
)
@every_client
def test_a_used_connection_is_closed_by_the_service(
    world: World, live: Live, client: Client, fault: Fault, outcome: str, url: str
):
    api = world.upstream(url)
    api.post("/", body="done")

    def asked() -> Iterator[tuple[str, str]]:
        yield "POST", url
        api.inject(fault, times=1)
        yield "POST", url
        yield "POST", url

    found = live(lambda: client(asked()))

    assert (found[0], found[2]) == ((200, b"done"), (200, b"done"))
    assert [each.outcome for each in world.timeline.of(Connected)] == ["accepted", outcome, "accepted"]


@shows("keep-alive", "retries go over the same connection, and each is an attempt of its own")
@plain_and_secure
def test_retries_on_a_used_connection(world: World, live: Live, url: str):
    api = world.upstream(url)
    api.get("/", body="fine")
    api.inject(faults.Status(503), times=3)

    def call() -> int:
        with requests.Session() as session:
            session.mount(
                url, HTTPAdapter(max_retries=Retry(total=3, backoff_factor=1, status_forcelist=[503]))
            )
            return session.get(url, timeout=SECONDS).status_code

    assert live(call) == 200
    assert waits(world) == [0, 2, 4]
    assert connections(world) == [url]


@shows("keep-alive", "aiohttp sends a GET anew if a used connection is reset: two attempts are seen")
def test_what_aiohttp_does_on_its_own(world: World, live: Live):
    """``ClientSession._request``: ``retry_persistent_connection``, for idempotent methods."""
    api = world.upstream(HTTP)
    api.get("/", body="fine")

    def asked() -> Iterator[tuple[str, str]]:
        yield "GET", HTTP
        api.inject(faults.Reset(), times=1)
        yield "GET", HTTP

    assert live(lambda: by_aiohttp(asked())) == [(200, b"fine")] * 2
    assert [each.outcome for each in attempts(world.timeline)] == ["answered", "connection-error", "answered"]


def test_a_stale_connection_of_the_standard_library(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body="fine")

    def call() -> None:
        connection = http.client.HTTPConnection("api.pay.example", timeout=SECONDS)
        connection.request("GET", "/")
        connection.getresponse().read()
        with api.inject(faults.Refuse()):
            try:
                connection.request("GET", "/")
                connection.getresponse()
            finally:
                connection.close()

    with pytest.raises(ConnectionError):
        live(call)


# -- proxies ------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)


@shows("proxies from the environment", "absolute URLs for http, CONNECT for https, to a declared one")
@plain_and_secure
@every_client
def test_a_proxy_from_the_environment(world: World, live: Live, proxied: None, client: Client, url: str):
    proxy, api = world.upstream(PROXY), world.upstream(url)
    api.get("/here", body="fine")

    assert live(lambda: client([("GET", f"{url}/here")] * 2)) == [(200, b"fine")] * 2

    assert [each.url for each in api.requests] == [f"{url}/here"] * 2
    assert [each.method for each in proxy.requests] == (["CONNECT"] if url == HTTPS else [])
    assert all(not name.startswith("proxy-") for each in api.requests for name in each.headers)


@shows("proxies from the environment", "what `NO_PROXY` names, and clients that do not look, go past it")
@every_client
def test_a_proxy_that_is_not_used(
    world: World, live: Live, proxied: None, monkeypatch: pytest.MonkeyPatch, client: Client
):
    monkeypatch.setenv("NO_PROXY", "api.pay.example")
    world.upstream(PROXY)
    world.upstream(HTTP).get("/", body="fine")

    assert live(lambda: client([("GET", HTTP)])) == [(200, b"fine")]
    assert connections(world) == [HTTP]


@shows("proxies from the environment", "what `NO_PROXY` names, and clients that do not look, go past it")
def test_clients_that_do_not_look_at_the_environment(world: World, live: Live, proxied: None):
    world.upstream(HTTP).get("/", body="fine")

    async def by_aiohttps_default() -> str:
        async with aiohttp.ClientSession() as session, session.get(HTTP) as answer:
            return await answer.text()

    def by_httpx_without() -> str:
        with httpx.Client(trust_env=False) as client:
            return client.get(HTTP).text

    assert live(lambda: asyncio.run(by_aiohttps_default())) == "fine"
    assert live(by_httpx_without) == "fine"


@shows("proxies from the environment", "one that is not declared is refused, and the variable named")
@plain_and_secure
@every_client
def test_a_proxy_that_is_not_declared(world: World, live: Live, proxied: None, client: Client, url: str):
    world.upstream(url).get("/", body="fine")

    with pytest.raises(UndeclaredHost, match=r"proxy\.corp\.example"):
        live(lambda: client([("GET", url)]))

    (outside,) = world.timeline.of(Outside)
    assert outside.advice in ('monkeypatch.delenv("HTTP_PROXY")', 'monkeypatch.delenv("HTTPS_PROXY")')


@shows("proxies from the environment", "a service behind it that is not declared is refused by the proxy")
@plain_and_secure
def test_a_service_behind_a_proxy_that_is_not_declared(world: World, live: Live, proxied: None, url: str):
    world.upstream(PROXY)

    found = live(lambda: by_requests([("GET", url)]))

    assert found == ["ProxyError"] if url == HTTPS else found[0][0] == 502
    (outside,) = world.timeline.of(Outside)
    assert outside.target.startswith("api.pay.example")
    assert outside.advice == f'ralph_upstream("{url}")'


FAULTS: list[tuple[Fault, str, float]] = [
    (faults.Status(503), "answered", 0),
    (faults.Hang(), "timeout", 10),
    (faults.Refuse(), "connection-error", 0),
    (faults.Reset(), "connection-error", 0),
    (faults.Truncate(), "connection-error", 0),
]


@shows("proxies from the environment", "faults of the proxy and of the service behind it are told apart")
@plain_and_secure
@pytest.mark.parametrize("broken", ["proxy", "service"])
@pytest.mark.parametrize(("fault", "outcome", "seconds"), FAULTS)
@every_client
def test_who_is_to_blame(
    world: World,
    live: Live,
    proxied: None,
    client: Client,
    fault: Fault,
    outcome: str,
    seconds: float,
    broken: str,
    url: str,
):
    proxy, api = world.upstream(PROXY), world.upstream(url)
    api.post("/", body="done")
    blamed = proxy if broken == "proxy" else api
    blamed.inject(fault)

    (found,) = live(lambda: client([("POST", url)]))

    assert found != (200, b"done")
    assert {each.upstream for each in world.timeline.of(FaultMet)} == {blamed.url}
    failed = [each for each in attempts(world.timeline) if each.upstream == blamed.url]
    assert [each.outcome.replace("abandoned", "timeout") for each in failed] == [outcome]
    assert (failed[0].ended or 0) - failed[0].started == pytest.approx(seconds, abs=0.02)
    assert {each.upstream for each in world.timeline.of(GaveUp)} <= {blamed.url}


@shows(
    "proxies from the environment", "one that cannot reach a service answers 502 at once, or 504 after 60 s"
)
@plain_and_secure
@pytest.mark.parametrize(
    ("fault", "status", "seconds"), [(faults.Refuse(), 502, 0), (faults.Unreachable(), 504, 60)]
)
def test_what_a_proxy_says_of_a_service(
    world: World, live: Live, proxied: None, fault: Fault, status: int, seconds: float, url: str
):
    world.upstream(PROXY)
    world.upstream(url).get("/", body="fine")
    world.network.upstreams[1].inject(fault)

    def call() -> tuple[Any, float]:
        began = time.monotonic()
        try:
            found: Any = requests.get(url, timeout=600).status_code
        except requests.exceptions.ProxyError as error:
            found = str(error)
        return found, time.monotonic() - began

    found, took = live(call)

    assert str(status) in str(found)
    assert took == pytest.approx(seconds, abs=0.02)


def test_aiohttps_limits_on_sockets_do_not_hold_for_a_tunnel(world: World, live: Live, proxied: None):
    """``TCPConnector._create_proxy_connection`` reads the answer to CONNECT without any."""
    world.upstream(PROXY).inject(faults.Hang())
    world.upstream(HTTPS).get("/", body="fine")

    async def call() -> None:
        limit = aiohttp.ClientTimeout(sock_connect=SECONDS, sock_read=SECONDS)
        async with aiohttp.ClientSession(trust_env=True, timeout=limit) as session:
            await session.get(HTTPS)

    with pytest.raises((NeverEnds, aiohttp.ClientError)):
        live(lambda: asyncio.run(call()))

    assert world.timeline.of(Stuck)[0].phase == "read"
    assert world.timeline.of(GaveUp) == []


GATE = """
import logging, time
import requests
from requests.exceptions import ChunkedEncodingError

log = logging.getLogger(__name__)

def call():
    for number in range(1, 5):
        try:
            answer = requests.post("https://api.pay.example/v1/charges", json={{}}, timeout={timeout})
            if answer.status_code < 500:
                answer.raise_for_status()
                return answer.json()
        except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
            if number == 4 or "{final}" in str(error):
                raise
        if number < 4:
            log.warning("attempt %d failed", number)
            time.sleep({wait})
    answer.raise_for_status()
"""


@shows("proxies from the environment", "whole gates of retry and timeout through a proxy, green and red")
@pytest.mark.parametrize(
    ("timeout", "wait", "final", "not_passed"),
    [
        ("10", "2 ** (number - 1)", "failed: 4", {}),
        ("(10, 30)", "2 ** (number - 1)", "failed: 4", {"timeout.gives-up": "fail"}),
        # The limit to connect holds for the answer to CONNECT as well.
        (
            *("(30, 10)", "2 ** (number - 1)", "failed: 4"),
            {"timeout.connects-in-time": "fail", "timeout.gives-up": "fail"},
        ),
        ("10", "1", "failed: 4", {"retry.backoff": "fail", "retry.backoff-not-exponential": "fail"}),
        # What the proxy itself refuses (403, 407) comes as a ProxyError, which is a ConnectionError.
        ("10", "2 ** (number - 1)", "never", {"retry.retries-client-error": "fail"}),
    ],
)
def test_gates_through_a_proxy(
    project: Project, proxied: None, timeout: str, wait: str, final: str, not_passed: dict[str, str]
):
    project.write(client=GATE.format(timeout=timeout, wait=wait, final=final))
    project.write(
        test_it=f"""
        import client

        @pytest.fixture
        def service(ralph_upstream):
            ralph_upstream("{PROXY}")
            ralph_upstream("https://api.pay.example").post("/v1/charges", json={{"id": "ch_1"}})

        @ralph.retry(max_retries=3, backoff=(1, 2, 4))
        @ralph.timeout(10)
        def test_call(service):
            client.call()
        """
    )

    outcome = project.run("--ralph")

    assert not_passed == outcome.not_passed(), outcome.output


# -- redirects ----------------------------------------------------------------------------------------------


@shows("redirects", "to another declared host, with the method and body that the status asks for")
@pytest.mark.parametrize(
    ("status", "method", "body"), [(303, "GET", b""), (307, "POST", b"paid"), (308, "POST", b"paid")]
)
@every_client
def test_redirects(world: World, live: Live, client: Client, status: int, method: str, body: bytes):
    world.upstream(HTTP).post("/", status=status, headers={"Location": "https://other.example/there"})
    other = world.upstream("https://other.example")
    other.get("/there", body="arrived")
    other.post("/there", body="arrived")

    assert live(lambda: client([("POST", HTTP)], lambda: b"paid")) == [(200, b"arrived")]
    (request,) = other.requests
    assert (request.method, request.body) == (method, body)


@shows("redirects", "to a host that is not declared: refused, and the host named")
@every_client
def test_redirects_to_an_undeclared_host(world: World, live: Live, client: Client):
    world.upstream(HTTP).get("/", status=302, headers={"Location": "https://other.example/there"})

    with pytest.raises(UndeclaredHost, match=r'ralph_upstream\("https://other.example"\)'):
        live(lambda: client([("GET", HTTP)]))


# -- bodies -------------------------------------------------------------------------------------------------


@shows("bodies", "answers that are chunked, compressed, or both")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("fault", [None, faults.Dribble(1)])
@plain_and_secure
@every_client
def test_encoded_answers(
    world: World, live: Live, client: Client, chunked: bool, fault: Fault | None, url: str
):
    text = b"compressed " * 5_000
    headers = {"Content-Encoding": "gzip", **({"Transfer-Encoding": "chunked"} if chunked else {})}
    api = world.upstream(url)
    api.get("/", body=gzip.compress(text, mtime=0), headers=headers)
    if fault is not None:
        api.inject(fault)

    assert live(lambda: client([("GET", url)])) == [(200, text)]


@shows("bodies", "an encoded answer that is cut is an error to each client, and a broken attempt")
@every_client
def test_encoded_answers_that_are_cut(world: World, live: Live, client: Client):
    api = world.upstream(HTTP)
    headers = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    api.get("/", body=gzip.compress(b"compressed " * 50, mtime=0), headers=headers)
    api.inject(faults.Truncate())

    (found,) = live(lambda: client([("GET", HTTP)]))

    assert isinstance(found, str)
    assert [each.outcome for each in attempts(world.timeline)] == ["connection-error"]


@shows("bodies", "uploads from generators, which may take their time")
@plain_and_secure
@every_client
def test_streaming_uploads(world: World, live: Live, client: Client, url: str):
    api = world.upstream(url)
    api.post("/", body="stored")

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            time.sleep(3_600)
            yield b"%d" % number * 50_000

    assert live(lambda: client([("POST", url)], pieces)) == [(200, b"stored")]

    (request,) = api.requests
    assert request.body == b"0" * 50_000 + b"1" * 50_000 + b"2" * 50_000
    (arrived,) = world.timeline.of(Requested)
    assert arrived.at == pytest.approx(3 * 3_600, abs=0.05)


@shows("bodies", "uploads from generators, which may take their time")
@every_client
def test_an_upload_that_breaks_off_is_an_abandoned_attempt(world: World, live: Live, client: Client):
    api = world.upstream(HTTP)
    api.post("/", body="stored")

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("no more pieces")

    def call() -> Any:
        try:
            return client([("POST", HTTP)], pieces)[0]
        except LookupError as error:
            return str(error)

    assert live(call) in ("no more pieces", "ClientConnectionError")  # aiohttp has an error of its own
    assert api.requests == []
    assert [each.outcome for each in attempts(world.timeline)] in ([], ["abandoned"])


def pieces_by_requests(url: str) -> Iterator[bytes]:
    with requests.get(url, timeout=SECONDS, stream=True) as answer:
        yield from answer.iter_content(4)


def pieces_by_httpx(url: str) -> Iterator[bytes]:
    with httpx.stream("GET", url, timeout=SECONDS) as answer:
        yield from answer.iter_bytes(4)


def all_pieces(pieces: Callable[[str], Iterator[bytes]]) -> Callable[[str], list[tuple[float, bytes]]]:
    def read(url: str) -> list[tuple[float, bytes]]:
        began = time.monotonic()
        return [(time.monotonic() - began, each) for each in pieces(url)]

    return read


def all_pieces_by_aiohttp(url: str) -> list[tuple[float, bytes]]:
    async def call() -> list[tuple[float, bytes]]:
        limit = aiohttp.ClientTimeout(sock_read=SECONDS)
        began = time.monotonic()
        found = []
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as answer:
            while piece := await answer.content.read(4):
                found.append((time.monotonic() - began, piece))
        return found

    return asyncio.run(call())


def all_pieces_by_httpx_on_asyncio(url: str) -> list[tuple[float, bytes]]:
    async def call() -> list[tuple[float, bytes]]:
        began = time.monotonic()
        async with httpx.AsyncClient(timeout=SECONDS) as client, client.stream("GET", url) as answer:
            return [(time.monotonic() - began, each) async for each in answer.aiter_raw()]

    return asyncio.run(call())


DOWNLOADS = {
    "requests iter_content": all_pieces(pieces_by_requests),
    "httpx.stream": all_pieces(pieces_by_httpx),
    "httpx on asyncio": all_pieces_by_httpx_on_asyncio,
    "aiohttp content": all_pieces_by_aiohttp,
}
every_download = pytest.mark.parametrize("download", DOWNLOADS.values(), ids=DOWNLOADS.keys())


@shows("bodies", "downloads that are read piece by piece, as they come")
@plain_and_secure
@every_download
def test_streaming_downloads(
    world: World, live: Live, download: Callable[[str], list[tuple[float, bytes]]], url: str
):
    api = world.upstream(url)
    api.get("/", body="abcdefgh")
    api.inject(faults.Dribble(8))

    found = live(lambda: download(url))

    assert b"".join(each for _, each in found) == b"abcdefgh"
    assert found[0][0] <= 4 * 8 + 0.1
    assert found[-1][0] == pytest.approx(8 * 8, abs=0.1)


@shows("bodies", "a download that stops in the middle is given up after the read timeout")
@every_download
def test_a_download_that_stops(
    world: World, live: Live, download: Callable[[str], list[tuple[float, bytes]]]
):
    api = world.upstream(HTTP)
    api.get("/", body="abcdefgh")
    api.inject(faults.Hang(after_headers=True))

    with pytest.raises((requests.RequestException, httpx.ReadTimeout, asyncio.TimeoutError)):
        live(lambda: download(HTTP))

    (attempt,) = attempts(world.timeline)
    assert (attempt.ended or 0) - attempt.started == pytest.approx(SECONDS, abs=0.02)


EVENTS = "data: one\n\ndata: two\n\ndata: three\n\n"


@shows("server-sent events", "each event as it comes, and a stream that stops")
@pytest.mark.parametrize("fault", [None, faults.Dribble(1), faults.Hang(after_headers=True)])
def test_server_sent_events(world: World, live: Live, fault: Fault | None):
    api = world.upstream(HTTPS)
    headers = {"Transfer-Encoding": "chunked"}
    api.get("/events", body=EVENTS, content_type="text/event-stream", headers=headers)
    if fault is not None:
        api.inject(fault)

    def by_httpx() -> Any:
        with httpx.stream("GET", f"{HTTPS}/events", timeout=SECONDS) as answer:
            return [line for line in answer.iter_lines() if line]

    def by_requests() -> Any:
        with requests.get(f"{HTTPS}/events", timeout=SECONDS, stream=True) as answer:
            return [line.decode() for line in answer.iter_lines(chunk_size=1) if line]

    for read in (by_httpx, by_requests):
        if isinstance(fault, faults.Hang):
            with pytest.raises((httpx.ReadTimeout, requests.ConnectionError)):
                live(read)
        else:
            assert live(read) == ["data: one", "data: two", "data: three"]
    assert all(each.outcome != "pending" for each in attempts(world.timeline))


@shows("100-continue", "the body is asked for, by http.client and aiohttp")
@pytest.mark.parametrize("fault", [None, faults.Status(503), faults.Hang()])
def test_expectations(world: World, live: Live, fault: Fault | None):
    api = world.upstream(HTTP)
    api.post("/", body="stored")
    if fault is not None:
        api.inject(fault)

    async def call() -> Any:
        limit = aiohttp.ClientTimeout(sock_read=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.post(HTTP, data=b"body", expect100=True) as answer,
            ):
                return answer.status
        except asyncio.TimeoutError:
            return "timeout"

    found = live(lambda: asyncio.run(call()))

    assert found == {"None": 200, "Status(503)": 503, "Hang()": "timeout"}[repr(fault)]
    assert [each.body for each in api.requests] == [b"body"]


def test_operations_of_several_connections_are_told_apart(world: World, live: Live):
    """A pool of two connections, a retry over whichever is free."""
    api = world.upstream(HTTP)
    api.get("/a", body="a")
    api.get("/b", body="b")

    async def call() -> None:
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            await asyncio.gather(client.get(f"{HTTP}/a"), client.get(f"{HTTP}/b"))
            api.inject(faults.Status(503))
            for _ in range(3):
                await client.get(f"{HTTP}/a")
                await asyncio.sleep(1)

    live(lambda: asyncio.run(call()))

    assert [each.retries for each in operations(world.timeline)] == [0, 0, 2]
    assert len(connections(world)) == 2
