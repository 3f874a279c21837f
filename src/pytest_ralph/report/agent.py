"""The report for an agent's context window: the verdict, what fails, and exactly one thing to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 12


def render(report: Mapping[str, Any], path: str) -> Iterator[str]:
    """The report as few lines of text.

    Args:
        report: From `model.build`.
        path: Where the JSON report is.
    """
    summary = report["summary"]
    counts = " ".join(f"{name}={number}" for name, number in summary.items() if number)
    complete = str(report["complete"]).lower()
    yield f"ralph gate={report['gate']} state={report['state']} complete={complete} {counts}"
    bad = [
        (skill, criterion)
        for skill in report["skills"]
        for criterion in skill["criteria"]
        if criterion["status"] not in ("pass", "waived", "not_run") and "problem" not in skill
    ]
    for skill in report["skills"]:
        if "problem" in skill:
            evidence = skill["problem"]["evidence"]
            yield f"error {skill['feature']}/{skill['id']}: healthy call fails: {evidence['observed']}"
    for skill, criterion in bad[:_MOST]:
        yield _line(skill, criterion)
    if len(bad) > _MOST:
        yield f"+{len(bad) - _MOST} more in {path}"
    for skill in report["skills"]:
        left = sum(criterion["status"] == "not_run" for criterion in skill["criteria"])
        if left:
            yield f"not_run {skill['feature']}/{skill['id']}: {left} criteria"
    action = report["next_action"]
    if action is not None:
        yield f"next: {action['prompt']}"
        yield f"then: {action['rerun']}"


def _line(skill: Mapping[str, Any], criterion: Mapping[str, Any]) -> str:
    evidence = criterion.get("evidence", {})
    location = evidence.get("location")
    where = " at {file}:{line}".format(**location) if location else ""
    seen = f": expected {evidence['expected']}; observed {evidence['observed']}" if evidence else ""
    return f"{criterion['status']} {skill['feature']}/{criterion['id']}{seen}{where}"
