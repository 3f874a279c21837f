"""What happened in a scenario: immutable events in virtual time, and a read-only view of them.

The world appends events while it plays; criteria only read. Times are virtual seconds since the judged
call began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, overload

from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import masked, short
from pytest_ralph.core.quantity import amount, duration

PHASE = 0.37
"""Seconds past a full second of the monotonic clock at which a timeline in virtual time begins.

Some clients end their waits at full seconds only. As no timeline begins at one, that can be told from a
timeout that is a second too long."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that crossed a seam.

    Attributes:
        at: Virtual seconds since the judged call began.
        location: The user's line behind it, where there is one.
    """

    at: float
    location: Location | None = None

    def text(self) -> str:
        """One line for people, without the time; empty for an event that is not worth a line."""
        return ""


@dataclass(frozen=True, kw_only=True)
class CallStarted(Event):
    """The test body was called.

    Attributes:
        index: Which call, from 0.
        callers: How many call at once.
        repeated: What the healthy call uses more than once: services, operations as ``URL METHOD PATH``, and
            services in a loop as ``URL loop``.
    """

    index: int
    callers: int = 1
    repeated: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CallEnded(Event):
    """The test body returned or raised.

    Attributes:
        index: Which call, from 0.
        error: Type and message of what it raised, or None.
        endless: Whether it was ended by the world.
    """

    index: int
    error: str | None = None
    endless: bool = False

    def text(self) -> str:
        if self.endless:
            return "call does not end by itself"
        return f"call raised {self.error}" if self.error else "call returned"


@dataclass(frozen=True, kw_only=True)
class Wire(Event):
    """Something on the network, part of one attempt.

    Attributes:
        upstream: URL of the simulated service.
        attempt: Number of the attempt in the scenario, from 1.
        thread: Which thread of the code under test, where known.
    """

    upstream: str
    attempt: int
    thread: int = 0


@dataclass(frozen=True, kw_only=True)
class Connected(Wire):
    """A client connected, or tried to.

    Attributes:
        outcome: ``accepted``, ``refused`` or ``unanswered``.
        site: Where in the user's code it comes from: every line on the stack.
    """

    outcome: str
    site: tuple[tuple[str, int], ...] = ()

    def text(self) -> str:
        return "" if self.outcome == "accepted" else f"connect {self.upstream} -> {self.outcome}"


@dataclass(frozen=True, kw_only=True)
class Requested(Wire):
    """A whole request arrived at the service.

    Attributes:
        site: Where in the user's code it comes from: every line on the stack.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    site: tuple[tuple[str, int], ...] = ()

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def name(self) -> str:
        """Method and target."""
        return f"{self.method} {self.target}"

    def text(self) -> str:
        return f"{self.name} ->"


@dataclass(frozen=True, kw_only=True)
class Answered(Wire):
    """The last byte of an answer was sent."""

    status: int

    def text(self) -> str:
        return f"answer {self.status}"


@dataclass(frozen=True, kw_only=True)
class Broken(Wire):
    """The service ended a connection before the answer was complete.

    Attributes:
        how: What it did, in words, such as ``connection reset`` or ``answer cut short``.
    """

    how: str

    def text(self) -> str:
        return self.how


@dataclass(frozen=True, kw_only=True)
class GaveUp(Wire):
    """A client's own timeout ended its wait.

    Attributes:
        phase: ``connect``, ``handshake``, ``read`` or ``write``.
        after: Virtual seconds it waited in this phase.
    """

    phase: str
    after: float

    def text(self) -> str:
        return f"client gave up after {duration(self.after)} ({self.phase} timeout)"


@dataclass(frozen=True, kw_only=True)
class Abandoned(Wire):
    """The client closed the connection before the answer was complete."""

    def text(self) -> str:
        return "client closed the connection"


@dataclass(frozen=True, kw_only=True)
class FaultMet(Event):
    """A fault was really met by the code under test."""

    upstream: str
    fault: str


