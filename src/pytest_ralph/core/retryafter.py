"""When an answer asks its client to come back: Retry-After, and the reset headers of rate limits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

RESET = "X-RateLimit-Reset"
"""The header in which GitHub, X and others tell when a limit ends, in seconds since 1970."""


def retry_after(headers: Iterable[tuple[str, str]], now: float) -> float | None:
    """After how many seconds an answer asks its client to come back.

    ``Retry-After`` is a number of seconds or a date (RFC 9110, 10.2.3); without it the reset header counts.

    Args:
        headers: Names and values.
        now: The date, in seconds since 1970.

    Returns:
        Seconds, or None if the answer does not say, or nothing that can be understood.

    Example:
        >>> retry_after([("Retry-After", "120")], now=0.0)
        120.0
        >>> retry_after([("Retry-After", "Thu, 01 Jan 1970 00:00:30 GMT")], now=10.0)
        20.0
        >>> retry_after([("X-RateLimit-Reset", "1700000005")], now=1_700_000_000.0)
        5.0
    """
    found = {name.lower(): value.strip() for name, value in headers}
    if (told := found.get("retry-after")) is not None:
        return float(told) if _is_number(told) else _until(told, now)
    reset = found.get(RESET.lower(), "")
    return max(0.0, float(reset) - now) if _is_number(reset) else None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]+", text) is not None


def _until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - now)
