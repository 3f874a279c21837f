"""Judge all gates, as pytest --ralph does, with output for agents and exit codes for loops."""

from __future__ import annotations

import argparse

from pytest_ralph.cli.shared import Answer, brief, pytest

EXAMPLES = """\
  pytest-ralph run
  pytest-ralph run tests/payments -n auto
  pytest-ralph run --json --ralph-skill retry"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("--human", action="store_true", help="show the matrix for people")
    command.add_argument("arguments", nargs="*", help="further arguments for pytest")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    output = "human" if options.human else "agent"
    done = pytest([f"--ralph-output={output}", *options.arguments])
    report = done.report
    data = {
        "code": done.verdict,
        **(brief(report) if report else {"state": "incomplete", "output": done.output}),
        "next_action": report["next_action"] if report else None,
    }
    return Answer(data=data, lines=[done.output.strip("\n")], code=done.verdict)
