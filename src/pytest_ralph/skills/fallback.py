"""Skill ``fallback``: when a service is down or too slow, a substitute is served in time, and it shows.

Each play goes through a whole outage: a call while all is well, which fills caches, a call that meets the
fault, and calls after the service has recovered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pytest_ralph.core.attempts import Attempt, attempts
from pytest_ralph.core.fault import Connect, Fault
from pytest_ralph.core.location import Location
from pytest_ralph.core.logs import check_level, level_number, not_of_clients
from pytest_ralph.core.masking import short
from pytest_ralph.core.quantity import duration, seconds
from pytest_ralph.core.scenario import HEALTHY, Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import (
    CallEnded,
    CallStarted,
    Connected,
    Event,
    FaultMet,
    HandedOver,
    Logged,
    Timeline,
)
from pytest_ralph.faults import Hang, Refuse, Reset, Status, Truncate, Unreachable
from pytest_ralph.marker import Decorator, attach, check_scenarios

F = TypeVar("F", bound=Callable[..., Any])

# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01
# What is cached is asked for again when it has grown old: at once, after a minute, an hour, a day.
_UNTIL_ASKED = (0.0, 60.0, 3_600.0, 86_400.0)
# How long after a recovery the service may be left alone, as an open breaker does.
_AFTER_RECOVERY = (0.0, 60.0, 3_600.0)


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """The validated arguments of ``ralph.fallback``."""

    within: float
    log_level: str
    returns: object = None
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        shown = None if self.returns is None else _shown(self.returns)
        return {"within": self.within, "log_level": self.log_level, "returns": shown}


@overload
def fallback(function: F, /) -> F: ...
@overload
def fallback(
    *,
    within: float | str = "500 ms",
    log_level: str = "WARNING",
    returns: object = None,
    scenarios: str = "auto",
) -> Decorator[Any]: ...
def fallback(
    function: Any = None,
    /,
    *,
    within: float | str = "500 ms",
    log_level: str = "WARNING",
    returns: object = None,
    scenarios: str = "auto",
) -> Any:
    """Require that a substitute is served, in time and with a word in the log, when the service is not there.

    Args:
        function: The test, when the marker is written without parentheses.
        within: How long the whole call may take when the service is not there, in seconds or as text such as
            ``"500 ms"``.
        log_level: The least level at which serving the substitute is logged: ``"DEBUG"``, ``"INFO"``,
            ``"WARNING"``, ``"ERROR"`` or ``"CRITICAL"``.
        returns: What the substitute must be: a value to be equal to, a class, or a function that is given it
            and tells whether it is right. It needs a test that hands over what the code returned, by the
            fixture ``ralph_returned``. None if the assertions of the test are all there is.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.fallback(within="500 ms", returns={"usd": 1.0})
        ... def test_rates(ralph_returned): ...
    """
    __tracebackhide__ = True

    def build() -> Fallback:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as within='500 ms', got {function!r}")
        limit = seconds(within, name="within", exclusive=True)
        level = check_level(log_level)
        check_scenarios(scenarios)
        return Fallback(within=limit, log_level=level, returns=returns, scenarios=scenarios)

    return attach("fallback", build, function)


# -- what is played -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A healthy call, calls until one meets the fault, and calls after the service has recovered."""

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        stage.call()
        stage.inject()
        for pause in _UNTIL_ASKED:
            stage.advance(pause)
            stage.call()
            if stage.timeline.of(FaultMet):
                break
        else:
            return
        stage.heal()
        for pause in _AFTER_RECOVERY:
            stage.advance(pause)
            stage.call()


def _outage(name: str, fault: Fault) -> Scenario:
    # What stands in for the service may be another service: it is left in peace.
    return Scenario(id=f"outage-{name}", fault=fault, course=Outage(), detours=False)


OUTAGES = (
    *(_outage(f"status-{code}", Status(code)) for code in (500, 502, 503, 504)),
    _outage("hang", Hang()),
    _outage("hang-in-body", Hang(after_headers=True)),
    _outage("unreachable", Unreachable()),
    _outage("refused", Refuse()),
    _outage("reset", Reset()),
    _outage("truncated", Truncate()),
)


