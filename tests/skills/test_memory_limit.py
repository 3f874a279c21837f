"""Each criterion of ``memory_limit``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world.memory import Life, Meter, together
from tests.harness import Outcome, Project
from tests.subjects import memory

ALL = {
    "memory-limit.peak-under-limit": "fail",
    "memory-limit.survives-cap": "fail",
    "memory-limit.oom-killed": "fail",
}
BY_A_CHILD = {"memory-limit.peak-under-limit": "fail", "memory-limit.oom-killed": "fail"}


def judge(
    project: Project, call: str, marker: str = "@ralph.memory_limit('50 MiB')", *options: str
) -> Outcome:
    project.write(
        test_it=f"""
        from tests.subjects import memory
        {marker}
        def test_it():
            {call}
        """
    )
    return project.run("--ralph", *options)


def more(*row: object) -> object:
    """More of the same kind."""
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.mark.parametrize("subject", memory.EVERY_WAY, ids=lambda each: each.__name__)
def test_what_is_used_is_seen_whatever_uses_it(project: Project, subject: Callable[[float], None]):
    # What becomes of a process does not depend on the kind of memory: some ways are enough. Not processes
    # that wait for each other: one that is killed may take a lock along.
    mode = "cap" if subject in (memory.one_block, memory.child_process) else "peak"
    marker = f"@ralph.memory_limit('50 MiB', mode='{mode}')"
    below = judge(project, f"memory.{subject.__name__}(49)", marker)
    above = judge(project, f"memory.{subject.__name__}(51)", marker)

    assert below.not_passed() == {}, below.output
    killed = {"memory-limit.oom-killed"} if mode == "cap" else set()
    assert {"memory-limit.peak-under-limit", *killed} <= set(above.not_passed()), above.output


@pytest.mark.parametrize(
    "call",
    [
        more("memory.one_child_after_another(40)"),
        "memory.reserved(49)",
        "memory.shared_with_a_child(47)",
        more("memory.one_block(1)"),
        more("pass"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, call: str):
    outcome = judge(project, call)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("call", "not_passed"),
    [
        ("memory.one_block(60)", ALL),
        more("memory.endless()", ALL),
        ("memory.grows_in_another_program()", ALL),
        ("memory.modest_where_it_must_be()", {"memory-limit.peak-under-limit": "fail"}),
        ("memory.gives_up_where_memory_is_short()", {"memory-limit.survives-cap": "fail"}),
        ("memory.helper_is_killed()", {"memory-limit.oom-killed": "fail"}),
    ],
)
def test_each_flaw_fails_its_own_criterion(project: Project, call: str, not_passed: dict[str, str]):
    outcome = judge(project, call)

    assert outcome.not_passed() == not_passed, outcome.output
    assert outcome.code == 1


@pytest.mark.parametrize("tool", ["memray", ""])
def test_evidence_names_peak_mechanism_and_lines(
    project: Project, monkeypatch: pytest.MonkeyPatch, tool: str
):
    if not tool:
        monkeypatch.setitem(sys.modules, "memray", None)
    project.write(
        orders="""
        def load():
            small = b"x" * (1 << 20)
            big = b"y" * (30 << 20)
            more = [b"z" * (1 << 20) for _ in range(40)]
            return small, big, more
        """,
        test_it="""
        import orders

        @ralph.memory_limit("50 MiB")
        def test_load():
            assert orders.load()
        """,
    )

    found = project.run("--ralph").criterion("memory-limit.peak-under-limit")

    evidence = found["evidence"]
    assert re.match(
        r"7[0-2](\.\d)? MiB \(peak resident set of the process, its children sampled\); most of it in ",
        evidence["observed"],
    )
    assert evidence["location"] == {"file": "orders.py", "line": 5, "function": "<listcomp>"} or (
        evidence["location"] == {"file": "orders.py", "line": 5, "function": "load"}
    )
    assert "orders.py:4" in evidence["observed"]
    assert "orders.py:5" in evidence["observed"]
    assert "orders.py:3" not in evidence["observed"]
    assert evidence["observed"].endswith(", says memray") == bool(tool)


def test_what_was_freed_before_is_not_there_for_the_taking(project: Project):
    """Memory that an earlier test has left in the allocators."""
    project.write(
        test_it="""
        from tests.subjects import memory

        @pytest.fixture
        def untidy():
            kept = [bytes(40 + number % 400) for number in range(400_000)]
            kept = kept[::50]
            yield kept

        @ralph.memory_limit("50 MiB", mode="peak")
        def test_it(untidy):
            memory.small_objects(51)
        """
    )

    assert project.run("--ralph").statuses()["memory-limit.peak-under-limit"] == "fail"


def test_what_threads_have_freed_before_is_not_there_for_the_taking(project: Project):
    """The allocator keeps the end of a thread's memory: more of it, the larger the blocks that were freed."""
    project.write(
        test_it="""
        import threading
        from tests.subjects import memory

        def in_threads(size):
            # Each has an arena of its own, of those that there are.
            everybody = threading.Barrier(8)

            def fill():
                kept = [b"x" * 100_000 for _ in range(size * 10 // 8)]
                everybody.wait()

            threads = [threading.Thread(target=fill) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        @pytest.fixture
        def untidy():
            del [bytearray(30 << 20)][0]
            in_threads(80)

        @ralph.memory_limit("50 MB", mode="peak")
        def test_it(untidy):
            in_threads(52)
        """
    )

    outcome = project.run("--ralph")

    assert outcome.statuses()["memory-limit.peak-under-limit"] == "fail", outcome.output


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        ("whole_json", "fail"),
        *(more(name, "fail") for name in ("whole_text", "in_a_thread", "buffered", "cached")),
        more("hoping_for_an_error", "fail"),
        ("streamed", "pass"),
        *(more(name, "pass") for name in ("in_chunks", "written_by_row")),
    ],
)
def test_exports_as_people_write_them(project: Project, subject: str, status: str):
    project.write(
        test_it=f"""
        from tests.subjects import exports

        @ralph.memory_limit("4 MB")
        def test_it():
            exports.{subject}()
        """
    )

    outcome = project.run("--ralph")

    assert set(outcome.statuses().values()) == {status}, outcome.output


