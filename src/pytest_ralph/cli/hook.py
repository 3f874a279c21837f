"""Speak to an agent's hook: keep it from stopping while a gate is red.

`hook stop` reads the event on stdin and judges all gates. Red gates block the stop, with what to do next as
the reason; what a person has to look at releases it, with a message. Claude Code, Codex and Copilot take the
answer as it is, Cursor with --cursor. Blocks are counted per session: after --limit of them the agent may
stop. Whatever goes wrong blocks, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from pytest_ralph.cli.shared import Answer, Run, pytest
from pytest_ralph.report import exits
from pytest_ralph.report.agent import MOST_CHARACTERS
from pytest_ralph.report.history import History

EXAMPLES = """\
  pytest-ralph hook stop < event.json
  pytest-ralph hook stop --cursor --limit 5"""

# Claude Code ends the turn by itself after eight blocks in a row.
_LIMIT = 7
_RELEASED = (exits.STUCK, exits.TAMPERED)


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("event", choices=("stop",))
    command.add_argument("--cursor", action="store_true", help="answer as Cursor expects it")
    command.add_argument(
        "--limit", type=int, default=_LIMIT, metavar="N", help=f"blocks per session (default: {_LIMIT})"
    )
    command.add_argument("arguments", nargs="*", help="further arguments for pytest, after --")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    event = _event(sys.stdin.read())
    folder = Path(str(event.get("cwd") or "."))
    folder = folder if folder.is_dir() else Path.cwd()
    session = str(event.get("session_id") or event.get("conversation_id") or "unknown")
    counter = Counter(folder, session)
    done = pytest(["--ralph-output=agent", *options.arguments], folder=folder)
    if done.verdict == exits.GREEN:
        counter.reset()
        return _answer({})
    told = _told(done)
    if done.verdict in _RELEASED:
        return _answer(_release(f"pytest-ralph: a person has to look at it.\n{told}", cursor=options.cursor))
    if not counter.count(options.limit):
        reason = f"pytest-ralph: still not green after {options.limit} tries in this session.\n{told}"
        return _answer(_release(reason, cursor=options.cursor))
    return _answer(_block(f"The gates are not green yet; go on.\n{told}", cursor=options.cursor))


class Counter:
    """How often a session was blocked.

    Args:
        root: The root folder.
        session: The session's id.
    """

    def __init__(self, root: Path, session: str) -> None:
        self._history = History(root)
        self._name = f"hook-{hashlib.sha256(session.encode()).hexdigest()[:12]}.json"

    def count(self, limit: int) -> bool:
        """Count a block; tells whether it is within the limit."""
        blocks = self._history.number(self._name) + 1
        if blocks > limit:
            return False
        self._history.keep_number(self._name, blocks)
        return True

    def reset(self) -> None:
        """Begin anew: the gates were green."""
        self._history.keep_number(self._name, 0)


def _event(text: str) -> dict[str, Any]:
    """What the agent sends. A hook that cannot read it still judges the gates."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(done: Run) -> str:
    if done.report is None:
        return f"No gate could be judged:\n{done.output.strip()[-2_000:]}"
    return done.output.strip()[:MOST_CHARACTERS]


def _block(reason: str, *, cursor: bool) -> dict[str, Any]:
    return {"followup_message": reason} if cursor else {"decision": "block", "reason": reason}


def _release(message: str, *, cursor: bool) -> dict[str, Any]:
    # Cursor has no way to tell a person something when it lets go.
    return {} if cursor else {"systemMessage": message}


def _answer(data: dict[str, Any]) -> Answer:
    return Answer(data=data, lines=[json.dumps(data, ensure_ascii=False)])
