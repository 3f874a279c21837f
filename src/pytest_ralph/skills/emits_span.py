"""Skill ``emits_span``: what happens is a span of a trace, and it shows whether it went well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.masking import short
from pytest_ralph.core.outcomes import FAILURE, SUCCESS, Call, calls
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Verdict, failed
from pytest_ralph.core.timeline import Traced
from pytest_ralph.marker import Decorator, attach, check_scenarios
from pytest_ralph.skills._fields import Field, fields_of, one_of
from pytest_ralph.skills._observed import endless, measuring, played

ALWAYS = "always"
_WHENS = (ALWAYS, SUCCESS, FAILURE)


@dataclass(frozen=True, kw_only=True)
class EmitsSpan:
    """The validated arguments of ``ralph.emits_span``."""

    name: str
    attributes: tuple[Field, ...]
    when: str
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "name": self.name,
            "attributes": {each.path: each.to_json() for each in self.attributes},
            "when": self.when,
        }

    @property
    def moment(self) -> str:
        """When it is emitted, for people."""
        return {
            ALWAYS: "in every call",
            SUCCESS: "when the call succeeds",
            FAILURE: "when the call fails",
        }[self.when]

    def is_due(self, call: Call) -> bool:
        """Whether it must be there in a call."""
        return self.when in (ALWAYS, call.outcome)

    def spans(self, call: Call) -> list[Traced]:
        """The spans of that name in a call."""
        return [each for each in call.timeline.of(Traced) if each.name == self.name]


def emits_span(
    name: str,
    attributes: Iterable[str] | Mapping[str, type | str] = (),
    *,
    when: str = "always",
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that a span of OpenTelemetry tells of what happens.

    Args:
        name: The span's name.
        attributes: Names of attributes that have a value; or a mapping from names to what the value must
            be: a type, or a regular expression for the whole of it.
        when: In which calls: ``"always"``, ``"success"`` or ``"failure"``.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.emits_span("charge", {"payment.amount": int, "payment.currency": "usd|eur"})
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    return attach("emits-span", lambda: _spec(name, attributes, when, scenarios))  # type: ignore[no-any-return]


def _spec(name: object, attributes: object, when: object, scenarios: str) -> EmitsSpan:
    if callable(name):
        raise TypeError("needs the name of the span: write @ralph.emits_span('charge')")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"name must be that of a span, such as 'charge', got {name!r}")
    one_of("when", when, _WHENS)
    check_scenarios(scenarios)
    return EmitsSpan(
        name=name,
        attributes=fields_of("attributes", attributes),
        when=str(when),
        scenarios=scenarios,
    )


def _span_emitted(spec: EmitsSpan, play: Play) -> Verdict | None:
    """The span is there in every call where it is due."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        if not spec.is_due(call):
            continue
        if not spec.spans(call):
            names = dict.fromkeys(each.name for each in call.timeline.of(Traced))
            others = ", ".join(list(names)[:5]) or "none"
            expected = f"a span {spec.name} is emitted {spec.moment}"
            observed = f"there is none of that name; spans that were: {others}"
            return failed(expected, observed, call.location, play.timeline)
        verdict = PASSED
    return verdict


def _attributes(spec: EmitsSpan, play: Play) -> Verdict | None:
    """Every span of that name has all attributes."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        for span in spec.spans(call) if spec.is_due(call) else ():
            get = dict(span.attributes).get
            wrong = [problem for each in spec.attributes if (problem := each.problem(get))]
            if wrong:
                expected = f"the span has {', '.join(map(str, spec.attributes))}"
                has = short(", ".join(sorted(span.attributes)) or "none", 120)
                observed = f"{', '.join(wrong)}; it has {has}"
                return failed(expected, observed, span.location or call.location, play.timeline)
            verdict = PASSED
    return verdict


def _wrong_status(spec: EmitsSpan, play: Play) -> Verdict | None:
    """The span of a failed call is not marked as an error, or that of a good one is."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        spans = spec.spans(call)
        if not spans or (call.outcome == SUCCESS and call.troubled):
            continue
        marked = [span for span in spans if span.status == "ERROR"]
        if call.outcome == FAILURE and not marked:
            observed = f"the call failed, and the status of its span is {spans[-1].status}"
            return failed("the span is marked as an error", observed, spans[-1].location, play.timeline)
        if call.outcome == SUCCESS and marked:
            observed = "the call succeeded, and the status of its span is ERROR"
            return failed("the span is no error", observed, marked[0].location, play.timeline)
        verdict = PASSED
    return verdict


def _everything(_: EmitsSpan) -> tuple[Scenario, ...]:
    return played(None)


_NO_SPAN = "there is no span of that name: see span-emitted"

SKILL = measuring(
    id="emits-span",
    title="shows what happens as a span of a trace",
    criteria=(
        Criterion(
            id="span-emitted",
            kind="pass",
            text=lambda spec: f"a span {spec.name} is emitted {spec.moment}",
            scenarios=_everything,
            judge=_span_emitted,
            untested="no call ended in the way that it is to be emitted for",
            timing=False,
            fix=lambda spec: (
                f"Put the call into tracer.start_as_current_span({spec.name!r}), with a TracerProvider of "
                "the SDK set up and the span sampled and ended"
            ),
        ),
        Criterion(
            id="attributes",
            kind="pass",
            text=lambda spec: f"the span has {', '.join(map(str, spec.attributes))}",
            scenarios=_everything,
            judge=_attributes,
            applies=lambda spec: bool(spec.attributes),
            untested=_NO_SPAN,
            timing=False,
            fix=lambda spec: (
                f"Set {', '.join(map(str, spec.attributes))} on the span before anything can fail"
            ),
        ),
        Criterion(
            id="wrong-status",
            kind="fail",
            text=lambda _: "a failed call whose span is not marked as an error, or a good one whose span is",
            scenarios=_everything,
            judge=_wrong_status,
            untested=_NO_SPAN,
            timing=False,
            fix=lambda _: (
                "Let the exception pass through the span, or, where it is handled inside of it, call "
                "span.record_exception(error) and span.set_status(StatusCode.ERROR)"
            ),
        ),
    ),
)
