"""Labels of metrics that markers ask for: which there are, what their values are, and by which outcome."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_ralph.core.masking import masked
from pytest_ralph.core.metrics import Series
from pytest_ralph.core.outcomes import FAILURE, OUTCOMES, SUCCESS

# As many words, one of them a URL, are a text for people: a method and a URL may be a route.
_PROSE = 4
_URL = re.compile(r"\w://")


@dataclass(frozen=True, kw_only=True)
class Label:
    """A label that a metric must have.

    Attributes:
        name: Its name.
        success: What its whole value must match in a call that succeeds; None for any value.
        failure: The same in a call that fails.
    """

    name: str
    success: str | None = None
    failure: str | None = None

    @property
    def by_outcome(self) -> bool:
        """Whether its value tells how a call ended."""
        return self.success != self.failure

    @property
    def valued(self) -> bool:
        """Whether any value is asked for."""
        return self.success is not None

    def fits(self, series: Series, outcome: str) -> bool:
        """Whether a series has a right value for it. One that has none counts as empty, as in a query."""
        pattern = self.success if outcome == SUCCESS else self.failure
        return pattern is None or re.fullmatch(pattern, series.labels.get(self.name, "")) is not None

    def to_json(self) -> str | Mapping[str, str | None] | None:
        """What is asked of its value, for the report."""
        return {SUCCESS: self.success, FAILURE: self.failure} if self.by_outcome else self.success

    def __str__(self) -> str:
        if self.by_outcome:
            return f"{self.name} ({self.success} when the call succeeds, {self.failure} when it fails)"
        return self.name if self.success is None else f"{self.name} ({self.success})"


Labels = tuple[Label, ...] | None


def fit(labels: Labels, series: Series, outcomes: Collection[str]) -> bool:
    """Whether a series is one that is asked for: by the values of its labels, as a query selects it.

    Args:
        labels: What is asked for; None for any labels.
        series: The series.
        outcomes: How the call may have ended.
    """
    return any(all(each.fits(series, outcome) for each in labels or ()) for outcome in outcomes)


def names(labels: Labels, series: Series) -> tuple[list[str], list[str]]:
    """The labels that a series has not and that it has besides."""
    if labels is None:
        return [], []
    asked = [each.name for each in labels]
    missing = [name for name in asked if name not in series.labels]
    return missing, [name for name in series.labels if name not in asked]


def told_apart(labels: Labels, others: Labels, series: Series, outcomes: Collection[str]) -> bool:
    """Whether a series is what others ask for, and by the value of a label that both ask values of.

    Args:
        labels: What is asked for, and is not met.
        others: What another marker asks for.
        series: The series.
        outcomes: How the call may have ended.
    """
    if names(others, series) != ([], []) or not fit(others, series, outcomes):
        return False
    valued = {each.name for each in others or () if each.valued}
    return any(each.name in valued and not fit((each,), series, outcomes) for each in labels or ())


def problem(labels: Labels, series: Series, outcomes: Collection[str]) -> str:
    """What is wrong with the labels of a series; empty if nothing is."""
    missing, more = names(labels, series)
    wrong = [each.name for each in labels or () if not fit((each,), series, outcomes)]
    told = (("without", missing), ("with", more), ("with other values for", [] if missing else wrong))
    return ", ".join(f"it is {how} {', '.join(found)}" for how, found in told if found)


def unbound(series: Series) -> str:
    """The name of a label whose values have no end, as far as one shows it; empty if there is none."""
    return next((name for name, value in series.labels.items() if _endless(value)), "")


def _endless(value: str) -> bool:
    # What HTTP clients say of an error has the URL in it, with ids, amounts and all.
    return masked(value) != value or (len(value.split()) >= _PROSE and _URL.search(value) is not None)


def labels_of(labels: object) -> Labels:
    """Read an argument that names labels.

    Args:
        labels: Names, or a mapping from names to patterns, or to mappings from outcomes to patterns.

    Raises:
        TypeError: It is something else.
        ValueError: A pattern is no regular expression, or two do not tell one outcome from the other.
    """
    if labels is None:
        return None
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"labels must be names such as ('outcome',), or a mapping from them, got {labels!r}")
    asked: Mapping[object, object] = labels if isinstance(labels, Mapping) else dict.fromkeys(labels)
    return tuple(_label(name, pattern) for name, pattern in asked.items())


def _label(name: object, asked: object) -> Label:
    if not isinstance(name, str) or not name:
        raise TypeError(f"labels must be named by text, got {name!r}")
    shown = f"labels[{name!r}]"
    if not isinstance(asked, Mapping):
        pattern = None if asked is None else _pattern(shown, asked)
        return Label(name=name, success=pattern, failure=pattern)
    if set(asked) != set(OUTCOMES):
        raise ValueError(
            f"{shown} must have a regular expression for 'success' and one for 'failure', got {asked!r}"
        )
    success, failure = (_pattern(f"{shown}[{each!r}]", asked[each]) for each in OUTCOMES)
    both = _in_both(success, failure)
    if both is not None:
        raise ValueError(f"{shown} must tell success from failure, but {both!r} is right for both: {asked!r}")
    return Label(name=name, success=success, failure=failure)


def _pattern(shown: str, asked: object) -> str:
    if not isinstance(asked, str):
        raise TypeError(f"{shown} must be a regular expression, got {asked!r}")
    try:
        re.compile(asked)
    except re.error as error:
        raise ValueError(f"{shown} is no regular expression: {error}, got {asked!r}") from None
    return asked


def _in_both(one: str, other: str) -> str | None:
    """A value that both patterns match, as far as one of them spells it out."""
    spelt: Sequence[tuple[str, str]] = [
        (value, pattern) for values, pattern in ((one, other), (other, one)) for value in values.split("|")
    ]
    found = (value for value, pattern in spelt if re.fullmatch(pattern, value))
    return one if one == other else next(found, None)
