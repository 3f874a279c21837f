"""Skill ``latency``: calls end within a budget under load, nearly all of them.

Calls are due at moments that are fixed before, in virtual time, and a call's time counts from its moment: a
stall is not hidden by callers who wait for it to end. What they wait for (services, pools, locks, sleeps) is
exact, on any machine. What they compute is measured in real time, call by call, and added. A verdict that
depends on how busy the machine was is not given.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.latency import (
    PERCENTILES,
    fewest,
    found,
    histogram,
    in_turn,
    mean_of,
    nearest_rank,
    statement,
)
from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import masked, short
from pytest_ralph.core.quantity import duration, number, seconds, times, whole_number
from pytest_ralph.core.scenario import Scenario, Stage
from pytest_ralph.core.skill import Criterion, Play, Skill, Status, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, Computed, Loaded, Timeline, Waited
from pytest_ralph.marker import Decorator, attach

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT = "100 ms"
# Seconds from which on a time is known to a millisecond, and before that to a tenth of it.
_EXACT = 0.05
# Seconds between two waves at the least.
_SHORTEST = 0.0001
# Virtual time that passes while the code looks at the clock, as a part of the budget and in seconds.
_SLACK = 0.01
_LEAST_SLACK = 0.0002
# The timers of asyncio end up to a millisecond late: epoll counts in milliseconds.
_TIMER = 0.001
# So many calls are under way at the most, for each caller that there is: see Limits in the documentation.
_CROWD = 2
# What the simulation adds to each call and each request, in seconds of computing that cannot be told from
# those of the code under test.
_PER_CALL = 0.0005
_PER_REQUEST = 0.002
# By how much faster than in its fastest moments the machine might be.
_MARGIN = 1.25
# With a real clock: how late the simulation may be, and how many calls show how noisy the machine is.
_REAL_LATE = 0.02
_REAL_CALLS = 20

# Real seconds in a wait that is not virtual, from which on virtual time may have gone by beside it.
_UNSEEN = 0.002
_NEVER = "calls wait for one another, and never come back"

Slow = faults.Slow


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The validated arguments of ``ralph.latency``.

    Attributes:
        budgets: Seconds by percentile.
        calls: How many calls are judged.
        concurrency: How many callers there are at once.
        max_error_rate: Which fraction of the calls may raise.
        cpu: Whether only computing counts.
        upstream: How late dependencies answer, by URL or name; None for at once.
        others: How late all others answer.
        told: Whether anything was said of the others.
    """

    budgets: tuple[tuple[str, float], ...]
    calls: int = 200
    concurrency: int = 10
    max_error_rate: float = 0.0
    cpu: bool = False
    upstream: tuple[tuple[str, Slow | None], ...] = ()
    others: Slow | None = None
    told: bool = False
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        given = dict(self.budgets)
        upstream: Any = {url: _spelled(fault) for url, fault in self.upstream} or None
        return {
            **{name: given.get(name) for name in PERCENTILES},
            "calls": self.calls,
            "concurrency": self.concurrency,
            "max_error_rate": self.max_error_rate,
            "cpu": self.cpu,
            "upstream": _spelled(self.others) if self.told else upstream,
        }

    def budget(self, name: str) -> float | None:
        """The budget for a percentile in seconds, if there is one."""
        return dict(self.budgets).get(name)

    @property
    def every(self) -> float:
        """Seconds from one wave of callers to the next.

        By Little's law that is the load at which, in the mean, as many calls are under way as there are
        callers, if each budget is just met.
        """
        # As it is shown: what is played alike is called alike, and the other way round.
        return max(seconds(duration(mean_of(dict(self.budgets))), name="every"), _SHORTEST)

    def says_nothing_of(self, url: str) -> bool:
        """Whether it is unknown how late a dependency answers."""
        return not self.told and url not in dict(self.upstream)