# -- what is judged -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Course:
    """The calls of a play: before the outage, those that met it, and after it."""

    before: tuple[Timeline, ...]
    during: tuple[Timeline, ...]
    after: tuple[Timeline, ...]


def _course(play: Play) -> Course:
    indices = dict.fromkeys(event.index for event in play.timeline.of(CallStarted))
    calls = [play.timeline.call(index) for index in indices]
    met = [number for number, call in enumerate(calls) if call.of(FaultMet)]
    if not met:
        return Course(before=tuple(calls), during=(), after=())
    return Course(
        before=tuple(calls[: met[0]]),
        during=tuple(calls[number] for number in met),
        after=tuple(calls[met[-1] + 1 :]),
    )


def _serves_fallback(spec: Fallback, play: Play) -> Verdict | None:
    """The call returns although the service is not there, and returns what it should."""
    judged = _course(play).during
    for call in judged:
        expected = f"the call returns {_substitute(spec)}"
        end = _end(call)
        if end is not None and (end.endless or end.error is not None):
            return failed(expected, end.text(), _cause(call) or end.location, play.timeline)
        values = call.of(HandedOver)
        if not values and spec.returns is not None:
            return untested(
                "the test does not hand over what the code returned: write ralph_returned(...) around the "
                "call, with the fixture of that name",
                play.timeline,
            )
        problem = _wrong(spec.returns, values[-1].value) if values else None
        if problem is not None:
            return failed(expected, problem, _cause(call) or values[-1].location, play.timeline)
    return PASSED if judged else None


def _substitute(spec: Fallback) -> str:
    return "its fallback" if spec.returns is None else f"its fallback, {_shown(spec.returns)}"


def _wrong(wanted: object, value: object) -> str | None:
    """What is wrong with a returned value, or None. None is no substitute."""
    if wanted is None:
        return "it returned None" if value is None else None
    if isinstance(wanted, type):
        right: object = isinstance(value, wanted)
    elif callable(wanted):
        try:
            right = wanted(value)
        except Exception as error:  # noqa: BLE001 - it was not made for such a value
            return f"it returned {_shown(value)}, for which returns raised {type(error).__name__}"
    else:
        right = value == wanted
    return None if right else f"it returned {_shown(value)}"


