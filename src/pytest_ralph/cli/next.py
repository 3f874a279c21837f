"""Print the one thing to do next, whole."""

from __future__ import annotations

import argparse

from pytest_ralph.cli.shared import Answer, load, takes_report, verdict

EXAMPLES = """\
  pytest-ralph next
  pytest-ralph next --json | jq -r .prompt"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    takes_report(command)


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    report = load(options.report)
    action = report["next_action"]
    lines = ["nothing is left to do"] if action is None else [action["prompt"], "", action["rerun"]]
    return Answer(data=action, lines=lines, code=verdict(report))
