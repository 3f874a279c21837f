"""Skill ``survives``: no schedule of faults breaks what must always hold.

Hypothesis makes schedules: which faults the attempts at each service meet, one after another, and whether the
last of them lasts. Each is played against a call of its own, and the smallest one that breaks an invariant is
shown as code to paste. Other skills play the faults that are known to matter; this one finds the combinations
that nobody thought of.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, overload

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts
from pytest_ralph.core.fault import Fault, Kind, can_show
from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import short
from pytest_ralph.core.quantity import duration, seconds, times, whole_number
from pytest_ralph.core.scenario import Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Status, Verdict, untested
from pytest_ralph.core.timeline import (
    CallEnded,
    CallStarted,
    CutShort,
    Escaped,
    Event,
    FaultMet,
    Outside,
    Performed,
    Requested,
    Searched,
    Stuck,
    Timeline,
    Tried,
    Unmatched,
)
from pytest_ralph.marker import Decorator, attach, exception_classes

F = TypeVar("F", bound=Callable[..., Any])

# What can be found of a schedule.
_BROKEN, _ENDLESS = "broken", "endless"
# How many attempts at a service one schedule can tell apart.
_LENGTH = 6
# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01
# A request that changes something, and may not do it twice (RFC 9110, 9.2.2).
_NOT_IDEMPOTENT = ("POST", "PATCH")

# What schedules are made of, what is easiest to understand first: that is what they shrink to.
POOL: tuple[Fault, ...] = (
    faults.Status(503),
    faults.Status(500),
    faults.Status(429),
    faults.Status(404),
    faults.Reset(),
    faults.CloseEarly(),
    faults.Refuse(),
    faults.DnsFailure(),
    faults.Unreachable(),
    faults.Hang(),
    faults.Hang(after_headers=True),
    faults.Truncate(),
    faults.AnswerLost(),
    faults.Malformed("html"),
    faults.Malformed("cut-json"),
    faults.Malformed("empty"),
    faults.Malformed("wrong-types"),
    faults.Status(200, body='{"error": "try again later"}'),
    faults.Raises(ConnectionError),
    faults.Raises(TimeoutError),
)


@dataclass(frozen=True, kw_only=True)
class Survives:
    """The validated arguments of ``ralph.survives``."""

    examples: int = 100
    raises: tuple[type[Exception], ...] = (Exception,)
    max_requests: int | None = None
    max_seconds: float | None = None
    header: str = "Idempotency-Key"
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "examples": self.examples,
            "raises": [each.__name__ for each in self.raises],
            "max_requests": self.max_requests,
            "max_seconds": self.max_seconds,
            "header": self.header,
        }

    @property
    def invariants(self) -> str:
        """What must hold, for people."""
        return ", ".join(
            [
                *([] if self.max_requests is None else [f"at most {times(self.max_requests, 'request')}"]),
                *([] if self.max_seconds is None else [f"ends within {duration(self.max_seconds)}"]),
                *([] if Exception in self.raises else [f"raises only {_names(self.raises)}"]),
                "nothing happens twice",
                "no wrong answer",
            ]
        )


@overload
def survives(function: F, /) -> F: ...
@overload
def survives(
    *,
    examples: int = 100,
    raises: type[Exception] | tuple[type[Exception], ...] = Exception,
    max_requests: int | None = None,
    max_seconds: float | str | None = None,
    header: str = "Idempotency-Key",
) -> Decorator[Any]: ...
def survives(
    function: Any = None,
    /,
    *,
    examples: int = 100,
    raises: type[Exception] | tuple[type[Exception], ...] = Exception,
    max_requests: int | None = None,
    max_seconds: float | str | None = None,
    header: str = "Idempotency-Key",
) -> Any:
    """Require that no schedule of faults breaks what must always hold.

    Whatever the services do, the call ends, nothing happens twice, and what it returns is right: the test has
    to assert that. Further invariants are named here.

    Args:
        function: The test, when the marker is written without parentheses.
        examples: How many schedules are tried, from 1.
        raises: What the call may raise: an exception class, or a tuple of them; classes derived from them are
            right as well. Any ``Exception`` by default.
        max_requests: How many attempts the call may make in all, those included that could not connect.
        max_seconds: Within how long it ends, in seconds or as text such as ``"1 min"``.
        header: The header by which services know a request that they have carried out: a repeated POST or
            PATCH with the same value has no second effect.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.survives(raises=RuntimeError, max_requests=4, max_seconds="1 min")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True

    def build() -> Survives:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as examples=100, got {function!r}")
        if not isinstance(header, str) or not header.strip():
            raise ValueError(f"header must be the name of a header, got {header!r}")
        return Survives(
            examples=whole_number(examples, name="examples", minimum=1),
            raises=exception_classes(raises, name="raises", example="PaymentError"),
            max_requests=(
                None if max_requests is None else whole_number(max_requests, name="max_requests", minimum=1)
            ),
            max_seconds=(
                None if max_seconds is None else seconds(max_seconds, name="max_seconds", exclusive=True)
            ),
            header=header,
        )

    return attach("survives", build, function)


