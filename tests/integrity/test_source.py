"""Digests of source: meaning counts, layout does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.registry import Registry, builtin
from pytest_ralph.core.skill import eased
from pytest_ralph.core.source import Module, digest_of_file

SOURCE = """
import pytest
from a import b, c

LIMIT = 3

def helper(x):
    return deeper(x)

def deeper(x):
    return x < LIMIT

def unused(): ...

@pytest.fixture(name="api")
def make_api():
    return b

@pytest.mark.slow
def test_it(api):
    assert helper(1)

class TestBox:
    size = 3

    def test_in(self):
        assert self.size

    def test_other(self): ...
"""
IT = ["test_it"]
IN = ["TestBox", "test_in"]


def test_what_a_test_uses_is_followed():
    assert list(Module(SOURCE).uses(IT, ["api"])) == ["LIMIT", "b", "deeper", "helper", "make_api", "pytest"]
    assert list(Module(SOURCE).uses(IN)) == ["TestBox"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    assert helper(1)", "    # why\n\n    assert (helper(1))"),
        ("def unused(): ...", "def unused(): return 3"),
        ("@pytest.mark.slow\n", ""),
        ("    def test_other(self): ...", "    def test_third(self): ..."),
    ],
)
def test_what_changes_nothing(old: str, new: str):
    assert old in SOURCE
    changed = Module(SOURCE.replace(old, new))

    for path in (IT, IN):
        assert changed.body(path) == Module(SOURCE).body(path) != ""
        assert changed.uses(path, ["api"]) == Module(SOURCE).uses(path, ["api"])


@pytest.mark.parametrize(
    ("old", "new", "path", "name"),
    [
        ("LIMIT = 3", "LIMIT = 4", IT, "LIMIT"),
        ("    return x < LIMIT", "    return True", IT, "deeper"),
        ("    return b", "    return c", IT, "make_api"),
        ("from a import b, c", "from z import b, c", IT, "b"),
        ("    size = 3", "    size = 4", IN, "TestBox"),
    ],
)
def test_what_changes_something(old: str, new: str, path: list[str], name: str):
    before, after = Module(SOURCE).uses(path, ["api"]), Module(SOURCE.replace(old, new)).uses(path, ["api"])

    assert before[name] != after[name]


def test_a_later_definition_counts():
    assert Module(SOURCE + "\ndef test_it(api): ...").body(IT) != Module(SOURCE).body(IT)


def test_what_is_not_there_has_no_body():
    assert Module(SOURCE).body(["test_nothing"]) == ""
    assert Module(SOURCE).body(["TestNothing", "test_it"]) == ""


def test_what_a_module_does_on_import():
    assert Module(SOURCE).code == ""
    assert Module(SOURCE + "\nb.c = 3").code != Module(SOURCE + "\nb.c = 4").code != ""


def test_digests_of_files(tmp_path: Path):
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("x  =  1  # one")
    (tmp_path / "broken.py").write_text("x = ")

    assert digest_of_file(tmp_path / "a.py") == digest_of_file(tmp_path / "b.py") != ""
    assert digest_of_file(tmp_path / "broken.py") != ""
    assert digest_of_file(tmp_path / "nothing.py") == ""


@pytest.mark.parametrize(
    ("skill", "old", "new", "told"),
    [
        ("timeout", {"seconds": 10}, {"seconds": 5}, []),
        ("timeout", {"seconds": 10}, {"seconds": 11}, ["seconds: 11, was 10"]),
        ("timeout", {"total": None}, {"total": 60}, []),
        ("timeout", {"total": 60}, {"total": None}, ["total: None, was 60"]),
        ("retry", {"on": ["5xx"]}, {"on": ["timeout", "5xx"]}, []),
        ("retry", {"on": ["5xx", "timeout"]}, {"on": ["5xx"]}, ["on: ['5xx'], was ['5xx', 'timeout']"]),
        ("retry", {"max_retries": 3}, {"max_retries": 5}, ["max_retries: 5, was 3"]),
        ("memory-limit", {"limit": 100}, {"limit": 50}, []),
        ("memory-limit", {"limit": 50}, {"limit": 100}, ["limit: 100, was 50"]),
        ("memory-limit", {"mode": "cap"}, {"mode": "peak"}, ["mode: peak, was cap"]),
        ("no-leaks", {"faults": False}, {"faults": True}, []),
        ("no-leaks", {"faults": True}, {"faults": False}, ["faults: False, was True"]),
        # What only fills up to a limit is no leak: with more calls, more is that.
        ("no-leaks", {"calls": 10}, {"calls": 20}, ["calls: 20, was 10"]),
        ("scales", {"sizes": [10, 100]}, {"sizes": [1, 10, 100]}, ["sizes: [1, 10, 100], was [10, 100]"]),
        ("unknown", {"a": 1}, {"a": 2}, ["a: 2, was 1"]),
        ("unknown", {"a": 1}, {}, ["a: None, was 1"]),
    ],
)
def test_each_skill_says_what_is_tighter(
    skill: str, old: dict[str, Any], new: dict[str, Any], told: list[str]
):
    assert eased(Registry(builtin()).get(skill), old, new) == told


def test_what_is_said_to_be_tightened_are_parameters():
    for skill in builtin():
        assert set(skill.tightened.values()) <= {"lower", "higher", "more"}


SYNTAX = """
def test_f(api):
    x = f"{api!r:>{3}} 'a' {1}" "b" f"{x}"
    match x:
        case [1, *y] if y: pass
        case {"a": 1, **z}: pass
    async def q(a, /, b: int = 3, *c, d=None, **e) -> None:
        return [await z async for z in y if (w := 3)]
    try: raise X from None
    except (A, B) as e: del e
    with a as b, c: yield from d
    lambda *a, **k: a[1:2, ...] if -b else {**k}
"""


def test_digests_are_the_same_on_every_python():
    # A lock that was made on one version is compared on another: this is what all of them give.
    assert Module(SYNTAX).body(["test_f"]) == "c4a46b93634f23d4"
