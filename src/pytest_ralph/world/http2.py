"""HTTP/2 as a service speaks it (RFC 9113), by h2: several requests at once, each on a stream of its own.

Imported only where a client speaks it: h2 is no dependency, and is there because the client needs it.
"""

from __future__ import annotations

from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from pytest_ralph.core.fault import Answer, Request
from pytest_ralph.core.timeline import Abandoned, Broken
from pytest_ralph.world.exchange import Exchange
from pytest_ralph.world.http1 import content_length, has_no_body, is_chunked, joined
from pytest_ralph.world.line import Line, Sender
from pytest_ralph.world.tasks import strand

# Header fields that HTTP/2 has no use for (RFC 9113, 8.2.2).
_OF_CONNECTIONS = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class HTTP2:
    """The service's side of HTTP/2 on one connection.

    Args:
        line: The connection.
    """

    multiplexed = True

    def __init__(self, line: Line) -> None:
        self.line = line
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._streams: dict[int, Stream] = {}
        self._leaving = False
        self.h2.initiate_connection()
        self.send()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not any(stream.exchange for stream in self._streams.values())

    @property
    def attempt(self) -> int | None:
        """Number of the attempt the calling thread waits for; None if it made no request yet."""
        me = strand()
        waiting = list(self._streams.values())
        mine = [stream for stream in waiting if stream.sender.thread == me] or waiting
        return mine[-1].attempt if mine else None

    @property
    def asked(self) -> None:
        """It is always the service at the end of the line."""

    # -- requests -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what has arrived; nothing any more once the client was asked to leave."""
        if self._leaving:
            return
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._fail(error)
            return
        for event in events:
            self._take(event)
        self.send()
        for stream in list(self._streams.values()):
            stream.push()

    def end_of_input(self) -> None:
        """Nothing more will arrive: HTTP/2 has no half-closed connections, so the client is gone."""
        self.lost()
        self.line.shut()

    def advance(self) -> bool:
        """All that has arrived has been dealt with already."""
        return False

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.lost()
        elif isinstance(event, h2.events.RequestReceived):
            self._streams[event.stream_id] = Stream(self, event.stream_id, _fields(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(event)
        elif (stream := self._streams.get(getattr(event, "stream_id", 0) or 0)) is None:
            return
        elif isinstance(event, h2.events.StreamEnded):
            stream.serve()
        elif isinstance(event, h2.events.StreamReset):
            self.give_up(stream.number)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        if (stream := self._streams.get(event.stream_id or 0)) is not None:
            stream.chunks.append(event.data or b"")
        if event.flow_controlled_length:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)

    # -- answers --------------------------------------------------------------------------------------

    def send(self) -> None:
        """Put in line what h2 has to send."""
        self.line.send(self.h2.data_to_send())

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self._streams.pop(stream.number, None)

    def reset(self) -> None:
        """Reset the connection, and with it every stream."""
        for stream in self._streams.values():
            if stream.exchange is not None:
                stream.exchange.broken("connection reset")
        self._streams.clear()
        self.line.reset()

    # -- endings --------------------------------------------------------------------------------------

    def give_up(self, number: int) -> None:
        """The client wants no answer on a stream any more."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.abandoned()

    def lost(self) -> None:
        """The client is gone."""
        for number in list(self._streams):
            self.give_up(number)

    def farewell(self) -> bool:
        """Ask the client to leave (GOAWAY), as services do before they close an idle connection.

        What it sends on new streams is not answered from now on, and it knows that it may send that again
        elsewhere.

        Returns:
            True: it is the client that closes the connection.
        """
        if not self._leaving:
            self._leaving = True
            for stream in list(self._streams.values()):
                stream.drop()
            self.h2.close_connection()
            self.send()
        return True

    def _fail(self, error: h2.exceptions.ProtocolError) -> None:
        attempt = self.attempt or self.line.take_attempt()
        how = f"not HTTP/2: {error}"
        self.line.host.record(Broken, upstream=self.line.upstream.url, attempt=attempt, how=how)
        self.send()
        self.line.flush()
        self.line.shut()


class Stream:
    """One request, and what takes its answer to the client, see `line.Carrier`.

    Args:
        http2: The connection.
        number: Number of the stream.
        fields: The header fields, those that begin with a colon included.
    """

    def __init__(self, http2: HTTP2, number: int, fields: tuple[tuple[str, str], ...]) -> None:
        self._http2 = http2
        self._fields = fields
        self._pending = b""
        self._after: Callable[[], None] | None = None
        self._bodiless = False
        self._broken = False
        self.number = number
        self.chunks: list[bytes] = []
        self.exchange: Exchange | None = None
        self.attempt = http2.line.take_attempt()
        self.sender: Sender = http2.line.host.sender(number)
        self._invite()

    def _invite(self) -> None:
        """Ask for the body, where the client waits for that (RFC 9110, 10.1.1)."""
        if ("expect", "100-continue") in self._fields:
            self._http2.h2.send_headers(self.number, [(":status", "100")])

    def serve(self) -> None:
        """The request is complete."""
        upstream, host = self._http2.line.upstream, self._http2.line.host
        request = self._request(upstream.url)
        self.exchange = Exchange(
            request,
            upstream=upstream,
            attempt=self.attempt,
            host=host,
            carrier=self,
            sender=self.sender,
        )
        self.exchange.begin(upstream.plan.on_request(request))

    def _request(self, url: str) -> Request:
        special = {name: value for name, value in self._fields if name.startswith(":")}
        authority = special.get(":authority", "")
        ordinary = tuple(pair for pair in self._fields if not pair[0].startswith(":"))
        named = any(name == "host" for name, _ in ordinary)
        raw = ordinary if named else (("host", authority), *ordinary)
        target = special.get(":path", authority)
        return Request(
            method=special.get(":method", ""),
            target=target,
            url=url + target,
            headers=joined(raw),
            body=b"".join(self.chunks),
            raw_headers=raw,
        )

    # -- what a carrier does --------------------------------------------------------------------------

    def head(self, request: Request, answer: Answer, length: int | None = None) -> None:
        """Put status and headers of an answer in line."""
        headers = [(":status", str(answer.status))]
        headers += [(name.lower(), value) for name, value in answer.headers if not _is_framing(name)]
        self._bodiless = has_no_body(request, answer)
        if not is_chunked(answer) and (not self._bodiless or request.method == "HEAD"):
            announced = content_length(request, answer) if length is None else length
            headers.append(("content-length", str(announced)))
        self._http2.h2.send_headers(self.number, headers, end_stream=self._bodiless)
        self._http2.send()

    def body(self, data: bytes) -> None:
        """Put a part of the body in line, as far as the client's window lets it."""
        if not self._bodiless:
            self._pending += data
            self.push()

    def raw(self, data: bytes) -> None:
        """Put bytes in line that need not be HTTP."""
        self._broken = True
        self._http2.line.send(data)

    def flush(self) -> None:
        """Send what is in line."""
        self._http2.line.flush()

    def complete(self) -> None:
        """The answer is complete."""
        self._when_sent(self._end)

    def cut(self) -> None:
        """The answer ends here: its stream is reset, as proxies do when what is behind them breaks off."""
        self._when_sent(self._break_off)

    def reset(self) -> None:
        """Reset the connection."""
        self._http2.reset()

    # -- how it goes ----------------------------------------------------------------------------------

    def push(self) -> None:
        """Send of the body what the client's window has room for (RFC 9113, 5.2)."""
        connection = self._http2.h2
        while self._pending:
            room = min(connection.local_flow_control_window(self.number), connection.max_outbound_frame_size)
            if room <= 0:
                break
            connection.send_data(self.number, self._pending[:room])
            self._pending = self._pending[room:]
            self._http2.send()
        if not self._pending and self._after is not None:
            after, self._after = self._after, None
            after()

    def _when_sent(self, action: Callable[[], None]) -> None:
        self._after = action
        self.push()
        self.flush()

    def _end(self) -> None:
        if not self._bodiless and not self._broken:
            self._http2.h2.end_stream(self.number)
            self._http2.send()
        self._http2.line.then(self._finish)

    def _finish(self) -> None:
        self._http2.forget(self)
        if self.exchange is not None:
            self.exchange.answered()
        if self._broken:
            self._http2.line.shut()

    def _break_off(self) -> None:
        self._http2.h2.reset_stream(self.number, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._http2.send()
        self._http2.line.then(self._broken_off)

    def _broken_off(self) -> None:
        self._http2.forget(self)
        if self.exchange is not None:
            self.exchange.broken()

    def abandoned(self) -> None:
        """The client wants no answer any more."""
        if self.exchange is not None:
            self.exchange.abandoned()
        else:
            self._http2.line.host.record(
                Abandoned,
                upstream=self._http2.line.upstream.url,
                attempt=self.attempt,
                location=self.sender.location,
                thread=self.sender.thread,
            )

    def drop(self) -> None:
        """The service does not care any more."""
        self._http2.forget(self)
        if self.exchange is not None:
            self.exchange.over = True


def _fields(headers: object) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers or ())  # type: ignore[attr-defined]


def _is_framing(name: str) -> bool:
    return name.lower() in _OF_CONNECTIONS or name.lower() == "content-length"
