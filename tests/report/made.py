"""Reports made without a run: entries with failures, put together as a run does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

from pytest_ralph.report import jsonfile
from pytest_ralph.report.findings import fingerprint, worst
from pytest_ralph.report.model import Circumstances, assemble

RUN = {"id": "1", "started": "now", "duration": 0.1, "versions": {}}


def criterion(name: str, status: str = "pass", feature: str = "payments", **evidence: Any) -> dict[str, Any]:
    """A criterion; what is not given of its evidence is made up."""
    entry: dict[str, Any] = {"id": name, "kind": "pass", "text": f"{name} holds", "status": status}
    if status != "pass":
        entry["evidence"] = {
            "expected": f"what {name} wants",
            "observed": f"not what {name} wants",
            "scenario": "hang",
            "aimed_at": "",
            "nodeid": "t.py::a[hang]",
            "location": {"file": "pay.py", "line": 41, "function": "charge"},
            "timeline": [],
            "also_in": [],
            **evidence,
        }
        entry["prompt"] = f"Repair {name}."
        entry["fingerprint"] = fingerprint(feature, name, status, entry["evidence"])
    return entry


def skill(
    statuses: Mapping[str, str] | Sequence[dict[str, Any]],
    *,
    feature: str = "payments",
    phase: str = "resilience",
    problem: str = "",
    rests_on: Sequence[str] = (),
) -> dict[str, Any]:
    """An entry of a skill: criteria, or their statuses by name."""
    criteria = (
        [criterion(name, status, feature) for name, status in statuses.items()]
        if isinstance(statuses, Mapping)
        else list(statuses)
    )
    entry: dict[str, Any] = {
        "id": criteria[0]["id"].partition(".")[0],
        "feature": feature,
        "title": "does it",
        "phase": phase,
        "rests_on": list(rests_on),
        "status": worst(each["status"] for each in criteria),
        "tests": ["t.py::a"],
        "parameters": {},
        "criteria": criteria,
    }
    if problem:
        broken = criterion(entry["id"], "error", feature, observed=problem, scenario="healthy")
        entry["problem"] = {key: broken[key] for key in ("evidence", "prompt", "fingerprint")}
        entry["status"] = "error"
    return entry


def report(*skills: dict[str, Any], complete: bool = True, **circumstances: Any) -> dict[str, Any]:
    """A report of these entries, valid under its schema."""
    made = assemble(list(skills), Circumstances(run=RUN, **circumstances), complete=complete)
    jsonschema.validate(made, jsonfile.schema())
    return made
