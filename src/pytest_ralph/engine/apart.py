"""A process of its own for one scenario: forked, listened to, and ended with all that it started.

What the child has to tell goes through an unlinked file: a pipe would fill up, and a grandchild that keeps
its other end open would keep it from ending. The parent lives in real time meanwhile. This module knows
nothing of pytest; what is told and why is in `engine.isolation`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import re
import select
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from pytest_ralph.core.location import Frames

MOST_PROCESSES = 256
"""How many processes a scenario may have running before it is taken for one that never stops forking."""

_TICK = 0.005
_LOOK = 0.02
_DUMP_SECONDS = 5.0
# Where every moment costs memory.
_SHORTLY = 0.1
_ROUNDS = 10
_PR_SET_CHILD_SUBREAPER = 36
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$')


class Watch(Protocol):
    """Looks at a child from outside while it runs."""

    def look(self, pid: int, descendants: list[int]) -> str | None:
        """Take a look at the child and all that it started; say why it is to be killed, if it is."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a child ended.

    Attributes:
        reason: In words; empty if it ended as it should.
        frames: The lines it was in, innermost first, where they are known.
    """

    reason: str = ""
    frames: Frames = ()


def _file() -> BinaryIO:
    return tempfile.TemporaryFile(buffering=0)


@dataclass(kw_only=True)
class Child:
    """A child process, as its parent and as itself see it.

    Attributes:
        pid: Its id; 0 in the child itself.
        notes: What it tells.
        stacks: Where its stacks are written when it is asked for them, or crashes.
    """

    pid: int = -1
    notes: BinaryIO = field(default_factory=_file)
    stacks: BinaryIO = field(default_factory=_file)
    _known: dict[int, float] = field(default_factory=dict)
    _me: int = 0

    def fork(self) -> bool:
        """Fork. Returns whether this is the child."""
        with warnings.catch_warnings():
            # Python 3.12 and newer warn if there are threads: those of pytest's plugins do no harm here.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            self._me = os.getpid()
            _settle_in(self.stacks)
        return self.pid == 0

    @property
    def astray(self) -> bool:
        """Whether this is a process that the child has forked, and that came back where it should not."""
        return os.getpid() != self._me

    def tell(self, kind: str, value: object) -> None:
        """Note something for the parent, from the child or a process that it started."""
        data = pickle.dumps((kind, value))
        while data:
            data = data[os.write(self.notes.fileno(), data) :]

    def told(self) -> Iterator[tuple[str, Any]]:
        """What was noted: all that was told whole, if the child died in the middle of something."""
        self.notes.seek(0)
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                yield pickle.load(self.notes)

    def leave(self) -> None:
        """End the child, which this is, and all that it started; nothing of pytest's own is run."""
        if not self.astray:
            for pid in descendants(os.getpid()):
                _kill(pid)
        os._exit(0)

    def wait(self, seconds: float, watches: list[Watch]) -> Ending:
        """Wait for the child to end, but not for longer than it may take; what it started ends with it.

        Args:
            seconds: Real seconds that it may take; 0 for as long as it likes.
            watches: Who looks at it meanwhile.
        """
        try:
            reason = self._watch(seconds, watches)
        except BaseException:
            self._end()
            raise
        status = self._end()
        return Ending(reason=reason or _how(status), frames=self._frames())

    def close(self) -> None:
        """Let go of the files."""
        self.notes.close()
        self.stacks.close()

    def _watch(self, seconds: float, watches: list[Watch]) -> str:
        started = self._look_around()
        began = time.monotonic()
        look_again = began + _LOOK
        with _end_of(self.pid) as ended:
            while not ended(_TICK):
                now = time.monotonic()
                if now >= look_again:
                    # What it costs is processor time: on a busy machine, much more time passes.
                    before = time.thread_time()
                    started = self._look_around()
                    look_again = time.monotonic() + max(_LOOK, 10 * (time.thread_time() - before))
                if len(started) > MOST_PROCESSES:
                    return f"started more than {MOST_PROCESSES} processes"
                reason = next((why for watch in watches if (why := watch.look(self.pid, started))), None)
                if reason:
                    self._ask_for_stack(_SHORTLY)
                    return reason
                if seconds and now - began > seconds:
                    self._ask_for_stack(_DUMP_SECONDS)
                    return f"did not end within {seconds:g} s of real time"
        return ""

    def _look_around(self) -> list[int]:
        found = descendants(self.pid)
        for pid in found:
            self._known.setdefault(pid, _born(pid))
        return found

    def _ask_for_stack(self, seconds: float) -> None:
        """Have the child write where it is: Python's handler does so from C, whoever holds the GIL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
        written, before, until = 0, -1, time.monotonic() + seconds
        while (written == 0 or written != before) and time.monotonic() < until:
            time.sleep(seconds / 100)
            before, written = written, os.fstat(self.stacks.fileno()).st_size

    def _end(self) -> int | None:
        """Kill what is left of the child and of all that it started, and give the child's exit status."""
        # While it has not been waited for, its id and that of its group belong to nobody else.
        over = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        for _ in range(_ROUNDS):
            # Those that were started while the others were killed are found in the next round.
            left = [] if over else descendants(self.pid)
            for pid in left:
                _kill(pid)
            if not left:
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _kill(self.pid)
        for pid, born in self._known.items():
            if born and _born(pid) == born:
                _kill(pid)
        try:
            return os.waitpid(self.pid, 0)[1]
        except ChildProcessError:  # somebody else has waited for it
            return None

    def _frames(self) -> Frames:
        self.stacks.seek(0)
        return frames(self.stacks.read().decode(errors="replace"))


