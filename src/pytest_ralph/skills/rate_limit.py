"""Skill ``rate_limit``: a service that asks to be left alone for a while is left alone for that while.

Services are played that refuse requests until a time they tell, in seconds and as a date, and refuse again
whoever comes back before it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pytest_ralph.core.attempts import Attempt, Operation, attempts, ended_badly, operations
from pytest_ralph.core.quantity import duration, seconds, times
from pytest_ralph.core.scenario import Calls, Course, Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed
from pytest_ralph.core.timeline import Answered, CallEnded, CutShort, FaultMet, Stuck
from pytest_ralph.faults import RateLimited
from pytest_ralph.marker import Decorator, attach, check_scenarios

F = TypeVar("F", bound=Callable[..., Any])

# Virtual seconds that pass while the code looks at the clock.
_SLACK = 0.01
# Many clients that come back at the same moment are spread by jitter: so much longer may a wait be.
_JITTER = 0.5
_ROUNDING = 1.0
# A call that does not wait ends at once.
_AT_ONCE = 0.1
# Without a time to wait for, one more try right away is no attack; more of them are.
_BURST = 3
_BURST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """The validated arguments of ``ralph.rate_limit``."""

    retry_after: int
    max_wait: float | None = None
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"retry_after": self.retry_after, "max_wait": self.max_wait}

    @property
    def other(self) -> int:
        """Another time to wait: code that always waits the same reads no header."""
        longer = 2 * self.retry_after + 1
        if self.max_wait is None or longer <= self.max_wait:
            return longer
        whole = math.floor(self.max_wait)
        return whole if whole > self.retry_after else max(1, self.retry_after // 2)

    @property
    def beyond(self) -> int:
        """The shortest time that is longer than the code may wait."""
        assert self.max_wait is not None
        return math.floor(self.max_wait) + 1


@overload
def rate_limit(function: F, /) -> F: ...
@overload
def rate_limit(
    *, retry_after: int | str = 5, max_wait: float | str | None = None, scenarios: str = "auto"
) -> Decorator[Any]: ...
def rate_limit(
    function: Any = None,
    /,
    *,
    retry_after: int | str = 5,
    max_wait: float | str | None = None,
    scenarios: str = "auto",
) -> Any:
    """Require that a request is made again when, and only when, the service has said that it may be.

    The header is ``Retry-After`` (RFC 9110, 10.2.3), sent with status 429 (RFC 6585, 4) and 503.

    Args:
        function: The test, when the marker is written without parentheses.
        retry_after: The time that the service asks for, in whole seconds or as text such as ``"1 min"``.
            Another one is played as well: twice as long and a second, or what ``max_wait`` allows.
        max_wait: The longest time that the code is willing to wait, in seconds or as text: when the service
            asks for more, the call ends at once. Not judged without it.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.rate_limit(retry_after=5, max_wait="1 min")
        ... def test_search(): ...
    """
    __tracebackhide__ = True

    def build() -> RateLimit:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as retry_after=5, got {function!r}")
        return _spec(retry_after, max_wait, scenarios)

    return attach("rate-limit", build, function)


def _spec(retry_after: object, max_wait: object, scenarios: str) -> RateLimit:
    asked = seconds(retry_after, name="retry_after", exclusive=True)
    if asked != int(asked):
        raise ValueError(
            f"retry_after must be whole seconds, as the header Retry-After holds them, got {retry_after!r}"
        )
    most = None if max_wait is None else seconds(max_wait, name="max_wait", exclusive=True)
    if most is not None and most < asked:
        raise ValueError(
            f"max_wait must not be less than retry_after ({duration(asked)}), got {max_wait!r}: that wait "
            "would never be made"
        )
    check_scenarios(scenarios)
    return RateLimit(retry_after=int(asked), max_wait=most, scenarios=scenarios)


# -- what is played -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Abroad:
    """One call, where clocks on the wall do not show the time of dates in headers.

    These are in GMT (RFC 9110, 5.6.7), and so is the clock of most containers and pipelines: code that takes
    them for local time would be right there by chance.

    Attributes:
        zone: The time zone, as in the environment variable ``TZ`` (POSIX 1003.1, 8.3).
    """

    zone: str = "RALPH-05:30"

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        before = os.environ.get("TZ")
        try:
            _set_zone(self.zone)
            stage.inject()
            stage.call()
        finally:
            _set_zone(before)


def _set_zone(zone: str | None) -> None:
    os.environ.pop("TZ", None)
    if zone is not None:
        os.environ["TZ"] = zone
    if hasattr(time, "tzset"):  # not on Windows
        time.tzset()


def _limited(fault: RateLimited, name: str, course: Course | None = None) -> Scenario:
    return Scenario(id=f"rate-limited-{name}", fault=fault, course=course or Calls())


def _in_seconds(spec: RateLimit) -> tuple[Scenario, ...]:
    waits = dict.fromkeys((spec.retry_after, spec.other))
    return tuple(_limited(RateLimited(wait), f"for-{wait}s") for wait in waits)


def _as_date(spec: RateLimit) -> tuple[Scenario, ...]:
    wait = spec.retry_after
    return (_limited(RateLimited(wait, form="http-date"), f"until-date-in-{wait}s", Abroad()),)


def _beyond(spec: RateLimit) -> tuple[Scenario, ...]:
    if spec.max_wait is None:
        return ()
    return (
        _limited(RateLimited(spec.beyond), f"for-{spec.beyond}s"),
        _limited(RateLimited(spec.retry_after, form="absurd"), "for-31-years"),
    )


def _all(spec: RateLimit) -> tuple[Scenario, ...]:
    wait = spec.retry_after
    others = (
        _limited(RateLimited(wait, status=503), f"by-503-for-{wait}s"),
        _limited(RateLimited(wait, form="missing"), f"unsaid-for-{wait}s"),
    )
    return (*_in_seconds(spec), *_as_date(spec), *others, *_beyond(spec))


# -- what is judged -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An attempt that was refused for the time being.

    Attributes:
        attempt: The attempt.
        asked: After how many seconds the service asked it to come back; None if it did not say.
    """

    attempt: Attempt
    asked: float | None

    @property
    def at(self) -> float:
        """When it was refused."""
        return self.attempt.started if self.attempt.ended is None else self.attempt.ended

    def precedes(self, attempt: Attempt) -> bool:
        """Whether it was known when another attempt began."""
        return attempt.number > self.attempt.number and attempt.started >= self.at

    def __str__(self) -> str:
        when = "without a time" if self.asked is None else f"for {duration(round(self.asked))}"
        return f"{self.attempt.status} {when}"


