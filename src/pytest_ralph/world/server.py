"""The service's end of one connection: a real loopback socket, served without a thread.

It is run from inside the waits of its clients: `ServiceConnection.pump` reads what has arrived and answers.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable

from pytest_ralph.core.timeline import Broken
from pytest_ralph.world.http1 import HTTP1
from pytest_ralph.world.line import Host, Passage, Speaker
from pytest_ralph.world.tls import ServerTLS, speaks_http2
from pytest_ralph.world.upstream import Upstream
from pytest_ralph.world.wire import HandshakeError, Wire

# The beginning of RFC 9113, 3.4; no method of HTTP/1.1 is called that.
_HTTP2_PREFACE = b"PRI "


class ServiceConnection:
    """The service's end of one connection.

    Args:
        sock: The accepted socket.
        upstream: The service.
        host: The network around it.
        attempt: Number of the attempt that opened the connection.
        secure: The service's side of TLS, for https.
    """

    def __init__(
        self,
        sock: _socket.socket,
        upstream: Upstream,
        host: Host,
        attempt: int,
        secure: ServerTLS | None,
    ) -> None:
        self._wire = Wire(sock)
        if secure is not None:
            self._wire.secure(secure)
        self._opened_by = attempt
        self._fresh = True
        self._speaker: Speaker | None = None
        self._ended = False
        self.dismissing = False
        """Whether it is closed as soon as anything arrives, in place of being served."""
        self.trustworthy = True
        """Whether a client can accept the certificate that it is shown."""
        self.upstream = upstream
        self.era = upstream.plan.era
        """Which faults had begun when it was opened, see `Plan.era`."""
        self.host = host

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._wire.fileno()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._wire.closed

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._speaker is None or self._speaker.idle

    @property
    def multiplexed(self) -> bool:
        """Whether several requests may be on their way at once."""
        return self._speaker is not None and self._speaker.multiplexed

    @property
    def attempt(self) -> int:
        """Number of the attempt that the calling thread waits for."""
        attempt = self._speaker.attempt if self._speaker is not None else None
        return self._opened_by if attempt is None else attempt

    @property
    def asked(self) -> Upstream:
        """The service whose answer the calling thread waits for: behind a proxy, not the proxy."""
        asked = self._speaker.asked if self._speaker is not None else None
        return asked or self.upstream

    # -- what the network does with it ----------------------------------------------------------------

    def pump(self) -> bool:
        """Read what has arrived and answer. Returns whether anything happened."""
        if self.closed:
            return False
        moved = self.flush()
        if self._ended and not self.host.is_open():
            self._lost()
            return True
        while not self._ended and not self.closed and self._read():
            moved = True
        return self._advance() or moved

    def close(self) -> None:
        """End the connection in the ordinary way, or ask the client to do so where the protocol can."""
        if self.closed:
            return
        if self._speaker is not None and self._speaker.farewell():
            self.flush()
            return
        self._say_goodbye()

    def give_up(self, stream: int) -> None:
        """The client wants no answer on one stream any more."""
        if self._speaker is not None and not self.closed:
            self._speaker.give_up(stream)

    def abort(self) -> None:
        """Reset the connection, whatever goes on."""
        self.reset()

    # -- what those do with it who speak HTTP ---------------------------------------------------------

    def take_attempt(self) -> int:
        """Number a request: the first belongs to the attempt that opened the connection."""
        fresh, self._fresh = self._fresh, False
        return self._opened_by if fresh else self.host.next_attempt()

    def send(self, data: bytes) -> None:
        """Put bytes in line."""
        self._wire.send(data)

    def then(self, action: Callable[[], None]) -> None:
        """Do something when all that is in line is sent."""
        self._wire.then(action)

    def flush(self) -> bool:
        """Send what is in line, as far as the client has room. Returns whether anything happened."""
        try:
            return self._wire.flush()
        except OSError:
            self._lost()
            return True

    def become(self, passage: Passage) -> None:
        """Be a tunnel to another service from now on."""
        self.upstream, self._opened_by = passage.upstream, passage.attempt
        self._fresh, self._speaker = True, None
        self.era, self.trustworthy = passage.upstream.plan.era, passage.trustworthy
        if passage.tls is not None:
            self._wire.secure(passage.tls)

    def shut(self) -> None:
        """End the connection without a word."""
        self._wire.close()

    def reset(self) -> None:
        """Reset the connection (TCP RST)."""
        if not self.closed:
            self._wire.reset()

    # -- reading --------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Take what has arrived. Returns whether anything has."""
        try:
            data = self._wire.receive()
        except EOFError:
            self._end_of_input()
            return True
        except OSError:
            self._lost()
            return True
        except HandshakeError as error:
            self.flush()
            self._break(f"TLS handshake failed: {error}")
            return True
        if data is None:
            return False
        if self.dismissing:
            self._break("connection closed before the request was read")
            return True
        self.flush()
        if data and not self.closed:
            self._speaker = self._speaker or self._speaks(data)
            self._speaker.receive(data)
            self.flush()
            self._advance()
        if self._wire.dismissed and not self.closed:
            self._abandoned()
            self._say_goodbye()
        return True

    def _speaks(self, data: bytes) -> Speaker:
        """What the client speaks: as agreed on (ALPN), or as its first bytes say."""
        begins = self._wire.protocol is None and speaks_http2() and data.startswith(_HTTP2_PREFACE)
        if begins or self._wire.protocol == "h2":
            from pytest_ralph.world.http2 import HTTP2

            return HTTP2(self)
        return HTTP1(self)

    def _say_goodbye(self) -> None:
        self._wire.say_goodbye()
        self.flush()
        self.shut()

    def _advance(self) -> bool:
        return self._speaker is not None and not self.closed and self._speaker.advance()

    def _end_of_input(self) -> None:
        """The client sends nothing any more; if it still has its end, it may wait for an answer."""
        self._ended = True
        if not self.host.is_open():
            self._lost()
        elif self._speaker is None:
            self._give_up()
        else:
            self._speaker.end_of_input()
            self._advance()

    def _lost(self) -> None:
        """The client is gone."""
        if not self.closed:
            self._abandoned()
            self._give_up()

    def _give_up(self) -> None:
        """Nothing more will come; not all clients say why they do not accept a certificate."""
        if self._speaker is None and self._wire.shaking_hands and not self.trustworthy:
            self._break("TLS handshake failed: the client closed the connection")
        else:
            self.shut()

    def _break(self, how: str) -> None:
        self.host.record(Broken, upstream=self.upstream.url, attempt=self.attempt, how=how)
        self.shut()

    def _abandoned(self) -> None:
        if self._speaker is not None:
            self._speaker.lost()
