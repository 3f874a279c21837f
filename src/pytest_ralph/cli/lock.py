"""Write ralph.lock: what a person agrees to, and what later runs are compared with.

Only a person should run it, look at the difference, and commit it.
"""

from __future__ import annotations

import argparse
import importlib.util

from pytest_ralph.cli.shared import Answer, UsageError, pytest
from pytest_ralph.report.lock import FILE

EXAMPLES = """\
  pytest-ralph lock && git diff ralph.lock"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    alone = ["-n0"] if importlib.util.find_spec("xdist") else []
    done = pytest(["--ralph-lock", "--collect-only", "-q", *alone], judges=False)
    (told,) = [line for line in done.output.splitlines() if line.startswith("locked ")] or [""]
    if done.code != 0 or not told:
        raise UsageError(f"nothing was locked:\n{done.output.strip()}")
    return Answer(data={"file": FILE, "text": told}, lines=[told])
