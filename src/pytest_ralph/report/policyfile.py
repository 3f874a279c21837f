"""Where a policy is found: in ``ralph.toml``, or under ``[tool.ralph]`` in ``pyproject.toml``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ralph.core.policy import Policy, PolicyError, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

OWN = "ralph.toml"
SHARED = "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A policy as it is written.

    Attributes:
        file: Name of the file; empty if there is none.
        prefix: What stands before its keys.
        table: What is in it.
    """

    file: str = ""
    prefix: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)


def find(root: Path) -> Source:
    """The policy of a project, as it is written.

    Args:
        root: The root folder of the test run.

    Raises:
        PolicyError: A file is not TOML, ``tool.ralph`` is no table, or there are two policies.
    """
    own, shared = _read(root / OWN), _read(root / SHARED)
    tools = (shared or {}).get("tool")
    table = tools.get("ralph") if isinstance(tools, dict) else None
    if own is not None and table is not None:
        raise PolicyError(SHARED, "tool.ralph", "a second policy", f"one policy, and {OWN} is there")
    if own is not None:
        return Source(file=OWN, table=own)
    if table is None:
        return Source()
    if not isinstance(table, dict):
        raise PolicyError(SHARED, "tool.ralph", table, "a table")
    return Source(file=SHARED, prefix="tool.ralph", table=table)


def load(root: Path, skills: Sequence[str]) -> Policy:
    """The policy of a project, checked; an empty one if it has none.

    Args:
        root: The root folder of the test run.
        skills: Ids of the skills there are.

    Raises:
        PolicyError: Something in it makes no sense.
    """
    source = find(root)
    return parse(source.table, file=source.file, prefix=source.prefix, skills=skills)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    # Most projects have no policy, and need not wait until the rest of their file is parsed.
    if path.name == SHARED and b"ralph" not in content:
        return {}
    try:
        found: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(path.name, "the file", str(error), "TOML") from None
    return found
