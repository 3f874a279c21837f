"""Show a failure with all its evidence, or all failures."""

from __future__ import annotations

import argparse

from pytest_ralph.cli.shared import Answer, UsageError, load, of_report, takes_report, verdict
from pytest_ralph.report.findings import Finding

EXAMPLES = """\
  pytest-ralph show
  pytest-ralph show payments/retry.backoff
  pytest-ralph show 3f9a1c"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("id", nargs="?", help="feature/criterion, criterion, or the start of a fingerprint")
    takes_report(command)


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    report = load(options.report)
    found = select(of_report(report), options.id)
    if not found and options.id is None:
        return Answer(data=[], lines=["nothing fails"], code=verdict(report))
    lines = [line for each in found for line in _lines(each, whole=options.id is not None)]
    return Answer(data=[_data(each) for each in found], lines=lines, code=verdict(report))


def select(found: list[Finding], wanted: str | None) -> list[Finding]:
    """The failures that are meant; all of them if none is named.

    Raises:
        UsageError: There is no such failure.
    """
    if wanted is None:
        return found
    chosen = [
        each for each in found if wanted in (each.key, each.criterion) or each.fingerprint.startswith(wanted)
    ]
    if not chosen:
        known = ", ".join(each.key for each in found[:10]) or "none"
        raise UsageError(f"nothing that fails is called {wanted}; there are: {known}")
    return chosen


def _lines(finding: Finding, *, whole: bool) -> list[str]:
    evidence = finding.evidence
    flag = "regressed, " if finding.regressed else ""
    lines = [f"{finding.key} ({flag}{finding.status}, {finding.fingerprint})"]
    location = evidence["location"]
    facts = {
        "expected": evidence["expected"],
        "observed": evidence["observed"],
        "scenario": evidence["scenario"],
        "where": "{file}:{line} in {function}".format(**location) if location else "",
    }
    lines += [f"  {name:9}{value}" for name, value in facts.items() if value]
    if whole:
        lines += [
            f"  {'evidence' if not number else '':9}{each}"
            for number, each in enumerate(evidence["timeline"])
        ]
        lines += [f"  {'todo':9}{finding.prompt}"]
    return lines


def _data(finding: Finding) -> dict[str, object]:
    return {
        "key": finding.key,
        "status": finding.status,
        "fingerprint": finding.fingerprint,
        "regressed": finding.regressed,
        "evidence": dict(finding.evidence),
        "prompt": finding.prompt,
    }
