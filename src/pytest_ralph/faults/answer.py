"""Faults of the answer: the wrong status, none at all, or half of one."""

from __future__ import annotations

import http
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_ralph.core.fault import (
    CALLABLES,
    SERVICES,
    Answer,
    Body,
    CallStep,
    Close,
    Exchange,
    Fault,
    Head,
    Hold,
    Kind,
    Send,
    Step,
    has_body,
    spelled,
)
from pytest_ralph.core.quantity import whole_number


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
        rest = [f"body={self.body!r}"] if self.body is not None else []
        rest += [f"headers={self.headers!r}"] if self.headers else []
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
class Unauthorized(Fault):
    """The credentials are refused once, as when they have just expired; after that the service is healthy.

    The answer is 401 with the challenge that goes with it (RFC 9110, 15.5.2 and 11.6.1).

    Args:
        challenge: The ``WWW-Authenticate`` header; by default that of an expired bearer token (RFC 6750, 3).

    Raises:
        ValueError: The challenge is empty or has more than one line.

    Example:
        >>> Unauthorized()
        Unauthorized()
    """

    challenge: str = 'Bearer error="invalid_token"'

    def __post_init__(self) -> None:
        if not isinstance(self.challenge, str) or not self.challenge.strip() or "\n" in self.challenge:
            raise ValueError(
                f"Unauthorized needs a challenge such as 'Bearer' or 'Basic realm=\"api\"', "
                f"got {self.challenge!r}"
            )

    def __repr__(self) -> str:
        return spelled(self)

    def attempts(self) -> Iterator[Fault | None]:
        yield self

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        return Status(401, headers=(("WWW-Authenticate", self.challenge),)).on_request(exchange)


@dataclass(frozen=True)
class Hang(Fault):
    """The service accepts the request and never answers. A Python callable never returns.

    Args:
        after_headers: Whether status and headers still come, and only the body does not. Where there is none
            (HEAD, redirects, empty answers), nothing comes.
        after_bytes: How many bytes of the body still come as well.

    Raises:
        ValueError: ``after_bytes`` is no whole number from 1.

    Example:
        >>> Hang()
        Hang()
        >>> Hang(after_bytes=1024)
        Hang(after_bytes=1024)
    """

    shown_by: ClassVar[frozenset[Kind]] = SERVICES | CALLABLES
    needs_timeout: ClassVar[bool] = True

    after_headers: bool = False
    after_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.after_bytes is not None:
            whole_number(self.after_bytes, name="after_bytes", minimum=1)

    def __repr__(self) -> str:
        return spelled(self)

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        begins = self.after_headers or self.after_bytes is not None
        answer = exchange.healthy() if begins else None
        if answer is not None and has_body(exchange, answer):
            yield Head(answer=answer)
            yield Body(data=answer.body[: self.after_bytes or 0])
        yield Hold()

    def on_call(self) -> Iterator[CallStep]:
        yield Hold()


@dataclass(frozen=True)
class Truncate(Fault):
    """The answer stops in the middle of its body and the connection is closed.

    Where there is no body to cut (HEAD, redirects, empty answers), it is closed without an answer.

    Args:
        keep: How much of the body is sent, as a fraction from 0 up to, but not including, 1.
        after_bytes: How many bytes of the body are sent, in place of ``keep``. A body that is not longer than
            that loses its last byte.

    Raises:
        ValueError: ``keep`` or ``after_bytes`` is outside of that.

    Example:
        >>> Truncate()
        Truncate(keep=0.5)
        >>> Truncate(after_bytes=100)
        Truncate(after_bytes=100)
    """

    keep: float = 0.5
    after_bytes: int | None = None

    def __post_init__(self) -> None:
        right = isinstance(self.keep, (int, float)) and not isinstance(self.keep, bool)
        if not right or not 0 <= self.keep < 1:
            raise ValueError(f"Truncate needs keep from 0 up to, but not including, 1, got {self.keep!r}")
        if self.after_bytes is not None:
            whole_number(self.after_bytes, name="after_bytes")

    def __repr__(self) -> str:
        return spelled(self, *(() if self.after_bytes is not None else ("keep",)))

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy()
        if has_body(exchange, answer):
            yield Head(answer=answer)
            yield Body(data=answer.body[: self._length(len(answer.body))])
        yield Close()

    def _length(self, whole: int) -> int:
        return int(whole * self.keep) if self.after_bytes is None else min(self.after_bytes, whole - 1)


def _phrase(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
