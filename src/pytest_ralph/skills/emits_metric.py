"""Skill ``emits_metric``: what happens is counted or measured, whether it goes well or not.

Compared is what an exporter shows before and after a call. Calls that succeed, fail at once and hang are
played, and some in a row, as labels that take a new value with each call show only then.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.masking import masked, short
from pytest_ralph.core.metrics import Metric, Series, signed
from pytest_ralph.core.outcomes import FAILURE, SUCCESS, Call, calls
from pytest_ralph.core.quantity import duration, times
from pytest_ralph.core.scenario import Calls, Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Verdict, failed
from pytest_ralph.core.timeline import Exported
from pytest_ralph.faults import Status
from pytest_ralph.marker import Decorator, attach, check_scenarios
from pytest_ralph.skills._fields import one_of
from pytest_ralph.skills._observed import STATUS_503, endless, measuring, played

ALWAYS = "always"
TYPES = ("counter", "gauge", "histogram", "summary")
_WHENS = (ALWAYS, SUCCESS, FAILURE)
_ROW = 3
_IN_A_ROW = Calls(count=_ROW)
HEALTHY_ROW = Scenario(id=f"healthy-{_ROW}-calls", course=_IN_A_ROW)
BROKEN_ROW = Scenario(id=f"{STATUS_503.id}-{_ROW}-calls", fault=Status(503), course=_IN_A_ROW)

# Seconds that an observation may be longer than the call: what clocks and rounding make of it.
_SLACK = 0.05
# Seconds that an answer takes which shows what is measured.
_TELLING = 1.0
_SCALES = {"s": 1.0, "ms": 1000.0}
# Letters of https://prometheus.io/docs/concepts/data_model/, and of OpenTelemetry and statsd.
_NAME = re.compile(r"[a-zA-Z_:][\w:./-]*")


@dataclass(frozen=True, kw_only=True)
class EmitsMetric:
    """The validated arguments of ``ralph.emits_metric``."""

    name: str
    type: str
    delta: float | None
    labels: tuple[tuple[str, str | None], ...] | None
    when: str
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "name": self.name,
            "type": self.type,
            "delta": self.delta,
            "labels": None if self.labels is None else dict(self.labels),
            "when": self.when,
        }

    @property
    def moment(self) -> str:
        """When it changes, for people."""
        return {
            ALWAYS: "in every call",
            SUCCESS: "when the call succeeds",
            FAILURE: "when the call fails",
        }[self.when]

    @property
    def change(self) -> str:
        """How it changes, for people."""
        if self.type in ("histogram", "summary"):
            return "observes" if self.delta is None else f"observes {times(int(self.delta), 'value')}"
        return "changes" if self.delta is None else f"changes by {signed(self.delta)}"

    def is_due(self, call: Call) -> bool:
        """Whether it must change in a call."""
        return self.when in (ALWAYS, call.outcome)


def emits_metric(
    name: str,
    *,
    type: str = "counter",
    delta: float | None = None,
    labels: Iterable[str] | Mapping[str, str] | None = None,
    when: str = "always",
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that a metric tells of what happens.

    Args:
        name: The name under which it is queried: with prometheus-client that of a counter ends with
            ``_total``.
        type: ``"counter"``, ``"gauge"``, ``"histogram"`` or ``"summary"``.
        delta: By how much a call changes it, over all its labels; for a histogram or a summary how many
            values it observes. None for any change. A call that fails may change it once for each attempt.
        labels: The names of all its labels; or a mapping from them to regular expressions for their whole
            values. None for any.
        when: In which calls it changes, and in no other: ``"always"``, ``"success"`` or ``"failure"``.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.emits_metric("payments_attempted_total", delta=1, labels={"outcome": "ok|failed"})
        ... @ralph.emits_metric("payments_duration_seconds", type="histogram")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    return attach(  # type: ignore[no-any-return]
        "emits-metric", lambda: _spec(name, type, delta, labels, when, scenarios)
    )


def _spec(
    name: object, kind: object, delta: object, labels: object, when: object, scenarios: str
) -> EmitsMetric:
    if callable(name):
        raise TypeError("needs the name of the metric: write @ralph.emits_metric('payments_total')")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"name must be that of a metric, such as 'payments_total', got {name!r}")
    one_of("type", kind, TYPES)
    one_of("when", when, _WHENS)
    check_scenarios(scenarios)
    return EmitsMetric(
        name=name,
        type=str(kind),
        delta=_delta(delta, str(kind)),
        labels=_labels(labels),
        when=str(when),
        scenarios=scenarios,
    )


def _delta(delta: object, kind: str) -> float | None:
    if delta is None:
        return None
    if (
        isinstance(delta, bool)
        or not isinstance(delta, (int, float))
        or not math.isfinite(delta)
        or not delta
    ):
        raise ValueError(f"delta must be a number other than 0, got {delta!r}")
    if kind != "gauge" and delta < 0:
        raise ValueError(f"delta must be more than 0 for a {kind}, got {delta!r}")
    if kind in ("histogram", "summary") and delta != int(delta):
        raise ValueError(f"delta must be a whole number of observations for a {kind}, got {delta!r}")
    return float(delta)


def _labels(labels: object) -> tuple[tuple[str, str | None], ...] | None:
    if labels is None:
        return None
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"labels must be names such as ('outcome',), or a mapping from them, got {labels!r}")
    asked: Mapping[object, object] = labels if isinstance(labels, Mapping) else dict.fromkeys(labels)
    found: list[tuple[str, str | None]] = []
    for label, pattern in asked.items():
        if not isinstance(label, str) or not label:
            raise TypeError(f"labels must be named by text, got {label!r}")
        if pattern is not None and not isinstance(pattern, str):
            raise TypeError(f"labels[{label!r}] must be a regular expression, got {pattern!r}")
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(
                f"labels[{label!r}] is no regular expression: {error}, got {pattern!r}"
            ) from None
        found.append((label, pattern))
    return tuple(found)


# -- what is judged ---------------------------------------------------------------------------------------


def _metrics(call: Call) -> tuple[Metric, ...]:
    return tuple(metric for event in call.timeline.of(Exported) for metric in event.metrics)


def _found(spec: EmitsMetric, call: Call) -> Metric | None:
    """The metric; where several have the name, the one that changed or is of the right type."""
    named = [each for each in _metrics(call) if each.name == spec.name]
    return min(named, key=lambda each: (not each.changed, not _is_a(each, spec.type)), default=None)


def _is_a(metric: Metric, kind: str) -> bool:
    # A timer of statsd becomes what its agent is set up to make of it.
    return metric.type == kind or (
        metric.source == "statsd" and metric.type == "histogram" and kind == "summary"
    )


def _metric_exists(spec: EmitsMetric, play: Play) -> Verdict | None:
    """There is a metric of that name."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        if _found(spec, call) is not None:
            verdict = PASSED
        elif spec.is_due(call):
            expected = f"there is a metric {spec.name}"
            return failed(expected, _instead(spec, call), call.location, play.timeline)
    return verdict