def _refusals(play: Play) -> list[Refusal]:
    """What was refused: 429, and 503 that tells when to come back."""
    asked = {event.attempt: event.retry_after for event in play.timeline.of(Answered)}
    return [
        Refusal(attempt=each, asked=asked.get(each.number))
        for each in attempts(play.timeline)
        if each.status == 429 or (each.status == 503 and asked.get(each.number) is not None)
    ]


def _waits_retry_after(spec: RateLimit, play: Play) -> Verdict | None:
    """What was refused for so many seconds is tried again after them."""
    return _waits(play) if _was_told(play, as_date=False) else None


def _waits_http_date(spec: RateLimit, play: Play) -> Verdict | None:
    """What was refused until a date is tried again then."""
    return _waits(play) if _was_told(play, as_date=True) else None


def _was_told(play: Play, *, as_date: bool) -> bool:
    """Whether the time was told in this form. A test of the user's own may play one of them only."""
    met = [event.fault for event in play.timeline.of(FaultMet) if event.fault.startswith("RateLimited(")]
    return not play.scenario.manual or any(("form='http-date'" in fault) == as_date for fault in met)


def _waits(play: Play) -> Verdict | None:
    """Each refused operation is tried again when its time has come, and the call succeeds."""
    refused = {each.attempt.number: each for each in _refusals(play) if each.asked is not None}
    judged = [each for each in operations(play.timeline) if each.first.number in refused]
    for operation in judged:
        problem = _wrong_wait(operation, refused[operation.first.number])
        if problem is not None:
            expected = _wanted(refused[operation.first.number])
            return failed(expected, problem, operation.first.location, play.timeline)
    trouble = ended_badly(play.timeline) if judged else None
    if trouble is not None:
        return failed(
            "the call succeeds once the service answers again",
            trouble.text(),
            judged[-1].location,
            play.timeline,
        )
    return PASSED if judged else None


def _wanted(refusal: Refusal) -> str:
    assert refusal.asked is not None
    return f"a wait of {duration(round(refusal.asked))} after {refusal.attempt}, and another attempt"


def _wrong_wait(operation: Operation, refusal: Refusal) -> str | None:
    """What is wrong with the wait after a refusal, or None."""
    assert refusal.asked is not None
    if not operation.retries:
        return "no further attempt"
    wait = operation.gaps[0]
    longest = refusal.asked * (1 + _JITTER) + _ROUNDING
    if refusal.asked - _SLACK <= wait <= longest + _SLACK:
        return None
    return f"a wait of {duration(wait)}"


