"""Skill ``emits_metric``: what happens is counted or measured, whether it goes well or not.

Compared is what an exporter shows before and after a call. Calls that succeed, fail at once and hang are
played, and some in a row, as labels that take a new value with each call show only then. A marker that asks
for values of labels is about the series that have them: others are no change of what it asks for.
"""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ralph.core.masking import short
from pytest_ralph.core.metrics import Metric, Series, signed
from pytest_ralph.core.outcomes import FAILURE, OUTCOMES, SUCCESS, Call, calls
from pytest_ralph.core.quantity import duration, times
from pytest_ralph.core.scenario import Calls, Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Verdict, failed
from pytest_ralph.core.timeline import Exported
from pytest_ralph.faults import Status
from pytest_ralph.marker import Decorator, attach, check_scenarios
from pytest_ralph.skills import _labels
from pytest_ralph.skills._fields import one_of
from pytest_ralph.skills._labels import Labels
from pytest_ralph.skills._observed import STATUS_503, endless, measuring, played

ALWAYS = "always"
TYPES = ("counter", "gauge", "histogram", "summary")
_WHENS = (ALWAYS, SUCCESS, FAILURE)
_ROW = 3


@dataclass(frozen=True, kw_only=True)
class _InARow:
    """Some equal calls, with random numbers that no other scenario has."""

    def play(self, stage: Stage) -> None:
        """Go on with other random numbers: a label with one of an earlier scenario's would not be new."""
        random.seed(random.random())
        Calls(count=_ROW).play(stage)


