"""Metrics as an exporter shows them, before and after a call: plain data, and what changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Series:
    """One time series: a metric with one set of labels.

    Attributes:
        labels: Names and values of its labels.
        before: Its value when the call began: the count of observations for a histogram, a summary or a
            timer. None if there was no such series.
        after: Its value when the call had ended.
        total: By how much the sum of the observations grew; None for what has no sum.
        beyond: How many observations lay above the largest bucket with a bound.
        exemplars: The labels of the exemplars that are attached, such as ids of traces.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    before: float | None = None
    after: float = 0.0
    total: float | None = None
    beyond: float = 0.0
    exemplars: tuple[Mapping[str, str], ...] = ()

    @property
    def delta(self) -> float:
        """By how much it changed."""
        return round(self.after - (self.before or 0.0), 9)

    def plus(self, other: Series) -> Series:
        """The sum of two series that have the same labels, in one snapshot."""
        has_total = self.total is not None or other.total is not None
        return replace(
            self,
            after=self.after + other.after,
            total=(self.total or 0.0) + (other.total or 0.0) if has_total else None,
            beyond=self.beyond + other.beyond,
            exemplars=(*self.exemplars, *other.exemplars),
        )

    def label_text(self) -> str:
        """Its labels as an exporter writes them; empty if there are none."""
        inner = ", ".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()))
        return f"{{{inner}}}" if inner else ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric under the name by which it is queried.

    Attributes:
        name: The name that an exporter gives it, with ``_total`` where that belongs to it.
        type: ``counter``, ``gauge``, ``histogram``, ``summary``, or what else the library knows.
        source: The library it is made with: ``prometheus``, ``opentelemetry`` or ``statsd``.
        unit: The unit of what is observed, ``s`` or ``ms``, where the library or the name tells it.
        series: Its time series.
    """

    name: str
    type: str
    source: str
    unit: str = ""
    series: tuple[Series, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.source, self.name, self.type

    @property
    def changed(self) -> tuple[Series, ...]:
        """The series that are not what they were. Labels that are declared begin with a series of 0."""
        return tuple(each for each in self.series if each.delta)

    @property
    def delta(self) -> float:
        """By how much all series together changed."""
        return round(sum(each.delta for each in self.series), 9)

    def joined(self, other: Metric) -> Metric:
        """This one and one of the same name from elsewhere, as one."""
        mine = {_key(each): each for each in self.series}
        for each in other.series:
            key = _key(each)
            mine[key] = mine[key].plus(each) if key in mine else each
        return replace(self, series=tuple(mine.values()))

    def changes(self) -> list[str]:
        """What changed, as text."""
        return [f"{self.name}{each.label_text()} {signed(each.delta)}" for each in self.changed]


def signed(number: float) -> str:
    """A change with its sign: ``+1``, ``-0.5``, ``0``."""
    return f"{number:+g}" if number else "0"


def unit_of(name: str) -> str:
    """The unit of time that a name ends with: ``s``, ``ms``, or none.

    See https://prometheus.io/docs/practices/naming/#base-units.
    """
    base = name.lower().replace(".", "_")
    if base.endswith(("_seconds", "_second", "_secs", "_s")):
        return "s"
    return "ms" if base.endswith(("_milliseconds", "_millis", "_ms")) else ""


def difference(before: Iterable[Metric], after: Iterable[Metric]) -> tuple[Metric, ...]:
    """What an exporter shows after a call, with what it showed before it.

    Args:
        before: A snapshot; values are in ``after``, sums in ``total``, as in the other.
        after: A later one.
    """
    known = {each.key: each for each in before}
    return tuple(_since(known.get(each.key), each) for each in sorted(after, key=lambda each: each.key))


def _since(before: Metric | None, after: Metric) -> Metric:
    known = {_key(each): each for each in before.series} if before is not None else {}
    series = [_series_since(known.get(_key(each)), each) for each in after.series]
    return replace(after, series=tuple(sorted(series, key=lambda each: sorted(each.labels.items()))))


def _series_since(before: Series | None, after: Series) -> Series:
    if before is None:
        return after
    total = None if after.total is None else round(after.total - (before.total or 0.0), 9)
    return replace(after, before=before.after, total=total, beyond=after.beyond - before.beyond)


def _key(series: Series) -> frozenset[tuple[str, str]]:
    return frozenset(series.labels.items())
