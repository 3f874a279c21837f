"""The report as a fold: a plan of what should be judged and the results that came in, to plain data.

Pure functions without input or output. What is passed in may come from other processes, in any order; what
comes out depends only on the plan's order.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "pytest-ralph/report"
SCHEMA_VERSION = "1.0"

WORST_FIRST = ("fail", "error", "not_exercised", "not_run", "skipped", "waived", "pass")
SATISFIED = ("pass", "waived")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one item.

    Attributes:
        outcome: ``judged``, ``broken`` (fails when all is healthy), ``error``, ``skipped``.
        reason: Why it was not judged.
        location: The user's line, for a broken one.
        timeline: What happened, for a broken one.
        verdicts: What was judged.
        reached: Operations the healthy call performed.
        met: Operations that met a fault aimed at them.
    """

    outcome: str
    reason: str = ""
    location: Mapping[str, Any] | None = None
    timeline: Sequence[str] = ()
    verdicts: Sequence[Mapping[str, Any]] = ()
    reached: Sequence[str] = ()
    met: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What else a report has to know of the run.

    Attributes:
        interrupted: Whether the run was cut short, or something could not be collected.
        selected: Whether only some skills or features were asked for.
        uncollected: What could not be collected, and why.
        run: The block of values that differ from run to run.
    """

    interrupted: bool = False
    selected: bool = False
    uncollected: Sequence[str] = ()
    run: Mapping[str, Any] = field(default_factory=dict)


def build(
    plan: Mapping[str, Any],
    results: Mapping[str, Result],
    circumstances: Circumstances,
    order: Callable[[str], int],
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole report.

    Args:
        plan: Tests with their gates, the scenarios these need, and the items that play them.
        results: What became of the items, by id.
        circumstances: What else is to be known.
        order: Position of a phase.
        paths: Files and folders that were named on the command line.
    """
    skills = _skills(plan, results, order)
    ran = [test["items"].get(scenario) in results for test in plan.values() for scenario in test["scenarios"]]
    complete = bool(ran) and all(ran) and not circumstances.interrupted
    gate = _gate(skills, complete)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "gate": gate,
        "state": _state(gate, circumstances.selected),
        "complete": complete,
        "summary": _summary(skills),
        "next_action": _repair(circumstances.uncollected, paths)
        or _next_action(_by_need(plan, skills), paths),
        "skills": skills,
        "run": dict(circumstances.run),
    }


def red(report: Mapping[str, Any]) -> bool:
    """Whether any gate was judged and is not satisfied."""
    return any(skill["status"] not in (*SATISFIED, "not_run") for skill in report["skills"])


def worst(statuses: Iterable[str]) -> str:
    """The status that counts among several."""
    return min(statuses, key=WORST_FIRST.index, default="not_run")


def _gate(skills: Sequence[Mapping[str, Any]], complete: bool) -> str:
    statuses = {skill["status"] for skill in skills}
    if statuses - {*SATISFIED, "not_run"}:
        return "fail"
    return "pass" if complete and skills and "not_run" not in statuses else "incomplete"


def _state(gate: str, selected: bool) -> str:
    if gate == "incomplete":
        return "incomplete"
    return "green" if gate == "pass" and not selected else "in_progress"


