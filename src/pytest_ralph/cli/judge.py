"""Judge the statistics of a load test by the criteria of the skill latency.

The file is what `locust --csv PREFIX` writes as PREFIX_stats.csv, or what `locust --json` and `--json-file`
write, on one machine or as the master of many. Budgets that are not given come from the table
[tool.ralph.defaults.latency]. Without --name or --each, all requests are judged together.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_ralph.cli.shared import Answer, UsageError, policy
from pytest_ralph.core import locust
from pytest_ralph.core.latency import PERCENTILES
from pytest_ralph.core.locust import NotLocustError, Statistics
from pytest_ralph.core.quantity import number, seconds
from pytest_ralph.core.skill import Status
from pytest_ralph.report import exits

EXAMPLES = """\
  pytest-ralph judge locust run_stats.csv --p95 "100 ms" --p99 "300 ms"
  pytest-ralph judge locust run.json --name "POST /charges" --p95 "100 ms" --max-error-rate 0.01
  pytest-ralph judge locust run_stats.csv --each --max "2 s" --json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("tool", choices=("locust",), help="what has written the file")
    command.add_argument("file", type=Path, metavar="FILE", help="the statistics, as CSV or JSON")
    for name, percent in PERCENTILES.items():
        who = "every request" if percent == 100 else f"{percent} %% of the requests"
        command.add_argument(f"--{name}", metavar="DURATION", help=f'budget for {who}, such as "100 ms"')
    command.add_argument(
        "--max-error-rate", metavar="FRACTION", help="which fraction of the requests may fail (default: 0)"
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        help='the request to be judged, such as "POST /charges" or "/charges"; may be given again',
    )
    which.add_argument("--each", action="store_true", help="judge each request, and not all together")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    budgets, rate = _budgets(options)
    statistics = _read(options.file)
    chosen = _chosen(statistics, options)
    judged = [_judged(each, budgets, rate) for each in chosen]
    gate = _gate(judged)
    code = {"pass": exits.GREEN, "fail": exits.RED, "incomplete": exits.NOTHING}[gate]
    return Answer(
        data={"gate": gate, "file": str(options.file), "requests": judged},
        lines=list(_lines(judged, gate)),
        code=code,
    )


def _gate(judged: Sequence[dict[str, Any]]) -> str:
    statuses = {criterion["status"] for each in judged for criterion in each["criteria"]}
    if not statuses:
        return "incomplete"
    # Of a request that was never made nothing is known.
    return "pass" if statuses == {str(Status.PASS)} and all(each["criteria"] for each in judged) else "fail"


def _budgets(options: argparse.Namespace) -> tuple[dict[str, float], float]:
    defaults = policy(Path.cwd()).defaults.get("latency", {})
    given = {name: getattr(options, name) for name in PERCENTILES if getattr(options, name) is not None}
    given = given or {name: defaults[name] for name in PERCENTILES if name in defaults}
    if not given:
        raise UsageError('there is no budget: give one, such as --p95 "100 ms"')
    rate = options.max_error_rate
    try:
        budgets = {
            name: seconds(_numeric(value), name=f"--{name}", exclusive=True) for name, value in given.items()
        }
        rate = _numeric(defaults.get("max_error_rate", 0) if rate is None else rate)
        return budgets, number(rate, name="--max-error-rate", maximum=1)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None


def _numeric(value: Any) -> Any:
    """A number where the command line has its text."""
    try:
        return float(value)
    except ValueError:
        return value


def _read(path: Path) -> tuple[Statistics, ...]:
    # What --csv was given is the beginning of the file's name.
    beside = Path(f"{path}_stats.csv")
    path = beside if not path.exists() and beside.exists() else path
    try:
        return locust.read(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    except (NotLocustError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a file of statistics from Locust: {error}") from None


def _chosen(statistics: tuple[Statistics, ...], options: argparse.Namespace) -> list[Statistics]:
    *kinds, together = statistics
    if options.each:
        return kinds
    found = []
    for name in options.name or ():
        mine = [each for each in kinds if name in (each.name, each.name.partition(" ")[2])]
        if not mine:
            raise UsageError(
                f"there is no request {name!r}; there are {', '.join(each.name for each in kinds)}"
            )
        found += [each for each in mine if each not in found]
    return found or [together]


def _judged(statistics: Statistics, budgets: dict[str, float], rate: float) -> dict[str, Any]:
    verdicts = locust.judge(statistics, budgets, rate) if statistics.requests else ()
    return {
        "name": statistics.name,
        "requests": statistics.requests,
        "failures": statistics.failures,
        "criteria": [
            {"id": id_, "status": str(each.status), "expected": each.expected, "observed": each.observed}
            for id_, each in verdicts
        ],
    }


def _lines(judged: Iterable[dict[str, Any]], gate: str) -> Iterable[str]:
    for each in judged:
        yield f"{each['name']}: {each['requests']} requests, {each['failures']} failed"
        for criterion in each["criteria"]:
            yield f"  {criterion['status'].replace('_', ' '):13} {criterion['id']}: {criterion['observed']}"
            if criterion["status"] != str(Status.PASS):
                yield f"  {'':13} expected: {criterion['expected']}"
        if not each["criteria"]:
            yield "  not run       no request was made"
    yield f"gate: {gate.upper()}" if gate != "incomplete" else "nothing was judged: no request was made"
