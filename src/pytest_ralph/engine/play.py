"""Plays one scenario against one test body and collects what happened.

A faulty scenario is played once for each operation that the healthy call performs, with the fault aimed at
that operation: otherwise only the first request of a call would ever be put to the test. A healthy call comes
before each play, and much virtual time between two of them, so that breakers, caches and pools that live in
module globals start alike.
"""

from __future__ import annotations

import math
import random
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

import pytest

from pytest_ralph.core import pasting
from pytest_ralph.core.attempts import operation
from pytest_ralph.core.fault import Fault, Kind, Request, can_show
from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.masking import short
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import Play
from pytest_ralph.core.timeline import (
    CallEnded,
    CallStarted,
    Computed,
    Counted,
    CutShort,
    Event,
    FaultMet,
    Loaded,
    Measured,
    Mocked,
    Profiled,
    Requested,
    Spared,
    Stuck,
    Timeline,
    Tried,
    classes,
)
from pytest_ralph.engine.body import Body
from pytest_ralph.engine.depth import Limit, deepest
from pytest_ralph.engine.entry import followed
from pytest_ralph.engine.hotspot import Hotspot
from pytest_ralph.engine.load import Load, Meter, measured, processor_time
from pytest_ralph.engine.peak import Peak, peak_of_memory
from pytest_ralph.engine.quiet import few_lines, held_as_text, unheard
from pytest_ralph.world.census import Census
from pytest_ralph.world.endings import Ended, ending
from pytest_ralph.world.injecting import Injectable
from pytest_ralph.world.world import FAR_AHEAD, World

# Virtual seconds between the starts of callers at the same moment.
_INSTANT = 1e-6

# How one of many calls of a search may end. Ending the test run is not among them.
_OUTCOMES = (Exception, Ended, SystemExit, pytest.fail.Exception, pytest.skip.Exception)
_NO_VALUE = object()
# How many causes of an exception are looked at: a chain may be a ring.
_CAUSES = 10


# Processor time is measured in rounds of so many seconds; a call that takes longer is measured once more.
_LONG_ENOUGH = 0.02
_LONG = 1.0
_ROUNDS = 5
_MOST_CALLS = 200


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a fault is aimed at.

    Attributes:
        upstream: The service, or the Python callable.
        operation: Method and path with variable parts replaced.
        skip: How many requests of this operation, made elsewhere in the code, come before.
        after: How many requests to this service come before.
    """

    upstream: Injectable
    operation: str
    skip: int = 0
    after: int = 0

    def __str__(self) -> str:
        return self.operation

    @property
    def name(self) -> str:
        """The operation, with its service."""
        return f"{self.operation} of {self.upstream.url}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What playing a scenario has given.

    Attributes:
        plays: The plays to judge.
        mocks: What mocks answered in the healthy call.
        reached: Operations that the healthy call performed.
        met: Operations that met a fault aimed at them.
    """

    plays: Sequence[Play]
    mocks: Sequence[Mocked] = ()
    reached: Sequence[str] = ()
    met: Sequence[str] = ()


