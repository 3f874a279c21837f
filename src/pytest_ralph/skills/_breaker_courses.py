"""What is played for a circuit breaker: how it is opened, left alone, tried by many at once, and not opened.

What is judged of it is in the file of the skill.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_ralph.core.attempts import faulted
from pytest_ralph.core.fault import Exchange, Fault, Pause, Step
from pytest_ralph.core.scenario import Stage
from pytest_ralph.core.timeline import CutShort, Stuck
from pytest_ralph.faults import Status

CALLERS = 10
"""How many call at the same moment when the breaker is half-open."""
TOLERANCE = 0.01
"""By which fraction the time that a breaker stays open may be off."""

# How long a trial request takes: all other callers come to the breaker meanwhile.
_TRIAL_SECONDS = 0.05


@dataclass(frozen=True)
class _Late(Fault):
    """What another fault does, or the healthy answer, after a while."""

    fault: Fault
    seconds: float

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        yield Pause(seconds=self.seconds)
        yield from self.fault.on_request(exchange)


@dataclass(frozen=True, kw_only=True)
class BreakerCourse(ABC):
    """What the courses of a breaker have in common: how it is opened.

    A half-open breaker may want several calls to succeed before it closes, so a play begins with as many.

    Attributes:
        failures: How many calls fail.
        reset_after: Virtual seconds for which the breaker is open.
        half_open_calls: How many callers it lets through then.
    """

    failures: int
    reset_after: float
    half_open_calls: int

    @abstractmethod
    def play(self, stage: Stage) -> None:
        """Direct the play."""

    @property
    def failing(self) -> range:
        """The calls that are meant to fail."""
        return range(self.half_open_calls, self.half_open_calls + self.failures)

    @property
    def refused(self) -> int:
        """The call that comes right after them."""
        return self.failing.stop

    def open(self, stage: Stage) -> bool:
        """Let calls fail. Returns whether the next one makes no request any more."""
        for _ in range(self.half_open_calls):
            stage.call()
        stage.inject()
        for _ in self.failing:
            stage.call()
            if stage.timeline.of(Stuck, CutShort):
                return False
        before = len(faulted(stage.timeline))
        stage.call()
        return len(faulted(stage.timeline)) == before

    def just_before(self, stage: Stage) -> None:
        """Let time pass until the breaker is about to let calls through."""
        _advance_to(stage, _last_failure(stage) + self.reset_after * (1 - TOLERANCE))

    def just_after(self, stage: Stage) -> None:
        """Let time pass until the breaker has to let calls through."""
        _advance_to(stage, _last_failure(stage) + self.reset_after * (1 + TOLERANCE))

    def fail_once_less(self, stage: Stage) -> None:
        """As many attempts fail as the breaker has to stand, and a call comes after them."""
        wanted = len(faulted(stage.timeline)) + self.failures - 1
        stage.inject(times=self.failures - 1)
        for _ in range(self.failures - 1):
            if len(faulted(stage.timeline)) < wanted:
                stage.call()
        stage.heal()
        stage.call()


def _last_failure(stage: Stage) -> float:
    return max((each.ended or each.started for each in faulted(stage.timeline)), default=0.0)


def _advance_to(stage: Stage, moment: float) -> None:
    """Let time pass up to a moment; each call ends with an event, so the last of them tells the time."""
    left = moment - stage.timeline[-1].at
    if left > 0:
        stage.advance(left)


@dataclass(frozen=True, kw_only=True)
class Outage(BreakerCourse):
    """A service fails for so many calls, and is healthy long before it is asked again.

    Calls: healthy ones, failing ones, one that is refused, one just before the time is up, as many after it
    as close the breaker, and at last, after one failure less than opens it, one that must still come through.
    """

    @property
    def silent(self) -> tuple[int, ...]:
        """The call just before the time is up."""
        return (self.refused + 1,)

    @property
    def flowing(self) -> range:
        """The calls after the time is up."""
        return range(self.refused + 2, self.refused + 2 + self.half_open_calls)

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        if not self.open(stage):
            return
        stage.heal()
        self.just_before(stage)
        stage.call()
        self.just_after(stage)
        for _ in self.flowing:
            stage.call()
        # Right after the breaker has closed: another success would hide that it still counts old failures.
        if self.failures > 1:
            self.fail_once_less(stage)


@dataclass(frozen=True, kw_only=True)
class HalfOpen(BreakerCourse):
    """When the time is up, many call at once: first while the service still fails, then when it is healthy.

    Calls: as of an outage up to the refused one; many at once, one right after them, one just before the time
    is up once more, many at once, and more that flow.
    """

    @property
    def failing_trial(self) -> int:
        """The callers at once whose trial fails."""
        return self.refused + 1

    @property
    def silent(self) -> tuple[int, ...]:
        """The calls after that trial: at once, and just before the time is up again."""
        return self.refused + 2, self.refused + 3

    @property
    def trial(self) -> int:
        """The callers at once whose trial succeeds."""
        return self.refused + 4

    @property
    def flowing(self) -> range:
        """The calls after that."""
        return range(self.refused + 5, self.refused + 6 + self.half_open_calls)

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        if not self.open(stage):
            return
        self.just_after(stage)
        before = len(faulted(stage.timeline))
        stage.inject(_Late(Status(503), _TRIAL_SECONDS))
        stage.call_at_once(CALLERS)
        stage.heal()
        if len(faulted(stage.timeline)) == before:
            return
        stage.call()
        self.just_before(stage)
        stage.call()
        self.just_after(stage)
        stage.inject(_Late(Fault(), _TRIAL_SECONDS))
        stage.call_at_once(CALLERS)
        stage.heal()
        for _ in self.flowing:
            stage.call()


@dataclass(frozen=True, kw_only=True)
class Interrupted(BreakerCourse):
    """Twice one failure less than opens the breaker, each time with a success after them.

    Attributes:
        whole_calls: Whether so many calls fail, with all their retries, rather than so many attempts.
    """

    whole_calls: bool = False

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        for _ in range(self.half_open_calls):
            stage.call()
        for _ in range(2):
            if self.whole_calls:
                stage.inject()
                for _ in range(self.failures - 1):
                    stage.call()
                stage.heal()
                stage.call()
            else:
                self.fail_once_less(stage)


@dataclass(frozen=True, kw_only=True)
class Refusals(BreakerCourse):
    """The service answers so many calls, and one more, with an error that is the client's."""

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        self.open(stage)
