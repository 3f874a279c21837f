"""The report in the Common Test Report Format (ctrf.io): each criterion is a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_ralph.report.findings import keyed

SPEC_VERSION = "0.1.0"
_COUNTED = ("passed", "failed", "skipped", "pending", "other")
_KEPT = ("gate", "state", "complete", "full", "integrity", "policy")
_STATUSES: Mapping[str, str] = {
    "pass": "passed",
    "waived": "passed",
    "fail": "failed",
    "error": "failed",
    "not_exercised": "failed",
    "skipped": "skipped",
    "not_run": "pending",
}


def convert(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report as CTRF.

    What was not put to the test counts as failed, as it does for the gate; the status of the report is in
    ``rawStatus``.

    Args:
        report: From `model.build`.
    """
    tests = [_test(*each) for each in _criteria(report)]
    start = round(dt.datetime.fromisoformat(report["run"]["started"]).timestamp() * 1000)
    statuses = [each["status"] for each in tests]
    return {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": "pytest-ralph",
        "results": {
            "tool": {"name": "pytest-ralph", "version": report["run"]["versions"].get("pytest-ralph", "")},
            "summary": {
                "tests": len(tests),
                **{name: statuses.count(name) for name in _COUNTED},
                "start": start,
                "stop": start + round(report["run"]["duration"] * 1000),
                "extra": {key: report[key] for key in _KEPT},
            },
            "tests": tests,
        },
    }


def _criteria(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for key, skill, criterion in keyed(report["skills"]):
        if criterion is None:
            yield key, skill, {"status": "error", **skill["problem"]}
        else:
            yield key, skill, criterion


def _test(key: str, skill: Mapping[str, Any], criterion: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": key,
        "status": _STATUSES[criterion["status"]],
        "rawStatus": criterion["status"],
        # A criterion is judged over many items, and has no time of its own.
        "duration": 0,
        "suite": [skill["feature"], skill["id"]],
        "tags": [skill["phase"]],
        "filePath": skill["tests"][0].partition("::")[0],
    }
    if "evidence" in criterion:
        evidence = criterion["evidence"]
        found["message"] = f"expected {evidence['expected']}; observed {evidence['observed']}"
        found["trace"] = "\n".join(evidence["timeline"])
        found["extra"] = {"fingerprint": criterion["fingerprint"], "location": evidence["location"]}
    return found
