"""From a marker function to the one registered pytest marker: for the skills only, core knows no pytest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., Any])
Decorator = Callable[[T], T]

# Fewer characters than that are found by chance.
_SHORTEST_SECRET = 4


class MarkerError(ValueError):
    """A marker was written with an argument that makes no sense.

    It is raised where the marker is written, so that the collection error points at the user's line.
    """


@dataclass(frozen=True, kw_only=True)
class Feature:
    """The name under which gates are grouped in the report."""

    name: str


def attach(
    skill: str,
    build: Callable[[], object],
    function: object = None,
    *,
    name: str | None = None,
    check: Callable[[Callable[..., Any]], None] | None = None,
) -> Any:
    """Make the marker for a spec, applying it at once when it was written without parentheses.

    Args:
        skill: The skill's id.
        build: Makes the spec; what it raises becomes a `MarkerError`.
        function: The decorated function, for a marker written without parentheses.
        name: What the marker is called in messages; ``ralph.`` and the skill's id by default.
        check: Looks at each function that the marker is applied to; what it raises becomes a `MarkerError`.

    Raises:
        MarkerError: An argument is wrong.
    """
    __tracebackhide__ = True
    shown = name or f"ralph.{skill.replace('-', '_')}"
    spec = _checked(shown, build)
    if function is not None and not callable(function):
        # Pytest would take it for one more argument of the marker, and the test would be gone.
        problem = f"@{shown}: takes keyword arguments only, got {function!r}"
        raise MarkerError(problem)
    mark: Any = pytest.mark.ralph.with_args(spec, skill=skill)
    if check is not None:
        mark = _Checking(mark, shown, check)
    return mark if function is None else mark(function)


def _checked(name: str, build: Callable[[], object]) -> object:
    __tracebackhide__ = True
    problem = None
    try:
        return build()
    except (TypeError, ValueError) as error:
        problem = f"@{name}: {error}"
    raise MarkerError(problem)


class _Checking:
    """A pytest marker that looks at the functions it is applied to.

    Args:
        mark: The marker.
        name: What the marker is called in messages.
        check: See `attach`.
    """

    def __init__(
        self, mark: pytest.MarkDecorator, name: str, check: Callable[[Callable[..., Any]], None]
    ) -> None:
        self._mark = mark
        self._name = name
        self._check = check

    def __call__(self, function: Any) -> Any:
        __tracebackhide__ = True
        if inspect.isfunction(function):
            _checked(self._name, lambda: self._check(function))
        return self._mark(function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mark, name)


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


def arguments_of(function: Callable[..., Any]) -> list[str]:
    """The arguments of a test function that pytest fills in: those without a default."""
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        each.name
        for each in parameters
        if each.kind in kinds and each.default is inspect.Parameter.empty and each.name != "self"
    ]


def check_arguments(function: Callable[..., Any], named: Iterable[str]) -> None:
    """Check that a test function has the arguments that a marker names.

    Raises:
        ValueError: It has no such argument.
    """
    known = arguments_of(function)
    for name in named:
        if name not in known:
            has = f"its arguments are {', '.join(known)}" if known else "it has no arguments"
            raise ValueError(
                f"{function.__name__} has no argument {name!r}; {has}. Give it the argument, with a valid "
                "value from a fixture or from parametrize"
            )


@dataclass(frozen=True, kw_only=True)
class Secret:
    """Values that must never be shown."""

    values: tuple[str, ...]


def secret(*values: str) -> Decorator[Any]:
    """Declare values that no line of a log, no exception and no label of a metric may show.

    They are judged by ``logs``, and no report shows them. Credentials that requests carry (the header
    ``Authorization``, keys in headers and URLs) are secrets without being declared.

    Args:
        values: The texts, such as the card token that the test passes.

    Raises:
        MarkerError: A value is not text, or so short that it would be found by chance.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.secret("tok_visa")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    if not values:
        raise MarkerError("@ralph.secret: needs the value to look for: write @ralph.secret('tok_visa')")
    for value in values:
        if not isinstance(value, str) or len(value.strip()) < _SHORTEST_SECRET:
            raise MarkerError(
                f"@ralph.secret: needs text of at least {_SHORTEST_SECRET} characters, as less is found by "
                f"chance, got {value!r}"
            )
    return pytest.mark.ralph.with_args(Secret(values=values))


def provide(metafunc: pytest.Metafunc) -> None:
    """Give a test the arguments that its gates vary, without a trace in its id.

    Raises:
        pytest.UsageError: The test does not take one of them.
    """
    for mark in metafunc.definition.iter_markers("ralph"):
        for name, value in getattr(mark.args[0], "provided", {}).items():
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


def exception_classes(value: object, *, name: str, example: str) -> tuple[type[Exception], ...]:
    """Check an argument that names one class of exceptions, or several.

    Args:
        value: The argument.
        name: What it is called, for the error message.
        example: A class of exceptions as users would write it, for the error message.

    Raises:
        TypeError: It is neither an exception class nor a tuple of them.
        ValueError: The tuple is empty.
    """
    given = value if isinstance(value, tuple) else (value,)
    for each in given:
        if not isinstance(each, type) or not issubclass(each, Exception):
            raise TypeError(
                f"{name} must be an exception class or a tuple of them, such as {name}={example}, got "
                f"{value!r}"
            )
    if not given:
        raise ValueError(f"{name} names no exception: name what the code raises, such as {name}={example}")
    return given
