"""The simulated network: declared services on real loopback sockets, and who is connected to them.

Each declared host has a loopback address of its own (127.66.0.n), so that addresses stay distinct even for
clients that drop the port, and each service a listener on a free port of it. What clients call on their
sockets is in `world.socketseam`.
"""

from __future__ import annotations

import _socket
import os
import socket
import struct
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_ralph.core.fault import SYN_SECONDS, Certificate, Connect, Fault, Lookup
from pytest_ralph.core.location import Location
from pytest_ralph.core.timeline import (
    Broken,
    Connected,
    Event,
    FaultMet,
    GaveUp,
    Outside,
    Requested,
    Stuck,
    Wire,
)
from pytest_ralph.world import real
from pytest_ralph.world.agenda import Agenda
from pytest_ralph.world.line import Passage, Sender
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.server import ServiceConnection
from pytest_ralph.world.tasks import strand
from pytest_ralph.world.tls import Authority, ServerTLS
from pytest_ralph.world.upstream import Origin, Upstream

Address = tuple[str, int]

_PORTS = {"http": 80, "https": 443}

_POLLIN = 0x1
_ESTABLISHED = 1
# FIN_WAIT1 and FIN_WAIT2 of <linux/tcp_states.h>: a client has shut down its side only.
_FIN_SENT = (4, 5)
# struct tcp_info of <linux/tcp.h>: state at 0, bytes_received at 128, bytes_sent at 200 and
# bytes_retrans at 208.
_TCP_INFO_SIZE = 216
_LINGER_TRIES = 200
# A listener and what fills its backlog.
_FILLERS = 4


class UndeclaredHost(RuntimeError):  # noqa: N818 - a name of the public contract
    """The code under test tried to reach a host that the test does not declare."""


class Names:
    """Host names and the loopback addresses they resolve to, the same for a whole run.

    Args:
        allowed: Hosts outside of the simulation that may be reached all the same.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = frozenset(allowed)
        self._addresses: dict[str, str] = {}
        self._outside: frozenset[str] | None = None

    def permits(self, address: str) -> bool:
        """Whether an address is that of a host that may be reached."""
        if not self.allowed:
            return False
        if self._outside is None:
            self._outside = frozenset(found for host in self.allowed for found in _looked_up(host))
        return address in self._outside

    def address(self, host: str) -> str:
        """The address of a declared host."""
        if host not in self._addresses:
            number = len(self._addresses) + 1
            self._addresses[host] = f"127.66.{number // 250}.{number % 250 + 1}"
        return self._addresses[host]


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A client connects.

    Attributes:
        attempt: Number of the attempt.
        outcome: What happens to it.
        problem: What is wrong with the certificate that it will be shown, if anything is.
    """

    attempt: int
    outcome: Connect
    problem: Certificate | None


@dataclass(frozen=True, kw_only=True)
class FailedLookup:
    """The lookup of a declared host's name that fails.

    Attributes:
        upstream: The service that was to be reached.
        host: Its name.
        attempt: Number of the attempt.
        lookup: How it fails.
    """

    upstream: Upstream
    host: str
    attempt: int
    lookup: Lookup


