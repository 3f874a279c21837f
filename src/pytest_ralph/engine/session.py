"""What one test run knows: options, skills, gates, worlds and results. Kept in pytest's own stashes."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import pytest

import pytest_ralph as ralph
from pytest_ralph import defaults
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.location import Locator
from pytest_ralph.core.policy import Policy, PolicyError
from pytest_ralph.core.quantity import seconds, size
from pytest_ralph.core.registry import Registry, builtin, extended
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.engine.gates import (
    Gate,
    Selection,
    base_id,
    count_gates,
    definition_id,
    gates_of,
    scenario_of,
    scenarios,
)
from pytest_ralph.report.policyfile import find, load
from pytest_ralph.world.cgroup import Hierarchy
from pytest_ralph.world.network import Names
from pytest_ralph.world.world import Seams, World, unavailable

FIXTURES = frozenset(
    {
        "ralph_5xx",
        "ralph_callable",
        "ralph_clock",
        "ralph_returned",
        "ralph_slow",
        "ralph_timeline",
        "ralph_upstream",
    }
)


@dataclass(frozen=True, kw_only=True)
class Test:
    """A test function and its gates.

    Attributes:
        gates: The gates to judge.
        gates_asked: The gates its markers ask for, selected or not.
        features: The features of all its gates, selected or not.
        markers: How many gates its markers ask for, selected or not.
    """

    gates: tuple[Gate, ...] = ()
    gates_asked: tuple[Gate, ...] = ()
    features: tuple[str, ...] = ()
    markers: int = 0

    @functools.cached_property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What is played for the gates."""
        return scenarios(self.gates)


@dataclass(kw_only=True)
class Run:
    """One test run.

    Attributes:
        judging: Whether ``--ralph`` was given.
        registry: The skills.
        selection: Which gates to judge.
        seed: Seed of random numbers.
        seams: What worlds share.
        more_faults: What plugins add to the faults that schedules are made of.
        policy: What the team agreed upon.
        today: The day, for waivers.
        isolating: Whether every scenario is played in a process of its own.
        watchdog: Real seconds that an isolated scenario may take; 0 for no limit.
        memory: Bytes of memory that the process of a scenario may have; None for no limit.
        groups: Where control groups are made for processes that are held to a limit; None for nowhere.
        plan: All gates and items, as plain data for the report.
        judged: What was judged, by item as text, kept apart from what reports say of it.
        inventory: What would be locked now; empty if nothing asks for it.
    """

    judging: bool
    registry: Registry
    selection: Selection
    seed: int
    seams: Seams
    more_faults: tuple[Fault, ...] = ()
    policy: Policy = field(default_factory=Policy)
    today: dt.date = dt.date.min
    isolating: bool = False
    watchdog: float = 60.0
    memory: int | None = None
    groups: Hierarchy | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, str] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=dict)
    _tests: dict[str, Test] = field(default_factory=dict)

    def define(self, definition: Any) -> Test:
        """Read the gates of a test function, before items are made of it."""
        found = gates_of(definition, self.registry, module_name(definition))
        test = Test(
            gates=tuple(gate for gate in found if self.selection.takes(gate)),
            gates_asked=found,
            features=tuple(gate.feature for gate in found),
            markers=count_gates(definition, self.registry),
        )
        self.know(definition.nodeid, test)
        return test

    def know(self, name: str, test: Test) -> None:
        """Remember the gates of a test function."""
        self._tests[name] = test

    def test(self, item: pytest.Item) -> Test:
        """The gates of the function that an item is made from."""
        return self._tests.get(definition_id(item), Test())


@dataclass(kw_only=True)
class Case:
    """One item that lives in a simulated world.

    Attributes:
        gates: What it is judged by; empty for a test that only uses the fixtures.
        locator: Finds the user's lines.
        world: The world.
    """

    gates: tuple[Gate, ...]
    locator: Locator
    world: World


RUN = pytest.StashKey[Run]()
CASE = pytest.StashKey[Case]()
RESULT = pytest.StashKey[dict[str, Any]]()


def start(config: pytest.Config) -> Run:
    """Read the options.

    Raises:
        pytest.UsageError: An option makes no sense here.
    """
    registry = _registry(config)
    skills = tuple(config.getoption("ralph_skill"))
    for skill in skills:
        if skill not in registry:
            raise pytest.UsageError(
                f"--ralph-skill: there is no skill {skill!r}; there are {', '.join(registry.ids)}"
            )
    realtime = bool(config.getoption("ralph_realtime"))
    if not realtime and (reason := unavailable()) is not None:
        raise pytest.UsageError(
            f"pytest-ralph has no virtual clock here: {reason}. "
            "Run with --ralph-realtime to wait in real time."
        )
    judging = bool(config.getoption("ralph"))
    policy = _policy(config, registry)
    seams = Seams(realtime=realtime, only_worlds=judging, names=Names(policy.hosts))
    config.add_cleanup(seams.bundles.catch_up_all)
    return Run(
        judging=judging,
        registry=registry,
        selection=Selection(skills=skills, features=tuple(config.getoption("ralph_feature"))),
        seed=int(config.getoption("ralph_seed")),
        seams=seams,
        more_faults=_more_faults(config),
        policy=policy,
        today=dt.datetime.now(dt.timezone.utc).date(),
        isolating=bool(config.getoption("ralph_isolate")),
        watchdog=_quantity(config, "watchdog", seconds) or 0.0,
        memory=_quantity(config, "memory", size),
        groups=_groups(config),
    )


