"""Arguments of markers that a project sets in its policy, for those that a marker is written without.

A marker is written where no configuration is at hand. So the plugin says which project is being tested, and
the policy is read when the first marker is written: a project without gates never reads it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pytest_ralph._plugin import ROOTS


def of(skill: str) -> Mapping[str, Any]:
    """The arguments that the policy sets for a skill.

    Args:
        skill: The skill's id.

    Raises:
        PolicyError: The policy cannot be read.
    """
    if not ROOTS:
        return {}
    from pytest_ralph.report.policyfile import find

    table = find(ROOTS[-1]).table.get("defaults", {})
    found = table.get(skill, {}) if isinstance(table, dict) else {}
    return found if isinstance(found, dict) else {}


def applied(marker: Callable[..., Any], skill: str) -> Callable[..., Any]:
    """A marker function that knows the arguments that the policy sets.

    Args:
        marker: The marker function.
        skill: The skill's id.

    Raises:
        PolicyError: The policy cannot be read.
    """
    given = of(skill)
    if not given:
        return marker

    @functools.wraps(marker)
    def defaulted(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if len(args) == 1 and not kwargs and callable(args[0]):
            # Written without parentheses.
            return marker(**given)(args[0])
        return marker(*args, **{**_free(marker, args, given), **kwargs})

    return defaulted


def _free(marker: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of arguments that are not given by position."""
    names = list(_signature(marker))[: len(args)]
    return {name: value for name, value in given.items() if name not in names}


def _signature(marker: Callable[..., Any]) -> tuple[str, ...]:
    import inspect

    return tuple(inspect.signature(marker).parameters)


def check(defaults: Mapping[str, Mapping[str, Any]], markers: Mapping[str, Callable[..., Any]]) -> None:
    """Make sure that markers take the arguments that a policy sets.

    Args:
        defaults: Arguments by skill.
        markers: Marker functions by skill.

    Raises:
        ValueError: With the key under ``defaults``, the value and what was expected, as arguments.
    """
    from pytest_ralph.marker import MarkerError

    for skill, given in defaults.items():
        known = [name for name in _signature(markers[skill]) if name != "function"]
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{skill}.{name}", value, f"one of the arguments {', '.join(known)}")
        try:
            markers[skill](**given)
        except MarkerError as error:
            raise ValueError(skill, dict(given), f"arguments that the marker takes: {error}") from None
        except TypeError:
            # What has no default of its own is still to be given by each marker.
            continue
