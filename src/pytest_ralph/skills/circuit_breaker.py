"""Skill ``circuit_breaker``: a service that keeps failing is left alone for a while, then tried with care.

What is judged is what is on the wire, call by call of the test body: after so many failures calls make no
request, until the time is up; then a few do, and what becomes of them decides. A breaker may stand around the
retries of the code or inside of them: it may count each call that failed, or each attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, overload

from pytest_ralph.core.attempts import Attempt, attempts, faulted, operation
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.location import Location
from pytest_ralph.core.quantity import duration, seconds, times, whole_number
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, CallStarted, CutShort, FaultMet, Stuck, Timeline, Waited
from pytest_ralph.faults import Hang, Refuse, Status
from pytest_ralph.marker import Decorator, attach, check_scenarios
from pytest_ralph.skills._breaker_courses import (
    CALLERS,
    TOLERANCE,
    BreakerCourse,
    HalfOpen,
    Interrupted,
    Outage,
    Refusals,
)

F = TypeVar("F", bound=Callable[..., Any])

CLIENT_ERRORS = (400, 401, 403, 404, 409, 422)

# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01


_UNKNOWN_CALLS = (
    "scenarios='manual' cannot be judged: an open breaker shows in calls that make no request, and where a "
    "test injects its own faults nothing tells that there were any. Leave the argument out, and let the test "
    "make one ordinary call; or leave the marker out, and assert in the test what each call does: that it "
    "raises, and with ralph_upstream(...).requests that no request was added"
)


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """The validated arguments of ``ralph.circuit_breaker``."""

    failures: int
    reset_after: float
    half_open_calls: int
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "failures": self.failures,
            "reset_after": self.reset_after,
            "half_open_calls": self.half_open_calls,
        }


@overload
def circuit_breaker(function: F, /) -> F: ...
@overload
def circuit_breaker(
    *,
    failures: int = 5,
    reset_after: float | str = 60,
    half_open_calls: int = 1,
    scenarios: str = "auto",
) -> Decorator[Any]: ...
def circuit_breaker(
    function: Any = None,
    /,
    *,
    failures: int = 5,
    reset_after: float | str = 60,
    half_open_calls: int = 1,
    scenarios: str = "auto",
) -> Any:
    """Require that a service that keeps failing is left alone for a while.

    Args:
        function: The test, when the marker is written without parentheses.
        failures: After how many consecutive failures no more requests are made, from 1 to 100. A failure is
            what the breaker sees: a call that failed with all its retries, or each failed attempt where it
            stands inside of them.
        reset_after: How long none is made, in seconds or as text such as ``"1 min"``.
        half_open_calls: How many callers are let through to try when that time is over, from 1 to 9.
        scenarios: ``auto``. Other markers take ``manual`` for a test that injects its own faults, and this
            one refuses it: nothing there tells one call of the code from the next, and so whether calls that
            make no request were made at all.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.circuit_breaker(failures=5, reset_after=60)
        ... def test_charge(): ...
    """
    __tracebackhide__ = True

    def build() -> CircuitBreaker:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as failures=5, got {function!r}")
        check_scenarios(scenarios)
        if scenarios == "manual":
            raise ValueError(_UNKNOWN_CALLS)
        return CircuitBreaker(
            failures=whole_number(failures, name="failures", minimum=1, maximum=100),
            reset_after=seconds(reset_after, name="reset_after", exclusive=True),
            half_open_calls=whole_number(
                half_open_calls, name="half_open_calls", minimum=1, maximum=CALLERS - 1
            ),
        )

    return attach("circuit-breaker", build, function)


# -- what is played -----------------------------------------------------------------------------------------


def _scenario(
    name: str, fault: Fault, kind: type[BreakerCourse], spec: CircuitBreaker, **more: bool
) -> Scenario:
    given = {"failures": spec.failures, "reset_after": spec.reset_after}
    course = kind(half_open_calls=spec.half_open_calls, **given, **more)  # type: ignore[arg-type]
    parts = [
        *([times(spec.failures, "failure")] if spec.failures != 5 else ()),
        *([duration(spec.reset_after)] if spec.reset_after != 60 else ()),
        *([times(spec.half_open_calls, "trial")] if spec.half_open_calls != 1 else ()),
    ]
    return Scenario(
        id="-".join([name, *(part.replace(" ", "-") for part in parts)]),
        fault=fault,
        course=course,
        # A service that the code turns to in trouble has a breaker of its own, if any.
        detours=False,
    )


def _outages(spec: CircuitBreaker) -> tuple[Scenario, ...]:
    return (
        _scenario("outage-status-503", Status(503), Outage, spec),
        _scenario("outage-hang", Hang(), Outage, spec),
        _scenario("outage-refused", Refuse(), Outage, spec),
    )


def _half_open(spec: CircuitBreaker) -> tuple[Scenario, ...]:
    return (_scenario("half-open", Status(503), HalfOpen, spec),)


def _interruptions(spec: CircuitBreaker) -> tuple[Scenario, ...]:
    if spec.failures == 1:
        return ()
    return (
        _scenario("interrupted-outage", Status(503), Interrupted, spec),
        _scenario("interrupted-outage-by-calls", Status(503), Interrupted, spec, whole_calls=True),
    )


def _refusals(spec: CircuitBreaker) -> tuple[Scenario, ...]:
    return tuple(_scenario(f"client-error-{code}", Status(code), Refusals, spec) for code in CLIENT_ERRORS)


# -- what is judged -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Story:
    """A play of a breaker, call by call: what of it concerns the operation that the fault is aimed at."""

    play: Play
    course: BreakerCourse

    @cached_property
    def aimed(self) -> tuple[Attempt, ...]:
        """The attempts at the operation that the fault is aimed at, connects that failed included."""
        met = {event.attempt for event in self.play.timeline.of(FaultMet)}
        return tuple(
            each
            for each in attempts(self.play.timeline)
            if each.number in met
            or (each.method and operation(each.method, each.target or "") == self.play.aimed_at)
        )

    @cached_property
    def met(self) -> tuple[Attempt, ...]:
        """The attempts that met a fault."""
        return tuple(faulted(self.play.timeline))

    @cached_property
    def calls(self) -> int:
        """How many calls there were; several at once are one."""
        return len(self.play.timeline.of(CallStarted))

    @property
    def location(self) -> Location | None:
        """The user's line that made the requests."""
        return next((each.location for each in self.aimed if each.location), None)

    @property
    def name(self) -> str:
        """The operation."""
        return self.play.aimed_at

    def of(self, call: int) -> list[Attempt]:
        """The attempts of one call."""
        return [each for each in self.aimed if each.call == call]

    def began(self, call: int) -> float:
        """When a call began."""
        return next(each.at for each in self.play.timeline.of(CallStarted) if each.index == call)

    def ended(self, call: int) -> CallEnded:
        """How a call ended, the last of several at once."""
        return [each for each in self.play.timeline.of(CallEnded) if each.index == call][-1]

    @cached_property
    def failures(self) -> tuple[int, ...]:
        """How many attempts failed in each of the calls meant to fail, without those that made none."""
        counts = (sum(each.call == call for each in self.met) for call in self.course.failing)
        return tuple(count for count in counts if count)

    @cached_property
    def is_open(self) -> bool:
        """Whether the call after the failing ones made no request."""
        refused = self.course.refused
        return bool(self.failures) and self.calls > refused and not self.of(refused)

    @property
    def is_late(self) -> bool:
        """Whether it opened in the middle of a call, after more attempts than it has to stand."""
        counts = self.failures
        midway = counts[-1] < counts[0]
        return len(counts) < self.course.failures < sum(counts) and midway

    @property
    def is_early(self) -> bool:
        """Whether it opened after fewer failures than it has to stand, however they are counted."""
        counts = self.failures
        right = self.course.failures in (len(counts), sum(counts))
        return self.is_open and not right and not self.is_late

    def opened(self, until: int) -> float:
        """When the last failure before a call ended."""
        return max(each.ended or each.started for each in self.met if each.call < until)

    @property
    def failed_so(self) -> str:
        """What failed, in words."""
        counts = self.failures
        failure = self.met[0].failure
        kind = f"status {self.met[0].status}" if failure.endswith("xx") else failure.replace("-", " ")
        calls, made = times(len(counts), "failed call"), times(sum(counts), "failed attempt")
        return f"{made} in {calls} ({kind})" if sum(counts) != len(counts) else f"{calls} ({kind})"

    def fail(
        self, expected: str, observed: str, calls: Iterable[int], location: Location | None = None
    ) -> Verdict:
        """A failing verdict, with the calls that show it."""
        shown = [event for call in calls for event in self.play.timeline.call(call)]
        return failed(expected, observed, location or self.location, Timeline(tuple(shown)))


