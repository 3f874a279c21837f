"""The statistics of a load test with Locust, read and judged: text in, verdicts out.

What Locust 2 writes with ``--csv`` (the file that ends with ``_stats.csv``), ``--json`` and ``--json-file``,
on one machine or as the master of many. Locust is not imported, and files are not read here.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.latency import PERCENTILES, fewest, found, statement
from pytest_ralph.core.quantity import duration, times
from pytest_ralph.core.skill import Status, Verdict

TOTAL = "Aggregated"
"""What Locust calls all requests together."""

_COLUMNS = ("Type", "Name", "Request Count", "Failure Count", "Max Response Time")
_FIELDS = ("name", "method", "num_requests", "num_failures", "max_response_time", "response_times")
# Other files of the same run, by a column that only they have.
_OTHERS = {"Timestamp": "the history", "Occurrences": "the failures", "Traceback": "the exceptions"}


class NotLocustError(ValueError):
    """A text is not what Locust writes."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What Locust counted of one kind of request, or of all.

    Attributes:
        name: Method and name, such as ``POST /charges``; ``Aggregated`` for all together.
        requests: How many were made.
        failures: How many of them failed.
        longest: Milliseconds that the slowest took.
        shares: Milliseconds that so many percent of the requests did not exceed, in order.
        whole: Whether these are all times that were counted, and not only some shares.
    """

    name: str
    requests: int
    failures: int
    longest: float
    shares: tuple[tuple[float, float], ...]
    whole: bool = False

    def at(self, percent: float) -> float | None:
        """Milliseconds that at least so many percent did not exceed, from the next share that is known."""
        return next((took for share, took in self.shares if share >= percent - 1e-9), None)


def read(text: str) -> tuple[Statistics, ...]:
    """Read statistics.

    Args:
        text: A file of CSV or JSON.

    Returns:
        Those of each kind of request, and of all together as the last.

    Raises:
        NotLocustError: It is something else.

    Example:
        >>> read("[]")[-1].requests
        0
    """
    try:
        found_ = _of_json(json.loads(text)) if text.lstrip().startswith("[") else _of_csv(text)
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        if isinstance(error, NotLocustError):
            raise
        raise NotLocustError(f"it is damaged: {type(error).__name__}: {error}") from error
    for each in found_:
        if not 0 <= each.failures <= each.requests:
            raise NotLocustError(
                f"it is damaged: {each.name} has {each.failures} failures of {each.requests} requests"
            )
    return found_


def _of_csv(text: str) -> tuple[Statistics, ...]:
    rows = csv.DictReader(io.StringIO(text))
    columns = rows.fieldnames or ()
    for column, what in _OTHERS.items():
        if column in columns:
            raise NotLocustError(f"it holds {what} of a run; give the file that ends with _stats.csv")
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise NotLocustError(f"it has no column {missing[0]!r}")
    shares = [(float(column[:-1]), column) for column in columns if column.endswith("%")]
    found_ = [
        Statistics(
            name=f"{row['Type']} {row['Name']}".strip(),
            requests=int(row["Request Count"]),
            failures=int(row["Failure Count"]),
            longest=float(row["Max Response Time"]),
            shares=tuple((share, float(row[column])) for share, column in shares if row[column] != "N/A"),
        )
        for row in rows
    ]
    if not found_ or found_[-1].name != TOTAL:
        raise NotLocustError(f"it has no row {TOTAL!r} at its end: was the run cut short?")
    return tuple(found_)


def _of_json(entries: Sequence[Any]) -> tuple[Statistics, ...]:
    for entry in entries:
        if not isinstance(entry, dict):
            raise NotLocustError(f"it holds {entry!r}, and no statistics of a request")
        if missing := [field for field in _FIELDS if field not in entry]:
            raise NotLocustError(f"it has no {missing[0]!r}")
    counted = [{int(took): int(count) for took, count in each["response_times"].items()} for each in entries]
    for entry, counts in zip(entries, counted, strict=True):
        timed = int(entry["num_requests"]) - int(entry.get("num_none_requests", 0))
        if sum(counts.values()) != timed:
            raise NotLocustError(
                f"it is damaged: {entry['name']} has {sum(counts.values())} times of {timed} requests"
            )
    together: dict[int, int] = {}
    for counts in counted:
        for took, count in counts.items():
            together[took] = together.get(took, 0) + count
    found_ = [
        Statistics(
            name=f"{entry['method'] or ''} {entry['name']}".strip(),
            requests=int(entry["num_requests"]),
            failures=int(entry["num_failures"]),
            longest=float(entry["max_response_time"]),
            shares=_shares(counts),
            whole=True,
        )
        for entry, counts in zip(entries, counted, strict=True)
    ]
    total = Statistics(
        name=TOTAL,
        requests=sum(each.requests for each in found_),
        failures=sum(each.failures for each in found_),
        longest=max((each.longest for each in found_), default=0.0),
        shares=_shares(together),
        whole=True,
    )
    return (*found_, total)


def _shares(counts: Mapping[int, int]) -> tuple[tuple[float, float], ...]:
    total, so_far = sum(counts.values()), 0
    found_ = []
    for took, count in sorted(counts.items()):
        so_far += count
        found_.append((100 * so_far / total, float(took)))
    return tuple(found_)


def judge(
    statistics: Statistics, budgets: Mapping[str, float], max_error_rate: float
) -> Iterable[tuple[str, Verdict]]:
    """Judge what was counted by the criteria of the skill ``latency``.

    Args:
        statistics: What was counted, of at least one request.
        budgets: Seconds by percentile, see `core.latency.PERCENTILES`.
        max_error_rate: Which fraction of the requests may fail, from 0 to 1.

    Returns:
        The id of each criterion with its verdict.
    """
    for name in PERCENTILES:
        if name in budgets:
            yield f"latency.{name}", _percentile(statistics, name, budgets[name])
    yield "latency.error-rate", _errors(statistics, max_error_rate)


def _percentile(statistics: Statistics, name: str, budget: float) -> Verdict:
    percent, requests = PERCENTILES[name], times(statistics.requests, "request")
    expected = statement(name, budget, requests)
    if statistics.requests < fewest(percent):
        reason = f"{requests}: {name} needs at least {fewest(percent)}"
        return Verdict(status=Status.NOT_EXERCISED, expected=expected, observed=reason)
    if name == "max":
        longest = statistics.longest / 1000
        status = Status.PASS if longest <= budget else Status.FAIL
        return Verdict(status=status, expected=expected, observed=found(name, longest, requests))
    took = statistics.at(percent)
    # Nothing tells how long those that failed took: perhaps no time at all, and then the others are judged.
    failed = 100 * statistics.failures / statistics.requests
    at_most = statistics.at(failed + percent * (100 - failed) / 100)
    if took is None or at_most is None or not (statistics.whole or percent in dict(statistics.shares)):
        return Verdict(
            status=Status.NOT_EXERCISED,
            expected=expected,
            observed=f"the file does not hold {percent} %: it has {_held(statistics)}",
        )
    observed = found(name, took / 1000, requests)
    if _bounds(took)[0] / 1000 > budget:
        return Verdict(status=Status.FAIL, expected=expected, observed=observed)
    if _bounds(at_most)[1] / 1000 <= budget:
        return Verdict(status=Status.PASS, expected=expected, observed=observed)
    return Verdict(
        status=Status.NOT_EXERCISED,
        expected=expected,
        observed=f"{observed}; {_doubt(statistics, took, at_most)}",
    )


def _doubt(statistics: Statistics, took: float, at_most: float) -> str:
    if at_most > took:
        return (
            f"{times(statistics.failures, 'request')} failed, and if those were the fastest, it is up to "
            f"{duration(_bounds(at_most)[1] / 1000)} of the others"
        )
    low, high = _bounds(took)
    return f"Locust rounds: it is from {duration(low / 1000)} to {duration(high / 1000)}"


def _bounds(took: float) -> tuple[float, float]:
    """What a time may have been before Locust rounded it, to two figures or whole milliseconds."""
    unit = 10 ** max(0, math.floor(math.log10(took)) - 1) if took >= 100 else 1
    return took - (unit if took > 100 else 1) / 2, took + unit / 2


def _held(statistics: Statistics) -> str:
    return ", ".join(f"{share:g} %" for share, _ in statistics.shares) or "none"


def _errors(statistics: Statistics, max_error_rate: float) -> Verdict:
    requests = times(statistics.requests, "request")
    allowed = f"at most {max_error_rate * 100:g} %" if max_error_rate else "none"
    within = statistics.failures <= max_error_rate * statistics.requests
    return Verdict(
        status=Status.PASS if within else Status.FAIL,
        expected=f"{allowed} of {requests} fail{'' if max_error_rate else 's'}",
        observed=f"{statistics.failures} of {requests} failed",
    )