def _names(kinds: Iterable[type[Exception]]) -> str:
    return " or ".join(each.__name__ for each in kinds)


# -- what is played -----------------------------------------------------------------------------------------


Schedule = Mapping[str, Fault]
"""What each service shows, by its URL."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A course that looks for the smallest schedule that breaks an invariant.

    Attributes:
        spec: What must hold.
    """

    spec: Survives

    def play(self, stage: Stage) -> None:
        """Try what earlier runs have found, then search; with an ordinary call before it to compare with."""
        seeds = random.Random(random.getrandbits(64))
        with stage.searching():
            healthy = stage.case({})
            usual = _effects(self.spec, healthy)
            known = Searching(spec=self.spec, stage=stage, seeds=seeds, usual=usual)
            replayed = known.replayed()
            # This one knows nothing of the replay, and so finds the same whatever earlier runs have found.
            searching = Searching(spec=self.spec, stage=stage, seeds=seeds, usual=usual)
            searched = searching.searched()
        noted = searching.noted
        if replayed.keys() - searched.found.keys():
            found, cases = {**replayed, **searched.found}, searched.cases + known.cases
            searched, noted = replace(searched, found=found, cases=cases), [*noted, *known.noted]
        for event in (Tried(at=0.0, argument="", call="", case=healthy), *noted, searched):
            stage.note(event)


@dataclass(kw_only=True)
class Searching:
    """One search while it goes on.

    Attributes:
        spec: What must hold.
        stage: Where the calls are made.
        seeds: Where the seeds of Hypothesis come from.
        usual: How often each operation takes effect in the healthy call.
        cases: How many schedules were played whose faults were met.
        seen: The kinds of cases that came by.
        noted: What makes verdicts void.
        trouble: Why there could be no search.
    """

    spec: Survives
    stage: Stage
    seeds: random.Random
    usual: Counter[str]
    cases: int = 0
    seen: set[str] = field(default_factory=set)
    noted: list[Event] = field(default_factory=list)
    trouble: str = ""

    def replayed(self) -> dict[str, Tried]:
        """Try what earlier runs have found."""
        from pytest_ralph.skills._search import replay

        found = {kind: self._smallest(kind, replay) for kind in (_BROKEN, _ENDLESS)}
        return {kind: tried for kind, tried in found.items() if tried is not None}

    def searched(self) -> Searched:
        """Search for all that there is to find."""
        from pytest_ralph.skills._search import search

        found: dict[str, Tried] = {}
        for kind in (_BROKEN, _ENDLESS):
            # What the first search has not come by in all its cases need not be searched for.
            if kind == _BROKEN or kind in self.seen or found:
                smallest = self._smallest(kind, partial(search, seed=self.seeds.getrandbits(64)))
                if smallest is not None:
                    found[kind] = smallest
        return Searched(at=0.0, argument="", cases=self.cases, found=found, trouble=self.trouble)

    def _smallest(self, kind: str, look: Callable[..., bool]) -> Tried | None:
        last: list[Tried] = []

        def shows(schedule: Schedule) -> bool:
            case = self._case(schedule)
            shown = self._kind(case)
            self.seen.update({shown} - {""})
            if shown == kind:
                last[:] = [Tried(at=0.0, argument="", call=_spelled(schedule), case=case)]
            return shown == kind

        try:
            look(
                schedules(self.stage.services, self.stage.pool(POOL)),
                shows,
                examples=self.spec.examples,
                name=f"{self.stage.test} survives {kind}",
            )
        except Exception as error:  # noqa: BLE001 - the code under test may do anything to a search
            self.trouble = self.trouble or f"{type(error).__name__}: {short(str(error), 160)}"
        return last[0] if last else None

    def _case(self, schedule: Schedule) -> Timeline:
        case = self.stage.case({}, faults=schedule)
        if case.of(FaultMet) and not case.of(Stuck, CutShort):
            case = self.stage.afterwards()
        self.cases += bool(case.of(FaultMet))
        if not self.noted:
            self.noted += [event for event in case if isinstance(event, (Escaped, Outside, Unmatched))][:1]
        return case

    def _kind(self, case: Timeline) -> str:
        if case.of(Stuck, CutShort):
            return _ENDLESS
        return _BROKEN if broken(self.spec, case, self.usual) else ""