def _judge(
    *judges: tuple[type[BreakerCourse], Callable[[CircuitBreaker, _Story, Any], Verdict | None]],
) -> Callable[[CircuitBreaker, Play], Verdict | None]:
    """A judge that looks at a play in the way of its course."""

    def judge(spec: CircuitBreaker, play: Play) -> Verdict | None:
        course = play.scenario.course
        if not isinstance(course, BreakerCourse) or not play.timeline.of(CallStarted):
            return untested("the call makes no request that a fault could hit: see exercised")
        story = _Story(play=play, course=course)
        if (left_over := _left_over(story)) is not None:
            return left_over
        return next((each(spec, story, course) for kind, each in judges if isinstance(course, kind)), None)

    return judge


def _left_over(story: _Story) -> Verdict | None:
    """Why nothing can be said: the breaker was not closed when the play began."""
    if all(story.of(call) for call in range(story.course.half_open_calls)):
        return None
    return untested(
        f"a healthy call at the beginning makes no {story.name}: something is left of an earlier call, "
        "such as a breaker that is still open after an hour, or a cache; name what clears it with "
        "@ralph.reset(function), or let each call ask for something new",
        story.play.timeline,
    )


def _opens(spec: CircuitBreaker, story: _Story, course: BreakerCourse) -> Verdict | None:
    """After so many failures, the next call makes no request."""
    expected = f"no request after {times(spec.failures, 'consecutive failure')}"
    endless = story.play.timeline.of(Stuck, CutShort)
    if endless:
        what = f"{story.name} does not end by itself, so it never fails: set a timeout first"
        return story.fail(expected, what, course.failing, endless[0].location)
    if not story.failures:
        return None
    if story.is_open and not story.is_late:
        return PASSED
    if not story.is_open and _scattered(story):
        return None
    if not story.is_open and (other := _success_between(story)) is not None:
        return untested(
            f"{other.name} of the same service succeeded between the failures of {story.name}, so these were "
            "not consecutive to a breaker that both share; give each operation a breaker of its own, or a "
            "test",
            story.play.timeline,
        )
    if story.is_open:
        return story.fail(expected, f"it opens only after {story.failed_so}", course.failing)
    made = times(len(story.of(course.refused)), "request")
    return story.fail(expected, f"{made} right after {story.failed_so}", (*course.failing, course.refused))


