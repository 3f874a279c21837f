"""Collection: scenarios become items, and what is not judged is deselected."""

from __future__ import annotations

import unittest
from collections import Counter

import pytest

from pytest_ralph.engine import locking
from pytest_ralph.engine.gates import SCENARIO, count_gates, scenario_of
from pytest_ralph.engine.session import Run, Test, plan, run_of
from pytest_ralph.marker import check_arguments
from pytest_ralph.report.lock import FILE


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Make one item per scenario of a gated test."""
    run = run_of(metafunc.config)
    test = run.define(metafunc.definition)
    played = test.scenarios
    if not played:
        return
    _check(metafunc, test)
    metafunc.fixturenames.append(SCENARIO)
    metafunc.parametrize(SCENARIO, played, ids=[scenario.id for scenario in played], indirect=True)


def _check(metafunc: pytest.Metafunc, test: Test) -> None:
    """Refuse what can be seen only where all markers of a test have come together.

    Raises:
        pytest.Collector.CollectError: A marker of a class or module names an argument that this test does not
            have, or two markers want different things played under one name.
    """
    code = metafunc.function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}"
    named = [name for gate in test.gates for name in getattr(gate.spec, "arguments", ())]
    try:
        check_arguments(metafunc.function, named)
    except ValueError as error:
        raise pytest.Collector.CollectError(f"{where}: {error}") from None
    names = Counter(scenario.id for scenario in test.scenarios)
    for name, count in names.items():
        if count > 1:
            raise pytest.Collector.CollectError(
                f"{where}: {metafunc.function.__name__}: {count} markers want different things played as "
                f"{name!r}; join them in one marker"
            )


def select(config: pytest.Config, items: list[pytest.Item], *, failed: bool) -> None:
    """Leave the items that play a scenario; note all gates for the report.

    Args:
        config: The configuration.
        items: All items.
        failed: Whether some tests could not be collected.

    Raises:
        pytest.UsageError: A gate stands where it cannot be judged, or no feature has the name asked for.
    """
    run = run_of(config)
    _refuse_unplayable(items)
    _refuse_unknown(run, items)
    _refuse_unseen(run, items)
    run.plan = plan(items, run)
    if config.getoption("ralph_lock") or (config.rootpath / FILE).exists():
        run.inventory = locking.inventory(config, items, run)
    judged = [item for item in items if scenario_of(item) is not None]
    wanted = run.selection.features
    if wanted and not judged and not failed:
        features = sorted({feature for item in items for feature in run.test(item).features})
        known = f"; there are {', '.join(features)}" if features else ""
        raise pytest.UsageError(f"--ralph-feature: no gate of feature {', '.join(wanted)}{known}")
    others = [item for item in items if scenario_of(item) is None]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = judged


def _refuse_unplayable(items: list[pytest.Item]) -> None:
    for item in items:
        gated = any("skill" in mark.kwargs for mark in item.iter_markers("ralph"))
        if gated and (reason := _unplayable(item)):
            raise pytest.UsageError(f"{item.nodeid}: {reason}")


def _refuse_unknown(run: Run, items: list[pytest.Item]) -> None:
    """Refuse gates of skills that nobody has added: they would be dropped without a word."""
    for item in items:
        for mark in item.iter_markers("ralph"):
            skill = mark.kwargs.get("skill")
            if skill is not None and skill not in run.registry:
                raise pytest.UsageError(
                    f"{item.nodeid}: there is no skill {skill!r}; there are {', '.join(run.registry.ids)}. "
                    "A skill of another package is known when its plugin, or a conftest.py that pytest loads "
                    "at its start, gives it by the hook pytest_ralph_skills"
                )


def _unplayable(item: pytest.Item) -> str | None:
    """Why no scenarios can be played against an item, or None."""
    if not isinstance(item, pytest.Function):
        return f"only test functions can be gated, not {type(item).__name__}"
    if _is_unittest(item):
        return (
            "methods of unittest.TestCase cannot be gated, because pytest cannot play scenarios against "
            "them; write a test function or a plain class"
        )
    if getattr(item.obj, "is_hypothesis_test", False):
        return "a test with @given makes many calls, and a gate judges one; gate a test that makes one call"
    return None


def _refuse_unseen(run: Run, items: list[pytest.Item]) -> None:
    """Refuse gates that were added where scenarios could not be made of them."""
    try:
        for item in items:
            check_seen(run, item)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def check_seen(run: Run, item: pytest.Item) -> None:
    """Make sure that every gate of an item is one whose scenarios are played.

    Raises:
        ValueError: A gate was added to the item itself.
    """
    if count_gates(item, run.registry) != run.test(item).markers:
        names = ", ".join(
            sorted({mark.kwargs.get("skill", "") for mark in item.iter_markers("ralph")} - {""})
        )
        raise ValueError(
            f"{item.nodeid}: a gate ({names}) was added by pytest.param(marks=...), add_marker or a hook, "
            "where no scenarios can be made of it; write it as a decorator of the function, class or module"
        )


def _is_unittest(item: pytest.Item) -> bool:
    owner = getattr(item, "cls", None)
    return isinstance(owner, type) and issubclass(owner, unittest.TestCase)
