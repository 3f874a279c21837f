"""What happened in a scenario: immutable events in virtual time, and a read-only view of them.

The world appends events while it plays; criteria only read. Times are virtual seconds since the judged
call began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, overload

from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import masked, short
from pytest_ralph.core.metrics import Metric
from pytest_ralph.core.quantity import amount, duration, times

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

    crosses: ClassVar[bool] = False
    """Whether the code reached out of its own process: what must not happen with input that is not valid."""

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
        given: What the test passes to the code in every call alike, as text: constants in its body, and
            values of its fixtures and parameters.
    """

    index: int
    callers: int = 1
    repeated: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CallEnded(Event):
    """The test body returned or raised.

    Attributes:
        index: Which call, from 0.
        error: Type and message of what it raised, shortened, or None.
        endless: Whether it was ended by the world, even if the code caught that and went on.
        kinds: Names of the classes of what it raised, the most special first: see `classes`.
        own: Whether the test itself raised it, about something that the code under test has returned, and not
            what it calls.
        raised: The whole text of what it raised and of its causes, as a traceback would show it.
    """

    index: int
    error: str | None = None
    endless: bool = False
    kinds: tuple[str, ...] = ()
    own: bool = False
    raised: str = ""

    def is_of(self, kinds: Iterable[type[Exception]]) -> bool:
        """Whether the call raised one of these exceptions, or one derived from them."""
        return any(named(each) in self.kinds for each in kinds)

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
        outcome: ``accepted``, ``refused``, ``unanswered``, or ``unresolved`` if the name was not found.
        site: Where in the user's code it comes from: every line on the stack.
    """

    crosses: ClassVar[bool] = True

    outcome: str
    site: tuple[tuple[str, int], ...] = ()

    def text(self) -> str:
        return (
            "" if self.outcome in ("accepted", "unresolved") else f"connect {self.upstream} -> {self.outcome}"
        )


@dataclass(frozen=True, kw_only=True)
class Requested(Wire):
    """A whole request arrived at the service, or a Python callable was called.

    A call has the method ``call``, the callable's name as its target and the arguments as its body.

    Attributes:
        site: Where in the user's code it comes from: every line on the stack.
    """

    crosses: ClassVar[bool] = True

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
class Performed(Wire):
    """The service did what a request asked for, whatever becomes of the answer.

    Attributes:
        status: The status code of the healthy answer; from 400 on, nothing was done.
    """

    status: int


@dataclass(frozen=True, kw_only=True)
class Answered(Wire):
    """The last byte of an answer was sent.

    Attributes:
        status: The status code.
        retry_after: After how many virtual seconds it asked the client to come back, if it did.
    """

    status: int
    retry_after: float | None = None

    def text(self) -> str:
        return f"answer {self.status}"


@dataclass(frozen=True, kw_only=True)
class Returned(Wire):
    """A Python callable returned."""

    def text(self) -> str:
        return "returned"


@dataclass(frozen=True, kw_only=True)
class Raised(Wire):
    """A Python callable raised an exception.

    Attributes:
        error: Type and message.
        types: Names of the exception's classes, the most special first: see `classes`.
    """

    error: str
    types: tuple[str, ...]

    def text(self) -> str:
        return f"raised {short(self.error, 80)}"


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
        phase: ``connect``, ``handshake``, ``read`` or ``write``; ``call`` for a Python callable.
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
    """A fault was really met by the code under test.

    Attributes:
        upstream: URL of the simulated service.
        fault: The code that makes the fault.
        attempt: Number of the attempt that met it, from 1.
    """

    upstream: str
    fault: str
    attempt: int = 0


@dataclass(frozen=True, kw_only=True)
class Spared(Event):
    """A fault was aimed at a request that cannot meet it, and the answer was healthy."""

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
class HandedOver(Event):
    """The test handed over what the code under test returned, by ``ralph_returned``.

    Attributes:
        value: The value.
    """

    value: object


@dataclass(frozen=True, kw_only=True)
class Written(Event):
    """A line was written to a log, as production would get it: after every processor and formatter.

    Attributes:
        line: The whole text, without the line break at its end.
        level: The level it was logged at, such as ``WARNING``; empty for a line that was printed.
        logger: Name of the logger; ``stdout`` or ``stderr`` for a line that was printed.
        writer: Class of the handler, logger or sink that wrote it; empty where nothing is set up to write.
        handling: Whether an exception was being handled when it was logged.
        entry: A number for what was logged: several handlers may each write a line of it.
    """

    line: str
    level: str = ""
    logger: str = ""
    writer: str = ""
    handling: bool = False
    entry: int = 0

    @property
    def printed(self) -> bool:
        """Whether it was printed rather than logged."""
        return not self.level

    def text(self) -> str:
        # A line that was logged has an event of its own for people, see `Logged`.
        return f"{self.logger}: {short(self.line, 80)}" if self.printed else ""


@dataclass(frozen=True, kw_only=True)
class Exported(Event):
    """What the metrics of the program were when a call had ended, and when it began.

    Attributes:
        index: Which call, from 0.
        metrics: Every metric that an exporter would show.
    """

    index: int
    metrics: tuple[Metric, ...] = ()

    def text(self) -> str:
        changes = [change for metric in self.metrics for change in metric.changes()]
        return f"metrics {short(', '.join(changes), 120)}" if changes else ""


@dataclass(frozen=True, kw_only=True)
class Traced(Event):
    """A span of OpenTelemetry ended and was sampled.

    Attributes:
        name: Name of the span.
        status: ``UNSET``, ``OK`` or ``ERROR``.
        attributes: Its attributes.
        exceptions: Types of the exceptions recorded on it.
        seconds: How long it took, in virtual seconds.
    """

    name: str
    status: str = "UNSET"
    attributes: Mapping[str, object] = field(default_factory=dict)
    exceptions: tuple[str, ...] = ()
    seconds: float = 0.0

    def text(self) -> str:
        return f"span {self.name} {self.status}"


@dataclass(frozen=True, kw_only=True)
class Stuck(Event):
    """Nothing could ever end this wait: in production it would last for ever.

    Attributes:
        phase: ``handshake``, ``read``, ``write``, ``call`` for one of a Python callable, or ``wait`` for one
            without a dependency.
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

    crosses: ClassVar[bool] = True

    target: str
    advice: str

    def text(self) -> str:
        return f"refused: {self.target} is not declared"


