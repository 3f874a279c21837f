"""The seam where a program is measured: what its metrics are when a call begins and when it has ended.

Which libraries are read, and how, is the business of the modules in `exporters`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Protocol

from pytest_ralph.core.metrics import Metric, difference
from pytest_ralph.core.timeline import Exported
from pytest_ralph.world.exporters import opentelemetry, prometheus, statsd
from pytest_ralph.world.instances import Instances, find
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo


class Exporter(Protocol):
    """Reads the metrics of one library."""

    def install(self) -> Undo:
        """Begin to look. Returns what undoes it."""

    @property
    def wanted(self) -> list[Instances]:
        """The objects of the library that it reads."""

    def flush(self) -> None:
        """Let the library hand over what it keeps back."""

    def snapshot(self, *, first: bool) -> list[Metric]:
        """All metrics, now; ``first`` when a call begins."""


class MetricSeam:
    """Records what calls did to metrics.

    Args:
        recorder: Where it is recorded.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._exporters: dict[str, Exporter] = {}
        self._spans: opentelemetry.Spans | None = None
        self._before: dict[int, list[Metric]] = {}

    def install(self) -> Undo:
        """Look from now on. Returns what undoes it."""
        with ExitStack() as stack:
            self._exporters.setdefault("statsd", statsd.Exporter())
            if prometheus.MODULE in sys.modules:
                self._exporters.setdefault("prometheus", prometheus.Exporter())
            if opentelemetry.MODULE in sys.modules:
                self._exporters.setdefault("opentelemetry", opentelemetry.Exporter())
            for exporter in self._exporters.values():
                stack.callback(exporter.install())
            self._spans = self._spans or opentelemetry.spans(self._recorder)
            readers: list[Any] = [*self._exporters.values(), *([self._spans] if self._spans else [])]
            find(wanted for reader in readers for wanted in reader.wanted)
            if self._spans is not None:
                stack.callback(self._spans.install())
            return stack.pop_all().close

    def begin(self, index: int) -> None:
        """A call begins."""
        self._before[index] = self._snapshot(first=True)

    def end(self, index: int) -> None:
        """A call has ended."""
        before = self._before.get(index, [])
        after = self._snapshot(first=False)
        if before or after:
            self._recorder.add(Exported, index=index, metrics=difference(before, after))

    def _snapshot(self, *, first: bool) -> list[Metric]:
        for exporter in self._exporters.values():
            exporter.flush()
        return _merged(
            metric for exporter in self._exporters.values() for metric in exporter.snapshot(first=first)
        )


def _merged(metrics: Iterable[Metric]) -> list[Metric]:
    """Metrics of which each name is there once: two registries may have the same."""
    found: dict[tuple[str, str, str], Metric] = {}
    for metric in metrics:
        known = found.get(metric.key)
        found[metric.key] = known.joined(metric) if known is not None else metric
    return list(found.values())
