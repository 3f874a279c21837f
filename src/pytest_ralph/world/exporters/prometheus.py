"""Metrics of prometheus-client, as a scrape would show them: of every registry, and in multiprocess mode.

Registries are found wherever the program keeps them. Collectors of the program's own are not asked: what they
do to collect is none of the call's doing, and may take its time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from pytest_ralph.core.metrics import Metric, Series, unit_of
from pytest_ralph.world.instances import Instances
from pytest_ralph.world.repoint import Undo

MODULE = "prometheus_client"
_MULTIPROCESS = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


class Exporter:
    """Reads the registries of a program."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self._held: list[Any] = []
        self._registries = Instances(CollectorRegistry, made=self._held.append)
        self.wanted = [self._registries]

    def install(self) -> Undo:
        """See registries that are made from now on. Returns what undoes it."""
        return self._registries.install()

    def flush(self) -> None:
        """Nothing is kept back."""

    def snapshot(self, *, first: bool) -> list[Metric]:
        """All metrics, now.

        Args:
            first: Whether a call begins: registries that there are from now on stay until it has ended.
        """
        registries = self._registries.all()
        if first:
            self._held[:] = registries
        families = [family for registry in registries for family in _families(registry)]
        return [metric for family in (*families, *_multiprocess()) for metric in _metric(family)]


def _families(registry: Any) -> Iterator[Any]:
    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.values import ValueClass

    if getattr(ValueClass, "_multiprocess", False):
        return  # a scrape shows the files that all processes write instead
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            yield from collector.collect()


def _multiprocess() -> Iterable[Any]:
    """What a scrape shows in multiprocess mode: what all processes have written to files."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.values import ValueClass

    folder = next((os.environ[name] for name in _MULTIPROCESS if os.environ.get(name)), None)
    if folder is None or not getattr(ValueClass, "_multiprocess", False):
        return ()
    collector: Callable[..., Any] = MultiProcessCollector
    with suppress(ValueError):  # the folder is not there
        found: Iterable[Any] = collector(CollectorRegistry(), folder).collect()
        return found
    return ()


def _metric(family: Any) -> Iterator[Metric]:
    kind = {"unknown": "untyped", "stateset": "enum"}.get(family.type, family.type)
    name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
    grouped: dict[frozenset[tuple[str, str]], list[Any]] = defaultdict(list)
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            labels = {key: value for key, value in sample.labels.items() if key not in ("le", "quantile")}
            grouped[frozenset(labels.items())].append(sample)
    yield Metric(
        name=name,
        type=kind,
        source="prometheus",
        unit=unit_of(family.name) if kind in ("histogram", "summary") else "",
        series=tuple(_series(dict(labels), samples, family.name) for labels, samples in grouped.items()),
    )


def _series(labels: dict[str, str], samples: list[Any], name: str) -> Series:
    by_name = {sample.name: sample for sample in samples if "le" not in sample.labels}
    buckets = {sample.labels["le"]: sample.value for sample in samples if "le" in sample.labels}
    exemplars = tuple(dict(each.exemplar.labels) for each in samples if each.exemplar is not None)
    count = by_name.get(f"{name}_count")
    if count is None and not buckets:
        value = next(iter(by_name.values())).value
        return Series(labels=labels, after=float(value), exemplars=exemplars)
    total = by_name.get(f"{name}_sum")
    observed = count.value if count is not None else buckets.get("+Inf", 0.0)
    bounded = [value for bound, value in buckets.items() if bound != "+Inf"]
    return Series(
        labels=labels,
        after=float(observed),
        total=None if total is None else float(total.value),
        beyond=float(observed - max(bounded)) if bounded else 0.0,
        exemplars=exemplars,
    )
