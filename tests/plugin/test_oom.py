"""The fixture ``ralph_oom``: memory runs out in a block, and nowhere else."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import AbstractContextManager

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


def test_a_block_within_another_may_not_take_more(ralph_oom: Oom):
    with ralph_oom("100 MiB"), ralph_oom("500 MiB"), pytest.raises(MemoryError):
        b"x" * (200 << 20)


def test_the_limit_is_put_back_whatever_happens(ralph_oom: Oom):
    before = resource.getrlimit(resource.RLIMIT_DATA)

    with pytest.raises(MemoryError), ralph_oom("1 GiB"):
        b"x" * (2 << 30)

    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize(("limit", "error"), [("much", ValueError), (0, ValueError), (None, TypeError)])
def test_limits_are_checked(ralph_oom: Oom, limit: object, error: type[Exception]):
    with pytest.raises(error, match="limit must be"), ralph_oom(limit):
        pass