@dataclass(frozen=True, kw_only=True)
class Waited(Event):
    """The code waited without the network.

    Attributes:
        until: When the wait ended, virtual seconds.
        call: What it called, such as ``time.sleep``.
    """

    until: float
    call: str

    def text(self) -> str:
        return f"wait {duration(self.until - self.at)}"


@dataclass(frozen=True, kw_only=True)
class Logged(Event):
    """A log record was emitted.

    Attributes:
        logger: Name of the logger.
        level: The standard level name, such as ``WARNING``.
        message: The message as written.
        fields: Values given beside the message.
    """

    logger: str
    level: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return f"log {self.level} {short(self.message, 80)}"


@dataclass(frozen=True, kw_only=True)
class Stuck(Event):
    """Nothing could ever end this wait: in production it would last for ever.

    Attributes:
        phase: ``handshake``, ``read``, ``write``, or ``wait`` for one without the network.
        call: What it called.
    """

    phase: str
    call: str

    def text(self) -> str:
        return f"waits for ever ({self.phase})"


@dataclass(frozen=True, kw_only=True)
class Escaped(Event):
    """Real time passed in a wait that the virtual clock does not see.

    Attributes:
        call: What it was, as far as known.
        seconds: Real seconds, rounded.
    """

    call: str
    seconds: float

    def text(self) -> str:
        return f"real wait in {self.call}"


@dataclass(frozen=True, kw_only=True)
class Outside(Event):
    """The code tried to reach something that was not declared.

    Attributes:
        target: The host or address.
        advice: The line to add.
    """

    target: str
    advice: str

    def text(self) -> str:
        return f"refused: {self.target} is not declared"


@dataclass(frozen=True, kw_only=True)
class Unmatched(Event):
    """A request reached a declared service that has no healthy answer for it."""

    upstream: str
    request: str
    advice: str

    def text(self) -> str:
        return f"{self.request} -> no answer declared"


@dataclass(frozen=True, kw_only=True)
class Mocked(Event):
    """A mock of the client answered a request in place of the network, or refused to.

    Attributes:
        mock: The mock's name, such as ``responses``.
        method: The HTTP method.
        url: The whole URL.
        status: The status code of the answer, where known.
    """

    mock: str
    method: str
    url: str
    status: int | None = None

    def text(self) -> str:
        answer = "answered" if self.status is None else str(self.status)
        return f"{self.method} {short(self.url, 80)} -> {answer} by {self.mock}"


@dataclass(frozen=True, kw_only=True)
class CutShort(Event):
    """The world ended the call because it would not end by itself.

    Attributes:
        limit: Which limit was reached, in words.
    """

    limit: str

    def text(self) -> str:
        return f"ended by the world: {self.limit}"


@dataclass(frozen=True, kw_only=True)
class Died(Event):
    """The process of an isolated scenario ended before the scenario did.

    Attributes:
        reason: How it ended, in words.
        stack: The lines it was in, innermost first, where they are known.
    """

    reason: str
    stack: tuple[str, ...] = ()

    def text(self) -> str:
        return f"the process {self.reason}"


