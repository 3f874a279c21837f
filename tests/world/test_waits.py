"""Every way to wait: what passes in virtual time, and what is really waited for and noted as an escape."""

from __future__ import annotations

import _thread
import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import queue
import sched
import select
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from coverage.collector import Collector

from pytest_ralph.core.timeline import Escaped
from pytest_ralph.world import world as world_module
from pytest_ralph.world.world import World
from tests.worlds import entered

Live = Callable[[Callable[[], Any]], Any]
Timed = Callable[[Callable[[], Any]], float]
Escapes = Callable[[Callable[[], Any]], "tuple[float, set[str]]"]

# Far longer than anybody would really wait for a test.
LONG = 3600.0


def wait(name: str, what: str) -> pytest.MarkDecorator:
    return pytest.mark.shows("waits", f"`{name}`", what)


def case(function: Callable[[], Any], name: str, what: str = "with a timeout") -> Any:
    return pytest.param(function, marks=wait(name, what), id=name)


@pytest.fixture
def timed(world: World, live: Live) -> Timed:
    """Virtual seconds that a wait takes; makes sure that none of it was real."""

    def run(function: Callable[[], Any]) -> float:
        def call() -> float:
            began = time.monotonic()
            with world.watch():
                function()
            return time.monotonic() - began

        took: float = live(call)
        assert world.timeline.of(Escaped) == []
        return took

    return run


def locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def held_by_another(make: Callable[[], Any]) -> Any:
    lock = make()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    return lock


def full() -> queue.Queue[int]:
    found: queue.Queue[int] = queue.Queue(1)
    found.put(1)
    return found


def in_condition() -> None:
    with (condition := threading.Condition()):
        condition.wait(LONG)


def for_a_predicate() -> None:
    with (condition := threading.Condition()):
        assert not condition.wait_for(lambda: False, LONG)


def barrier() -> None:
    with pytest.raises(threading.BrokenBarrierError):
        threading.Barrier(2).wait(LONG)


def nothing_in(take: Callable[[], Any]) -> Callable[[], None]:
    def wait_for_it() -> None:
        with pytest.raises(queue.Empty):
            take()

    return wait_for_it


def no_room() -> None:
    with pytest.raises(queue.Full):
        full().put(2, timeout=LONG)


def unfinished() -> None:
    with pytest.raises(concurrent.futures.TimeoutError):
        concurrent.futures.Future[None]().result(LONG)


def some_unfinished() -> None:
    done, _ = concurrent.futures.wait([concurrent.futures.Future[None]()], timeout=LONG)
    assert not done


def none_completed() -> None:
    with pytest.raises(concurrent.futures.TimeoutError):
        list(concurrent.futures.as_completed([concurrent.futures.Future[None]()], timeout=LONG))


def joined() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    thread.join(LONG)
    assert thread.is_alive()
    release.set()


def timer() -> None:
    done = threading.Event()
    threading.Timer(LONG, done.set).start()
    done.wait()


def worked() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(time.sleep, LONG).result()


def mapped() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(time.sleep, [LONG, LONG / 2]))


def scheduled() -> None:
    plan = sched.scheduler(time.monotonic, time.sleep)
    plan.enter(LONG, 1, lambda: None)
    plan.run()


