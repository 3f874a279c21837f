"""The skills there are: found as modules of the skills package, one file each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

from pytest_ralph.core.skill import PHASES, Skill


class Registry:
    """Skills by id, in the order in which they are worth building.

    Args:
        skills: The skills to know.

    Raises:
        ValueError: Two skills have the same id, or a skill names an unknown phase.
    """

    def __init__(self, skills: Iterable[Skill]) -> None:
        self._skills: dict[str, Skill] = {}
        for skill in skills:
            if skill.id in self._skills:
                raise ValueError(f"skill {skill.id!r} is defined twice")
            if skill.phase not in PHASES:
                raise ValueError(f"skill {skill.id!r}: phase must be one of {PHASES}, got {skill.phase!r}")
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


def rank(skill: Skill) -> tuple[int, str]:
    """Sort key: phase by risk, then id."""
    return PHASES.index(skill.phase), skill.id


def builtin(package: str = "pytest_ralph.skills") -> Iterator[Skill]:
    """The skills that come with the package: the ``SKILL`` of every module in it."""
    path = importlib.import_module(package).__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        if not module.startswith("_"):
            yield importlib.import_module(f"{package}.{module}").SKILL
