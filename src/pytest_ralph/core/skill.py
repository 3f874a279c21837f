"""What a skill is: scenarios to play and criteria to judge, as plain values and pure functions."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import masked
from pytest_ralph.core.scenario import HEALTHY, MANUAL, Scenario
from pytest_ralph.core.secrets import Secret
from pytest_ralph.core.timeline import Timeline


class Status(str, enum.Enum):
    """What is known of a criterion, a skill or a gate."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    NOT_EXERCISED = "not_exercised"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"
    WAIVED = "waived"

    def __str__(self) -> str:
        return self.value


PHASES = ("core", "defensive", "resilience", "observability", "guarantees", "resources")
"""The order in which skills are worth building, by risk."""


class Spec(Protocol):
    """The validated arguments of one marker."""

    @property
    def scenarios(self) -> str:
        """``auto`` for generated scenarios, ``manual`` for a test that injects its own faults."""

    def parameters(self) -> Mapping[str, Any]:
        """The arguments as plain JSON values, for the report."""


@dataclass(frozen=True, kw_only=True)
class Play:
    """One judged play of a scenario: all that a criterion may look at.

    Attributes:
        scenario: What was played.
        timeline: What happened.
        aimed_at: The operation the fault was aimed at, such as ``POST /v1/charges``; empty if none.
        secrets: What must not be shown anywhere: what the test declares, and credentials that were sent.
        beside: What the other markers of the same skill on the test ask for.
    """

    scenario: Scenario
    timeline: Timeline
    aimed_at: str = ""
    secrets: tuple[Secret, ...] = ()
    beside: tuple[Spec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a criterion says of one play.

    Attributes:
        status: Pass, fail or not exercised.
        expected: What should have been seen.
        observed: What was seen.
        location: The user's line to change.
        lines: The slice of the timeline that shows it.
        measured: What was measured in real time, in words, pass or not: it differs from run to run, and so no
            other attribute may show it.
        fix: What to change, where that is not what the criterion says.
    """

    status: Status
    expected: str = ""
    observed: str = ""
    location: Location | None = None
    lines: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    fix: str = ""


PASSED = Verdict(status=Status.PASS)


def failed(expected: str, observed: str, location: Location | None, timeline: Timeline) -> Verdict:
    """A failing verdict with its evidence."""
    return Verdict(
        status=Status.FAIL,
        expected=masked(expected),
        observed=masked(observed),
        location=location,
        lines=tuple(timeline.lines()),
    )


def untested(reason: str, timeline: Timeline | None = None) -> Verdict:
    """A verdict that claims nothing, with the reason and what to do."""
    lines = tuple(timeline.lines()) if timeline else ()
    return Verdict(status=Status.NOT_EXERCISED, observed=reason, lines=lines)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One binary statement.

    Attributes:
        id: Short name, unique in its skill.
        kind: ``pass`` if the statement must hold, ``fail`` if it must not happen.
        text: The statement, given the spec.
        scenarios: What must be played to judge it, given the spec.
        judge: The verdict on one play; None when the play says nothing about the criterion.
        fix: What to change when it fails, as one instruction.
        untested: What it means when nothing put the criterion to the test, and what to do.
        timing: Whether the verdict rests on virtual time, and so is void when real time passed unseen.
        outlives: Whether it judges a play whose process died; any other fails then.
    """

    id: str
    kind: str
    text: Callable[[Any], str]
    scenarios: Callable[[Any], tuple[Scenario, ...]]
    judge: Callable[[Any, Play], Verdict | None]
    fix: Callable[[Any], str]
    untested: str = "nothing in the scenarios put this to the test"
    timing: bool = True
    outlives: bool = False
    applies: Callable[[Any], bool] = field(default=lambda _: True)


@dataclass(frozen=True, kw_only=True)
class Skill:
    """One production requirement.

    Attributes:
        id: Marker name in kebab-case.
        marker: Name of the marker function.
        title: What code with this skill does.
        phase: One of `PHASES`.
        criteria: Its criteria, in the order they are shown.
        keep: What must stay as it is when a criterion of this skill is repaired, given the spec.
        rests_on: Ids of skills that are to be repaired before this one.
        measures: Whether it looks at metrics or spans: to find those of a program takes some milliseconds.
        tightened: How a parameter becomes stricter, by its name in the report: ``lower`` for a number that is
            (None is no limit at all), ``higher`` for one that asks for more when it is, ``more`` for a list
            that holds more. Any other change may ease it.
        healthy: Whether the healthy world is played even if no criterion asks for it; not where every
            scenario is a healthy one, measured.
    """

    id: str
    marker: str
    title: str
    phase: str
    criteria: tuple[Criterion, ...]
    keep: Callable[[Any], str]
    rests_on: tuple[str, ...] = ()
    measures: bool = False
    tightened: Mapping[str, str] = field(default_factory=dict)
    healthy: bool = True

    def applicable(self, spec: Spec) -> tuple[Criterion, ...]:
        """The criteria that these parameters ask for."""
        return tuple(criterion for criterion in self.criteria if criterion.applies(spec))


def eased(skill: Skill | None, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """How parameters differ from those agreed upon, unless they are at least as strict.

    Args:
        skill: The skill; None if it is not known.
        old: The parameters agreed upon, as in the report.
        new: The present ones.

    Returns:
        A phrase for each of them, such as ``seconds: 10.0, was 5.0``.
    """
    tightened = skill.tightened if skill is not None else {}
    return [
        f"{name}: {new.get(name)}, was {old.get(name)}"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
        and not _stricter(tightened.get(name, ""), old.get(name), new.get(name))
    ]


def _stricter(way: str, old: Any, new: Any) -> bool:
    if way == "lower":
        return new is not None and (old is None or new <= old)
    if way == "higher":
        return old is not None and new is not None and new >= old
    return way == "more" and set(old or ()) <= set(new or ())


def scenarios_of(criterion: Criterion, spec: Spec) -> tuple[Scenario, ...]:
    """What is played for a criterion."""
    return (MANUAL,) if spec.scenarios == "manual" else criterion.scenarios(spec)


def scenarios_for(skill: Skill, spec: Spec) -> tuple[Scenario, ...]:
    """Everything that is played for a skill, each scenario once, the healthy world first."""
    if spec.scenarios == "manual":
        return (MANUAL,)
    wanted = [HEALTHY] if skill.healthy else []
    for criterion in skill.applicable(spec):
        wanted += [scenario for scenario in criterion.scenarios(spec) if scenario not in wanted]
    return tuple(wanted)