@pytest.mark.slow
def test_a_careless_reader_and_a_careful_one(project: Project):
    project.write(
        test_it="""
        from tests.subjects import memory

        @pytest.fixture(scope="module")
        def path():
            return memory.file_of(30)

        @ralph.feature("careless")
        @ralph.memory_limit("20 MB")
        def test_whole(path):
            assert memory.reads_whole(path) > 1000

        @ralph.feature("careful")
        @ralph.memory_limit("20 MB")
        def test_lines(path):
            assert memory.reads_lines(path) > 1000
        """
    )

    outcome = project.run("--ralph")

    statuses = {each["feature"]: each["status"] for each in outcome.whole["skills"]}
    assert statuses == {"careless": "fail", "careful": "pass"}, outcome.output


def test_a_call_that_fails_anyway_is_not_judged(project: Project):
    outcome = judge(project, "raise KeyError('lost')")

    assert outcome.skill("memory-limit")["status"] in ("error", "fail")
    assert outcome.statuses()["memory-limit.peak-under-limit"] != "pass"
    assert outcome.code == 1


def test_an_error_that_memory_is_short_is_one(project: Project):
    outcome = judge(project, "raise MemoryError")

    found = outcome.criterion("memory-limit.peak-under-limit")
    assert found["evidence"]["observed"] == "the call raised MemoryError"


def test_it_is_measured_beside_other_gates(project: Project):
    outcome = project.judge(
        "@ralph.timeout(10)\n            @ralph.memory_limit('50 MB')", "timeouts.right()"
    )

    assert outcome.not_passed() == {}, outcome.output


def test_peak_only(project: Project):
    outcome = judge(project, "memory.one_block(60)", "@ralph.memory_limit('50 MiB', mode='peak')")

    assert outcome.statuses() == {"memory-limit.peak-under-limit": "fail"}