@dataclass(frozen=True, kw_only=True)
class Unmatched(Event):
    """A request reached a declared service that has no healthy answer for it."""

    crosses: ClassVar[bool] = True

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

    crosses: ClassVar[bool] = True

    mock: str
    method: str
    url: str
    status: int | None = None

    def text(self) -> str:
        answer = "answered" if self.status is None else str(self.status)
        return f"{self.method} {short(self.url, 80)} -> {answer} by {self.mock}"


@dataclass(frozen=True, kw_only=True)
class FileChanged(Event):
    """A file was opened for writing, or the file system was changed in another way.

    Attributes:
        path: The file, relative to the root folder of the run where it lies in it.
        how: What was done, such as ``open for writing`` or ``remove``.
    """

    crosses: ClassVar[bool] = True

    path: str
    how: str

    def text(self) -> str:
        return f"{self.how} {self.path}"


@dataclass(frozen=True, kw_only=True)
class ProcessStarted(Event):
    """The code started another process.

    Attributes:
        command: What was run, as one line.
    """

    crosses: ClassVar[bool] = True

    command: str

    def text(self) -> str:
        return f"start process {short(self.command, 80)}"


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
        tool: What has found those lines, if that is a tool that may be installed or not.
    """

    peak: int
    limit: int
    mechanism: str
    killed: str = ""
    holders: tuple[str, ...] = ()
    tool: str = ""

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
    """Memory that a line has allocated and that is still held.

    Attributes:
        made: The line that has allocated it itself, in whosever code; the file as Python names it.
        location: The user's line that led there, where lines of the user's were asked for.
        size: Bytes.
        count: How many blocks.
    """

    made: Location
    location: Location | None = None
    size: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A collection that the user's code had before, and that has become longer or shorter.

    Attributes:
        name: The module and its variable that leads to it.
        more: By how many elements, since the first census.
        location: Where the variable is assigned, where that is known.
    """

    name: str
    more: int
    location: Location | None = None


@dataclass(frozen=True, kw_only=True)
class Counted(Event):
    """What the process had open was counted.

    Attributes:
        files: Open files, pipes and the like.
        sockets: Open sockets.
        threads: Threads that run.
        tasks: Tasks of asyncio that are not done.
        memory: Memory that was allocated since the first census and is held, by the line that has allocated
            it. Where it is counted closely: since the first that was, by the user's line as well, and of some
            lines only.
        closely: Whether it is counted closely.
        kept: The collections that the user's code had at the first census, where their length has changed.
    """

    files: tuple[Opened, ...] = ()
    sockets: tuple[Opened, ...] = ()
    threads: tuple[Opened, ...] = ()
    tasks: tuple[Opened, ...] = ()
    memory: tuple[Held, ...] = ()
    closely: bool = False
    kept: tuple[Kept, ...] = ()

    def text(self) -> str:
        counts = {"files": self.files, "sockets": self.sockets, "threads": self.threads, "tasks": self.tasks}
        return "open: " + ", ".join(times(len(found), kind[:-1]) for kind, found in counts.items())


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """What calls with one amount of data cost.

    Attributes:
        n: The amount.
        seconds: Processor seconds of one call: the least of several.
        first: Processor seconds of the first call.
        requests: How many requests one call made to simulated services.
        memory: The most bytes that one call had allocated at a time; 0 if that was not measured.
        limit: The limit of recursion, if it is higher than usual; else 0.
        depth: How many functions were under way at a time; 0 if that was not counted.
        deepest: The user's last one of these.
    """

    n: int
    seconds: float
    first: float = 0.0
    requests: int = 0
    memory: int = 0
    limit: int = 0
    depth: int = 0
    deepest: Location | None = None

    def text(self) -> str:
        memory = f" and {amount(self.memory)} of memory" if self.memory else ""
        return f"{duration(self.seconds)} of processor time{memory} for n = {self.n}"


