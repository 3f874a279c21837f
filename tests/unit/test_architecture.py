"""The arrows between the layers, and what must grow together."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_ralph as ralph
from pytest_ralph.core.registry import builtin

SOURCE = Path(ralph.__file__).parent
# Which layers each layer may import; marker.py belongs to the skills.
ALLOWED = {
    "core": set(),
    "marker": set(),
    "faults": {"core"},
    "skills": {"core", "faults", "marker"},
    "world": {"core"},
    "report": {"core"},
    "engine": {"core", "defaults", "faults", "marker", "world", "report"},
    "defaults": {"_plugin", "marker", "report"},
    "cli": {"core", "report"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if layer in ALLOWED:
            yield layer, path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("layer", "path"), list(modules()), ids=lambda value: str(value).rpartition("pytest_ralph/")[2]
)
def test_layers_import_only_what_lies_below(layer: str, path: Path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("pytest_ralph.")}

    assert used - {layer} <= ALLOWED[layer]


@pytest.mark.parametrize(
    "path", [path for layer, path in modules() if layer == "core"], ids=lambda path: path.name
)
def test_the_core_needs_only_the_standard_library(path: Path):
    foreign = {name.split(".")[0] for name in imports(path)} - {"pytest_ralph"}

    assert foreign <= sys.stdlib_module_names


def test_private_names_of_pytest_are_not_used():
    for path in SOURCE.rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "_pytest"], path


def test_every_skill_is_a_public_name():
    for skill in builtin():
        assert skill.marker in ralph.__all__
        assert callable(getattr(ralph, skill.marker))


def test_every_public_name_is_there_and_known_to_type_checkers():
    checked = (SOURCE / "__init__.py").read_text().split("if TYPE_CHECKING:")[1].split("__all__")[0]
    for name in ralph.__all__:
        assert getattr(ralph, name) is not None
        assert f" as {name}\n" in checked
    assert sorted(dir(ralph)) == sorted(ralph.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ralph.nothing


def test_criteria_are_well_formed():
    for skill in builtin():
        assert len({criterion.id for criterion in skill.criteria}) == len(skill.criteria)
        assert {criterion.kind for criterion in skill.criteria} <= {"pass", "fail"}
