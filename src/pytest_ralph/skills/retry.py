"""Skill ``retry``: transient failures are tried again, a few times, with growing waits, and it shows.

Lasting faults show how often and with which waits the code tries again, client errors show that it does not
when that is useless, and faults that end show that it recovers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from statistics import fmean
from typing import Any, TypeVar, overload

from pytest_ralph.core.attempts import Attempt, Operation, ended_badly, operations
from pytest_ralph.core.logs import about_retries, check_level, level_number, numbers
from pytest_ralph.core.masking import short
from pytest_ralph.core.quantity import durations, seconds, times
from pytest_ralph.core.scenario import Calls, Scenario, once
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed
from pytest_ralph.core.timeline import CallStarted, CutShort, Logged, Timeline, named
from pytest_ralph.faults import Hang, Raises, Refuse, Reset, Status, Truncate, Unreachable
from pytest_ralph.marker import Decorator, attach, check_scenarios

F = TypeVar("F", bound=Callable[..., Any])

CLIENT_ERRORS = (400, 401, 403, 404, 409, 422)
SERVER_ERRORS = (500, 502, 503, 504)

Failure = str | int | type[Exception]
"""What ``on`` and ``never_on`` take: a kind of failure, a status code, or an exception of a callable."""

_KINDS = ("timeout", "connection-error", "5xx", "4xx")
_SLACK = 0.01
# Enough draws that the mean of a wait tells growth from none: for full jitter its error is then 13 %.
_JITTERED_CALLS = 20


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The validated arguments of ``ralph.retry``."""

    max_retries: int
    waits: tuple[float, ...]
    exact: bool
    jitter: float
    on: tuple[Failure, ...]
    never_on: tuple[Failure, ...]
    log_level: str
    factor: float
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "max_retries": self.max_retries,
            "backoff": list(self.waits) if self.exact else "exponential",
            "waits": list(self.waits),
            "jitter": self.jitter,
            "on": [named(each) if isinstance(each, type) else each for each in self.on],
            "never_on": [named(each) if isinstance(each, type) else each for each in self.never_on],
            "log_level": self.log_level,
        }

    @property
    def transient_statuses(self) -> tuple[int, ...]:
        """The statuses that must be retried."""
        return _statuses(self.on)

    @property
    def final_statuses(self) -> tuple[int, ...]:
        """The statuses that must not be retried."""
        return tuple(code for code in _statuses(self.never_on) if code not in self.transient_statuses)

    def is_transient(self, attempt: Attempt) -> bool:
        """Whether an attempt failed in a way that must be retried."""
        if attempt.outcome == "raised":
            return self._nearest(attempt) in _exceptions(self.on)
        if attempt.outcome == "answered":
            code = attempt.status or 0
            return code in self.transient_statuses or (code >= 500 and "5xx" in self.on)
        return attempt.failure in self.on

    def is_final(self, attempt: Attempt) -> bool:
        """Whether an attempt failed in a way that must not be retried."""
        if attempt.outcome == "raised":
            return self._nearest(attempt) in _exceptions(self.never_on)
        if attempt.outcome != "answered" or self.is_transient(attempt):
            return False
        code = attempt.status or 0
        return code in self.final_statuses or (400 <= code < 500 and "4xx" in self.never_on)

    def _nearest(self, attempt: Attempt) -> type[Exception] | None:
        """The class among those named that an exception is most closely of."""
        known = {named(each): each for each in (*_exceptions(self.on), *_exceptions(self.never_on))}
        return next((known[name] for name in attempt.raised if name in known), None)


