"""Control groups.

Here a directory of plain files takes the place of the kernel's: it shows that the right things are written
and read, and nothing about the kernel. The kernel's own are tested in ``tests/guest``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.scenario import MemoryCap
from pytest_ralph.world.cgroup import V1, V2, Files, hierarchy
from pytest_ralph.world.memory import Meter
from tests.harness import Project

FILES = {
    V2: {
        "cgroup.procs": "",
        "memory.max": "max\n",
        "memory.current": "12288\n",
        "memory.stat": "anon 4096\nactive_file 5000\ninactive_file 3192\nslab 0\n",
        "memory.swap.max": "max\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    },
    V1: {
        "cgroup.procs": "",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.usage_in_bytes": "12288\n",
        "memory.stat": "rss 4096\nactive_file 5000\ninactive_file 3192\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    },
}


@pytest.fixture(params=[V2, V1], ids=["v2", "v1"])
def files(request: pytest.FixtureRequest) -> Files:
    version: Files = request.param
    return version


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files) -> Path:
    """A directory in which directories come with files in them, as those of the kernel do."""
    if files is V2:
        (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
        (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    else:
        (tmp_path / V1.limit).write_text("9223372036854771712\n")
    mkdir, rmdir = os.mkdir, os.rmdir

    def made(path: Path, *more: Any, **most: Any) -> None:
        mkdir(path, *more, **most)
        if Path(path).name.startswith("ralph-"):
            for name, text in FILES[files].items():
                (Path(path) / name).write_text(text)

    def removed(path: Path, *more: Any, **most: Any) -> None:
        if Path(path).name.startswith("ralph-"):
            for each in Path(path).iterdir():
                each.unlink()
        rmdir(path, *more, **most)

    monkeypatch.setattr(os, "mkdir", made)
    monkeypatch.setattr(os, "rmdir", removed)
    return tmp_path


def test_a_group_is_made_limited_and_taken_away(parent: Path, files: Files):
    group = hierarchy(str(parent)).group()

    group.enter()
    group.limit(1000)

    assert group.files is files
    # The kernel takes a write as one value; a plain file keeps what was there behind it.
    assert (group.path / "cgroup.procs").read_text() == str(os.getpid())
    assert (group.path / files.limit).read_text().startswith("5096")
    if files is V2:
        assert (group.path / "memory.swap.max").read_text().startswith("0")
    group.limit(1000, whole=True)
    assert (group.path / files.limit).read_text().startswith("1000")
    group.close()
    assert [each.name for each in parent.iterdir() if each.is_dir()] == []


@pytest.mark.parametrize(
    ("kills", "died", "killed"), [(0, True, ""), (1, True, "the process"), (2, False, "a child process")]
)
def test_what_the_kernel_has_killed_is_recognised(
    parent: Path, files: Files, kills: int, died: bool, killed: str
):
    group = hierarchy(str(parent)).group()
    (group.path / files.events).write_text(f"oom 7\noom_kill {kills}\noom_group_kill 5\n")
    meter = Meter(MemoryCap(limit=100, stop=100), group)

    meter.add(60, [], died=died)

    assert (meter.killed, meter.mechanism) == (killed, f"control group v{files.version}")
    assert meter.exceeded == bool(killed)
    meter.close()


@pytest.mark.parametrize("files", [V2], indirect=True)
def test_what_cannot_be_used_is_refused_with_a_reason(project: Project, parent: Path):
    def refused(path: Path) -> str:
        outcome = project.run("--ralph", f"--ralph-cgroup={path}")
        assert outcome.code == 4
        return outcome.output

    before = sorted(parent.iterdir())
    assert "is no directory of control groups" in refused(project.pytester.path / "nowhere")
    (parent / "cgroup.subtree_control").write_text("cpu pids\n")
    assert "does not hand the memory controller on" in refused(parent)
    # Nothing that is not ours was changed on the way.
    assert sorted(parent.iterdir()) == before


def test_a_directory_of_somebody_elses_is_refused(parent: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "mkdir", refused)

    with pytest.raises(ValueError, match="is not delegated to this user"):
        hierarchy(str(parent))


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Has the kernel refuse what is written to files of a name."""
    opened = os.open

    def refuse(name: str, number: int) -> None:
        def open_(path: Any, *more: Any, **most: Any) -> int:
            if str(path).endswith(f"/{name}"):
                raise OSError(number, os.strerror(number))
            return opened(path, *more, **most)

        monkeypatch.setattr(os, "open", open_)

    return refuse


def test_a_directory_that_no_process_may_enter_is_refused(
    parent: Path, files: Files, refusing: Callable[[str, int], None]
):
    refusing("cgroup.procs", errno.EACCES)

    with pytest.raises(ValueError, match=r"no process can be moved into a group in .*: Permission") as error:
        hierarchy(str(parent))

    assert ("start pytest in a group in" in str(error.value)) is (files is V2)
    assert [each for each in parent.iterdir() if each.is_dir()] == []


def test_a_directory_whose_groups_take_no_limit_is_refused(
    parent: Path, files: Files, refusing: Callable[[str, int], None]
):
    refusing(files.limit, errno.EINVAL)

    with pytest.raises(ValueError, match=r"no limit can be set in a group in .*: .*Invalid argument"):
        hierarchy(str(parent))


def test_a_kernel_that_does_not_count_kills_is_refused(
    parent: Path, files: Files, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(FILES[files], files.events, "oom_kill_disable 0\nunder_oom 0\n")

    with pytest.raises(ValueError, match=r"takes Linux 4\.13"):
        hierarchy(str(parent))


def test_a_limit_that_is_exceeded_already_is_told_of(
    parent: Path, files: Files, refusing: Callable[[str, int], None]
):
    group = hierarchy(str(parent)).group()
    assert group.limit(1000)

    refusing(files.limit, errno.EBUSY)

    assert not group.limit(1000)
    group.close()
