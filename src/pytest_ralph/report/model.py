"""The report as a fold: a plan of what should be judged and the results that came in, to plain data.

Pure functions without input or output. What is passed in may come from other processes, in any order; what
comes out depends only on the plan's order.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_ralph.core.policy import Policy
from pytest_ralph.report import requirements, state
from pytest_ralph.report.findings import (
    SATISFIED,
    WORST_FIRST,
    Finding,
    findings,
    fingerprint,
    worst,
)

SCHEMA = "pytest-ralph/report"
SCHEMA_VERSION = "1.0"

# A command is to be copied: with more than this it would only be in the way.
_LONGEST_PATHS = 300
_MOST_CHANGES = 5


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
class Integrity:
    """Whether the verdicts can be believed.

    Attributes:
        canary: ``red`` if a subject that must come out red did so, ``forged`` if not, ``not_run`` if unknown.
        unheard: Why it is unknown.
        locked: Whether there is a lock to compare with.
        lock: The digest of the lock; empty if there is none.
        changes: What has been weakened since it was locked, or forged: plain entries of kind, subject, text.
    """

    canary: str = "red"
    unheard: str = ""
    locked: bool = False
    lock: str = ""
    changes: Sequence[Mapping[str, str]] = ()

    @property
    def tampered(self) -> bool:
        """Whether a person has to look at it."""
        return self.canary == "forged" or bool(self.changes)

    def to_json(self) -> dict[str, Any]:
        """The form the report uses."""
        return {
            "canary": self.canary,
            "locked": self.locked,
            "lock": self.lock,
            "changes": [dict(each) for each in self.changes],
        }


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What else a report has to know of the run.

    Attributes:
        interrupted: Whether the run was cut short, or something could not be collected.
        left_out: Why this is not a run of everything: the options and paths that leave something out.
        uncollected: What could not be collected, and why.
        run: The block of values that differ from run to run.
        policy: What the team agreed upon.
        today: For waivers.
        past: The full runs before this one.
        disputed: Fingerprints of failures that wait for a person.
        integrity: Whether the verdicts can be believed.
    """

    interrupted: bool = False
    left_out: Sequence[str] = ()
    uncollected: Sequence[str] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    today: dt.date = dt.date.min
    past: state.Past = field(default_factory=state.Past)
    disputed: Collection[str] = ()
    integrity: Integrity = field(default_factory=Integrity)


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
    return assemble(skills, circumstances, complete=complete, paths=paths)


def assemble(
    skills: list[dict[str, Any]],
    circumstances: Circumstances,
    *,
    complete: bool,
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """A report from its entries.

    Args:
        skills: The entries, in order.
        circumstances: What else is to be known.
        complete: Whether every scenario of every collected gate was run.
        paths: Files and folders that were named on the command line.
    """
    requirements.waive(skills, circumstances.policy, circumstances.today)
    full = not circumstances.left_out
    policy = requirements.problems(skills, circumstances.policy, circumstances.today, full=full and complete)
    past, integrity = circumstances.past, circumstances.integrity
    regressed = state.regressions(skills, past)
    gate = _gate(skills, complete, bad=integrity.tampered or bool(policy), sure=integrity.canary == "red")
    found = findings(skills, regressed)
    disputed = [each.key for each in found if each.fingerprint in circumstances.disputed]
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "gate": gate,
        "state": state.judge(
            gate=gate,
            full=full and complete,
            tampered=integrity.tampered,
            failing=state.unsatisfied(skills, policy),
            regressed=regressed,
            disputed=disputed,
            past=past,
        ),
        "complete": complete,
        "full": full,
        "left_out": list(circumstances.left_out),
        "summary": _summary(skills),
        "integrity": integrity.to_json(),
        "policy": policy,
        "regressions": regressed,
        "disputed": disputed,
        "next_action": (
            _restore(integrity)
            or _repair(circumstances.uncollected, paths)
            or _next_action(found, disputed, paths)
            or _comply(policy)
            or _hear(integrity, skills)
        ),
        "skills": skills,
        "run": dict(circumstances.run),
    }


def red(report: Mapping[str, Any]) -> bool:
    """Whether any gate was judged and is not satisfied, or something makes all of them worthless."""
    return (
        any(skill["status"] not in (*SATISFIED, "not_run") for skill in report["skills"])
        or bool(report["policy"])
        or report["state"] == "tampered"
    )


