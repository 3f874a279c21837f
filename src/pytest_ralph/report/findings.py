"""What a report finds wanting: each failure with its fingerprint, in the order in which to repair them.

Everything that shows failures goes by this: the next action, the output for agents, Markdown, annotations.
Pure functions over report dicts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.masking import masked
from pytest_ralph.core.skill import PHASES

WORST_FIRST = ("fail", "error", "not_exercised", "not_run", "skipped", "waived", "pass")
SATISFIED = ("pass", "waived")


def worst(statuses: Iterable[str]) -> str:
    """The status that counts among several."""
    return min(statuses, key=WORST_FIRST.index, default="not_run")


# Two failures are the same failure when only these differ.
_INCIDENTAL = (
    # Each begins where a word begins, or a long one would be searched from each of its letters.
    (re.compile(r"(?<![\w.~/\\-])(?:[A-Za-z]:)?(?:[\w.~-]*[/\\])+[\w.-]+\.py\b"), "<file>"),
    (re.compile(r"(?<![\w-])[\w-]+\.py\b"), "<file>"),
    (re.compile(r"(?<![\w:/])/(?:[\w.-]+/)+[\w.-]*"), "<path>"),
    (re.compile(r"<file>:\d+"), "<file>"),
    (re.compile(r"\bline \d+"), "line"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ns|us|µs|ms|s|sec|seconds?|min|minutes?|h|hours?)\b"), "<duration>"),
    (re.compile(r"\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b"), "<time>"),
)


# More than the beginning of a long text says nothing new.
_TELLING = 2_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that keeps a gate from being green.

    Attributes:
        key: Feature and criterion, such as ``payments/retry.backoff``; unique in a report.
        status: Its status.
        skill: The entry of the skill.
        criterion: The criterion's id; None for a call that fails although everything is healthy.
        evidence: Expected, observed and where.
        prompt: What to do about it.
        fingerprint: The same for the same failure, whatever its line, times, paths and addresses.
        regressed: Whether it was satisfied before.
    """

    key: str
    status: str
    skill: Mapping[str, Any]
    criterion: str | None
    evidence: Mapping[str, Any]
    prompt: str
    fingerprint: str
    regressed: bool = False

    @property
    def cause(self) -> tuple[str, str, str]:
        """What findings of one root cause have in common."""
        return self.status, essence(self.evidence["observed"]), _where(self.evidence["location"])


def fingerprint(feature: str, criterion: str, status: str, evidence: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stay the same while a failure stays the same.

    Lines, addresses of objects, paths, times of day and durations do not count: code that moves down by a
    line fails as before.

    Args:
        feature: The feature.
        criterion: Id of the criterion, or of the skill for a call that fails when all is healthy.
        status: Its status.
        evidence: What was expected and observed, where and in which scenario.
    """
    location = evidence["location"]
    parts = (
        feature,
        criterion,
        status,
        evidence["scenario"],
        location["function"] if location else "",
        essence(evidence["expected"]),
        essence(evidence["observed"]),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def essence(text: str) -> str:
    """Text without what is incidental to a failure.

    Example:
        >>> essence("/srv/app/pay.py:41: given up after 30.002 s by <Client object at 0x7f88aa001200>")
        '<file>: given up after <duration> by <Client object at 0x...>'
    """
    text = masked(text[:_TELLING])
    for pattern, replacement in _INCIDENTAL:
        text = pattern.sub(replacement, text)
    return text


def _where(location: Mapping[str, Any] | None) -> str:
    return "{file}:{line}".format(**location) if location else ""


def keyed(
    skills: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """Every criterion with a key that is unique in the report.

    A skill whose call fails when all is healthy gives one entry of its own, without a criterion: nothing is
    known of its criteria.
    """
    taken: dict[str, int] = {}
    for skill in skills:
        criteria: Sequence[Mapping[str, Any] | None] = [None] if "problem" in skill else skill["criteria"]
        for criterion in criteria:
            name = f"{skill['feature']}/{criterion['id'] if criterion else skill['id']}"
            number = taken[name] = taken.get(name, 0) + 1
            # A test may ask for one skill several times, with other parameters each.
            yield name if number == 1 else f"{name}#{number}", skill, criterion


def findings(skills: Sequence[Mapping[str, Any]], regressions: Iterable[str] = ()) -> list[Finding]:
    """What is not satisfied, in the order in which it is to be repaired.

    A call that fails when all is healthy comes first, then what was satisfied before, then the phases by
    risk; within a phase what other skills rest on, and what failed before what was not put to the test.

    Args:
        skills: The entries of the report.
        regressions: Keys of what was satisfied in an earlier run.
    """
    before = set(regressions)
    needed = {each for skill in skills for each in skill["rests_on"]}
    found = [
        _finding(key, skill, criterion, before)
        for key, skill, criterion in keyed(skills)
        if criterion is None or criterion["status"] not in SATISFIED
    ]
    return sorted(found, key=lambda each: _rank(each, needed))


def _finding(
    key: str, skill: Mapping[str, Any], criterion: Mapping[str, Any] | None, before: set[str]
) -> Finding:
    detail = skill["problem"] if criterion is None else criterion
    return Finding(
        key=key,
        status="error" if criterion is None else criterion["status"],
        skill=skill,
        criterion=None if criterion is None else criterion["id"],
        evidence=detail["evidence"],
        prompt=detail["prompt"],
        fingerprint=detail["fingerprint"],
        regressed=key in before,
    )


def _rank(finding: Finding, needed: set[str]) -> tuple[object, ...]:
    skill = finding.skill
    return (
        # Nothing else is known before these are repaired.
        finding.criterion is not None and finding.status != "error",
        finding.status == "not_run",
        not finding.regressed,
        PHASES.index(skill["phase"]),
        skill["feature"],
        skill["id"] not in needed,
        skill["id"],
        WORST_FIRST.index(finding.status),
        # What was not put to the test at all says more than what follows from it.
        finding.status == "not_exercised" and not str(finding.criterion).endswith(".exercised"),
    )


def causes(found: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one root cause together, in the order of the first of each."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault(finding.cause, []).append(finding)
    return list(groups.values())
