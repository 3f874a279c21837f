"""Control groups of a real kernel, for the tests in the guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.groups import DELEGATED, is_v2


@pytest.fixture
def directory() -> Path:
    """The directory that is given to this user."""
    return Path(str(DELEGATED))


@pytest.fixture
def inner(directory: Path) -> Iterator[Path]:
    """A group in it, in which groups may be made."""
    path = directory / "inner"
    path.mkdir()
    if is_v2(path):
        (path / "cgroup.subtree_control").write_text("+memory")
    yield path
    for each in sorted(path.rglob("*"), reverse=True):
        if each.is_dir():
            each.rmdir()
    path.rmdir()
