"""Percentiles of latencies, and what they are compared with: plain numbers in, plain numbers and text out.

What is measured, and how, is no matter of this module: the same functions judge the calls of a test and the
statistics of a load test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pytest_ralph.core.quantity import duration

PERCENTILES: Mapping[str, int] = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
"""What a budget may be given for, in order, with the share of calls in percent that must keep it."""

_ROWS = 8
_WIDTH = 30


def nearest_rank(values: Iterable[float], percent: int) -> float:
    """The smallest value that at least so many percent of all values do not exceed.

    This is the percentile by nearest rank: always a value that was measured, never one between two of them.

    Args:
        values: At least one value.
        percent: From 1 to 100; 100 gives the largest.

    Example:
        >>> nearest_rank([15, 20, 35, 40, 50], 50), nearest_rank(range(1, 21), 95), nearest_rank([3, 1], 100)
        (35, 19, 3)
    """
    ordered = sorted(values)
    # In whole numbers: 0.95 * 20 is a little more than 19.
    return ordered[-(-percent * len(ordered) // 100) - 1]


def fewest(percent: int) -> int:
    """How many values a percentile needs, to be more than another name for the largest of them.

    Example:
        >>> [fewest(percent) for percent in PERCENTILES.values()]
        [2, 10, 20, 100, 1]
    """
    return 1 if percent == 100 else math.ceil(100 / (100 - percent))


def mean_of(budgets: Mapping[str, float]) -> float:
    """The mean latency in seconds of calls that just keep each of their budgets.

    Args:
        budgets: Seconds by percentile, at least one. What exceeds the highest is taken to be no longer.

    Example:
        >>> mean_of({"p95": 0.1}), mean_of({"p50": 0.1, "p99": 0.3})
        (0.1, 0.2)
    """
    mean, before, budget = 0.0, 0, 0.0
    for name, percent in PERCENTILES.items():
        if name in budgets:
            budget = budgets[name]
            mean += (percent - before) * budget
            before = percent
    return round((mean + (100 - before) * budget) / 100, 9)


def in_turn(arrivals: Sequence[float], work: Sequence[float]) -> list[float]:
    """How long each of several callers takes who need the same thing one after another (Lindley, 1952).

    Args:
        arrivals: When each comes, in seconds, in order.
        work: For how many seconds each needs it.

    Returns:
        Seconds from the arrival until the work is done.

    Example:
        >>> in_turn([0.0, 0.0, 5.0], [1.0, 2.0, 1.0])
        [1.0, 3.0, 1.0]
    """
    free = -math.inf
    found = []
    for arrival, needed in zip(arrivals, work, strict=True):
        free = max(arrival, free) + needed
        found.append(free - arrival)
    return found


def statement(name: str, budget: float, calls: str) -> str:
    """A budget in words.

    Example:
        >>> statement("p95", 0.1, "200 calls"), statement("max", 0.1, "200 calls")
        ('95 % of 200 calls end within 100 ms', 'each of 200 calls ends within 100 ms')
    """
    if name == "max":
        return f"each of {calls} ends within {duration(budget)}"
    return f"{PERCENTILES[name]} % of {calls} end within {duration(budget)}"


def found(name: str, value: float, calls: str) -> str:
    """A measured percentile in words.

    Example:
        >>> found("p95", 0.45, "200 calls"), found("max", 2, "200 calls")
        ('the 95th percentile of 200 calls is 450 ms', 'the slowest of 200 calls took 2 s')
    """
    if name == "max":
        return f"the slowest of {calls} took {duration(value)}"
    return f"the {PERCENTILES[name]}th percentile of {calls} is {duration(value)}"


def histogram(values: Sequence[float]) -> list[str]:
    """Latencies as lines of text: how many of them lie up to each of a few bounds.

    Args:
        values: Seconds, at least one.

    Example:
        >>> for line in histogram([0.05] * 15 + [0.1] * 5):
        ...     print(line)
        up to 56.2 ms | ############################## 15
        up to 62.5 ms | 0
        up to 68.8 ms | 0
        up to 75 ms   | 0
        up to 81.2 ms | 0
        up to 87.5 ms | 0
        up to 93.8 ms | 0
        up to 100 ms  | ########## 5
    """
    low, high = min(values), max(values)
    rows = _ROWS if high > low else 1
    bounds = [low + (high - low) * (row + 1) / rows for row in range(rows)]
    counts = [0] * rows
    for value in values:
        row = math.ceil((value - low) / (high - low) * rows) - 1 if high > low else 0
        counts[min(max(row, 0), rows - 1)] += 1
    names = [f"up to {_bound(bound)}" for bound in bounds]
    width, most = max(map(len, names)), max(counts)
    bars = ["#" * math.ceil(count / most * _WIDTH) for count in counts]
    return [
        f"{name:{width}} | {bar} {count}" if bar else f"{name:{width}} | {count}"
        for name, bar, count in zip(names, bars, counts, strict=True)
    ]


def _bound(value: float) -> str:
    """A bound with three figures: neighbours must not look alike."""
    if value < 1:
        return f"{float(f'{value * 1000:.3g}'):g} ms"
    return f"{float(f'{value:.3g}'):g} s"
