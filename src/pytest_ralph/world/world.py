"""One simulated world: clock, network and log seams put together, and the rules between scenarios."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from pytest_ralph.core.location import Locator
from pytest_ralph.core.timeline import Escaped, Timeline, Waited
from pytest_ralph.world import effects, lockseam, logseam, mockseam, real, repoint
from pytest_ralph.world.agenda import Agenda
from pytest_ralph.world.callables import UNSET, Dependency
from pytest_ralph.world.clock import Clock, RealClock, VirtualClock, aligned
from pytest_ralph.world.endings import Ended
from pytest_ralph.world.injecting import Injectable
from pytest_ralph.world.lineseam import LineSeam
from pytest_ralph.world.metricseam import MetricSeam
from pytest_ralph.world.network import Names, Network
from pytest_ralph.world.outsiders import Children, Outsiders
from pytest_ralph.world.pollseam import PollSeam, Waits
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo
from pytest_ralph.world.scheduler import Scheduler, Services, WorldIsOver
from pytest_ralph.world.socketseam import Client, SocketSeam
from pytest_ralph.world.streamseam import Streams
from pytest_ralph.world.tasks import Tasks
from pytest_ralph.world.timeseam import TimeSeam
from pytest_ralph.world.tls import Authority, Bundles
from pytest_ralph.world.upstream import Upstream, origin

FAR_AHEAD = 3_600.0
"""Virtual seconds between two plays: longer than breakers stay open and pools keep connections."""

# Real seconds a call may spend blocked outside the simulation before it counts. A page fault or an import
# from disk is no wait; nor is the wait for the GIL, where several threads want it on a busy machine.
_ESCAPE_SECONDS = 0.25
_ESCAPE_SECONDS_WITH_THREADS = 2.0
# Seconds for threads that write logs: virtual time passes only when none of them has anything to do.
_DRAIN = 0.001
_DRAIN_REALLY = 2.0
# For how many virtual seconds threads that a call has left behind may go on.
_LEFT_BEHIND = 60.0


@dataclass(kw_only=True)
class Seams:
    """What all worlds of a run share, one after another.

    Attributes:
        realtime: No virtual clock: waits pass in real time.
        only_worlds: No other code runs between the worlds: what is put off may wait for the end of the run.
    """

    realtime: bool = False
    only_worlds: bool = False
    names: Names = field(default_factory=Names)
    bundles: Bundles = field(default_factory=Bundles)
    latest: int = 0
    _time: TimeSeam | None = None
    _sockets: SocketSeam | None = None
    _polls: PollSeam | None = None
    _authority: Authority | None = None

    @property
    def time(self) -> TimeSeam:
        """The seam of clocks."""
        self._time = self._time or TimeSeam()
        return self._time

    @property
    def polls(self) -> PollSeam:
        """The seam of event loops."""
        self._polls = self._polls or PollSeam()
        return self._polls

    @property
    def sockets(self) -> SocketSeam:
        """The seam of sockets."""
        self._sockets = self._sockets or SocketSeam()
        return self._sockets

    def authority(self) -> Authority:
        """The certificate authority, made on first use."""
        self._authority = self._authority or Authority()
        return self._authority

    def clock(self, *, realtime: bool = False) -> Clock:
        """A clock for the next world, later than any before it: to programs time never goes back.

        Args:
            realtime: Whether time is real in that world, whatever it is in others.
        """
        if self.realtime or realtime:
            return RealClock()
        now = real.monotonic_ns()
        start = aligned(max(now, self.latest + round(FAR_AHEAD * 1e9)))
        return VirtualClock(start, real.time_ns() + start - now)


class World:
    """A simulated world for one test.

    Args:
        seams: What worlds share.
        locator: Finds the user's lines.
        measured: Whether metrics and spans are on the timeline.
        realtime: Whether time is real in it, whatever it is in others.
    """

    def __init__(
        self, seams: Seams, locator: Locator, *, measured: bool = True, realtime: bool = False
    ) -> None:
        self._seams = seams
        self.clock: Clock = seams.clock(realtime=realtime)
        self.recorder = Recorder(self.clock, locator)
        self._agenda = Agenda()
        self._tasks = Tasks(self.recorder, locator)
        self.network = Network(
            seams.names,
            seams.authority,
            self._agenda,
            self.recorder,
            now=lambda: self.clock.now,
            changed=self._settle,
        )
        self.scheduler = Scheduler(
            self.clock,
            self._agenda,
            Services(pump=self.network.pump, settled=self.network.settled, break_off=self._break_off),
            children=Children().busy,
            expired=self.recorder.expired,
        )
        self._waits = Waits(self.scheduler, self.recorder, Outsiders(self.network.simulates))
        self._streams = Streams(self.network, self.scheduler, self.recorder)
        self._client = Client(
            self.network, self.scheduler, self.recorder, seams.authority, seams.bundles, self._streams
        )
        self._callables: dict[str, Dependency] = {}
        self._lines = LineSeam(self.recorder)
        self._loguru = logseam.Loguru(self.recorder)
        self._metrics = MetricSeam(self.recorder) if measured else None
        self._undo: ExitStack | None = None
        self._undo_time: Undo | None = None

    def _settle(self) -> None:
        self.scheduler.settle()

    def _break_off(self) -> bool:
        """End what event loops wait for for ever: the network first, for it is where the cause is."""
        return self.network.break_off() or self._tasks.rouse()

    @property
    def timeline(self) -> Timeline:
        """What was recorded since the present play began."""
        return self.recorder.timeline

    @property
    def active(self) -> bool:
        """Whether the seams are in place."""
        return self._undo is not None

    def enter(self) -> None:
        """Put the seams in place."""
        if self._undo is not None:
            raise RuntimeError("pytest-ralph: this world is active already")
        with ExitStack() as stack:
            stack.callback(self._lines.install())
            stack.callback(logseam.install(self.recorder, self._lines, self._loguru))
            stack.callback(mockseam.install(self.recorder))
            stack.callback(effects.install(self.recorder))
            stack.callback(self._seams.sockets.install(self._client))
            if self._metrics is not None:
                stack.callback(self._metrics.install())
            stack.callback(self._seams.polls.install(self._waits))
            stack.callback(self._tasks.install())
            stack.callback(self._streams.install())
            if isinstance(self.clock, VirtualClock):
                stack.callback(lockseam.install(self.scheduler, self.recorder))
                stack.callback(self._leave_time)
                self._enter_time()
            for each in self._callables.values():
                stack.callback(each.install())
            self._undo = stack.pop_all()

    def forked(self) -> None:
        """Go on in a process that was just forked, of which only the calling thread is left."""
        self.scheduler.forked()

    def leave(self) -> None:
        """Take the seams away."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo.close()

    def _enter_time(self) -> None:
        if isinstance(self.clock, VirtualClock) and self._undo_time is None:
            self._undo_time = self._seams.time.install(self.clock, self.sleep)

    def _leave_time(self) -> None:
        undo, self._undo_time = self._undo_time, None
        if undo is not None:
            undo()

    @contextmanager
    def real_time(self) -> Generator[None]:
        """Let clocks be real in this block, where the code under test does not run; virtual time waits."""
        self._leave_time()
        try:
            yield
        finally:
            self._enter_time()

    @contextmanager
    def virtual_time(self) -> Generator[None]:
        """Let clocks be virtual again in this block, in one with real time."""
        was_real = self._undo_time is None
        self._enter_time()
        try:
            yield
        finally:
            if was_real:
                self._leave_time()

    def close(self) -> None:
        """Take the seams away and end every simulated connection."""
        with ExitStack() as stack:
            if isinstance(self.clock, VirtualClock):
                self._seams.latest = self.clock.now
            if not self._seams.only_worlds:
                stack.callback(self._seams.bundles.catch_up_all)
            stack.callback(self._loguru.close)
            stack.callback(self._end_connections)
            stack.callback(self.scheduler.close)
            stack.callback(self.leave)

    def _end_connections(self) -> None:
        with self.scheduler.alone():
            self._agenda.clear()
            self.network.close()

    def upstream(self, url: str, *, faulted: bool = True) -> Upstream:
        """Simulate a service.

        Args:
            url: Scheme, host and port.
            faulted: Whether generated scenarios may break it.

        Raises:
            ValueError: The URL is not one of a service that can be simulated.
        """
        return self.network.declare(origin(url), faulted=faulted)

    def callable(self, target: str, *, returns: object = UNSET, faulted: bool = True) -> Dependency:
        """Take the place of a Python callable.

        Args:
            target: ``package.module:name`` or ``package.module:Class.method``.
            returns: What it returns while it is healthy, in place of doing its work.
            faulted: Whether generated scenarios may break it.

        Raises:
            ValueError: There is no such callable, it cannot be replaced, or it was declared otherwise before.
        """
        known = self._callables.get(target)
        if known is not None:
            if known.faulted != faulted or returns is not UNSET:
                raise ValueError(f"{known!r} is declared already")
            return known
        found = Dependency(
            target, recorder=self.recorder, scheduler=self.scheduler, returns=returns, faulted=faulted
        )
        self._callables[target] = found
        if self._undo is not None:
            self._undo.callback(found.install())
        return found

    @property
    def dependencies(self) -> list[Injectable]:
        """All that is declared: services and Python callables."""
        return [*self.network.upstreams, *self._callables.values()]

    def sleep(self, seconds: float) -> None:
        """What ``time.sleep`` does here."""
        if self.scheduler.serving:
            self.network.sleep_in_service(seconds)
            return
        self.recorder.check()
        began = self.clock.now
        location = self.recorder.here()
        until = began + round(seconds * 1e9)
        try:
            self.scheduler.wait(lambda: False, until)
        except WorldIsOver:
            real.sleep(self.scheduler.left(until))
        self.recorder.add(
            Waited,
            at=began,
            until=self.recorder.seconds(self.clock.now),
            call="time.sleep",
            location=location,
        )

    def advance(self, seconds: float) -> None:
        """Let virtual time pass with all that is due in it."""
        self.scheduler.pass_time(seconds)

    def give_way(self) -> None:
        """Let other threads do all that they can do at this moment."""
        if self.clock.virtual:
            with suppress(WorldIsOver, Ended):
                self.scheduler.give_way()

    @contextmanager
    def outlasting(self) -> Generator[None]:
        """When this block has ended, let threads that it has left behind come to an end, within a minute.

        Else a timer would go off in the next play, or in real time in another test.
        """
        mark = self.scheduler.mark()
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException:
            self._outlast(mark)
            raise
        self._outlast(mark)

    def _outlast(self, mark: int) -> None:
        if self.clock.virtual:
            with suppress(WorldIsOver, Ended):
                self.scheduler.outlast(mark, _LEFT_BEHIND)

    def call_begins(self, index: int) -> None:
        """The test body is about to be called: see what its metrics are."""
        if self._metrics is not None:
            self._metrics.begin(index)

    def call_ends(self, index: int) -> None:
        """The test body has come back: let what it logged be written, and see what became of its metrics."""
        patience = _DRAIN if self.clock.virtual else _DRAIN_REALLY
        deadline = self.clock.now + round(patience * 1e9)
        with suppress(WorldIsOver):
            self._lines.drain(lambda ready: self.scheduler.wait(ready, deadline))
        if self._metrics is not None:
            self._metrics.end(index)

    def remember(self) -> None:
        """Keep the declared answers as they are now, to be put back by `heal`."""
        for upstream in self.network.upstreams:
            upstream.remember()

    def bookmark(self) -> Callable[[], None]:
        """What forgets all that happens from now on: requests, calls of callables and events."""
        marks = [self.recorder.bookmark()]
        marks += [upstream.bookmark() for upstream in self.network.upstreams]
        marks += [each.bookmark() for each in self._callables.values()]

        def forget() -> None:
            for mark in marks:
                mark()

        return forget

    def heal(self, *, align: bool = True) -> None:
        """Make every service what it was at `remember`, with no open connection and an empty timeline.

        Args:
            align: See `Recorder.restart`.
        """
        for upstream in self.network.upstreams:
            upstream.restore()
        for each in self._callables.values():
            each.restore()
        self.scheduler.settle()
        with self.scheduler.alone():
            self._agenda.clear()
            self.network.hang_up()
        self.scheduler.settle()
        self.recorder.restart(align=align)

    @contextmanager
    def watch(self, *, unseen: bool = True) -> Generator[None]:
        """Note real time that a call spends in waits for something outside of the simulation.

        Args:
            unseen: Whether to look for time blocked where the world cannot see as well. With many threads,
                most of that is spent waiting for one another.
        """
        before, outside = self.blocked, dict(self.scheduler.outside)
        try:
            yield
        finally:
            for name, passed in self.scheduler.outside.items():
                self._note_escape(name, (passed - outside.get(name, 0)) / 1e9, _ESCAPE_SECONDS)
            if unseen:
                limit = _ESCAPE_SECONDS if self.scheduler.threads < 2 else _ESCAPE_SECONDS_WITH_THREADS
                name = "a wait that the virtual clock does not see"
                self._note_escape(name, self.blocked - before, limit)

    @property
    def blocked(self) -> float:
        """Real seconds that this thread has spent blocked where the world cannot see."""
        return _blocked() - self.scheduler.slept

    def _note_escape(self, call: str, seconds: float, limit: float) -> None:
        if self.clock.virtual and seconds > limit:
            self.recorder.add(Escaped, call=call, seconds=round(seconds, 1))


def _blocked() -> float:
    """Real seconds this thread has spent neither running nor waiting for a processor."""
    with open(f"/proc/self/task/{real.thread_id()}/schedstat", "rb", buffering=0) as file:
        running, queued, _ = file.read().split()
    return (real.monotonic_ns() - int(running) - int(queued)) / 1e9


def unavailable() -> str | None:
    """Why there can be no virtual clock on this machine, or None."""
    if (reason := repoint.supported()) is not None:
        return reason
    if not os.path.exists("/proc/self/schedstat"):
        return "the kernel does not show scheduler statistics in /proc"
    return None