class Silence:
    """A port where connecting neither succeeds nor fails: its backlog is full, and the rest is dropped."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._sockets: list[_socket.socket] = []

    @property
    def port(self) -> Address:
        """Where to connect to get no answer."""
        if not self._sockets:
            listener = _bound(self._address)
            listener.listen(0)
            self._sockets.append(listener)
            while len(self._sockets) < _FILLERS:
                filler = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                self._sockets.append(filler)
        where: Address = self._sockets[0].getsockname()
        return where

    def close(self) -> None:
        """Free the port."""
        while self._sockets:
            self._sockets.pop().close()


@dataclass(eq=False, kw_only=True)
class Endpoint:
    """A declared service and where it listens."""

    origin: Origin
    upstream: Upstream
    address: str
    listener: _socket.socket
    closed_port: _socket.socket
    silence: Silence

    @property
    def listening(self) -> Address:
        """Where to connect to be accepted."""
        where: Address = self.listener.getsockname()
        return where

    @property
    def refusing(self) -> Address:
        """Where to connect to be refused."""
        where: Address = self.closed_port.getsockname()
        return where


@dataclass(eq=False, kw_only=True)
class ClientEnd:
    """The client's end of a simulated connection.

    Attributes:
        fd: Its descriptor; it may have been closed and used again, `inode` tells.
        inode: What identifies the socket.
        endpoint: Whom it is connected to.
        service: The other end.
        timeout: The timeout the client set, in seconds.
        location: The user's line that sent last.
        site: All of the user's lines on the stack then.
        thread: The thread that sent last.
    """

    fd: int
    inode: int
    endpoint: Endpoint
    service: ServiceConnection
    timeout: float | None
    location: Location | None = None
    site: tuple[tuple[str, int], ...] = ()
    thread: int = 0
    owners: list[Any] = field(default_factory=list)
    tries: int = 0

    @property
    def open(self) -> bool:
        """Whether the client still has it open."""
        return inode(self.fd) == self.inode


@dataclass(eq=False, kw_only=True)
class Unanswered:
    """A non-blocking connect that nobody answers."""

    fd: int
    inode: int
    endpoint: Endpoint
    attempt: int
    began: int
    location: Location | None
    thread: int


def inode(fd: int) -> int:
    """What identifies an open socket, 0 if there is none."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


