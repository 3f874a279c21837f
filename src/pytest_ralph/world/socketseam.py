"""The seam where a program meets the network: what it calls on its sockets.

For connections to declared services the real socket is non-blocking, and the waiting that the client asked
for is done by the scheduler in virtual time. All other sockets are passed through.
"""

from __future__ import annotations

import _socket
import errno
import socket
import ssl
import weakref
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar

from pytest_ralph.core.fault import SYN_SECONDS, Connect
from pytest_ralph.core.timeline import GaveUp, Stuck
from pytest_ralph.world import real
from pytest_ralph.world.endings import Ended, NeverEnds
from pytest_ralph.world.network import (
    ClientEnd,
    Endpoint,
    Meeting,
    Network,
    UndeclaredHost,
    no_delay,
)
from pytest_ralph.world.patching import Change, put
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Repointed, Undo
from pytest_ralph.world.scheduler import Scheduler, WorldIsOver
from pytest_ralph.world.streamseam import Streams
from pytest_ralph.world.tasks import strand
from pytest_ralph.world.tls import Authority, Bundles
from pytest_ralph.world.unsupported import UnsupportedError
from pytest_ralph.world.upstream import Upstream

T = TypeVar("T")

_POLLIN, _POLLOUT = 0x1, 0x4
_RAW = _socket.socket
_CONNECT_ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)
# What glibc says, see getaddrinfo(3) and gethostbyname(3): HOST_NOT_FOUND is 1 and TRY_AGAIN 2.
_LOOKUP_ERRORS: dict[tuple[type[OSError], bool], tuple[int, str]] = {
    (socket.gaierror, False): (socket.EAI_NONAME, "Name or service not known"),
    (socket.gaierror, True): (socket.EAI_AGAIN, "Temporary failure in name resolution"),
    (socket.herror, False): (1, "Unknown host"),
    (socket.herror, True): (2, "Host name lookup failure"),
}
_WANTS: dict[type[BaseException], int] = {
    ssl.SSLWantReadError: _POLLIN,
    ssl.SSLWantWriteError: _POLLOUT,
}


