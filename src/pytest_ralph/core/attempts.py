"""Attempts and operations: how requests on the wire are read as tries and retries.

An attempt is one try to reach a service: a connect that failed, or a request and what became of it. An
operation is one thing the code wanted done, with its retries: attempts for the same method and path on the
same service, each after the one before had failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_ralph.core.location import Location
from pytest_ralph.core.quantity import duration
from pytest_ralph.core.timeline import (
    Abandoned,
    Answered,
    Broken,
    CallEnded,
    CallStarted,
    Connected,
    CutShort,
    Event,
    FaultMet,
    GaveUp,
    Requested,
    Stuck,
    Timeline,
    Wire,
)

# A path segment that holds a digit is taken for an id, unless it is a version such as v1.
_VARIABLE_PARTS = re.compile(r"(?<=/)(?!v\d+(?:/|$))[^/]*\d[^/]*")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to reach a service.

    Attributes:
        number: Number on the timeline, from 1.
        call: Which call of the test body it belongs to.
        upstream: URL of the service.
        started: Virtual seconds when it began.
        ended: When the client knew how it ended; None if it never did.
        outcome: ``answered``, ``timeout``, ``connection-error``, ``abandoned`` or ``pending``.
        method: HTTP method; None if no request was sent.
        target: Path and query; None if no request was sent.
        status: Status code of the answer, if there was one.
        gave_up: The timeout that ended it, if one did.
        detail: What went wrong, in words.
        location: The user's line that made it.
        thread: The thread that made it.
        content: What tells two requests of one kind apart: query and body.
        site: Where in the user's code it comes from.
    """

    number: int
    call: int
    upstream: str
    started: float
    ended: float | None = None
    outcome: str = "pending"
    method: str | None = None
    target: str | None = None
    status: int | None = None
    gave_up: GaveUp | None = None
    detail: str = "no answer"
    location: Location | None = None
    thread: int = 0
    content: object = None
    site: object = None

    @property
    def failed(self) -> bool:
        """Whether the client had reason to try again."""
        return self.outcome != "answered" or (self.status or 0) >= 400

    @property
    def failure(self) -> str:
        """The kind of failure: ``5xx``, ``4xx``, ``timeout``, ``connection-error`` or empty."""
        if self.outcome == "answered":
            return f"{(self.status or 0) // 100}xx" if self.failed else ""
        return "connection-error" if self.outcome == "connection-error" else "timeout"

    @property
    def key(self) -> tuple[str, str] | None:
        """Method and path, by which retries are recognised."""
        if self.method is None or self.target is None:
            return None
        return self.method, self.target.partition("?")[0]

    @property
    def name(self) -> str:
        """Method and path for people."""
        return " ".join(self.key) if self.key else f"connect {self.upstream}"

    def __str__(self) -> str:
        return f"{self.name} -> {self.status if self.status is not None else self.detail}"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing the code wanted done, with its retries."""

    attempts: tuple[Attempt, ...]

    @property
    def first(self) -> Attempt:
        """The first attempt."""
        return self.attempts[0]

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def retries(self) -> int:
        """How many attempts followed the first."""
        return len(self.attempts) - 1

    @property
    def gaps(self) -> tuple[float, ...]:
        """Virtual seconds between the end of each attempt and the start of the next."""
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return tuple(after.started - (before.ended or before.started) for before, after in pairs)

    @property
    def name(self) -> str:
        """Method and path for people."""
        return next((attempt.name for attempt in self.attempts if attempt.key), self.first.name)

    @property
    def location(self) -> Location | None:
        """The user's line that made the requests."""
        return next((attempt.location for attempt in self.attempts if attempt.location), None)


def attempts(timeline: Timeline) -> list[Attempt]:
    """Fold the events of the network into attempts, in the order they began."""
    found: dict[int, Attempt] = {}
    call = 0
    for event in timeline:
        if isinstance(event, CallStarted):
            call = event.index
        elif isinstance(event, Wire):
            before = found.get(event.attempt)
            attempt = before or Attempt(
                number=event.attempt,
                call=call,
                upstream=event.upstream,
                started=event.at,
                thread=event.thread,
            )
            found[event.attempt] = _step(attempt, event)
    return [attempt for attempt in found.values() if attempt.method or attempt.outcome != "pending"]


def _step(attempt: Attempt, event: Wire) -> Attempt:
    attempt = replace(
        attempt,
        location=attempt.location or event.location,
        site=attempt.site or getattr(event, "site", None),
    )
    if isinstance(event, Requested):
        content = (event.target, event.body)
        return replace(
            attempt, method=event.method, target=event.target, content=content, thread=event.thread
        )
    if attempt.ended is not None:
        return attempt
    if isinstance(event, Answered):
        return replace(attempt, ended=event.at, outcome="answered", status=event.status)
    if isinstance(event, GaveUp):
        return replace(attempt, ended=event.at, outcome="timeout", gave_up=event, detail=event.text())
    if isinstance(event, Broken) or (isinstance(event, Connected) and event.outcome == "refused"):
        detail = event.how if isinstance(event, Broken) else "connection refused"
        return replace(attempt, ended=event.at, outcome="connection-error", detail=detail)
    if isinstance(event, Abandoned):
        after = duration(event.at - attempt.started)
        return replace(attempt, ended=event.at, outcome="abandoned", detail=f"client gave up after {after}")
    return attempt


def operations(timeline: Timeline) -> list[Operation]:
    """Group attempts into operations with their retries.

    Where the healthy call makes several requests of one kind, only one with the same query and body is a
    retry. Where it uses a service several times, connects that failed are told apart by where they come from;
    in a loop they cannot be, and are left out.
    """
    repeated: frozenset[str] = frozenset()
    for event in timeline.of(CallStarted):
        repeated |= event.repeated
    groups: list[list[Attempt]] = []
    for attempt in attempts(timeline):
        if attempt.key is None and f"{attempt.upstream} loop" in repeated:
            continue
        for group in reversed(groups):
            if _retries(group, attempt, repeated):
                group.append(attempt)
                break
        else:
            groups.append([attempt])
    return [Operation(attempts=tuple(group)) for group in groups]


def _retries(group: Sequence[Attempt], attempt: Attempt, repeated: frozenset[str]) -> bool:
    last = group[-1]
    if (last.call, last.upstream, last.thread) != (attempt.call, attempt.upstream, attempt.thread):
        return False
    if not last.failed or last.ended is None or attempt.started < last.ended:
        return False
    keys = {each.key for each in (*group, attempt)} - {None}
    if len(keys) > 1:
        return False
    if None in (last.key, attempt.key):
        return attempt.upstream not in repeated or last.site == attempt.site
    if f"{attempt.upstream} {attempt.name}" in repeated:
        return last.content == attempt.content
    return True


def operation(method: str, target: str) -> str:
    """Method and path of a request, with parts that hold digits taken as variable.

    Example:
        >>> operation("POST", "/v1/charges/17?expand=1")
        'POST /v1/charges/*'
    """
    path = target.partition("?")[0]
    return f"{method} {_VARIABLE_PARTS.sub('*', path)}"


def faulted(timeline: Timeline) -> list[Attempt]:
    """The attempts that met a fault, in the order they began."""
    met = {event.attempt for event in timeline.of(FaultMet)}
    return [attempt for attempt in attempts(timeline) if attempt.number in met]


def ended_badly(timeline: Timeline) -> Event | None:
    """The last call's exception or endless wait, or None when it succeeded."""
    endless = timeline.of(Stuck, CutShort)
    if endless:
        return endless[-1]
    ends = timeline.of(CallEnded)
    return ends[-1] if ends and ends[-1].error else None