def _scattered(story: _Story) -> bool:
    """Whether connects failed in several places: a fault of connections is no longer aimed at one then."""
    return len({each.site for each in story.met if each.key is None}) > 1


def _success_between(story: _Story) -> Attempt | None:
    """A request to the same service that succeeded while those the fault is aimed at failed."""
    first = story.met[0]
    return next(
        (
            each
            for each in attempts(story.play.timeline)
            if each.upstream == first.upstream
            and each.call in story.course.failing
            and each.started > first.started
            and not each.failed
        ),
        None,
    )


def _fails_fast(spec: CircuitBreaker, story: _Story, course: BreakerCourse) -> Verdict | None:
    """A call that makes no request ends at once."""
    if not story.is_open:
        return None
    ended = story.ended(course.refused)
    took = ended.at - story.began(course.refused)
    if took <= _SLACK and not ended.endless:
        return PASSED
    waits = [each for each in story.play.timeline.call(course.refused) if isinstance(each, (Waited, Stuck))]
    return story.fail(
        "a call ends at once while the breaker is open",
        "it never ends" if ended.endless else f"it takes {duration(took)} without any request",
        [course.refused],
        waits[0].location if waits else ended.location,
    )


def _stays_open(spec: CircuitBreaker, story: _Story, course: Outage | HalfOpen) -> Verdict | None:
    """Until the time is up, no call makes a request."""
    verdict = None
    for call in course.silent if story.is_open else ():
        if call >= story.calls:
            break
        since = story.opened(call)
        # The last of them is made a little before the time is up: half-way from there, it is over.
        up = since + spec.reset_after * (1 - TOLERANCE / 2)
        early = next((each for each in story.of(call) if each.started < up), None)
        if early is not None:
            again = " again, because a trial failed," if isinstance(course, HalfOpen) else ""
            after = duration(max(0.0, round(early.started - since, 3)))
            return story.fail(
                f"no request until {duration(spec.reset_after)} after the last failure",
                f"{early} {after} after the breaker had to open{again}".rstrip(","),
                [call],
                early.location,
            )
        if story.began(call) < up:
            verdict = PASSED
    return verdict


