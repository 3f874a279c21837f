"""Faults after the fact: the service does what it was asked for, and the client never learns of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_ralph.core.fault import Abort, Close, Exchange, Fault, Hold, Step

_WAYS: dict[str, Step] = {"reset": Abort(), "hang": Hold(), "close": Close()}


@dataclass(frozen=True)
class AnswerLost(Fault):
    """The request takes effect, and its answer is lost.

    The healthy answer is computed, callbacks included, so that all its effects happen; then the connection
    is reset, closed or left hanging without a byte of it. A client that tries again has its order executed
    twice, unless both requests carry the same idempotency key.

    Args:
        how: How it is lost: ``"reset"`` (TCP RST), ``"close"`` (TCP FIN) or ``"hang"`` (nothing comes).

    Raises:
        ValueError: ``how`` is none of these.

    Example:
        >>> AnswerLost()
        AnswerLost(how='reset')
    """

    how: str = "reset"

    def __post_init__(self) -> None:
        if not isinstance(self.how, str) or self.how not in _WAYS:
            raise ValueError(f"AnswerLost needs how to be one of {', '.join(_WAYS)}, got {self.how!r}")

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        exchange.healthy()
        yield _WAYS[self.how]
