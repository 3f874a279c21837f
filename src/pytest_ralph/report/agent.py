"""The report for an agent's context window: the verdict, what fails, and exactly one thing to do next.

Every token costs, and what is too long is cut by the agent's tools in the middle. So the output has a budget
that it keeps whatever fails: a cause is told once, the rest is counted. The verdict, the counts and the next
action are never left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_ralph.report.findings import Finding, causes, findings

MOST_TOKENS = 1_500
MOST_CHARACTERS = 9_000

# What pytest itself prints around it, and that random letters are more tokens than is reckoned here.
_FOR_PYTEST = 60
_MARGIN = 0.83
_LONGEST_PROMPT = 2_500
_LONGEST_LINE = 400
_MOST_CAUSES = 12
_MOST_CHANGES = 8
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|\s+|[^\sA-Za-z\d]")


def render(report: Mapping[str, Any], path: str) -> Iterator[str]:
    """The report as few lines of text.

    Args:
        report: From `model.build`.
        path: Where the JSON report is.
    """
    head = [_verdict(report)]
    tail = _next(report["next_action"])
    budget = _Budget([*head, *tail])
    found = findings(report["skills"], report["regressions"])
    lines = [*_integrity(report), *_causes(found), *_policy(report)]
    for number, (line, _) in enumerate(lines):
        if not budget.takes(line):
            left = sum(each for _, each in lines[number:])
            head.append(_more(left, path))
            break
        head.append(line)
    yield from head
    yield from tail


def _verdict(report: Mapping[str, Any]) -> str:
    counts = " ".join(f"{name}={number}" for name, number in report["summary"].items() if number)
    complete = str(report["complete"]).lower()
    partial = "" if report["full"] else "partial=true "
    return (
        f"ralph gate={report['gate']} state={report['state']} complete={complete} {partial}{counts}".rstrip()
    )


def _more(left: int, path: str) -> str:
    return f"+{left} more: pytest-ralph show (all of it: {path})"


def _integrity(report: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What keeps the verdicts from being believed."""
    if report["integrity"]["canary"] == "forged":
        yield "tampered canary: a test that must come out red did not", 1
    changes = report["integrity"]["changes"]
    for number, each in enumerate(changes):
        if number == _MOST_CHANGES:
            yield f"tampered +{len(changes) - number} more changes", len(changes) - number
            return
        yield _cut(f"tampered {each['subject']}: {each['text']}", _LONGEST_LINE), 1


def _causes(found: Sequence[Finding]) -> Iterator[tuple[str, int]]:
    """One line for each cause, with how many failures it stands for."""
    groups = causes(each for each in found if each.status != "not_run")
    for group in groups[:_MOST_CAUSES]:
        yield _cut(_line(group), _LONGEST_LINE), len(group)
    rest = sum(map(len, groups[_MOST_CAUSES:]))
    if rest:
        yield f"+{rest} more: pytest-ralph show", rest
    unrun: dict[str, int] = {}
    for each in found:
        if each.status == "not_run":
            name = f"{each.skill['feature']}/{each.skill['id']}"
            unrun[name] = unrun.get(name, 0) + 1
    if unrun:
        names = ", ".join(f"{name} ({count})" for name, count in list(unrun.items())[:5])
        more = f", +{len(unrun) - 5} more" if len(unrun) > 5 else ""
        yield _cut(f"not_run {names}{more}", _LONGEST_LINE), len(unrun)


def _line(group: Sequence[Finding]) -> str:
    first = group[0]
    location = first.evidence["location"]
    where = " at {file}:{line}".format(**location) if location else ""
    also = f" [also {_names(group[1:])}]" if group[1:] else ""
    flag = "regressed " if first.regressed else ""
    if first.criterion is None:
        return f"{flag}error {first.key}: healthy call fails: {first.evidence['observed']}{where}{also}"
    if first.status == "error":
        return f"{flag}error {first.key}: {first.evidence['observed']}{where}{also}"
    seen = f"expected {first.evidence['expected']}; observed {first.evidence['observed']}"
    return f"{flag}{first.status} {first.key}: {seen}{where}{also}"


def _names(others: Sequence[Finding]) -> str:
    shown = ", ".join(each.key for each in others[:3])
    return shown if len(others) <= 3 else f"{shown}, +{len(others) - 3}"


def _policy(report: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for each in report["policy"]:
        yield _cut(f"policy {each['subject']} {each['text']}", _LONGEST_LINE), 1


def _next(action: Mapping[str, Any] | None) -> list[str]:
    if action is None:
        return []
    return [f"next: {_middle(action['prompt'], _LONGEST_PROMPT)}", f"then: {action['rerun']}"]


class _Budget:
    """What may still be said.

    Args:
        fixed: Lines that are said in any case.
    """

    def __init__(self, fixed: Sequence[str]) -> None:
        self._characters = MOST_CHARACTERS - 300
        self._tokens = int(MOST_TOKENS * _MARGIN) - _FOR_PYTEST - tokens(_more(9999, "x" * 60))
        for line in fixed:
            self.takes(line)

    def takes(self, line: str) -> bool:
        """Whether a line fits; if so, it is counted."""
        characters, needed = self._characters - len(line) - 1, self._tokens - tokens(line) - 1
        if characters < 0 or needed < 0:
            return False
        self._characters, self._tokens = characters, needed
        return True


def tokens(text: str) -> int:
    """About how many tokens a text is to a language model, rather more than less.

    An English word is mostly one token; here every two letters or three digits count as one, as in random
    text, punctuation by the character, and what is not ASCII by its bytes. The tests compare it.
    """
    return sum(_weight(piece) for piece in _PIECES.findall(text))


def _weight(piece: str) -> int:
    if piece.isspace():
        return 0 if piece == " " else math.ceil(len(piece) / 2)
    if not piece.isascii():
        return len(piece.encode())
    return math.ceil(len(piece) / (3 if piece.isdigit() else 2))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _middle(text: str, most: int) -> str:
    """Text without its middle if it is too long: what to change, and what must stay, are at the ends."""
    kept, shown = most, text
    while len(shown) > most or tokens(shown) > MOST_TOKENS // 2:
        kept = kept * 3 // 4
        shown = f"{text[: kept // 2]} ...(all of it: pytest-ralph next)... {text[-(kept // 2) :]}"
    return shown