@overload
def latency(function: F, /) -> F: ...
@overload
def latency(
    *,
    p50: float | str | None = None,
    p90: float | str | None = None,
    p95: float | str | None = None,
    p99: float | str | None = None,
    max: float | str | None = None,
    calls: int = 200,
    concurrency: int = 10,
    max_error_rate: float = 0,
    cpu: bool = False,
    upstream: float | str | Slow | Mapping[str, float | str | Slow] | None = None,
) -> Decorator[Any]: ...
def latency(
    function: Any = None,
    /,
    *,
    p50: float | str | None = None,
    p90: float | str | None = None,
    p95: float | str | None = None,
    p99: float | str | None = None,
    max: float | str | None = None,
    calls: int = 200,
    concurrency: int = 10,
    max_error_rate: float = 0,
    cpu: bool = False,
    upstream: float | str | Slow | Mapping[str, float | str | Slow] | None = None,
) -> Any:
    """Require that calls end within a budget while many callers are there at once.

    Waves of ``concurrency`` callers come at fixed moments, whether or not the calls before have ended, and a
    call's time counts from the moment it was due. Budgets are seconds, or text such as ``"100 ms"``; without
    any, the 95th percentile has to be within 100 ms. Percentiles are by nearest rank.

    Args:
        function: The test, when the marker is written without parentheses.
        p50: Budget for the half of the calls; p90, p95 and p99 are for so many percent of them.
        p90: As above.
        p95: As above.
        p99: As above.
        max: Budget for every call.
        calls: How many calls are judged: at least so many that the percentile is not the slowest of them.
        concurrency: How many callers come at once, and how many calls are made before to warm up.
        max_error_rate: Which fraction of the calls may raise, from 0 to 1. The times of those count, too.
        cpu: Only what a call computes counts, alone on the machine: for bodies that use no service.
        upstream: After how long the services answer, as seconds, as text, or as a fault such as
            ``ralph.faults.Slow.lognormal("50 ms", 0.5)``; or one of these for each of them, by its URL as in
            the fixture. 0 says that they answer at once.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.latency(p95="100 ms", p99="300 ms", upstream="50 ms")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True

    def build() -> Latency:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as p95='100 ms', got {function!r}")
        if not isinstance(cpu, bool):
            raise TypeError(f"cpu must be True or False, got {cpu!r}")
        if cpu and upstream is not None:
            raise ValueError(
                "cpu=True counts what is computed, and nothing that a service takes: leave upstream out"
            )
        given = {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": max}
        spec = Latency(
            budgets=_budgets(given),
            calls=whole_number(calls, name="calls", minimum=1),
            concurrency=whole_number(concurrency, name="concurrency", minimum=1),
            max_error_rate=number(max_error_rate, name="max_error_rate", maximum=1),
            cpu=cpu,
            **_upstream(upstream),
        )
        _check_calls(spec)
        return spec

    return attach("latency", build, function)


def _budgets(given: Mapping[str, object]) -> tuple[tuple[str, float], ...]:
    set_ = {name: value for name, value in given.items() if value is not None} or {"p95": _DEFAULT}
    budgets = tuple((name, seconds(value, name=name, exclusive=True)) for name, value in set_.items())
    for (lower, loose), (higher, strict) in zip(budgets, budgets[1:], strict=False):
        if strict < loose:
            raise ValueError(
                f"{higher} must not be less than {lower} ({duration(loose)}), got {set_[higher]!r}: "
                f"whoever keeps it keeps {lower} as well"
            )
    return budgets


def _check_calls(spec: Latency) -> None:
    for name, _ in spec.budgets:
        needed = fewest(PERCENTILES[name])
        if spec.calls < needed:
            raise ValueError(
                f"{name} needs at least calls={needed}, got calls={spec.calls}: of fewer it is the slowest, "
                "for which there is max"
            )
    if not spec.cpu and spec.calls < spec.concurrency:
        raise ValueError(f"calls must be at least concurrency ({spec.concurrency}), got {spec.calls}")


def _upstream(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {"others": _slow(value, "upstream"), "told": True}
    if not value:
        raise ValueError("upstream names no service: write {'https://api.pay.example': '50 ms'}")
    for url in value:
        if not isinstance(url, str):
            raise TypeError(f"upstream must name services by their URLs, got {url!r}")
    found = ((url.rstrip("/"), _slow(each, f"upstream[{url!r}]")) for url, each in value.items())
    return {"upstream": tuple(sorted(found, key=lambda pair: pair[0]))}


def _slow(value: object, name: str) -> Slow | None:
    if isinstance(value, Fault):
        if not isinstance(value, Slow):
            raise TypeError(f"{name} must be a duration or ralph.faults.Slow, got {value!r}")
        return value
    delay = seconds(value, name=name)
    return Slow(delay) if delay else None


def _spelled(fault: Slow | None) -> str:
    if fault is None:
        return "0 s"
    if not isinstance(fault.delay, float) or fault.after_bytes is not None:
        return repr(fault)
    shown = duration(fault.delay)
    return shown if seconds(shown, name="delay") == fault.delay else f"{fault.delay!r} s"


# -- what is played -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Waves:
    """A course in which callers come in waves, and which measures then what single calls compute.

    Attributes:
        calls: How many calls are judged.
        concurrency: How many callers there are in a wave.
        every: Seconds from one wave to the next.
        upstream: How late dependencies answer, by URL or name.
        others: How late all others answer.
    """

    calls: int
    concurrency: int
    every: float
    upstream: tuple[tuple[str, Slow | None], ...]
    others: Slow | None

    def play(self, stage: Stage) -> None:
        """Warm up, let the waves come, and then call one by one."""
        unknown = stage.show({url: fault for url, fault in self.upstream if fault is not None}, self.others)
        due = [(call // self.concurrency) * self.every for call in range(self.calls)]
        loaded = stage.load(due, warm_up=self.concurrency, at_most=self.concurrency * _CROWD)
        stage.note(replace(loaded, unknown=unknown))
        if loaded.endless:
            return
        stage.note(stage.weigh(self.calls if loaded.virtual else _REAL_CALLS))


@dataclass(frozen=True, kw_only=True)
class OneByOne:
    """A course that measures what calls compute, one after another.

    Attributes:
        calls: How many.
    """

    calls: int

    def play(self, stage: Stage) -> None:
        """Do it."""
        stage.note(stage.weigh(self.calls))


def _played(spec: Latency) -> tuple[Scenario, ...]:
    if spec.cpu:
        return (Scenario(id=f"cpu-{spec.calls}", course=OneByOne(calls=spec.calls)),)
    parts = [
        f"load-{spec.calls}-by-{spec.concurrency}-each-{duration(spec.every)}",
        *([f"upstream-{_spelled(spec.others)}"] if spec.told else []),
        *(f"{url.rpartition('//')[2]}-{_spelled(fault)}" for url, fault in spec.upstream),
    ]
    course = Waves(
        calls=spec.calls,
        concurrency=spec.concurrency,
        every=spec.every,
        upstream=spec.upstream,
        others=spec.others,
    )
    return (Scenario(id=re.sub(r"[^\w.]+", "-", "-".join(parts).replace(" ", "")).strip("-"), course=course),)


# -- what is judged -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a percentile is at the least and at the most, in seconds.

    Attributes:
        least: If all that the machine and the simulation may have added is taken away.
        most: As measured.
        noise: How much longer than in its best moments the machine took for the same piece of work.
    """

    least: float
    most: float
    noise: float


