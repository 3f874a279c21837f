"""The hooks by which other packages, and a project's ``conftest.py``, add to pytest-ralph.

An implementation is an ordinary pytest hook: a function of this name in a plugin or a conftest. What it gives
is read once, when a run begins. The building blocks are in `pytest_ralph.extend`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ralph.extend import Criterion, Fault, Skill


@pytest.hookspec
def pytest_ralph_skills() -> Iterable[Skill]:  # type: ignore[empty-body]
    """Add skills.

    The marker of a skill is a function of the package's own, which returns what
    `pytest_ralph.extend.attach` makes. A conftest must be one that pytest loads at its start: in the root
    folder or in one named on the command line.

    Returns:
        The skills. Their ids must be new.
    """


@pytest.hookspec
def pytest_ralph_criteria(skill: str) -> Iterable[Criterion]:  # type: ignore[empty-body]
    """Add criteria to a skill: to every gate of it, in every test.

    Args:
        skill: The id of the skill, such as ``timeout``. It is asked for each.

    Returns:
        The criteria. Their ids must be new in this skill.
    """


@pytest.hookspec
def pytest_ralph_faults() -> Iterable[Fault]:  # type: ignore[empty-body]
    """Add faults to those that schedules are made of where faults are searched for.

    A fault that a scenario or a test names needs no hook: it is a value of a class derived from
    `pytest_ralph.extend.Fault`.

    Returns:
        The faults.
    """


@pytest.hookspec
def pytest_ralph_report(config: pytest.Config, report: Mapping[str, Any]) -> None:
    """Take note of a report, once it is complete and written.

    It is called once, on the controller. The report is a copy: verdicts cannot be changed.

    Args:
        config: The configuration.
        report: The report, as in the JSON file.
    """