def _gives_up_beyond_max(spec: RateLimit, play: Play) -> Verdict | None:
    """The call ends at once when the service asks for more time than the code is willing to wait."""
    assert spec.max_wait is not None
    beyond = [each for each in _refusals(play) if (each.asked or 0.0) > spec.max_wait]
    ends = play.timeline.of(CallEnded)
    if not beyond or not ends:
        return None
    first = beyond[0]
    asked = duration(round(first.asked or 0.0))
    expected = f"the call ends at once when the service asks for {asked}, more than {duration(spec.max_wait)}"
    later = [each for each in attempts(play.timeline) if first.precedes(each)]
    if play.timeline.of(Stuck, CutShort):
        return failed(expected, "it goes on for ever", first.attempt.location, play.timeline)
    if later:
        waited = duration(later[0].started - first.at)
        return failed(expected, f"another attempt after {waited}", later[0].location, play.timeline)
    lasted = ends[-1].at - first.at
    if lasted > _AT_ONCE:
        return failed(expected, f"it ended {duration(lasted)} later", first.attempt.location, play.timeline)
    return PASSED


def _hammers(spec: RateLimit, play: Play) -> Verdict | None:
    """No request comes before the time is up; without a time, not many come at once."""
    refused = _refusals(play)
    made = attempts(play.timeline)
    for refusal in refused:
        again = [each for each in made if refusal.precedes(each) and _same(each, refusal.attempt)]
        if refusal.asked is None:
            soon = [each for each in again if each.started <= refusal.at + _BURST_SECONDS]
            if len(soon) >= _BURST - 1:
                expected = f"fewer than {_BURST} requests within {duration(_BURST_SECONDS)} after a 429"
                observed = f"{times(len(soon), 'request')} right after {refusal}"
                return failed(expected, observed, soon[0].location, play.timeline)
            continue
        early = next((each for each in again if each.started < refusal.at + refusal.asked - _SLACK), None)
        if early is not None:
            return failed(
                f"no request for {duration(round(refusal.asked))} after {refusal.attempt}",
                f"a request after {duration(early.started - refusal.at)}",
                early.location,
                play.timeline,
            )
    return PASSED if refused else None


def _same(attempt: Attempt, other: Attempt) -> bool:
    """Whether two attempts are for the same operation of the same service."""
    return (attempt.upstream, attempt.key) == (other.upstream, other.key)


_NO_REFUSAL = "no request was refused with a time to come back: see exercised"

SKILL = Skill(
    id="rate-limit",
    marker="rate_limit",
    title="comes back when a service that limits its rate says so",
    phase="resilience",
    keep=lambda _: (
        "timeouts that are set, the waits after other failures, the arguments and the result of the call"
    ),
    criteria=(
        Criterion(
            id="waits-retry-after",
            kind="pass",
            text=lambda _: "waits as many seconds as Retry-After says, and tries again",
            scenarios=_in_seconds,
            judge=_waits_retry_after,
            untested=_NO_REFUSAL,
            fix=lambda _: (
                "On status 429, read Retry-After and wait that many seconds before the next attempt, as long "
                "as there is one left (urllib3's Retry does it for the methods in allowed_methods; tenacity "
                "needs a wait function that looks at the answer)"
            ),
        ),
        Criterion(
            id="waits-http-date",
            kind="pass",
            text=lambda _: "waits until the date in Retry-After, and tries again",
            scenarios=_as_date,
            judge=_waits_http_date,
            untested=_NO_REFUSAL,
            fix=lambda _: (
                "Read Retry-After as a date where it is no number, with "
                "email.utils.parsedate_to_datetime, and wait for as long as it is ahead, not cut to whole "
                "seconds; it is in GMT, and local time is another one (time.mktime and datetime.now() are "
                "local)"
            ),
        ),
        Criterion(
            id="gives-up-beyond-max",
            kind="pass",
            text=lambda spec: (
                f"ends at once when it is asked to wait for more than {duration(spec.max_wait)}"
            ),
            scenarios=_beyond,
            judge=_gives_up_beyond_max,
            applies=lambda spec: spec.max_wait is not None,
            untested=_NO_REFUSAL,
            fix=lambda spec: (
                f"Compare what Retry-After asks for with {duration(spec.max_wait)} before waiting: when it "
                "is more, raise at once, without a wait and without another attempt"
            ),
        ),
        Criterion(
            id="hammers",
            kind="fail",
            text=lambda _: "a request before the time is up, or many at once where no time was told",
            scenarios=_all,
            judge=_hammers,
            untested="no request was refused: see exercised",
            fix=lambda _: (
                "Make no request before the time in Retry-After is up, whether it came with 429 or 503, and "
                "wait with growing waits where there is no such header"
            ),
        ),
    ),
)