class SocketSeam:
    """Redirects resolver functions and socket methods to a simulated network.

    One object serves all worlds of a run, one after another.
    """

    def __init__(self) -> None:
        self._client: Client | None = None
        self._redirects = [
            Repointed(_socket.getaddrinfo, self._getaddrinfo),  # type: ignore[arg-type]
            Repointed(_socket.gethostbyname, self._gethostbyname),  # type: ignore[arg-type]
            Repointed(_socket.gethostbyname_ex, self._gethostbyname_ex),  # type: ignore[arg-type]
        ]

    def install(self, client: Client) -> Undo:
        """Make every socket see the client's network. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._client = client
            for redirect in self._redirects:
                stack.callback(redirect.install())
            stack.callback(put(client.methods))
            return stack.pop_all().close

    def _forget(self) -> None:
        self._client = None

    def _resolve(self, host: object) -> Any:
        address = self._client.network.resolve(host) if self._client else None
        return host if address is None else address

    def _resolve_for(self, host: object, port: object, failure: type[OSError] = socket.gaierror) -> Any:
        address = self._resolve(host)
        if self._client is not None and address is not host:
            self._client.look_up(host, port, failure)
        return address

    def _getaddrinfo(self, host: object, port: object = None, *args: Any, **kwargs: Any) -> Any:
        port = kwargs.pop("port", port)
        return real.getaddrinfo(self._resolve_for(host, port), port, *args, **kwargs)

    def _gethostbyname(self, host: object) -> Any:
        return real.gethostbyname(self._resolve_for(host, None))

    def _gethostbyname_ex(self, host: object) -> Any:
        return real.gethostbyname_ex(self._resolve_for(host, None, socket.herror))


class Client:
    """The waiting side of every simulated connection.

    Args:
        network: Who is connected to whom.
        scheduler: Does the waiting.
        recorder: Where timeouts are written down.
        authority: Gives the certificate authority.
        bundles: Certificate bundles that clients load.
        streams: Watches clients that speak HTTP/2.
    """

    def __init__(
        self,
        network: Network,
        scheduler: Scheduler,
        recorder: Recorder,
        authority: Callable[[], Authority],
        bundles: Bundles,
        streams: Streams,
    ) -> None:
        self.network = network
        self.bundles = bundles
        self._scheduler = scheduler
        self._recorder = recorder
        self._authority = authority
        self._streams = streams

    @cached_property
    def methods(self) -> list[Change]:
        """What takes the place of the methods of sockets."""
        return _methods(self)

    def end(self, sock: Any) -> ClientEnd | None:
        """The simulated connection of a socket object, None for any other socket."""
        end = self.network.end(sock.fileno())
        if end is not None and not any(owner() is sock for owner in end.owners):
            # A new object on a known descriptor, as when TLS is put on: it starts out blocking.
            end.owners.append(weakref.ref(sock))
            _RAW.settimeout(sock, 0.0)
        return end

    def connect(self, sock: Any, address: Any) -> bool:
        """Connect if the address is simulated. Returns whether it was.

        Raises:
            OSError: As the real call does.
            UndeclaredHost: The address is not on loopback and not declared.
        """
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        with _closing(sock):
            endpoint = self.network.endpoint(address)
            if endpoint is None or sock.type != socket.SOCK_STREAM:
                return False
            if self._scheduler.serving:
                raise UnsupportedError(_IN_CALLBACK)
            self._recorder.check()
        self._streams.look()
        self._scheduler.settle()
        self.look_up(address[0], address[1])
        met = self.network.meet(endpoint)
        if met.outcome is Connect.IGNORE:
            if _RAW.gettimeout(sock) == 0:
                self.network.leave_unanswered(endpoint, met.attempt, sock.fileno())
                _RAW.connect(sock, endpoint.silence.port)  # raises that it is under way, for ever
            self._wait_unanswered(sock, endpoint, met.attempt)
        self._really_connect(sock, endpoint, met)
        return True

    def look_up(self, host: object, port: object, failure: type[OSError] = socket.gaierror) -> None:
        """Look up a host; an address needs no lookup.

        Args:
            host: The name or address.
            port: The port, None if it is not told.
            failure: ``socket.gaierror``, or ``socket.herror`` for the older functions.

        Raises:
            OSError: The name is not found.
        """
        if self._scheduler.serving or (failed := self.network.look_up(host, port)) is None:
            return
        began = self._scheduler.clock.now
        # A resolver that is not answered knows no timeout of the client's.
        with suppress(WorldIsOver):
            if failed.lookup.after:
                self._scheduler.wait(_never, began + round(failed.lookup.after * 1e9), on_network=True)
        code, text = _LOOKUP_ERRORS[failure, failed.lookup.exists]
        self.network.not_found(failed, text)
        raise failure(code, text)

    def _really_connect(self, sock: Any, endpoint: Endpoint, met: Meeting) -> None:
        refused = met.outcome is Connect.REFUSE
        timeout = _RAW.gettimeout(sock)
        _RAW.settimeout(sock, 5.0)
        # One at a time: the next to be accepted must be the one that has just connected.
        with self._scheduler.alone():
            try:
                _RAW.connect(sock, endpoint.refusing if refused else endpoint.listening)
            except OSError:
                _RAW.settimeout(sock, timeout)
                raise
            end = self.network.accept(endpoint, met, sock.fileno(), timeout)
        end.owners.append(weakref.ref(sock))
        no_delay(sock)
        _RAW.settimeout(sock, 0.0)

    def _wait_unanswered(self, sock: Any, endpoint: Endpoint, attempt: int) -> None:
        timeout = _RAW.gettimeout(sock)
        began = self._scheduler.clock.now
        patience = SYN_SECONDS if timeout is None else timeout
        with suppress(WorldIsOver):
            self._scheduler.wait(_never, began + round(patience * 1e9), on_network=True)
        self._gave_up(endpoint.upstream, attempt, "connect", began)
        if timeout is None:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        raise TimeoutError("timed out")

    def transfer(self, sock: Any, end: ClientEnd, action: Callable[[], T], want: int, phase: str) -> T:
        """Do one operation on a simulated connection, waiting as long as the client allows.

        Args:
            sock: The client's socket object.
            end: Its connection.
            action: The real, non-blocking operation.
            want: What to wait for when it would block.
            phase: ``handshake``, ``read`` or ``write``, for the timeline.

        Raises:
            TimeoutError: The client's own timeout passed.
            OSError: As the real call does.
        """
        if self._scheduler.serving:
            raise UnsupportedError(_IN_CALLBACK)
        began: int | None = None
        while True:
            try:
                return action()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as blocked:
                mask = _WANTS.get(type(blocked), want)
                if end.timeout == 0:
                    raise
            with _closing(sock):
                if began is None:
                    self._recorder.check()
                    began = self._scheduler.clock.now
                self._wait(sock, end, mask, phase, began)

    def _wait(self, sock: Any, end: ClientEnd, mask: int, phase: str, began: int) -> None:
        fd = sock.fileno()
        deadline = None if end.timeout is None else began + round(end.timeout * 1e9)
        try:
            if self._scheduler.wait(lambda: real.ready(fd, mask), deadline, on_network=True):
                return
        except WorldIsOver:
            return  # by now the socket waits by itself
        except NeverEnds:
            self._recorder.add(Stuck, phase=phase, call=f"socket {phase}", location=self._recorder.here())
            raise
        self._gave_up(end.service.asked, end.service.attempt, phase, began)
        raise TimeoutError(_TIMEOUT_MESSAGES[phase] if isinstance(sock, ssl.SSLSocket) else "timed out")

    def _gave_up(self, upstream: Upstream, attempt: int, phase: str, began: int) -> None:
        self._recorder.add(
            GaveUp,
            upstream=upstream.url,
            attempt=attempt,
            phase=phase,
            after=round((self._scheduler.clock.now - began) / 1e9, 6),
            location=self._recorder.here(),
        )

    def sends(self, end: ClientEnd) -> None:
        """Remember which line of the user's sends."""
        location, site = self._recorder.place()
        end.location, end.site = location or end.location, site or end.site
        end.thread = strand()
        if end.timeout == 0:
            # An event loop would take an exception here for one of its own: the network ends the connection.
            self._recorder.is_over()

    def trust(self, context: ssl.SSLContext, server_hostname: object) -> None:
        """Let a client's context accept our certificate when it is for a declared host."""
        if self.network.trusts(server_hostname):
            self._authority().trusted_by(context)
        else:
            self.bundles.catch_up(context)