class Network:
    """Declared services and the connections to them.

    Args:
        names: Addresses of hosts.
        authority: Gives the certificate authority; called only when an https service is declared.
        agenda: Where answers that take time are planned.
        recorder: Where what happens is written down.
        now: Virtual nanoseconds.
        changed: Called when a test injects a fault, so that it begins at once.
    """

    def __init__(
        self,
        names: Names,
        authority: Callable[[], Authority],
        agenda: Agenda,
        recorder: Recorder,
        now: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._names = names
        self._authority = authority
        self._agenda = agenda
        self._recorder = recorder
        self._now = now
        self._changed = changed
        self._endpoints: dict[Address, Endpoint] = {}
        self._hosts: dict[str, str] = {}
        self._ends: dict[int, ClientEnd] = {}
        self._unanswered: dict[int, Unanswered] = {}
        self._timed_out: set[int] = set()
        self._begun: dict[tuple[int, int], Sender] = {}
        self._current: ClientEnd | None = None
        self._delay = 0.0

    @property
    def upstreams(self) -> list[Upstream]:
        """The declared services."""
        return [endpoint.upstream for endpoint in self._endpoints.values()]

    # -- declaring ------------------------------------------------------------------------------------

    def declare(self, where: Origin, *, faulted: bool) -> Upstream:
        """Simulate a service, or give the one already simulated there."""
        address = self._names.address(where.host)
        known = self._endpoints.get((address, where.port))
        if known is not None:
            if known.origin != where:
                raise ValueError(f"port {where.port} of {where.host} is declared already, as {known.origin}")
            if known.upstream.faulted != faulted:
                raise ValueError(f"{where} is declared already, with faulted={known.upstream.faulted}")
            return known.upstream
        if where.scheme == "https":
            self._authority().server_context(where.host)
        listener, closed = _bound(address), _bound(address)
        listener.listen(128)
        listener.setblocking(False)
        upstream = Upstream(where, faulted=faulted, changed=self._changed)
        self._endpoints[(address, where.port)] = Endpoint(
            origin=where,
            upstream=upstream,
            address=address,
            listener=listener,
            closed_port=closed,
            silence=Silence(address),
        )
        self._hosts[where.host] = address
        return upstream

    def host(self, address: str) -> str | None:
        """The declared host at an address; None if there is none."""
        return next((host for host, known in self._hosts.items() if known == address), None)

    def resolve(self, host: object) -> str | None:
        """The address of a declared host; None for a host that is left to the real resolver.

        Raises:
            UndeclaredHost: The host is neither declared nor on loopback.
        """
        name = _name(host)
        if name in self._hosts:
            return self._hosts[name]
        if name is None or name in ("", "localhost", *self._names.allowed) or _is_loopback(name):
            return None
        if _is_numeric(name):
            return None
        raise self.outside(name, None)

    def endpoint(self, address: Any) -> Endpoint | None:
        """The service at an address a client connects to; None for what is left alone.

        Raises:
            UndeclaredHost: Nothing is declared there, and it is not on loopback.
        """
        if not isinstance(address, tuple) or len(address) < 2:
            return None
        name, port = _name(address[0]), address[1]
        address_of = self._hosts.get(name or "", name or "")
        found = self._endpoints.get((address_of, port))
        if found is not None:
            return found
        if address_of in self._hosts.values():
            host = next(host for host, known in self._hosts.items() if known == address_of)
            raise self.outside(host, port)
        if _is_loopback(address_of) or address_of in ("", "localhost", *self._names.allowed):
            return None
        if self._names.permits(address_of):
            return None
        raise self.outside(address_of, port)

    def outside(self, host: str, port: int | None, sender: ClientEnd | None = None) -> UndeclaredHost:
        """Note an attempt to leave the simulation, and make the error that refuses it.

        Args:
            host: What it tried to reach.
            port: The port, where it is known.
            sender: Whose request a proxy was to pass on.
        """
        scheme = "http" if port == 80 else "https"
        suffix = "" if port in (None, 80, 443) else f":{port}"
        proxy = next((name for name, value in os.environ.items() if _is_proxy(name, value, host)), None)
        advice = f'ralph_upstream("{scheme}://{host}{suffix}")'
        if proxy is not None:
            advice = f'monkeypatch.delenv("{proxy}")'
        location = self._recorder.here() if sender is None else sender.location
        shown = host if port is None else f"{host}:{port}"
        self._recorder.add(Outside, target=shown, advice=advice, location=location)
        return UndeclaredHost(
            f"pytest-ralph: {location or 'the code under test'} tried to reach {shown}, which this test does "
            f"not declare. Add {advice} to a fixture the test uses."
        )

    # -- connecting -----------------------------------------------------------------------------------

    def look_up(self, host: object, port: object, sender: ClientEnd | None = None) -> FailedLookup | None:
        """A client looks up a name: number the attempt if that fails.

        Args:
            host: The name.
            port: The port it is looked up for; None if the client does not tell.
            sender: Whose request a proxy passes on.
        """
        name = _name(host) or ""
        for endpoint in self._at(None if _is_numeric(name) else self._hosts.get(name), port):
            found = endpoint.upstream.plan.on_resolve()
            if found is not None:
                fault, lookup = found
                attempt = self._begin(endpoint, "unresolved", fault, sender)
                return FailedLookup(upstream=endpoint.upstream, host=name, attempt=attempt, lookup=lookup)
        return None

    def _at(self, address: str | None, port: object) -> list[Endpoint]:
        """The services on an address that a client may mean by a port, or by the name of one."""
        if address is None:
            return []
        shown = port.decode("ascii", "replace") if isinstance(port, bytes) else str(port)
        number = _PORTS.get(shown) or (int(shown) if shown.isdigit() else 0)
        return [
            endpoint
            for (known, at), endpoint in self._endpoints.items()
            if known == address and number in (0, at)
        ]

    def not_found(self, failed: FailedLookup, problem: str) -> None:
        """The lookup is over."""
        self._recorder.add(
            Broken,
            upstream=failed.upstream.url,
            attempt=failed.attempt,
            how=f"lookup of {failed.host} failed: {problem}",
            location=self._recorder.here(),
            thread=strand(),
        )

    def meet(self, endpoint: Endpoint, sender: ClientEnd | None = None) -> Meeting:
        """A client connects: number the attempt and decide what happens to it.

        Args:
            endpoint: Whom it connects to.
            sender: Whose request a proxy passes on.
        """
        fault = endpoint.upstream.plan.on_connect()
        outcome = fault.on_connect() if fault is not None else Connect.ACCEPT
        shown = Connect.ACCEPT if outcome is Connect.DISMISS else outcome
        return Meeting(
            attempt=self._begin(endpoint, shown.value, fault, sender),
            outcome=outcome,
            problem=fault.on_handshake() if fault is not None else None,
        )

    def _begin(self, endpoint: Endpoint, outcome: str, fault: Fault | None, sender: ClientEnd | None) -> int:
        """Number and note an attempt of which nothing but the beginning may be seen."""
        attempt = self._recorder.next_attempt()
        location, site = self._recorder.place() if sender is None else (sender.location, sender.site)
        self._recorder.add(
            Connected,
            upstream=endpoint.upstream.url,
            attempt=attempt,
            outcome=outcome,
            site=site,
            location=location,
            thread=strand() if sender is None else sender.thread,
        )
        if fault is not None:
            self._recorder.add(FaultMet, upstream=endpoint.upstream.url, fault=repr(fault), attempt=attempt)
        return attempt

    def reach(self, host: str, port: int) -> Passage | str:
        """A proxy connects to a declared service; the reason if there is no such service."""
        sender = self._current
        endpoint = self._endpoints.get((self._hosts.get(_name(host) or "", host), port))
        if endpoint is None:
            return str(self.outside(host, port, sender))
        if (failed := self.look_up(host, port, sender)) is not None:
            self.not_found(failed, "no such host" if not failed.lookup.exists else "no name server answers")
            return f"{endpoint.upstream.url}: name lookup failed"
        met = self.meet(endpoint, sender)
        return Passage(
            upstream=endpoint.upstream,
            attempt=met.attempt,
            outcome=Connect.REFUSE if met.outcome is Connect.DISMISS else met.outcome,
            tls=self._tls(endpoint, met.problem),
            trustworthy=met.problem is None,
        )

    def _tls(self, endpoint: Endpoint, problem: Certificate | None) -> ServerTLS | None:
        if endpoint.origin.scheme != "https":
            return None
        return ServerTLS(self._authority().server_context(endpoint.origin.host, problem))

    def accept(self, endpoint: Endpoint, met: Meeting, fd: int, timeout: float | None) -> ClientEnd:
        """Accept the connection that ``fd`` has just made."""
        sock = _accept(endpoint.listener)
        dismissed = met.outcome is Connect.DISMISS
        tls = None if dismissed else self._tls(endpoint, met.problem)
        service = ServiceConnection(sock, endpoint.upstream, _Host(self), met.attempt, tls)
        service.dismissing, service.trustworthy = dismissed, met.problem is None
        # Who opens it sends first; trio sends by a method that it bound before the seams were in place.
        location, site = self._recorder.place()
        end = ClientEnd(
            fd=fd,
            inode=inode(fd),
            endpoint=endpoint,
            service=service,
            timeout=timeout,
            location=location,
            site=site,
            thread=strand(),
        )
        self._ends[end.inode] = end
        return end

    def leave_unanswered(self, endpoint: Endpoint, attempt: int, fd: int) -> None:
        """A non-blocking client connects, and nobody answers."""
        unanswered = Unanswered(
            fd=fd,
            inode=inode(fd),
            endpoint=endpoint,
            attempt=attempt,
            began=self._now(),
            location=self._recorder.here(),
            thread=strand(),
        )
        self._unanswered[unanswered.inode] = unanswered

        def time_out() -> None:
            if self._unanswered.pop(unanswered.inode, None) and inode(fd) == unanswered.inode:
                self._given_up(unanswered)
                self._timed_out.add(unanswered.inode)
                _shut_down(fd)

        self._agenda.add(unanswered.began + round(SYN_SECONDS * 1e9), time_out)

    def has_timed_out(self, fd: int) -> bool:
        """Whether a non-blocking connect was given up by the kernel, as ``SO_ERROR`` tells."""
        found = inode(fd)
        if found not in self._timed_out:
            return False
        self._timed_out.discard(found)
        return True

    def _given_up(self, unanswered: Unanswered) -> None:
        self._recorder.add(
            GaveUp,
            upstream=unanswered.endpoint.upstream.url,
            attempt=unanswered.attempt,
            phase="connect",
            after=round((self._now() - unanswered.began) / 1e9, 6),
            location=unanswered.location,
            thread=unanswered.thread,
        )

    def _notice_given_up(self) -> None:
        for unanswered in list(self._unanswered.values()):
            if inode(unanswered.fd) != unanswered.inode:
                del self._unanswered[unanswered.inode]
                self._given_up(unanswered)

    def simulates(self, found: int) -> bool:
        """Whether an inode is that of one end of a simulated connection."""
        return (
            found in self._ends
            or found in self._unanswered
            or any(inode(end.service.fileno()) == found for end in self._ends.values())
        )

    def break_off(self) -> bool:
        """End the answers that event loops wait for without a limit. Returns whether there were any."""
        hung = [
            end
            for end in self._ends.values()
            if end.timeout == 0 and end.open and not end.service.closed and not end.service.idle
        ]
        for end in hung:
            self._recorder.add(Stuck, phase="read", call="event loop", location=end.location)
        self._recorder.tear() if hung else None
        return self._break_off(hung)

    def _break_off(self, ends: list[ClientEnd]) -> bool:
        for end in ends:
            end.service.abort()
        return bool(ends)

    def end(self, fd: int) -> ClientEnd | None:
        """The simulated connection behind a client's descriptor."""
        if not self._ends or fd < 0:
            return None
        return self._ends.get(inode(fd))

    def stream_begins(self, fd: int, stream: int, sender: Sender) -> None:
        """A client begins a stream of HTTP/2: its bytes may be sent by others."""
        self._begun[(fd, stream)] = sender

    def began(self, end: ClientEnd, stream: int) -> Sender | None:
        """Who has begun a stream of HTTP/2, where that is known."""
        return self._begun.pop((end.fd, stream), None)

    def stream_is_left(self, fd: int, stream: int) -> None:
        """A client does not wait for the answer on a stream any more, if it ever did."""
        if (end := self.end(fd)) is not None:
            with self._serving(end):
                end.service.give_up(stream)

    def trusts(self, host: object) -> bool:
        """Whether clients should accept our certificate for this server name."""
        return _name(host) in self._hosts

    # -- running --------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Let every service read and answer. Returns whether anything happened."""
        moved = False
        self._notice_given_up()
        if self._recorder.expired():
            self._break_off([end for end in self._ends.values() if end.timeout == 0])
        for end in list(self._ends.values()):
            if end.service.closed:
                continue
            with self._serving(end):
                moved = end.service.pump() or moved
        self._drop_broken()
        return moved

    @contextmanager
    def _serving(self, end: ClientEnd | None) -> Generator[None]:
        before, self._current = self._current, end
        try:
            yield
        finally:
            self._current = before

    def settled(self) -> bool:
        """Whether all bytes sent on simulated connections have arrived at the other end."""
        return all(_arrived(end) for end in list(self._ends.values()))

    def hang_up(self) -> None:
        """Close every connection from the service's side, as after a long silence."""
        for end in list(self._ends.values()):
            end.service.close()

    def close(self) -> None:
        """Close everything and give the clients' sockets back their own timeouts."""
        for end in self._ends.values():
            end.service.abort() if not end.service.idle else end.service.close()
            end.service.shut()
            for sock in (reference() for reference in end.owners):
                if sock is not None and sock.fileno() == end.fd and end.open:
                    _socket.socket.settimeout(sock, end.timeout)
        self._ends.clear()
        self._unanswered.clear()
        for endpoint in self._endpoints.values():
            endpoint.silence.close()
            endpoint.listener.close()
            endpoint.closed_port.close()
        self._endpoints.clear()
        self._hosts.clear()

    def sleep_in_service(self, seconds: float) -> None:
        """A declared callback slept: the answer takes that much longer."""
        self._delay += seconds

    def _drop_broken(self) -> None:
        for end in list(self._ends.values()):
            if end.service.closed and not end.open:
                del self._ends[end.inode]
            elif end.service.idle and end.service.upstream.plan.is_broken_since(end.service.era):
                end.service.close()


class _Host:
    """What a service connection needs from the network, see `line.Host`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def record(self, kind: type[Event], **fields: Any) -> None:
        end = self._network._current
        if end is not None and end.location is not None:
            fields.setdefault("location", end.location)
        if end is not None and issubclass(kind, Wire):
            fields.setdefault("thread", end.thread)
        if end is not None and kind is Requested:
            fields.setdefault("site", end.site)
        self._network._recorder.add(kind, **fields)

    def moment(self) -> int:
        return self._network._recorder.moment

    def date(self) -> float:
        return self._network._recorder.date

    def next_attempt(self) -> int:
        return self._network._recorder.next_attempt()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        network = self._network
        end = network._current

        def act() -> None:
            with network._serving(end):
                action()

        network._agenda.add(network._now() + round(seconds * 1e9), act)

    def delay(self, seconds: float) -> None:
        self._network.sleep_in_service(seconds)

    def take_delay(self) -> float:
        delay, self._network._delay = self._network._delay, 0.0
        return delay

    def sender(self, stream: int | None = None) -> Sender:
        end = self._network._current
        if end is None:
            return Sender()
        last = Sender(location=end.location, site=end.site, thread=end.thread)
        return last if stream is None else self._network.began(end, stream) or last

    def is_open(self) -> bool:
        end = self._network._current
        return end is None or end.open

    def reach(self, host: str, port: int) -> Passage | str:
        return self._network.reach(host, port)


def _bound(address: str) -> _socket.socket:
    sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((address, 0))
    return sock


def _shut_down(fd: int) -> None:
    """Make a connect that is under way fail."""
    sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        sock.detach()


def _accept(listener: _socket.socket) -> _socket.socket:
    if not real.ready(listener.fileno(), _POLLIN):
        real.select_select([listener.fileno()], [], [], 5)
    fd, _ = listener._accept()  # type: ignore[attr-defined]
    sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    no_delay(sock)
    return sock


def no_delay(sock: Any) -> None:
    """Send at once: bytes that Nagle's algorithm holds back would come in real time, not in virtual."""
    _socket.socket.setsockopt(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _arrived(end: ClientEnd) -> bool:
    client = _tcp_info(end.fd) if end.open else None
    if client is None:
        return end.service.closed or _eof_arrived(end)
    if end.service.closed:
        # With unread bytes before it, the end of the stream may have to wait for the client to read.
        return client[0] != _ESTABLISHED or bool(real.ready(end.fd, _POLLIN))
    service = _tcp_info(end.service.fileno())
    return service is None or (_has_all(service, client) and _has_all(client, service))


def _has_all(receiver: tuple[int, int, int], sender: tuple[int, int, int]) -> bool:
    """Whether what one end sent has arrived at the other, a FIN included; the kernel counts it as a byte."""
    return receiver[2] >= sender[1] and (sender[0] not in _FIN_SENT or receiver[0] != _ESTABLISHED)


def _eof_arrived(end: ClientEnd) -> bool:
    """Whether the client's close has arrived; given up on if somebody else holds the socket open."""
    info = _tcp_info(end.service.fileno())
    end.tries += 1
    return info is None or info[0] != _ESTABLISHED or end.tries > _LINGER_TRIES


def _tcp_info(fd: int) -> tuple[int, int, int] | None:
    """State, bytes sent and bytes received of a TCP socket."""
    try:
        sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    except OSError:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return None
    finally:
        sock.detach()
    received, sent, again = (struct.unpack_from("Q", info, at)[0] for at in (128, 200, 208))
    return info[0], sent - again, received


def _name(host: object) -> str | None:
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    return host.rstrip(".").lower() if isinstance(host, str) else None


def _is_proxy(name: str, value: str, host: str) -> bool:
    return name.lower().endswith("_proxy") and host in value.lower()


def _is_numeric(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _looked_up(host: str) -> set[str]:
    """The real addresses of a host; none if it cannot be looked up."""
    try:
        found = real.getaddrinfo(host, None)
    except OSError:
        return set()
    return {str(where[0]) for *_, where in found}


def _is_loopback(name: str) -> bool:
    return name.startswith("127.") or name in ("::1", "0.0.0.0", "::")
