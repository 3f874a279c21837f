"""Every criterion of every skill has a subject that passes it, and one that fails it and no other.

The subjects are in the tests of each skill, as rows of parameters: what is read here is what those tests run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_ralph.core.registry import builtin
from pytest_ralph.core.skill import Skill

SKILLS = tuple(builtin())
CRITERIA = [f"{skill.id}.{criterion.id}" for skill in SKILLS for criterion in skill.criteria]
# Tests of one subject that are no rows of others, as they need more than a name.
ALONE = {
    "emits-metric.metric-exists": "test_a_metric_that_is_not_there_is_told_with_what_is",
    "latency.p90": "test_a_few_connections_fewer_than_callers_show",
    "scales.requests": "test_requests_are_counted_exactly",
    "validates-input.accepts-valid": "test_a_valid_call_after_rejections_must_succeed",
}
VERDICTS = Path(__file__).parents[2] / "docs" / "explanation" / "verdicts.md"


def module_of(skill: Skill) -> ModuleType:
    """The module with the tests of a skill."""
    return importlib.import_module(f"tests.skills.test_{skill.marker}")


def rows(skill: Skill, prefix: str) -> Iterator[dict[str, Any]]:
    """The parameters of the tests whose names begin so, by their names."""
    for name, function in vars(module_of(skill)).items():
        for mark in getattr(function, "pytestmark", ()) if name.startswith(prefix) else ():
            if mark.name == "parametrize":
                names, values = mark.args
                names = re.split(r",\s*", names) if isinstance(names, str) else names
                for row in values:
                    row = getattr(row, "values", row)
                    yield dict(zip(names, row if len(names) > 1 else [row], strict=True))


def failing(skill: Skill, row: dict[str, Any]) -> set[str]:
    """The criteria that a subject is expected to fail."""
    expected = {row["criterion"]: "fail"} if "criterion" in row else row["not_passed"]
    names = [name for name, status in expected.items() if status == "fail"]
    return {name if "." in name else f"{skill.id}.{name}" for name in names}


def test_every_criterion_has_a_subject_that_fails_exactly_it():
    found = [failing(skill, row) for skill in SKILLS for row in rows(skill, "test_each_flaw")]
    alone = {
        criterion
        for criterion, test in ALONE.items()
        for skill in SKILLS
        if criterion.startswith(f"{skill.id}.") and callable(getattr(module_of(skill), test, None))
    }

    assert {next(iter(each)) for each in found if len(each) == 1} | alone == set(CRITERIA)
    # What is there among the rows by now need not be named.
    assert not alone & {next(iter(each)) for each in found if len(each) == 1}


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.id)
def test_every_skill_has_subjects_that_pass_all_of_its_criteria(skill: Skill):
    assert [name for name in vars(module_of(skill)) if name.startswith("test_right_")]


def test_the_page_on_verdicts_names_criteria_that_there_are():
    section = VERDICTS.read_text(encoding="utf-8").partition("### What hides what")[2].partition("\n## ")[0]
    lines = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    hiding = [(name, hidden) for first, then in lines for name in named(first) for hidden in named(then)]

    assert len(hiding) > 10
    for name, hidden in hiding:
        assert {name, hidden} <= set(CRITERIA)
        assert name.partition(".")[0] == hidden.partition(".")[0]


def named(cell: str) -> list[str]:
    """The criteria in a cell; those after the first may be without the skill."""
    found = re.findall(r"`([a-z.-]+)`", cell)
    skill = found[0].partition(".")[0]
    return [name if "." in name else f"{skill}.{name}" for name in found]
