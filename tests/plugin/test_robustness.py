"""What went wrong once: verdicts too kind, threads misjudged, things left behind."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from pytest_ralph import faults
from pytest_ralph.world import repoint
from pytest_ralph.world.world import World
from tests.harness import Project

Live = Callable[[Callable[[], Any]], Any]
URL = "http://api.pay.example"


@pytest.mark.parametrize(
    ("marker", "waits", "status"),
    [
        # No waits at all lie within full jitter, but not on average.
        ("jitter=1", "0", "fail"),
        ("jitter=1", "0.001 * wait", "fail"),
        ("jitter=1", "wait * random.uniform(0, 2)", "pass"),
        ("jitter=1", "wait * random.uniform(0, 1)", "pass"),
        ("jitter=0.5", "wait * random.uniform(0.5, 1)", "pass"),
        # Waits that are not asked to grow need not.
        ("jitter=0.5, factor=1", "random.uniform(0.5, 1.5)", "pass"),
        ("jitter=0.5, base=1, max_delay=1", "random.uniform(0.5, 1.5)", "pass"),
    ],
)
def test_jittered_waits_are_judged_by_their_means(project: Project, marker: str, waits: str, status: str):
    project.judge(
        f"import random\n            @ralph.retry({marker})",
        f"charges.charge(waits=[{waits} for wait in (1, 2, 4)])",
    )
    outcome = project.run("--ralph")

    assert outcome.statuses()["retry.backoff-not-exponential"] == status, outcome.output


def test_the_total_has_no_tolerance(project: Project):
    outcome = project.judge(
        "@ralph.timeout(10, total=10, tolerance=0.9)",
        "timeouts.requests.post(timeouts.URL, timeout=(10, 18))",
    )

    assert outcome.statuses()["timeout.gives-up"] == "pass"
    assert outcome.statuses()["timeout.total-deadline"] == "fail"


def test_an_item_that_fails_after_it_was_judged_is_not_green(project: Project):
    project.write(
        conftest="""
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_call(item):
            yield
            raise OSError("afterwards")
        """
    )

    outcome = project.judge("@ralph.timeout(10)", "timeouts.right()")

    assert set(outcome.statuses().values()) == {"error"}
    assert outcome.whole["gate"] == "fail"


def test_verdicts_of_an_earlier_run_of_an_item_do_not_count(project: Project):
    project.write(
        conftest="""
        import pytest
        ran = []

        @pytest.fixture(autouse=True)
        def flaky(request):
            ran.append(request.node.name)
            yield
            raise OSError("each time, after the call")
        """
    )

    outcome = project.judge("@ralph.timeout(10)", "timeouts.right()", "--reruns", "1")

    assert outcome.whole["gate"] == "fail"


def test_last_failed_is_never_the_whole(project: Project):
    project.write(
        test_a="""
        @ralph.feature("a")
        @ralph.timeout(10)
        def test_a(api):
            import pathlib, requests
            limit = float(pathlib.Path("limit").read_text())
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=limit)
        """,
        test_b="""
        @ralph.feature("b")
        @ralph.timeout(10)
        def test_b(api):
            import requests
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
        """,
    )
    limit = project.pytester.path / "limit"
    limit.write_text("30")
    project.run_apart("--ralph")
    limit.write_text("10")

    outcome = project.run_apart("--ralph", "--lf")

    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("incomplete", False)


def test_reentrant_locks_are_no_end_of_time(live: Live):
    lock, seen = threading.RLock(), []

    def work(number: int) -> None:
        for _ in range(20):
            with lock, lock:
                seen.append(number)
                sum(range(2_000))

    def call() -> int:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return len(seen)

    assert live(call) == 60


def test_idle_workers_outlive_the_world(world: World, live: Live):
    import queue
    import time

    jobs: queue.Queue[Callable[[], None]] = queue.Queue()
    done = threading.Event()

    def work() -> None:
        while True:
            jobs.get()()

    def call() -> None:
        threading.Thread(target=work, daemon=True).start()
        time.sleep(60)

    live(call)
    world.close()
    jobs.put(done.set)

    assert done.wait(30)


def test_faults_may_be_injected_from_a_callback(world: World, live: Live):
    api = world.upstream(URL)

    def answer(_: Any) -> tuple[int, dict[str, str], str]:
        api.inject(faults.Status(503))
        return 200, {}, ""

    api.add_callback("GET", "/", answer)

    assert live(lambda: [requests.get(URL, timeout=1).status_code for _ in range(2)]) == [200, 503]


def test_callbacks_that_wait_for_others_are_refused(world: World, live: Live):
    api = world.upstream(URL)
    problems: list[BaseException] = []

    def answer(_: Any) -> tuple[int, dict[str, str], str]:
        try:
            requests.get(URL, timeout=1)
        except RuntimeError as problem:
            problems.append(problem)
        return 200, {}, ""

    api.add_callback("GET", "/", answer)
    live(lambda: requests.get(URL, timeout=1))

    assert "must not use the network" in str(problems[0])


def test_nothing_stays_patched_when_leaving_fails(world: World, monkeypatch: pytest.MonkeyPatch):
    from pytest_ralph.world import logseam

    before = logging.Logger.callHandlers

    def broken(loguru: logseam.Loguru) -> Callable[[], None]:
        def undo() -> None:
            raise OSError("cannot undo")

        return undo

    monkeypatch.setattr(logseam.Loguru, "install", broken)
    monkeypatch.setitem(__import__("sys").modules, "loguru", __import__("types").ModuleType("loguru"))
    world.enter()
    with pytest.raises(OSError, match="cannot undo"):
        world.leave()

    assert logging.Logger.callHandlers is before
    assert not world.active


def test_nothing_stays_patched_when_entering_fails(world: World, monkeypatch: pytest.MonkeyPatch):
    import socket
    import time

    from pytest_ralph.world import timeseam

    before = (time.sleep.__self__, dict(vars(socket.socket)))  # type: ignore[attr-defined]

    def broken(clock: Any) -> Callable[[], None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(timeseam, "_move_wall_clock", broken)
    with pytest.raises(KeyboardInterrupt):
        world.enter()

    assert (time.sleep.__self__, dict(vars(socket.socket))) == before  # type: ignore[attr-defined]
    assert not world.active


def test_loguru_may_lose_all_its_handlers(project: Project):
    outcome = project.judge(
        "from loguru import logger\n            @ralph.timeout(10)", "logger.remove(); timeouts.right()"
    )

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize("answer", ["delete('/x', status=204)", "head('/x')"])
def test_a_hang_in_the_body_is_a_hang_where_there_is_none(project: Project, answer: str):
    method = answer.partition("(")[0]
    project.write(
        test_it=f"""
        import requests

        @ralph.timeout(10)
        def test_it(ralph_upstream):
            ralph_upstream("http://api.pay.example").{answer}
            requests.{method}("http://api.pay.example/x", timeout=10)
        """
    )

    assert project.run("--ralph").not_passed() == {}


def test_weak_references_to_builtins_survive_a_world(world: World):
    import time

    class Anchor:
        pass

    references = [weakref.ref(time.sleep) for _ in range(3)]
    world.enter()
    del references
    world.leave()

    assert weakref.ref(time.sleep)() is time.sleep
    assert repoint.supported() is None


def test_fields_that_cannot_be_shown_break_nothing(live: Live):
    class Shy:
        def __str__(self) -> str:
            raise ValueError("no")

    live(lambda: logging.getLogger("shy").warning("here", extra={"who": Shy()}))


@pytest.mark.parametrize("call", ["sendto", "sendmsg", "connect"])
def test_datagrams_do_not_leave(live: Live, call: str):
    import socket

    from pytest_ralph.world.network import UndeclaredHost

    where = ("203.0.113.7", 53)

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            {
                "sendto": lambda: sock.sendto(b"x", where),
                "sendmsg": lambda: sock.sendmsg([b"x"], [], 0, where),
                "connect": lambda: sock.connect(where),
            }[call]()

    with pytest.raises(UndeclaredHost, match=r"203\.0\.113\.7:53"):
        live(send)


def test_a_collection_error_is_the_next_action(project: Project):
    project.write(test_it="import nothing_of_this_name\n", test_other="def broken(:\n")

    outcome = project.run("--ralph", "--ralph-output", "agent", "--ralph-feature", "payments")

    assert outcome.code == 2
    assert "nothing_of_this_name" in outcome.whole["next_action"]["prompt"]
    assert "next: Repair the error that keeps the tests from being collected: test_it.py" in outcome.output
    assert "no gate of feature" not in outcome.output


def test_what_others_rest_on_is_repaired_first(project: Project):
    outcome = project.judge("@ralph.retry\n            @ralph.timeout(10)", "timeouts.none()")

    assert outcome.whole["next_action"]["skill"] == "timeout"


def test_a_wait_without_end_is_named_as_the_reason_why_nothing_is_retried(project: Project):
    outcome = project.judge("@ralph.retry", "charges.charge(timeout=None)")

    found = outcome.criterion("retry.retries-transient")
    assert "waits for ever, because no timeout is set: set one first" in found["evidence"]["observed"]


def test_the_longest_attempt_is_where_the_total_is_lost(project: Project):
    project.write(
        client="""
        import requests

        def call():
            requests.get("http://api.pay.example/a", timeout=1)
            requests.get("http://api.pay.example/b", timeout=60)
        """,
        test_it="""
        import client

        @ralph.timeout(1, total=30)
        def test_it(ralph_upstream):
            api = ralph_upstream("http://api.pay.example")
            api.get("/a")
            api.get("/b")
            client.call()
        """,
    )

    found = project.run("--ralph").criterion("timeout.total-deadline")

    assert found["evidence"]["location"]["line"] == 6


def test_paths_of_tests_are_repeated_in_the_rerun_command(project: Project):
    project.judge("@ralph.timeout(10)", "timeouts.none()")

    action = project.run("--ralph", "test_it.py").whole["next_action"]

    assert action["rerun"] == "pytest --ralph test_it.py --ralph-feature test_it --ralph-skill timeout"
    assert Path(project.pytester.path, "test_it.py").exists()
