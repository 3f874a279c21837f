"""The error for what cannot be simulated: it says what to do instead."""

from __future__ import annotations


class UnsupportedError(RuntimeError):
    """The code under test uses something that cannot be simulated."""