def _summary(skills: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    statuses = [criterion["status"] for skill in skills for criterion in skill["criteria"]]
    counts = {status: statuses.count(status) for status in WORST_FIRST}
    return {
        "features": len({skill["feature"] for skill in skills}),
        "skills": len(skills),
        "criteria": len(statuses),
        "pass": counts["pass"],
        "fail": counts["fail"],
        "error": counts["error"],
        "not_exercised": counts["not_exercised"],
        "not_run": counts["not_run"],
        "skipped": counts["skipped"],
        "waived": counts["waived"],
    }


def _skills(
    plan: Mapping[str, Any], results: Mapping[str, Result], order: Callable[[str], int]
) -> list[dict[str, Any]]:
    """One entry for each feature, skill and set of parameters, over all tests that ask for it."""
    groups: dict[tuple[str, str, str], list[tuple[str, int, Mapping[str, Any]]]] = {}
    for test, planned in plan.items():
        for number, gate in enumerate(planned["gates"]):
            parameters = json.dumps(gate["parameters"], sort_keys=True)
            groups.setdefault((gate["feature"], gate["skill"], parameters), []).append((test, number, gate))
    entries = [_skill(members, plan, results) for members in groups.values()]
    return sorted(entries, key=lambda entry: (entry["feature"], order(entry["phase"]), entry["id"]))


def _skill(
    members: Sequence[tuple[str, int, Mapping[str, Any]]],
    plan: Mapping[str, Any],
    results: Mapping[str, Result],
) -> dict[str, Any]:
    _, _, gate = members[0]
    broken = next(
        (
            (item, result)
            for test, _, _ in members
            for item in plan[test]["items"].values()
            if (result := results.get(item)) is not None and result.outcome == "broken"
        ),
        None,
    )
    criteria = [_criterion(number, members, plan, results) for number in range(len(gate["criteria"]))]
    entry = {
        "id": gate["skill"],
        "feature": gate["feature"],
        "title": gate["title"],
        "phase": gate["phase"],
        "status": worst(criterion["status"] for criterion in criteria),
        "tests": [test for test, _, _ in members],
        "parameters": gate["parameters"],
        "criteria": criteria,
    }
    # A call that fails only after other scenarios is broken by them: what failed there says why.
    if broken is not None and entry["status"] != "fail":
        entry["status"] = "error"
        entry["problem"] = _problem(*broken)
    return entry


def _problem(nodeid: str, result: Result) -> dict[str, Any]:
    where = "In {file}, line {line} ({function}): ".format(**result.location) if result.location else ""
    return {
        "evidence": {
            "expected": "the call succeeds against the healthy answer",
            "observed": result.reason,
            "scenario": "healthy",
            "aimed_at": "",
            "nodeid": nodeid,
            "location": dict(result.location) if result.location else None,
            "timeline": list(result.timeline),
            "also_in": [],
        },
        "prompt": (
            f"{where}Make the call succeed when every service it uses is healthy. "
            f"It failed with {result.reason.rstrip('.')}. "
            "Declare the healthy answers it needs on the upstream in the test's fixture if they are missing. "
            "Nothing else is judged before that."
        ),
    }


def _criterion(
    number: int,
    members: Sequence[tuple[str, int, Mapping[str, Any]]],
    plan: Mapping[str, Any],
    results: Mapping[str, Result],
) -> dict[str, Any]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for test, gate_number, gate in members:
        criterion = gate["criteria"][number]
        here: list[tuple[str, Mapping[str, Any]]] = []
        for scenario in criterion["scenarios"]:
            item = plan[test]["items"].get(scenario, "")
            here += _seen(results.get(item), item, scenario, gate_number, criterion)
        if criterion["id"].endswith(".exercised") and (missed := _missed(plan[test], results)):
            here.append(("not_exercised", _unseen(_MISSED.format(", ".join(missed)), criterion, "", "")))
        found += here or [("not_exercised", _unseen(criterion["untested"], criterion, "", ""))]
    criterion = members[0][2]["criteria"][number]
    status = worst(each for each, _ in found)
    entry: dict[str, Any] = {
        "id": criterion["id"],
        "kind": criterion["kind"],
        "text": criterion["text"],
        "status": status,
    }
    shown = [detail for each, detail in found if each == status and detail]
    if status not in SATISFIED and shown:
        also = dict.fromkeys(detail["evidence"]["scenario"] for detail in shown[1:])
        also.pop(shown[0]["evidence"]["scenario"], None)
        entry["evidence"] = {**shown[0]["evidence"], "also_in": [each for each in also if each]}
        entry["prompt"] = shown[0]["prompt"]
    return entry


_MISSED = (
    "no fault was met by {}, which the healthy call uses only at times: if the answer is kept between calls, "
    "name what forgets it with @ralph.reset(function)"
)


def _missed(test: Mapping[str, Any], results: Mapping[str, Result]) -> list[str]:
    """Operations that some healthy call of a test performed and that no fault ever hit."""
    found = [results[item] for item in test["items"].values() if item in results]
    met = {name for result in found for name in result.met}
    if not met:
        return []
    return sorted({name for result in found for name in result.reached} - met)


def _seen(
    result: Result | None, item: str, scenario: str, gate: int, criterion: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any]]]:
    """What one item says of a criterion; nothing when it says nothing."""
    if result is None:
        reason = f"scenario {scenario} was not run; run it without -k, -x, --lf or another selection"
        return [("not_run", _unseen(reason, criterion, item, scenario))]
    if result.outcome == "broken":
        reason = "not judged: the call fails against the healthy answer"
        return [("not_exercised", _unseen(reason, criterion, item, scenario))]
    if result.outcome != "judged":
        return [(result.outcome, _unseen(result.reason, criterion, item, scenario))]
    return [
        (verdict["status"], verdict if verdict["status"] != "pass" else {})
        for verdict in result.verdicts
        if verdict["gate"] == gate and verdict["criterion"] == criterion["id"]
    ]


