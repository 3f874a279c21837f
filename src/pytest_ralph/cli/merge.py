"""Make one report of those of several machines.

Each shard judges other files, such as `pytest --ralph tests/payments --ralph-report=payments.json`. The worst
status of a criterion wins, in whatever order the reports are given. A missing or incomplete shard, or another
lock, makes the whole incomplete; the policy is judged over the whole.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from pytest_ralph.cli.shared import Answer, brief, headline, load, policy
from pytest_ralph.core.skill import PHASES
from pytest_ralph.report import agent, exits, jsonfile
from pytest_ralph.report.merging import merge

EXAMPLES = """\
  pytest-ralph merge --expect 2 a.json b.json
  pytest-ralph merge --expect 4 --output report.json shards/*.json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("reports", type=Path, nargs="+", metavar="REPORT", help="the reports of the shards")
    command.add_argument(
        "--expect", type=int, metavar="N", help="how many there must be (default: those given)"
    )
    command.add_argument(
        "--output",
        type=Path,
        default=Path(".ralph/merged.json"),
        metavar="PATH",
        help="where the report goes",
    )


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    reports = [load(path) for path in options.reports if path.is_file() or options.expect is None]
    if not reports:
        line = f"incomplete: none of {options.expect} shards is there"
        return Answer(data={"state": "incomplete"}, lines=[line], code=exits.INCOMPLETE)
    edited = not all(jsonfile.is_intact(each) for each in reports)
    merged = merge(
        reports,
        expected=options.expect or len(reports),
        policy=policy(Path.cwd()),
        today=dt.datetime.now(dt.timezone.utc).date(),
        order=PHASES.index,
    )
    merged["run"]["digest"] = jsonfile.digest(merged)
    jsonfile.write(merged, options.output)
    lines = [headline(merged), *agent.render(merged, str(options.output))]
    lines += ["tampered: a report was edited after it was written"] if edited else []
    code = exits.TAMPERED if edited else exits.code(merged)
    return Answer(data={**brief(merged), "left_out": merged["left_out"]}, lines=lines, code=code)
