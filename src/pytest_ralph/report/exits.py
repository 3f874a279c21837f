"""Exit codes of the command: what a loop or a pipeline is to do after a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GREEN = 0
RED = 1
CRASHED = 2
STUCK = 3
USAGE = 4
NOTHING = 5
TAMPERED = 20
INCOMPLETE = 21

MEANINGS: Mapping[int, str] = {
    GREEN: "green and complete",
    RED: "red, and going on makes sense",
    CRASHED: "a crash, which says so on stderr",
    STUCK: "stalled, or blocked on a person",
    USAGE: "a usage error",
    NOTHING: "nothing was judged",
    TAMPERED: "tampered",
    INCOMPLETE: "incomplete: not everything was judged",
}

_STATES: Mapping[str, int] = {
    "green": GREEN,
    "in_progress": RED,
    "regressed": RED,
    "stalled": STUCK,
    "blocked_on_human": STUCK,
    "tampered": TAMPERED,
    "incomplete": INCOMPLETE,
}


def code(report: Mapping[str, Any]) -> int:
    """The exit code for a report.

    A run that left something out and in which all else holds is incomplete, never green.

    Args:
        report: From `model.build`.
    """
    if not report["skills"] and report["state"] != "tampered":
        return NOTHING if report["next_action"] is None else INCOMPLETE
    if report["gate"] == "pass" and report["state"] == "in_progress":
        return INCOMPLETE
    return _STATES[report["state"]]
