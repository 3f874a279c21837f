"""One report of several: the shards of a run, split by files among machines. Pure functions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_ralph.core.policy import Policy
from pytest_ralph.report.findings import WORST_FIRST, worst
from pytest_ralph.report.model import Circumstances, Integrity, assemble

Report = Mapping[str, Any]
_CANARIES = ("forged", "not_run", "red")


def merge(
    reports: Sequence[Report],
    *,
    expected: int,
    policy: Policy,
    today: dt.date,
    order: Callable[[str], int],
) -> dict[str, Any]:
    """One report of all shards: the worst status of each criterion counts, whatever the order of the shards.

    Args:
        reports: Of the shards; each must be complete in itself.
        expected: How many there must be; fewer make the whole incomplete.
        policy: What the team agreed upon: it is judged over the whole.
        today: For waivers.
        order: Position of a phase.

    Raises:
        ValueError: There is no report.
    """
    if not reports:
        raise ValueError("there is no report to merge")
    locks = {each["integrity"]["lock"] for each in reports}
    problems = (
        [f"{expected - len(reports)} of {expected} shards are missing"] if len(reports) < expected else []
    )
    problems += ["the shards were judged with different locks"] if len(locks) > 1 else []
    problems += ["a shard is incomplete"] if not all(each["complete"] for each in reports) else []
    # That a shard leaves out the files of others is what makes it one; other selections leave out more.
    selections = {why for each in reports for why in each["left_out"] if not why.startswith("only ")}
    return assemble(
        _entries(reports, order),
        Circumstances(
            left_out=[*problems, *sorted(selections)],
            run=_run(reports),
            policy=policy,
            today=today,
            integrity=_integrity(reports),
        ),
        complete=not problems,
    )


def _entries(reports: Iterable[Report], order: Callable[[str], int]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for report in reports:
        for skill in report["skills"]:
            parameters = json.dumps(skill["parameters"], sort_keys=True)
            groups.setdefault((skill["feature"], skill["id"], parameters), []).append(skill)
    entries = [_entry(members) for _, members in sorted(groups.items())]
    return sorted(entries, key=lambda each: (each["feature"], order(each["phase"]), each["id"]))


def _entry(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # Sorted, so that the order of the shards changes nothing.
    members = sorted(members, key=lambda each: json.dumps(each, sort_keys=True))
    names = dict.fromkeys(each["id"] for member in members for each in member["criteria"])
    criteria = [
        _worst([each for member in members for each in member["criteria"] if each["id"] == name])
        for name in names
    ]
    entry = {
        **members[0],
        "tests": sorted({test for member in members for test in member["tests"]}),
        "criteria": criteria,
        "status": worst(each["status"] for each in criteria),
    }
    broken = [member for member in members if "problem" in member]
    if broken:
        entry |= {"problem": broken[0]["problem"], "status": "error"}
    return entry


def _worst(criteria: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return dict(min(criteria, key=lambda each: WORST_FIRST.index(each["status"])))


def _integrity(reports: Sequence[Report]) -> Integrity:
    found = [each["integrity"] for each in reports]
    changes = {json.dumps(change, sort_keys=True): change for each in found for change in each["changes"]}
    locks = {each["lock"] for each in found}
    return Integrity(
        canary=min((each["canary"] for each in found), key=_CANARIES.index),
        unheard="see the shards",
        locked=all(each["locked"] for each in found),
        lock=locks.pop() if len(locks) == 1 else "",
        changes=[change for _, change in sorted(changes.items())],
    )


def _run(reports: Sequence[Report]) -> dict[str, Any]:
    runs = sorted((each["run"] for each in reports), key=lambda run: json.dumps(run, sort_keys=True))
    return {
        "id": "+".join(sorted(run["id"] for run in runs)),
        "started": min(run["started"] for run in runs),
        "duration": max(run["duration"] for run in runs),
        "versions": runs[0]["versions"],
        "measured": {nodeid: found for run in runs for nodeid, found in run.get("measured", {}).items()},
    }
