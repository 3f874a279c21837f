"""What is played against the test body: which fault, how often, and how the calls go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pytest_ralph.core.fault import Fault, Kind
from pytest_ralph.core.location import Location
from pytest_ralph.core.timeline import CallEnded, Computed, Event, Loaded, Timeline, Tried


class Stage(Protocol):
    """The world and the test body, as a course directs them."""

    @property
    def timeline(self) -> Timeline:
        """What has happened so far in this play."""

    def inject(self, fault: Fault | None = None, *, times: int | None = None) -> None:
        """Show a fault, to the operation that it is aimed at.

        Args:
            fault: The fault; that of the scenario if None.
            times: How many attempts meet it; as the scenario says if None.
        """

    def heal(self) -> None:
        """Show no fault any more; connections stay open and the timeline goes on."""

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, in seconds."""

    def call(self, arguments: Mapping[str, object] | None = None) -> CallEnded:
        """Call the test body, and tell how that ended.

        Args:
            arguments: Arguments of the test to be passed with other values than those of its fixtures.
        """

    def measure(self, arguments: Mapping[str, object], n: int, *, memory: bool = False) -> CallEnded:
        """Call the test body until it is known what a call costs, and put that on the timeline.

        Args:
            arguments: Arguments of the test to be passed with other values than those of its fixtures.
            n: The amount of data that stands for.
            memory: Whether to measure the memory that a call uses, in one more call.
        """

    def profile(self, arguments: Mapping[str, object], n: int, *, memory: bool = False) -> None:
        """Call the test body once more, slowly, and put on the timeline which line of the user's takes most.

        Args:
            arguments: Arguments of the test to be passed with other values than those of its fixtures.
            n: The amount of data that stands for.
            memory: Whether to look at the memory in use at a time, rather than at processor time.
        """

    def census(self, *, closely: Collection[Location] | None = None) -> None:
        """Count what the process has open, and put that on the timeline.

        Args:
            closely: Lines that have allocated memory: from now on, it is told which lines of the user's led
                to these, and no other memory is counted. That makes all calls that follow several times as
                slow.
        """

    def call_at_once(self, callers: int) -> list[CallEnded]:
        """Call the test body several times at the same moment, and tell how each of the calls ended."""

    def load(self, due: Sequence[float], *, warm_up: int, at_most: int) -> Loaded:
        """Call the test body at moments that do not depend on how long the calls take, and time each call.

        Args:
            due: The moments, in seconds from now and in order. A call's time counts from its moment.
            warm_up: How many calls are made at once, and waited for, before that.
            at_most: How many calls are under way at the same time: another one waits for its turn.
        """

    def weigh(self, calls: int) -> Computed:
        """Call the test body so often, one call after another, and measure what each costs the machine."""

    def show(self, faults: Mapping[str, Fault], others: Fault | None = None) -> tuple[str, ...]:
        """Let dependencies show faults whatever is asked of them, those that may not be broken as well.

        Args:
            faults: The faults, by the URLs of services and the names of callables.
            others: What all others show; nothing if None.

        Returns:
            Those that are not declared.
        """

    @property
    def test(self) -> str:
        """The id of the test, without the scenario."""

    @property
    def services(self) -> Mapping[str, Kind]:
        """The dependencies that may be broken, and what they are."""

    def pool(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        """These faults, and those that plugins add to what schedules are made of."""

    def case(self, arguments: Mapping[str, object], *, faults: Mapping[str, Fault] | None = None) -> Timeline:
        """Call the test body on an empty timeline, and tell what happened.

        It is for a great many calls, and costs next to nothing after one that reached nothing. Whatever the
        body raises is an outcome, pytest's own exceptions and SystemExit included.

        Args:
            arguments: Arguments of the test to be passed with other values than those of its fixtures.
            faults: What services show in the call, by their URLs. An hour and a healthy call come before it.
        """

    def afterwards(self) -> Timeline:
        """An hour after the last `case`, with all services well again, call the test body once more.

        That is on the same timeline, as the call with the index 1, and takes the place of the healthy call
        before the next case.

        Returns:
            What happened in both calls.
        """

    def searching(self) -> AbstractContextManager[None]:
        """Begin a great many calls of `case`.

        In this block time is virtual in the calls only, so that what makes them up can trust the clock, and
        what the code prints and logs is kept out of pytest's output.
        """

    def follow(self, argument: str, arguments: Mapping[str, object]) -> Tried:
        """Call the test body as `case` does, and find out what call of the user's code a value goes into.

        Args:
            argument: The argument whose value is followed; empty for none.
            arguments: As for `case`.
        """

    def note(self, event: Event) -> None:
        """Append an event to the timeline that the play leaves behind: it outlasts `case`."""


class Course(Protocol):
    """How the calls of a scenario go: a frozen, comparable value that directs a stage."""

    def play(self, stage: Stage) -> None:
        """Direct the play. What there is to judge is on the timeline afterwards."""


@dataclass(frozen=True, kw_only=True)
class Calls:
    """The usual course: so many calls, one after another, with the fault there from the first.

    Attributes:
        count: How many times the test body is called.
        pause: Virtual seconds between the calls.
        anew: Whether a fault that ends is there again in each call.
    """

    count: int = 1
    pause: float = 0.0
    anew: bool = False

    def play(self, stage: Stage) -> None:
        """Inject, call, and so on."""
        for number in range(self.count):
            if number:
                stage.advance(self.pause)
            if not number or self.anew:
                stage.inject()
            stage.call()


@dataclass(frozen=True, kw_only=True)
class MemoryCap:
    """How much memory a process may use, and what happens beyond.

    Attributes:
        limit: Bytes of memory that may be in use at a time.
        stop: Bytes from which on the largest process is killed, as the kernel's killer does it.
        whole: Whether the limit is on all that the process has, rather than on what it uses beyond what it
            had when the first call began.
        announced: Whether programs can ask for the limit, as the soft ``RLIMIT_RSS``.
    """

    limit: int
    stop: int
    whole: bool = False
    announced: bool = False


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way the world behaves during a test.

    Attributes:
        id: The name in the test id, such as ``status-503``. It tells apart what is played differently.
        fault: The fault that is met, or None for a world that works.
        times: How many attempts meet the fault before the service recovers; None while it lasts.
        course: How the calls go.
        manual: The test injects its own faults; the world plays none.
        detours: Whether what the code turns to in trouble is broken as well, in a play of its own.
        realtime: Time is real in it: for what is measured, such as memory, processor time and latency.
        isolated: It is played in a process of its own, see `engine.isolation`.
        memory: The memory that its process is held to, if any.
    """

    id: str
    fault: Fault | None = None
    times: int | None = None
    course: Course = field(default_factory=Calls)
    manual: bool = False
    detours: bool = True
    realtime: bool = False
    isolated: bool = False
    memory: MemoryCap | None = None

    @property
    def recovers(self) -> bool:
        """Whether the service is healthy, or becomes healthy again, while the call goes on."""
        return self.fault is None or self.times is not None

    @property
    def faulty(self) -> bool:
        """Whether a fault is to be met in it."""
        return self.fault is not None or self.manual


HEALTHY = Scenario(id="healthy")
MANUAL = Scenario(id="manual", manual=True)


def once(scenario: Scenario, *, times: int = 1) -> Scenario:
    """The same fault, met a limited number of times."""
    name = f"{scenario.id}-once" if times == 1 else f"{scenario.id}-{times}-times"
    return Scenario(id=name, fault=scenario.fault, times=times)
