"""What the commands share: answers, reading reports and policies, running pytest."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ralph.core.policy import Policy, PolicyError
from pytest_ralph.core.registry import Registry, builtin
from pytest_ralph.report import exits, jsonfile, policyfile
from pytest_ralph.report.findings import Finding, findings
from pytest_ralph.report.model import SCHEMA

REPORT = ".ralph/report.json"


class UsageError(Exception):
    """The command was given something that makes no sense."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command has to say.

    Attributes:
        data: For ``--json``.
        lines: For people.
        code: The exit code.
    """

    data: Any = None
    lines: Sequence[str] = ()
    code: int = exits.GREEN


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a run of pytest.

    Attributes:
        code: The exit code of pytest.
        output: What it printed.
        report: The report; None if it wrote none.
    """

    code: int
    output: str
    report: dict[str, Any] | None = field(default=None)

    @property
    def verdict(self) -> int:
        """The exit code: by the report, for that of pytest can be changed by any hook."""
        if self.report is not None and not jsonfile.is_intact(self.report):
            return exits.TAMPERED
        if self.report is not None:
            return exits.code(self.report)
        return {4: exits.USAGE, 5: exits.NOTHING}.get(self.code, exits.INCOMPLETE)


def takes_report(command: argparse.ArgumentParser) -> None:
    """Let a command take the path of a report."""
    command.add_argument(
        "--report", type=Path, default=Path(REPORT), metavar="PATH", help=f"the report (default: {REPORT})"
    )


def load(path: Path) -> dict[str, Any]:
    """Read a report.

    Raises:
        UsageError: There is none, or it is not one.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no report at {path}: run pytest --ralph first") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a report of pytest-ralph")
    return found


def verdict(report: Mapping[str, Any]) -> int:
    """The exit code for a report that was read from a file."""
    return exits.code(report) if jsonfile.is_intact(report) else exits.TAMPERED


def of_report(report: Mapping[str, Any]) -> list[Finding]:
    """What a report finds wanting, in the order of repair."""
    return findings(report["skills"], report["regressions"])


def registry() -> Registry:
    """The skills there are."""
    return Registry(builtin())


def policy(root: Path) -> Policy:
    """The policy of a project.

    Raises:
        UsageError: Something in it makes no sense.
    """
    try:
        return policyfile.load(root, registry().ids)
    except PolicyError as error:
        raise UsageError(str(error)) from None


def pytest(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    show: bool = False,
    judges: bool = True,
) -> Run:
    """Run ``pytest --ralph`` in a process of its own.

    Args:
        arguments: Further arguments.
        folder: Where; here if None.
        environment: Variables to be set besides.
        show: Whether its output is shown as it comes.
        judges: Whether there will be a report, in place of the one that there is.
    """
    where = folder or Path.cwd()
    path = where / REPORT
    if judges:
        path.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ralph", f"--ralph-report={path}", *arguments],
        cwd=where,
        env={**os.environ, **(environment or {})},
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )
    report = load(path) if judges and path.is_file() else None
    return Run(code=done.returncode, output=done.stdout or "", report=report)


def brief(report: Mapping[str, Any]) -> dict[str, Any]:
    """The most important of a report."""
    return {
        key: report[key]
        for key in ("gate", "state", "complete", "full", "summary", "integrity", "policy", "regressions")
    }


def headline(report: Mapping[str, Any]) -> str:
    """The verdict and the counts on one line."""
    counts = ", ".join(f"{number} {name}" for name, number in report["summary"].items() if number)
    return f"{report['state']}: gate {report['gate']} ({counts})"
