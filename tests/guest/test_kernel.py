"""Control groups of a real kernel, in the guest that ``make test-cgroup`` starts.

``init.sh`` makes the groups, says in the environment where they are, and runs this for both versions, as root
and as an ordinary user. Nowhere else is there a directory that tests may use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

# Inner runs forget what they import, and numpy cannot be imported twice.
import numpy as np  # noqa: F401
import pytest

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world.cgroup import V1, V2, hierarchy
from pytest_ralph.world.memory import Meter
from tests.harness import Project

ALL = {"peak-under-limit", "survives-cap", "oom-killed"}
# The directory that is given to this user.
DELEGATED = os.environ.get("RALPH_TEST_CGROUP")
# Another, and words of the reason why it cannot be used: "/sys/fs/cgroup/other:no group can be made".
CLOSED = os.environ.get("RALPH_TEST_CGROUP_CLOSED")

delegated = pytest.mark.skipif(not DELEGATED, reason="needs a control group: make test-cgroup")
closed = pytest.mark.skipif(not CLOSED, reason="needs a control group that is closed: make test-cgroup")


def _is_v2(directory: Path) -> bool:
    return (directory / "cgroup.controllers").exists()


def _groups(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir() if each.is_dir() and each.name != "pytest")


@pytest.fixture
def directory() -> Path:
    """The directory that is given to this user; nothing is left in it but the group of pytest itself."""
    return Path(str(DELEGATED))


@pytest.fixture
def inner(directory: Path) -> Iterator[Path]:
    """A group in it, in which groups may be made."""
    path = directory / "inner"
    path.mkdir()
    if _is_v2(path):
        (path / "cgroup.subtree_control").write_text("+memory")
    yield path
    for each in sorted(path.rglob("*"), reverse=True):
        if each.is_dir():
            each.rmdir()
    path.rmdir()


def _refused(path: Path) -> str:
    before = _groups(path)
    with pytest.raises(ValueError, match=str(path)) as error:
        hierarchy(str(path))
    # What was made to try it out is gone.
    assert _groups(path) == before
    return str(error.value)


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
    version = 2 if _is_v2(directory) else 1
    assert all(f"control group v{version}" in each["evidence"]["observed"] for each in killed)
    assert _groups(directory) == []


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
    assert _groups(directory) == []


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
    assert _groups(inner) == []


@delegated
def test_a_directory_without_room_is_refused(inner: Path):
    if not _is_v2(inner):
        # There is no such limit; what there is instead is that killing is switched off for all groups in it.
        (inner / "memory.oom_control").write_text("1")
        group = hierarchy(str(inner)).group()
        assert group.limit(1 << 20)
        assert "oom_kill_disable 0" in (group.path / "memory.oom_control").read_text()
        group.close()
        return
    (inner / "cgroup.max.descendants").write_text("0")
    assert "as many as its cgroup.max.descendants" in _refused(inner)
    (inner / "cgroup.max.descendants").write_text("max")
    group = hierarchy(str(inner)).group()
    group.close()


@delegated
def test_a_directory_that_hands_no_memory_on_is_refused(inner: Path):
    if not _is_v2(inner):
        # All groups have all controllers there: groups in groups are as good.
        (inner / "group").mkdir()
        assert hierarchy(str(inner / "group")).files is V1
        return
    plain = inner / "plain"
    threads = plain / "threads"
    below = plain / "below"
    for path in (plain, threads, below):
        path.mkdir()
    assert "does not hand the memory controller on" in _refused(plain)
    assert "has no memory controller" in _refused(below)
    (threads / "cgroup.type").write_text("threaded")
    assert "'domain threaded'" in _refused(plain)
    assert "'threaded'" in _refused(threads)
    assert "'domain invalid'" in _refused(below)


@delegated
def test_a_frozen_directory_is_refused(inner: Path):
    if not _is_v2(inner):
        # Freezing is a hierarchy of its own there.
        assert not (inner / "cgroup.freeze").exists()
        return
    (inner / "cgroup.freeze").write_text("1")
    assert "is that frozen?" in _refused(inner)
    (inner / "cgroup.freeze").write_text("0")


@delegated
def test_a_full_directory_is_told_of_when_the_run_is_under_way(project: Project, inner: Path):
    if not _is_v2(inner):
        assert not (inner / "cgroup.max.descendants").exists()
        return
    project.write(
        test_it=f"""
        from pathlib import Path

        @pytest.fixture
        def full():
            Path("{inner}/cgroup.max.descendants").write_text("0")

        @ralph.memory_limit("50 MiB")
        def test_it(full):
            pass
        """
    )

    outcome = project.run("--ralph", f"--ralph-cgroup={inner}")

    assert outcome.code == 1
    assert "not judged: --ralph-cgroup: no more groups can be made" in outcome.output
    assert "Traceback" not in outcome.output


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
    before = _groups(Path(name))
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
    assert _groups(Path(name)) == before