def _instead(spec: EmitsMetric, call: Call) -> str:
    """What there is in place of the metric."""
    metrics = {each.name: each for each in _metrics(call)}
    if not metrics:
        return "there are no metrics at all"
    plain = {_plain(name): name for name in metrics}
    near = difflib.get_close_matches(_plain(spec.name), plain, n=3, cutoff=0.6)
    if near:
        shown = ", ".join(f"{plain[each]} ({metrics[plain[each]].type})" for each in near)
        return f"there is none of that name; near it: {shown}"
    changed = [name for name, each in metrics.items() if each.changed]
    shown = ", ".join(changed[:4]) or "none"
    return f"there is none of that name; what the call changed: {shown}"


def _plain(name: str) -> str:
    base = re.sub(r"[^a-z0-9]+", "_", name.lower())
    return re.sub(r"_(?:total|count|seconds|milliseconds|ms|s)$", "", base)


def _type(spec: EmitsMetric, play: Play) -> Verdict | None:
    """It is of the right type."""
    verdict = None
    for call in calls(play.timeline):
        metric = _found(spec, call)
        if metric is None:
            continue
        if not _is_a(metric, spec.type):
            expected = f"{spec.name} is a {spec.type}"
            observed = f"it is a {metric.type} of {metric.source}"
            return failed(expected, observed, call.location, play.timeline)
        verdict = PASSED
    return verdict