def schedules(services: Mapping[str, Kind], pool: Iterable[Fault]) -> Any:
    """A strategy of schedules.

    Args:
        services: The services, and what they are.
        pool: The faults that schedules are made of.
    """
    from hypothesis import strategies as st

    def of(kind: Kind) -> Any:
        able = [fault for fault in pool if can_show(kind, fault)]
        # All shrinks to None, and what is drawn first before the rest: a fault that lasts gives way to one
        # that ends, and a late one to an early one.
        then = st.sampled_from([*[None] * 2 * len(able), *able])
        attempt = st.sampled_from([*[None] * len(able), *able])
        return st.tuples(then, *[attempt] * _LENGTH).map(lambda drawn: _sequence(drawn[:0:-1], drawn[0]))

    each = st.fixed_dictionaries({url: of(kind) for url, kind in services.items()})
    return each.map(lambda found: {url: fault for url, fault in found.items() if fault is not None})


def _sequence(met: tuple[Fault | None, ...], then: Fault | None) -> Fault | None:
    while met and met[-1] == then:
        met = met[:-1]
    return faults.Sequence(*met, then=then) if met else then


_NAME = re.compile(rf"\b(?={'|'.join(f'{name}[.(]' for name in faults.__all__)})")


def _spelled(schedule: Schedule) -> str:
    """A schedule as code to paste into a test."""
    calls = [
        f"ralph_{'callable' if '://' not in url else 'upstream'}({url!r}).inject("
        f"{_NAME.sub('ralph.faults.', repr(fault))})"
        for url, fault in schedule.items()
    ]
    return "; ".join(calls) or "nothing"


# -- what is judged -----------------------------------------------------------------------------------------


def _effects(spec: Survives, case: Timeline) -> Counter[str]:
    """How often each operation took effect: requests with the same key do so once."""
    header = spec.header.lower()
    keys = {each.attempt: each.headers.get(header) for each in case.of(Requested)}
    by_number = {each.number: each for each in attempts(case)}
    done: set[tuple[str, object]] = set()
    for event in case.of(Performed):
        attempt = by_number.get(event.attempt)
        if attempt is not None and attempt.method in _NOT_IDEMPOTENT and event.status < 400:
            done.add((f"{attempt.name} of {attempt.upstream}", keys.get(event.attempt) or event.attempt))
    return Counter(name for name, _ in done)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """An invariant that does not hold.

    Attributes:
        expected: What should.
        observed: What was.
        location: The user's line.
        case: What happened, as far as it shows that.
    """

    expected: str
    observed: str
    location: Location | None
    case: Timeline


def broken(spec: Survives, case: Timeline, usual: Counter[str]) -> Breach | None:
    """The first invariant that a call breaks, if it breaks any.

    Args:
        spec: What must hold.
        case: What happened in the call, and in an ordinary one after it.
        usual: How often each operation takes effect in the healthy call.
    """
    first = case.call(0)
    return (
        _wrong_answer(first)
        or _wrong_exception(spec, first)
        or _twice(spec, first, usual)
        or _too_many(spec, first)
        or _too_long(spec, first)
        or _once_more(spec, case, usual)
    )


def _where(case: Timeline) -> Location | None:
    """The user's line that made the first request."""
    return next((each.location for each in attempts(case) if each.location), None)


def _wrong_answer(case: Timeline) -> Breach | None:
    end = case.of(CallEnded)[-1]
    if not end.own:
        return None
    return Breach(
        expected="what is returned is right",
        observed=f"the call returned, and the test found fault with that: {end.error}",
        location=_where(case) or end.location,
        case=case,
    )


def _wrong_exception(spec: Survives, case: Timeline) -> Breach | None:
    end = case.of(CallEnded)[-1]
    if end.error is None or end.own or end.is_of(spec.raises):
        return None
    return Breach(
        expected=f"raises only {_names(spec.raises)}",
        observed=f"raised {end.error}",
        location=end.location or _where(case),
        case=case,
    )


def _twice(spec: Survives, case: Timeline, usual: Counter[str]) -> Breach | None:
    for name, count in sorted(_effects(spec, case).items()):
        # What the healthy call never does may be done once.
        most = max(usual[name], 1)
        if count > most:
            return Breach(
                expected=f"{times(most, 'effect')} of {name}",
                observed=f"{times(count, 'effect')}",
                location=_who(case, name),
                case=case,
            )
    return None


def _who(case: Timeline, name: str) -> Location | None:
    """The user's line that performed an operation first."""
    found = (each for each in attempts(case) if f"{each.name} of {each.upstream}" == name)
    return next((each.location for each in found if each.location), None)


