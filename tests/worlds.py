"""A world of its own for each test, entered while a function runs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.location import Locator
from pytest_ralph.world.world import Seams, World

SEAMS = Seams()


@contextmanager
def entered(*, measured: bool = False) -> Iterator[World]:
    """A world of its own, entered."""
    world = World(SEAMS, Locator(Path(__file__).parent), measured=measured)
    try:
        world.enter()
        yield world
    finally:
        world.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World(SEAMS, Locator(Path(__file__).parent), measured=False)
    yield world
    world.close()


@pytest.fixture
def live(world: World) -> Callable[[Callable[[], Any]], Any]:
    """Run a function inside the world and give what it returns."""

    def run(function: Callable[[], Any]) -> Any:
        world.enter()
        try:
            return function()
        finally:
            world.leave()

    return run