@pytest.mark.parametrize(("limit", "status"), [("2GiB", "pass"), ("300MB", "fail")])
def test_a_whole_run_can_be_held_to_what_a_container_has(project: Project, limit: str, status: str):
    project.write(
        test_it="""
        import requests
        from tests.subjects import memory

        @ralph.timeout(10)
        def test_it(api):
            memory.one_block(400)
            requests.post("http://api.pay.example/v1/charges", timeout=10)
        """
    )

    outcome = project.run("--ralph", f"--ralph-memory={limit}")

    if status == "pass":
        assert outcome.not_passed() == {}, outcome.output
    else:
        observed = outcome.skill("timeout")["problem"]["evidence"]["observed"]
        assert observed == "the process was killed for the memory it used"


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("memory.left_to_a_thread(60)", "fail"),
        ("memory.left_to_a_program(60)", "fail"),
        ("memory.left_idle(40)", "pass"),
        ("memory.left_polling(40)", "pass"),
    ],
)
def test_what_a_call_leaves_to_others_counts(project: Project, call: str, status: str):
    outcome = judge(project, call, "@ralph.memory_limit('50 MiB', mode='peak')")

    assert outcome.statuses() == {"memory-limit.peak-under-limit": status}, outcome.output


def test_lives_are_added_up_where_they_overlap():
    def life(began: int, ended: int, peak: int, held: int = 0) -> Life:
        return Life(began=began, ended=ended, held=held, peak=peak)

    assert together([]) == 0
    assert together([life(0, 10, 5), life(10, 20, 7)]) == 7
    assert together([life(0, 10, 5), life(9, 20, 7)]) == 12
    assert together([life(0, 10, 5, held=3), life(9, 20, 7, held=4)]) == 16


def test_the_largest_process_is_the_one_that_ends():
    meter = Meter(MemoryCap(limit=100, stop=100))
    assert meter.look(1, []) is None  # nothing is known of the process yet

    meter.add(101, [])

    assert (meter.killed, meter.peak) == ("the process", 101)


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.memory_limit", 'needs an amount of memory: write @ralph.memory_limit("50 MB")'),
        ("@ralph.memory_limit(0)", "limit must be at least 1 byte, got 0"),
        ("@ralph.memory_limit('50')", "limit must be bytes as a whole number or text such as '50 MB'"),
        ("@ralph.memory_limit('50 parsecs')", "limit must be bytes as a whole number or text"),
        ("@ralph.memory_limit(1.5)", "limit must be bytes as a whole number or text"),
        ("@ralph.memory_limit(True)", "limit must be bytes as a whole number or text"),
        ("@ralph.memory_limit('50 MB', mode='soft')", "mode must be 'cap' or 'peak', got 'soft'"),
        ("@ralph.memory_limit()", "missing 1 required positional argument: 'limit'"),
    ]

    project.check_each_refused(wrong)


@pytest.mark.parametrize("call", ["log.warning('row %d is bad', number)", "print('row', number)"])
def test_what_remembers_the_log_takes_no_memory_of_the_call(project: Project, call: str):
    project.write(
        client=f"""
        import logging

        log = logging.getLogger(__name__)

        def load(n):
            for number in range(n):
                {call}
        """,
        test_it="""
        from client import load

        @ralph.memory_limit("5 MB")
        def test_it():
            load(5_000)
        """,
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == {}, outcome.output


def test_garbage_of_another_test_is_none_of_the_gates(project: Project):
    project.write(
        test_it="""
        import gc
        import socket
        import weakref

        class Client:
            def __init__(self):
                self.socket, self.me = socket.socket(), self

        @pytest.fixture(scope="module", autouse=True)
        def garbage():
            gc.disable()
            made = weakref.ref(Client())
            yield
            made().socket.close()
            gc.enable()

        @ralph.memory_limit("50 MiB")
        def test_it():
            pass
        """
    )

    outcome = project.run("--ralph", "-W", "error")

    assert outcome.code == 0, outcome.output
    assert outcome.not_passed() == {}
