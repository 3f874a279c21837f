"""Quantities as people write them: durations and sizes, as numbers or text, and how they are shown again.

Only parsing and formatting of plain numbers with units belongs here.
"""

from __future__ import annotations

import math
import re

_DURATION_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE)


def seconds(value: object, *, name: str, minimum: float = 0.0, exclusive: bool = False) -> float:
    """Turn a duration into seconds.

    Args:
        value: A number of seconds, or text such as ``"500 ms"``, ``"2 s"``, ``"1 min"``.
        name: What the duration is called in the error message.
        minimum: The smallest duration allowed, in seconds.
        exclusive: Whether ``minimum`` itself is refused.

    Returns:
        The duration in seconds.

    Raises:
        TypeError: ``value`` is neither a number nor text.
        ValueError: ``value`` is not a duration, not finite or below ``minimum``.

    Example:
        >>> seconds("500 ms", name="within")
        0.5
    """
    number = _number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite duration, got {value!r}")
    if number < minimum or (exclusive and number == minimum):
        bound = f"more than {duration(minimum)}" if exclusive else f"at least {duration(minimum)}"
        raise ValueError(f"{name} must be {bound}, got {value!r}")
    return number


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(
            f"{name} must be seconds as a number or text such as '500 ms', '2 s' or '1 min', got {value!r}"
        )
    if not isinstance(value, str):
        return float(value)
    match = _QUANTITY.fullmatch(value)
    unit = match and _DURATION_UNITS.get(match.group(2).lower())
    if match is None or unit is None:
        raise ValueError(
            f"{name} must be seconds as a number or text such as '500 ms', '2 s' or '1 min', got {value!r}"
        )
    return float(match.group(1)) * unit


def duration(value: float) -> str:
    """Show a duration with the unit a person would choose.

    Args:
        value: The duration in seconds.

    Example:
        >>> duration(0.25), duration(1.0), duration(1801.5)
        ('250 ms', '1 s', '1801.5 s')
    """
    if 0.00005 <= abs(value) < 0.9995:
        milliseconds = value * 1000
        return f"{_trim(milliseconds, 1 if abs(milliseconds) < 10 else 0)} ms"
    return f"{_trim(value, 3)} s"


def _trim(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"", "-0"} else text


_SIZE_UNITS: dict[str, int] = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
_SIZE_EXAMPLES = "bytes as a whole number or text such as '50 MB' (decimal) or '50 MiB' (binary)"


def size(value: object, *, name: str) -> int:
    """Turn an amount of memory into bytes.

    Args:
        value: A number of bytes, or text such as ``"50 MB"`` (decimal) or ``"50 MiB"`` (binary).
        name: What it is called in the error message.

    Returns:
        The number of bytes.

    Raises:
        TypeError: ``value`` is neither a whole number nor text.
        ValueError: ``value`` is not an amount, or less than one byte.

    Example:
        >>> size("50 MB", name="limit"), size("50 MiB", name="limit")
        (50000000, 52428800)
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{name} must be {_SIZE_EXAMPLES}, got {value!r}")
    number: float = value if isinstance(value, int) else _size_of(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1 byte, got {value!r}")
    return round(number)


def _size_of(text: str, name: str) -> float:
    match = _QUANTITY.fullmatch(text)
    unit = _SIZE_UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{name} must be {_SIZE_EXAMPLES}, got {text!r}")
    return float(match.group(1)) * unit


def amount(value: float, *, like: int | None = None) -> str:
    """Show an amount of memory with the unit a person would choose.

    Args:
        value: Bytes.
        like: An amount it is compared with: binary units are used if that is one of whole MiB.

    Example:
        >>> amount(50_000_000), amount(52_428_800), amount(51_380_224, like=52_428_800)
        ('50 MB', '50 MiB', '49 MiB')
    """
    compared = round(value) if like is None else like
    binary = compared > 0 and compared % 1024**2 == 0
    step, units = (
        (1024, ("B", "KiB", "MiB", "GiB", "TiB")) if binary else (1000, ("B", "kB", "MB", "GB", "TB"))
    )
    number, power = float(value), 0
    while abs(number) >= step and power < len(units) - 1:
        number, power = number / step, power + 1
    return f"{_trim(number, 1)} {units[power]}"


def durations(values: tuple[float, ...], most: int = 8) -> str:
    """Show several durations in a row: ``1 s, 2 s, 4 s``."""
    shown = [duration(value) for value in values[:most]]
    more = [f"and {len(values) - most} more"] if len(values) > most else []
    return ", ".join([*shown, *more]) if values else "none"


def times(count: int, noun: str, plural: str | None = None) -> str:
    """Show a count with its noun: ``1 attempt``, ``3 attempts``, ``2 retries``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def whole_number(value: object, *, name: str, minimum: int = 0, maximum: int | None = None) -> int:
    """Check a number of things.

    Args:
        value: The number.
        name: What it counts, for the error message.
        minimum: The smallest number allowed.
        maximum: The largest number allowed, if there is one.

    Raises:
        ValueError: ``value`` is not a whole number, or outside of that.

    Example:
        >>> whole_number(3, name="times", minimum=1)
        3
    """
    most = math.inf if maximum is None else maximum
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= most:
        limit = "" if maximum is None else f" to {maximum}"
        raise ValueError(f"{name} must be a whole number from {minimum}{limit}, got {value!r}")
    return value


def number(value: object, *, name: str, minimum: float = 0.0, maximum: float = math.inf) -> float:
    """Check a plain number, such as a fraction or a rate.

    Args:
        value: The number.
        name: What it is called in the error message.
        minimum: The smallest number allowed.
        maximum: The largest number allowed.

    Raises:
        ValueError: ``value`` is not a finite number, or outside of that.

    Example:
        >>> number(0.5, name="probability", maximum=1)
        0.5
    """
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not minimum <= value <= maximum:  # type: ignore[operator]
        wanted = f"from {minimum:g}" if maximum == math.inf else f"from {minimum:g} to {maximum:g}"
        raise ValueError(f"{name} must be a number {wanted}, got {value!r}")
    return float(value)  # type: ignore[arg-type]
