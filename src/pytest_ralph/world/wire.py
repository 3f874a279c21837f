"""The service's end of a TCP connection: what comes in, what goes out in order, and TLS on both."""

from __future__ import annotations

import _socket
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable

from pytest_ralph.world.tls import ServerTLS

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_MAX_READ = 65_536


class HandshakeError(Exception):
    """The client does not accept the certificate, or speaks no TLS."""


class Wire:
    """A connected socket that never blocks.

    Args:
        sock: The accepted socket.
    """

    def __init__(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._layers: list[ServerTLS] = []
        self._outbox: deque[memoryview | Callable[[], None]] = deque()
        self.closed = False

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._sock.fileno()

    def secure(self, tls: ServerTLS) -> None:
        """Speak TLS from now on, inside of what is spoken so far."""
        self._layers.append(tls)

    @property
    def protocol(self) -> str | None:
        """What the client and the service agreed to speak (ALPN)."""
        return self._layers[-1].protocol if self._layers else None

    @property
    def shaking_hands(self) -> bool:
        """Whether TLS is not agreed on yet."""
        return any(not tls.established for tls in self._layers)

    @property
    def dismissed(self) -> bool:
        """Whether the client has said goodbye (``close_notify``), and may wait for the same."""
        return any(tls.closed for tls in self._layers)

    def receive(self) -> bytes | None:
        """What has arrived, decrypted; None if nothing has.

        Raises:
            EOFError: The client sends nothing any more.
            ConnectionError: The connection is gone.
            HandshakeError: It speaks no TLS, or not with this service.
        """
        try:
            data = self._sock.recv(_MAX_READ)
        except BlockingIOError:
            return None
        if not data:
            raise EOFError
        # Acknowledged at once: a delayed acknowledgement would come in real time.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for depth, tls in enumerate(self._layers):
            try:
                data, answer = tls.receive(data)
            except ssl.SSLError as error:
                self._queue(tls.pending(), depth)
                raise HandshakeError(error.reason or str(error)) from error
            self._queue(answer, depth)
        return data

    def send(self, data: bytes) -> None:
        """Put bytes in line; `flush` sends them."""
        self._queue(data, len(self._layers))

    def then(self, action: Callable[[], None]) -> None:
        """Do something when all that is in line is sent."""
        self._outbox.append(action)

    def flush(self) -> bool:
        """Send what the client has room for. Returns whether anything happened.

        Raises:
            ConnectionError: The connection is gone.
        """
        moved = False
        while self._outbox and not self.closed:
            first = self._outbox.popleft()
            if callable(first):
                first()
            else:
                try:
                    sent = self._sock.send(first)
                except BlockingIOError:
                    self._outbox.appendleft(first)
                    return moved
                if rest := first[sent:]:
                    self._outbox.appendleft(rest)
            moved = True
        return moved

    def say_goodbye(self) -> None:
        """Put the closing messages of TLS in line."""
        for depth in reversed(range(len(self._layers))):
            if self._layers[depth].established:
                self._queue(self._layers[depth].farewell(), depth)

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self._sock.close()

    def reset(self) -> None:
        """Close the socket with a TCP RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def _queue(self, data: bytes, depth: int) -> None:
        """Put bytes in line, through so many layers of TLS."""
        for tls in reversed(self._layers[:depth]):
            data = tls.encrypt(data) if data else data
        if data:
            self._outbox.append(memoryview(data))