_IN_CALLBACK = "pytest-ralph: the callback of a declared answer must not use the network"
_TIMEOUT_MESSAGES = {
    "handshake": "The handshake operation timed out",
    "read": "The read operation timed out",
    "write": "The write operation timed out",
}


@contextmanager
def _closing(sock: Any) -> Generator[None]:
    """When the world refuses or ends a call, close its socket: the client cannot know that it should."""
    try:
        yield
    except (Ended, UndeclaredHost, UnsupportedError):
        _RAW.close(sock)
        raise


def _never() -> bool:
    return False


def _methods(client: Client) -> list[Change]:
    plain, tls = socket.socket, ssl.SSLSocket
    reading = ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")
    return [
        *((plain, name, _transferring(client, getattr(_RAW, name), _POLLIN, "read")) for name in reading),
        (plain, "send", _transferring(client, _RAW.send, _POLLOUT, "write")),
        (plain, "sendmsg", _sendmsg(client)),
        (plain, "sendall", _sendall(client)),
        (plain, "sendto", _sendto(client)),
        (plain, "connect", _connect(client)),
        (plain, "connect_ex", _connect_ex(client)),
        *((plain, name, value) for name, value in _options(client).items()),
        (tls, "read", _transferring(client, tls.read, _POLLIN, "read")),
        (tls, "write", _transferring(client, tls.write, _POLLOUT, "write")),
        (tls, "send", _transferring(client, tls.send, _POLLOUT, "write")),
        (tls, "do_handshake", _transferring(client, tls.do_handshake, _POLLIN, "handshake")),
        (tls, "unwrap", _transferring(client, tls.unwrap, _POLLIN, "read")),
        (ssl.SSLContext, "wrap_socket", _trusting(client, ssl.SSLContext.wrap_socket)),
        (ssl.SSLContext, "wrap_bio", _trusting(client, ssl.SSLContext.wrap_bio)),
        *((ssl.SSLContext, name, value) for name, value in _certificates(client.bundles).items()),
    ]


