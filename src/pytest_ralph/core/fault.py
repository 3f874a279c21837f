"""What a fault is: a value that says how a dependency misbehaves.

A fault decides what a client meets, stage by stage. When it looks up the host, whether there is one; when it
connects, whether anybody answers; in the handshake of TLS, which certificate it is shown; when its request
has arrived, which steps the service takes: bytes to send, virtual time to let pass, how the connection ends.
A dependency that is a Python callable takes steps as well, before it does its work. How those steps are
carried out is the world's business.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol


class Kind(enum.Enum):
    """What a dependency is, as far as it decides which faults it can show."""

    HTTP = "a service on http://"
    HTTPS = "a service on https://"
    FUNCTION = "a Python callable"
    COROUTINE = "an asynchronous Python callable"


# What Linux gives a SYN that nobody answers: tcp_syn_retries = 6, see tcp(7).
SYN_SECONDS = 127.0

SERVICES = frozenset({Kind.HTTP, Kind.HTTPS})
CALLABLES = frozenset({Kind.FUNCTION, Kind.COROUTINE})


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """How the lookup of a host name fails.

    Attributes:
        after: Virtual seconds until the resolver gives up.
        exists: Whether the name may exist: it was not found out (``EAI_AGAIN``), rather than denied
            (``EAI_NONAME``).
    """

    after: float = 0.0
    exists: bool = False


class Connect(enum.Enum):
    """What happens to a client that connects."""

    ACCEPT = "accepted"
    REFUSE = "refused"
    IGNORE = "unanswered"
    DISMISS = "accepted, and closed before a request is read"


class Certificate(enum.Enum):
    """What is wrong with the certificate that a service shows."""

    EXPIRED = "expired"
    WRONG_HOST = "wrong_host"
    UNKNOWN_ISSUER = "unknown_issuer"


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


@dataclass(frozen=True, kw_only=True)
class Throw:
    """Raise an exception, as a Python callable does."""

    error: Exception


Step = Head | Body | Send | Raw | Pause | Hold | Close | Abort
CallStep = Pause | Hold | Throw


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
    """Whether the fault hits a client before it has sent a request: it cannot tell requests apart."""

    shown_by: ClassVar[frozenset[Kind]] = SERVICES
    """The kinds of dependencies that can show it."""

    needs_timeout: ClassVar[bool] = False
    """Whether only a timeout of the caller's ends it in time: calls that cannot have one are spared."""

    def attempts(self) -> Iterator[Fault | None]:
        """Give what one attempt after another meets, None for an attempt that meets nothing.

        It is asked once when the fault is injected. A fault that is not the same for every attempt overrides
        it; what it gives must meet every attempt alike. When it ends, the service is healthy.
        """
        return itertools.repeat(self)

    def parts(self) -> tuple[Fault, ...]:
        """The faults that attempts may meet: itself, unless it is made of others."""
        return (self,)

    def on_resolve(self) -> Lookup | None:
        """Decide how the lookup of the host's name fails, if it does."""
        return None

    def on_connect(self) -> Connect:
        """Decide what happens to a client that connects."""
        return Connect.ACCEPT

    def on_handshake(self) -> Certificate | None:
        """Decide what is wrong with the certificate, if anything is."""
        return None

    def fits(self, exchange: Exchange) -> bool:  # noqa: ARG002 - for those that look
        """Whether a request can meet the fault at all; if not, it is answered in the healthy way."""
        return True

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        """Give the steps by which a request is answered."""
        yield Send(answer=exchange.healthy())

    def on_call(self) -> Iterator[CallStep]:
        """Give the steps that a Python callable takes before it does its work."""
        yield from ()

    def __str__(self) -> str:
        return repr(self)


def has_body(exchange: Exchange, answer: Answer) -> bool:
    """Whether the client reads a body: not after HEAD, and clients do not look at that of a redirect."""
    return bool(answer.body) and exchange.request.method != "HEAD" and not 300 <= answer.status < 400


def spelled(fault: Fault, *always: str) -> str:
    """Spell the code that makes a fault, leaving out arguments that have their defaults.

    Args:
        fault: The fault, whose fields are its arguments.
        always: Arguments that are shown even then.
    """
    shown = [
        f"{each.name}={value!r}"
        for each in fields(fault)
        if (value := getattr(fault, each.name)) != each.default or each.name in always
    ]
    return f"{type(fault).__name__}({', '.join(shown)})"


def can_show(kind: Kind, fault: Fault) -> bool:
    """Whether a dependency of a kind can show a fault, with all of its parts."""
    return all(kind in part.shown_by for part in fault.parts())


def check_shown(kind: Kind, fault: object, name: str) -> Fault:
    """Check that a dependency can show a fault.

    Args:
        kind: What the dependency is.
        fault: The fault.
        name: The dependency, for the message.

    Raises:
        TypeError: It is no fault.
        ValueError: A dependency of this kind cannot show it.
    """
    if not isinstance(fault, Fault):
        raise TypeError(f"{name}: inject needs a fault such as ralph.faults.Hang(), got {fault!r}")
    for part in fault.parts():
        if kind not in part.shown_by:
            kinds = " or ".join(each.value for each in Kind if each in part.shown_by)
            raise ValueError(f"{name}: {part!r} is for {kinds}, and this is {kind.value}")
    return fault
