"""What the folder ``.ralph`` keeps between runs: the last and the best full run, and what is disputed.

Only the controller writes it, whole or not at all. It is a memory, not evidence: who edits it can hide a
standstill, but makes nothing green.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ralph.report.jsonfile import replace
from pytest_ralph.report.state import Past, Snapshot

FOLDER = ".ralph"


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A failure that somebody holds for wrong, and so a person has to decide.

    Attributes:
        key: Feature and criterion.
        fingerprint: The failure; when the code fails in another way, the dispute is over.
        reason: Why it is held for wrong.
    """

    key: str
    fingerprint: str
    reason: str


class History:
    """The memory of a project.

    Args:
        root: The root folder of the test run.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER

    def past(self) -> Past:
        """The full runs so far; none if nothing is known, or what is known cannot be read."""
        data = self._read("state.json")
        try:
            return Past(
                last=Snapshot.from_json(data["last"]) if data.get("last") else None,
                best=Snapshot.from_json(data["best"]) if data.get("best") else None,
                same=int(data.get("same", 0)),
                locked=data.get("locked") is True,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return Past()

    def keep(self, past: Past) -> None:
        """Remember the full runs.

        Raises:
            OSError: It cannot be written.
        """
        self._write(
            "state.json",
            {
                "last": past.last.to_json() if past.last else None,
                "best": past.best.to_json() if past.best else None,
                "same": past.same,
                "locked": past.locked,
            },
        )

    def disputes(self) -> list[Dispute]:
        """What is disputed."""
        found = self._read("disputes.json").get("disputes", [])
        try:
            return [Dispute(**each) for each in found]
        except TypeError:
            return []

    def dispute(self, dispute: Dispute) -> None:
        """Note a dispute, in place of an earlier one of the same failure.

        Raises:
            OSError: It cannot be written.
        """
        others = [each for each in self.disputes() if each.fingerprint != dispute.fingerprint]
        self._write("disputes.json", {"disputes": [vars(each) for each in (*others, dispute)]})

    def withdraw(self, fingerprint: str) -> bool:
        """Take a dispute back; tells whether there was one.

        Raises:
            OSError: It cannot be written.
        """
        disputes = self.disputes()
        left = [each for each in disputes if each.fingerprint != fingerprint]
        if len(left) == len(disputes):
            return False
        self._write("disputes.json", {"disputes": [vars(each) for each in left]})
        return True

    def number(self, name: str) -> int:
        """A number that is kept; 0 if there is none."""
        found = self._read(name).get("number", 0)
        return found if isinstance(found, int) else 0

    def keep_number(self, name: str, number: int) -> None:
        """Keep a number.

        Raises:
            OSError: It cannot be written.
        """
        self._write(name, {"number": number})

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ignored = self.folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")
        replace(self.folder / name, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