def _judge(name: str) -> Callable[[Latency, Play], Verdict | None]:
    percent = PERCENTILES[name]

    def judge(spec: Latency, play: Play) -> Verdict | None:
        budget, timeline = spec.budget(name), play.timeline
        computed = next(iter(timeline.of(Computed)), Computed(at=0.0))
        loaded = next(iter(timeline.of(Loaded)), None)
        if budget is None:
            return None
        if loaded is None:
            return _cpu(name, budget, computed, timeline) if computed.calls else None
        if loaded.endless:
            return failed(
                statement(name, budget, _calls(len(loaded.calls))), _NEVER, _longest(timeline), timeline
            )
        return (
            _void(loaded)
            or _waits_too_long(name, budget, loaded, computed, timeline)
            or _hollow(spec, loaded)
            or _with_computing(name, budget, bounds(percent, loaded, computed), loaded, play.timeline)
        )

    return judge


def _void(loaded: Loaded) -> Verdict | None:
    """Why nothing can be said of a load at all."""
    if loaded.unknown:
        return untested(
            f"upstream= names {', '.join(loaded.unknown)}, which the test does not declare: name services as "
            "in ralph_upstream(...) and callables as in ralph_callable(...)"
        )
    if all(call.error for call in loaded.calls):
        return untested("no call succeeded: see error-rate")
    return None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a percentile is taken of.

    Attributes:
        took: Seconds.
        what: Whose, in words, such as ``200 calls``.
    """

    took: tuple[float, ...]
    what: str


def sample(took: Sequence[float], errors: Sequence[str], percent: int) -> Sample:
    """The times to take a percentile of: those of all calls, or of those that succeeded if that is worse.

    Calls that fail at once must not make a percentile look good, and slow failures must not be left out.

    Args:
        took: Seconds, for each call.
        errors: What each raised; empty if it returned. One must be.
        percent: Which percentile.
    """
    successes = [each for each, error in zip(took, errors, strict=True) if not error]
    if nearest_rank(successes, percent) > nearest_rank(took, percent):
        return Sample(took=tuple(successes), what=f"{_calls(len(successes))} that succeeded")
    return Sample(took=tuple(took), what=_calls(len(took)))


def _under_load(loaded: Loaded, percent: int, more: Sequence[float] = ()) -> Sample:
    took = [call.took for call in loaded.calls]
    if more:
        took = [each + extra for each, extra in zip(took, more, strict=True)]
    return sample(took, [call.error for call in loaded.calls], percent)


def _waits_too_long(
    name: str, budget: float, loaded: Loaded, computed: Computed, timeline: Timeline
) -> Verdict | None:
    """Whether the budget is exceeded by waiting alone: that is exact."""
    if not loaded.virtual:
        return None
    judged = _under_load(loaded, PERCENTILES[name])
    # Threads look at the clock in any order, and each look takes a microsecond.
    values = [round(value, 3 if value > _EXACT else 4) for value in judged.took]
    value = nearest_rank(values, PERCENTILES[name])
    if value <= budget + _slack(budget, loaded):
        return None
    if nearest_rank([each.blocked for each in computed.calls], 50) > _UNSEEN:
        return untested(
            "each call waits for something in real time, which the virtual clock does not see, so that what "
            "it waits for in virtual time says nothing"
        )
    return Verdict(
        status=Status.FAIL,
        expected=statement(name, budget, _calls(len(loaded.calls))),
        observed=f"{found(name, value, judged.what)}, all of it waiting, from when each was due",
        location=_longest(timeline),
        lines=(f"{judged.what}, after {loaded.warm_up} to warm up:", *histogram(values)),
    )


def _slack(budget: float, loaded: Loaded) -> float:
    return max(budget * _SLACK, _LEAST_SLACK) + (_TIMER if loaded.tasks else 0.0)


def _hollow(spec: Latency, loaded: Loaded) -> Verdict | None:
    """Why a load was not what it would be in production, if it was not."""
    successes = sum(not call.error for call in loaded.calls)
    if loaded.declared and loaded.requests < successes:
        return untested(
            f"{times(successes, 'call')} made {times(loaded.requests, 'request')}: answers that are kept "
            "from earlier calls hide how long one takes that asks. Let every call of the test ask for "
            "something else, such as next(numbers) of an itertools.count(); for a call that needs no "
            "service, declare none, or judge what it computes with cpu=True"
        )
    silent = [url for url in loaded.instant if spec.says_nothing_of(url)]
    if silent:
        return untested(
            f"{', '.join(silent)} answered at once, as no service does, so waits, pools and locks were not "
            "put to the test: say how long it takes, such as @ralph.latency(..., upstream='50 ms')"
        )
    return None


def bounds(percent: int, loaded: Loaded, computed: Computed) -> Bounds:
    """A percentile with what the calls compute, at the least and at the most.

    At the most, callers compute one after another, as threads do that hold the GIL and tasks of one event
    loop do. At the least, threads do so side by side.

    Args:
        percent: Which percentile.
        loaded: The calls under load.
        computed: What single calls cost.
    """
    noise = _noise(percent, computed)
    if not loaded.virtual:
        took = nearest_rank(_under_load(loaded, percent).took, percent)
        return Bounds(least=max(0.0, took / (noise * _MARGIN) - _REAL_LATE), most=took, noise=noise)
    due = [call.due for call in loaded.calls]
    least, most = (
        _least(percent, computed),
        [each.computed - each.simulating + each.blocked for each in computed.calls],
    )
    turns = in_turn(due, least) if loaded.tasks else least
    return Bounds(
        least=_added(percent, loaded, turns),
        most=_added(percent, loaded, in_turn(due, [max(0.0, each) for each in most])),
        noise=noise,
    )


def _added(percent: int, loaded: Loaded, more: Sequence[float]) -> float:
    return nearest_rank(_under_load(loaded, percent, more).took, percent)


def _least(percent: int, computed: Computed) -> list[float]:
    """What calls compute at the least, if the machine was slow and the simulation took its share."""
    noise = _noise(percent, computed) * _MARGIN
    share = _PER_CALL + _PER_REQUEST * computed.requests / len(computed.calls)
    return [max(0.0, (each.computed - each.simulating) / noise - share) for each in computed.calls]


def _noise(percent: int, computed: Computed) -> float:
    return nearest_rank(computed.spins, percent) / min(computed.spins)


def _with_computing(name: str, budget: float, found_: Bounds, loaded: Loaded, timeline: Timeline) -> Verdict:
    calls = _calls(len(loaded.calls))
    waits = nearest_rank(_under_load(loaded, PERCENTILES[name]).took, PERCENTILES[name])
    exact = f"{duration(waits)} of waiting, " if loaded.virtual else ""
    measured = (f"{name} of {calls}: {exact}{_range(found_)} in all; {_told(budget, found_)}",)
    expected = statement(name, budget, calls)
    if found_.most <= budget + (_slack(budget, loaded) if loaded.virtual else 0.0):
        return Verdict(status=Status.PASS, measured=measured)
    if found_.least > budget:
        return Verdict(
            status=Status.FAIL,
            expected=expected,
            observed="computing takes longer than waiting leaves of the budget"
            if loaded.virtual
            else "it takes longer",
            location=_longest(timeline),
            measured=measured,
        )
    return replace(_unclear(loaded), expected=expected, measured=measured)


def _unclear(loaded: Loaded) -> Verdict:
    if loaded.virtual:
        return untested(
            "waiting keeps the budget; whether computing does cannot be told from what this machine and the "
            "simulation add to it, or depends on whether callers compute side by side: run.measured in the "
            "report has the figures. Let the call compute less, lower concurrency, or judge it on a quiet "
            "machine"
        )
    return untested(
        "whether the budget is kept cannot be told from the noise of this machine: run.measured in the "
        "report has the figures. Judge it on a quiet machine, or without --ralph-realtime"
    )


def _range(found_: Bounds) -> str:
    return f"{duration(found_.least)} to {duration(found_.most)}"


def _told(budget: float, found_: Bounds) -> str:
    noise = f"the machine took up to {found_.noise:.2f} times its best for the same work"
    return f"the budget is {duration(budget)}; {noise}"


def _cpu(name: str, budget: float, computed: Computed, timeline: Timeline) -> Verdict:
    """Whether calls compute for no longer than the budget, each alone."""
    percent, calls = PERCENTILES[name], _calls(len(computed.calls))
    errors = [each.error for each in computed.calls]
    if all(errors):
        return untested("no call succeeded: see error-rate")
    found_ = Bounds(
        least=nearest_rank(sample(_least(percent, computed), errors, percent).took, percent),
        most=nearest_rank(
            sample([each.computed - each.simulating for each in computed.calls], errors, percent).took,
            percent,
        ),
        noise=_noise(percent, computed),
    )
    measured = (f"{name} of {calls}: {_range(found_)} of computing; {_told(budget, found_)}",)
    expected = _computing(name, budget, calls)
    if found_.most <= budget:
        return Verdict(status=Status.PASS, measured=measured)
    if found_.least > budget:
        return Verdict(
            status=Status.FAIL,
            expected=expected,
            observed="computing takes longer",
            location=_longest(timeline),
            measured=measured,
        )
    reason = (
        "whether the budget is kept cannot be told from the noise of this machine: run.measured in the "
        "report has the figures. Let the call compute less, or judge it on a quiet machine"
    )
    return replace(untested(reason), expected=expected, measured=measured)


def _computing(name: str, budget: float, calls: str) -> str:
    share = f"each of {calls} computes" if name == "max" else f"{PERCENTILES[name]} % of {calls} compute"
    return f"{share} for at most {duration(budget)}"


def _calls(count: int) -> str:
    return times(count, "call")


def _longest(timeline: Timeline) -> Location | None:
    """The user's line of the longest wait."""
    waits = [(event.until - event.at, event.location) for event in timeline.of(Waited) if event.location]
    waits += [
        ((each.ended or each.started) - each.started, each.location)
        for each in attempts(timeline)
        if each.location
    ]
    # Of equal ones the first, whatever the last digits are.
    return max(waits, key=lambda wait: round(wait[0], 3), default=(0.0, None))[1]