def _shown(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    return short(str(name) if name and callable(value) else repr(value), 80)


def _within_deadline(spec: Fallback, play: Play) -> Verdict | None:
    """The call that meets the fault ends in time."""
    judged = _course(play).during
    expected = f"the call ends within {duration(spec.within)}"
    for call in judged:
        begin, end = call.of(CallStarted), _end(call)
        if not begin or end is None:
            return untested("the call was not seen from beginning to end", play.timeline)
        location = _slowest(call) or end.location
        if end.endless:
            return failed(expected, "it never ends", location, play.timeline)
        took = end.at - begin[0].at
        if took > spec.within + _SLACK:
            return failed(expected, f"it took {duration(took)}", location, play.timeline)
    return PASSED if judged else None


def _logs_fallback(spec: Fallback, play: Play) -> Verdict | None:
    """Serving the substitute is logged."""
    judged = [call for call in _course(play).during if _returned(call)]
    expected = f"a log record at {spec.log_level} or above that the fallback is served"
    for call in judged:
        records = _told(call)
        loud = [each for each in records if level_number(each.level) >= level_number(spec.log_level)]
        if not loud:
            observed = (
                f"logged at {records[-1].level}: {short(records[-1].message, 60)}"
                if records
                else "nothing is logged after the last attempt has begun"
            )
            return failed(expected, observed, _cause(call), play.timeline)
    return PASSED if judged else None


def _told(call: Timeline) -> list[Logged]:
    """What was logged since the last attempt to reach the service began: before it, retries are told."""
    tries = {attempt.number for attempt in attempts(call) if attempt.failed}
    tries |= {event.attempt for event in call.of(Connected) if event.outcome != Connect.ACCEPT.value}
    if not tries:
        return []
    start = next(at for at, event in enumerate(call) if getattr(event, "attempt", None) == max(tries))
    return not_of_clients(Timeline(call[start:]).of(Logged))


def _prefers_live(spec: Fallback, play: Play) -> Verdict | None:
    """After the outage the service is asked again, and its answer is what is served."""
    course = _course(play)
    if play.scenario.manual:
        return _asked_within(play)
    if not course.during:
        return _never_asked(play, course.before)
    expected = "the service is asked again once it is back, and its answer is served"
    where = _cause(course.during[-1])
    for call in course.after:
        answered = [each for each in attempts(call) if _asks_again(each, course.during)]
        end = _end(call)
        if end is not None and end.error is not None:
            # What the test finds fault with was made by the code, which keeps what it made of the outage.
            raised_by = None if end.own else end.location
            return failed(expected, f"{end.text()} after the outage", raised_by or where, play.timeline)
        if not answered:
            continue
        always = any(_repeated(course.during, each) for each in course.before)
        if not always and (again := _repeated(course.during, call)):
            observed = f"the service answered, and it is logged again: {short(again.message, 60)}"
            return failed(expected, observed, again.location or where, play.timeline)
        if _is_stale(course, call):
            observed = f"the service answered, and the fallback {_value(call)} is served again"
            return failed(expected, observed, answered[-1].location, play.timeline)
        return PASSED
    if not course.after:
        return None
    observed = "no request in an hour after the outage"
    return failed(expected, observed, where, play.timeline)


def _never_asked(play: Play, calls: Sequence[Timeline]) -> Verdict | None:
    """Code that asked once and then never again, whatever its answer had come to be worth."""
    first = next((each for each in attempts(calls[0]) if not each.failed), None) if calls else None
    later = calls[1:]
    if first is None or len(later) < len(_UNTIL_ASKED) or not all(map(_returned, later)):
        return None
    if any(map(attempts, later)):
        return None  # what is not asked again is no more than a part of it, such as a token
    return failed(
        "the service is asked again sooner or later, and its answer is served",
        "no request in a day after the first answer: it is served for ever",
        first.location,
        play.timeline,
    )


def _asked_within(play: Play) -> Verdict | None:
    """In a test of the user's own: whether an answer came after a failure."""
    made = attempts(play.timeline)
    failures = [number for number, each in enumerate(made) if each.failed]
    return PASSED if failures and any(not each.failed for each in made[failures[-1] :]) else None


def _asks_again(attempt: Attempt, during: Sequence[Timeline]) -> bool:
    """Whether an attempt got the answer that was not to be had in the outage."""
    if attempt.failed:
        return False
    return any(
        upstream == attempt.upstream and kind in (None, _kind(attempt))
        for call in during
        for upstream, kind in _unserved(call)
    )


def _unserved(call: Timeline) -> set[tuple[str, str | None]]:
    """Which services were asked for what in vain; None where it went no further than connecting."""
    found = {(each.upstream, _kind(each)) for each in attempts(call) if each.failed}
    return found | {
        (event.upstream, None) for event in call.of(Connected) if event.outcome != Connect.ACCEPT.value
    }


def _kind(attempt: Attempt) -> str | None:
    """Method and path, whatever numbers are in it; None for a connect."""
    return re.sub(r"\d+", "*", attempt.name) if attempt.key else None


def _repeated(during: Sequence[Timeline], call: Timeline) -> Logged | None:
    """A record of a healthy call that tells of the fallback, as those of the outage do."""
    marks = {_mark(record) for outage in during for record in _told(outage)}
    return next((each for each in not_of_clients(call.of(Logged)) if _mark(each) in marks), None)


def _mark(record: Logged) -> tuple[object, ...]:
    """What makes two records say the same, whatever values they tell."""
    return record.logger, record.level, record.location, record.message.partition(" ")[0]


def _is_stale(course: Course, call: Timeline) -> bool:
    """Whether a call returned what the outage did, where the healthy call returned something else."""
    healthy, outage, now = (
        [each.value for part in parts for each in part.of(HandedOver)][-1:]
        for parts in (course.before, course.during, (call,))
    )
    return bool(healthy) and now == outage != healthy


def _value(call: Timeline) -> str:
    return _shown(call.of(HandedOver)[-1].value)


def _falls_back_when_healthy(spec: Fallback, play: Play) -> Verdict | None:
    """While nothing is wrong, the service is asked and no fallback is served."""
    course = _course(play)
    if play.scenario.manual:
        return PASSED if any(not each.failed for each in attempts(play.timeline)) else None
    if play.scenario.faulty and not course.during:
        return None
    for call in course.before:
        again = _repeated(course.during, call)
        if again is not None:
            return failed(
                "no fallback while the service answers",
                f"the service is well, and it is logged: {short(again.message, 60)}",
                again.location,
                play.timeline,
            )
    asked = any(not each.failed for call in course.before for each in attempts(call))
    return PASSED if asked else None


# -- what calls tell ----------------------------------------------------------------------------------------


def _end(call: Timeline) -> CallEnded | None:
    ends = call.of(CallEnded)
    return ends[-1] if ends else None


def _returned(call: Timeline) -> bool:
    end = _end(call)
    return end is not None and end.error is None and not end.endless


def _cause(call: Timeline) -> Location | None:
    """The user's line that made the last request that failed."""
    failures = [each.location for each in attempts(call) if each.failed]
    unanswered = [event.location for event in call.of(Connected) if event.outcome != Connect.ACCEPT.value]
    return next(iter([*reversed(failures), *unanswered]), None)


def _slowest(call: Timeline) -> Location | None:
    """The user's line whose wait was the longest."""
    end: Event | None = _end(call)
    last = end.at if end is not None else 0.0
    longest = max(attempts(call), key=lambda each: (each.ended or last) - each.started, default=None)
    return longest.location if longest else None


SKILL = Skill(
    id="fallback",
    marker="fallback",
    title="serves a substitute when the service is not there",
    phase="resilience",
    rests_on=("timeout",),  # what never ends is never replaced
    keep=lambda _: "the arguments and the result of the call, and what it does while the service answers",
    criteria=(
        Criterion(
            id="serves-fallback",
            kind="pass",
            text=lambda spec: (
                f"returns {_substitute(spec)}, on timeouts, connection errors, cut answers and 5xx"
            ),
            scenarios=lambda _: OUTAGES,
            judge=_serves_fallback,
            timing=False,
            untested="no call met the fault: see exercised",
            fix=lambda spec: (
                "Catch timeouts (set one: without it a request waits for ever), connection errors, answers "
                "that break off and status >= 500 of this request "
                f"(with requests: RequestException; with httpx: HTTPError) and return {_substitute(spec)}: "
                "the value kept from the last good answer, or a safe default"
            ),
        ),
        Criterion(
            id="within-deadline",
            kind="pass",
            text=lambda spec: f"ends within {duration(spec.within)} when the service is not there",
            scenarios=lambda _: OUTAGES,
            judge=_within_deadline,
            untested="no call met the fault: see exercised",
            fix=lambda spec: (
                f"Let the whole call end within {duration(spec.within)}: give the request a timeout of at "
                f"most {duration(spec.within)} for connecting and reading, and leave out retries and waits "
                "that do not fit into it"
            ),
        ),
        Criterion(
            id="logs-fallback",
            kind="pass",
            text=lambda spec: f"logs at {spec.log_level} or above that the fallback is served",
            scenarios=lambda _: OUTAGES,
            judge=_logs_fallback,
            timing=False,
            untested="no fallback was served: see serves-fallback",
            fix=lambda spec: (
                f"Where the fallback is chosen, log one record at {spec.log_level} with the reason, such as "
                'logger.warning("rates not available, serving those of %s: %s", when, error)'
            ),
        ),
        Criterion(
            id="prefers-live",
            kind="pass",
            text=lambda _: "asks the service again after an outage, and serves its answer",
            scenarios=lambda _: OUTAGES,
            judge=_prefers_live,
            timing=False,
            untested="no outage was survived: see serves-fallback",
            fix=lambda _: (
                "Ask the service first in every call, or at least when what is cached has expired, and turn "
                "to the fallback only when that fails; do not remember a failure for longer than a breaker "
                "stays open"
            ),
        ),
        Criterion(
            id="falls-back-when-healthy",
            kind="fail",
            text=lambda _: "a fallback while the service answers",
            scenarios=lambda _: (HEALTHY, *OUTAGES),
            judge=_falls_back_when_healthy,
            timing=False,
            untested="no call asked the service while it was well",
            fix=lambda _: (
                "Serve the answer of the service while it answers: look whether reading the answer fails in "
                "the block that catches its failures, and catch only those"
            ),
        ),
    ),
)
