"""The skills there are: modules of the skills package, one file each, and those that plugins add."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pytest_ralph.core.skill import PHASES, Criterion, Skill

_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Registry:
    """Skills by id, in the order in which they are worth building.

    Args:
        skills: The skills to know.

    Raises:
        TypeError: Something is not a skill.
        ValueError: Two skills have the same id, or a skill is not well-formed.
    """

    def __init__(self, skills: Iterable[Skill]) -> None:
        self._skills: dict[str, Skill] = {}
        for skill in skills:
            _check(skill)
            if skill.id in self._skills:
                raise ValueError(f"skill {skill.id!r} is defined twice")
            self._skills[skill.id] = skill

    def __iter__(self) -> Iterator[Skill]:
        return iter(sorted(self._skills.values(), key=rank))

    def __contains__(self, skill_id: str) -> bool:
        return skill_id in self._skills

    def __getitem__(self, skill_id: str) -> Skill:
        return self._skills[skill_id]

    def get(self, skill_id: str) -> Skill | None:
        """The skill of that id, or None."""
        return self._skills.get(skill_id)

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, in order."""
        return tuple(skill.id for skill in self)


def _check(skill: object) -> None:
    if not isinstance(skill, Skill):
        raise TypeError(f"expected a Skill, got {skill!r}")
    if not _ID.fullmatch(skill.id):
        raise ValueError(f"skill {skill.id!r}: the id must be in kebab-case, such as 'rate-limit'")
    if skill.phase not in PHASES:
        raise ValueError(f"skill {skill.id!r}: phase must be one of {PHASES}, got {skill.phase!r}")
    seen: set[str] = set()
    for criterion in skill.criteria:
        if not isinstance(criterion, Criterion):
            raise TypeError(f"skill {skill.id!r}: expected a Criterion, got {criterion!r}")
        if not _ID.fullmatch(criterion.id) or criterion.id == "exercised" or criterion.id in seen:
            raise ValueError(
                f"skill {skill.id!r}: the id of a criterion must be in kebab-case, new in its skill and not "
                f"'exercised', got {criterion.id!r}"
            )
        if criterion.kind not in ("pass", "fail"):
            raise ValueError(
                f"criterion {skill.id}.{criterion.id}: kind must be 'pass' or 'fail', got {criterion.kind!r}"
            )
        seen.add(criterion.id)


def extended(skill: Skill, criteria: Iterable[Criterion]) -> Skill:
    """A skill with further criteria."""
    return replace(skill, criteria=(*skill.criteria, *criteria))


def rank(skill: Skill) -> tuple[int, str]:
    """Sort key: phase by risk, then id."""
    return PHASES.index(skill.phase), skill.id


def builtin(package: str = "pytest_ralph.skills") -> Iterator[Skill]:
    """The skills that come with the package: the ``SKILL`` of every module in it."""
    path = importlib.import_module(package).__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        if not module.startswith("_"):
            yield importlib.import_module(f"{package}.{module}").SKILL