@dataclass(frozen=True, kw_only=True)
class Profiled(Event):
    """It was found out which line of the user's takes most of a call.

    Attributes:
        n: The amount of data of that call.
        memory: Whether it is the memory in use at a time, rather than processor time.
        share: The line's part of the whole.
    """

    n: int
    memory: bool = False
    share: float = 0.0

    def text(self) -> str:
        what = "memory" if self.memory else "processor time"
        return f"{self.share:.0%} of the {what} for n = {self.n} in one line"


def named(kind: type) -> str:
    """The name of a class, with its module unless it is a built-in.

    Example:
        >>> named(FileNotFoundError)
        'FileNotFoundError'
    """
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def classes(kind: type[BaseException]) -> tuple[str, ...]:
    """The names of an exception class and of those it is derived from, the most special first.

    Names tell more than the classes themselves, where a module is loaded twice.

    Example:
        >>> classes(FileNotFoundError)
        ('FileNotFoundError', 'OSError', 'Exception', 'BaseException')
    """
    return tuple(named(each) for each in kind.__mro__[:-1])


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


@dataclass(frozen=True, kw_only=True)
class Tried(Event):
    """A call of the test body that a search has found, or that was made to compare with.

    Its location is the function of the user's that the value was given to.

    Attributes:
        argument: The argument that had another value than that of its fixture; empty if none had.
        call: The call as code to paste.
        case: What happened in it.
    """

    argument: str
    call: str
    case: Timeline


@dataclass(frozen=True, kw_only=True)
class Searched(Event):
    """Many values of one argument were tried, each in a call of its own.

    Attributes:
        argument: The argument.
        cases: How many calls there were.
        found: The smallest case of each kind that was searched for, by the name of the kind.
        trouble: Why there could be no search, in words; empty if there was one.
    """

    argument: str
    cases: int
    found: Mapping[str, Tried] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One of many calls under load.

    Attributes:
        due: When it was to begin, in seconds on the timeline. It may have begun later.
        took: Seconds from then until it came back.
        error: What it raised, as text; empty if it returned.
    """

    due: float
    took: float
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Loaded(Event):
    """The test body was called again and again, at moments that were fixed before.

    Attributes:
        calls: The calls, in the order of those moments.
        warm_up: How many calls came before them and do not count.
        tasks: Whether the callers were tasks of one event loop, and not threads.
        virtual: Whether times are virtual: of waits only, and exact.
        requests: How many requests the counted calls made.
        declared: Whether the test declares services or callables for them.
        instant: Services that answered requests without any time passing.
        unknown: Services that were to be slow, and that the test does not declare.
        endless: Whether calls were under way in the end that nothing could ever end.
    """

    calls: tuple[Timed, ...]
    warm_up: int = 0
    tasks: bool = False
    virtual: bool = True
    requests: int = 0
    declared: bool = False
    instant: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    endless: bool = False


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one call cost the machine, in real seconds.

    Attributes:
        computed: Time on a processor, of all threads of the process and of child processes that have ended.
        simulating: The part of it that the simulation of services took.
        blocked: Time in waits that are not virtual.
        error: What the call raised, as text; empty if it returned.
    """

    computed: float
    simulating: float = 0.0
    blocked: float = 0.0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Computed(Event):
    """The test body was called again and again, one call after another, and what each cost was measured.

    Attributes:
        calls: The calls, in order.
        spins: Real seconds that the same piece of work took, once for each call: the machine's own noise.
        requests: How many requests the calls made.
    """

    calls: tuple[Spent, ...] = ()
    spins: tuple[float, ...] = ()
    requests: int = 0


_ENDS = (Answered, Returned, Raised, Broken, GaveUp, Abandoned)


def _joined(events: Iterable[Event]) -> Iterator[str]:
    """Lines of text, a request and what became of it on one line."""
    pending = list(events)
    ends = {event.attempt: event for event in reversed(pending) if isinstance(event, _ENDS)}
    told: set[int] = set()
    for event in pending:
        text = event.text()
        if isinstance(event, Requested):
            end = ends.get(event.attempt)
            outcome = "no answer" if end is None else _outcome(event, end)
            text = f"{event.name} -> {outcome}"
            told.add(event.attempt)
        elif isinstance(event, _ENDS) and event.attempt in told:
            continue
        if text:
            yield masked(f"{event.at:.3f} {text}")


def _outcome(request: Requested, end: Event) -> str:
    if isinstance(end, (Answered, Returned, Raised)):
        late = end.at - request.at
        text = str(end.status) if isinstance(end, Answered) else end.text()
        return text if late < 0.0005 else f"{text} after {duration(late)}"
    return end.text()