@overload
def retry(function: F, /) -> F: ...
@overload
def retry(
    *,
    max_retries: int | None = None,
    backoff: str | Sequence[float | str] = "exponential",
    base: float | str = 1,
    factor: float = 2,
    max_delay: float | str | None = None,
    jitter: float = 0,
    on: Iterable[Failure] = ("timeout", "connection-error", "5xx"),
    never_on: Iterable[Failure] | None = None,
    log_level: str = "WARNING",
    scenarios: str = "auto",
) -> Decorator[Any]: ...
def retry(
    function: Any = None,
    /,
    *,
    max_retries: int | None = None,
    backoff: str | Sequence[float | str] = "exponential",
    base: float | str = 1,
    factor: float = 2,
    max_delay: float | str | None = None,
    jitter: float = 0,
    on: Iterable[Failure] = ("timeout", "connection-error", "5xx"),
    never_on: Iterable[Failure] | None = None,
    log_level: str = "WARNING",
    scenarios: str = "auto",
) -> Any:
    """Require that transient failures, and only they, are retried with growing waits.

    Args:
        function: The test, when the marker is written without parentheses.
        max_retries: How many attempts follow the first while the failure lasts, from 1 to 20; 3, or as many
            as ``backoff`` names waits.
        backoff: ``"exponential"``, or the exact waits between the attempts.
        base: The first wait, in seconds or as text such as ``"500 ms"``.
        factor: By what each wait is longer than the one before, from 1.
        max_delay: The longest wait, in seconds or as text.
        jitter: By which fraction of itself a wait may be shorter or longer, from 0 to 1.
        on: What must be retried: ``"timeout"``, ``"connection-error"``, ``"5xx"``, status codes, or classes
            of exceptions that a Python callable raises (see the ``ralph_callable`` fixture).
        never_on: What must not be retried: ``"4xx"``, status codes, or classes of exceptions. By default
            ``("4xx",)``, or nothing if ``on`` speaks of Python callables only: of exceptions, and at most of
            ``"timeout"`` beside them. An exception of several classes named counts as the nearest of them.
        log_level: The least level at which each retry is logged: ``"DEBUG"``, ``"INFO"``, ``"WARNING"``,
            ``"ERROR"`` or ``"CRITICAL"``.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.retry(max_retries=3, backoff=(1, 2, 4))
        ... def test_charge(): ...
    """
    __tracebackhide__ = True

    def build() -> Retry:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as max_retries=3, got {function!r}")
        return _spec(
            max_retries, backoff, base, factor, max_delay, jitter, on, never_on, log_level, scenarios
        )

    return attach("retry", build, function)


def _spec(
    max_retries: object,
    backoff: object,
    base: object,
    factor: object,
    max_delay: object,
    jitter: object,
    on: object,
    never_on: object,
    log_level: object,
    scenarios: str,
) -> Retry:
    exact = not isinstance(backoff, str)
    waits = _exact_waits(backoff) if exact else ()
    if not exact and backoff != "exponential":
        raise ValueError(
            f"backoff must be 'exponential' or the exact waits such as (1, 2, 4), got {backoff!r}"
        )
    if max_retries is None:
        max_retries = len(waits) if exact else 3
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 1:
        raise ValueError(f"max_retries must be a whole number from 1, got {max_retries!r}")
    if max_retries > 20:
        raise ValueError(f"max_retries must be at most 20, got {max_retries!r}")
    growth = _number(factor, "factor", 1.0)
    if not exact:
        waits = _exponential(max_retries, seconds(base, name="base", exclusive=True), growth, max_delay)
    if len(waits) != max_retries:
        raise ValueError(
            f"backoff names {times(len(waits), 'wait')}, but max_retries is {max_retries}: "
            "give as many waits as retries"
        )
    check_scenarios(scenarios)
    transient = _failures(on, "on")
    final = _failures(_usual_final(transient) if never_on is None else never_on, "never_on")
    if not transient:
        raise ValueError("on must name at least one failure: there is nothing to retry otherwise")
    if both := sorted({_kind(each) for each in {*transient} & {*final}}):
        raise ValueError(f"on and never_on both name {', '.join(both)}")
    return Retry(
        max_retries=max_retries,
        waits=waits,
        exact=exact,
        jitter=_number(jitter, "jitter", 0.0, 1.0),
        on=transient,
        never_on=final,
        log_level=check_level(log_level),
        factor=growth,
        scenarios=scenarios,
    )


def _exact_waits(backoff: object) -> tuple[float, ...]:
    if not isinstance(backoff, Sequence) or not backoff:
        raise ValueError(
            f"backoff must be 'exponential' or the exact waits such as (1, 2, 4), got {backoff!r}"
        )
    return tuple(seconds(wait, name="a wait of backoff") for wait in backoff)


def _exponential(count: int, base: float, factor: float, max_delay: object) -> tuple[float, ...]:
    cap = float("inf") if max_delay is None else seconds(max_delay, name="max_delay", exclusive=True)
    return tuple(min(base * factor**number, cap) for number in range(count))


def _number(value: object, name: str, least: float, most: float = float("inf")) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        wanted = f"from {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise ValueError(f"{name} must be a number {wanted}, got {value!r}")
    return float(value)


