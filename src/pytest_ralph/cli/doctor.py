"""Check that gates can be judged here."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_ralph.cli.shared import REPORT, Answer, UsageError, load, policy
from pytest_ralph.report import exits
from pytest_ralph.report.jsonfile import is_intact
from pytest_ralph.report.lock import FILE

EXAMPLES = """\
  pytest-ralph doctor
  pytest-ralph doctor --json"""

Check = tuple[str, bool, str]


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    checks = list(_checks(Path.cwd()))
    lines = [f"{'ok  ' if good else 'FAIL'} {name}: {told}" for name, good, told in checks]
    code = exits.GREEN if all(good for _, good, _ in checks) else exits.RED
    data = [{"check": name, "ok": good, "text": told} for name, good, told in checks]
    return Answer(data=data, lines=lines, code=code)


def _checks(root: Path) -> Iterator[Check]:
    version = platform.python_version()
    yield "python", sys.version_info >= (3, 10), f"{platform.python_implementation()} {version}"
    yield _collects(root)
    try:
        policy(root)
        yield "policy", True, "well-formed"
    except UsageError as error:
        yield "policy", False, str(error)
    yield _lock(root / FILE)
    yield _report(root / REPORT)


def _collects(root: Path) -> Check:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ralph", "--collect-only", "-q"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[-1]
    return "pytest --ralph", done.returncode == 0, last if done.returncode != 5 else "there is no gate"


def _lock(path: Path) -> Check:
    if not path.exists():
        return "lock", True, f"none; pytest-ralph lock writes {FILE}"
    try:
        tests = len(json.loads(path.read_text(encoding="utf-8"))["tests"])
    except (OSError, ValueError, KeyError, TypeError):
        return "lock", False, f"{FILE} cannot be read"
    return "lock", True, f"{tests} tests"


def _report(path: Path) -> Check:
    try:
        found = load(path)
    except UsageError:
        return "report", True, "none yet"
    intact = is_intact(found)
    return "report", intact, found["state"] if intact else "edited after it was written"
