"""Note that a failure is held for wrong, so that a person decides and the loop goes on with the next one.

It makes nothing green. When all that is left is disputed, the state is blocked_on_human.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_ralph.cli.shared import Answer, UsageError, load, of_report, takes_report
from pytest_ralph.cli.show import select
from pytest_ralph.report.history import Dispute, History

EXAMPLES = """\
  pytest-ralph dispute payments/retry.backoff --reason "the service allows no retries"
  pytest-ralph dispute payments/retry.backoff --withdraw
  pytest-ralph dispute"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("id", nargs="?", help="feature/criterion or fingerprint; without it, all are listed")
    command.add_argument("--reason", help="why it is held for wrong")
    command.add_argument("--withdraw", action="store_true", help="take the dispute back")
    takes_report(command)


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    history = History(Path.cwd())
    if options.id is None:
        found = history.disputes()
        lines = [f"{each.fingerprint} {each.key}: {each.reason}" for each in found] or ["nothing is disputed"]
        return Answer(data=[vars(each) for each in found], lines=lines)
    (finding, *others) = select(of_report(load(options.report)), options.id)
    if others:
        raise UsageError(f"{options.id} means several: {', '.join(each.key for each in (finding, *others))}")
    if options.withdraw:
        if not history.withdraw(finding.fingerprint):
            raise UsageError(f"{finding.key} is not disputed")
        return Answer(data={"withdrawn": finding.key}, lines=[f"{finding.key} is no longer disputed"])
    if not (options.reason or "").strip():
        raise UsageError("--reason: why is it wrong?")
    history.dispute(Dispute(key=finding.key, fingerprint=finding.fingerprint, reason=options.reason.strip()))
    return Answer(
        data={"disputed": finding.key},
        lines=[f"{finding.key} is disputed: a person has to decide. Run pytest --ralph for what is next."],
    )
