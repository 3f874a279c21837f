"""The report as annotations of lines on GitHub: workflow commands that the runner reads from the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_ralph.report.findings import Finding, causes, findings

# GitHub takes ten errors of a step, and drops the rest without a word.
MOST = 10
_LONGEST = 1_000


def render(report: Mapping[str, Any]) -> Iterator[str]:
    """One workflow command for each cause, ten at most.

    See the documentation of GitHub Actions, "Workflow commands", "Setting an error message".

    Args:
        report: From `model.build`.
    """
    lines = [
        *(_tampered(each) for each in report["integrity"]["changes"]),
        *(
            _command(group)
            for group in causes(findings(report["skills"], report["regressions"]))
            if group[0].status != "not_run"
        ),
    ]
    yield from lines if len(lines) <= MOST else lines[: MOST - 1]
    if len(lines) > MOST:
        yield f"::error title=pytest-ralph::{len(lines) - MOST + 1} more causes in the report"


def _tampered(change: Mapping[str, str]) -> str:
    return f"::error title=tampered::{_data(change['subject'] + ': ' + change['text'])}"


def _command(group: list[Finding]) -> str:
    first = group[0]
    location = first.evidence["location"]
    also = f" (and {len(group) - 1} more)" if group[1:] else ""
    properties = [f"title={_property(first.key + also)}"]
    if location:
        properties = [f"file={_property(location['file'])}", f"line={location['line']}", *properties]
    text = f"expected {first.evidence['expected']}; observed {first.evidence['observed']}"
    return f"::error {','.join(properties)}::{_data(text[:_LONGEST])}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
