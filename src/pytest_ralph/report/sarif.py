"""The report as SARIF 2.1.0, for code scanning: each failure is a result at the line to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pytest_ralph.report.findings import keyed

_LEVELS: Mapping[str, str] = {
    "fail": "error",
    "error": "error",
    "not_exercised": "warning",
    "skipped": "warning",
    "waived": "warning",
    "not_run": "note",
}


def convert(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report as SARIF.

    Args:
        report: From `model.build`.
    """
    rules: dict[str, dict[str, Any]] = {}
    for _, skill, criterion in keyed(report["skills"]):
        rules.setdefault(*_rule(skill, criterion))
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pytest-ralph",
                        "version": report["run"]["versions"].get("pytest-ralph", "0"),
                        "rules": list(rules.values()),
                    }
                },
                "results": list(_results(report, list(rules))),
            }
        ],
    }


def _rule(skill: Mapping[str, Any], criterion: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    name = criterion["id"] if criterion is not None else f"{skill['id']}.healthy-call"
    text = criterion["text"] if criterion is not None else "the call succeeds when every service is healthy"
    kind = "" if criterion is None or criterion["kind"] == "pass" else "must not happen: "
    return name, {
        "id": name,
        "shortDescription": {"text": f"{kind}{text}"},
        "properties": {"tags": ["production-readiness", skill["phase"]]},
    }


def _results(report: Mapping[str, Any], rules: list[str]) -> Iterator[dict[str, Any]]:
    for key, skill, criterion in keyed(report["skills"]):
        detail = skill["problem"] if criterion is None else criterion
        status = "error" if criterion is None else criterion["status"]
        if status == "pass":
            continue
        name, _ = _rule(skill, criterion)
        evidence = detail["evidence"]
        seen = f"expected {evidence['expected']}; observed {evidence['observed']}"
        result: dict[str, Any] = {
            "ruleId": name,
            "ruleIndex": rules.index(name),
            "level": _LEVELS[status],
            "message": {"text": f"{key}: {seen}. {detail['prompt']}"},
            "locations": [_location(evidence["location"], skill["tests"][0])],
            "partialFingerprints": {"pytest-ralph/v1": detail["fingerprint"]},
        }
        if status == "waived":
            waiver = detail["waiver"]
            told = f"{waiver['reason']} ({waiver['owner']}, until {waiver['expires']})"
            result["suppressions"] = [{"kind": "external", "justification": told}]
        yield result


def _location(location: Mapping[str, Any] | None, test: str) -> dict[str, Any]:
    """Where to change something; the test if no line is known: what has no place is not shown."""
    file = location["file"] if location else test.partition("::")[0]
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": location["line"] if location else 1},
        }
    }
