"""Values as code: what is shown evaluates to the value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_ralph as ralph
from pytest_ralph.core.pasting import call, code

NAMES = {"Decimal": Decimal, "datetime": dt}
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(database=None, derandomize=True, deadline=None)
@given(LITERALS | ralph.invalid.text() | ralph.invalid.json(depth=20, size=500))
def test_code_evaluates_to_the_value(value: Any):
    text = code(value, most=10**7)

    assert text.isascii()
    assert "\n" not in text
    assert eval(text, dict(NAMES)) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "float('nan')"),
        ([float("-inf")], "[float('-inf')]"),
        (Decimal("NaN"), "Decimal('NaN')"),
        (dt.date(2023, 1, 2), "datetime.date(2023, 1, 2)"),
        ("a" * 10_001, "'a' * 10001"),
        (b"\x00" * 30, r"b'\x00' * 30"),
        ("x" + "[" * 30 + "]" * 24, "('x' + '[' * 30 + ']' * 24)"),
        ((1,), "(1,)"),
        (set(), "set()"),
        ({2, 1}, "{1, 2}"),
        ("\u202e\ud800", r"'\u202e\ud800'"),
        ([10**5_000], f"[{hex(10**5_000)}]"),
        (object(), "..."),
    ],
)
def test_values_that_have_no_plain_literal(value: Any, shown: str):
    assert shown == code(value, most=10**6)


def test_long_code_is_cut_and_says_so():
    text = code(list(range(1_000)))

    assert len(text) <= 240
    assert text.endswith("...  # 4890 characters")


def test_a_value_without_a_representation():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert code(Broken()) == "..."


def test_deep_nesting_ends():
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]

    assert code(value) == "[" * 20 + "..." + "]" * 20


def test_calls():
    assert (
        call("charge", [("amount", Decimal("NaN")), ("token", "")])
        == "charge(amount=Decimal('NaN'), token='')"
    )
