"""What a report means after those before it: progress, a step back, or standstill.

Only full runs count: those that asked for everything there is and ran all of it. Pure functions over report
dicts; where the state of a project is kept is the business of `history`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_ralph.report.findings import SATISFIED, findings, keyed

STATES = ("green", "in_progress", "regressed", "stalled", "blocked_on_human", "tampered", "incomplete")
PATIENCE = 3
"""So many full runs with the same failures are a standstill."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is remembered of a full run.

    Attributes:
        run: The run's id.
        satisfied: Keys of what was satisfied.
        failing: Fingerprint by key of what was not.
        regressions: Keys of what had been satisfied before.
    """

    run: str
    satisfied: tuple[str, ...] = ()
    failing: Mapping[str, str] = field(default_factory=dict)
    regressions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form in which it is kept."""
        return {
            "run": self.run,
            "satisfied": list(self.satisfied),
            "failing": dict(self.failing),
            "regressions": list(self.regressions),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        """From the form in which it is kept.

        Raises:
            KeyError: Something is missing.
        """
        return cls(
            run=data["run"],
            satisfied=tuple(data["satisfied"]),
            failing=dict(data["failing"]),
            regressions=tuple(data["regressions"]),
        )


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is remembered of all full runs.

    Attributes:
        last: The last one.
        best: The one with the most satisfied.
        same: How many full runs in a row, with the last one, failed in the same way.
        locked: Whether there was a lock.
    """

    last: Snapshot | None = None
    best: Snapshot | None = None
    same: int = 0
    locked: bool = False


def unsatisfied(skills: list[dict[str, Any]], policy: list[dict[str, Any]]) -> dict[str, str]:
    """Fingerprint by key of what is not satisfied, requirements of the policy included."""
    failing = {each.key: each.fingerprint for each in findings(skills)}
    return failing | {f"policy/{each['subject']}": each["text"] for each in policy}


def regressions(skills: list[dict[str, Any]], past: Past) -> list[str]:
    """Keys of what was satisfied in the last or the best full run, and no longer is."""
    before: set[str] = set()
    for snapshot in (past.last, past.best):
        before.update((*snapshot.satisfied, *snapshot.regressions) if snapshot else ())
    return [
        key
        for key, _, criterion in keyed(skills)
        if (criterion is None and any(each.startswith(f"{key}.") for each in before))
        or (criterion is not None and key in before and criterion["status"] not in (*SATISFIED, "not_run"))
    ]


def snapshot(report: Mapping[str, Any]) -> Snapshot:
    """What is to be remembered of a full run."""
    return Snapshot(
        run=str(report["run"].get("id", "")),
        satisfied=tuple(
            key
            for key, _, each in keyed(report["skills"])
            if each is not None and each["status"] in SATISFIED
        ),
        failing=unsatisfied(report["skills"], report["policy"]),
        regressions=tuple(report["regressions"]),
    )


def remember(past: Past, report: Mapping[str, Any]) -> Past:
    """The past of the next run.

    A partial or incomplete run, or one in which somebody tampered, changes nothing.
    """
    locked = past.locked or report["integrity"]["locked"]
    if not (report["full"] and report["complete"]) or report["state"] == "tampered":
        return replace(past, locked=locked)
    now = snapshot(report)
    return Past(last=now, best=_better(now, past.best), same=repeats(now.failing, past), locked=locked)


def repeats(failing: Mapping[str, str], past: Past) -> int:
    """How many full runs in a row, with this one, failed in the same way."""
    return past.same + 1 if past.last is not None and dict(past.last.failing) == dict(failing) else 1


def _better(now: Snapshot, best: Snapshot | None) -> Snapshot:
    if best is None or len(now.satisfied) > len(best.satisfied):
        return now
    return now if set(best.satisfied) <= set(now.satisfied) else best


def judge(
    *,
    gate: str,
    full: bool,
    tampered: bool,
    failing: Mapping[str, str],
    regressed: Collection[str],
    disputed: Collection[str],
    past: Past,
) -> str:
    """One of `STATES`.

    Args:
        gate: ``pass``, ``fail`` or ``incomplete``.
        full: Whether everything there is was asked for, and run.
        tampered: Whether what was agreed upon has been weakened, or outcomes were forged.
        failing: Fingerprint by key of what is not satisfied.
        regressed: Keys of what was satisfied before.
        disputed: Keys of what is disputed, and so waits for a person.
        past: The full runs before this one.
    """
    if tampered:
        return "tampered"
    if gate == "incomplete":
        return "incomplete"
    if gate == "pass":
        return "green" if full else "in_progress"
    if failing and set(failing) <= set(disputed):
        return "blocked_on_human"
    if full and repeats(failing, past) >= PATIENCE:
        return "stalled"
    return "regressed" if regressed else "in_progress"