def _certificates(bundles: Bundles) -> dict[str, Any]:
    def load(self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        bundles.load(self, cafile, capath, cadata)

    def caught_up(name: str) -> Any:
        original = getattr(ssl.SSLContext, name)

        def look(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> Any:
            bundles.catch_up(self)
            return original(self, *args, **kwargs)

        return look

    return {
        "load_verify_locations": load,
        "get_ca_certs": caught_up("get_ca_certs"),
        "cert_store_stats": caught_up("cert_store_stats"),
    }


def _transferring(client: Client, original: Callable[..., Any], want: int, phase: str) -> Any:
    def transfer(self: Any, *args: Any, **kwargs: Any) -> Any:
        end = client.end(self)
        if end is None:
            return original(self, *args, **kwargs)
        if phase == "write":
            client.sends(end)
        return client.transfer(self, end, lambda: original(self, *args, **kwargs), want, phase)

    transfer.__name__ = original.__name__
    return transfer


def _sendall(client: Client) -> Any:
    def sendall(self: Any, data: Any, flags: int = 0) -> None:
        if client.end(self) is None:
            _RAW.sendall(self, data, flags)
            return
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < len(left):
                sent += self.send(left[sent:], flags)

    return sendall


def _sendto(client: Client) -> Any:
    def sendto(self: Any, data: Any, *args: Any) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6) and args:
            client.network.endpoint(args[-1])
        return _RAW.sendto(self, data, *args)

    return sendto


def _sendmsg(client: Client) -> Any:
    transfer = _transferring(client, _RAW.sendmsg, _POLLOUT, "write")

    def sendmsg(self: Any, *args: Any) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6) and len(args) > 3:
            client.network.endpoint(args[3])
        sent: int = transfer(self, *args)
        return sent

    return sendmsg


def _connect(client: Client) -> Any:
    def connect(self: Any, address: Any) -> None:
        if not client.connect(self, address):
            _RAW.connect(self, address)

    return connect


def _connect_ex(client: Client) -> Any:
    def connect_ex(self: Any, address: Any) -> int:
        try:
            if not client.connect(self, address):
                return _RAW.connect_ex(self, address)
        except OSError as error:
            return error.errno or errno.EAGAIN
        return 0

    return connect_ex


def _options(client: Client) -> dict[str, Any]:
    def settimeout(self: Any, value: float | None) -> None:
        end = client.end(self)
        _RAW.settimeout(self, value)  # checks the value, too
        if end is not None:
            end.timeout = _RAW.gettimeout(self)
            _RAW.settimeout(self, 0.0)

    def gettimeout(self: Any) -> float | None:
        end = client.end(self)
        return _RAW.gettimeout(self) if end is None else end.timeout

    def setblocking(self: Any, flag: bool) -> None:
        settimeout(self, None if flag else 0.0)

    def getblocking(self: Any) -> bool:
        return gettimeout(self) != 0

    def getpeername(self: Any) -> Any:
        end = client.end(self)
        if end is None or not end.open:
            return _RAW.getpeername(self)
        _RAW.getpeername(self)  # raises when no longer connected
        return (end.endpoint.address, end.endpoint.origin.port)

    def getsockopt(self: Any, level: int, option: int, *buffer: Any) -> Any:
        if (level, option) == _CONNECT_ERROR and client.network.has_timed_out(self.fileno()):
            return errno.ETIMEDOUT
        return _RAW.getsockopt(self, level, option, *buffer)

    return {
        "getsockopt": getsockopt,
        "settimeout": settimeout,
        "gettimeout": gettimeout,
        "setblocking": setblocking,
        "getblocking": getblocking,
        "getpeername": getpeername,
        "timeout": property(gettimeout),
    }


def _trusting(client: Client, original: Callable[..., Any]) -> Any:
    def wrap(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> Any:
        position = 4 if original.__name__ == "wrap_socket" else 3
        hostname = kwargs.get("server_hostname", args[position] if len(args) > position else None)
        client.trust(self, hostname)
        return original(self, *args, **kwargs)

    wrap.__name__ = original.__name__
    return wrap


__all__ = ["Client", "SocketSeam"]