@contextlib.contextmanager
def silent() -> Iterator[socket.socket]:
    """A socket on which nothing arrives, with its other end in this process."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def selected() -> None:
    with silent() as sock:
        assert select.select([sock], [], [], LONG) == ([], [], [])


def polled() -> None:
    with silent() as sock:
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        assert poller.poll(LONG * 1000) == []


def epolled() -> None:
    with silent() as sock, select.epoll() as poller:
        poller.register(sock, select.EPOLLIN | select.EPOLLONESHOT)
        assert poller.poll(LONG) == []


def by_selector() -> None:
    with silent() as sock, selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        assert selector.select(LONG) == []


@pytest.mark.parametrize(
    "function",
    [
        case(lambda: time.sleep(LONG), "time.sleep", "under every name it is bound to"),
        case(lambda: threading.Event().wait(LONG), "threading.Event.wait"),
        case(in_condition, "threading.Condition.wait"),
        case(for_a_predicate, "threading.Condition.wait_for"),
        case(lambda: locked().acquire(timeout=LONG), "threading.Lock.acquire"),
        case(lambda: held_by_another(threading.RLock).acquire(timeout=LONG), "threading.RLock.acquire"),
        case(lambda: threading.Semaphore(0).acquire(timeout=LONG), "threading.Semaphore.acquire"),
        case(barrier, "threading.Barrier.wait"),
        case(timer, "threading.Timer", "its delay"),
        case(joined, "threading.Thread.join"),
        case(nothing_in(lambda: queue.Queue[int]().get(timeout=LONG)), "queue.Queue.get"),
        case(no_room, "queue.Queue.put"),
        case(nothing_in(lambda: queue.LifoQueue[int]().get(timeout=LONG)), "queue.LifoQueue.get"),
        case(nothing_in(lambda: queue.PriorityQueue[int]().get(timeout=LONG)), "queue.PriorityQueue.get"),
        case(nothing_in(lambda: queue.SimpleQueue[int]().get(timeout=LONG)), "queue.SimpleQueue.get"),
        case(unfinished, "concurrent.futures.Future.result"),
        case(some_unfinished, "concurrent.futures.wait"),
        case(none_completed, "concurrent.futures.as_completed"),
        case(worked, "concurrent.futures.ThreadPoolExecutor.submit", "work that sleeps"),
        case(mapped, "concurrent.futures.ThreadPoolExecutor.map", "work that sleeps, all of it at once"),
        case(scheduled, "sched.scheduler.run", "events that are due later"),
        case(selected, "select.select"),
        case(polled, "select.poll"),
        case(epolled, "select.epoll", "with a timeout, also one-shot"),
        case(by_selector, "selectors.DefaultSelector.select"),
    ],
)
def test_waits_pass_in_virtual_time(timed: Timed, function: Callable[[], Any]):
    assert timed(function) == pytest.approx(LONG, abs=0.01)


@wait("threading.Event.wait", "ended by another thread, at the moment it is set")
def test_a_wait_is_ended_by_another_thread(timed: Timed):
    def call() -> None:
        event = threading.Event()
        threading.Timer(5, event.set).start()
        assert event.wait(LONG)

    assert timed(call) == pytest.approx(5, abs=0.01)


def after(seconds: float, function: Callable[..., Any], *arguments: Any) -> None:
    """Let another thread do something later."""
    threading.Timer(seconds, function, arguments).start()


def until_released() -> None:
    lock = locked()
    after(5, lock.release)
    lock.acquire()


def until_a_place_is_free() -> None:
    semaphore = threading.BoundedSemaphore(1)
    semaphore.acquire()
    after(5, semaphore.release)
    semaphore.acquire()


def until_notified() -> None:
    condition = threading.Condition()

    def notify() -> None:
        with condition:
            condition.notify_all()

    with condition:
        after(5, notify)
        assert condition.wait(LONG)


def until_all_are_there() -> None:
    barrier = threading.Barrier(3)
    after(2, barrier.wait)
    after(5, barrier.wait)
    barrier.wait(LONG)


def until_put() -> None:
    things: queue.Queue[int] = queue.Queue()
    after(5, things.put, 1)
    assert things.get(timeout=LONG) == 1


def until_taken() -> None:
    things = full()
    after(5, things.get)
    things.put(2, timeout=LONG)


def until_all_is_done() -> None:
    things = full()
    after(5, things.task_done)
    things.join()


def until_it_has_a_result() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    after(5, future.set_result, 1)
    assert future.result(LONG) == 1


def until_the_first_is_done() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(time.sleep, seconds) for seconds in (5, 5)]
        done, _ = concurrent.futures.wait(futures, LONG, concurrent.futures.FIRST_COMPLETED)
    assert done


def until_it_has_ended() -> None:
    thread = threading.Thread(target=time.sleep, args=(5,))
    thread.start()
    thread.join()


def until_cancelled() -> None:
    plan = sched.scheduler(time.monotonic, time.sleep)
    late = plan.enter(LONG, 1, lambda: None)
    plan.enter(5, 1, plan.cancel, (late,))
    plan.run()


@pytest.mark.parametrize(
    "function",
    [
        case(until_released, "threading.Lock.acquire", "ended by another thread"),
        case(until_a_place_is_free, "threading.BoundedSemaphore.acquire", "ended by another thread"),
        case(until_notified, "threading.Condition.wait", "ended by another thread"),
        case(until_all_are_there, "threading.Barrier.wait", "ended by the last thread to come"),
        case(until_put, "queue.Queue.get", "ended by another thread"),
        case(until_taken, "queue.Queue.put", "ended by another thread"),
        case(until_all_is_done, "queue.Queue.join", "ended by another thread"),
        case(until_it_has_a_result, "concurrent.futures.Future.result", "ended by another thread"),
        case(until_the_first_is_done, "concurrent.futures.wait", "for the first of several"),
        case(until_it_has_ended, "threading.Thread.join", "of a thread that sleeps"),
        case(until_cancelled, "sched.scheduler.run", "events that are cancelled by others"),
    ],
)
def test_waits_are_ended_at_the_moment_that_another_thread_does_something(
    timed: Timed, function: Callable[[], Any]
):
    assert timed(function) == pytest.approx(5, abs=0.01)


@wait("threading.Timer", "cancelled before its time")
def test_a_cancelled_timer(timed: Timed):
    def call() -> None:
        timer = threading.Timer(LONG, lambda: None)
        timer.start()
        after(5, timer.cancel)
        timer.join()

    assert timed(call) == pytest.approx(5, abs=0.01)


@wait("queue.SimpleQueue.get", "ended by another thread, at the moment something is put")
def test_a_simple_queue_gives_each_thing_once(timed: Timed):
    found: list[int] = []

    def call() -> None:
        things: queue.SimpleQueue[int] = queue.SimpleQueue()
        threads = [threading.Thread(target=lambda: found.append(things.get(timeout=60))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(3):
            time.sleep(1)
            things.put(number)
        for thread in threads:
            thread.join()

    assert timed(call) == pytest.approx(3, abs=0.01)
    assert sorted(found) == [0, 1, 2]


@wait("select.select", "ended by bytes that another thread sends")
def test_a_descriptor_becomes_ready(timed: Timed):
    def call() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            threading.Timer(7, theirs.send, (b"x",)).start()
            assert select.select([ours], [], [], LONG)[0] == [ours]

    assert timed(call) == pytest.approx(7, abs=0.01)


def test_one_shot_events_are_not_taken_by_looking(live: Live):
    """Other threads look whether a wait is over: that must not use up an event that is told once."""

    def call() -> tuple[int, int]:
        ours, theirs = socket.socketpair()
        with ours, theirs, select.epoll() as poller:
            poller.register(ours, select.EPOLLIN | select.EPOLLONESHOT)
            found: list[int] = []
            waiter = threading.Thread(target=lambda: found.extend(fd for fd, _ in poller.poll(60)))
            waiter.start()
            sleepers = [threading.Thread(target=time.sleep, args=(seconds,)) for seconds in (1, 2, 3)]
            for sleeper in sleepers:
                sleeper.start()
            time.sleep(2)
            theirs.send(b"x")
            waiter.join()
            for sleeper in sleepers:
                sleeper.join()
            return len(found), len(poller.poll(0))

    assert live(call) == (1, 0)


def test_wrong_timeouts_raise_what_they_always_raise(live: Live):
    waits: list[Callable[[Any], Any]] = [
        lambda timeout: select.select([], [], [], timeout),
        lambda timeout: select.poll().poll(timeout),
        lambda timeout: select.epoll().poll(timeout),
        lambda timeout: queue.SimpleQueue[int]().get(timeout=timeout),
    ]
    for each in waits:
        with pytest.raises(TypeError):
            live(functools.partial(each, "soon"))
    with pytest.raises(ValueError, match="non-negative"):
        live(lambda: queue.SimpleQueue[int]().get(timeout=-1))


# -- what is really waited for ------------------------------------------------------------------------------


@pytest.fixture
def escapes(world: World, live: Live, monkeypatch: pytest.MonkeyPatch) -> Escapes:
    """Virtual seconds that a wait takes, and the names of the real waits in it, however short."""
    monkeypatch.setattr(world_module, "_ESCAPE_SECONDS", 0.0)

    def run(function: Callable[[], Any]) -> tuple[float, set[str]]:
        def call() -> float:
            began = time.monotonic()
            with world.watch():
                function()
            return time.monotonic() - began

        took: float = live(call)
        return took, {each.call for each in world.timeline.of(Escaped)}

    return run


def child(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "print('done')", *arguments]


def real(name: str, what: str) -> pytest.MarkDecorator:
    return pytest.mark.shows("waits", f"`{name}`", what, support="in real time")


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            lambda: subprocess.run(child(), check=True, capture_output=True, timeout=LONG),
            marks=real("subprocess.run", "a timeout does not pass before the child had as much real time"),
            id="run",
        ),
        pytest.param(
            lambda: subprocess.Popen(child(), stdout=subprocess.DEVNULL).wait(LONG),
            marks=real("subprocess.Popen.wait", "likewise"),
            id="wait",
        ),
        pytest.param(
            lambda: subprocess.Popen(child(), stdout=subprocess.PIPE).communicate(timeout=LONG),
            marks=real("subprocess.Popen.communicate", "likewise"),
            id="communicate",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_child_processes_get_the_time_they_need(escapes: Escapes, function: Callable[[], Any]):
    took, _ = escapes(function)

    assert took < 1


def double(number: int) -> int:
    return 2 * number


@real("concurrent.futures.ProcessPoolExecutor", "work in other processes; idle workers slow waits down")
@real("multiprocessing.Process.join", "with a timeout")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_other_processes_get_the_time_they_need(escapes: Escapes):
    def call() -> None:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=double, args=(1,))
        process.start()
        process.join(LONG)
        assert process.exitcode == 0
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(double, 21).result(LONG) == 42

    took, _ = escapes(call)

    assert took < 1


@contextlib.contextmanager
def waiting_child(**options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until its input ends."""
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, **options) as process:
        yield process


