"""From markers to gates, and from gates to what is played: which scenarios, in which order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_ralph.core.registry import Registry
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import (
    PASSED,
    Criterion,
    Play,
    Skill,
    Spec,
    Verdict,
    scenarios_for,
    scenarios_of,
    untested,
)
from pytest_ralph.core.timeline import FaultMet, Requested
from pytest_ralph.marker import Feature, Reset, Secret

SCENARIO = "_ralph_scenario"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A skill applied to one test.

    Attributes:
        feature: The group it is shown in.
        skill: The skill.
        spec: The marker's arguments.
    """

    feature: str
    skill: Skill
    spec: Spec

    @functools.cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """What is judged, with the criterion every faulty scenario carries."""
        criteria = self.skill.applicable(self.spec)
        return (*criteria, _exercised(self)) if _faulty(self) else criteria

    @functools.cached_property
    def _asked(self) -> dict[str, tuple[Criterion, ...]]:
        asked: dict[str, list[Criterion]] = {}
        for criterion in self.criteria:
            for scenario in scenarios_of(criterion, self.spec):
                asked.setdefault(scenario.id, []).append(criterion)
        return {scenario: tuple(criteria) for scenario, criteria in asked.items()}

    def judges(self, scenario: Scenario) -> tuple[Criterion, ...]:
        """The criteria that a scenario is played for."""
        return self._asked.get(scenario.id, ())

    def plan(self) -> dict[str, Any]:
        """The gate as plain data, for the report."""
        return {
            "feature": self.feature,
            "skill": self.skill.id,
            "title": self.skill.title,
            "phase": self.skill.phase,
            "rests_on": list(self.skill.rests_on),
            "parameters": dict(self.spec.parameters()),
            "criteria": [
                {
                    "id": f"{self.skill.id}.{criterion.id}",
                    "kind": criterion.kind,
                    "text": criterion.text(self.spec),
                    "untested": criterion.untested,
                    "scenarios": [each.id for each in scenarios_of(criterion, self.spec)],
                }
                for criterion in self.criteria
            ],
        }


def _faulty(gate: Gate) -> tuple[Scenario, ...]:
    return tuple(each for each in scenarios_for(gate.skill, gate.spec) if each.faulty)


def _exercised(gate: Gate) -> Criterion:
    """The fault of each scenario was really met."""

    def judge(spec: Spec, play: Play) -> Verdict | None:
        if play.timeline.of(FaultMet):
            return PASSED
        if any(each.method == "call" for each in play.timeline.of(Requested)):
            return untested(
                f"{play.scenario.fault} was never met: no service or Python callable that the call uses can "
                "show it. A callable raises the exceptions that retry names in on= and never_on=, and it can "
                "hang only if it is asynchronous, because no other call can be given up",
                play.timeline,
            )
        return untested(
            f"{play.scenario.fault or 'a fault'} was never met: the call made no request that it could hit. "
            "If the code answers from a cache, name what clears it with @ralph.reset(function); if it sends "
            "from a thread, let the test wait for it",
            play.timeline,
        )

    return Criterion(
        id="exercised",
        kind="pass",
        text=lambda _: "the fault was really met",
        scenarios=lambda _: _faulty(gate),
        judge=judge,
        timing=False,
        fix=lambda _: (
            "Make the test call code that sends its requests to the declared upstream in every call"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What ``--ralph-skill`` and ``--ralph-feature`` leave."""

    skills: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    def takes(self, gate: Gate) -> bool:
        """Whether a gate is to be judged."""
        return (not self.skills or gate.skill.id in self.skills) and (
            not self.features or gate.feature in self.features
        )


def count_gates(node: pytest.Item | Any, registry: Registry) -> int:
    """How many gates the markers of a test ask for."""
    return sum(mark.kwargs.get("skill", "") in registry for mark in node.iter_markers("ralph"))


def gates_of(node: pytest.Item | Any, registry: Registry, module: str) -> tuple[Gate, ...]:
    """The gates that the markers of a test ask for, in the order of skills.

    Args:
        node: The test, or its definition.
        registry: The skills.
        module: Name of the test module, the feature where none is given.
    """
    marks = list(node.iter_markers("ralph"))
    feature = next((each.name for each in _arguments(marks, Feature)), module)
    gates = [
        Gate(feature=feature, skill=registry[mark.kwargs["skill"]], spec=_suited(mark.args[0], node))
        for mark in reversed(marks)
        if mark.kwargs.get("skill") in registry
    ]
    order = list(registry.ids)
    return tuple(sorted(gates, key=lambda gate: order.index(gate.skill.id)))


def _suited(spec: Any, node: Any) -> Spec:
    """A spec, for some of which it matters whether the test declares services."""
    suited = getattr(spec, "suited", None)
    served = "ralph_upstream" in getattr(node, "fixturenames", ())
    found: Spec = suited(served) if suited is not None else spec
    return found


def resets_of(node: pytest.Item) -> tuple[Callable[[], object], ...]:
    """What the test's ``ralph.reset`` markers name."""
    return tuple(each.function for each in _arguments(node.iter_markers("ralph"), Reset))


def secrets_of(node: pytest.Item) -> tuple[str, ...]:
    """What the test's ``ralph.secret`` markers name."""
    return tuple(value for each in _arguments(node.iter_markers("ralph"), Secret) for value in each.values)


def _arguments(marks: Iterable[Any], kind: type[Any]) -> list[Any]:
    return [mark.args[0] for mark in marks if mark.args and isinstance(mark.args[0], kind)]


def scenarios(gates: Iterable[Gate]) -> tuple[Scenario, ...]:
    """Everything the gates want played, each scenario once."""
    wanted: list[Scenario] = []
    for gate in gates:
        wanted += [each for each in scenarios_for(gate.skill, gate.spec) if each not in wanted]
    return tuple(wanted)


def scenario_of(item: pytest.Item) -> Scenario | None:
    """The scenario an item plays, None for a test that is not a generated one."""
    callspec = getattr(item, "callspec", None)
    params: Mapping[str, Any] = callspec.params if callspec is not None else {}
    scenario = params.get(SCENARIO)
    return scenario if isinstance(scenario, Scenario) else None


def definition_id(item: pytest.Item) -> str:
    """The id of the function a test is made from, whatever its parameters."""
    parent = item.parent.nodeid if item.parent is not None else ""
    return f"{parent}::{getattr(item, 'originalname', item.name)}"


def base_id(item: pytest.Item) -> str:
    """The test's id without the scenario: ``tests/test_a.py::test_charge`` or ``...::test_charge[usd]``."""
    callspec, scenario = getattr(item, "callspec", None), scenario_of(item)
    rest = callspec.id if callspec is not None else ""
    if scenario is not None:
        # The plugin's parameter is added last, so its id stands last.
        rest = rest.removesuffix(scenario.id).removesuffix("-")
    name = definition_id(item)
    return f"{name}[{rest}]" if rest else name
