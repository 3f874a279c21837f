"""Say what changed from one report to another."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_ralph.cli.shared import Answer, load, verdict
from pytest_ralph.report.findings import keyed

EXAMPLES = """\
  pytest-ralph diff main.json .ralph/report.json
  pytest-ralph diff --json a.json b.json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("before", type=Path, metavar="A", help="the earlier report")
    command.add_argument("after", type=Path, metavar="B", help="the later report")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    before, after = load(options.before), load(options.after)
    old, new = (
        {key: "error" if each is None else each["status"] for key, _, each in keyed(report["skills"])}
        for report in (before, after)
    )
    changed = [
        {"key": key, "before": old.get(key), "after": new.get(key)}
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    lines = [
        f"{each['key']}: {each['before'] or 'not there'} -> {each['after'] or 'gone'}" for each in changed
    ]
    return Answer(
        data={"before": before["state"], "after": after["state"], "changed": changed},
        lines=[f"{before['state']} -> {after['state']}", *(lines or ["no criterion changed"])],
        code=verdict(after),
    )