def _recovers(spec: CircuitBreaker, story: _Story, course: Outage | HalfOpen) -> Verdict | None:
    """When the time is up, calls make requests again, and go on to."""
    if not story.is_open:
        return None
    trials = (course.failing_trial, course.trial) if isinstance(course, HalfOpen) else ()
    for call in (*trials, *course.flowing):
        if call >= story.calls:
            break
        error = story.ended(call).error if call in course.flowing else None
        if story.of(call) and error is None:
            continue
        since = duration(round(story.began(call) - story.opened(call), 2))
        what = f"a call raised {error}" if story.of(call) else _nothing_made(story, call, error)
        return story.fail(
            f"calls make requests again {duration(spec.reset_after)} after the last failure, and succeed",
            f"{what}, {since} after the last failure",
            [call],
            story.ended(call).location,
        )
    return PASSED


def _nothing_made(story: _Story, call: int, error: str | None) -> str:
    callers = next(each.callers for each in story.play.timeline.of(CallStarted) if each.index == call)
    told = f" and raised {error}" if error else ""
    return f"no request by {times(callers, 'caller')}" if callers > 1 else f"a call made no request{told}"


def _half_open_limit(spec: CircuitBreaker, story: _Story, course: HalfOpen) -> Verdict | None:
    """Of many callers at once, so many are let through to try."""
    if not story.is_open:
        return None
    verdict = None
    stayed_open = not any(story.of(call) for call in course.silent)
    for call in (course.failing_trial, *((course.trial,) if stayed_open else ())):
        made = story.of(call)
        if not made:
            continue
        known = min(each.ended or each.started for each in made)
        # Once a trial has succeeded, others may follow; once it has failed, none until the time is up again.
        until = known if call == course.trial else known + spec.reset_after * (1 - TOLERANCE / 2)
        at_once = [each for each in made if each.started < known]
        through = max(len(at_once), len({each.thread for each in made if each.started < until}))
        if through != spec.half_open_calls:
            return story.fail(
                f"requests by {spec.half_open_calls} of {CALLERS} callers at once when the time is up",
                f"requests by {through} of {CALLERS} callers",
                [call],
                made[0].location,
            )
        verdict = PASSED
    return verdict


def _opens_early(spec: CircuitBreaker, story: _Story, course: BreakerCourse) -> Verdict | None:
    """It does not open before that many failures."""
    if not story.failures:
        return None
    if story.is_early:
        each = "" if sum(story.failures) == len(story.failures) else ", or attempts"
        return story.fail(
            f"requests go on until {times(spec.failures, 'failed call')}{each}",
            f"no more requests after {story.failed_so}",
            (*course.failing, course.refused),
        )
    return PASSED


def _opens_early_again(spec: CircuitBreaker, story: _Story, course: Outage) -> Verdict | None:
    """Nor before that many failures after it has closed."""
    verdict = _opens_early(spec, story, course)
    if verdict is not PASSED or not story.is_open or not all(story.of(call) for call in course.flowing):
        return verdict
    for call in range(course.flowing.stop, story.calls):
        if not story.of(call):
            failures = sum(each.call >= course.flowing.stop for each in story.met)
            return story.fail(
                f"after it has closed, requests go on until {times(spec.failures, 'failure')}",
                f"no more requests after {times(failures, 'failure')}",
                range(course.flowing.start, call + 1),
            )
    return PASSED


def _opens_interrupted(spec: CircuitBreaker, story: _Story, course: Interrupted) -> Verdict | None:
    """Nor after more failures that were not consecutive."""
    if not story.met:
        return None
    since: list[Attempt] = []
    for call in range(story.calls):
        made = story.of(call)
        if not made:
            if course.whole_calls and _counts_attempts(spec, story, call, len(since)):
                return None  # there were enough of them; others are too many, see `opens`
            total = len([each for each in story.met if each.call < call])
            return story.fail(
                f"requests go on after {times(spec.failures - 1, 'failure')} and a success",
                f"no more requests after {times(len(since), 'consecutive failure')}, {total} in all",
                range(call + 1),
            )
        last = max((number for number, each in enumerate(made) if not each.failed), default=-1)
        since = [*(since if last < 0 else ()), *made[last + 1 :]]
    return PASSED


def _counts_attempts(spec: CircuitBreaker, story: _Story, call: int, failures: int) -> bool:
    """Whether the breaker opened before a call because it counts attempts rather than whole calls."""
    whole = len(story.of(story.course.failing.start))
    return failures == spec.failures or (failures > spec.failures and len(story.of(call - 1)) < whole)


