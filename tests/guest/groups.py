"""Where the tests of the kernel's control groups find them, and what they ask of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_ralph.world.cgroup import hierarchy

# The directory that is given to this user.
DELEGATED = os.environ.get("RALPH_TEST_CGROUP")
# Another, and words of the reason why it cannot be used: "/sys/fs/cgroup/other:no group can be made".
CLOSED = os.environ.get("RALPH_TEST_CGROUP_CLOSED")

delegated = pytest.mark.skipif(not DELEGATED, reason="needs a control group: make test-cgroup")
closed = pytest.mark.skipif(not CLOSED, reason="needs a control group that is closed: make test-cgroup")


def is_v2(directory: Path) -> bool:
    """Whether it is of version 2."""
    return (directory / "cgroup.controllers").exists()


def groups(directory: Path) -> list[str]:
    """The groups in it, but for that of pytest itself."""
    return sorted(each.name for each in directory.iterdir() if each.is_dir() and each.name != "pytest")


def refused(path: Path) -> str:
    """Why a directory is refused, which must leave it as it was."""
    before = groups(path)
    with pytest.raises(ValueError, match=str(path)) as error:
        hierarchy(str(path))
    assert groups(path) == before
    return str(error.value)
