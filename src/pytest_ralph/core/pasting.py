"""Values as Python code, to be pasted into a test or a prompt: short and in ASCII."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isfinite

# So many equal characters in a row are written as a multiplication.
_RUN = re.compile(r"(.)\1{23,}", re.DOTALL)
_MOST = 240


def code(value: object, *, most: int = _MOST) -> str:
    r"""A value as an expression.

    Text of many equal characters becomes a product. What would still be too long is cut, which the code says.

    Args:
        value: Any value; one that has no literal is shown as its ``repr`` if that looks like code, or else as
            ``...``.
        most: The most characters to give.

    Example:
        >>> code(["a" * 10_001, float("nan"), "\u202e"])
        "['a' * 10001, float('nan'), '\\u202e']"
    """
    text = _code(value, 0)
    return text if len(text) <= most else f"{text[: most - 30]}...  # {len(text)} characters"


def call(name: str, arguments: Iterable[tuple[str, object]], *, most: int = _MOST) -> str:
    """A call with keyword arguments.

    Example:
        >>> call("charge", [("amount", -1), ("token", "tok_visa")])
        "charge(amount=-1, token='tok_visa')"
    """
    return f"{name}({', '.join(f'{key}={code(value, most=most)}' for key, value in arguments)})"


def _code(value: object, depth: int) -> str:
    if isinstance(value, (str, bytes)) and type(value) in (str, bytes):
        return _text(value)
    if isinstance(value, float) and not isfinite(value):
        return f"float('{value}')"
    if type(value) in (list, tuple, set, dict):
        return _container(value, depth)
    return _other(value)


def _container(value: object, depth: int) -> str:
    if depth >= 20:
        return "..."
    if isinstance(value, dict):
        pairs = (f"{_code(key, depth + 1)}: {_code(each, depth + 1)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    assert isinstance(value, (list, tuple, set))
    parts = [_code(each, depth + 1) for each in value]
    if isinstance(value, set):
        return f"{{{', '.join(sorted(parts))}}}" if parts else "set()"
    inside = ", ".join(parts)
    if isinstance(value, list):
        return f"[{inside}]"
    return f"({inside},)" if len(parts) == 1 else f"({inside})"


def _other(value: object) -> str:
    try:
        text = ascii(value)
    except Exception:  # noqa: BLE001 - integers of more than 4300 digits, and whatever a class does
        return _huge(value) if isinstance(value, int) else "..."
    return "..." if text.startswith("<") else text


def _huge(value: int) -> str:
    return hex(value)


def _text(value: str | bytes) -> str:
    """A literal, or several joined by ``+`` where characters repeat; joined ones in parentheses."""
    kind = "b" if isinstance(value, bytes) else ""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    parts: list[str] = []
    at = 0
    for run in _RUN.finditer(text):
        if run.start() > at:
            parts.append(_literal(text[at : run.start()], kind))
        parts.append(f"{_literal(run[1], kind)} * {run.end() - run.start()}")
        at = run.end()
    if at < len(text) or not parts:
        parts.append(_literal(text[at:], kind))
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _literal(text: str, kind: str) -> str:
    return ascii(text.encode("latin-1")) if kind else ascii(text)
