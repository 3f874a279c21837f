"""Faults of a service that has had enough requests, and says when to come back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate

from pytest_ralph.core.fault import Answer, Exchange, Fault, Send, Step
from pytest_ralph.core.quantity import seconds
from pytest_ralph.core.retryafter import RESET

FORMS = ("seconds", "http-date", "epoch", "absurd", "missing")
# More than any client should wait: 31 years.
_ABSURD = 999_999_999
# Dates and headers have whole seconds; looking at the clock takes a little of one.
_SLACK = 0.01


@dataclass(frozen=True)
class RateLimited(Fault):
    """The service refuses requests for a while, and says for how long (RFC 6585, 4; RFC 9110, 10.2.3).

    The time begins with the first request that meets the fault. Who comes back before it is over is refused
    again and told what is left; afterwards the answer is healthy.

    Args:
        retry_after: How long requests are refused, in seconds or as text; told in whole seconds.
        form: How it is told: ``"seconds"`` and ``"http-date"`` in ``Retry-After``, ``"epoch"`` in
            ``X-RateLimit-Reset`` as seconds since 1970, ``"absurd"`` as 31 years in ``Retry-After`` whatever
            ``retry_after`` is, ``"missing"`` not at all.
        status: 429 or 503.

    Raises:
        ValueError: ``retry_after`` is no positive duration, or there is no such form or status.

    Example:
        >>> RateLimited(5)
        RateLimited(5)
        >>> RateLimited(5, form="http-date", status=503)
        RateLimited(5, form='http-date', status=503)
    """

    retry_after: float | str = 5
    form: str = "seconds"
    status: int = 429

    def __post_init__(self) -> None:
        seconds(self.retry_after, name="retry_after", exclusive=True)
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(map(repr, FORMS))}, got {self.form!r}")
        if self.status not in (429, 503):
            raise ValueError(f"status must be 429 or 503, got {self.status!r}")

    def __repr__(self) -> str:
        rest = [f"form={self.form!r}"] if self.form != "seconds" else []
        rest += [f"status={self.status}"] if self.status != 429 else []
        return f"RateLimited({', '.join([repr(self.retry_after), *rest])})"

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        left = self._left(exchange)
        yield Send(answer=self._refusal(exchange, left) if left > _SLACK else exchange.healthy())

    def _left(self, exchange: Exchange) -> float:
        """Seconds until the limit ends; where it is told as a date, that is at a full second."""
        left = seconds(self.retry_after, name="retry_after") - exchange.since_met
        if self.form in ("http-date", "epoch"):
            return math.ceil(exchange.now + left - _SLACK) - exchange.now
        return left

    def _refusal(self, exchange: Exchange, left: float) -> Answer:
        return Answer(
            status=self.status,
            headers=(("Content-Type", "application/json"), *self._told(exchange, left)),
            body=b'{"error": {"type": "rate_limited", "message": "Too many requests"}}',
        )

    def _told(self, exchange: Exchange, left: float) -> tuple[tuple[str, str], ...]:
        end = round(exchange.now + left)
        forms = {
            "seconds": ("Retry-After", str(math.ceil(left - _SLACK))),
            "http-date": ("Retry-After", formatdate(end, usegmt=True)),
            "epoch": (RESET, str(end)),
            "absurd": ("Retry-After", str(_ABSURD)),
        }
        return (forms[self.form],) if self.form in forms else ()
