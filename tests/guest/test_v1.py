"""What is different in version 1 of a real kernel, in the guest that ``make test-cgroup`` starts."""

from __future__ import annotations

from pathlib import Path

from pytest_ralph.world.cgroup import V1, hierarchy
from tests.guest.groups import delegated


@delegated
def test_killing_that_is_switched_off_is_switched_on_in_a_group_of_ours(inner: Path):
    (inner / "memory.oom_control").write_text("1")
    group = hierarchy(str(inner)).group()
    assert "oom_kill_disable 1" in (group.path / "memory.oom_control").read_text()

    assert group.limit(1 << 20)

    assert "oom_kill_disable 0" in (group.path / "memory.oom_control").read_text()
    assert "oom_kill_disable 1" in (inner / "memory.oom_control").read_text()
    group.close()


@delegated
def test_groups_in_groups_need_nothing_handed_on(inner: Path):
    (inner / "group").mkdir()

    assert hierarchy(str(inner / "group")).files is V1
