"""HTTP/1.1 as a service speaks it, by h11: one request after another, and the form of the answers."""

from __future__ import annotations

import http
import re
from collections.abc import Callable

import h11

from pytest_ralph.core.fault import Answer, Request
from pytest_ralph.core.timeline import Abandoned, Broken, Event
from pytest_ralph.world.exchange import Exchange
from pytest_ralph.world.line import Line
from pytest_ralph.world.proxy import Tunnel, destination, forward
from pytest_ralph.world.upstream import Upstream

_NO_BODY = {204, 304}
_FRAMING = {"content-length", "transfer-encoding"}
_CHUNK = 16_384
# What services that stream send as one chunk: an event, or a line.
_UNITS = {
    "text/event-stream": re.compile(rb".+?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL),
    "application/x-ndjson": re.compile(rb"[^\n]*\n|[^\n]+"),
    "application/jsonl": re.compile(rb"[^\n]*\n|[^\n]+"),
}


class HTTP1:
    """The service's side of HTTP/1.1 on one connection.

    Args:
        line: The connection.
    """

    multiplexed = False

    def __init__(self, line: Line) -> None:
        self._line = line
        self._h11 = h11.Connection(h11.SERVER)
        self._arriving: tuple[h11.Request, list[bytes]] | None = None
        self._exchange: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._unread = False
        self._ended = False
        self._bodiless = False
        self._broken = False
        self._unit: Callable[[bytes], list[bytes]] = _whole
        self.attempt: int | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._exchange is None

    @property
    def asked(self) -> Upstream | None:
        """The service that answers now: what a proxy passes on is answered by another one."""
        return self._exchange.upstream if self._exchange is not None else None

    # -- requests -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what has arrived."""
        self._h11.receive_data(data)
        self._unread = True

    def end_of_input(self) -> None:
        """Nothing more will arrive; an answer may still be waited for."""
        self._ended = True
        self.receive(b"")

    def advance(self) -> bool:
        """Read requests until one has to be answered first. Returns whether anything happened."""
        moved = False
        while self._unread and self._exchange is None and not self._line.closed:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                self._fail(error)
                return True
            if event is h11.NEED_DATA or event is h11.PAUSED:
                self._unread = False
                return self._invite() or moved
            self._take(event)
            moved = True
        return moved

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._arriving = (event, [])
            if self._is_own(event):
                self.attempt = self._line.take_attempt()
        elif isinstance(event, h11.Data) and self._arriving:
            self._arriving[1].append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and self._arriving:
            (head, chunks), self._arriving = self._arriving, None
            self._serve(self._read(head, b"".join(chunks)))
        elif isinstance(event, h11.ConnectionClosed):
            self._line.close()

    def _invite(self) -> bool:
        """Ask for the body, where the client waits for that (RFC 9110, 10.1.1)."""
        if not self._h11.they_are_waiting_for_100_continue:
            return False
        self._send(h11.InformationalResponse(status_code=100, headers=[]))
        self._line.flush()
        return True

    def _is_own(self, head: h11.Request) -> bool:
        """Whether the attempt is one to reach this service, not only to reach another one by it."""
        method, target = head.method.decode(), head.target.decode("latin-1")
        return method == "CONNECT" or destination(method, target, self._line.upstream.url) is None

    def _read(self, head: h11.Request, body: bytes) -> Request:
        raw = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers.raw_items())
        target = head.target.decode("latin-1")
        absolute = target.startswith(("http://", "https://"))
        return Request(
            method=head.method.decode(),
            target=target,
            url=target if absolute else self._line.upstream.url + target,
            headers=joined(raw),
            body=body,
            raw_headers=raw,
        )

    def _serve(self, request: Request) -> None:
        upstream = self._line.upstream
        where = destination(request.method, request.target, upstream.url)
        if where is not None and request.method != "CONNECT":
            self._exchange, fault = forward(request, where, self._line, self)
            self.attempt = self._exchange.attempt
        else:
            assert self.attempt is not None
            self._tunnel = Tunnel(where, self._line.host) if where is not None else None
            self._exchange = Exchange(
                request,
                upstream=upstream,
                attempt=self.attempt,
                host=self._line.host,
                carrier=self,
                healthy=self._tunnel.answer if self._tunnel is not None else None,
            )
            fault = upstream.plan.on_request(request)
        self._exchange.begin(fault)

    # -- answers --------------------------------------------------------------------------------------

    def head(self, request: Request, answer: Answer, length: int | None = None) -> None:
        """Put status and headers of an answer in line."""
        tunnelling = request.method == "CONNECT" and 200 <= answer.status < 300
        headers = [
            (name.encode(), value.encode()) for name, value in answer.headers if name.lower() not in _FRAMING
        ]
        if answer.status not in _NO_BODY and not tunnelling:
            headers.append(_framing(request, answer, length))
        self._unit = _unit(answer)
        self._bodiless = has_no_body(request, answer) or tunnelling
        self._send(h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status)))

    def body(self, data: bytes) -> None:
        """Put a part of the body in line."""
        for piece in self._unit(data) if not self._bodiless else ():
            self._send(h11.Data(data=piece))

    def raw(self, data: bytes) -> None:
        """Put bytes in line that need not be HTTP."""
        self._broken = True
        self._line.send(data)

    def _send(self, event: h11.Event) -> None:
        self._line.send(self._h11.send(event) or b"")

    def flush(self) -> None:
        """Send what is in line, as far as the client has room for it."""
        self._line.flush()

    def complete(self) -> None:
        """The answer is complete."""
        if not self._broken and self._h11.our_state is h11.SEND_BODY:
            self._send(h11.EndOfMessage())
        self._line.then(self._finish)
        self._line.flush()

    def cut(self) -> None:
        """The answer ends here, and the connection with it."""
        self._line.then(self._break_off)
        self._line.flush()

    def reset(self) -> None:
        """Reset the connection."""
        if self._exchange is not None:
            self._exchange.broken("connection reset")
        self._line.reset()

    def _finish(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        exchange.answered()
        if self._tunnel is not None and self._tunnel.passage is not None:
            self._line.become(self._tunnel.passage)
        elif not self._broken and self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._unread = True
        else:
            self._line.close()

    def _break_off(self) -> None:
        if self._exchange is not None:
            self._exchange.broken()
        self._line.shut()

    # -- endings --------------------------------------------------------------------------------------

    def lost(self) -> None:
        """The client is gone."""
        if self._exchange is not None:
            self._exchange.abandoned()
        elif self._arriving is not None:
            self._record(Abandoned)

    def farewell(self) -> bool:
        """HTTP/1.1 has no word for it: the service closes the connection."""
        return False

    def give_up(self, number: int) -> None:
        """There are no streams."""

    def _fail(self, error: h11.RemoteProtocolError) -> None:
        if self._ended:
            self.lost()
        else:
            self._record(Broken, how=f"not HTTP/1.1: {error}")
        self._line.shut()

    def _record(self, kind: type[Event], **fields: object) -> None:
        if self.attempt is None:
            self.attempt = self._line.take_attempt()
        self._line.host.record(kind, upstream=self._line.upstream.url, attempt=self.attempt, **fields)


def joined(raw: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Header fields by name in lower case; the values of one that comes several times make a list."""
    found: dict[str, str] = {}
    for name, value in raw:
        key = name.lower()
        separator = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{separator}{value}" if key in found else value
    return found


def is_chunked(answer: Answer) -> bool:
    """Whether an answer is declared to come in chunks."""
    return any(name.lower() == "transfer-encoding" and "chunked" in value for name, value in answer.headers)


def has_no_body(request: Request, answer: Answer) -> bool:
    """Whether an answer comes without a body (RFC 9110, 6.4.1)."""
    return request.method == "HEAD" or answer.status in _NO_BODY


def content_length(request: Request, answer: Answer) -> int | str:
    """The length to announce: of the body, or of the one that HEAD leaves out."""
    declared = (value for name, value in answer.headers if name.lower() == "content-length")
    own = len(answer.body)
    return next(declared, own) if request.method == "HEAD" else own


def _framing(request: Request, answer: Answer, length: int | None) -> tuple[bytes, bytes]:
    if is_chunked(answer) and length is None:
        return b"Transfer-Encoding", b"chunked"
    announced = content_length(request, answer) if length is None else length
    return b"Content-Length", str(announced).encode()


def _unit(answer: Answer) -> Callable[[bytes], list[bytes]]:
    """How a body is handed out: in chunks, where it is declared to come in such."""
    if not is_chunked(answer):
        return _whole
    kind = next((value for name, value in answer.headers if name.lower() == "content-type"), "")
    unit = _UNITS.get(kind.partition(";")[0].strip().lower())
    return unit.findall if unit is not None else _chunks


def _whole(data: bytes) -> list[bytes]:
    return [data]


def _chunks(data: bytes) -> list[bytes]:
    return [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
