"""pytest-ralph: decides whether code is ready for production.

Used as ``import pytest_ralph as ralph``. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ralph import faults as faults
    from pytest_ralph import invalid as invalid
    from pytest_ralph.marker import MarkerError as MarkerError
    from pytest_ralph.marker import feature as feature
    from pytest_ralph.marker import reset as reset
    from pytest_ralph.marker import secret as secret
    from pytest_ralph.skills.bad_data import bad_data as bad_data
    from pytest_ralph.skills.circuit_breaker import circuit_breaker as circuit_breaker
    from pytest_ralph.skills.emits_metric import emits_metric as emits_metric
    from pytest_ralph.skills.emits_span import emits_span as emits_span
    from pytest_ralph.skills.fallback import fallback as fallback
    from pytest_ralph.skills.idempotent import idempotent as idempotent
    from pytest_ralph.skills.latency import latency as latency
    from pytest_ralph.skills.logs import logs as logs
    from pytest_ralph.skills.memory_limit import memory_limit as memory_limit
    from pytest_ralph.skills.no_leaks import no_leaks as no_leaks
    from pytest_ralph.skills.rate_limit import rate_limit as rate_limit
    from pytest_ralph.skills.retry import retry as retry
    from pytest_ralph.skills.scales import scales as scales
    from pytest_ralph.skills.survives import survives as survives
    from pytest_ralph.skills.timeout import timeout as timeout
    from pytest_ralph.skills.validates_input import validates_input as validates_input
    from pytest_ralph.world.network import UndeclaredHost as UndeclaredHost

__all__ = [
    "MarkerError",
    "UndeclaredHost",
    "bad_data",
    "circuit_breaker",
    "emits_metric",
    "emits_span",
    "fallback",
    "faults",
    "feature",
    "idempotent",
    "invalid",
    "latency",
    "logs",
    "memory_limit",
    "no_leaks",
    "rate_limit",
    "reset",
    "retry",
    "scales",
    "secret",
    "survives",
    "timeout",
    "validates_input",
]

_MODULES = ("faults", "invalid")

_HOMES = {
    "MarkerError": "pytest_ralph.marker",
    "UndeclaredHost": "pytest_ralph.world.network",
    "feature": "pytest_ralph.marker",
    "reset": "pytest_ralph.marker",
    "secret": "pytest_ralph.marker",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pytest_ralph' has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"pytest_ralph.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    module = importlib.import_module(f"pytest_ralph.skills.{name}")
    from pytest_ralph.defaults import applied

    return applied(getattr(module, name), module.SKILL.id)


def __dir__() -> list[str]:
    return __all__
