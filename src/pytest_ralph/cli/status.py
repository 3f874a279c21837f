"""Say how the last run ended."""

from __future__ import annotations

import argparse

from pytest_ralph.cli.shared import Answer, brief, headline, load, of_report, takes_report, verdict
from pytest_ralph.report.jsonfile import is_intact

EXAMPLES = """\
  pytest-ralph status
  pytest-ralph status --json --report build/report.json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    takes_report(command)


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    report = load(options.report)
    lines = [headline(report)]
    if not is_intact(report):
        lines.insert(0, f"tampered: {options.report} was edited after it was written")
    lines += [f"left out: {', '.join(report['left_out'])}"] if report["left_out"] else []
    lines += [f"tampered: {each['subject']}: {each['text']}" for each in report["integrity"]["changes"]]
    lines += [f"policy: {each['subject']} {each['text']}" for each in report["policy"]]
    lines += [
        f"{each.fingerprint} {'regressed ' if each.regressed else ''}{each.status} {each.key}"
        for each in of_report(report)
    ]
    return Answer(data={**brief(report), "intact": is_intact(report)}, lines=lines, code=verdict(report))