def _failures(value: object, name: str) -> tuple[Failure, ...]:
    if isinstance(value, (str, int, type)) or not isinstance(value, Iterable):
        raise ValueError(
            f"{name} must be several of {_KINDS}, status codes or exceptions, such as ({_written(value)},)"
        )
    given = tuple(value)
    for each in given:
        if isinstance(each, type) and issubclass(each, BaseException):
            _check_exception(each, name)
        elif each not in _KINDS and not (type(each) is int and 400 <= each <= 599):
            raise ValueError(
                f"{name} takes {', '.join(map(repr, _KINDS))}, status codes or classes of exceptions, "
                f"got {each!r}"
            )
    return given


def _usual_final(transient: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """What is not retried where nothing is said: client errors, unless only callables are spoken of."""
    exceptions = _exceptions(transient)
    of_callables = bool(exceptions) and all(each in (*exceptions, "timeout") for each in transient)
    return () if of_callables else ("4xx",)


def _check_exception(kind: type[BaseException], name: str) -> None:
    try:
        Raises(kind)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name} cannot have {named(kind)} raised: {error}") from None


def _written(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _exceptions(kinds: Iterable[Failure]) -> tuple[type[Exception], ...]:
    return tuple(each for each in kinds if isinstance(each, type))


def _statuses(kinds: Iterable[Failure]) -> tuple[int, ...]:
    found: list[int] = []
    for each in kinds:
        if isinstance(each, str):
            found += {"5xx": SERVER_ERRORS, "4xx": CLIENT_ERRORS}.get(each, ())
        elif isinstance(each, int):
            found.append(each)
    return tuple(dict.fromkeys(found))


# -- what is played -----------------------------------------------------------------------------------------


def _status(code: int) -> Scenario:
    return Scenario(id=f"status-{code}", fault=Status(code))


def _raises(kind: type[Exception]) -> Scenario:
    return Scenario(id=f"raises-{named(kind)}", fault=Raises(kind))


_TIMEOUTS = (Scenario(id="hang", fault=Hang()), Scenario(id="unreachable", fault=Unreachable()))
_CONNECTION_ERRORS = (
    Scenario(id="refused", fault=Refuse()),
    Scenario(id="reset", fault=Reset()),
    Scenario(id="truncated", fault=Truncate()),
)


def _lasting(spec: Retry) -> tuple[Scenario, ...]:
    """Faults that must be retried and do not end."""
    played = [_status(code) for code in spec.transient_statuses]
    if "timeout" in spec.on:
        played += _TIMEOUTS
    if "connection-error" in spec.on:
        played += _CONNECTION_ERRORS
    played += [_raises(each) for each in _exceptions(spec.on)]
    return tuple(played)


def _ending(spec: Retry) -> tuple[Scenario, ...]:
    """Faults that must be retried and end: after the first attempt, and just before the last."""
    kinds = [_status(code) for code in spec.transient_statuses[:1]]
    kinds += _TIMEOUTS[:1] if "timeout" in spec.on else ()
    kinds += _CONNECTION_ERRORS if "connection-error" in spec.on else ()
    kinds += [_raises(each) for each in _exceptions(spec.on)]
    last = once(kinds[0], times=spec.max_retries)
    return tuple(dict.fromkeys([*(once(each) for each in kinds), last]))


def _final(spec: Retry) -> tuple[Scenario, ...]:
    """Answers and exceptions that must not be retried."""
    exceptions = _exceptions(spec.never_on)
    return (*(_status(code) for code in spec.final_statuses), *(_raises(each) for each in exceptions))


def _repeated(spec: Retry) -> tuple[Scenario, ...]:
    """For waits with jitter: one fault met by many calls, so that means can be compared."""
    if not spec.jitter:
        return _lasting(spec)
    first = _lasting(spec)[0]
    return (
        Scenario(
            id=f"{first.id}-{_JITTERED_CALLS}-calls",
            fault=first.fault,
            course=Calls(count=_JITTERED_CALLS, pause=3600.0, anew=True),
        ),
    )


# -- what is judged -----------------------------------------------------------------------------------------


def _transient(spec: Retry, play: Play) -> list[Operation]:
    """Operations that met a transient failure first."""
    return [each for each in operations(play.timeline) if spec.is_transient(each.first)]


def _retried(spec: Retry, play: Play) -> list[Operation]:
    return [each for each in _transient(spec, play) if each.retries]


def _max_retries(spec: Retry, play: Play) -> Verdict | None:
    """Exactly so many retries while the fault lasts."""
    judged = [each for each in _retried(spec, play) if each.last.failed]
    for operation in judged:
        if operation.retries != spec.max_retries:
            return failed(
                f"{times(spec.max_retries, 'retry', 'retries')} while the fault lasts",
                f"{'at least ' if play.timeline.of(CutShort) else ''}"
                f"{times(operation.retries, 'retry', 'retries')} of {operation.name}",
                operation.location,
                play.timeline,
            )
    return PASSED if judged else None


def _backoff(spec: Retry, play: Play) -> Verdict | None:
    """The waits between attempts are the ones asked for."""
    judged = _retried(spec, play)
    for operation in judged:
        pairs = list(zip(operation.gaps, spec.waits, strict=False))
        if not all(_fits(spec, gap, wait) for gap, wait in pairs):
            return failed(_waits(spec), durations(operation.gaps), operation.location, play.timeline)
    return PASSED if judged else None


def _fits(spec: Retry, gap: float, wait: float) -> bool:
    slack = max(_SLACK, wait * 0.01)
    return wait * (1 - spec.jitter) - slack <= gap <= wait * (1 + spec.jitter) + slack


def _waits(spec: Retry) -> str:
    spread = f", each up to {spec.jitter:.0%} shorter or longer" if spec.jitter else ""
    return durations(spec.waits) + spread


def _not_exponential(spec: Retry, play: Play) -> Verdict | None:
    """The waits do not grow as the ones asked for do."""
    judged = [each for each in _retried(spec, play) if each.retries >= 2]
    if not judged or len(spec.waits) < 2:
        return PASSED if judged or (spec.max_retries == 1 and _retried(spec, play)) else None
    if spec.jitter:
        return _growth_of_means(spec, play, judged)
    for operation in judged:
        for before, after, wait, following in zip(
            operation.gaps, operation.gaps[1:], spec.waits, spec.waits[1:], strict=False
        ):
            if not _grows(before, after, wait, following):
                return failed(
                    f"waits that grow like {durations(spec.waits)}",
                    durations(operation.gaps),
                    operation.location,
                    play.timeline,
                )
    return PASSED


def _grows(before: float, after: float, wait: float, following: float) -> bool:
    if wait == 0:
        return before <= _SLACK and (after > _SLACK) == (following > 0)
    wanted = following / wait
    return before > 0 and abs(after / before - wanted) <= 0.1 * wanted + _SLACK


def _growth_of_means(spec: Retry, play: Play, judged: list[Operation]) -> Verdict | None:
    if len(play.timeline.of(CallStarted)) < _JITTERED_CALLS and not play.scenario.manual:
        return None
    count = min(len(spec.waits), *(len(each.gaps) for each in judged))
    means = tuple(round(fmean(each.gaps[number] for each in judged), 3) for number in range(count))
    if _right_on_average(spec, means) and _grown(spec.waits[:count], means):
        return PASSED
    return failed(
        f"waits that grow like {durations(spec.waits)} on average",
        f"{durations(means)} on average over {times(len(judged), 'call')}",
        judged[0].location,
        play.timeline,
    )


def _right_on_average(spec: Retry, means: Sequence[float]) -> bool:
    """Whether each mean is near its wait: jitter may go one way only, but not to the end of its range."""
    return all(
        wait * (1 - 0.7 * spec.jitter) - _SLACK <= mean <= wait * (1 + 0.7 * spec.jitter) + _SLACK
        for mean, wait in zip(means, spec.waits, strict=False)
    )


def _grown(waits: Sequence[float], means: Sequence[float]) -> bool:
    """Whether the means grow at least halfway, on a scale of ratios, as the waits do."""
    if waits[0] == 0 or waits[-1] / waits[0] < 1.5:
        return True  # nothing that could be told from chance
    return means[0] > 0 and means[-1] / means[0] >= (waits[-1] / waits[0]) ** 0.5


def _retries_transient(spec: Retry, play: Play) -> Verdict | None:
    """Each transient failure is retried at all."""
    judged = _transient(spec, play)
    for operation in judged:
        if operation.first.outcome == "pending":
            return failed(
                "a hung answer is given up and retried",
                f"{operation.name} waits for ever, because no timeout is set: set one first",
                operation.location,
                play.timeline,
            )
        if not operation.retries:
            return failed(
                f"{_described(operation.first)} is retried",
                f"{operation.first}, and no further attempt",
                operation.location,
                play.timeline,
            )
    return PASSED if judged else None


def _described(attempt: Attempt) -> str:
    if attempt.outcome == "answered":
        return f"status {attempt.status}"
    if attempt.outcome == "raised":
        return attempt.raised[0]
    return {"timeout": "a timeout", "connection-error": "a connection error"}.get(
        attempt.failure, attempt.detail
    )


def _recovers(spec: Retry, play: Play) -> Verdict | None:
    """When the fault ends before the retries do, the call succeeds."""
    retried = [each for each in _retried(spec, play) if not each.last.failed]
    problem = ended_badly(play.timeline)
    if problem is None:
        return PASSED if retried else None
    if not retried and operations(play.timeline):
        return None  # nothing was retried, or not often enough: that is judged where the fault lasts
    return failed(
        "the call succeeds once the service answers again",
        problem.text(),
        retried[0].location if retried else problem.location,
        play.timeline,
    )


def _logged(play: Play, operation: Operation) -> list[list[Logged]]:
    """For each retry, what was logged since the attempt before it failed."""
    records = about_retries(play.timeline.of(Logged))
    order = {id(event): number for number, event in enumerate(play.timeline)}
    marks = [_position(play.timeline, attempt) for attempt in operation.attempts]
    return [
        [record for record in records if before < order[id(record)] < after]
        for before, after in zip(marks, marks[1:], strict=False)
    ]


def _position(timeline: Timeline, attempt: Attempt) -> int:
    """Where an attempt stands on the timeline: its first event."""
    return next(
        number for number, event in enumerate(timeline) if getattr(event, "attempt", None) == attempt.number
    )


def _logs_each_retry(spec: Retry, play: Play) -> Verdict | None:
    """Each retry is logged with its level and attempt number."""
    judged = _retried(spec, play)
    for operation in judged:
        logged = _logged(play, operation)
        if not any(logged):
            continue
        loud = [
            [each for each in records if level_number(each.level) >= level_number(spec.log_level)]
            for records in logged
        ]
        expected = f"each retry is logged at {spec.log_level} or above with the number of the attempt"
        for number, (records, enough) in enumerate(zip(logged, loud, strict=True), start=1):
            if records and not enough:
                observed = f"retry {number} is logged at {records[0].level}: {short(records[0].message, 60)}"
                return failed(expected, observed, operation.location, play.timeline)
        if not _numbered(loud):
            sample = next(records for records in loud if records)[0]
            observed = f"no attempt number that counts up: {short(sample.message, 60)}"
            return failed(expected, observed, operation.location, play.timeline)
    return PASSED if any(any(_logged(play, each)) for each in judged) else None


def _numbered(retries: Sequence[Sequence[Logged]]) -> bool:
    """Whether the records count the retries, from 0 or 1 for the failed attempt or from 2 for the next."""
    told = [reduce(or_, map(numbers, records)) for records in retries if records]
    # What every record says counts nothing; of "2 of 2" one 2 is left.
    same = reduce(and_, told) if len(told) > 1 else Counter[int]()
    return any(
        all(
            not records or any(number + offset in numbers(record) - same for record in records)
            for number, records in enumerate(retries, start=1)
        )
        for offset in (-1, 0, 1)
    )


def _silent_retries(spec: Retry, play: Play) -> Verdict | None:
    """No retry goes unlogged."""
    judged = _retried(spec, play)
    for operation in judged:
        for number, records in enumerate(_logged(play, operation), start=1):
            if not records:
                return failed(
                    "a log record for each retry",
                    f"nothing is logged about retry {number} of {operation.name}",
                    operation.location,
                    play.timeline,
                )
    return PASSED if judged else None


def _retries_client_error(spec: Retry, play: Play) -> Verdict | None:
    """An answer that will not change is not asked for again."""
    judged = [each for each in operations(play.timeline) if any(spec.is_final(one) for one in each.attempts)]
    for operation in judged:
        for number, attempt in enumerate(operation.attempts[:-1]):
            if spec.is_final(attempt):
                return failed(
                    f"{_described(attempt)} is not retried",
                    f"{times(operation.retries - number, 'retry', 'retries')} after {attempt}",
                    operation.location,
                    play.timeline,
                )
    return PASSED if judged else None


_NO_RETRY_SEEN = "no retry was seen: see retries-transient"

SKILL = Skill(
    id="retry",
    tightened={"on": "more", "never_on": "more", "jitter": "lower"},
    marker="retry",
    title="retries transient failures with growing waits",
    phase="resilience",
    rests_on=("timeout",),  # what never ends cannot be tried again
    keep=lambda _: (
        "timeouts that are set, the arguments and the result of the call, and its behaviour on success"
    ),
    criteria=(
        Criterion(
            id="retries-transient",
            kind="pass",
            text=lambda spec: f"retries on {_kinds(spec.on)}",
            scenarios=_lasting,
            judge=_retries_transient,
            timing=False,
            fix=lambda spec: (
                f"Retry on {_kinds(spec.on)}: up to {times(spec.max_retries, 'retry', 'retries')} with waits "
                f"of {_waits(spec)}. Check that the retry library retries the method (urllib3's Retry leaves "
                "out POST) and that the answer is read inside the retried part"
            ),
        ),
        Criterion(
            id="max-retries",
            kind="pass",
            text=lambda spec: (
                f"makes exactly {times(spec.max_retries, 'retry', 'retries')} while the fault lasts"
            ),
            scenarios=_lasting,
            judge=_max_retries,
            timing=False,
            untested=_NO_RETRY_SEEN,
            fix=lambda spec: (
                f"Make {times(spec.max_retries, 'retry', 'retries')} after the first attempt, in all "
                f"{times(spec.max_retries + 1, 'attempt')}; where two layers retry (a library and your "
                "own loop), their numbers multiply: switch one of them off"
            ),
        ),
        Criterion(
            id="backoff",
            kind="pass",
            text=lambda spec: f"waits {_waits(spec)} between attempts",
            scenarios=_lasting,
            judge=_backoff,
            untested=_NO_RETRY_SEEN,
            fix=lambda spec: (
                f"Wait {_waits(spec)} before the retries, from the failure of one attempt to the start of "
                "the next (urllib3's Retry always waits 0 s before its first retry)"
            ),
        ),
        Criterion(
            id="recovers",
            kind="pass",
            text=lambda _: "succeeds when the service answers again",
            scenarios=_ending,
            judge=_recovers,
            timing=False,
            untested=_NO_RETRY_SEEN,
            fix=lambda spec: (
                "Return the result of the attempt that succeeded instead of raising an earlier failure, "
                f"up to and including retry {spec.max_retries}"
            ),
        ),
        Criterion(
            id="logs-each-retry",
            kind="pass",
            text=lambda spec: f"logs each retry at {spec.log_level} or above with the attempt number",
            scenarios=_lasting,
            judge=_logs_each_retry,
            timing=False,
            untested="no retry was logged: see silent-retries",
            fix=lambda spec: (
                f"Before each retry, log one record at {spec.log_level} with the number of the attempt, "
                'such as logger.warning("attempt %d failed, retrying", attempt); tenacity\'s '
                "before_sleep_log does not tell the number"
            ),
        ),
        Criterion(
            id="retries-client-error",
            kind="fail",
            text=lambda spec: f"a retry on {_kinds(spec.never_on)}",
            scenarios=_final,
            judge=_retries_client_error,
            timing=False,
            applies=lambda spec: bool(_final(spec)),
            untested="no such answer was received",
            fix=lambda spec: (
                f"Do not retry on {_kinds(spec.never_on)}: raise at once. Retry only on {_kinds(spec.on)}"
            ),
        ),
        Criterion(
            id="backoff-not-exponential",
            kind="fail",
            text=lambda spec: f"waits that do not grow like {durations(spec.waits)}",
            scenarios=_repeated,
            judge=_not_exponential,
            untested="fewer than two retries were seen",
            fix=lambda spec: f"Let the waits grow: {_waits(spec)}",
        ),
        Criterion(
            id="silent-retries",
            kind="fail",
            text=lambda _: "a retry that is not logged",
            scenarios=_lasting,
            judge=_silent_retries,
            timing=False,
            untested=_NO_RETRY_SEEN,
            fix=lambda spec: (
                f"Log every retry at {spec.log_level} with the number of the attempt, whatever the failure "
                "was (the default level of loggers hides INFO): with tenacity, "
                "in before_sleep; with urllib3, in an override of Retry.increment"
            ),
        ),
    ),
)


def _kinds(kinds: Iterable[Failure]) -> str:
    words = [_kind(each) for each in kinds]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _kind(kind: Failure) -> str:
    if isinstance(kind, type):
        return named(kind)
    names = {"timeout": "timeouts", "connection-error": "connection errors"}
    return f"status {kind}" if isinstance(kind, int) else names.get(kind, kind)
