"""Control groups of a real kernel, in the guest that ``make test-cgroup`` starts.

``init.sh`` makes the groups, says in the environment where they are, and runs this for both versions, as root
and as an ordinary user. Nowhere else is there a directory that tests may use.
"""

from __future__ import annotations

import threading
from pathlib import Path

# Inner runs forget what they import, and numpy cannot be imported twice.
import numpy as np  # noqa: F401

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world.cgroup import V1, V2, hierarchy
from pytest_ralph.world.memory import Meter
from tests.guest.groups import CLOSED, closed, delegated, groups, is_v2
from tests.harness import Project

ALL = {"peak-under-limit", "survives-cap", "oom-killed"}


@delegated
def test_processes_are_held_to_their_limit(project: Project, directory: Path):
    calls = {
        "one_block(49)": set(),
        "one_block(51)": ALL,
        "shared_map(51)": ALL,
        "threads(51)": ALL,
        "child_process(45)": set(),
        "helper_is_killed()": {"oom-killed"},
        # The run goes on, whatever was killed before.
        "one_block(1)": set(),
    }
    gates = [
        f"""
@ralph.feature("{call}")
@ralph.memory_limit("50 MiB")
def test_{number}():
    memory.{call}
"""
        for number, call in enumerate(calls)
    ]
    project.write(test_it="\n".join(["from tests.subjects import memory", *gates]))

    outcome = project.run("--ralph", f"--ralph-cgroup={directory}")

    came = {
        call: {name.partition(".")[2] for name, each in outcome.of(call).items() if each["status"] != "pass"}
        for call in calls
    }
    assert came == calls, outcome.output
    killed = [outcome.of(call)["memory-limit.oom-killed"] for call, red in calls.items() if red]
    version = 2 if is_v2(directory) else 1
    assert all(f"control group v{version}" in each["evidence"]["observed"] for each in killed)
    assert groups(directory) == []


@delegated
def test_a_process_that_has_too_much_already_is_killed(project: Project, directory: Path):
    project.write(
        test_it="""
        @ralph.timeout(1)
        def test_it():
            pass
        """
    )

    outcome = project.run("--ralph", "--ralph-memory=20MB", f"--ralph-cgroup={directory}")

    assert outcome.code == 1
    assert "was killed for the memory it used" in outcome.output
    assert groups(directory) == []


@delegated
def test_a_limit_is_on_swap_as_well(inner: Path):
    group = hierarchy(str(inner)).group()

    assert group.limit(64 * 1024**2, whole=True)

    limits = {V2: ("67108864", "0"), V1: ("67108864", "67108864")}[group.files]
    names = (group.files.limit, group.files.swap)
    assert tuple((group.path / name).read_text().strip() for name in names) == limits
    group.close()


@delegated
def test_a_meter_without_a_kill_tells_of_none(inner: Path):
    group = hierarchy(str(inner)).group()
    meter = Meter(MemoryCap(limit=100, stop=100), group)

    meter.add(60, [])

    assert meter.killed == ""
    meter.close()
    assert groups(inner) == []


@delegated
def test_threads_do_not_keep_a_directory_from_being_tried_out(inner: Path):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()

    assert hierarchy(str(inner)).path == inner

    end.set()
    thread.join()


@closed
def test_a_closed_directory_is_refused(project: Project):
    name, _, reason = str(CLOSED).partition(":")
    before = groups(Path(name))
    project.write(
        test_it="""
        @ralph.memory_limit("50 MiB")
        def test_it():
            pass
        """
    )

    outcome = project.run("--ralph", f"--ralph-cgroup={name}")

    assert outcome.code == 4
    assert f"--ralph-cgroup: {reason}" in outcome.output.replace("\n", " "), outcome.output
    assert "Traceback" not in outcome.output
    assert groups(Path(name)) == before