def _error_rate(spec: Latency, play: Play) -> Verdict | None:
    """No more calls raise than may."""
    loaded, computed = play.timeline.of(Loaded), play.timeline.of(Computed)
    calls = loaded[0].calls if loaded else computed[0].calls if computed else ()
    if not calls:
        return None
    errors = [masked(short(call.error, 120)) for call in calls if call.error]
    if len(errors) <= spec.max_error_rate * len(calls):
        return Verdict(status=Status.PASS)
    kinds = Counter(errors)
    most = max(kinds, key=lambda kind: (kinds[kind], kind))
    where = next((end.location for end in play.timeline.of(CallEnded) if end.error and end.location), None)
    return Verdict(
        status=Status.FAIL,
        expected=_rate(spec),
        observed=f"{len(errors)} of {_calls(len(calls))} raised, such as {most}",
        location=where,
        lines=tuple(f"{count} times {kind}" for kind, count in sorted(kinds.items())),
    )


def _rate(spec: Latency) -> str:
    if not spec.max_error_rate:
        return f"none of {_calls(spec.calls)} raises"
    return f"at most {spec.max_error_rate * 100:g} % of {_calls(spec.calls)} raise"


def _text(name: str) -> Callable[[Latency], str]:
    def text(spec: Latency) -> str:
        budget = spec.budget(name)
        if budget is None:
            return ""
        if spec.cpu:
            return _computing(name, budget, _calls(spec.calls))
        said = statement(name, budget, _calls(spec.calls))
        return f"{said}, with {times(spec.concurrency, 'caller')} every {duration(spec.every)}"

    return text