def _registry(config: pytest.Config) -> Registry:
    """The skills that come with the package and those that plugins add.

    Raises:
        pytest.UsageError: What a plugin adds is not well-formed.
    """
    hook = config.hook
    try:
        found = [*builtin(), *chain.from_iterable(hook.pytest_ralph_skills())]
        known = Registry(found)
        return Registry(
            extended(skill, chain.from_iterable(hook.pytest_ralph_criteria(skill=skill.id)))
            for skill in known
        )
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"pytest_ralph_skills or pytest_ralph_criteria: {error}") from error


def _more_faults(config: pytest.Config) -> tuple[Fault, ...]:
    """The faults that plugins add.

    Raises:
        pytest.UsageError: What a plugin adds is no fault.
    """
    found = tuple(chain.from_iterable(config.hook.pytest_ralph_faults()))
    for each in found:
        if not isinstance(each, Fault):
            raise pytest.UsageError(f"pytest_ralph_faults: expected a fault, got {each!r}")
    return found


def _policy(config: pytest.Config, registry: Registry) -> Policy:
    """The project's policy.

    Raises:
        pytest.UsageError: Something in it makes no sense.
    """
    try:
        source = find(config.rootpath)
        policy = load(config.rootpath, registry.ids)
        named = [each for each in registry if each.id in policy.defaults and each.marker in ralph.__all__]
        markers = {skill.id: inspect.unwrap(getattr(ralph, skill.marker)) for skill in named}
        defaults.check(policy.defaults, markers)
    except PolicyError as error:
        raise pytest.UsageError(str(error)) from None
    except ValueError as error:
        key, value, expected = error.args
        prefix = f"{source.prefix}.defaults" if source.prefix else "defaults"
        raise pytest.UsageError(str(PolicyError(source.file, f"{prefix}.{key}", value, expected))) from None
    return policy


def _groups(config: pytest.Config) -> Hierarchy | None:
    """Where control groups may be made.

    Raises:
        pytest.UsageError: They may not, where the option says so.
    """
    name = config.getoption("ralph_cgroup")
    if name is None:
        return None
    from pytest_ralph.world.cgroup import hierarchy

    try:
        return hierarchy(name)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--ralph-cgroup: {error}") from None


Q = TypeVar("Q", float, int)


def _quantity(config: pytest.Config, option: str, parse: Callable[..., Q]) -> Q | None:
    """An option that is a quantity.

    Raises:
        pytest.UsageError: It is none.
    """
    text = config.getoption(f"ralph_{option}")
    if text is None:
        return None
    try:
        return parse(int(text) if text.isdigit() else text, name=f"--ralph-{option}")
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


def run_of(config: pytest.Config) -> Run:
    """The run of a configuration, made on first use."""
    if RUN not in config.stash:
        config.stash[RUN] = start(config)
    return config.stash[RUN]


def module_name(node: Any) -> str:
    """Name of the test module, the feature of gates that name none."""
    return str(node.module.__name__).rpartition(".")[2] if getattr(node, "module", None) else "tests"


def open_case(item: pytest.Item) -> Case | None:
    """The simulated world for an item that needs one."""
    needs = FIXTURES & set(getattr(item, "fixturenames", ()))
    scenario = scenario_of(item)
    if not needs and scenario is None:
        return None
    run = run_of(item.config)
    locator = Locator(item.config.rootpath, [Path(item.path)])
    gates = run.test(item).gates if scenario is not None else ()
    measured = "ralph_timeline" in needs or any(gate.skill.measures for gate in gates)
    realtime = scenario is not None and scenario.realtime
    world = World(run.seams, locator, measured=measured, realtime=realtime)
    return Case(gates=gates, locator=locator, world=world)


def plan(items: list[pytest.Item], run: Run) -> dict[str, Any]:
    """All gates, what has to be played for them and the items that do, as plain data.

    The order is that of test ids and of scenarios, whatever other plugins did to the order of items.
    """
    tests: dict[str, Any] = {}
    for item in items:
        scenario = scenario_of(item)
        if scenario is None:
            continue
        test = base_id(item)
        if test not in tests:
            found = run.test(item)
            tests[test] = {
                "gates": [gate.plan() for gate in found.gates],
                "scenarios": [each.id for each in found.scenarios],
                "items": {},
            }
        tests[test]["items"][scenario.id] = item.nodeid
    return {test: tests[test] for test in sorted(tests)}