def _once_more(spec: Survives, case: Timeline, usual: Counter[str]) -> Breach | None:
    """What the next call does again, such as one that sends what an earlier one has kept for later."""
    before = _effects(spec, case.call(0))
    for name, count in sorted(_effects(spec, case).items()):
        most = max(usual[name], 1)
        if before[name] and count > 2 * most:
            return Breach(
                expected=f"{times(2 * most, 'effect')} of {name} in this call and an ordinary one after it",
                observed=f"{times(count, 'effect')}",
                location=_who(case, name),
                case=case,
            )
    return None


def _too_many(spec: Survives, case: Timeline) -> Breach | None:
    made = attempts(case)
    if spec.max_requests is None or len(made) <= spec.max_requests:
        return None
    return Breach(
        expected=f"at most {times(spec.max_requests, 'request')}",
        observed=times(len(made), "request"),
        location=_where(case),
        case=case,
    )


def _too_long(spec: Survives, case: Timeline) -> Breach | None:
    took = case.of(CallEnded)[-1].at - case.of(CallStarted)[-1].at
    if spec.max_seconds is None or took <= spec.max_seconds + _SLACK:
        return None
    return Breach(
        expected=f"ends within {duration(spec.max_seconds)}",
        observed=f"it took {duration(took)}",
        location=_where(case),
        case=case,
    )


def _invariants_hold(spec: Survives, play: Play) -> Verdict | None:
    """No schedule breaks an invariant."""
    for searched in play.timeline.of(Searched):
        tried = searched.found.get(_BROKEN)
        if tried is None:
            return _no_search(searched) or (None if _ENDLESS in searched.found else PASSED)
        (healthy,) = play.timeline.of(Tried)
        breach = broken(spec, tried.case, _effects(spec, healthy.case))
        assert breach is not None
        return _failed(replace(tried, case=breach.case), breach.expected, breach.observed, breach.location)
    return None


def _hangs(spec: Survives, play: Play) -> Verdict | None:
    """No schedule makes a call that never ends."""
    for searched in play.timeline.of(Searched):
        tried = searched.found.get(_ENDLESS)
        if tried is None:
            return _no_search(searched) or PASSED
        stuck = tried.case.of(Stuck, CutShort)[-1]
        at_once = tried.case.call(0).of(Stuck, CutShort)
        expected = "the call ends" if at_once else "the call and an ordinary one after it end"
        return _failed(tried, expected, stuck.text(), stuck.location or _where(tried.case))
    return None


def _failed(tried: Tried, expected: str, observed: str, location: Location | None) -> Verdict:
    # The schedule is shown as it is, so that it can be pasted.
    return Verdict(
        status=Status.FAIL,
        expected=expected,
        observed=f"{observed}, with {tried.call}",
        location=location,
        lines=tuple(tried.case.lines()),
    )


def _no_search(searched: Searched) -> Verdict | None:
    if searched.trouble:
        return untested(f"Hypothesis could not search for schedules: {searched.trouble}")
    if not searched.cases:
        return untested(
            "no fault was ever met: the call makes no request to a service that may be broken. If the code "
            "answers from a cache, name what clears it with @ralph.reset(function)"
        )
    return None


def _searched(spec: Survives) -> tuple[Scenario, ...]:
    usual = Survives()
    parts = [
        "schedules",
        *([] if spec.examples == usual.examples else [str(spec.examples)]),
        *(each.__name__ for each in spec.raises if each is not Exception),
        *([] if spec.max_requests is None else [f"{spec.max_requests}-requests"]),
        *([] if spec.max_seconds is None else [duration(spec.max_seconds).replace(" ", "")]),
        *([] if spec.header == usual.header else [spec.header]),
    ]
    return (Scenario(id="-".join(parts), course=Search(spec=spec)),)


SKILL = Skill(
    id="survives",
    marker="survives",
    title="survives every schedule of faults",
    phase="guarantees",
    rests_on=("timeout", "retry"),
    keep=lambda _: "the result of the call, its timeouts, and which errors are retried with which waits",
    criteria=(
        Criterion(
            id="invariants-hold",
            kind="pass",
            text=lambda spec: f"in {times(spec.examples, 'schedule')} of faults: {spec.invariants}",
            scenarios=_searched,
            judge=_invariants_hold,
            fix=lambda spec: (
                "Paste the schedule into a test, see the call break, and make it hold: " + spec.invariants
            ),
        ),
        Criterion(
            id="hangs",
            kind="fail",
            text=lambda _: "a call that never ends",
            scenarios=_searched,
            judge=_hangs,
            fix=lambda _: (
                "Give every wait of the call an end: a timeout for each request, and an end to retrying"
            ),
        ),
    ),
)
