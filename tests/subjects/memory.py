"""Ways to use memory, a number of MiB of it at a time, and to give it back."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

MIB = 1024**2
_LEFT: list[object] = []
_FORK = multiprocessing.get_context("fork")


def one_block(mib: float) -> None:
    """One object, gone at once."""
    assert len(b"x" * int(mib * MIB))


def small_objects(mib: float) -> None:
    """Many objects of 64 bytes, with the list that holds them."""
    count = int(mib * MIB / (64 + 8))
    held: list[object] = [None] * count
    for number in range(count):
        held[number] = b"%031d" % number


def array(mib: float) -> None:
    """An array of numpy."""
    assert np.ones(int(mib * MIB) // 8).sum()


def _write(area: mmap.mmap) -> None:
    for position in range(0, len(area), mmap.PAGESIZE):
        area[position] = 1


def _touch(area: mmap.mmap) -> None:
    _write(area)
    area.close()


def private_map(mib: float) -> None:
    """A private map of no file."""
    _touch(mmap.mmap(-1, int(mib * MIB), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def shared_map(mib: float) -> None:
    """A shared map of no file."""
    _touch(mmap.mmap(-1, int(mib * MIB)))


def threads(mib: float) -> None:
    """Four threads that hold their part at the same time."""
    everybody = threading.Barrier(4)

    def work() -> None:
        held = b"x" * int(mib * MIB / 4)
        everybody.wait()
        assert held

    started = [threading.Thread(target=work) for _ in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()


def left_to_a_thread(mib: float) -> None:
    """In a thread that goes on when the call has returned."""

    def work() -> None:
        time.sleep(0.05)
        one_block(mib)

    threading.Thread(target=work, daemon=True).start()


def left_to_a_program(mib: float) -> None:
    """In another program that goes on when the call has returned."""
    code = f"held = b'x' * {int(mib * MIB)}; import time; time.sleep(60)"
    _LEFT.append(subprocess.Popen([sys.executable, "-S", "-c", code]))


def left_idle(mib: float) -> None:
    """A thread that waits for work for ever."""
    one_block(mib)
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def left_polling(mib: float) -> None:
    """A thread that looks for work for ever."""

    def work() -> None:
        while True:
            time.sleep(0.05)

    one_block(mib)
    threading.Thread(target=work, daemon=True).start()


def freed_peak(mib: float) -> None:
    """Half of it and half of it, and long gone when the call ends."""
    one = b"x" * int(mib * MIB / 2)
    other = b"y" * int(mib * MIB / 2)
    assert one != other
    del one, other
    time.sleep(0.01)


def child_process(mib: float) -> None:
    """A process that was forked, and that ends at once."""
    process = _FORK.Process(target=one_block, args=(mib,))
    process.start()
    process.join()


def child_and_self(mib: float) -> None:
    """Half of it here, and half of it in a process."""
    held = b"x" * int(mib * MIB / 2)
    child_process(mib / 2)
    assert held


def _hold(mib: float, everybody: object) -> None:
    held = b"x" * int(mib * MIB)
    everybody.wait()  # type: ignore[attr-defined]
    assert held


def child_processes(mib: float) -> None:
    """Three processes that hold a part of it at the same time."""
    # Where one of them is killed, the others do not wait for ever.
    everybody = _FORK.Barrier(3, timeout=10)
    started = [_FORK.Process(target=_hold, args=(mib / 3, everybody)) for _ in range(3)]
    for each in started:
        each.start()
    for each in started:
        each.join()


EVERY_WAY: Sequence[Callable[[float], None]] = (
    *(one_block, small_objects, array, private_map, shared_map, threads, freed_peak),
    *(child_process, child_and_self, child_processes),
)


def one_child_after_another(mib: float) -> None:
    """Three processes, each of which may use all of it."""
    for _ in range(3):
        child_process(mib)


def shared_with_a_child(mib: float) -> None:
    """All of it is written here, and again in a process, which has nothing of its own."""
    area = mmap.mmap(-1, int(mib * MIB))
    _write(area)
    process = _FORK.Process(target=_write, args=(area,))
    process.start()
    process.join()
    area.close()


def reserved(mib: float) -> None:
    """Much more is reserved than touched."""
    area = mmap.mmap(-1, int(mib * MIB) * 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area[0] = 1
    area.close()


def endless() -> None:
    """Never stops."""
    held = []
    while True:
        held.append(b"x" * MIB)


def grows_in_another_program() -> None:
    """A program of its own uses it."""
    program = "import time; x = b'x' * (80 << 20); time.sleep(1)"
    subprocess.run([sys.executable, "-c", program], check=True)


def _capped() -> bool:
    return resource.getrlimit(resource.RLIMIT_RSS)[0] != resource.RLIM_INFINITY


def modest_where_it_must_be() -> None:
    """Takes what there is, and asks how much that is."""
    one_block(10 if _capped() else 70)


def gives_up_where_memory_is_short() -> None:
    """Refuses to work with so little."""
    if _capped():
        raise RuntimeError("not enough memory")


def helper_is_killed() -> None:
    """Where memory is short it has a helper that uses too much of it, and can do without."""
    if _capped():
        process = _FORK.Process(target=_waits_after, args=(70,))
        process.start()
        process.join()


def _waits_after(mib: float) -> None:
    held = b"x" * int(mib * MIB)
    time.sleep(60)
    assert held


def reads_whole(path: str) -> int:
    """The careless way to count lines."""
    with open(path) as file:
        return len(file.readlines())


def reads_lines(path: str) -> int:
    """The other way."""
    with open(path) as file:
        return sum(1 for _ in file)


def file_of(mib: float) -> str:
    """A file of so many MiB of lines, in the working directory."""
    with tempfile.NamedTemporaryFile("w", dir=os.getcwd(), delete=False) as file:
        line = "x" * 99 + "\n"
        for _ in range(int(mib * MIB / len(line) / 1000)):
            file.write(line * 1000)
    return file.name
