"""Explain a skill: its criteria and parameters, or list all skills."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest_ralph as ralph
from pytest_ralph.cli.shared import Answer, UsageError, registry
from pytest_ralph.core.skill import Skill, Spec

EXAMPLES = """\
  pytest-ralph explain
  pytest-ralph explain retry
  pytest-ralph explain timeout --json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("id", nargs="?", help="id of a skill")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    known = registry()
    if options.id is None:
        rows = [{"id": each.id, "phase": each.phase, "title": each.title} for each in known]
        lines = [f"{row['id']:18}{row['phase']:15}{row['title']}" for row in rows]
        return Answer(data=rows, lines=lines)
    skill = known.get(options.id.partition(".")[0].replace("_", "-"))
    if skill is None:
        raise UsageError(f"there is no skill {options.id}; there are {', '.join(known.ids)}")
    return _explained(skill)


def _explained(skill: Skill) -> Answer:
    marker = inspect.unwrap(getattr(ralph, skill.marker))
    example, spec = _example(skill, marker)
    signature = f"@ralph.{skill.marker}{inspect.signature(marker)}"
    criteria = [
        {"id": f"{skill.id}.{each.id}", "kind": each.kind, "text": each.text(spec), "fix": each.fix(spec)}
        for each in skill.applicable(spec)
    ]
    data = {
        "id": skill.id,
        "phase": skill.phase,
        "title": skill.title,
        "marker": example,
        "signature": signature,
        "criteria": criteria,
    }
    lines = [f"{skill.id}: {skill.title} (phase {skill.phase})", f"  for {example}"]
    for each in criteria:
        lines.append(f"  {'must' if each['kind'] == 'pass' else 'never':6}{each['id']}: {each['text']}")
        lines.append(f"        {each['fix']}")
    return Answer(data=data, lines=lines)


def _example(skill: Skill, marker: Callable[..., Any]) -> tuple[str, Spec]:
    """The marker as its documentation writes it, and what it asks for."""
    # What needs other names than ralph is no example for this.
    pattern = rf"@(ralph\.{skill.marker}(?:\([^\n]*\))?)"
    for written in re.findall(pattern, inspect.getdoc(marker) or ""):
        with suppress(AttributeError, NameError, SyntaxError, TypeError, ValueError, IndexError):
            return f"@{written}", eval(written, {"ralph": ralph}).args[0]
    return f"@ralph.{skill.marker}()", marker().args[0]