def _gate(skills: Sequence[Mapping[str, Any]], complete: bool, *, bad: bool, sure: bool) -> str:
    statuses = {skill["status"] for skill in skills}
    if bad or statuses - {*SATISFIED, "not_run"}:
        return "fail"
    return "pass" if complete and sure and skills and "not_run" not in statuses else "incomplete"


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
        "rests_on": list(gate["rests_on"]),
        "status": worst(criterion["status"] for criterion in criteria),
        "tests": [test for test, _, _ in members],
        "parameters": gate["parameters"],
        "criteria": criteria,
    }
    # A call that fails only after other scenarios is broken by them: what failed there says why.
    if broken is not None and entry["status"] != "fail":
        entry["status"] = "error"
        entry["problem"] = problem = _problem(*broken)
        problem["fingerprint"] = fingerprint(entry["feature"], entry["id"], "error", problem["evidence"])
    return entry


def _at(location: Mapping[str, Any] | None) -> str:
    if not location:
        return ""
    function = f" ({location['function']})" if location["function"] else ""
    return f"In {location['file']}, line {location['line']}{function}: "


def _problem(nodeid: str, result: Result) -> dict[str, Any]:
    where = _at(result.location)
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
        entry["fingerprint"] = fingerprint(
            members[0][2]["feature"], criterion["id"], status, entry["evidence"]
        )
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
    if result.outcome == "error":
        unseen = _unseen(result.reason, criterion, item, scenario)
        unseen["evidence"]["location"] = dict(result.location) if result.location else None
        unseen["prompt"] = (
            f"{_at(result.location)}Make the test run: {result.reason.rstrip('.')}. "
            f"Leave its gates as they are. {criterion['id']} cannot be judged before that."
        )
        return [("error", unseen)]
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


def _next_action(
    found: Sequence[Finding], disputed: Collection[str], paths: Sequence[str]
) -> dict[str, Any] | None:
    """The one thing to do next: the first of what is not disputed."""
    finding = next((each for each in found if each.key not in disputed), None)
    if finding is not None:
        return _action(finding, finding.prompt, paths)
    if not found:
        return None
    names = ", ".join(each.key for each in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return _action(
        found[0],
        f"Stop here: all that is left is disputed and waits for a person ({names}{more}). Change nothing.",
        paths,
    )


def _action(finding: Finding, prompt: str, paths: Sequence[str]) -> dict[str, Any]:
    feature, skill = finding.skill["feature"], finding.skill["id"]
    named = paths if sum(map(len, paths)) <= _LONGEST_PATHS else ()
    return {
        "feature": feature,
        "skill": skill,
        "criterion": finding.criterion,
        "location": finding.evidence["location"],
        "prompt": prompt,
        "rerun": shlex.join(
            ["pytest", "--ralph", *named, "--ralph-feature", feature, "--ralph-skill", skill]
        ),
    }


def _restore(integrity: Integrity) -> dict[str, Any] | None:
    """What to do when somebody tampered."""
    if not integrity.tampered:
        return None
    changes = [f"{each['subject']}: {each['text']}" for each in integrity.changes]
    if integrity.canary == "forged":
        changes.insert(0, "canary: a test that must come out red did not")
    told = "; ".join(changes[:_MOST_CHANGES])
    more = f"; and {len(changes) - _MOST_CHANGES} more" if len(changes) > _MOST_CHANGES else ""
    return _general(
        f"Undo what weakens the gates, and change only the code under test: {told}{more}. "
        "If it is meant so, a person has to agree by running pytest-ralph lock."
    )


def _comply(policy: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What to do when all gates hold, but the policy demands more."""
    if not policy:
        return None
    first = policy[0]
    return _general(f"{first['subject']} {first['text']}. {first['prompt']}", first["feature"])


def _hear(integrity: Integrity, skills: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What to do when all gates hold, but nothing shows that a red one would come out red."""
    if integrity.canary != "not_run" or not skills:
        return None
    return _general(
        "Find the hook or plugin that keeps pytest-ralph from running a test of its own, which must come out "
        f"red before anything is called green: {integrity.unheard}. A person has to look at it."
    )


def _general(prompt: str, feature: str = "") -> dict[str, Any]:
    return {
        "feature": feature,
        "skill": "",
        "criterion": None,
        "location": None,
        "prompt": prompt,
        "rerun": "pytest --ralph",
    }
