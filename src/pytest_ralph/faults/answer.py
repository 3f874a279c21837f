"""Faults of the answer: the wrong status, none at all, half of one, or one that comes in drops."""

from __future__ import annotations

import http
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_ralph.core.fault import Answer, Body, Close, Exchange, Fault, Head, Hold, Pause, Send, Step
from pytest_ralph.core.quantity import seconds


@dataclass(frozen=True)
class Status(Fault):
    """The service answers with an error status.

    Args:
        code: The status code, 200 to 599.
        body: The body; a small JSON error object by default.
        headers: Further headers as pairs.

    Raises:
        ValueError: ``code`` is no status code.

    Example:
        >>> Status(503)
        Status(503)
    """

    code: int
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.code, bool) or not isinstance(self.code, int) or not 200 <= self.code <= 599:
            raise ValueError(f"Status needs a status code from 200 to 599, got {self.code!r}")

    def __repr__(self) -> str:
        rest = [f"{name}={value!r}" for name in ("body", "headers") if (value := getattr(self, name))]
        return f"Status({', '.join([str(self.code), *rest])})"

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        yield Send(answer=self._answer())

    def _answer(self) -> Answer:
        if self.body is not None:
            return Answer(status=self.code, headers=self.headers, body=self.body.encode())
        error = {"type": "simulated_fault", "code": str(self.code), "message": _phrase(self.code)}
        return Answer(
            status=self.code,
            headers=(("Content-Type", "application/json"), *self.headers),
            body=json.dumps({"error": error}).encode(),
        )


@dataclass(frozen=True)
class Hang(Fault):
    """The service accepts the request and never answers.

    Args:
        after_headers: Whether status and headers still come, and only the body does not. Where there is none
            (HEAD, redirects, empty answers), nothing comes.

    Example:
        >>> Hang()
        Hang()
    """

    after_headers: bool = False

    def __repr__(self) -> str:
        return "Hang(after_headers=True)" if self.after_headers else "Hang()"

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy() if self.after_headers else None
        if answer is not None and _has_body(exchange, answer):
            yield Head(answer=answer)
        yield Hold()


@dataclass(frozen=True)
class Truncate(Fault):
    """The answer stops in the middle of its body and the connection is closed.

    Where there is no body to cut (HEAD, redirects, empty answers), it is closed without an answer.

    Args:
        keep: How much of the body is sent, as a fraction from 0 up to, but not including, 1.

    Raises:
        ValueError: ``keep`` is outside of that.

    Example:
        >>> Truncate()
        Truncate(keep=0.5)
    """

    keep: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.keep < 1:
            raise ValueError(f"Truncate needs keep from 0 up to, but not including, 1, got {self.keep!r}")

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy()
        if _has_body(exchange, answer):
            yield Head(answer=answer)
            yield Body(data=answer.body[: int(len(answer.body) * self.keep)])
        yield Close()


@dataclass(frozen=True)
class Dribble(Fault):
    """The body comes byte by byte: always something, never late enough for a read timeout to notice.

    Status and headers come at once, and so does an answer without a body (HEAD, redirects, empty answers).

    Args:
        interval: Virtual time between two bytes, as seconds or text.
        at_least: How long the whole answer takes at the least; white space is put after the body until
            it does.

    Raises:
        ValueError: A duration is not positive.

    Example:
        >>> Dribble(5)
        Dribble(interval=5, at_least=0)
    """

    interval: float | str
    at_least: float | str = 0

    def __post_init__(self) -> None:
        seconds(self.interval, name="interval", exclusive=True)
        seconds(self.at_least, name="at_least")

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        interval = seconds(self.interval, name="interval")
        answer = exchange.healthy()
        if not _has_body(exchange, answer):
            yield Send(answer=answer)
            return
        wanted = math.ceil(seconds(self.at_least, name="at_least") / interval)
        body = answer.body.ljust(wanted)
        yield Head(answer=replace(answer, body=body))
        for position in range(len(body)):
            yield Pause(seconds=interval)
            yield Body(data=body[position : position + 1])


def _has_body(exchange: Exchange, answer: Answer) -> bool:
    """Whether the client reads a body: not after HEAD, and clients do not look at that of a redirect."""
    return bool(answer.body) and exchange.request.method != "HEAD" and not 300 <= answer.status < 400


def _phrase(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