@dataclass(kw_only=True)
class Player:
    """Plays scenarios with one test's world and body.

    Attributes:
        world: The simulated world.
        body: Calls the test body again.
        locator: Finds the user's lines.
        seed: Seed of the random numbers the code under test draws.
        resets: Functions that clear state the code keeps between calls.
        test: Id of the test, without the scenario.
        faults: What the gates want played, in this scenario or another.
        more_faults: What plugins add to the faults that schedules are made of.
        reached: Operations that the healthy call performed, and that can show any of these faults.
        met: Operations that met a fault aimed at them, or are spared by it.
        on_healthy: Is called when the healthy call has succeeded.
    """

    world: World
    body: Body
    locator: Locator
    seed: str
    resets: tuple[Callable[[], object], ...] = ()
    test: str = ""
    faults: tuple[Fault, ...] = ()
    more_faults: tuple[Fault, ...] = ()
    reached: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    on_healthy: Callable[[], None] = lambda: None
    _baseline: Timeline = field(default_factory=Timeline)

    def learn(self) -> None:
        """Look at the healthy call, which has just succeeded."""
        self._baseline = self.world.timeline
        self.on_healthy()
        found = self._operations(self._baseline)
        self.reached = list(dict.fromkeys(each.name for each in found if self._concerns(each)))

    def _concerns(self, target: Target) -> bool:
        """Whether any fault is aimed at an operation."""
        return not self.faults or any(_can_be_aimed(fault, target) for fault in self.faults)

    def nothing(self, scenario: Scenario) -> Play:
        """What is judged when no fault could be aimed at anything: the healthy call."""
        return Play(scenario=scenario, timeline=self._baseline)

    @property
    def mocks(self) -> list[Mocked]:
        """What mocks answered in the healthy call."""
        return self._baseline.of(Mocked)

    def plays(self, scenario: Scenario) -> list[Play]:
        """Play a scenario: once where nothing is broken, or else at each target of its fault."""
        if scenario.fault is None:
            return [self._play(scenario, [])]
        found: list[Play] = []
        for target in self._operations(self._baseline):
            if not _can_be_aimed(scenario.fault, target):
                continue
            if found:
                self.warm_up()
            play = self._play(scenario, [target])
            found.append(play)
            detours = self._detours(play, target) if scenario.detours else []
            detours = [each for each in detours if _can_be_aimed(scenario.fault, each)]
            if detours and not scenario.recovers:
                # Where the code turns to in trouble may be in trouble as well.
                self.warm_up()
                found.append(self._play(scenario, [target, *detours]))
        return found

    def _operations(self, timeline: Timeline) -> list[Target]:
        """The operations on a timeline: one for each method, path and place in the code it is called from."""
        upstreams = {each.url: each for each in self.world.dependencies if each.faulted}
        targets: dict[tuple[str, str, object], Target] = {}
        seen: Counter[tuple[str, ...]] = Counter()
        for request in timeline.of(Requested):
            if request.upstream not in upstreams:
                continue
            name = operation(request.method, request.target)
            same, service = (request.upstream, name), (request.upstream,)
            targets.setdefault(
                (*same, request.site),
                Target(
                    upstream=upstreams[request.upstream],
                    operation=name,
                    skip=seen[same],
                    after=seen[service],
                ),
            )
            seen.update((same, service))
        return list(targets.values())

    def _detours(self, play: Play, target: Target) -> list[Target]:
        """Operations that the code performs only when it meets the fault."""
        usual = {each.name for each in self._operations(self._baseline)}
        connecting = play.scenario.fault is not None and play.scenario.fault.connect_stage
        return [
            Target(upstream=each.upstream, operation=each.operation)
            for each in self._operations(play.timeline)
            if each.name not in usual and not (connecting and each.upstream is target.upstream)
        ]

    def warm_up(self) -> None:
        """Let an hour pass and make a healthy call, so that what the code keeps is in its usual state."""
        self.world.heal()
        self.world.advance(FAR_AHEAD)
        # The healthy call is judged elsewhere; here it only has to leave a usual state behind.
        with suppress(Exception, Ended), self.call():
            self.body()

    def _play(self, scenario: Scenario, targets: list[Target]) -> Play:
        self.world.heal()
        self.reset()
        random.seed(self.seed)
        stage = Directed(player=self, scenario=scenario, targets=targets)
        try:
            with self.world.outlasting():
                scenario.course.play(stage)
        finally:
            stage.close()
        timeline = Timeline((*stage.noted, *self.world.timeline))
        # Where a fault cannot be met at all, it is no gap that it was not.
        self.met += [targets[0].name] if targets and timeline.of(FaultMet, Spared) else []
        return Play(
            scenario=scenario,
            timeline=timeline,
            aimed_at=" and ".join(dict.fromkeys(str(each) for each in targets)),
        )

    def reset(self) -> None:
        """Clear what the code under test keeps between calls, as far as the user says how."""
        for reset in self.resets:
            reset()

    @contextmanager
    def call(self, index: int = 0, callers: int = 1, *, watched: bool = True) -> Generator[None]:
        """Record one call of the body: when it began and how it ended.

        Args:
            index: Which call.
            callers: How many call at once.
            watched: Whether to look for real time that it lost, and for what became of its metrics.
        """
        self.begin(index, callers)
        if watched:
            self.world.call_begins(index)
        try:
            with self.world.watch() if watched else nullcontext():
                try:
                    yield
                finally:
                    self.world.give_way()
        except BaseException as error:
            found = ending(error)
            self.end(index, found or error, watched=watched)
            if found is not None and found is not error:
                raise found from error
            raise
        self.end(index, None, watched=watched)

    def begin(self, index: int, callers: int = 1) -> None:
        """A call begins, or several at once."""
        recorder = self.world.recorder
        recorder.call_begins()
        recorder.add(
            CallStarted,
            index=index,
            callers=callers,
            repeated=_repeated(self._baseline),
            given=self.body.given,
        )

    def end(self, index: int, error: BaseException | None, *, watched: bool = True) -> None:
        """A call has come back."""
        recorder = self.world.recorder
        recorder.call_is_over()
        self.world.scheduler.settle()
        if watched:
            self.world.call_ends(index)
        location = self.locator.of(error.__traceback__) if error is not None else None
        recorder.add(
            CallEnded,
            index=index,
            error=None if error is None else _told(error),
            endless=isinstance(error, Ended) or self._was_ended(),
            kinds=() if error is None else classes(type(error)),
            own=error is not None and self._is_own(error, location),
            raised=_whole(error),
            location=location,
        )

    def _was_ended(self) -> bool:
        """Whether the world ended the present call, and the code caught that, as a bare except does."""
        found = False
        for event in reversed(self.world.recorder.events):
            if isinstance(event, CallStarted):
                return found and event.callers == 1  # of several, nobody knows which
            found = found or isinstance(event, (Stuck, CutShort))
        return False

    def _is_own(self, error: BaseException, location: Location | None) -> bool:
        """Whether the body itself raised an error, or an assertion in a function of its module."""
        if self.body.raised(error):
            return True
        return isinstance(error, AssertionError) and location is not None and self.locator.is_test(location)


