"""Pages define clients in their modules and never close them, as programs do: that is not what is tested."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def tidy() -> Iterator[None]:
    """Collect what a page left behind before its warnings fall on another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
