"""Certificates for the simulated services, and clients that trust them.

One authority is made per test run and never leaves the process. Clients come to trust it when they wrap a
connection whose server name is a declared host, and for no other host.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import importlib.util
import os
import ssl
import weakref
from typing import Any

import trustme

from pytest_ralph.core.fault import Certificate
from pytest_ralph.world import real

_MAX_RECORD = 65_536
_WRONG_HOST = "somebody-else.example"
_REAL_LOAD = ssl.SSLContext.load_verify_locations


@functools.cache
def speaks_http2() -> bool:
    """Whether services can speak HTTP/2: they do it by the library that clients in Python need for it."""
    return importlib.util.find_spec("h2") is not None


class Bundles:
    """Certificate bundles that clients load: read once, and again only where they can matter.

    Many clients load a bundle of all public authorities, 10 to 20 ms of parsing, for each new connection. For
    a connection to a declared host it is never looked at. A bundle that has been loaded before, and so is
    known to be good, is put off until the context is used for anything else.
    """

    def __init__(self) -> None:
        self._known: set[tuple[object, ...] | None] = set()
        self._waiting: weakref.WeakKeyDictionary[ssl.SSLContext, list[str]] = weakref.WeakKeyDictionary()

    def load(
        self,
        context: ssl.SSLContext,
        cafile: Any = None,
        capath: Any = None,
        cadata: Any = None,
    ) -> None:
        """What ``SSLContext.load_verify_locations`` does in the world."""
        mark = None if capath or cadata or not isinstance(cafile, str) else _mark(cafile)
        if mark is None or mark not in self._known:
            _REAL_LOAD(context, cafile, capath, cadata)
            self._known.update({mark} - {None})
        else:
            self._waiting.setdefault(context, []).append(cafile)

    def catch_up(self, context: ssl.SSLContext) -> None:
        """Load what was put off."""
        for cafile in self._waiting.pop(context, ()):
            _REAL_LOAD(context, cafile)

    def catch_up_all(self) -> None:
        """Load what was put off, in every context that is still in use."""
        for context in list(self._waiting):
            self.catch_up(context)


def _mark(cafile: str) -> tuple[object, ...] | None:
    """What tells whether a file is the same as before; None if it cannot be looked at."""
    try:
        found = os.stat(cafile)
    except OSError:
        return None
    return cafile, found.st_mtime_ns, found.st_size, found.st_ino


class Authority:
    """A certificate authority for declared hosts."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._pem = self._ca.cert_pem.bytes().decode("ascii")
        self._contexts: dict[tuple[str, Certificate | None], ssl.SSLContext] = {}
        self._trusting: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()

    def server_context(self, host: str, problem: Certificate | None = None) -> ssl.SSLContext:
        """What a service needs to prove that it is ``host``, or to fail to.

        Args:
            host: The host.
            problem: What is wrong with the certificate, if anything is.
        """
        context = self._contexts.get((host, problem))
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._issue(host, problem).configure_cert(context)
            context.set_alpn_protocols(["h2", "http/1.1"] if speaks_http2() else ["http/1.1"])
            # No session is resumed: every handshake is the same.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
            self._contexts[host, problem] = context
        return context

    def _issue(self, host: str, problem: Certificate | None) -> trustme.LeafCert:
        if problem is Certificate.UNKNOWN_ISSUER:
            return trustme.CA(organization_name="an authority that nobody trusts").issue_cert(host)
        if problem is Certificate.WRONG_HOST:
            return self._ca.issue_cert(_WRONG_HOST)
        if problem is Certificate.EXPIRED:
            # OpenSSL looks at the machine's clock, and virtual time is always later than that.
            today = dt.datetime.fromtimestamp(real.time_ns() / 1e9, tz=dt.timezone.utc)
            day = dt.timedelta(days=1)
            return self._ca.issue_cert(host, not_before=today - 90 * day, not_after=today - day)
        return self._ca.issue_cert(host)

    def trusted_by(self, context: ssl.SSLContext) -> None:
        """Make a client's context trust this authority as well."""
        if context not in self._trusting:
            _REAL_LOAD(context, cadata=self._pem)
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
        self.closed = False

    @property
    def protocol(self) -> str | None:
        """What was agreed on (ALPN, RFC 7301)."""
        return self._tls.selected_alpn_protocol()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes from the wire.

        Args:
            data: What arrived.

        Returns:
            The decrypted bytes, empty while there are none, and what TLS itself has to answer.

        Raises:
            ssl.SSLError: The client does not accept the certificate, or speaks no TLS.
        """
        self._incoming.write(data)
        plain = self._decrypt()
        return plain, self.pending()

    def pending(self) -> bytes:
        """What TLS itself has to say."""
        return self._outgoing.read()

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
            self.closed = True
        except ssl.SSLZeroReturnError:
            self.closed = True
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            pass
        return b"".join(chunks)
