"""Leaves nothing free in the allocators of a process, so that all that is used from then on is seen.

Memory that was used and is free again is still there: who takes it takes none from the system. It is given
back, as far as an allocator does that, and filled where it does not. Of the C libraries only GNU's keeps so
much; others have none of the functions for it.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import gc
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from pytest_ralph.world import real

# Sizes that Python's allocator of small objects keeps apart; the two smallest are not worth the trouble.
_SMALL = range(48, 513, 16)
_STEP = 128 * 1024
_STEPS = 4
_HEADER = b"".__sizeof__()

# See man 3 mallopt. Above the limit, what is free at the end of an arena is given back.
_M_TRIM_THRESHOLD = -1
_MOST_THRESHOLD = 64 * 1024**2
# Freeing so much has an arena look at its end, and so much is never mapped for itself.
_LOOKED_AT = 100 * 1024
# Seconds that a thread may take to do that, on a machine that has much else to do.
_PATIENCE = 5.0
# Pieces that free memory is taken up in: from the largest to the smallest that is worth the trouble, and so
# many for each arena.
_LARGEST, _SMALLEST = 2**30, 16 * 1024
_PIECES = 8192


def give_back() -> None:
    """Collect garbage, and give back what is free between other things."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def fill(used: Callable[[], int]) -> list[object]:
    """Leave nothing free, in a process of its own of which only this thread goes on.

    What is garbage there was made before, by others: the process that it was forked from tells of it.

    Args:
        used: How many bytes of memory the process has.

    Returns:
        What has to be held for so long.
    """
    with _unheard():
        give_back()
    with contextlib.suppress(AttributeError):
        _give_back_ends()
    return _fill_small(used)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Let nobody hear what garbage has to say when it is collected."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def occupied(reserved: Callable[[], int]) -> Iterator[None]:
    """Leave nothing free in a block, without touching it: what is used in it comes from the system.

    What is free between other things stays reserved, whatever is given back, and a limit for what a process
    reserves (``RLIMIT_DATA``) does not see it used again.

    Args:
        reserved: How many bytes count for that limit.
    """
    give_back()
    taken: list[Any] = []
    library = ctypes.PyDLL(None)  # keeps the lock of the interpreter: no other thread meets the shut limit
    try:
        with contextlib.suppress(AttributeError):
            library.malloc.restype = ctypes.c_void_p
            _take_up(library, reserved, taken)
        held = _fill_small(reserved)
        yield
        del held
    finally:
        for pieces in taken:
            for piece in filter(None, pieces):
                library.free(ctypes.c_void_p(piece))


def _take_up(library: Any, reserved: Callable[[], int], taken: list[Any]) -> None:
    """Take up what the C library keeps free, in each of its arenas."""

    def take() -> None:
        pieces = (ctypes.c_void_p * _PIECES)()
        taken.append(pieces)
        with _shut(reserved):
            _fill_arena(library, pieces)

    switching = sys.getswitchinterval()
    sys.setswitchinterval(_PATIENCE)
    try:
        take()
        _at_once(take, _arenas() - 1)
    finally:
        sys.setswitchinterval(switching)


@contextlib.contextmanager
def _shut(reserved: Callable[[], int]) -> Iterator[None]:
    """Let nothing come from the system in a block."""
    import resource  # not on every system

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (reserved(), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _fill_arena(library: Any, pieces: Any) -> None:
    """Take what is free in this thread's arena, while nothing comes from the system."""
    size, number = _LARGEST, 0
    while size >= _SMALLEST and number < len(pieces):
        piece = library.malloc(size)
        if piece is None:
            size //= 2
        else:
            pieces[number] = piece
            number += 1


def _fill_small(used: Callable[[], int]) -> list[object]:
    """Leave nothing free in Python's allocator of small objects. Returns what has to be held for so long."""
    held: list[object] = []
    for size in _SMALL:
        # The kernel counts in batches: one step may seem to take memory that it found, but several do not.
        seen = deque([used()], maxlen=_STEPS + 1)
        while seen[-1] - seen[0] < _STEP * _STEPS * 3 // 4:
            held.append([bytes(size - _HEADER) for _ in range(_STEP // size)])
            seen.append(used())
    return held


def _give_back_ends() -> None:
    """Give back what is free at the ends of the arenas that the C library has made for threads.

    `malloc_trim` does not do so. A thread takes up the arena of one that is no more, each another one.
    """
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.mallopt(_M_TRIM_THRESHOLD, 0)

    def look() -> None:
        library.free(ctypes.c_void_p(library.malloc(_LOOKED_AT)))

    look()
    _at_once(look, _arenas() - 1)
    # From now on the limit does not follow the largest block any more, up to this.
    library.mallopt(_M_TRIM_THRESHOLD, _MOST_THRESHOLD)


def _arenas() -> int:
    """How many arenas the C library has."""
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    told = os.memfd_create("arenas")
    try:
        stream = ctypes.c_void_p(library.fdopen(os.dup(told), b"w"))
        library.malloc_info(0, stream)
        library.fclose(stream)
        return os.pread(told, os.fstat(told).st_size, 0).count(b"<heap nr=")
    finally:
        os.close(told)


def _at_once(function: Callable[[], None], times: int) -> None:
    """Call a function in so many threads, of which none ends before all have called it."""
    bells = [(real.Bell(), real.Bell()) for _ in range(times)]

    def call(called: real.Bell, ended: real.Bell) -> None:
        function()
        called.ring()
        ended.wait(_PATIENCE)

    for pair in bells:
        _thread.start_new_thread(call, pair)
    for called, _ in bells:
        called.wait(_PATIENCE)
    for _, ended in bells:
        ended.ring()
