"""Control groups: memory held to a limit by the kernel itself, in a hierarchy delegated to this user.

Only a directory that the user names is used, and nothing in it is changed: a group of our own is made in it,
for one process, and taken away again. Being root proves nothing: whatever is under ``/sys/fs/cgroup`` may be
managed by somebody else. Whether it can be used is tried out once, by a process that does nothing else: the
kernel's rules are many, and its answer is the only one that counts. Files and rules:
https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import signal
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = itertools.count(1)
_PATIENCE = 2.0
_DROPPED = ("active_file", "inactive_file")
# What the process that tries a directory out may have: more than it can need, so that it is not killed.
_ROOM = 1024**3
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


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
        """Make a group of our own in it.

        Raises:
            ValueError: The kernel refuses it; the text says why, and what to do.
        """
        path = self.path / f"ralph-{os.getpid()}-{next(_NUMBERS)}"
        try:
            os.mkdir(path)
        except OSError as error:
            raise ValueError(_not_made(self.path, error)) from None
        return Group(path=path, files=self.files)


def hierarchy(name: str) -> Hierarchy:
    """The directory of that name, if a process can be held to a limit of memory in a group in it.

    That is tried out, in a group that is taken away again; nothing else is changed.

    Args:
        name: Its path, such as ``/sys/fs/cgroup/ralph``.

    Raises:
        OSError: The directory cannot be read.
        ValueError: It cannot be used; the text says why, and what to do.
    """
    path = Path(name)
    if (path / "cgroup.controllers").is_file():
        _check_controllers(path)
        found = Hierarchy(path=path, files=V2)
    elif (path / V1.limit).is_file():
        found = Hierarchy(path=path, files=V1)
    else:
        raise ValueError(f"{name} is no directory of control groups with the memory controller")
    group = found.group()
    try:
        _try(group)
    finally:
        group.close()
    return found


def _check_controllers(path: Path) -> None:
    """Check that groups made in a group of version 2 have a limit of memory.

    Raises:
        ValueError: They have none.
    """

    def words(name: str) -> list[str]:
        return (path / name).read_text(encoding="ascii").split()

    if "memory" in words("cgroup.subtree_control"):
        return
    kind = path / "cgroup.type"  # the root has none
    if kind.is_file() and words("cgroup.type") != ["domain"]:
        raise ValueError(
            f"{path} is of the type {' '.join(words('cgroup.type'))!r}, which cannot have the memory "
            "controller: name a group of the type 'domain'"
        )
    if "memory" not in words("cgroup.controllers"):
        raise ValueError(
            f"{path} has no memory controller: write +memory to cgroup.subtree_control of each group above "
            "it, from the root down, or have systemd do so by Delegate=memory"
        )
    raise ValueError(
        f"{path} does not hand the memory controller on to groups in it: move its processes to a "
        f"group in it, and write +memory to {path / 'cgroup.subtree_control'}"
    )


def _not_made(path: Path, error: OSError) -> str:
    """Why no group can be made in a directory."""
    if error.errno in _FORBIDDEN:
        return (
            f"{path} is not delegated to this user: no group can be made in it ({error.strerror}). Name a "
            "directory that is yours, or have its owner give it to you"
        )
    if error.errno == errno.EAGAIN:
        return (
            f"no more groups can be made in {path}: it, or a group above it, has as many as its "
            "cgroup.max.descendants and cgroup.max.depth allow"
        )
    return f"no group can be made in {path}: {error.strerror}"


def _not_entered(path: Path, files: Files, error: OSError) -> str:
    """Why no process can be moved into a group that was made in a directory."""
    refused = f"no process can be moved into a group in {path}: {error.strerror}"
    if error.errno in _FORBIDDEN and files is V2:
        # https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation-containment
        return (
            f"{refused}. That takes the right to write to cgroup.procs of the nearest group above both that "
            f"one and the one that pytest runs in, {_own()}: start pytest in a group in {path}"
        )
    return refused


def _own() -> str:
    """The group of version 2 that this process is in, as the kernel names it."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        return next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "none")


def _try(group: Group) -> None:
    """Have a process enter a group and be limited there.

    Raises:
        ValueError: It cannot; the text says why.
    """
    moved = f"a process that was moved into a group in {group.path.parent}"
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and newer warn if there are threads: this child needs none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            os.write(writer, b"!" + _hindrance(group).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], _PATIENCE)
        told = (
            os.read(reader, select.PIPE_BUF).decode() if ready else f"!{moved} stands still: is that frozen?"
        )
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if told != "!":
        raise ValueError(told[1:] or f"{moved} has died")


def _hindrance(group: Group) -> str:
    """What keeps this process from entering a group and being limited there; nothing if all is well."""
    try:
        group.enter()
        group.limit(_ROOM)
        _ = group.kills
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"no limit can be set in a group in {group.path.parent}: {error}"
    return ""


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
        """Move this process into the group: what it touches from now on is charged to it.

        Raises:
            ValueError: The kernel refuses it; the text says why, and what to do.
        """
        try:
            self._write("cgroup.procs", os.getpid())
        except OSError as error:
            raise ValueError(_not_entered(self.path.parent, self.files, error)) from None

    def limit(self, size: int, *, whole: bool = False) -> bool:
        """Let the kernel kill what has more than it may.

        Args:
            size: How many bytes that are.
            whole: Whether they are all that the group may have, rather than what it may have beyond what it
                has now.

        Returns:
            Whether the group is within the limit. Version 2 kills where it is not, and version 1 takes no
            such limit.
        """
        limit = size if whole else size + self._kept()
        if self.files is V1:
            # A group is made with what the one above it has, where killing may be switched off.
            self._write(self.files.events, 0)
        try:
            self._write(self.files.limit, limit)
            # Without accounting of swap there is no such file.
            with contextlib.suppress(FileNotFoundError):
                self._write(self.files.swap, 0 if self.files is V2 else limit)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for the memory that the group had.

        Raises:
            ValueError: It does not count them.
        """
        for line in self._read(self.files.events).splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        raise ValueError("the kernel does not tell what it has killed: that takes Linux 4.13 or newer")

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
