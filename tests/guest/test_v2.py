"""What only a real kernel refuses in version 2, in the guest that ``make test-cgroup`` starts."""

from __future__ import annotations

from pathlib import Path

from pytest_ralph.world.cgroup import hierarchy
from tests.guest.groups import delegated, refused
from tests.harness import Project


@delegated
def test_a_directory_without_room_is_refused(inner: Path):
    (inner / "cgroup.max.descendants").write_text("0")
    assert "as many as its cgroup.max.descendants" in refused(inner)
    (inner / "cgroup.max.descendants").write_text("max")
    group = hierarchy(str(inner)).group()
    group.close()


@delegated
def test_a_directory_that_hands_no_memory_on_is_refused(inner: Path):
    plain = inner / "plain"
    threads = plain / "threads"
    below = plain / "below"
    for path in (plain, threads, below):
        path.mkdir()
    assert "does not hand the memory controller on" in refused(plain)
    assert "has no memory controller" in refused(below)
    (threads / "cgroup.type").write_text("threaded")
    assert "'domain threaded'" in refused(plain)
    assert "'threaded'" in refused(threads)
    assert "'domain invalid'" in refused(below)


@delegated
def test_a_frozen_directory_is_refused(inner: Path):
    (inner / "cgroup.freeze").write_text("1")
    assert "is that frozen?" in refused(inner)
    (inner / "cgroup.freeze").write_text("0")


@delegated
def test_a_full_directory_is_told_of_when_the_run_is_under_way(project: Project, inner: Path):
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