@dataclass(kw_only=True)
class Directed:
    """The stage of one play, see `core.scenario.Stage`.

    Attributes:
        player: Who plays.
        scenario: What is played.
        targets: What its faults are aimed at.
        calls: How many calls there were.
        noted: Events that outlast `case`.
        usual: Whether the last call left the code as a healthy one does.
    """

    player: Player
    scenario: Scenario
    targets: list[Target]
    calls: int = 0
    noted: list[Event] = field(default_factory=list)
    usual: bool = False
    _census: Census | None = None
    _let_go: Callable[[], None] = field(default=lambda: None)
    _until_closed: ExitStack = field(default_factory=ExitStack)

    @property
    def timeline(self) -> Timeline:
        """What has happened so far in this play."""
        return self.player.world.timeline

    def inject(self, fault: Fault | None = None, *, times: int | None = None) -> None:
        """Let the targets show a fault; a service shows one fault, to all its targets."""
        shown = fault or self.scenario.fault
        if shown is not None:
            _inject(shown, self.scenario.times if times is None else times, self.targets)

    def heal(self) -> None:
        """Show no fault any more."""
        for each in self.player.world.dependencies:
            each.heal()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.player.world.advance(seconds)

    def call(self, arguments: Mapping[str, object] | None = None) -> CallEnded:
        """Call the test body."""
        with suppress(Exception, Ended), self.player.call(self._next()):  # an outcome: it is on the timeline
            self.player.body(arguments)
        return self.timeline.of(CallEnded)[-1]

    def measure(self, arguments: Mapping[str, object], n: int, *, memory: bool = False) -> CallEnded:
        """Call the test body until it is known what a call costs."""
        number, began, limit = self.calls, processor_time(), Limit()
        with limit.watched():
            ended = self.call(arguments)
        took = first = max(processor_time() - began, 1e-6)
        if ended.error:
            return ended
        requests = self.timeline.call(number).of(Requested)
        # So many calls are timed together that the clock is exact enough, and so often that one is quiet.
        batch = min(_MOST_CALLS, math.ceil(_LONG_ENOUGH / took))
        rounds = _ROUNDS if took < _LONG else 1
        took = min([took, *(self._timed(arguments, batch) for _ in range(rounds))])
        depth, innermost = 0, None
        if limit.is_raised:
            depth, innermost = deepest(lambda: self._timed(arguments, 1), self.player.locator)
        self.player.world.recorder.add(
            Measured,
            n=n,
            seconds=took,
            first=first,
            requests=len(requests),
            memory=self._allocated(arguments) if memory else 0,
            limit=limit.highest if limit.is_raised else 0,
            depth=depth,
            deepest=innermost,
            location=requests[-1].location if requests else None,
        )
        return ended

    def _allocated(self, arguments: Mapping[str, object]) -> int:
        """The most bytes that one call has allocated at a time."""
        peak = Peak(self.player.world)
        with peak.watching():
            self._timed(arguments, 1)
        return max(1, peak.bytes)

    def profile(self, arguments: Mapping[str, object], n: int, *, memory: bool = False) -> None:
        """Call the test body once more, line by line, and put on the timeline which takes most."""
        with peak_of_memory() if memory else nullcontext(lambda: round(processor_time() * 1e9)) as amount:
            hotspot = Hotspot(self.player.locator, amount)
            with suppress(*_OUTCOMES), hotspot.watched():
                self._timed(arguments, 1)
        location, share = hotspot.found
        self.player.world.recorder.add(Profiled, n=n, memory=memory, location=location, share=share)

    def _timed(self, arguments: Mapping[str, object], calls: int) -> float:
        """Processor seconds of one call, on average."""
        recorder = self.player.world.recorder
        with few_lines(recorder, 0):
            began = processor_time()
            for _ in range(calls):
                recorder.call_begins()
                self.player.body(arguments)
            return (processor_time() - began) / calls

    def census(self, *, closely: Collection[Location] | None = None) -> None:
        """Count what the process has open."""
        world = self.player.world
        world.scheduler.settle()
        if self._census is None:
            self._let_go = self._until_closed.enter_context(held_as_text())
            self._census = Census(self.player.locator, world.network.host)
            self._until_closed.callback(self._census.close)
        self._let_go()
        world.recorder.add(Counted, **self._census.take(closely=closely))

    def close(self) -> None:
        """Stop what was begun for this play."""
        self._until_closed.close()

    def call_at_once(self, callers: int) -> list[CallEnded]:
        """Call the test body several times at the same moment."""
        player, index = self.player, self._next()
        player.begin(index, callers)
        player.world.call_begins(index)
        with player.world.watch():
            player.body.at_once(
                callers,
                ended=lambda error: player.end(index, ending(error) or error),
                # Time moves when every caller so far waits for something or is done.
                settled=lambda: player.world.advance(_INSTANT),
            )
        return self.timeline.of(CallEnded)[-callers:]

    def load(self, due: Sequence[float], *, warm_up: int, at_most: int) -> Loaded:
        """Call the test body at moments that do not depend on how long the calls take."""
        player, world, first = self.player, self.player.world, self.calls
        load = Load(
            world=world,
            begin=lambda number: player.begin(first + number),
            end=lambda number, error: player.end(first + number, error, watched=False),
            due=tuple(due),
            warm_up=warm_up,
            at_most=at_most,
        )
        self.calls += warm_up + len(due)
        with suppress(Ended), world.watch(unseen=False):
            player.body.under_load(load)
        return load.loaded(tasks=player.body.in_tasks, declared=bool(world.dependencies))

    def weigh(self, calls: int) -> Computed:
        """Call the test body, one call after another, and measure what each costs the machine."""
        player = self.player

        def call(meter: Meter) -> CallEnded:
            with (
                suppress(Exception, Ended),
                player.world.watch(),
                player.call(self._next(), watched=False),
                meter,
            ):
                player.body()
            return self.timeline.of(CallEnded)[-1]

        return measured(player.world, call, calls)

    def show(self, faults: Mapping[str, Fault], others: Fault | None = None) -> tuple[str, ...]:
        """Let dependencies show faults whatever is asked of them."""
        known = {each.url: each for each in self.player.world.dependencies}
        for url, each in known.items():
            if (fault := faults.get(url, others)) is not None:
                each.show(fault, None)
        return tuple(url for url in faults if url not in known)

    @property
    def test(self) -> str:
        """The id of the test, without the scenario."""
        return self.player.test

    @property
    def services(self) -> Mapping[str, Kind]:
        """The dependencies that may be broken, and what they are."""
        return {each.url: each.kind for each in self.player.world.dependencies if each.faulted}

    def pool(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        """These faults, and those that plugins add."""
        return (*faults, *self.player.more_faults)

    def case(self, arguments: Mapping[str, object], *, faults: Mapping[str, Fault] | None = None) -> Timeline:
        """Call the test body on an empty timeline, and tell what happened."""
        player, world = self.player, self.player.world
        with world.virtual_time():
            # A call that met none of its faults was as good as the healthy one, which would come now.
            if faults and not self.usual:
                player.warm_up()
                self.usual = True
            if any(event.crosses for event in world.recorder.events):
                world.heal(align=False)
            else:
                world.recorder.restart(align=False)
            player.reset()
            for each in world.dependencies:
                if fault := (faults or {}).get(each.url):
                    each.show(fault, None)
            with world.outlasting(), suppress(*_OUTCOMES), player.call(watched=bool(faults)):
                player.body(arguments)
        timeline = world.timeline
        undisturbed = not timeline.of(FaultMet) and timeline.of(CallEnded)[-1].error is None
        self.usual = self.usual and undisturbed and not arguments
        return timeline

    def afterwards(self) -> Timeline:
        """Call the test body once more, an hour later and with all services well."""
        with self.player.world.virtual_time():
            self.heal()
            self.advance(FAR_AHEAD)
            with suppress(*_OUTCOMES), self.player.call(1):
                self.player.body()
        self.usual = True
        return self.timeline

    @contextmanager
    def searching(self) -> Generator[None]:
        """Give what makes the cases real time, and keep what they print and log out of pytest's output."""
        with self.player.world.real_time(), unheard():
            yield

    def follow(self, argument: str, arguments: Mapping[str, object]) -> Tried:
        """Call the test body, and find out what call of the user's code a value goes into."""
        body = self.player.body
        with followed(arguments.get(argument, _NO_VALUE), body.codes, self.player.locator) as entry:
            case = self.case(arguments)
        return Tried(
            at=0.0,
            location=entry.location,
            argument=argument,
            call=entry.call or pasting.call(body.name, arguments.items()),
            case=case,
        )

    def note(self, event: Event) -> None:
        """Append an event that outlasts `case`."""
        self.noted.append(event)

    def _next(self) -> int:
        number, self.calls = self.calls, self.calls + 1
        return number


def _can_be_aimed(fault: Fault, target: Target) -> bool:
    """Whether generated scenarios aim a fault at a target: a call that is not awaited cannot be given up."""
    kind = target.upstream.kind
    spared = kind is Kind.FUNCTION and any(part.needs_timeout for part in fault.parts())
    return can_show(kind, fault) and not spared


def _inject(fault: Fault, times: int | None, targets: list[Target]) -> None:
    # What a course injects in addition may be for dependencies of another kind: it is not met there.
    able = [target for target in targets if can_show(target.upstream.kind, fault)]
    for upstream in dict.fromkeys(target.upstream for target in able):
        mine = [target for target in targets if target.upstream is upstream]
        if fault.connect_stage:
            upstream.plan.inject(fault, times=times, after=mine[0].after)
        else:
            upstream.plan.inject(fault, times=times, only=_matches_any(mine))


def _matches_any(targets: list[Target]) -> Callable[[Request], bool]:
    matchers = [_matches(target.operation, target.skip) for target in targets]
    # Each of them counts requests, so all of them are asked.
    return lambda request: any([matches(request) for matches in matchers])  # noqa: C419


def _matches(name: str, skip: int) -> Callable[[Request], bool]:
    left = [skip]

    def matches(request: Request) -> bool:
        if operation(request.method, request.target) != name:
            return False
        left[0] -= 1
        return left[0] < 0

    return matches


def _repeated(timeline: Timeline) -> frozenset[str]:
    """Services and operations that the healthy call uses more than once: another request is no retry yet."""
    requests = timeline.of(Requested)
    services = Counter(each.upstream for each in requests)
    operations = Counter(f"{each.upstream} {each.method} {each.path}" for each in requests)
    places = Counter((each.upstream, each.site) for each in requests)
    loops = {f"{upstream} loop" for (upstream, _), count in places.items() if count > 1}
    return frozenset(loops | {name for name, count in (services | operations).items() if count > 1})


def _told(error: BaseException) -> str:
    text = short(str(error), 120)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _whole(error: BaseException | None) -> str:
    """An exception with its causes, as text without the stack."""
    told: list[str] = []
    while error is not None and len(told) < _CAUSES:
        told += [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(told)


def seed_for(base: int, nodeid: str) -> str:
    """A seed that is the same for a test on every run, wherever it runs."""
    return f"{base}:{zlib.crc32(nodeid.encode())}"
