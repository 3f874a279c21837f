"""The ready strategies: whatever they yield breaks the rule, and what their pages promise is among it."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import math
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import find, given, settings

import pytest_ralph as ralph

SETTINGS = settings(max_examples=300, database=None, derandomize=True, deadline=None)


def is_amount(value: Any) -> bool:
    if type(value) not in (int, float, Decimal) or not Decimal(value).is_finite():
        return False
    # Of a float, the places that are written count.
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return 0 < exact <= 10**12 and exact == round(exact, 2)


def is_whole_amount(value: Any) -> bool:
    return type(value) is int and 0 < value <= 10**12


def is_token(value: Any) -> bool:
    return (
        isinstance(value, str) and len(value) <= 8192 and bool(re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", value))
    )


def is_id(value: Any) -> bool:
    if type(value) is int:
        return value > 0
    if not isinstance(value, str) or value in (".", ".."):
        return False
    return bool(re.fullmatch(r"[A-Za-z0-9._~-]{1,255}", value))


def is_currency(value: Any) -> bool:
    known = {"EUR", "USD", "JPY"}
    return isinstance(value, str) and value in known


def has_the_form_of_a_currency(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Z]{3}", value, re.ASCII))


def is_email(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 254 or email.utils.parseaddr(value) != ("", value):
        return False
    local, at, domain = value.rpartition("@")
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    right = re.fullmatch(rf"{atom}(\.{atom})*", local) and re.fullmatch(rf"({label}\.)+{label}", domain)
    return bool(at and len(local) <= 64 and right)


def is_url(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[!-~]+", value):
        return False
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and "@" not in parts.netloc and (port is None or port > 0)


def is_public_url(value: Any) -> bool:
    return is_url(value) and (urlsplit(value).hostname or "").endswith(".example")


def is_date(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        return bool(dt.date.fromisoformat(value))
    except ValueError:
        return False


def is_text(value: Any) -> bool:
    if not isinstance(value, str) or not value.strip() or len(value) > 10_000:
        return False
    odd = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    marks = sum(unicodedata.combining(character) > 0 for character in value)
    return not any(unicodedata.category(character) in odd for character in value) and marks < 50


def is_json(value: Any) -> bool:
    def no_constants(name: str) -> None:
        raise ValueError(name)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name twice")
        return found

    if len(value) > 1_000_000 or value.count("[") > 1_000 or value.count("{") > 1_000:
        return False
    try:
        loaded = json.loads(value, parse_constant=no_constants, object_pairs_hook=once)
        json.dumps(loaded, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def is_harmless(value: str) -> bool:
    return bool(re.fullmatch(r"[\w -]*", value)) and "--" not in value


@pytest.mark.parametrize(
    ("strategy", "valid", "right"),
    [
        (ralph.invalid.amounts(), is_amount, [1, 0.01, Decimal("9.99"), 10**12]),
        (ralph.invalid.amounts(zero=True), is_amount, [100]),
        (ralph.invalid.amounts(decimals=0), is_whole_amount, [1]),
        (ralph.invalid.tokens(), is_token, ["tok_visa", "a.b~c+d/e==", "a" * 8192]),
        (ralph.invalid.ids(), is_id, [1, "ch_1", "a" * 255]),
        (ralph.invalid.currencies(), is_currency, ["EUR"]),
        (ralph.invalid.currencies(unassigned=False), has_the_form_of_a_currency, ["EUR"]),
        (ralph.invalid.emails(), is_email, ["ann@shop.example", "a.b+c@x-y.example"]),
        (ralph.invalid.urls(), is_url, ["https://shop.example/a?b=c", "http://shop.example:8080"]),
        (ralph.invalid.urls(private=True), is_public_url, ["https://shop.example/"]),
        (ralph.invalid.dates(), is_date, ["2023-01-01", "2000-02-29"]),
        (ralph.invalid.text(), is_text, ["a", "na\u00efve", "\u4e2d\u6587", "e\u0301"]),
        (ralph.invalid.json(), is_json, ["{}", '{"a": [1, 2.5, null]}', '"' + "a" * 1_000 + '"']),
        (ralph.invalid.injections(), is_harmless, ["a", "an ordinary name"]),
    ],
)  # fmt: skip
def test_every_value_breaks_the_rule(strategy: Any, valid: Callable[[Any], bool], right: list[Any]):
    # The rule itself must let right values through, or this would show nothing.
    assert all(valid(value) for value in right)

    @SETTINGS
    @given(strategy)
    def all_are_invalid(value: Any) -> None:
        assert not valid(value), ascii(value)[:200]

    all_are_invalid()


@pytest.mark.parametrize(
    ("strategy", "promised"),
    [
        (ralph.invalid.amounts(), lambda value: isinstance(value, float) and math.isnan(value)),
        (ralph.invalid.amounts(), lambda value: value is True),
        (ralph.invalid.amounts(), lambda value: isinstance(value, Decimal) and value.is_nan()),
        (ralph.invalid.amounts(zero=True), lambda value: type(value) is int and value == 0),
        (ralph.invalid.amounts(decimals=3), lambda value: value == Decimal("0.0001")),
        (ralph.invalid.amounts(largest=50), lambda value: type(value) is int and value == 51),
        (ralph.invalid.tokens(), lambda value: isinstance(value, str) and "\r\n" in value),
        (ralph.invalid.tokens(longest=3), lambda value: value == "aaaa"),
        (ralph.invalid.ids(), lambda value: value == ".."),
        (ralph.invalid.currencies(), lambda value: value == "USD\n"),
        (ralph.invalid.emails(), lambda value: isinstance(value, str) and "Bcc:" in value),
        (ralph.invalid.urls(), lambda value: isinstance(value, str) and value.startswith("file:")),
        (ralph.invalid.urls(private=True), lambda value: isinstance(value, str) and "169.254" in value),
        (ralph.invalid.dates(), lambda value: value == "1900-02-29"),
        (ralph.invalid.text(), lambda value: "\ud800" in value),
        (ralph.invalid.text(), lambda value: value.count("\u0301") >= 50),
        (ralph.invalid.text(longest=20), lambda value: len(value) == 21),
        (ralph.invalid.json(depth=10), lambda value: value == "[" * 11 + "]" * 11),
        (ralph.invalid.injections(), lambda value: "DROP TABLE" in value),
    ],
)  # fmt: skip
def test_what_is_promised_is_there(strategy: Any, promised: Callable[[Any], bool]):
    assert promised(find(strategy, promised, settings=settings(SETTINGS, max_examples=5_000)))


def test_what_has_to_be_asked_for_is_not_there_otherwise():
    @SETTINGS
    @given(ralph.invalid.amounts(strings=False, decimals=None))
    def few_amounts(value: Any) -> None:
        assert not isinstance(value, str)
        assert type(value) is not int or value != 0

    @SETTINGS
    @given(ralph.invalid.ids(integers=False))
    def few_ids(value: Any) -> None:
        assert type(value) is not int

    few_amounts()
    few_ids()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ralph.invalid.amounts(decimals=-1), "decimals must be a whole number from 0 to 12, or None"),
        (lambda: ralph.invalid.amounts(decimals=True), "decimals must be a whole number"),
        (lambda: ralph.invalid.amounts(largest=0), "largest must be a finite number above 0, got 0"),
        (lambda: ralph.invalid.amounts(largest=math.inf), "largest must be a finite number above 0, got inf"),
        (lambda: ralph.invalid.tokens(longest=0), "longest must be a whole number from 1, got 0"),
        (lambda: ralph.invalid.ids(longest=True), "longest must be a whole number from 1, got True"),
        (lambda: ralph.invalid.json(depth=0), "depth must be a whole number from 1, got 0"),
        (lambda: ralph.invalid.json(size=-5), "size must be a whole number from 1, got -5"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(call: Callable[[], Any], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_the_module_is_imported_only_when_it_is_used():
    code = (
        "import pytest_ralph, sys; assert 'hypothesis' not in sys.modules; "
        "pytest_ralph.invalid; assert 'hypothesis' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
