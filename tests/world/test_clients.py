"""Unmodified clients meet each fault as their own real exception, at the right virtual moment."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
import urllib3

from pytest_ralph import faults
from pytest_ralph.core.fault import Fault
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.world import World

Live = Callable[[Callable[[], Any]], Any]

HTTP, HTTPS = "http://api.pay.example", "https://api.pay.example"


def by_requests(url: str, timeout: float | None) -> Any:
    with requests.Session() as session:
        return session.post(f"{url}/v1/charges", json={"amount": 1}, timeout=timeout).json()


def by_httpx(url: str, timeout: float | None) -> Any:
    with httpx.Client(timeout=timeout) as client:
        return client.post(f"{url}/v1/charges", json={"amount": 1}).json()


def by_urllib3(url: str, timeout: float | None) -> Any:
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        return pool.request("POST", f"{url}/v1/charges", json={"amount": 1}).json()


def by_urllib(url: str, timeout: float | None) -> Any:
    request = urllib.request.Request(f"{url}/v1/charges", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return answer.read()


def outcome(
    world: World, live: Live, client: Callable[..., Any], fault: Fault | None, url: str, timeout: Any
) -> Any:
    """What the client returned or raised, and the virtual seconds it took."""
    api = world.upstream(url)
    api.post("/v1/charges", json={"id": "ch_1"})
    if fault is not None:
        api.inject(fault)

    def call() -> Any:
        began = time.monotonic()
        try:
            found = client(url, timeout)
        except Exception as error:
            found = error
        return found, time.monotonic() - began

    return live(call)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize("client", [by_requests, by_httpx, by_urllib3, by_urllib])
def test_healthy_answers_arrive_at_once(world: World, live: Live, client: Callable[..., Any], url: str):
    found, took = outcome(world, live, client, None, url, 10)

    assert found in ({"id": "ch_1"}, b'{"id": "ch_1"}')
    assert took < 0.01
    assert [each.method for each in world.network.upstreams[0].requests] == ["POST"]


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize(
    ("client", "error"),
    [
        (by_requests, requests.exceptions.ReadTimeout),
        (by_httpx, httpx.ReadTimeout),
        (by_urllib3, urllib3.exceptions.ReadTimeoutError),
        (by_urllib, TimeoutError),
    ],
)
def test_a_hung_answer_is_given_up_after_the_clients_own_timeout(
    world: World, live: Live, client: Callable[..., Any], error: type[Exception], url: str
):
    found, took = outcome(world, live, client, faults.Hang(), url, 10)

    assert isinstance(found, error)
    assert took == pytest.approx(10, abs=0.001)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize(
    ("client", "error"),
    [
        (by_requests, requests.exceptions.ConnectTimeout),
        (by_httpx, httpx.ConnectTimeout),
        (by_urllib3, urllib3.exceptions.ConnectTimeoutError),
        (by_urllib, urllib.error.URLError),
    ],
)
def test_an_unanswered_connect_is_given_up_after_the_clients_own_timeout(
    world: World, live: Live, client: Callable[..., Any], error: type[Exception], url: str
):
    found, took = outcome(world, live, client, faults.Unreachable(), url, 7)

    assert isinstance(found, error)
    assert took == pytest.approx(7, abs=0.001)


def test_an_unanswered_connect_without_timeout_ends_as_linux_ends_it(world: World, live: Live):
    found, took = outcome(world, live, by_requests, faults.Unreachable(), HTTP, None)

    assert isinstance(found, requests.exceptions.ConnectionError)
    assert took == pytest.approx(127, abs=0.001)


@pytest.mark.parametrize("client", [by_requests, by_httpx, by_urllib3, by_urllib])
def test_a_hung_answer_without_timeout_never_ends(world: World, live: Live, client: Callable[..., Any]):
    with pytest.raises(NeverEnds):
        outcome(world, live, client, faults.Hang(), HTTP, None)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize(
    ("client", "error", "text"),
    [
        (by_requests, requests.exceptions.ConnectionError, "Connection refused"),
        (by_httpx, httpx.ConnectError, "Connection refused"),
        (by_urllib3, urllib3.exceptions.NewConnectionError, "Connection refused"),
        (by_urllib, urllib.error.URLError, "Connection refused"),
    ],
)
def test_a_refused_connect_fails_at_once(
    world: World, live: Live, client: Callable[..., Any], error: type[Exception], text: str, url: str
):
    found, took = outcome(world, live, client, faults.Refuse(), url, 10)

    assert isinstance(found, error)
    assert text in str(found)
    assert took < 0.01


@pytest.mark.parametrize(
    ("client", "error"),
    [
        (by_requests, requests.exceptions.ConnectionError),
        (by_httpx, httpx.ReadError),
        (by_urllib3, urllib3.exceptions.ProtocolError),
        (by_urllib, ConnectionResetError),
    ],
)
def test_a_reset_connection(world: World, live: Live, client: Callable[..., Any], error: type[Exception]):
    found, _ = outcome(world, live, client, faults.Reset(), HTTP, 10)

    assert isinstance(found, error)
    assert "reset by peer" in str(found)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize(
    ("client", "error"),
    [
        (by_requests, requests.exceptions.ChunkedEncodingError),
        (by_httpx, httpx.RemoteProtocolError),
        (by_urllib3, urllib3.exceptions.ProtocolError),
        (by_urllib, http.client.IncompleteRead),
    ],
)
def test_a_cut_answer(world: World, live: Live, client: Callable[..., Any], error: type[Exception], url: str):
    found, _ = outcome(world, live, client, faults.Truncate(), url, 10)

    assert isinstance(found, error)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
@pytest.mark.parametrize("client", [by_requests, by_httpx, by_urllib3])
def test_a_dribbling_answer_is_under_every_read_timeout(
    world: World, live: Live, client: Callable[..., Any], url: str
):
    found, took = outcome(world, live, client, faults.Dribble(5, at_least="2 min"), url, 10)

    assert found == {"id": "ch_1"}
    assert took == pytest.approx(120, abs=0.01)


@pytest.mark.parametrize("url", [HTTP, HTTPS])
def test_a_dribbling_answer_that_is_slower_than_the_timeout(world: World, live: Live, url: str):
    found, took = outcome(world, live, by_requests, faults.Dribble(11), url, 10)

    assert isinstance(found, requests.exceptions.ConnectionError)
    assert "Read timed out" in str(found)
    assert took == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize("client", [by_requests, by_httpx])
def test_a_status_with_body_and_headers(world: World, live: Live, client: Callable[..., Any]):
    found, _ = outcome(world, live, client, faults.Status(503), HTTPS, 10)

    assert found["error"] == {"type": "simulated_fault", "code": "503", "message": "503 Service Unavailable"}


def test_a_fault_that_ends(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body="fine")
    api.inject(faults.Status(500), times=2)

    statuses = live(lambda: [requests.get(HTTP, timeout=1).status_code for _ in range(4)])

    assert statuses == [500, 500, 200, 200]


def test_faults_that_hit_connects_close_what_is_open(world: World, live: Live):
    api = world.upstream(HTTPS)
    api.get("/", body="fine")

    def call() -> Any:
        with requests.Session() as session:
            assert session.get(HTTPS, timeout=1).ok
            with api.inject(faults.Refuse()), pytest.raises(requests.ConnectionError, match="refused"):
                session.get(HTTPS, timeout=1)
            return session.get(HTTPS, timeout=1).text

    assert live(call) == "fine"


def test_connections_are_kept_alive_and_reused(world: World, live: Live):
    api = world.upstream(HTTPS)
    api.get("/", body="fine")

    def call() -> None:
        with requests.Session() as session:
            for _ in range(3):
                session.get(HTTPS, timeout=1)

    live(call)

    assert len(api.requests) == 3
    assert len({event.at for event in world.timeline if type(event).__name__ == "Connected"}) == 1


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
@pytest.mark.parametrize("url", [HTTP, HTTPS])
def test_bodies_of_any_size_go_both_ways(world: World, live: Live, size: int, url: str):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    api = world.upstream(url)
    api.put("/blob", body=body, content_type="application/octet-stream")

    found = live(lambda: requests.put(f"{url}/blob", data=body, timeout=5).content)

    assert body == found
    assert body == api.requests[0].body


def test_heads_empty_answers_and_expectations(world: World, live: Live):
    api = world.upstream(HTTP)
    api.head("/", headers={"X-Here": "yes"})
    api.delete("/", status=204)
    api.post("/", body="thanks")

    def call() -> tuple[Any, ...]:
        connection = http.client.HTTPConnection("api.pay.example", timeout=5)
        connection.putrequest("POST", "/")
        connection.putheader("Expect", "100-continue")
        connection.putheader("Content-Length", "2")
        connection.endheaders()
        connection.send(b"ok")
        expected = connection.getresponse().read()
        connection.close()
        return (
            requests.head(HTTP, timeout=1).headers["X-Here"],
            requests.delete(HTTP, timeout=1).status_code,
            expected,
        )

    assert live(call) == ("yes", 204, b"thanks")


def test_chunked_uploads_and_callbacks(world: World, live: Live):
    api = world.upstream(HTTP)

    def echo(request: Any) -> tuple[int, dict[str, str], bytes]:
        time.sleep(3)
        return 200, {}, request.body.upper()

    api.add_callback("POST", "/echo", echo)

    def call() -> tuple[bytes, float]:
        began = time.monotonic()
        found = requests.post(f"{HTTP}/echo", data=iter([b"chunk ", b"by chunk"]), timeout=5).content
        return found, time.monotonic() - began

    found, took = live(call)

    assert found == b"CHUNK BY CHUNK"
    # A callback that sleeps is a service that takes so long.
    assert took == pytest.approx(3, abs=0.001)


def test_matchers_and_ordered_answers_of_responses(world: World, live: Live):
    import responses
    from responses import matchers, registries

    api = world.upstream(HTTP)
    api.use_registry(registries.OrderedRegistry)
    api.post("/v1/charges", match=[matchers.json_params_matcher({"amount": 1})], json={"n": 1})
    api.add(responses.Response("GET", f"{HTTP}/v1/charges", json={"n": 2}))
    api.get("/v1/charges", match=[matchers.query_param_matcher({"page": "2"})], json={"n": 3})

    def call() -> list[Any]:
        return [
            requests.post(f"{HTTP}/v1/charges", json={"amount": 1}, timeout=1).json()["n"],
            requests.get(f"{HTTP}/v1/charges", timeout=1).json()["n"],
            requests.get(f"{HTTP}/v1/charges?page=2", timeout=1).json()["n"],
        ]

    assert live(call) == [1, 2, 3]


def test_certificates_are_checked(world: World, live: Live):
    world.upstream(HTTPS).get("/", body="fine")

    def wrong_name() -> Any:
        with httpx.Client() as client:
            return client.get("https://127.66.0.2/", extensions={"sni_hostname": "other.example"})

    assert live(lambda: requests.get(HTTPS, timeout=1).text) == "fine"
    with pytest.raises((httpx.ConnectError, RuntimeError)):
        live(wrong_name)


def test_redirects_to_a_declared_host(world: World, live: Live):
    world.upstream(HTTP).get("/", status=302, headers={"Location": "https://other.example/there"})
    world.upstream("https://other.example").get("/there", body="arrived")

    assert live(lambda: requests.get(HTTP, timeout=1).text) == "arrived"


def test_forms_headers_and_patterns_are_matched(world: World, live: Live):
    from responses import matchers

    api = world.upstream(HTTP)
    api.post("/form", match=[matchers.urlencoded_params_matcher({"a": "1"})], body="form")
    api.get("/head", match=[matchers.header_matcher({"X-A": "1"})], body="head")
    api.get(re.compile(r"^/items/\w+$"), body="item")

    def call() -> list[str]:
        return [
            requests.post(f"{HTTP}/form", data={"a": "1"}, timeout=1).text,
            requests.get(f"{HTTP}/head", headers={"X-A": "1"}, timeout=1).text,
            requests.get(f"{HTTP}/items/abc", timeout=1).text,
        ]

    assert live(call) == ["form", "head", "item"]


def test_a_dribble_has_nothing_to_drip_without_a_body(world: World, live: Live):
    api = world.upstream(HTTP)
    api.head("/", body="ignored")
    api.inject(faults.Dribble(5))

    def call() -> float:
        began = time.monotonic()
        requests.head(HTTP, timeout=1).raise_for_status()
        return time.monotonic() - began

    assert live(call) < 0.01
