"""The service's side of one connection: HTTP/1.1 by h11, over a real loopback socket, without a thread.

It is run from inside the waits of its clients: `ServiceConnection.pump` reads what has arrived and answers.
"""

from __future__ import annotations

import _socket
import http
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import h11

from pytest_ralph.core.fault import Abort, Answer, Close, Fault, Hold, Pause, Request, Send, Step
from pytest_ralph.core.timeline import Abandoned, Answered, Broken, Event, FaultMet, Requested, Unmatched
from pytest_ralph.world.tls import ServerTLS
from pytest_ralph.world.upstream import NoAnswerError, Upstream

_NO_BODY = {204, 304}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Host(Protocol):
    """What a connection needs from the network around it."""

    def record(self, kind: type[Event], **fields: object) -> None:
        """Write to the timeline."""

    def next_attempt(self) -> int:
        """Number a new attempt."""

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan something, in virtual seconds from now."""

    def take_delay(self) -> float:
        """Virtual seconds that a declared callback slept."""


class HttpExchange:
    """One request being answered. What faults see."""

    def __init__(self, request: Request, upstream: Upstream, http11: h11.Connection) -> None:
        self._request = request
        self._upstream = upstream
        self._http11 = http11
        self.status = 0

    @property
    def request(self) -> Request:
        """The request that arrived."""
        return self._request

    def healthy(self) -> Answer:
        """The answer declared for it."""
        return self._upstream.answer(self._request)

    def encode(self, answer: Answer) -> bytes:
        """The answer as bytes, in the state the connection is in."""
        self.status = answer.status
        bodiless = self._request.method == "HEAD" or answer.status in _NO_BODY
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        if answer.status not in _NO_BODY:
            headers.append((b"Content-Length", str(len(answer.body)).encode()))
        events: list[h11.Event] = [
            h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status)),
            *([] if bodiless else [h11.Data(data=answer.body)]),
            h11.EndOfMessage(),
        ]
        return b"".join(self._http11.send(event) or b"" for event in events)


class ServiceConnection:
    """The service's end of one connection.

    Args:
        sock: The accepted socket.
        upstream: The service.
        host: The network around it.
        attempt: Number of the attempt that opened the connection.
        tls: The service's side of TLS, for https.
    """

    def __init__(
        self, sock: _socket.socket, upstream: Upstream, host: Host, attempt: int, tls: ServerTLS | None
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._upstream = upstream
        self._host = host
        self._tls = tls
        self._http11 = h11.Connection(h11.SERVER)
        self._steps: Iterator[Step] | None = None
        self._exchange: HttpExchange | None = None
        self._outbox: deque[memoryview] = deque()
        self._closing: Callable[[], None] | None = None
        self._partial: tuple[h11.Request, list[bytes]] | None = None
        self._fresh = True
        self.attempt = attempt
        self.closed = False

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._sock.fileno()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._exchange is None

    def pump(self) -> bool:
        """Read what has arrived and answer. Returns whether anything happened."""
        if self.closed:
            return False
        moved = self._flush()
        while not self.closed and (data := self._receive()) is not None:
            moved = True
            if not data:
                self._client_closed()
            else:
                self._sock_quickack()
                self._feed(data)
        return moved

    def close(self) -> None:
        """End the connection in the ordinary way."""
        if self.closed:
            return
        if self._tls is not None and self._tls.established:
            self._queue(self._tls.farewell())
            self._flush()
        self._shut()

    def abort(self) -> None:
        """Reset the connection."""
        if not self.closed:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._shut()

    def _shut(self) -> None:
        self.closed = True
        self._sock.close()

    def _receive(self) -> bytes | None:
        try:
            return self._sock.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _sock_quickack(self) -> None:
        if not self.closed:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _feed(self, data: bytes) -> None:
        if self._tls is not None:
            try:
                data = self._tls.receive(data, self._queue)
            except ssl.SSLError as error:
                self._flush()
                self._broken(f"TLS handshake failed: {error.reason or error}")
                self._shut()
                return
            self._flush()
        if data:
            self._http11.receive_data(data)
            self._parse()
        if self._tls is not None and self._tls.closed and not self.closed:
            # The client said goodbye (close_notify) and may wait for the same before it closes the socket.
            self._abandoned()
            self.close()

    def _parse(self) -> None:
        while not self.closed and self._exchange is None:
            try:
                event = self._http11.next_event()
            except h11.RemoteProtocolError as error:
                self._broken(f"not HTTP/1.1: {error}")
                self._shut()
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                if self._http11.they_are_waiting_for_100_continue:
                    self._write(self._http11.send(h11.InformationalResponse(status_code=100, headers=[])))
                return
            if isinstance(event, h11.Request):
                self._partial = (event, [])
            elif isinstance(event, h11.Data) and self._partial:
                self._partial[1].append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and self._partial:
                head, chunks = self._partial
                self._partial = None
                self._serve(self._read(head, b"".join(chunks)))
            elif isinstance(event, h11.ConnectionClosed):
                return

    def _read(self, head: h11.Request, body: bytes) -> Request:
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        target = head.target.decode("latin-1")
        absolute = target.startswith(("http://", "https://"))
        return Request(
            method=head.method.decode(),
            target=target,
            url=target if absolute else self._upstream.url + target,
            headers=headers,
            body=body,
            raw_headers=tuple(
                (name.decode(), value.decode("latin-1")) for name, value in head.headers.raw_items()
            ),
        )

    def _serve(self, request: Request) -> None:
        if not self._fresh:
            self.attempt = self._host.next_attempt()
        self._fresh = False
        self._upstream.requests.append(request)
        self._record(
            Requested,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body,
        )
        fault = self._upstream.plan.on_request(request)
        if fault is not None:
            self._host.record(FaultMet, upstream=self._upstream.url, fault=repr(fault))
        self._exchange = HttpExchange(request, self._upstream, self._http11)
        self._steps = self._answer_steps(fault, self._exchange)
        self._go_on()

    def _answer_steps(self, fault: Fault | None, exchange: HttpExchange) -> Iterator[Step]:
        if fault is not None and fault.connect_stage:
            yield Abort()
            return
        try:
            steps = iter((fault or Fault()).on_request(exchange))
            first = next(steps)
        except NoAnswerError as error:
            advice = f"{self._upstream!r}.{error.advice}"
            self._host.record(
                Unmatched,
                upstream=self._upstream.url,
                request=f"{exchange.request.method} {exchange.request.target}",
                advice=advice,
            )
            body = f"pytest-ralph: {error}. Add {advice}\n".encode()
            yield Send(data=exchange.encode(Answer(status=501, body=body)))
            return
        except Exception as error:  # noqa: BLE001 - a declared callback may raise: the service breaks
            self._broken(f"service raised {type(error).__name__}: {error}")
            yield Abort()
            return
        delay = self._host.take_delay()
        if delay:
            yield Pause(seconds=delay)
        yield first
        try:
            yield from steps
        except Exception as error:  # noqa: BLE001 - so may a fault of somebody else's
            self._broken(f"service raised {type(error).__name__}: {error}")
            yield Abort()

    def _go_on(self) -> None:
        """Take the next steps of the answer, as far as they go at this moment."""
        if self.closed or self._steps is None:
            return
        for step in self._steps:
            if isinstance(step, Send):
                self._write(step.data)
            elif isinstance(step, Pause):
                self._flush()
                self._host.later(step.seconds, self._go_on)
                return
            elif isinstance(step, Hold):
                self._flush()
                return
            else:
                self._break_off(step)
                return
        self._steps = None
        self._closing = self._finish
        self._flush()

    def _break_off(self, step: Close | Abort) -> None:
        self._steps = None
        sent = self._exchange is not None and self._exchange.status
        if isinstance(step, Abort):
            self._flush()
            self._broken("connection reset")
            self.abort()
            return
        how = "answer cut short" if sent else "connection closed without an answer"

        def shut() -> None:
            self._broken(how)
            self._shut()

        self._closing = shut
        self._flush()

    def _finish(self) -> None:
        """The last byte of an answer is out."""
        assert self._exchange is not None
        self._record(Answered, status=self._exchange.status)
        self._exchange = None
        if self._http11.our_state is h11.DONE and self._http11.their_state is h11.DONE:
            self._http11.start_next_cycle()
            self._parse()
        else:
            self.close()

    def _client_closed(self) -> None:
        self._abandoned()
        self._shut()

    def _abandoned(self) -> None:
        if self._exchange is not None or self._partial is not None:
            self._record(Abandoned)

    def _broken(self, how: str) -> None:
        self._record(Broken, how=how)

    def _record(self, kind: type[Event], **fields: object) -> None:
        self._host.record(kind, upstream=self._upstream.url, attempt=self.attempt, **fields)

    def _write(self, data: bytes | None) -> None:
        if data:
            self._queue(self._tls.encrypt(data) if self._tls is not None else data)

    def _queue(self, data: bytes) -> None:
        if data:
            self._outbox.append(memoryview(data))

    def _flush(self) -> bool:
        moved = False
        while self._outbox and not self.closed:
            try:
                sent = self._sock.send(self._outbox[0])
            except BlockingIOError:
                return moved
            except OSError:
                self._outbox.clear()
                self._client_closed()
                return True
            moved = True
            rest = self._outbox.popleft()[sent:]
            if rest:
                self._outbox.appendleft(rest)
        if self._closing is not None and not self.closed:
            closing, self._closing = self._closing, None
            closing()
            moved = True
        return moved


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
