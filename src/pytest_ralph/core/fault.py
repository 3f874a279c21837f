"""What a fault is: a value that says how a simulated service misbehaves.

A fault decides two things. When a client connects, whether anybody answers; when a request has arrived,
which steps the service takes: bytes to send, virtual time to let pass, how the connection ends. How those
steps are carried out is the world's business.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Connect(enum.Enum):
    """What happens to a client that connects."""

    ACCEPT = "accepted"
    REFUSE = "refused"
    IGNORE = "unanswered"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it arrived at a simulated service.

    Attributes:
        method: The HTTP method.
        target: Path and query as sent.
        url: The whole URL, with the host the client meant.
        headers: Header names in lower case, and values.
        body: The body, decoded from any transfer coding.
        raw_headers: Header names as sent, and values.
    """

    method: str
    target: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    raw_headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: The status code.
        headers: Header names and values.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Head:
    """Send status and headers.

    Attributes:
        answer: The answer they belong to; its body is not sent yet.
        length: The length to announce instead of that of the body, in bytes.
    """

    answer: Answer
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class Body:
    """Send a part of the body; status and headers were sent before."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Send:
    """Send a whole answer."""

    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Send bytes that need not be HTTP; the connection is of no use for anything else then."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Let virtual time pass before the next step.

    Attributes:
        seconds: Virtual seconds.
    """

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Keep the connection open and never go on."""


@dataclass(frozen=True, kw_only=True)
class Close:
    """Close the connection in the ordinary way (FIN)."""


@dataclass(frozen=True, kw_only=True)
class Abort:
    """Reset the connection (RST)."""


Step = Head | Body | Send | Raw | Pause | Hold | Close | Abort


class Exchange(Protocol):
    """One request being answered, as a fault sees it."""

    @property
    def request(self) -> Request:
        """The request that arrived."""

    @property
    def now(self) -> float:
        """The date, in virtual seconds since 1970."""

    @property
    def since_met(self) -> float:
        """Virtual seconds since a request met this fault for the first time; 0 for that request."""

    def healthy(self) -> Answer:
        """The answer declared for this request; its effects happen once, when this is first called."""


@dataclass(frozen=True)
class Fault:
    """Base of all faults: a service that works.

    Subclasses are frozen dataclasses and override what they break.
    """

    connect_stage: ClassVar[bool] = False
    """Whether the fault hits a client that connects, rather than one that has sent a request."""

    def on_connect(self) -> Connect:
        """Decide what happens to a client that connects."""
        return Connect.ACCEPT

    def fits(self, exchange: Exchange) -> bool:  # noqa: ARG002 - for those that look
        """Whether a request can meet the fault at all; if not, it is answered in the healthy way."""
        return True

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        """Give the steps by which a request is answered."""
        yield Send(answer=exchange.healthy())

    def __str__(self) -> str:
        return repr(self)