def _fix(spec: Latency) -> str:
    if spec.cpu:
        return "Let the call compute less: profile it, and take out what need not be done in every call"
    return (
        f"Let {times(spec.concurrency, 'caller')} get through at once: a pool with that many connections, no "
        "lock held while waiting for a service, nothing that blocks an event loop, and less waiting and "
        "computing in each call"
    )


SKILL = Skill(
    id="latency",
    marker="latency",
    title="keeps its latency budget under load",
    phase="resources",
    rests_on=("timeout",),
    tightened={**dict.fromkeys(PERCENTILES, "lower"), "max_error_rate": "lower"},
    keep=lambda _: "the result of the call, its timeouts, and which errors are retried with which waits",
    criteria=(
        *(
            Criterion(
                id=name,
                kind="pass",
                text=_text(name),
                scenarios=_played,
                judge=_judge(name),
                applies=lambda spec, name=name: spec.budget(name) is not None,  # type: ignore[misc]
                untested="the calls were not made",
                fix=_fix,
            )
            for name in PERCENTILES
        ),
        Criterion(
            id="error-rate",
            kind="pass",
            text=_rate,
            scenarios=_played,
            judge=_error_rate,
            timing=False,
            untested="the calls were not made",
            fix=lambda _: "Make the call succeed when several callers are there at once",
        ),
    ),
)
