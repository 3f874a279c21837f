"""What the parts of a simulated service's end of a connection expect of one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pytest_ralph.core.fault import Answer, Connect, Request
from pytest_ralph.core.location import Location
from pytest_ralph.core.timeline import Event
from pytest_ralph.world.tls import ServerTLS
from pytest_ralph.world.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who sent a request.

    Attributes:
        location: The user's line.
        site: All of the user's lines on the stack.
        thread: The line of execution.
    """

    location: Location | None = None
    site: tuple[tuple[str, int], ...] = ()
    thread: int = 0


@dataclass(frozen=True, kw_only=True)
class Passage:
    """The way from a proxy to another service.

    Attributes:
        upstream: The other service.
        attempt: Number of the attempt to reach it.
        outcome: What came of it.
        tls: The other service's side of TLS; None if it speaks none.
        trustworthy: Whether a client can accept its certificate.
    """

    upstream: Upstream
    attempt: int
    outcome: Connect
    tls: ServerTLS | None
    trustworthy: bool = True


class Host(Protocol):
    """What a service needs from the network around it."""

    def record(self, kind: type[Event], **fields: object) -> None:
        """Write to the timeline."""

    def moment(self) -> int:
        """The present moment, in virtual nanoseconds."""

    def date(self) -> float:
        """The date, in virtual seconds since 1970."""

    def next_attempt(self) -> int:
        """Number a new attempt."""

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan something, in virtual seconds from now."""

    def delay(self, seconds: float) -> None:
        """Let an answer take so much longer."""

    def take_delay(self) -> float:
        """Virtual seconds that the answer takes longer."""

    def sender(self, stream: int | None = None) -> Sender:
        """Who has sent last, or who began a stream, where that is known."""

    def is_open(self) -> bool:
        """Whether the client still has its end of the connection."""

    def reach(self, host: str, port: int) -> Passage | str:
        """Connect to another service, as a proxy does; the reason if there is no such service."""


class Line(Protocol):
    """A connection, as those see it who speak HTTP on it."""

    @property
    def host(self) -> Host:
        """The network."""

    @property
    def upstream(self) -> Upstream:
        """The service that is spoken to."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    def take_attempt(self) -> int:
        """Number a request: the first belongs to the attempt that opened the connection."""

    def send(self, data: bytes) -> None:
        """Put bytes in line."""

    def then(self, action: Callable[[], None]) -> None:
        """Do something when all that is in line is sent."""

    def flush(self) -> bool:
        """Send what is in line, as far as the client has room. Returns whether anything happened."""

    def become(self, passage: Passage) -> None:
        """Be a tunnel from now on."""

    def close(self) -> None:
        """End the connection in the ordinary way."""

    def shut(self) -> None:
        """End the connection without a word."""

    def reset(self) -> None:
        """Reset the connection (TCP RST)."""


class Speaker(Protocol):
    """A version of HTTP on one connection."""

    multiplexed: bool
    """Whether several requests may be on their way at once."""

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""

    @property
    def attempt(self) -> int | None:
        """Number of the attempt the calling thread waits for; None if it made no request yet."""

    @property
    def asked(self) -> Upstream | None:
        """The service that answers now, if it is not the one at the end of the line."""

    def receive(self, data: bytes) -> None:
        """Take what has arrived."""

    def end_of_input(self) -> None:
        """Nothing more will arrive; an answer may still be waited for."""

    def advance(self) -> bool:
        """Answer what can be answered now. Returns whether anything happened."""

    def lost(self) -> None:
        """The client is gone."""

    def farewell(self) -> bool:
        """Say that the connection will be closed. Returns whether it is left to the client to close it."""

    def give_up(self, number: int) -> None:
        """The client wants no answer on one stream any more."""


class Carrier(Protocol):
    """What takes an answer to the client."""

    def head(self, request: Request, answer: Answer, length: int | None = None) -> None:
        """Put status and headers of an answer in line, announcing a length other than that of its body."""

    def body(self, data: bytes) -> None:
        """Put a part of the body in line."""

    def raw(self, data: bytes) -> None:
        """Put bytes in line that need not be HTTP."""

    def flush(self) -> None:
        """Send what is in line, as far as the client has room for it."""

    def complete(self) -> None:
        """The answer is complete."""

    def cut(self) -> None:
        """The answer ends here."""

    def reset(self) -> None:
        """Reset the connection at once (TCP RST)."""
