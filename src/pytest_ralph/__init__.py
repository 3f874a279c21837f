"""pytest-ralph: decides whether code is ready for production.

Used as ``import pytest_ralph as ralph``. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ralph import faults as faults
    from pytest_ralph.marker import MarkerError as MarkerError
    from pytest_ralph.marker import feature as feature
    from pytest_ralph.marker import reset as reset
    from pytest_ralph.skills.memory_limit import memory_limit as memory_limit
    from pytest_ralph.skills.no_leaks import no_leaks as no_leaks
    from pytest_ralph.skills.retry import retry as retry
    from pytest_ralph.skills.scales import scales as scales
    from pytest_ralph.skills.timeout import timeout as timeout
    from pytest_ralph.world.network import UndeclaredHost as UndeclaredHost

__all__ = [
    "MarkerError",
    "UndeclaredHost",
    "faults",
    "feature",
    "memory_limit",
    "no_leaks",
    "reset",
    "retry",
    "scales",
    "timeout",
]

_HOMES = {
    "MarkerError": "pytest_ralph.marker",
    "UndeclaredHost": "pytest_ralph.world.network",
    "feature": "pytest_ralph.marker",
    "reset": "pytest_ralph.marker",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pytest_ralph' has no attribute {name!r}")
    if name == "faults":
        return importlib.import_module("pytest_ralph.faults")
    home = _HOMES.get(name, f"pytest_ralph.skills.{name}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return __all__
