"""From a marker function to the one registered pytest marker: for the skills only, core knows no pytest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., Any])
Decorator = Callable[[T], T]


class MarkerError(ValueError):
    """A marker was written with an argument that makes no sense.

    It is raised where the marker is written, so that the collection error points at the user's line.
    """


@dataclass(frozen=True, kw_only=True)
class Feature:
    """The name under which gates are grouped in the report."""

    name: str


def attach(skill: str, build: Callable[[], object], function: object = None) -> Any:
    """Make the marker for a spec, applying it at once when it was written without parentheses.

    Args:
        skill: The skill's id.
        build: Makes the spec; what it raises becomes a `MarkerError`.
        function: The decorated function, for a marker written without parentheses.

    Raises:
        MarkerError: An argument is wrong.
    """
    __tracebackhide__ = True
    problem = None
    try:
        spec = build()
    except (TypeError, ValueError) as error:
        problem = f"@ralph.{skill.replace('-', '_')}: {error}"
    if problem:
        raise MarkerError(problem)
    mark = pytest.mark.ralph.with_args(spec, skill=skill)
    return mark if function is None else mark(function)


def feature(name: str) -> Decorator[Any]:
    """Group the gates of a test, or of all tests of a class, under a feature.

    Without it, gates are grouped under the name of the test module.

    Args:
        name: The feature's name, as shown in the report and taken by ``--ralph-feature``.

    Raises:
        MarkerError: The name is empty or not text.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.feature("payments")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    if not isinstance(name, str) or not name.strip():
        raise MarkerError(f"@ralph.feature: needs a name such as @ralph.feature('payments'), got {name!r}")
    return pytest.mark.ralph.with_args(Feature(name=name.strip()))


@dataclass(frozen=True, kw_only=True)
class Reset:
    """A function that clears state the code under test keeps between calls."""

    function: Callable[[], object]


def reset(function: Callable[[], object]) -> Decorator[Any]:
    """Name a function that clears state the code under test keeps between calls.

    It is called before each play: code that answers from a cache makes no request that a fault could hit.

    Args:
        function: Called without arguments, such as ``client.token.cache_clear``.

    Raises:
        MarkerError: It cannot be called.

    Example:
        >>> import functools
        >>> import pytest_ralph as ralph
        >>> @functools.lru_cache
        ... def rates(): ...
        >>> @ralph.reset(rates.cache_clear)
        ... def test_convert(): ...
    """
    __tracebackhide__ = True
    if not callable(function):
        raise MarkerError(
            "@ralph.reset: needs a function to call, such as @ralph.reset(rates.cache_clear), "
            f"got {function!r}"
        )
    return pytest.mark.ralph.with_args(Reset(function=function))


def provide(metafunc: pytest.Metafunc) -> None:
    """Give a test the arguments that its gates vary, without a trace in its id.

    Raises:
        pytest.UsageError: The test does not take one of them.
    """
    for mark in metafunc.definition.iter_markers("ralph"):
        for name, value in getattr(mark.args[0], "arguments", {}).items():
            if name not in metafunc.fixturenames:
                skill = mark.kwargs["skill"].replace("-", "_")
                raise pytest.UsageError(
                    f"{metafunc.definition.nodeid}: @ralph.{skill} needs a test with the argument {name}"
                )
            metafunc.parametrize(name, [value], ids=[pytest.HIDDEN_PARAM])


def check_scenarios(value: str) -> None:
    """Check the ``scenarios`` argument that every marker takes.

    Raises:
        ValueError: It is neither ``auto`` nor ``manual``.
    """
    if value not in ("auto", "manual"):
        raise ValueError(f"scenarios must be 'auto' or 'manual', got {value!r}")
