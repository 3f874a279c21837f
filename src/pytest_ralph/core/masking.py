"""Makes text fit to be shown.

What differs from run to run is left out (addresses of objects, random ids, times of day), and what cannot be
shown or stored is written as escapes: control characters, marks of direction, lone surrogates.
"""

from __future__ import annotations

import re

_MASKS = (
    (re.compile(r"\b0x[0-9a-fA-F]{6,}\b"), "0x..."),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{32,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    # Seconds, milliseconds or nanoseconds since 1970, in this century.
    (re.compile(r"\b[1-4]\d{9}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?\b"), "<time>"),
)
# The last digits of a difference of two clock readings depend on when the clock began.
_NOISE = re.compile(r"(?<![\w.])\d+\.\d{9,}(?:e-?\d+)?\b")


def masked(text: str) -> str:
    """Text with changing parts replaced.

    Example:
        >>> masked("<Future at 0x7f88aa001200> for 3b241101-e2bb-4255-8caf-4136c566a962")
        '<Future at 0x...> for <uuid>'
    """
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    text = _NOISE.sub(lambda number: f"{float(number[0]):.3f}", text)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    """A character as it can be printed; the layout of text is kept."""
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


def short(text: str, most: int) -> str:
    """Text on one line, masked, and cut to a length: in this order, or half a time of day would be left.

    Args:
        text: Any text.
        most: The most characters to give.

    Example:
        >>> short("seven  words that are", 14)
        'seven words...'
    """
    line = masked(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."