def test_a_wait_for_a_child_has_its_own_timeout(escapes: Escapes):
    def call() -> None:
        with waiting_child() as process, pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)

    took, names = escapes(call)

    assert 0.05 <= took < 1
    assert "another process" in names


@real("select on a pipe or socket from elsewhere", "a peer outside of the test's process")
def test_a_pipe_from_another_process_is_really_waited_for(escapes: Escapes):
    def call() -> None:
        with waiting_child(stdout=subprocess.PIPE) as process, selectors.DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(0.05) == []
            assert process.stdin is not None
            process.stdin.close()
            assert selector.select(LONG)

    took, names = escapes(call)

    assert 0.05 <= took < 1
    assert "another process" in names


@real("a socket of one's own, read with a timeout", "and other waits inside of C: `signal.sigtimedwait`")
@pytest.mark.parametrize("by_signal", [False, True])
def test_what_waits_inside_of_c_is_an_escape(escapes: Escapes, by_signal: bool):
    def call() -> None:
        with silent() as sock:
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(1)

    def by_a_signal() -> None:
        assert signal.sigtimedwait([signal.SIGUSR2], 0.3) is None

    took, names = escapes(by_a_signal if by_signal else call)

    assert took < 0.3
    assert names == {"a wait that the virtual clock does not see"}


