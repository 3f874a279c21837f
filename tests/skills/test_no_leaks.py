"""Each criterion of ``no_leaks``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness import Outcome, Project
from tests.subjects import leaks


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """What leaks here must not leak into the tests that follow."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    for each in leaks.KEPT:
        if hasattr(each, "close"):
            each.close()
        if hasattr(each, "shutdown"):
            each.shutdown(wait=False)
    leaks.KEPT.clear()
    leaks._cached.cache_clear()
    for fd in set(os.listdir("/proc/self/fd")) - before:
        if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}") == "/dev/null":
            os.close(int(fd))


def judge(
    project: Project, call: str, fixtures: str = "", marker: str = "@ralph.no_leaks(calls=6)"
) -> Outcome:
    asynchronous = call.startswith("await")
    project.write(
        test_it=f"""
        from tests.subjects import leaks

        {marker}
        {"@pytest.mark.asyncio" if asynchronous else ""}
        {"async " if asynchronous else ""}def test_it({fixtures}):
            {call}
        """
    )
    # The leaks must not outlive the run, so each run is a process of its own.
    return project.run("--ralph", "--ralph-isolate", "-p", "no:unraisableexception")


@pytest.mark.parametrize(
    ("call", "fixtures"),
    [
        ("leaks.right()", "api"),
        ("leaks.client_per_call()", "api"),
        ("leaks.pool_per_call()", "api"),
        ("leaks.bounded_cache()", ""),
        ("await leaks.awaited_task()", ""),
        ("pass", ""),
    ],
)
def test_code_that_leaves_nothing_behind(project: Project, call: str, fixtures: str):
    # Trouble takes three times as long: one of those that make requests has it. A cache is full by half.
    arguments = "calls=6" if "right" in call else "calls=10, faults=False"
    outcome = judge(project, call, fixtures, f"@ralph.no_leaks({arguments})")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("call", "fixtures", "criterion", "observed", "function"),
    [
        ("leaks.raw_file()", "", "files", "6 more after 6 calls: /dev/null", ""),
        ("leaks.open_file()", "", "files", "6 more after 6 calls: /dev/null", "open_file"),
        ("leaks.session_per_call()", "api", "sockets", "a socket to api.pay.example", "session_per_call"),
        (
            "leaks.open_in_trouble()",
            "api",
            "sockets",
            "6 more after 6 calls: a socket without",
            "open_in_trouble",
        ),
        ("leaks.thread()", "", "threads", "6 more after 6 calls: thread waits-*", "thread"),
        ("leaks.raw_thread()", "", "threads", "a thread that Python does not know", ""),
        ("leaks.pool_never_ended()", "", "threads", "thread ThreadPoolExecutor-*_*", "pool_never_ended"),
        ("await leaks.task()", "", "tasks", "6 more after 6 calls: task Event.wait", "task"),
        ("leaks.history()", "", "memory", "after 6 calls, allocated in this line", "history"),
        ("leaks.unbounded_cache()", "", "memory", "after 6 calls, allocated in this line", "_cached"),
    ],
)
def test_each_leak_fails_its_own_criterion(
    project: Project, call: str, fixtures: str, criterion: str, observed: str, function: str
):
    # What is kept of a failed call may be of another kind: its own test has that.
    marker = "@ralph.no_leaks(calls=6, faults=False)" if "session" in call else "@ralph.no_leaks(calls=6)"
    outcome = judge(project, call, fixtures, marker)

    allowed = {} if criterion == "memory" else {"no-leaks.memory": "not_exercised"}
    assert outcome.not_passed() == {f"no-leaks.{criterion}": "fail", **allowed}, outcome.output
    evidence = outcome.criterion(f"no-leaks.{criterion}")["evidence"]
    assert observed in evidence["observed"]
    if function:
        assert evidence["location"]["file"].endswith("tests/subjects/leaks.py")
    if "trouble" in call:
        assert evidence["scenario"] == "6-calls-status-503"
        assert evidence["also_in"] == ["6-calls-hang", "6-calls-refused"]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("@ralph.no_leaks(calls=5)", "calls must be a whole number, at least 6, got 5"),
        ("@ralph.no_leaks(calls=True)", "calls must be a whole number, at least 6, got True"),
        ("@ralph.no_leaks(faults='all')", "faults must be True or False, got 'all'"),
        ("@ralph.no_leaks(scenarios='manual')", "scenarios must be 'auto'"),
    ],
)
def test_a_wrong_argument_is_a_collection_error_at_the_users_line(
    project: Project, marker: str, message: str
):
    project.check_refused(marker, message)
