"""Control groups: memory held to a limit by the kernel itself, in a hierarchy delegated to this user.

Only a directory that the user names is used, and nothing in it is changed: a group of our own is made in it,
for one process, and taken away again. Being root proves nothing: whatever is under ``/sys/fs/cgroup`` may be
managed by somebody else. Files and rules: https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = itertools.count(1)
_PATIENCE = 2.0
_DROPPED = ("active_file", "inactive_file")


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the files of a version are called.

    Attributes:
        version: The version.
        limit: Bytes that the group may have.
        usage: Bytes that it has.
        swap: What limits memory and swap, or swap.
        events: Where the kernel counts, beside others, what it has killed.
    """

    version: int
    limit: str
    usage: str
    swap: str
    events: str


V2 = Files(
    version=2,
    limit="memory.max",
    usage="memory.current",
    swap="memory.swap.max",
    events="memory.events",
)
V1 = Files(
    version=1,
    limit="memory.limit_in_bytes",
    usage="memory.usage_in_bytes",
    swap="memory.memsw.limit_in_bytes",
    events="memory.oom_control",
)


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A directory of control groups in which groups may be made.

    Attributes:
        path: The directory.
        files: What the files in it are called.
    """

    path: Path
    files: Files

    def group(self) -> Group:
        """Make a group of our own in it."""
        path = self.path / f"ralph-{os.getpid()}-{next(_NUMBERS)}"
        os.mkdir(path)
        return Group(path=path, files=self.files)


def hierarchy(name: str) -> Hierarchy:
    """The directory of that name, if groups with a limit of memory can be made in it; nothing is changed.

    Args:
        name: Its path, such as ``/sys/fs/cgroup/ralph``.

    Raises:
        ValueError: They cannot; the text says why, and what to do.
    """
    path = Path(name)
    if (path / "cgroup.controllers").is_file():
        files = V2
        enabled = (path / "cgroup.subtree_control").read_text(encoding="ascii").split()
        if "memory" not in enabled:
            raise ValueError(
                f"{name} does not hand the memory controller on to groups in it: move its processes to a "
                f"group in it, and write +memory to {path / 'cgroup.subtree_control'}"
            )
    elif (path / V1.limit).is_file():
        files = V1
    else:
        raise ValueError(f"{name} is no directory of control groups with the memory controller")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{name} is not delegated to this user: no group can be made in it")
    return Hierarchy(path=path, files=files)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A control group for one process and all that it starts.

    Attributes:
        path: Its directory.
        files: What the files in it are called.
    """

    path: Path
    files: Files

    def enter(self) -> None:
        """Move this process into the group: what it touches from now on is charged to it."""
        self._write("cgroup.procs", os.getpid())

    def limit(self, size: int, *, whole: bool = False) -> None:
        """Let the kernel kill what has more than it may.

        Args:
            size: How many bytes that are.
            whole: Whether they are all that the group may have, rather than what it may have beyond what it
                has now.
        """
        limit = size if whole else size + self._kept()
        self._write(self.files.limit, limit)
        # Without accounting of swap there is no such file.
        with contextlib.suppress(FileNotFoundError):
            self._write(self.files.swap, 0 if self.files is V2 else limit)

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for the memory that the group had."""
        for line in self._read(self.files.events).splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        return 0

    def close(self) -> None:
        """Take the group away, once all that was in it has ended."""
        until = time.monotonic() + _PATIENCE
        while not self._gone() and time.monotonic() < until:
            time.sleep(0.01)

    def _gone(self) -> bool:
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:  # somebody is in it still: what was killed may take a moment to be gone
            return False
        return True

    def _kept(self) -> int:
        """Bytes that the group has and the kernel cannot drop: pages of files it can, and does first."""
        counted = dict(line.split() for line in self._read("memory.stat").splitlines())
        return int(self._read(self.files.usage)) - sum(int(counted[name]) for name in _DROPPED)

    def _read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii")

    def _write(self, name: str, value: int) -> None:
        # A buffered file would swallow what the kernel refuses.
        descriptor = os.open(self.path / name, os.O_WRONLY)
        try:
            os.write(descriptor, b"%d" % value)
        finally:
            os.close(descriptor)
