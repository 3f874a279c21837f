"""Faults of the connection: nobody answers, nobody listens, or the line goes dead."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_ralph.core.fault import (
    CALLABLES,
    SERVICES,
    SYN_SECONDS,
    Abort,
    Body,
    CallStep,
    Close,
    Connect,
    Exchange,
    Fault,
    Head,
    Kind,
    Lookup,
    Pause,
    Step,
    Throw,
    has_body,
    spelled,
)
from pytest_ralph.core.quantity import seconds, whole_number


@dataclass(frozen=True)
class Refuse(Fault):
    """Nobody listens: connecting fails at once (TCP RST to a SYN, ``ECONNREFUSED``).

    Connections that are already open are closed when the fault begins.

    Example:
        >>> Refuse()
        Refuse()
    """

    connect_stage: ClassVar[bool] = True

    def on_connect(self) -> Connect:
        return Connect.REFUSE


@dataclass(frozen=True)
class Unreachable(Fault):
    """The host never answers a connect: the client waits for as long as its connect timeout lets it.

    Without one, Linux gives up after 127 s (``tcp_syn_retries`` = 6, tcp(7)) with ``ETIMEDOUT``, and a Python
    callable raises what Python makes of that. Connections that are already open are closed when the fault
    begins.

    Example:
        >>> Unreachable()
        Unreachable()
    """

    connect_stage: ClassVar[bool] = True
    shown_by: ClassVar[frozenset[Kind]] = SERVICES | CALLABLES
    needs_timeout: ClassVar[bool] = True

    def on_connect(self) -> Connect:
        return Connect.IGNORE

    def on_call(self) -> Iterator[CallStep]:
        yield Pause(seconds=SYN_SECONDS)
        yield Throw(error=TimeoutError(errno.ETIMEDOUT, "Connection timed out"))


@dataclass(frozen=True)
class Reset(Fault):
    """The service resets the connection when the request has arrived (TCP RST, ``ECONNRESET``).

    Args:
        after_bytes: How many bytes of the body are sent before, with status and headers; None for no answer
            at all. Where there is no body (HEAD, redirects, empty answers), nothing is sent.

    Raises:
        ValueError: ``after_bytes`` is no whole number.

    Example:
        >>> Reset()
        Reset()
        >>> Reset(after_bytes=100)
        Reset(after_bytes=100)
    """

    after_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.after_bytes is not None:
            whole_number(self.after_bytes, name="after_bytes")

    def __repr__(self) -> str:
        return spelled(self)

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy() if self.after_bytes is not None else None
        if answer is not None and has_body(exchange, answer):
            yield Head(answer=answer)
            yield Body(data=answer.body[: self.after_bytes])
            # What has not been read yet is lost with a reset: the client is given a moment to read it.
            yield Pause(seconds=0.001)
        yield Abort()


@dataclass(frozen=True)
class CloseEarly(Fault):
    """The service closes the connection in the ordinary way (TCP FIN) without an answer.

    Args:
        after: How long after the request has arrived, as seconds or text.
        before_request: Whether it is closed when the first bytes arrive, of the request or of TLS, and before
            they are read as such. Connections that are already open are closed when the fault begins.

    Raises:
        TypeError: ``after`` is neither a number nor text.
        ValueError: It is not a duration, or given together with ``before_request``.

    Example:
        >>> CloseEarly()
        CloseEarly()
        >>> CloseEarly(after="30 s")
        CloseEarly(after='30 s')
    """

    after: float | str = 0
    before_request: bool = False

    def __post_init__(self) -> None:
        if seconds(self.after, name="after") and self.before_request:
            raise ValueError(
                f"CloseEarly: after counts from the request, which before_request leaves unread: "
                f"got {self.after!r}"
            )

    def __repr__(self) -> str:
        return spelled(self)

    def attempts(self) -> Iterator[Fault | None]:
        return itertools.repeat(self._shown())

    def parts(self) -> tuple[Fault, ...]:
        return (self._shown(),)

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        if wait := seconds(self.after, name="after"):
            yield Pause(seconds=wait)
        yield Close()

    def _shown(self) -> Fault:
        return _Dismissal(self) if self.before_request else self


@dataclass(frozen=True)
class _Dismissal(Fault):
    """Closes connections before a request is read."""

    connect_stage: ClassVar[bool] = True

    fault: CloseEarly

    def __repr__(self) -> str:
        return repr(self.fault)

    def on_connect(self) -> Connect:
        return Connect.DISMISS


@dataclass(frozen=True)
class DnsFailure(Fault):
    """The name of the host cannot be resolved: ``socket.gaierror``, before any connection.

    Connections that are already open are closed when the fault begins.

    Args:
        kind: ``nxdomain`` if the resolver says that there is no such name (``EAI_NONAME``), ``timeout`` if no
            name server answers (``EAI_AGAIN``).
        after: After how long the resolver gives up, for ``timeout``, as seconds or text: by default 10 s, the
            5 s times 2 attempts of resolv.conf(5) with one name server.

    Raises:
        TypeError: ``after`` is neither a number nor text.
        ValueError: ``kind`` is another, or ``after`` is not a duration.

    Example:
        >>> DnsFailure()
        DnsFailure('nxdomain')
        >>> DnsFailure("timeout")
        DnsFailure('timeout')
    """

    connect_stage: ClassVar[bool] = True

    kind: str = "nxdomain"
    after: float | str = 10

    def __post_init__(self) -> None:
        if self.kind not in ("nxdomain", "timeout"):
            raise ValueError(f"DnsFailure needs 'nxdomain' or 'timeout', got {self.kind!r}")
        seconds(self.after, name="after")
        if self.kind == "nxdomain" and self.after != 10:
            raise ValueError(
                f"DnsFailure: after is for 'timeout', an unknown name fails at once, got {self.after!r}"
            )

    def __repr__(self) -> str:
        rest = "" if self.after == 10 else f", after={self.after!r}"
        return f"DnsFailure({self.kind!r}{rest})"

    def on_resolve(self) -> Lookup:
        if self.kind == "nxdomain":
            return Lookup()
        return Lookup(after=seconds(self.after, name="after"), exists=True)
