"""Write an Agent Skill that teaches an agent the loop, or print a section for AGENTS.md."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

from pytest_ralph.cli.shared import Answer
from pytest_ralph.report import exits
from pytest_ralph.report.jsonfile import replace

EXAMPLES = """\
  pytest-ralph skill
  pytest-ralph skill --output .agents/skills
  pytest-ralph skill --agents-md >> AGENTS.md"""

NAME = "pytest-ralph"
_LOOP = """\
1. Run `pytest-ralph run`. It judges every gate and prints at most 1,500 tokens.
2. Exit code 0: done. 1: go on with 3. {stuck}, {tampered}: stop, and tell the person what it \
says. {incomplete}: run it again without -k, paths or other selections.
3. Do what the line `next:` says, and only that. `pytest-ralph next` prints it whole, `pytest-ralph show \
FEATURE/CRITERION` its evidence.
4. Run the command of the line `then:`. When that gate passes, go back to 1.

Rules:

- Change the code under test only. Never change tests, their markers and fixtures, conftest files, pytest's \
configuration, the policy, `ralph.lock` or `.ralph`. Such changes are found out and make the run `tampered`.
- Do not skip, waive or lock anything; that is for a person.
- If you hold a failure for wrong, run `pytest-ralph dispute FEATURE/CRITERION --reason "..."` and go \
on with what is next.
- `pytest-ralph explain SKILL` says what a skill demands.
"""
_SKILL = """\
---
name: {name}
description: Makes code ready for production by repairing it until its pytest-ralph gates (retries, \
timeouts, circuit breakers, idempotency, logs, metrics) are green. Use it when a task mentions pytest-ralph, \
`pytest --ralph` or production readiness, and before calling code that talks to services done.
license: MIT
compatibility: Needs Python 3.10 or newer with pytest and pytest-ralph installed
metadata:
  version: "{version}"
---

# Make the gates green

Gates are tests with `@ralph...` markers. `pytest --ralph` plays faults against them on a virtual clock and \
judges criteria.

{loop}"""
_SECTION = """\
## Production-readiness gates

This project is gated by pytest-ralph. Before you call a change done:

{loop}"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument(
        "--output",
        type=Path,
        default=Path(".claude/skills"),
        metavar="PATH",
        help="the folder of skills (default: .claude/skills)",
    )
    command.add_argument("--agents-md", action="store_true", help="print a section for AGENTS.md instead")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    loop = _LOOP.format(stuck=exits.STUCK, tampered=exits.TAMPERED, incomplete=exits.INCOMPLETE)
    if options.agents_md:
        text = _SECTION.format(loop=loop)
        return Answer(data={"text": text}, lines=text.splitlines())
    path = options.output / NAME / "SKILL.md"
    replace(path, _SKILL.format(name=NAME, version=version("pytest-ralph"), loop=loop))
    return Answer(data={"file": str(path)}, lines=[f"wrote {path}"])