@wait(
    "a pipe that another thread writes to",
    "without a timeout: time moves on meanwhile",
)
def test_a_pipe_from_another_thread(live: Live):
    def call() -> float:
        began = time.monotonic()
        reading, writing = os.pipe()
        after(5, os.write, writing, b"x")
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        os.close(writing)
        return time.monotonic() - began

    assert live(call) == pytest.approx(5, abs=0.01)


def test_children_from_before_do_not_stop_time():
    """A service that the test session keeps running, or a helper of multiprocessing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE), entered() as world:
        began = time.monotonic()
        time.sleep(LONG)
        took = time.monotonic() - began

    assert took == pytest.approx(LONG, abs=0.01)
    assert world.timeline.of(Escaped) == []


def test_threads_get_a_lock_in_the_order_they_came(world: World, live: Live):
    lock, order = threading.Lock(), []

    def enter(number: int) -> None:
        with lock:
            order.append(number)
            time.sleep(1)

    def come() -> None:
        threads = [threading.Thread(target=enter, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
            world.advance(0.01)
        for thread in threads:
            thread.join()

    live(come)

    assert order == list(range(8))


def test_a_thread_that_does_nothing_but_take_a_lock(live: Live):
    """Nothing of Python has called it."""
    lock = locked()

    def call() -> None:
        _thread.start_new_thread(lock.acquire, ())
        time.sleep(1)
        lock.release()
        time.sleep(1)

    live(call)

    assert lock.locked()


def test_locks_of_a_trace_function_are_real(world: World, live: Live):
    """It may be called at any line, those of the world included: waiting there would be a deadlock."""
    lock = threading.Lock()
    tracer: dict[str, Any] = {"__name__": "coverage.collector"}
    exec("def lock_data(lock): return lock.acquire(timeout=0.001)", tracer)

    def contend() -> tuple[bool, float]:
        began = time.monotonic()
        with lock:
            return tracer["lock_data"](lock), time.monotonic() - began

    got, took = live(contend)

    assert not got
    assert took < 0.0001, "virtual time has passed"


def test_the_lock_of_coverage_is_real(live: Live, monkeypatch: pytest.MonkeyPatch):
    """Its trace function is written in C: of who asks nothing is to be seen."""
    lock = threading.Lock()
    monkeypatch.setattr(Collector, "_collectors", [SimpleNamespace(data_lock=lock)])

    def contend() -> tuple[bool, float]:
        began = time.monotonic()
        with lock:
            return lock.acquire(timeout=0.001), time.monotonic() - began

    got, took = live(contend)

    assert not got
    assert took < 0.0001, "virtual time has passed"


def test_coverage_has_its_lock_where_it_is_looked_for():
    """In a process of its own: to measure twice in one would end the first."""
    program = """
    import coverage
    from coverage.collector import Collector

    coverage.Coverage(data_file=None, concurrency="thread").start()
    print(type(Collector._collectors[-1].data_lock).__name__)
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)

    assert (done.stdout.strip(), done.stderr) == ("lock", "")