@dataclass(frozen=True, kw_only=True)
class MemoryUsed(Event):
    """How much memory the calls of an isolated scenario used at most.

    Attributes:
        peak: The most bytes in use at a time, at least.
        limit: How many bytes there may be.
        mechanism: How that was measured.
        killed: Which process was killed for it, or would have been had somebody looked at that moment:
            ``the process`` or ``a child process``; empty if none.
        holders: The lines that made it grow most, where they are known.
    """

    peak: int
    limit: int
    mechanism: str
    killed: str = ""
    holders: tuple[str, ...] = ()

    def text(self) -> str:
        ended = f", {self.killed} was killed" if self.killed else ""
        return f"memory: {amount(self.peak, like=self.limit)}{ended} ({self.mechanism})"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Something that a process has open.

    Attributes:
        name: What it is, without what differs from run to run.
        location: The user's line that made it, where that is known.
    """

    name: str
    location: Location | None = None


@dataclass(frozen=True, kw_only=True)
class Held:
    """Memory that a line of the user's code has allocated and that is still held.

    Attributes:
        location: The line.
        size: Bytes.
        count: How many blocks.
    """

    location: Location | None
    size: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Counted(Event):
    """What the process had open was counted.

    Attributes:
        files: Open files, pipes and the like.
        sockets: Open sockets.
        threads: Threads that run.
        tasks: Tasks of asyncio that are not done.
        memory: Memory that was allocated since the first census and is held, by line.
    """

    files: tuple[Opened, ...] = ()
    sockets: tuple[Opened, ...] = ()
    threads: tuple[Opened, ...] = ()
    tasks: tuple[Opened, ...] = ()
    memory: tuple[Held, ...] = ()

    def text(self) -> str:
        counts = {"files": self.files, "sockets": self.sockets, "threads": self.threads, "tasks": self.tasks}
        return "open: " + ", ".join(f"{len(found)} {kind}" for kind, found in counts.items())


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """What calls with one amount of data cost.

    Attributes:
        n: The amount.
        seconds: Processor seconds of one call: the least of several.
        requests: How many requests one call made to simulated services.
    """

    n: int
    seconds: float
    requests: int = 0

    def text(self) -> str:
        return f"{duration(self.seconds)} of processor time for n = {self.n}"


E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Timeline(Sequence[Event]):
    """A read-only view of what was recorded, in order.

    Example:
        >>> timeline = Timeline((Waited(at=0.0, until=1.0, call="time.sleep"),))
        >>> timeline.lines()
        ['0.000 wait 1 s']
    """

    events: tuple[Event, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...
    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self.events[index]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def of(self, *kinds: type[E]) -> list[E]:
        """The events of these kinds, in order."""
        return [event for event in self.events if isinstance(event, kinds)]

    def call(self, index: int) -> Timeline:
        """The part that belongs to one call of the test body, or to several at once."""
        chosen: list[Event] = []
        open_calls = 0
        for event in self.events:
            if isinstance(event, CallStarted) and event.index == index:
                open_calls = event.callers
            if open_calls:
                chosen.append(event)
            if isinstance(event, CallEnded) and event.index == index:
                open_calls -= 1
        return Timeline(tuple(chosen))

    def lines(self, limit: int = 14) -> list[str]:
        """The events as text for people and agents, shortened in the middle.

        Args:
            limit: The most lines to give.
        """
        lines = list(_joined(self.events))
        if len(lines) <= limit:
            return lines
        head, tail = limit - limit // 3 - 1, limit // 3
        return [*lines[:head], f"... {len(lines) - head - tail} more ...", *lines[len(lines) - tail :]]


def _joined(events: Iterable[Event]) -> Iterator[str]:
    """Lines of text, a request and what became of it on one line."""
    pending = list(events)
    ends = {
        event.attempt: event
        for event in reversed(pending)
        if isinstance(event, (Answered, Broken, GaveUp, Abandoned))
    }
    told: set[int] = set()
    for event in pending:
        text = event.text()
        if isinstance(event, Requested):
            end = ends.get(event.attempt)
            outcome = "no answer" if end is None else _outcome(event, end)
            text = f"{event.name} -> {outcome}"
            told.add(event.attempt)
        elif isinstance(event, (Answered, Broken, GaveUp, Abandoned)) and event.attempt in told:
            continue
        if text:
            yield masked(f"{event.at:.3f} {text}")


def _outcome(request: Requested, end: Event) -> str:
    if isinstance(end, Answered):
        late = end.at - request.at
        return str(end.status) if late < 0.0005 else f"{end.status} after {duration(late)}"
    return end.text()
