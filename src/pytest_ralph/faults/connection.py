"""Faults of the connection: nobody answers, nobody listens, or the line goes dead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_ralph.core.fault import Abort, Connect, Exchange, Fault, Step


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

    Without one, Linux gives up after 127 s (``tcp_syn_retries`` = 6, tcp(7)) with ``ETIMEDOUT``. Connections
    that are already open are closed when the fault begins.

    Example:
        >>> Unreachable()
        Unreachable()
    """

    connect_stage: ClassVar[bool] = True

    def on_connect(self) -> Connect:
        return Connect.IGNORE


@dataclass(frozen=True)
class Reset(Fault):
    """The service resets the connection when the request has arrived (TCP RST, ``ECONNRESET``).

    Example:
        >>> Reset()
        Reset()
    """

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        yield Abort()
