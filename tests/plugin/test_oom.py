"""The fixture ``ralph_oom``: memory runs out in a block, and nowhere else."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Barrier, Thread

import numpy as np
import pytest

Oom = Callable[[object], AbstractContextManager[None]]


@pytest.mark.parametrize(
    "take",
    [
        lambda mib: b"x" * (mib << 20),
        lambda mib: np.ones((mib << 20) // 8),
        lambda mib: [b"y" * (1 << 20) for _ in range(mib)],
    ],
    ids=["block", "array", "blocks"],
)
def test_memory_runs_out_beyond_the_limit_and_not_below(ralph_oom: Oom, take: Callable[[int], object]):
    with ralph_oom("200 MiB"):
        assert take(100) is not None
        with pytest.raises(MemoryError):
            take(260)

    assert take(260) is not None


def _pieces(mib: int) -> list[bytes]:
    return [b"x" * 100_000 for _ in range(mib * 10)]


class _Threads:
    """Threads that call functions at the same time, and hold what these return until all have called them."""

    def __init__(self, number: int) -> None:
        self._step = Barrier(number + 1)
        self._function: Callable[[], object] | None = None
        self._ran_out: list[bool] = []
        for _ in range(number):
            Thread(target=self._work, daemon=True).start()

    def ran_out(self, function: Callable[[], object] | None) -> list[bool]:
        """Whether memory ran out for each; without a function they end."""
        self._function, self._ran_out = function, []
        for _ in range(3 if function else 1):
            self._step.wait(60)
        return self._ran_out

    def _work(self) -> None:
        while self._step.wait(60) >= 0 and self._function is not None:
            try:
                got = self._function()
            except MemoryError:
                got = None
            self._ran_out.append(got is None)
            self._step.wait(60)
            del got
            self._step.wait(60)


def test_what_was_freed_before_is_not_there_for_the_taking(ralph_oom: Oom):
    pieces = _pieces(300)
    kept = pieces[::50]
    del pieces  # the holes stay reserved
    with ralph_oom("200 MiB"):
        assert _pieces(150)
        with pytest.raises(MemoryError):
            _pieces(260)
    del kept


def test_what_threads_have_freed_before_is_not_there_for_the_taking(ralph_oom: Oom):
    # The C library has an arena for each thread. When threads end, others take them over.
    kept: list[bytes] = []

    def leave_holes() -> list[bytes]:
        pieces = _pieces(50)
        kept.extend(pieces[::50])
        return pieces

    before = _Threads(8)
    assert before.ran_out(leave_holes) == [False] * 8
    before.ran_out(None)
    with ralph_oom("200 MiB"):
        others = _Threads(8)
        assert others.ran_out(lambda: _pieces(10)) == [False] * 8
        assert any(others.ran_out(lambda: _pieces(50)))
    others.ran_out(None)


def test_a_block_within_another_may_not_take_more(ralph_oom: Oom):
    with ralph_oom("100 MiB"), ralph_oom("500 MiB"), pytest.raises(MemoryError):
        b"x" * (200 << 20)


def test_a_block_within_another_takes_nothing_of_what_that_one_may(ralph_oom: Oom):
    with ralph_oom("4 MiB"), ralph_oom("3 MiB"):
        assert b"x" * (2 << 20)


def test_the_limit_is_put_back_whatever_happens(ralph_oom: Oom):
    before = resource.getrlimit(resource.RLIMIT_DATA)

    with pytest.raises(MemoryError), ralph_oom("1 GiB"):
        b"x" * (2 << 30)

    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize(("limit", "error"), [("much", ValueError), (0, ValueError), (None, TypeError)])
def test_limits_are_checked(ralph_oom: Oom, limit: object, error: type[Exception]):
    with pytest.raises(error, match="limit must be"), ralph_oom(limit):
        pass
