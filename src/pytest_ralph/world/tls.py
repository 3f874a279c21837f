"""Certificates for the simulated services, and clients that trust them.

One authority is made per test run and never leaves the process. Clients come to trust it when they wrap a
connection whose server name is a declared host, and for no other host.
"""

from __future__ import annotations

import contextlib
import ssl
import weakref
from collections.abc import Callable

import trustme

_MAX_RECORD = 65_536


class Authority:
    """A certificate authority for declared hosts."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._pem = self._ca.cert_pem.bytes().decode("ascii")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._trusting: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()

    def server_context(self, host: str) -> ssl.SSLContext:
        """What a service needs to prove that it is ``host``."""
        context = self._contexts.get(host)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._ca.issue_cert(host).configure_cert(context)
            context.num_tickets = 0
            self._contexts[host] = context
        return context

    def trusted_by(self, context: ssl.SSLContext) -> None:
        """Make a client's context trust this authority as well."""
        if context not in self._trusting:
            context.load_verify_locations(cadata=self._pem)
            self._trusting.add(context)


class ServerTLS:
    """The service's side of TLS on one connection, without touching a socket.

    Args:
        context: From `Authority.server_context`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False

    def receive(self, data: bytes, send: Callable[[bytes], None]) -> bytes:
        """Take bytes from the wire.

        Args:
            data: What arrived.
            send: Takes what TLS itself has to answer.

        Returns:
            The decrypted bytes; empty while there are none.

        Raises:
            ssl.SSLError: The client does not accept the certificate, or speaks no TLS.
        """
        self._incoming.write(data)
        try:
            plain = self._decrypt()
        finally:
            send(self._outgoing.read())
        return plain

    def encrypt(self, data: bytes) -> bytes:
        """Bytes for the wire."""
        self._tls.write(data)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """The closing message for the wire."""
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        return self._outgoing.read()

    def _decrypt(self) -> bytes:
        chunks = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while chunk := self._tls.read(_MAX_RECORD):
                chunks.append(chunk)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        return b"".join(chunks)
