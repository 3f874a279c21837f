"""What requests, httpx, urllib3 and aiohttp make of each fault: their own exception, at the right moment."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from pytest_ralph import faults
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import FaultMet
from pytest_ralph.world.world import World
from tests.faults.clients import ANSWER, CLIENTS, HTTP, HTTPS, call, causes

Live = Callable[[Callable[[], Any]], Any]
Errors = tuple[type[Exception], type[Exception], type[Exception], type[Exception]]

# In the order of CLIENTS.
READ_TIMEOUT: Errors = (
    requests.ReadTimeout,
    httpx.ReadTimeout,
    urllib3.exceptions.ReadTimeoutError,
    aiohttp.SocketTimeoutError,
)
# requests has no other name for a timeout in the middle of the body.
BODY_TIMEOUT: Errors = (requests.ConnectionError, *READ_TIMEOUT[1:])
CONNECT_TIMEOUT: Errors = (
    requests.ConnectTimeout,
    httpx.ConnectTimeout,
    urllib3.exceptions.ConnectTimeoutError,
    aiohttp.ConnectionTimeoutError,
)
REFUSED: Errors = (
    requests.ConnectionError,
    httpx.ConnectError,
    urllib3.exceptions.NewConnectionError,
    aiohttp.ClientConnectorError,
)
UNRESOLVED: Errors = (
    requests.ConnectionError,
    httpx.ConnectError,
    urllib3.exceptions.NameResolutionError,
    aiohttp.ClientConnectorDNSError,
)
CUT: Errors = (
    requests.exceptions.ChunkedEncodingError,
    httpx.RemoteProtocolError,
    urllib3.exceptions.ProtocolError,
    aiohttp.ClientPayloadError,
)
RESET: Errors = (
    requests.ConnectionError,
    httpx.TransportError,
    urllib3.exceptions.ProtocolError,
    aiohttp.ClientOSError,
)
RESET_IN_BODY: Errors = (CUT[0], httpx.TransportError, *CUT[2:])
CLOSED: Errors = (
    requests.ConnectionError,
    httpx.RemoteProtocolError,
    urllib3.exceptions.ProtocolError,
    aiohttp.ServerDisconnectedError,
)
NO_HANDSHAKE: Errors = (
    requests.exceptions.SSLError,
    httpx.ConnectError,
    urllib3.exceptions.SSLError,
    aiohttp.ClientConnectorError,
)
CERTIFICATE: Errors = (*NO_HANDSHAKE[:3], aiohttp.ClientConnectorCertificateError)

BROKEN: list[tuple[Fault, tuple[str, ...], Errors, float]] = [
    (faults.Slow(11), (HTTP, HTTPS), READ_TIMEOUT, 10),
    (faults.Slow("11 s", after_bytes=3), (HTTP, HTTPS), BODY_TIMEOUT, 10),
    (faults.Hang(), (HTTP, HTTPS), READ_TIMEOUT, 10),
    (faults.Hang(after_headers=True), (HTTP, HTTPS), BODY_TIMEOUT, 10),
    (faults.Hang(after_bytes=3), (HTTP, HTTPS), BODY_TIMEOUT, 10),
    (faults.Dribble(11), (HTTP, HTTPS), BODY_TIMEOUT, 10),
    (faults.Bandwidth(1, upload=1), (HTTP, HTTPS), READ_TIMEOUT, 10),
    (faults.Refuse(), (HTTP, HTTPS), REFUSED, 0),
    (faults.Unreachable(), (HTTP, HTTPS), CONNECT_TIMEOUT, 10),
    (faults.DnsFailure(), (HTTP, HTTPS), UNRESOLVED, 0),
    (faults.DnsFailure("timeout"), (HTTP, HTTPS), UNRESOLVED, 10),
    (faults.DnsFailure("timeout", after="4 s"), (HTTP, HTTPS), UNRESOLVED, 4),
    (faults.Reset(), (HTTP, HTTPS), RESET, 0),
    (faults.Reset(after_bytes=3), (HTTP, HTTPS), RESET_IN_BODY, 0),
    (faults.CloseEarly(), (HTTP, HTTPS), CLOSED, 0),
    (faults.CloseEarly(after="3 s"), (HTTP, HTTPS), CLOSED, 3),
    (faults.CloseEarly(before_request=True), (HTTP,), CLOSED, 0),
    (faults.CloseEarly(before_request=True), (HTTPS,), NO_HANDSHAKE, 0),
    (faults.Truncate(), (HTTP, HTTPS), CUT, 0),
    (faults.Truncate(after_bytes=3), (HTTP, HTTPS), CUT, 0),
    (faults.TlsError("expired"), (HTTPS,), CERTIFICATE, 0),
    (faults.TlsError("wrong_host"), (HTTPS,), CERTIFICATE, 0),
    (faults.TlsError("unknown_issuer"), (HTTPS,), CERTIFICATE, 0),
    (faults.Sequence(faults.Refuse(), faults.Hang()), (HTTP, HTTPS), REFUSED, 0),
    (faults.Randomly(faults.Hang(), 1), (HTTP, HTTPS), READ_TIMEOUT, 10),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("fault", "base", "errors", "after"),
    [
        pytest.param(fault, base, errors, after, id=f"{fault!r}-{base.partition(':')[0]}")
        for fault, bases, errors, after in BROKEN
        for base in bases
    ],
)
def test_clients_raise_their_own_exception_at_the_right_moment(
    world: World, live: Live, client: str, fault: Fault, base: str, errors: Errors, after: float
):
    found = call(world, live, client, fault, base=base)

    assert isinstance(found.result, errors[list(CLIENTS).index(client)])
    # aiohttp rounds timeouts to connect above 5 s up to a whole second (ClientTimeout.ceil_threshold).
    rounding = 1 if client == "aiohttp" and isinstance(fault, faults.Unreachable) else 0.02
    assert after - 0.02 <= found.took <= after + rounding
    assert len(world.timeline.of(FaultMet)) == 1


SLOWED: list[tuple[Fault, float]] = [
    (faults.Slow("3 s"), 3),
    (faults.Slow(3, after_bytes=3), 3),
    (faults.Slow.uniform(1, 3, seed=0), 2.69),
    (faults.Slow.lognormal(1, 0.5, seed=0), 0.91),
    (faults.Dribble(0.5), 7),
    (faults.Dribble(1, size=7), 2),
    (faults.Dribble(1, at_least=5, size=7), 5),
    (faults.Bandwidth(7), 2),
    (faults.Bandwidth(7, upload=5), 4.6),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("base", [HTTP, HTTPS])
@pytest.mark.parametrize(("fault", "takes"), SLOWED, ids=[repr(fault) for fault, _ in SLOWED])
def test_slow_answers_arrive_whole_and_late(
    world: World, live: Live, client: str, base: str, fault: Fault, takes: float
):
    found = call(world, live, client, fault, base=base)

    status, text = found.result
    assert (status, text.strip()) == (200, '{"id": "ch_1"}')
    assert found.took == pytest.approx(takes, abs=0.02)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.Status(402), 402),
        (faults.Status(503), 503),
        (faults.Unauthorized(), 401),
        (faults.Sequence(None, faults.Status(500)), 200),
        (faults.Sequence(faults.Status(502), faults.Hang()), 502),
    ],
    ids=repr,
)
def test_statuses_are_answers(world: World, live: Live, client: str, fault: Fault, status: int):
    found = call(world, live, client, fault)

    assert found.result[0] == status
    assert found.took < 0.02


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("fault", "cause", "text"),
    [
        (faults.DnsFailure(), socket.gaierror, "Name or service not known"),
        (faults.DnsFailure("timeout"), socket.gaierror, "Temporary failure in name resolution"),
        (faults.TlsError("expired"), ssl.SSLCertVerificationError, "certificate has expired"),
        (faults.TlsError("wrong_host"), ssl.SSLCertVerificationError, "Hostname mismatch"),
        (faults.TlsError("unknown_issuer"), ssl.SSLCertVerificationError, "unable to get local issuer"),
    ],
    ids=repr,
)
def test_behind_it_is_the_exception_of_python(
    world: World, live: Live, client: str, fault: Fault, cause: type[OSError], text: str
):
    found = call(world, live, client, fault, base=HTTPS)

    (real,) = [each for each in causes(found.result) if type(each) is cause]
    assert text in str(real)
    if cause is socket.gaierror:
        expected = socket.EAI_NONAME if fault == faults.DnsFailure() else socket.EAI_AGAIN
        assert expected == real.errno


def test_the_older_functions_of_the_resolver_fail_as_well(world: World, live: Live):
    world.upstream(HTTP).inject(faults.DnsFailure())

    def resolve() -> list[BaseException]:
        found: list[BaseException] = []
        for function in (socket.gethostbyname, socket.gethostbyname_ex):
            try:
                function("api.pay.example")
            except OSError as error:
                found.append(error)
        with socket.socket() as sock:
            try:
                sock.connect(("api.pay.example", 80))
            except OSError as error:
                found.append(error)
        return found

    assert [(type(each), each.args[0]) for each in live(resolve)] == [
        (socket.gaierror, socket.EAI_NONAME),
        (socket.herror, 1),
        (socket.gaierror, socket.EAI_NONAME),
    ]


def test_a_lookup_fails_for_the_service_that_is_meant(world: World, live: Live):
    world.upstream(HTTP).inject(faults.DnsFailure())
    world.upstream(HTTPS).post("/v1/charges", json=ANSWER)
    world.upstream("http://other.example").get("/", body="fine")

    def calls() -> Any:
        with pytest.raises(requests.ConnectionError, match="Failed to resolve"):
            requests.post(HTTP, timeout=1)
        answer = requests.post(f"{HTTPS}/v1/charges", timeout=1)
        return answer.json(), requests.get("http://other.example", timeout=1).text

    assert live(calls) == (ANSWER, "fine")


@pytest.mark.parametrize(
    "fault",
    [faults.DnsFailure(), faults.TlsError("expired"), faults.CloseEarly(before_request=True)],
    ids=repr,
)
def test_faults_before_the_request_close_what_is_open_and_end(world: World, live: Live, fault: Fault):
    api = world.upstream(HTTPS)
    api.get("/", body="fine")

    def calls() -> str:
        with requests.Session() as session:
            assert session.get(HTTPS, timeout=1).ok
            api.inject(fault, times=2)
            for _ in range(2):
                with pytest.raises(requests.ConnectionError):
                    session.get(HTTPS, timeout=1)
            return session.get(HTTPS, timeout=1).text

    assert live(calls) == "fine"
    assert [event.fault for event in world.timeline.of(FaultMet)] == [repr(fault)] * 2


def test_a_client_that_checks_no_certificates_does_not_notice(world: World, live: Live):
    api = world.upstream(HTTPS)
    api.get("/", body="fine")
    api.inject(faults.TlsError("expired"))

    def calls() -> list[str]:
        with httpx.Client(verify=False) as client:
            return [client.get(HTTPS).text for _ in range(3)]

    assert live(calls) == ["fine"] * 3


def test_a_client_that_knows_the_address_needs_no_lookup(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body="fine")

    def calls() -> bytes:
        address = socket.gethostbyname("api.pay.example")
        api.inject(faults.DnsFailure())
        connection = http.client.HTTPConnection(address, 80, timeout=1)
        connection.request("GET", "/", headers={"Host": "api.pay.example"})
        body = connection.getresponse().read()
        connection.close()
        return body

    assert live(calls) == b"fine"
    assert world.timeline.of(FaultMet) == []


def test_unauthorized_is_met_once_and_says_how_to_answer_it(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body="fine")
    api.inject(faults.Unauthorized('Basic realm="api"'))

    def calls() -> list[tuple[int, str | None]]:
        with requests.Session() as session:
            answers = [session.get(HTTP, timeout=1) for _ in range(3)]
        return [(each.status_code, each.headers.get("WWW-Authenticate")) for each in answers]

    assert live(calls) == [(401, 'Basic realm="api"'), (200, None), (200, None)]


def test_truncated_in_the_middle_or_at_least_by_a_byte(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body="0123456789")

    def received(fault: Fault) -> int:
        api.inject(fault)
        found = b""
        with requests.get(HTTP, timeout=1, stream=True) as answer:
            try:
                for chunk in answer.iter_content(1):
                    found += chunk
            except requests.exceptions.ChunkedEncodingError:
                return len(found)
        raise AssertionError("it is complete")

    cuts = (faults.Truncate(after_bytes=4), faults.Truncate(after_bytes=99), faults.Reset(after_bytes=6))
    assert live(lambda: [received(fault) for fault in cuts]) == [4, 9, 6]


def test_a_large_answer_over_a_narrow_line_takes_its_time_in_few_steps(world: World, live: Live):
    api = world.upstream(HTTP)
    api.get("/", body=b"x" * 3_000_000)
    api.inject(faults.Bandwidth(1000))

    def calls() -> int:
        import time

        began = time.monotonic()
        assert len(requests.get(HTTP, timeout=10).content) == 3_000_000
        return round(time.monotonic() - began)

    assert live(calls) == 3000


@pytest.mark.parametrize(
    ("base", "fault", "expected"),
    [
        (HTTP, faults.DnsFailure(), "(502, 'http://api.pay.example: name lookup failed"),
        (HTTP, faults.CloseEarly(before_request=True), "(502, 'http://api.pay.example: connection refused"),
        (HTTP, faults.Status(503), "(503, "),
        (HTTPS, faults.DnsFailure(), "Tunnel connection failed: 502"),
        (HTTPS, faults.CloseEarly(before_request=True), "Tunnel connection failed: 502"),
        (HTTPS, faults.TlsError("expired"), "certificate has expired"),
        (HTTPS, faults.Status(503), "(503, "),
    ],
    ids=repr,
)
def test_what_is_behind_a_proxy_shows_faults_in_the_way_of_proxies(
    world: World, live: Live, base: str, fault: Fault, expected: str
):
    world.upstream("http://proxy.example:3128")
    api = world.upstream(base)
    api.get("/", body="fine")
    api.inject(fault, times=1)

    def calls() -> list[Any]:
        found: list[Any] = []
        with requests.Session() as session:
            session.proxies = dict.fromkeys(("http", "https"), "http://proxy.example:3128")
            for _ in range(2):
                try:
                    answer = session.get(base, timeout=100)
                    found.append((answer.status_code, answer.text))
                except requests.RequestException as error:
                    found.append(error)
        return found

    first, second = live(calls)

    assert expected in str(first)
    assert second == (200, "fine")
