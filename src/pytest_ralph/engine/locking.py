"""What a lock is made of: gates, sources, configuration and plugins of a run, as plain data.

What is compared with what, and what counts as weaker, is in `report.lock`.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.masking import masked
from pytest_ralph.core.registry import Registry
from pytest_ralph.core.skill import eased
from pytest_ralph.core.source import Module, digest_of_file
from pytest_ralph.engine.gates import base_id, scenario_of
from pytest_ralph.engine.scope import COLLECTING
from pytest_ralph.engine.session import Run
from pytest_ralph.report.jsonfile import replace
from pytest_ralph.report.lock import FILE, SCHEMA, SCHEMA_VERSION, Change, Eased, compare

# Its default differs between versions of pytest; a test that it hides is missed anyway.
_VARYING = "norecursedirs"
# These only ever take something away, and are told where they appear.
_HARMLESS_TO_LOSE = ("skip", "skipif", "xfail")


def inventory(config: pytest.Config, items: list[pytest.Item], run: Run) -> dict[str, Any]:
    """What would be locked now.

    Args:
        config: The configuration.
        items: All items, before any is deselected.
        run: The run.
    """
    root = config.rootpath
    gated = {base_id(item): item for item in items if scenario_of(item) is not None}
    paths = {Path(item.path) for item in gated.values()}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_with": version("pytest-ralph"),
        "tests": {name: _test(item, run) for name, item in sorted(gated.items())},
        "modules": {_relative(path, root): _module(path).code for path in sorted(paths)},
        "conftests": dict(sorted(_conftests(config))),
        "files": {
            _relative(path, root): digest_of_file(path)
            for pattern in run.policy.locked
            for path in sorted(root.glob(pattern))
            if path.is_file()
        },
        "configuration": {key: _plain(config.getini(key), root) for key in COLLECTING if key != _VARYING},
        "policy": run.policy.to_json(),
        "plugins": sorted(set(_distributions(config))),
    }


def _test(item: pytest.Item, run: Run) -> dict[str, Any]:
    found = run.test(item)
    plans = [gate.plan() for gate in found.gates_asked]
    function = inspect.unwrap(getattr(item, "obj", lambda: None))
    path = [each.name for each in item.listchain() if isinstance(each, pytest.Class)]
    path.append(getattr(item, "originalname", item.name))
    module = _module(_home(function, Path(item.path)))
    return {
        "feature": found.features[0] if found.features else "",
        # A test that is not written as a function of its module changes with the module.
        "body": module.body(path) or digest_of_file(Path(item.path)),
        "uses": module.uses(path, getattr(item, "fixturenames", ())),
        "marks": sorted({_mark(mark) for mark in item.iter_markers() if mark.name != "ralph"}),
        "gates": [
            {
                "skill": plan["skill"],
                "parameters": plan["parameters"],
                "criteria": [each["id"] for each in plan["criteria"]],
                "scenarios": sorted({name for each in plan["criteria"] for name in each["scenarios"]}),
            }
            for plan in plans
        ],
    }


def _home(function: Any, path: Path) -> Path:
    """The file that a test function is written in: another one than the test's if it was imported."""
    code = getattr(function, "__code__", None)
    written = Path(code.co_filename) if code is not None else path
    return written if written.suffix == ".py" and written.is_file() else path


def _mark(mark: pytest.Mark) -> str:
    if mark.name in _HARMLESS_TO_LOSE:
        # Their conditions differ between machines; where one holds, the gate is not satisfied anyway.
        return mark.name
    arguments = [*map(repr, mark.args), *(f"{key}={value!r}" for key, value in sorted(mark.kwargs.items()))]
    return masked(f"{mark.name}({', '.join(arguments)})")


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, _changed: int) -> Module:
    try:
        return Module(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Module("")


def _module(path: Path) -> Module:
    return _parsed(path, os.stat(path).st_mtime_ns if path.exists() else 0)


def _conftests(config: pytest.Config) -> Iterator[tuple[str, str]]:
    """Plugins that are files of the project: every conftest, and modules named in ``pytest_plugins``."""
    for plugin in config.pluginmanager.get_plugins():
        file = getattr(plugin, "__file__", None)
        if file is None:
            continue
        path = Path(file)
        if path.is_relative_to(config.rootpath) and not {"site-packages", "dist-packages"} & set(path.parts):
            yield _relative(path, config.rootpath), digest_of_file(path)


def _distributions(config: pytest.Config) -> Iterator[str]:
    for _, distribution in config.pluginmanager.list_plugin_distinfo():
        yield str(distribution.metadata["name"])


def _plain(value: Any, root: Path) -> Any:
    if isinstance(value, list):
        return [_plain(each, root) for each in value]
    return _relative(value, root) if isinstance(value, Path) else value


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def write(found: Mapping[str, Any], root: Path) -> Path:
    """Write the lock.

    Args:
        found: From `inventory`.
        root: The root folder.

    Raises:
        OSError: It cannot be written.
    """
    path = root / FILE
    replace(path, json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return path


def changes(root: Path, found: Mapping[str, Any], registry: Registry, *, whole: bool) -> list[Change] | None:
    """What is weaker than what is locked; None if nothing is.

    Args:
        root: The root folder.
        found: From `inventory`; empty if nothing could be collected.
        registry: The skills.
        whole: Whether everything was collected.
    """
    path = root / FILE
    if not path.exists():
        return None
    try:
        agreed = json.loads(path.read_text(encoding="utf-8"))
        if agreed["schema"] != SCHEMA:
            raise ValueError(f"it is of schema {agreed['schema']}")
        return compare(agreed, found, _easing(registry), whole=whole) if found else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"cannot be read: {type(error).__name__}: {error}"
        return [{"kind": "file", "subject": FILE, "text": reason}]


def _easing(registry: Registry) -> Eased:
    def easing(skill: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        # Tuples of parameters are lists in a lock.
        plain = json.loads(json.dumps(new))
        return eased(registry.get(skill), old, plain)

    return easing