HEALTHY_ROW = Scenario(id=f"healthy-{_ROW}-calls", course=_InARow())
BROKEN_ROW = Scenario(id=f"{STATUS_503.id}-{_ROW}-calls", fault=Status(503), course=_InARow())

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
    labels: Labels
    when: str
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "name": self.name,
            "type": self.type,
            "delta": self.delta,
            "labels": None if self.labels is None else {each.name: each.to_json() for each in self.labels},
            "when": self.when,
        }

    @property
    def what(self) -> str:
        """The metric, or the series of it that are asked for, for people."""
        valued = ", ".join(str(each) for each in self.labels or () if each.valued)
        return f"{self.name} with {valued}" if valued else self.name

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
    labels: Iterable[str] | Mapping[str, str | Mapping[str, str] | None] | None = None,
    when: str = "always",
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that a metric tells of what happens.

    Args:
        name: The name under which it is queried: with prometheus-client that of a counter ends with
            ``_total``.
        type: ``"counter"``, ``"gauge"``, ``"histogram"`` or ``"summary"``.
        delta: By how much a call changes it, over all series that are asked for; for a histogram or a summary
            how many values it observes. None for any change. A call that fails may change it once for each
            attempt.
        labels: The names of all its labels; or a mapping from them to regular expressions for their whole
            values (None for any value), or to one for each outcome:
            ``{"outcome": {"success": "ok", "failure": "failed"}}``. With values it is about the series that
            have them. None for any.
        when: In which calls it changes, and in no other: ``"always"``, ``"success"`` or ``"failure"``.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> outcome = {"success": "ok", "failure": "failed"}
        >>> @ralph.emits_metric("payments_attempted_total", delta=1, labels={"outcome": outcome})
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
    asked = _labels.labels_of(labels)
    told = next((each.name for each in asked or () if each.by_outcome), None)
    if told is not None and when != ALWAYS:
        raise ValueError(
            f"labels[{told!r}] is given by outcome, which needs when='always', got when={when!r}"
        )
    return EmitsMetric(
        name=name,
        type=str(kind),
        delta=_delta(delta, str(kind)),
        labels=asked,
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


# -- what is judged ---------------------------------------------------------------------------------------


def _metrics(call: Call) -> tuple[Metric, ...]:
    return tuple(metric for event in call.timeline.of(Exported) for metric in event.metrics)


def _found(spec: EmitsMetric, call: Call) -> Metric | None:
    """The metric; where several have the name, the one that changed or is of the right type."""
    named = [each for each in _metrics(call) if each.name == spec.name]
    return min(named, key=lambda each: (not each.changed, not _is_a(each, spec.type)), default=None)


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """What a call changed in the metric.

    Attributes:
        metric: The metric.
        asked: The same, with no other series than those that changed and have the values that are asked for.
        strays: Series that changed, and that no marker of the test asks for.
        outcomes: How the call may have ended, for labels that tell it.
    """

    metric: Metric
    asked: Metric
    strays: tuple[Series, ...]
    outcomes: tuple[str, ...]


def _changed(spec: EmitsMetric, call: Call, play: Play) -> _Changed | None:
    metric = _found(spec, call)
    if metric is None:
        return None
    # Of a call that succeeds after a failure, the attempts may be told of, each with its own outcome.
    outcomes = OUTCOMES if call.outcome == SUCCESS and call.troubled else (call.outcome,)
    asked = tuple(each for each in metric.changed if _labels.fit(spec.labels, each, outcomes))
    others = [each.labels for each in play.beside if isinstance(each, EmitsMetric) and each.name == spec.name]
    strays = tuple(
        each
        for each in metric.changed
        if each not in asked
        and not any(_labels.told_apart(spec.labels, other, each, outcomes) for other in others)
    )
    return _Changed(metric=metric, asked=replace(metric, series=asked), strays=strays, outcomes=outcomes)


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
        changed = _changed(spec, call, play)
        if changed is None or not spec.is_due(call):
            continue
        if not changed.asked.series and changed.strays:
            continue  # that it has other labels is judged by labels
        if not changed.asked.series and spec.when == ALWAYS and call.outcome == FAILURE:
            continue  # that it is silent about failures is judged by wrong-when
        problem = _wrong_change(spec, call, changed.asked) or _implausible(call, changed.asked)
        if problem:
            return failed(f"{spec.what} {spec.change}", problem, call.location, play.timeline)
        verdict = PASSED
    return verdict


def _wrong_change(spec: EmitsMetric, call: Call, asked: Metric) -> str:
    if not asked.series:
        return f"it did not change{_what_did(spec, call)}"
    changed = asked.delta
    if spec.delta is None:
        return f"it changed by {signed(changed)}" if changed < 0 and spec.type != "gauge" else ""
    allowed = {spec.delta}
    if call.outcome == FAILURE:
        allowed.add(spec.delta * max(1, len(call.attempts)))
    if any(math.isclose(changed, each) for each in allowed):
        return ""
    return f"it changed by {signed(changed)}: {', '.join(asked.changes()[:3])}"


def _what_did(spec: EmitsMetric, call: Call) -> str:
    """What a call changed instead: other series of the metric first."""
    metrics = sorted(_metrics(call), key=lambda each: each.name != spec.name)
    others = [change for each in metrics for change in each.changes()]
    return f"; what changed: {', '.join(others[:3])}" if others else "; no metric did"


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
    row: list[_Changed] = []
    for call in found if verdict is None else ():
        changed = _changed(spec, call, play)
        if changed is None:
            row = []
            continue
        row.append(changed)
        problem = _wrong_labels(spec, call, changed) or _growing(spec, row[-_ROW:])
        if problem:
            return failed(_expected_labels(spec), problem, call.location, play.timeline)
        if spec.is_due(call) and changed.asked.series:
            verdict = PASSED
    return verdict


def _wrong_labels(spec: EmitsMetric, call: Call, changed: _Changed) -> str:
    for series in changed.metric.changed:
        endless_one = _labels.unbound(series)
        if endless_one:
            return f"the label {endless_one} takes values without end: {_shown(spec, series)}"
    for series in (*changed.strays, *changed.asked.series) if spec.is_due(call) else ():
        problem = _labels.problem(spec.labels, series, changed.outcomes)
        if problem:
            ended = f"the call {_ENDED[call.outcome]}, and " if _by_outcome(spec) else ""
            return f"{ended}{problem}: {_shown(spec, series)}"
    return ""


def _by_outcome(spec: EmitsMetric) -> bool:
    return any(each.by_outcome for each in spec.labels or ())


def _growing(spec: EmitsMetric, row: Sequence[_Changed]) -> str:
    """What is wrong with equal calls in a row each of which adds a series; empty if they do not."""
    added = [[series for series in each.metric.changed if series.before is None] for each in row]
    if len(row) < _ROW or not all(added):
        return ""
    return f"each of {_ROW} equal calls adds a series, such as {_shown(spec, added[-1][-1])}"


def _expected_labels(spec: EmitsMetric) -> str:
    if spec.labels is None:
        return "no label takes a new value with each call"
    return f"the labels are {', '.join(map(str, spec.labels)) or 'none'}"


def _shown(spec: EmitsMetric, series: Series) -> str:
    return short(f"{spec.name}{series.label_text()}", 120)


def _wrong_when(spec: EmitsMetric, play: Play) -> Verdict | None:
    """It changes in calls where it must not, or is silent about failures."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        changed = _changed(spec, call, play)
        if changed is None or not _tells_when(spec, call):
            continue
        due = spec.is_due(call)
        # That what tells of a failure has other labels is judged by labels.
        told = bool(changed.asked.series or (due and changed.strays))
        if told != due:
            rest = changed.metric.changes()[:3]
            observed = (
                f"the call failed, and it did not change{'; what changed: ' if rest else ''}{', '.join(rest)}"
                if due
                else f"the call {_ENDED[call.outcome]}, and yet: {', '.join(changed.asked.changes()[:3])}"
            )
            expected = f"{spec.what} changes {spec.moment}{'' if due else ' only'}"
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
            text=lambda spec: f"{spec.what} {spec.change} {spec.moment}",
            scenarios=_single,
            judge=_changes,
            untested=(
                "there is no metric of that name, or only other labels of it changed: see metric-exists and "
                "labels"
            ),
            fix=lambda spec: (
                f"Let each call in which it is due change {spec.what} as asked, once, in the unit that its "
                "name tells"
            ),
        ),
        Criterion(
            id="labels",
            kind="pass",
            text=_expected_labels,
            scenarios=_rows,
            judge=_labelled,
            untested="what is asked for never changed: see metric-exists and changes",
            timing=False,
            fix=lambda spec: (
                f"Give {spec.name} exactly the labels that are asked for, with values from a small fixed set"
                + (", set when it is known how the call ended" if _by_outcome(spec) else "")
                + "; put ids, times and texts of errors into the log or an exemplar instead"
            ),
        ),
        Criterion(
            id="wrong-when",
            kind="fail",
            text=lambda spec: (
                f"{spec.what} is silent when the call fails"
                if spec.when == ALWAYS
                else f"{spec.what} changes in a call that does not {_DOES[spec.when]}"
            ),
            scenarios=_single,
            judge=_wrong_when,
            untested=_NO_METRIC,
            timing=False,
            fix=lambda spec: (
                f"Change {spec.what} {spec.moment}"
                + (": in a finally, or in both branches" if spec.when == ALWAYS else " only")
            ),
        ),
    ),
)