def _opens_on_client_error(spec: CircuitBreaker, story: _Story, course: Refusals) -> Verdict | None:
    """Errors that are the client's do not open it."""
    if not story.met:
        return None
    for call in range(story.calls):
        if not story.of(call):
            answers = times(len(story.met), "answer")
            return story.fail(
                f"requests go on after answers with status {story.met[0].status}",
                f"no more requests after {answers} with status {story.met[0].status}",
                range(call + 1),
            )
    return PASSED


_NOT_OPEN = "the breaker did not open: see opens"


def _calls(spec: CircuitBreaker) -> str:
    return times(spec.failures, "consecutive failure")


SKILL = Skill(
    id="circuit-breaker",
    marker="circuit_breaker",
    title="leaves a failing service alone for a while",
    phase="resilience",
    rests_on=("timeout",),  # a call that never ends never fails
    keep=lambda _: (
        "timeouts that are set, which errors are retried and with which waits, and the result of a call"
    ),
    criteria=(
        Criterion(
            id="opens",
            kind="pass",
            text=lambda spec: f"makes no request after {_calls(spec)}",
            scenarios=_outages,
            judge=_judge((Outage, _opens)),
            timing=False,
            fix=lambda spec: (
                f"Let one breaker, made once and shared by all calls, open after {_calls(spec)}, and count "
                "timeouts, connection errors and status 5xx alike: raise for the status inside of what it "
                "guards"
            ),
        ),
        Criterion(
            id="fails-fast",
            kind="pass",
            text=lambda _: "a call ends at once while the breaker is open",
            scenarios=_outages,
            judge=_judge((Outage, _fails_fast)),
            untested=_NOT_OPEN,
            fix=lambda _: (
                "Raise, or serve a fallback, at once while the breaker is open: do not wait for it, and "
                "leave its own error out of what is retried"
            ),
        ),
        Criterion(
            id="stays-open",
            kind="pass",
            text=lambda spec: f"makes no request for {duration(spec.reset_after)} after the last failure",
            scenarios=lambda spec: (*_outages(spec), *_half_open(spec)),
            judge=_judge((Outage, _stays_open), (HalfOpen, _stays_open)),
            untested=_NOT_OPEN,
            fix=lambda spec: (
                f"Keep the breaker open for {duration(spec.reset_after)} from the failure that opened it, "
                "and for as long again when a trial fails"
            ),
        ),
        Criterion(
            id="recovers",
            kind="pass",
            text=lambda spec: f"makes requests again after {duration(spec.reset_after)}, and closes",
            scenarios=lambda spec: (*_outages(spec), *_half_open(spec)),
            judge=_judge((Outage, _recovers), (HalfOpen, _recovers)),
            untested=_NOT_OPEN,
            fix=lambda spec: (
                f"Let a call through {duration(spec.reset_after)} after the failure that opened the breaker, "
                "whatever calls were refused meanwhile, and close it when that call succeeds"
            ),
        ),
        Criterion(
            id="half-open-limit",
            kind="pass",
            text=lambda spec: (
                f"lets {spec.half_open_calls} of {CALLERS} callers at once try when the time is up"
            ),
            scenarios=_half_open,
            judge=_judge((HalfOpen, _half_open_limit)),
            untested=_NOT_OPEN,
            fix=lambda spec: (
                f"While the breaker is half-open, let {times(spec.half_open_calls, 'caller')} through at a "
                "time, counted under a lock, and refuse all others until it is known how the trial ends (the "
                "circuitbreaker, aiobreaker and purgatory libraries let everybody through)"
            ),
        ),
        Criterion(
            id="opens-early",
            kind="fail",
            text=lambda spec: f"no request after fewer than {_calls(spec)}",
            scenarios=lambda spec: (*_outages(spec), *_interruptions(spec)),
            judge=_judge((Outage, _opens_early_again), (Interrupted, _opens_interrupted)),
            timing=False,
            fix=lambda spec: (
                f"Open the breaker after {_calls(spec)}, not before: each success, and closing, sets the "
                "count back to 0"
            ),
        ),
        Criterion(
            id="opens-on-client-error",
            kind="fail",
            text=lambda _: "no request after answers with status 4xx",
            scenarios=_refusals,
            judge=_judge((Refusals, _opens_on_client_error)),
            timing=False,
            fix=lambda _: (
                "Leave answers with status 4xx out of what the breaker counts: the service works, and the "
                "request is wrong (pybreaker and purgatory: exclude; circuitbreaker: expected_exception)"
            ),
        ),
    ),
)
