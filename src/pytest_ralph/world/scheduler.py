"""Decides when virtual time may move.

Time moves only when nothing can still happen at this instant: every thread waits, no bytes are on their way
between a client and a simulated service, and nobody's wait is over. Then it moves to the earliest moment at
which something is due, once for all who wait: two threads that sleep five seconds take five, not ten.

Whichever thread comes to wait last finds this out and moves the clock; there is no thread of the world's own.
The simulated services are run from inside these waits, so on one thread all is in a fixed order.

So it is with many threads: of those whose waits are over at the same moment, one goes on at a time, whoever
began to wait first, and the next when it waits again or has ended. Else the order of what they do would be up
to the operating system, and with it who gets the last connection of a pool.

A wait for something outside of the simulation, such as a child process, is really waited for: meanwhile
virtual time stands still, and a deadline passes only when as much real time has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_ralph.world import real
from pytest_ralph.world.agenda import Agenda
from pytest_ralph.world.clock import TICK, Clock
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.threads import Threads
from pytest_ralph.world.waiters import FRONT, Outsider, Ready, Ticket, Waiter, Waiters


class WorldIsOver(Exception):  # noqa: N818 - an event, and never seen by the code under test
    """Ends the waits of threads that outlive their world: they wait on in real time."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The simulated services, as far as the scheduler needs to know them.

    Attributes:
        pump: Lets them read what has arrived and answer; True if anything happened.
        settled: Whether no bytes are on their way in either direction.
        break_off: Ends what event loops would wait for for ever; True if there was anything.
    """

    pump: Callable[[], bool]
    settled: Callable[[], bool]
    break_off: Callable[[], bool]


# Real seconds that a thread in an unknown wait is given before its silence is taken to be final.
_GRACE = 1.0
# The same where the thread of the test body itself is the one that waits elsewhere.
_BODY_GRACE = 5.0
_GRACE_STEP = 0.001
# Nanoseconds of computing by the whole process after which a thread that runs no longer keeps others from
# going on: it may be spinning until one of them has done something.
_TURN = 500_000_000
# How often time may move for the sake of threads that have been left behind.
_MOMENTS = 500
# How often time may still move after a call was told to end, before the body's own wait is torn.
_FAREWELL_MOVES = 100


class Scheduler:
    """Runs the waits of all threads in virtual time.

    Args:
        clock: The clock to move.
        agenda: What the services still have to do.
        services: The services.
        children: Names a child process that may still do something, if there is one.
        expired: What the present call is to be ended with, once it has gone on for too long.
    """

    def __init__(
        self,
        clock: Clock,
        agenda: Agenda,
        services: Services,
        children: Outsider,
        expired: Callable[[], BaseException | None],
    ) -> None:
        self.clock = clock
        self._agenda = agenda
        self._services = services
        self._children = children
        self._expired = expired
        self._farewells = 0
        self._over = False
        self.outside: dict[str, int] = {}
        self._mutex = real.Mutex()
        self._arriving: set[int] = set()
        self._starting: set[int] = set()
        self._started = False
        self._waiters = Waiters()
        self._threads = Threads() if clock.virtual else None
        self._holder: int | None = None
        self._body = real.thread_id()
        self._slept: dict[int, int] = {}
        self._turn_began: int | None = None
        self.metered = False
        self._computed = 0

    def forked(self) -> None:
        """Take the calling thread, which is all that a fork has left, for that of the test body."""
        self._body = real.thread_id()
        self._slept.clear()
        self._arriving.clear()
        self._starting.clear()
        self._started = False
        self._waiters.clear()
        if self._threads is not None:
            self._threads = Threads()

    def settle(self) -> None:
        """Let the services deal with all that has been sent so far, without moving time."""
        if not self.serving:
            with self.alone():
                began = self._meter()
                try:
                    self._settle()
                finally:
                    self._count(began)

    @property
    def computed(self) -> float:
        """Real seconds that all threads have spent computing here: what the simulation of services costs.

        Counted only while `metered` is set: to ask for the time of a thread costs as much as a small wait.
        """
        return self._computed / 1e9

    def _meter(self) -> int:
        return real.thread_time_ns() if self.metered else 0

    def _count(self, began: int) -> None:
        # What began before this was asked for does not count.
        if began and self.metered:
            self._computed += real.thread_time_ns() - began

    @contextmanager
    def alone(self) -> Generator[None]:
        """A context in which nothing else happens in the simulated world.

        A thread that is blocked at this door looks asleep to the kernel, but it is about to do something.
        """
        me = real.thread_id()
        self._arriving.add(me)
        began = real.monotonic_ns()
        with self._mutex:
            self._holder = me
            try:
                self._note_sleep(began)
                self._arriving.discard(me)
                yield
            finally:
                self._holder = None

    @property
    def serving(self) -> bool:
        """Whether the calling thread is at work in here right now, and so must not wait.

        It runs a service, or what the interpreter runs in between: a trace function, a finalizer.
        """
        return self._holder == real.thread_id()

    def close(self) -> None:
        """Let threads that still wait here wait on in real time."""
        self._over = True

    def left(self, deadline: int) -> float:
        """Seconds until a virtual moment."""
        return max(0.0, (deadline - self.clock.now) / 1e9)

    def wait(
        self,
        ready: Ready,
        deadline: int | None,
        *,
        on_network: bool = False,
        outsider: Outsider | None = None,
    ) -> bool:
        """Wait until ``ready`` or until the virtual moment ``deadline``.

        Args:
            ready: Says whether the wait is over. It is called from any thread and must not block.
            deadline: Virtual nanoseconds; None to wait without limit.
            on_network: Whether it is a wait for a simulated service.
            outsider: Names what is waited for outside of the simulation, if anything.

        Returns:
            True when ready, False when the deadline came first.

        Raises:
            NeverEnds: Nothing can ever end this wait.
            WorldIsOver: The world was closed meanwhile.
        """
        if self.serving:
            raise RuntimeError("pytest-ralph: the callback of a declared answer must not wait for others")
        return self._wait(
            Waiter(
                ready=ready,
                deadline=deadline,
                place=FRONT if real.thread_id() in self._starting else self._waiters.place(),
                on_network=on_network,
                outsider=outsider,
            )
        )

    def give_way(self) -> None:
        """Let the other threads do all that they can do at this moment.

        Raises:
            WorldIsOver: The world was closed meanwhile.
        """
        if self._crowded:
            self.wait(lambda: False, self.clock.now)

    def mark(self) -> int:
        """What waits begin after this is to be known by, see `outlast`."""
        return self._waiters.place()

    def outlast(self, mark: int, seconds: float) -> None:
        """Let time pass until every wait begun since then is over, or goes on beyond a moment.

        Args:
            mark: Since when.
            seconds: Until when, in virtual seconds from now.

        Raises:
            WorldIsOver: The world was closed meanwhile.
        """
        if not self._crowded:
            return
        limit = self.clock.now + round(seconds * 1e9)
        moments = set()

        def ended() -> bool:
            moments.add(self.clock.now)
            return len(moments) > _MOMENTS or not any(
                waiter.ends_by(limit, self.clock.now)
                for waiter in self._waiters
                if waiter.place > mark and waiter is not me
            )

        me = Waiter(ready=ended, deadline=limit, place=self._waiters.place())
        self._wait(me)

    @contextmanager
    def starting(self) -> Generator[Ticket]:
        """A context in which the calling thread starts another, and goes on itself before all that wait.

        To start a thread is to wait until it runs, but only where it is not quicker: it must be the same in
        both cases.
        """
        me = real.thread_id()
        ticket = Ticket(self._waiters.place())
        self._starting.add(me)
        self._started = True
        try:
            yield ticket
        finally:
            self._starting.discard(me)
            ticket.valid = True

    def begin(self, ticket: Ticket) -> None:
        """Wait for the turn of the calling thread, which has just been started.

        Raises:
            WorldIsOver: The world was closed meanwhile.
        """
        self._wait(Waiter(ready=lambda: ticket.valid, deadline=None, place=ticket.place))

    def _wait(self, me: Waiter) -> bool:
        with self.alone():
            self._waiters.add(me)
        patience = 0.00005
        began = self._meter()
        try:
            while True:
                if self._over:
                    raise WorldIsOver
                with self.alone():
                    over = self._look(me)
                    me.over = over is not None
                if over is not None:
                    return over
                # Another thread has something to do. A short real sleep is what hands it the GIL.
                self._really_sleep(patience, me.bell.wait)
                patience = min(patience * 2, self._patience())
        finally:
            with self.alone():
                self._waiters.remove(me)
                self._count(began)

    def _patience(self) -> float:
        """Real seconds between two looks: more where many wait, for all of their looks take time, too."""
        return 0.002 * max(1.0, len(self._waiters) / 4)

    @property
    def slept(self) -> float:
        """Real seconds the calling thread has slept here while others worked."""
        return self._slept.get(real.thread_id(), 0) / 1e9

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass with everything that is due in it, as if the world slept."""
        self.wait(lambda: False, self.clock.now + round(seconds * 1e9))

    def _really_sleep(self, seconds: float, sleep: Callable[[float], None] = real.sleep) -> None:
        began = real.monotonic_ns()
        sleep(seconds)
        self._note_sleep(began)

    def _note_sleep(self, began: int) -> None:
        me = real.thread_id()
        self._slept[me] = self._slept.get(me, 0) + real.monotonic_ns() - began

    @property
    def threads(self) -> int:
        """How many threads have waited here so far."""
        return len(self._slept)

    def _look(self, me: Waiter) -> bool | None:
        """Whether my wait is over: True for ready, False for late, None while it goes on."""
        while True:
            # With many threads the services are not run while one of them works: it runs them itself, at the
            # same lines each time.
            if not self._crowded:
                self._settle()
                if (over := me.outcome(self.clock.now)) is not None:
                    return over
            # Asked first: the end of a child process wakes the thread that waits for it, which is seen then.
            outsider = self._outsider()
            if not self._all_wait():
                return me.outcome(self.clock.now) if self._turn_is_long() else None
            # What a thread did just before it fell asleep may have come after the look above.
            self._settle()
            self._turn_began = None
            first, over = self._waiters.whose_turn(self.clock.now, me)
            if first is me:
                return over
            if first is not None:
                first.bell.ring()
                return None
            if self._arriving - self._waiters.threads or not self._move(me, outsider):
                return None

    @property
    def _crowded(self) -> bool:
        """Whether other threads may want to go on at this moment, too."""
        # Another thread may end at the moment when one begins: how many there are does not tell all.
        many = self._started or len(self._slept) > 1
        return many or (self._threads is not None and self._threads.changed)

    def _turn_is_long(self) -> bool:
        """Whether a thread has run for so long that others need not wait for it."""
        now = real.process_time_ns()
        if self._turn_began is None:
            self._turn_began = now
        return now - self._turn_began > _TURN

    def _settle(self) -> None:
        tries = 0
        while self._services.pump() or self._agenda.run_due(self.clock.now) or not self._services.settled():
            tries += 1
            if tries > 3:
                self._really_sleep(0.00005)
            if tries > 100_000:  # pragma: no cover - five seconds of a kernel that does not deliver
                raise RuntimeError("pytest-ralph: loopback connections do not settle")

    def _all_wait(self) -> bool:
        if self._threads is None:
            return True
        known = self._waiters.threads
        if self._waiters.one_is_leaving or self._arriving - known:
            return False
        return self._threads.all_asleep(known, self._slept)

    def _move(self, me: Waiter, outsider: str | None) -> bool:
        """Let time pass, or end a wait that never ends; False if that is for another thread to do."""
        goal = self._next_moment()
        mine = True
        if outsider is not None:
            self._really_wait(outsider, goal)
        elif goal is not None:
            self._move_to(goal)
        elif self._may_still_wake(me):
            me.patience += _GRACE_STEP
            self._really_sleep(_GRACE_STEP)
        elif not self._services.break_off():
            if self._is_stuck(me):
                raise NeverEnds
            self._really_sleep(_GRACE_STEP)
            mine = False
        self._say_farewell(me)
        return mine

    def _next_moment(self) -> int | None:
        """The earliest moment at which something is due."""
        moments = [waiter.deadline for waiter in self._waiters if waiter.deadline is not None]
        due = self._agenda.next_due
        if due is not None and all(due <= moment for moment in moments):
            return due
        # A microsecond past the deadline: code that tests "is it later than" must find it so.
        return min(moments) + TICK if moments else None

    def _move_to(self, moment: int) -> None:
        self.clock.move_to(moment)
        for waiter in self._waiters:
            waiter.really = 0

    def _say_farewell(self, me: Waiter) -> None:
        """End the body's wait if the call was told to end and goes on by other threads or tasks."""
        error = self._expired()
        if error is None:
            self._farewells = 0
            return
        self._farewells += 1
        if self._farewells == 1:
            self._services.break_off()
        elif self._farewells > _FAREWELL_MOVES and me.thread == self._body:
            raise error

    def _outsider(self) -> str | None:
        """What outside of the simulation may still do something."""
        if (name := self._children()) is not None:
            return name
        outsiders = [waiter.outsider for waiter in self._waiters if waiter.outsider is not None]
        return next((name for outsider in outsiders if (name := outsider()) is not None), None)

    def _really_wait(self, name: str, goal: int | None) -> None:
        """Give an outsider a moment of real time."""
        began = real.monotonic_ns()
        self._really_sleep(_GRACE_STEP)
        passed = real.monotonic_ns() - began
        self.outside[name] = self.outside.get(name, 0) + passed
        for waiter in self._waiters:
            waiter.really += passed
        if goal is not None and max(waiter.really for waiter in self._waiters) >= goal - self.clock.now:
            self._move_to(goal)

    def _is_stuck(self, me: Waiter) -> bool:
        """Whether mine is the wait to end when nothing can end any: where the cause is, if possible."""
        if any(waiter.on_network for waiter in self._waiters):
            return me.on_network
        return me.thread == self._body or self._body not in self._waiters.threads

    def _may_still_wake(self, me: Waiter) -> bool:
        """Whether a thread that waits where the world cannot see may yet end this wait."""
        if self._threads is None:
            return False
        if not me.patience:
            return True  # it may have done so since the last look
        known = self._waiters.threads
        if self._body not in known:
            return me.patience < _BODY_GRACE
        return me.patience < _GRACE and self._threads.strangers(known)