def frames(dump: str) -> Frames:
    """The lines of the thread that a dump of ``faulthandler`` is about, innermost first."""
    threads: list[tuple[bool, list[tuple[str, int, str]]]] = []
    for line in dump.splitlines():
        if "(most recent call first)" in line:
            threads.append((line.startswith("Current thread"), []))
        elif threads and (match := _FRAME.match(line)):
            threads[-1][1].append((match["file"], int(match["line"]), match["function"]))
    current = [found for is_current, found in threads if is_current and found]
    return tuple((current or [found for _, found in threads[-1:]] or [[]])[0])


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and they, and so on; not those that have ended."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _search(pid)
    found: list[int] = []
    left = _children(pid)
    while left:
        each = left.pop()
        if each not in found:
            left += _children(each)
            if _runs(each):
                found.append(each)
    return found


def _children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads did."""
    found: list[int] = []
    # A process that ends meanwhile has none any more.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            # All processes there are would have to be read else, again and again.
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    return found


def _search(pid: int) -> list[int]:  # pragma: no cover - kernels without CONFIG_PROC_CHILDREN
    """The same, by looking at all processes there are."""
    import psutil

    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [each.pid for each in found if _runs(each.pid)]


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _settle_in(stacks: BinaryIO) -> None:
    """What a child does first."""
    os.setsid()
    with contextlib.suppress(OSError, AttributeError):
        # What it started and whose own parent ended stays a descendant, and is found at the end.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    faulthandler.enable(file=stacks, all_threads=True)
    faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True, chain=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


@contextlib.contextmanager
def _end_of(pid: int) -> Generator[Callable[[float], bool]]:
    """What waits so many seconds for a child and says whether it has ended; it leaves it to be waited for."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # pragma: no cover - kernels before 5.3
        yield lambda seconds: _has_ended(pid, seconds)
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _has_ended(pid: int, seconds: float) -> bool:  # pragma: no cover - kernels before 5.3
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
        return True
    time.sleep(seconds)
    return False


def _how(status: int | None) -> str:
    if status is None or status == 0:
        return ""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"was killed by {signal.Signals(number).name}"
        except ValueError:
            return f"was killed by signal {number}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _born(pid: int) -> float:
    """When a process was started, which tells it from a later one with its id; 0 if it is gone."""
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