def _changes(spec: EmitsMetric, play: Play) -> Verdict | None:
    """A call changes it by the right amount."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        metric = _found(spec, call)
        if metric is None or not spec.is_due(call):
            continue
        if not metric.changed and spec.when == ALWAYS and call.outcome == FAILURE:
            continue  # that it is silent about failures is judged by wrong-when
        problem = _wrong_change(spec, call, metric) or _implausible(call, metric)
        if problem:
            return failed(f"{spec.name} {spec.change}", problem, call.location, play.timeline)
        verdict = PASSED
    return verdict


def _wrong_change(spec: EmitsMetric, call: Call, metric: Metric) -> str:
    if not metric.changed:
        others = [change for each in _metrics(call) for change in each.changes()]
        rest = f"; what changed: {', '.join(others[:3])}" if others else "; no metric did"
        return f"it did not change{rest}"
    changed = metric.delta
    if spec.delta is None:
        return f"it changed by {signed(changed)}" if changed < 0 and spec.type != "gauge" else ""
    allowed = {spec.delta}
    if call.outcome == FAILURE:
        allowed.add(spec.delta * max(1, len(call.attempts)))
    if any(math.isclose(changed, each) for each in allowed):
        return ""
    return f"it changed by {signed(changed)}: {', '.join(metric.changes()[:3])}"


def _implausible(call: Call, metric: Metric) -> str:
    """What is wrong with durations that were observed; empty if they may be true."""
    scale = _SCALES.get(metric.unit)
    for series in metric.changed if scale is not None else ():
        if series.total is None or series.delta <= 0:
            continue
        assert scale is not None
        mean, took = series.total / series.delta, call.seconds
        observed = f"{times(int(series.delta), 'observation')} of {mean:g} {metric.unit} on average"
        if not 0 <= mean <= (took + _SLACK) * scale:
            return f"{observed}, though the call took {duration(took)}"
        if metric.unit == "ms" and took >= 1 and math.isclose(mean, took, rel_tol=0.05):
            return f"{observed}, though the call took {duration(took)}: these are seconds"
    return ""


def _labelled(spec: EmitsMetric, play: Play) -> Verdict | None:
    """It has the right labels, and none that takes a new value with each call."""
    found = calls(play.timeline)
    verdict = endless(found)
    grown = 0
    for call in found if verdict is None else ():
        metric = _found(spec, call)
        for series in metric.changed if metric is not None else ():
            problem = _wrong_labels(spec, series)
            if problem:
                expected = _expected_labels(spec)
                return failed(expected, f"{problem}: {_shown(spec, series)}", call.location, play.timeline)
            verdict = PASSED
        added = [each for each in metric.changed if each.before is None] if metric is not None else []
        grown = grown + 1 if added else 0
        if grown == _ROW:
            observed = f"each of {_ROW} equal calls adds a series, such as {_shown(spec, added[-1])}"
            return failed(_expected_labels(spec), observed, call.location, play.timeline)
    return verdict


def _wrong_labels(spec: EmitsMetric, series: Series) -> str:
    unbound = next((name for name, value in series.labels.items() if masked(value) != value), None)
    if unbound is not None:
        return f"the label {unbound} takes values without end"
    if spec.labels is None:
        return ""
    asked = dict(spec.labels)
    missing = [name for name in asked if name not in series.labels]
    more = [name for name in series.labels if name not in asked]
    wrong = [
        name
        for name, pattern in asked.items()
        if pattern is not None and re.fullmatch(pattern, series.labels.get(name, "")) is None
    ]
    told = (("without", missing), ("with", more), ("with other values for", [] if missing else wrong))
    return ", ".join(f"it is {how} {', '.join(names)}" for how, names in told if names)


def _expected_labels(spec: EmitsMetric) -> str:
    if spec.labels is None:
        return "no label takes a new value with each call"
    shown = [name if pattern is None else f"{name} ({pattern})" for name, pattern in spec.labels]
    return f"the labels are {', '.join(shown) or 'none'}"


def _shown(spec: EmitsMetric, series: Series) -> str:
    return short(f"{spec.name}{series.label_text()}", 120)


def _wrong_when(spec: EmitsMetric, play: Play) -> Verdict | None:
    """It changes in calls where it must not, or is silent about failures."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        metric = _found(spec, call)
        if metric is None or not _tells_when(spec, call):
            continue
        due = spec.is_due(call)
        if bool(metric.changed) != due:
            observed = (
                "the call failed, and it did not change"
                if due
                else f"the call {_ENDED[call.outcome]}, and yet: {', '.join(metric.changes()[:3])}"
            )
            expected = f"{spec.name} changes {spec.moment}{'' if due else ' only'}"
            return failed(expected, observed, call.location, play.timeline)
        verdict = PASSED
    return verdict


