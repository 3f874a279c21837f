"""The report for people: a matrix of features and skills, the red ones first, and one thing to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Line = tuple[str, Mapping[str, bool]]

_RED: Mapping[str, bool] = {"red": True, "bold": True}
_GREEN: Mapping[str, bool] = {"green": True}
_YELLOW: Mapping[str, bool] = {"yellow": True}
_BOLD: Mapping[str, bool] = {"bold": True}
_PLAIN: Mapping[str, bool] = {}

_SHOWN = {
    "pass": "pass",
    "fail": "FAIL",
    "error": "ERROR",
    "not_exercised": "not exercised",
    "not_run": "not run",
    "skipped": "skipped",
    "waived": "waived",
}
_TIMELINE_LINES = 8
_MEANINGS = {
    "stalled": "the same failures in three full runs",
    "blocked_on_human": "all that is left is disputed",
}


def render(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    """The report as lines with markup.

    Args:
        report: From `model.build`.
        width: Columns of the terminal.
    """
    skills: Sequence[Mapping[str, Any]] = report["skills"]
    if not skills:
        yield from _standing(report, width)
        if report["next_action"] is not None:
            yield from _next(report, width)
        yield "no gate was judged", _YELLOW
        return
    reds = [skill for skill in skills if skill["status"] not in ("pass", "waived")]
    greens = [skill for skill in skills if skill["status"] in ("pass", "waived")]
    yield from _table([*reds, *greens], width)
    for skill in reds:
        yield "", _PLAIN
        yield from _details(skill, width)
    yield "", _PLAIN
    yield from _measured(report["run"], width)
    yield from _standing(report, width)
    if report["next_action"] is not None:
        yield from _next(report, width)
    yield _verdict(report)


def _measured(run: Mapping[str, Any], width: int) -> Iterator[Line]:
    """What was measured in real time: it differs from run to run."""
    found = run.get("measured", {})
    for nodeid, lines in found.items():
        yield from _wrap(f"  measured in {nodeid}", width, "    ", _PLAIN)
        for line in lines:
            yield from _wrap(f"    {line}", width, "      ", _PLAIN)
    if found:
        yield "", _PLAIN


def _table(skills: Sequence[Mapping[str, Any]], width: int) -> Iterator[Line]:
    rows = [(skill["feature"], skill["id"], _cell(skill), skill) for skill in skills]
    first = max(len("feature"), *(len(row[0]) for row in rows)) + 2
    second = max(len("skill"), *(len(row[1]) for row in rows)) + 2
    yield f"{'feature':{first}}{'skill':{second}}{'gate':15}criteria", _BOLD
    for feature, skill_id, criteria, skill in rows:
        prefix = f"{feature:{first}}{skill_id:{second}}{_SHOWN[skill['status']]:15}"
        wrapped = textwrap.wrap(criteria, max(20, width - len(prefix)), break_on_hyphens=False) or [""]
        yield prefix + wrapped[0], _colour(skill["status"])
        for rest in wrapped[1:]:
            yield " " * len(prefix) + rest, _colour(skill["status"])


def _cell(skill: Mapping[str, Any]) -> str:
    passed = sum(1 for criterion in skill["criteria"] if criterion["status"] in ("pass", "waived"))
    statuses = [criterion["status"] for criterion in skill["criteria"]]
    bad = [
        criterion["id"].partition(".")[2]
        for criterion in skill["criteria"]
        if criterion["status"] in ("fail", "error")
    ]
    parts = [f"{passed} of {len(statuses)}"]
    parts += [f"failed: {', '.join(bad)}"] if bad else []
    parts += [
        f"{statuses.count(status)} {_SHOWN[status]}"
        for status in ("not_exercised", "not_run", "skipped")
        if status in statuses
    ]
    return "; ".join(parts)


def _details(skill: Mapping[str, Any], width: int) -> Iterator[Line]:
    yield from _wrap(f"{skill['feature']} / {skill['id']}: {skill['title']}", width, "  ", _BOLD)
    for test in skill["tests"]:
        yield f"  {test}", _PLAIN
    if "problem" in skill:
        told = "  ERROR the call fails when everything is healthy; nothing else is judged"
        yield from _wrap(told, width, "        ", _RED)
        yield from _evidence(skill["problem"]["evidence"], width)
        return
    order = sorted(skill["criteria"], key=lambda each: each["status"] in ("pass", "waived", "not_run"))
    shown: dict[tuple[str, ...], str] = {}
    for criterion in order:
        yield from _criterion(criterion, width, shown)


def _criterion(criterion: Mapping[str, Any], width: int, shown: dict[tuple[str, ...], str]) -> Iterator[Line]:
    status = criterion["status"]
    name = criterion["id"].partition(".")[2]
    statement = criterion["text"] if criterion["kind"] == "pass" else f"must not happen: {criterion['text']}"
    head = f"  {_SHOWN[status]:5} {name}"
    if status in ("not_exercised", "skipped"):
        reason = criterion["evidence"]["observed"] if "evidence" in criterion else ""
        yield from _wrap(f"{head}: {reason}", width, "        ", _colour(status))
        return
    if status == "waived" and "waiver" in criterion:
        told = "{reason} ({owner}, until {expires})".format(**criterion["waiver"])
        yield from _wrap(f"{head}: {told}", width, "        ", _colour(status))
        return
    if status in ("pass", "waived", "not_run"):
        yield head, _colour(status)
        return
    yield from _wrap(f"{head}: {statement}", width, "        ", _colour(status))
    if "evidence" in criterion:
        evidence = criterion["evidence"]
        lines = tuple(evidence["timeline"])
        if lines in shown:
            evidence = {**evidence, "timeline": [f"as for {shown[lines]}"]}
        elif lines:
            shown[lines] = name
        yield from _evidence(evidence, width)


def _evidence(evidence: Mapping[str, Any], width: int) -> Iterator[Line]:
    scenario = evidence["scenario"]
    aimed = f" at {evidence['aimed_at']}" if evidence["aimed_at"] else ""
    also = f", also in {', '.join(evidence['also_in'])}" if evidence["also_in"] else ""
    location = evidence["location"]
    facts = {
        "Expected": evidence["expected"],
        "Observed": evidence["observed"],
        "Scenario": f"{scenario}{aimed}{also}" if scenario else "",
        "Where": "{file}:{line} in {function}".format(**location) if location else "",
    }
    for name, value in facts.items():
        if value:
            yield from _wrap(f"        {name:9}{value}", width, " " * 17, _PLAIN)
    lines = evidence["timeline"]
    for number, line in enumerate(_shortened(lines)):
        label = "Evidence" if number == 0 else ""
        yield from _wrap(f"        {label:9}{line}", width, " " * 23, _PLAIN)


def _shortened(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _TIMELINE_LINES:
        return list(lines)
    hidden = len(lines) - _TIMELINE_LINES + 1
    return [*lines[: _TIMELINE_LINES - 3], f"... {hidden} more in the report ...", *lines[-2:]]


def _standing(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    """What is to be said of the whole: whether it can be believed, what the policy lacks, where it leads."""
    integrity = report["integrity"]
    if integrity["canary"] == "forged":
        yield from _wrap("TAMPERED: a test that must come out red did not", width, "  ", _RED)
    if integrity["canary"] == "not_run" and report["gate"] == "incomplete" and report["complete"]:
        yield from _wrap("a test that must come out red could not be run", width, "  ", _YELLOW)
    for each in integrity["changes"]:
        yield from _wrap(f"TAMPERED: {each['subject']}: {each['text']}", width, "  ", _RED)
    for each in report["policy"]:
        yield from _wrap(f"policy: {each['subject']} {each['text']}", width, "  ", _RED)
    if report["regressions"]:
        yield from _wrap(f"held before: {', '.join(report['regressions'])}", width, "  ", _RED)
    if report["state"] in _MEANINGS:
        yield from _wrap(f"{report['state']}: {_MEANINGS[report['state']]}", width, "  ", _YELLOW)


def _next(report: Mapping[str, Any], width: int) -> Iterator[Line]:
    action = report["next_action"]
    what = f"{action['feature']} / {action['criterion'] or 'the healthy call'}"
    if not action["skill"]:
        tampered = report["state"] == "tampered"
        what = "undo what was tampered with" if tampered else action["feature"] or "collect the tests"
    yield f"Next: {what}", _BOLD
    yield from _wrap(f"  {action['prompt']}", width, "  ", _PLAIN)
    yield f"  {action['rerun']}", _PLAIN


def _verdict(report: Mapping[str, Any]) -> Line:
    summary = report["summary"]
    counts = ", ".join(
        f"{summary[status]} {_SHOWN[status].lower()}"
        for status in ("fail", "error", "not_exercised", "not_run", "skipped", "waived", "pass")
        if summary[status]
    )
    text = f"gate: {report['gate'].upper()}  ({counts})"
    return text, _GREEN if report["gate"] == "pass" else _RED if report["gate"] == "fail" else _YELLOW


def _colour(status: str) -> Mapping[str, bool]:
    return {"pass": _GREEN, "waived": _GREEN, "fail": _RED, "error": _RED}.get(status, _YELLOW)


def _wrap(text: str, width: int, indent: str, markup: Mapping[str, bool]) -> Iterator[Line]:
    for line in textwrap.wrap(
        text, max(40, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        yield line, markup
