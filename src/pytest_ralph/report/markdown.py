"""The report as Markdown, for the summary of a pipeline's step or a comment on a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_ralph.report.findings import Finding, causes, findings

# GitHub shows a step's summary up to 1 MiB, and nothing of a longer one.
_MOST_CAUSES = 50
_MOST_ROWS = 500
_LONGEST = 600
_SIGNS = {"pass": "✅", "waived": "☑️", "fail": "❌", "error": "💥", "not_run": "⏸️", "skipped": "⏭️"}


def render(report: Mapping[str, Any]) -> str:
    """The report as Markdown.

    Args:
        report: From `model.build`.
    """
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    summary = report["summary"]
    counts = ", ".join(f"{summary[name]} {name.replace('_', ' ')}" for name in _COUNTED if summary[name])
    yield f"## Production readiness: {report['gate'].upper()} ({report['state'].replace('_', ' ')})"
    yield ""
    yield counts or "No gate was judged."
    for why in report["left_out"]:
        yield f"- left out: {_plain(why)}"
    for change in report["integrity"]["changes"]:
        yield f"- **tampered:** {_plain(change['subject'])}: {_plain(change['text'])}"
    if report["integrity"]["canary"] == "forged":
        yield "- **tampered:** a test that must come out red did not"
    for problem in report["policy"]:
        yield f"- **policy:** {_plain(problem['subject'])} {_plain(problem['text'])}"
    yield from _matrix(report["skills"])
    yield from _failures(findings(report["skills"], report["regressions"]))
    if report["next_action"] is not None:
        yield ""
        yield "### Next"
        yield ""
        yield _plain(report["next_action"]["prompt"])
        yield ""
        yield f"    {report['next_action']['rerun']}"


_COUNTED = ("fail", "error", "not_exercised", "not_run", "skipped", "waived", "pass")


def _matrix(skills: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not skills:
        return
    yield ""
    yield "| feature | skill | gate | criteria |"
    yield "|---|---|---|---|"
    for skill in skills[:_MOST_ROWS]:
        good = sum(each["status"] in ("pass", "waived") for each in skill["criteria"])
        sign = _SIGNS.get(skill["status"], "❔")
        gate = f"{sign} {skill['status'].replace('_', ' ')}"
        yield f"| {_plain(skill['feature'])} | {skill['id']} | {gate} | {good} of {len(skill['criteria'])} |"
    if len(skills) > _MOST_ROWS:
        yield f"| +{len(skills) - _MOST_ROWS} more | | | |"


def _failures(found: Sequence[Finding]) -> Iterator[str]:
    groups = causes(each for each in found if each.status != "not_run")
    for group in groups[:_MOST_CAUSES]:
        first = group[0]
        also = f" and {len(group) - 1} more" if group[1:] else ""
        location = first.evidence["location"]
        where = " at `{file}:{line}`".format(**location) if location else ""
        yield ""
        yield f"<details><summary>{_SIGNS.get(first.status, '❔')} {_plain(first.key)}{also}{where}</summary>"
        yield ""
        yield f"- expected: {_plain(first.evidence['expected'])}"
        yield f"- observed: {_plain(first.evidence['observed'])}"
        if first.evidence["scenario"]:
            yield f"- scenario: {_plain(first.evidence['scenario'])}"
        if group[1:]:
            yield f"- also: {', '.join(_plain(each.key) for each in group[1:11])}"
        yield ""
        yield "</details>"
    if len(groups) > _MOST_CAUSES:
        yield ""
        yield f"+{sum(map(len, groups[_MOST_CAUSES:]))} more in the report."


def _plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
    for sign in "\\`*_[]<>|":
        line = line.replace(sign, f"&#{ord(sign)};")
    return line