_ENDED = {SUCCESS: "succeeded", FAILURE: "failed"}


def _tells_when(spec: EmitsMetric, call: Call) -> bool:
    """Whether a call shows that it changes at the wrong time."""
    if spec.when == FAILURE:
        return not call.troubled
    return call.outcome == FAILURE


def _single(spec: EmitsMetric) -> tuple[Scenario, ...]:
    # What was observed in a call that took no time may be seconds or milliseconds.
    return played(_TELLING if spec.type in ("histogram", "summary") else None)


def _rows(spec: EmitsMetric) -> tuple[Scenario, ...]:
    rows: Sequence[Scenario] = {
        ALWAYS: (HEALTHY_ROW, BROKEN_ROW),
        SUCCESS: (HEALTHY_ROW,),
        FAILURE: (BROKEN_ROW,),
    }[spec.when]
    return (*_single(spec), *rows)


_DOES = {SUCCESS: "succeed", FAILURE: "fail"}
_NO_METRIC = "there is no metric of that name: see metric-exists"

SKILL = measuring(
    id="emits-metric",
    title="counts and measures what happens",
    criteria=(
        Criterion(
            id="metric-exists",
            kind="pass",
            text=lambda spec: f"there is a metric {spec.name}",
            scenarios=_single,
            judge=_metric_exists,
            untested="no call ended in the way that it is to be changed for",
            timing=False,
            fix=lambda spec: (
                f"Define a {spec.type} that is exported as {spec.name} (prometheus-client adds _total to the "
                "names of counters)"
            ),
        ),
        Criterion(
            id="type",
            kind="pass",
            text=lambda spec: f"{spec.name} is a {spec.type}",
            scenarios=_single,
            judge=_type,
            untested=_NO_METRIC,
            timing=False,
            fix=lambda spec: f"Make {spec.name} a {spec.type}",
        ),
        Criterion(
            id="changes",
            kind="pass",
            text=lambda spec: f"{spec.name} {spec.change} {spec.moment}",
            scenarios=_single,
            judge=_changes,
            untested=_NO_METRIC,
            fix=lambda spec: (
                f"Let each call in which it is due change {spec.name} as asked, once, in the unit that its "
                "name tells"
            ),
        ),
        Criterion(
            id="labels",
            kind="pass",
            text=_expected_labels,
            scenarios=_rows,
            judge=_labelled,
            untested="it never changed: see metric-exists and changes",
            timing=False,
            fix=lambda spec: (
                f"Give {spec.name} exactly the labels that are asked for, with values from a small fixed "
                "set; put ids, times and texts of errors into the log or an exemplar instead"
            ),
        ),
        Criterion(
            id="wrong-when",
            kind="fail",
            text=lambda spec: (
                f"{spec.name} is silent when the call fails"
                if spec.when == ALWAYS
                else f"{spec.name} changes in a call that does not {_DOES[spec.when]}"
            ),
            scenarios=_single,
            judge=_wrong_when,
            untested=_NO_METRIC,
            timing=False,
            fix=lambda spec: (
                f"Change {spec.name} {spec.moment}"
                + (": in a finally, or in both branches" if spec.when == ALWAYS else " only")
            ),
        ),
    ),
)
