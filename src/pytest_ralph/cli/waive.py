"""Add a waiver to the policy: a criterion that need not hold until a day.

A waiver is agreed upon by a person: where there is a lock, run pytest-ralph lock after it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pytest_ralph.cli.shared import Answer, UsageError, policy
from pytest_ralph.report import policyfile
from pytest_ralph.report.jsonfile import replace

EXAMPLES = """\
  pytest-ralph waive payments retry.backoff --reason "gateway is replaced" --owner ann --expires 2031-07-31"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("feature")
    command.add_argument("criterion", help="id of a criterion such as retry.backoff, or of a skill")
    command.add_argument("--reason", required=True, help="why it need not hold")
    command.add_argument("--owner", required=True, help="who answers for it")
    command.add_argument("--expires", required=True, metavar="DATE", help="the last day, such as 2031-07-31")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    root = Path.cwd()
    policy(root)
    own, shared = root / policyfile.OWN, root / policyfile.SHARED
    path = own if own.exists() or not shared.exists() else shared
    table = "waivers" if path == own else "tool.ralph.waivers"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    keys = ("feature", "criterion", "reason", "owner", "expires")
    # A JSON string is a basic string of TOML.
    added = "".join(f"{key} = {json.dumps(getattr(options, key), ensure_ascii=False)}\n" for key in keys)
    gap = "\n" if before and not before.endswith("\n\n") else ""
    replace(path, f"{before.rstrip()}\n{gap}[[{table}]]\n{added}" if before else f"[[{table}]]\n{added}")
    try:
        policy(root)
    except UsageError:
        # What stood there before is put back: a wrong policy stops every run.
        if before:
            replace(path, before)
        else:
            path.unlink()
        raise
    text = f"waived {options.feature}/{options.criterion} until {options.expires} in {path.name}"
    return Answer(data={"file": path.name, "text": text}, lines=[text])
