"""A search by Hypothesis that is the same on every run: settings, seed, and where examples are kept.

Skills import it where they search, since importing Hypothesis takes time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from unittest import SkipTest

import hypothesis
from hypothesis import Phase
from hypothesis.database import ExampleDatabase
from hypothesis.errors import Flaky, Unsatisfiable
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


class _FoundError(Exception):
    """A value was found that shows what is searched for."""


class _Shelf(ExampleDatabase):
    """The part of the user's example database that belongs to one search.

    Hypothesis names what it keeps after the source of a function, which is the same one for all searches.

    Args:
        database: The user's database.
        name: What tells this search from others, on every run.
    """

    def __init__(self, database: ExampleDatabase, name: str) -> None:
        super().__init__()
        self._database = database
        self._name = name.encode()

    def _key(self, key: bytes) -> bytes:
        return hashlib.sha384(self._name + b"\0" + key).digest()

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example."""
        self._database.save(self._key(key), value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Give all examples."""
        return self._database.fetch(self._key(key))

    def delete(self, key: bytes, value: bytes) -> None:
        """Forget an example."""
        self._database.delete(self._key(key), value)


def search(
    strategy: SearchStrategy[T], shows: Callable[[T], bool], *, examples: int, seed: int, name: str
) -> bool:
    """Look for a value, and make it as small as possible: the last one that shows what is looked for is it.

    What the user's profile says holds, but for what the gate decides (how many examples) and for what the
    virtual clock makes pointless (deadlines and health checks). What is found is kept in its database, and
    nothing of that is looked at: the search is the same whatever the database holds.

    Args:
        strategy: Where values come from.
        shows: Whether a value shows what is looked for.
        examples: How many values are tried.
        seed: Makes it the same search on every run.
        name: What tells this search from others, on every run.

    Returns:
        Whether there was such a value.

    Raises:
        Exception: What the strategy raises, or Hypothesis because of it.
    """
    profile = hypothesis.settings()
    # Explaining takes a tracer and many more calls; without generating there would be no search.
    phases = {*profile.phases, Phase.generate} - {Phase.explain, Phase.reuse}
    settings = _settings(profile, examples, name, phases)
    # A seed takes the database away. Settings that are applied after it bring that back.
    return _finds(settings(hypothesis.seed(seed)(_given(strategy, shows))))


def replay(strategy: SearchStrategy[T], shows: Callable[[T], bool], *, examples: int, name: str) -> bool:
    """Try what earlier searches of that name have found, the smallest first, until one still shows it.

    What shows nothing any more is forgotten. No value is tried where the user's profile has no database, or
    leaves the phase ``reuse`` out.

    Args:
        strategy: Where values come from.
        shows: Whether a value shows what is looked for.
        examples: How many values are tried at the most.
        name: What the searches were called.

    Returns:
        Whether there was such a value: the last one that shows what is looked for.

    Raises:
        Exception: What the strategy raises, or Hypothesis because of it.
    """
    profile = hypothesis.settings()
    if profile.database is None or Phase.reuse not in profile.phases:
        return False
    try:
        return _finds(_settings(profile, examples, name, {Phase.reuse})(_given(strategy, shows)))
    except (Unsatisfiable, SkipTest):
        return False  # nothing of what was found can be made of the strategy any more


def _given(strategy: SearchStrategy[T], shows: Callable[[T], bool]) -> Callable[[], None]:
    def case(value: T) -> None:
        if shows(value):
            raise _FoundError

    return hypothesis.given(strategy)(case)


def _finds(test: Callable[[], None]) -> bool:
    try:
        test()
    except (_FoundError, Flaky):
        return True  # what the code did with a value once, it does in production, if not every time
    return False


def _settings(profile: hypothesis.settings, examples: int, name: str, phases: Iterable[Phase]) -> Any:
    return hypothesis.settings(
        profile,
        max_examples=examples,
        derandomize=False,
        database=None if profile.database is None else _Shelf(profile.database, name),
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[phase for phase in Phase if phase in phases],
        verbosity=hypothesis.Verbosity.quiet,
    )
