"""What is counted: collections of the user's modules, and the memory that lines hold."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_ralph.core.location import Locator
from pytest_ralph.world import traced
from pytest_ralph.world.census import Census
from pytest_ralph.world.holdings import Holdings

SHOP = """
import collections
import functools
import linecache
import requests

SEEN = set()
EMPTY = {}
NESTED = [{"a": [[]]}]
RECENT = collections.deque()
BUFFER = bytearray()
SESSION = requests.Session()


class Cart:
    all = []

    def __init__(self):
        self.items = []


CART = Cart()


def charge(amount, log=[]):
    log.append(amount)


def counter():
    found = []
    return found.append


def adder():
    found = []

    def add(amount):
        found.append(amount)

    return add


ADD = adder()


@functools.lru_cache(maxsize=None)
def cached(amount):
    return amount


class Proxy:
    @property
    def __class__(self):
        raise AssertionError("asked for its class")


class Sly(list):
    def __len__(self):
        raise AssertionError("asked for its length")


PROXY = Proxy()
SLY = Sly()


def nothing():
    return linecache.cache
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the user's."""
    (tmp_path / "shop.py").write_text(SHOP)
    spec = importlib.util.spec_from_file_location("shop", tmp_path / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "shop", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def locator(tmp_path: Path) -> Locator:
    return Locator(tmp_path)


@pytest.mark.parametrize(
    ("statement", "name", "line"),
    [
        ("SEEN.add(1)", "SEEN", 7),
        ("EMPTY['a'] = 1", "EMPTY", 8),
        ("NESTED[0]['a'][0].append(1)", "NESTED", 9),
        ("RECENT.append(1)", "RECENT", 10),
        ("BUFFER.append(1)", "BUFFER", 11),
        ("SESSION.hooks['response'].append(print)", "SESSION", 12),
        ("Cart.all.append(1)", "Cart", 15),
        ("CART.items.append(1)", "CART", 22),
        ("charge(1)", "charge", 25),
        ("ADD(1)", "ADD", 43),
        ("cached(1)", "cached", 47),
        ("SLY.append(1)", "SLY", 63),
    ],
)
def test_collections_are_found_wherever_they_are(
    shop: ModuleType, locator: Locator, statement: str, name: str, line: int
):
    holdings = Holdings(locator)
    assert holdings.take() == ()

    exec(statement, vars(shop))

    (kept,) = holdings.take()
    assert (kept.name, kept.more) == (f"shop.{name}", 1)
    assert kept.location is not None
    assert (kept.location.file, kept.location.line) == ("shop.py", line)


def test_collections_of_others_are_not(shop: ModuleType, locator: Locator):
    holdings = Holdings(locator)

    # The user's module has this one, but what is in it is not the user's.
    shop.linecache.cache["a name of a file"] = ()
    try:
        assert holdings.take() == ()
    finally:
        del shop.linecache.cache["a name of a file"]


def test_a_module_that_is_loaded_when_it_is_used_is_left_alone(
    shop: ModuleType, locator: Locator, monkeypatch: pytest.MonkeyPatch
):
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))

    assert Holdings(locator).take() == ()


def test_coroutines_have_the_size_they_have():
    """What all objects inherit would tell some hundred terabytes."""
    census = Census(Locator(Path(__file__).parent), lambda _: None)
    try:
        census.take()
        # The parser is there because more is made for it than by this line itself.
        kept = [(asyncio.sleep(1), argparse.ArgumentParser()) for _ in range(3)]
        found = census.take()["memory"]
    finally:
        census.close()
    for coroutine, _ in kept:
        coroutine.close()

    assert 500 < sum(each.size for each in found) < 500_000


def test_allocations_are_those_that_tracemalloc_tells_of():
    """Less is wrapped, by what is not public."""
    tracemalloc.start(5)
    try:
        kept = [argparse.ArgumentParser() for _ in range(3)]
        blocks = {tuple(frames) for _, frames in traced.blocks()}
        parts = [part for parser in kept for part in vars(parser).values()]
        wrapped = [tracemalloc.get_object_traceback(part) for part in parts]
        plain = [traced.made(part) for part in parts]
    finally:
        tracemalloc.stop()

    assert any(plain)
    for one, other in zip(plain, wrapped, strict=True):
        assert one == (other and tuple((frame.filename, frame.lineno) for frame in reversed(other)))
    assert {tuple(frames) for frames in plain if frames} <= blocks
