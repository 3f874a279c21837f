"""Metrics and spans of the OpenTelemetry SDK: a reader and a processor are added to its providers.

Providers are found wherever the program keeps them. Where it has set up none, the API does nothing, here as
in production.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from pytest_ralph.core.metrics import Metric, Series, unit_of
from pytest_ralph.core.timeline import Traced
from pytest_ralph.world.instances import Instances
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

MODULE = "opentelemetry.sdk.metrics"
_TRACES = "opentelemetry.sdk.trace"
# Units are written as UCUM has them, https://opentelemetry.io/docs/specs/semconv/general/metrics/.
_UNITS = {"s": "s", "ms": "ms"}


class Exporter:
    """Reads the meter providers of a program."""

    def __init__(self) -> None:
        self._readers: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._providers = Instances(sys.modules[MODULE].MeterProvider, made=self._add)
        self.wanted = [self._providers]

    def install(self) -> Undo:
        """See providers that are made from now on. Returns what undoes it."""
        undo = self._providers.install()

        def close() -> None:
            undo()
            for provider, reader in self._readers.values():
                if (found := provider()) is not None:
                    with suppress(Exception):  # the program may have shut it down
                        found.remove_metric_reader(reader)
            self._readers.clear()

        return close

    def flush(self) -> None:
        """Nothing is kept back from a reader."""

    def snapshot(self, *, first: bool) -> list[Metric]:  # noqa: ARG002 - that of all exporters
        """All metrics, now."""
        for provider in self._providers.all():
            self._add(provider)
        return [
            metric
            for provider, reader in self._readers.values()
            if provider() is not None
            for metric in _read(reader)
        ]

    def _add(self, provider: Any) -> None:
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        if id(provider) not in self._readers and hasattr(provider, "add_metric_reader"):
            reader = InMemoryMetricReader()
            provider.add_metric_reader(reader)
            self._readers[id(provider)] = (weakref.ref(provider), reader)


def _read(reader: Any) -> Iterator[Metric]:
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield _metric(metric)


def _metric(metric: Any) -> Metric:
    data = metric.data
    kind = type(data).__name__
    if kind == "Sum":
        name = "counter" if data.is_monotonic else "gauge"
    else:
        name = "histogram" if kind.endswith("Histogram") else kind.lower()
    return Metric(
        name=metric.name,
        type=name,
        source="opentelemetry",
        unit=(_UNITS.get(metric.unit or "") or unit_of(metric.name)) if name == "histogram" else "",
        series=tuple(_series(point) for point in data.data_points),
    )


def _series(point: Any) -> Series:
    labels = {str(key): str(value) for key, value in (point.attributes or {}).items()}
    exemplars = tuple(
        {str(key): str(value) for key, value in (each.filtered_attributes or {}).items()}
        for each in point.exemplars
    )
    if not hasattr(point, "count"):
        return Series(labels=labels, after=float(point.value), exemplars=exemplars)
    counts = getattr(point, "bucket_counts", None)
    return Series(
        labels=labels,
        after=float(point.count),
        total=float(point.sum),
        beyond=float(counts[-1]) if counts and len(counts) > 1 else 0.0,
        exemplars=exemplars,
    )


class Spans:
    """Records the spans that a program ends.

    Args:
        recorder: Where they are recorded.
    """

    def __init__(self, recorder: Recorder) -> None:
        from opentelemetry.sdk import trace

        self._recorder = recorder
        # Tracers keep these, and not the provider that they come from.
        self.wanted = [
            Instances(kind, made=self._made)
            for kind in (trace.SynchronousMultiSpanProcessor, trace.ConcurrentMultiSpanProcessor)
        ]
        self._add: Callable[[Any], None] = lambda _: None

    def _made(self, group: Any) -> None:
        self._add(group)

    def install(self) -> Undo:
        """Record from now on. Returns what undoes it."""
        from opentelemetry.sdk import trace

        recorder = self._recorder
        active = [True]
        seen: set[tuple[int, int]] = set()

        class Processor(trace.SpanProcessor):
            def on_end(self, span: Any) -> None:
                # One group of processors may be a member of another; ids repeat, as random numbers do here.
                key = (span.context.span_id, span.start_time)
                if active and span.context.trace_flags.sampled and key not in seen:
                    seen.add(key)
                    recorder.add(Traced, **_traced(span), location=recorder.here())

        processor = Processor()
        added: list[Any] = []

        def add(group: Any) -> None:
            group.add_span_processor(processor)
            added.append(group)

        with ExitStack() as stack:
            stack.callback(active.clear)
            stack.callback(_take_away, added, processor)
            self._add = add
            for groups in self.wanted:
                stack.callback(groups.install())
                for group in groups.all():
                    add(group)
            return stack.pop_all().close


def spans(recorder: Recorder) -> Spans | None:
    """What records the spans of a program, if it uses the SDK."""
    return Spans(recorder) if _TRACES in sys.modules else None


def _traced(span: Any) -> dict[str, Any]:
    exceptions = [
        str((event.attributes or {}).get("exception.type", ""))
        for event in span.events
        if event.name == "exception"
    ]
    return {
        "name": span.name,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "exceptions": tuple(exceptions),
        "seconds": round((span.end_time - span.start_time) / 1e9, 6),
    }


def _take_away(groups: list[Any], processor: Any) -> None:
    for group in groups:
        with group._lock:
            group._span_processors = tuple(each for each in group._span_processors if each is not processor)