def _unseen(reason: str, criterion: Mapping[str, Any], item: str, scenario: str) -> dict[str, Any]:
    return {
        "evidence": {
            "expected": criterion["text"] if criterion["kind"] == "pass" else f"never: {criterion['text']}",
            "observed": reason,
            "scenario": scenario,
            "aimed_at": "",
            "nodeid": item,
            "location": None,
            "timeline": [],
        },
        "prompt": f"{criterion['id']} was not judged: {reason}.",
    }


def _repair(uncollected: Sequence[str], paths: Sequence[str]) -> dict[str, Any] | None:
    """What to do when tests could not even be collected: nothing, if they could."""
    if not uncollected:
        return None
    return {
        "feature": "",
        "skill": "",
        "criterion": None,
        "location": None,
        "prompt": f"Repair the error that keeps the tests from being collected: {uncollected[0]}",
        "rerun": shlex.join(["pytest", "--ralph", *paths]),
    }


def _by_need(plan: Mapping[str, Any], skills: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Skills in the order in which they are to be repaired: what others rest on comes first."""
    rests_on = {gate["skill"]: gate["rests_on"] for test in plan.values() for gate in test["gates"]}
    needed = {each for names in rests_on.values() for each in names}
    return sorted(skills, key=lambda skill: (skill["feature"], skill["id"] not in needed))


def _next_action(skills: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> dict[str, Any] | None:
    """The one thing to do next: what is broken first, then the first failure, then what is untested."""
    for skill in skills:
        if "problem" in skill:
            return _action(skill, None, skill["problem"], paths)
    for status in WORST_FIRST:
        for skill in skills:
            # What was not put to the test at all says more than what follows from it.
            for criterion in sorted(skill["criteria"], key=lambda each: _follows(each, status)):
                if criterion["status"] == status and status not in SATISFIED and "prompt" in criterion:
                    return _action(skill, criterion["id"], criterion, paths)
    return None


def _follows(criterion: Mapping[str, Any], status: str) -> bool:
    return status == "not_exercised" and not criterion["id"].endswith(".exercised")


def _action(
    skill: Mapping[str, Any], criterion: str | None, detail: Mapping[str, Any], paths: Sequence[str]
) -> dict[str, Any]:
    return {
        "feature": skill["feature"],
        "skill": skill["id"],
        "criterion": criterion,
        "location": detail["evidence"]["location"],
        "prompt": detail["prompt"],
        "rerun": shlex.join(
            ["pytest", "--ralph", *paths, "--ralph-feature", skill["feature"], "--ralph-skill", skill["id"]]
        ),
    }
