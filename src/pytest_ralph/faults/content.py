"""Faults of the content: the service answers, and what it says is garbage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_ralph.core.fault import Answer, Body, Close, Exchange, Fault, Head, Hold, Raw, Send, Step

Headers = tuple[tuple[str, str], ...]

_PAGE = b"""<!DOCTYPE html>
<html><head><title>Service temporarily unavailable</title></head>
<body><h1>We will be back soon</h1></body></html>
"""
_INVALID = b"\xc3\x28"  # the first byte announces a second one of another kind
_MORE = 64  # bytes that are announced and never come


@dataclass(frozen=True)
class Malformed(Fault):
    """The service answers with its usual status, and the answer is garbage.

    What is sent is made from the healthy answer. A request whose healthy answer has no body (HEAD, 204, 304,
    an empty one) does not meet the fault.

    Args:
        kind: What is wrong:

            - ``"html"``: an HTML page, with its content type, instead of the answer;
            - ``"cut-json"``: the first half of the body, properly sent;
            - ``"wrong-types"``: the same JSON with values of other types: numbers for text and null, text for
              numbers and booleans; a number where the healthy answer is no JSON;
            - ``"empty"``: no body;
            - ``"invalid-utf8"``: bytes that are no UTF-8 in every text value of the JSON, or else in the
              middle of the body;
            - ``"huge"``: a body of ``size`` bytes: the first text value of the JSON is that long, or else
              white space follows the body;
            - ``"cut-body"``: the connection is closed in the middle of the body;
            - ``"length-too-short"``: ``Content-Length`` is half of what is sent;
            - ``"length-too-long"``: ``Content-Length`` is more than what is sent, and the connection stays
              open;
            - ``"broken-chunk"``: a chunk whose size is no number (RFC 9112, 7.1).
        size: The size of a huge body, in bytes.

    Raises:
        ValueError: There is no such kind, or ``size`` is below 1.

    Example:
        >>> Malformed("wrong-types")
        Malformed('wrong-types')
    """

    kind: str = "html"
    size: int = 8_000_000

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {self.kind!r}")
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a whole number of bytes from 1, got {self.size!r}")

    def __repr__(self) -> str:
        size = f", size={self.size}" if self.size != Malformed.size else ""
        return f"Malformed({self.kind!r}{size})"

    def fits(self, exchange: Exchange) -> bool:
        answer = exchange.healthy()
        return bool(answer.body) and exchange.request.method != "HEAD" and answer.status not in (204, 304)

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy()
        if self.kind == "huge":
            yield Send(answer=replace(answer, body=_huge(answer.body, self.size)))
        elif self.kind in _REWRITTEN:
            yield Send(answer=_REWRITTEN[self.kind](answer))
        else:
            yield from _BROKEN[self.kind](answer)


# -- whole answers that say nothing -------------------------------------------------------------------------


def _html(answer: Answer) -> Answer:
    return replace(answer, headers=(*_but(answer, "content-type"), ("Content-Type", "text/html")), body=_PAGE)


def _cut(answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _wrong_types(answer: Answer) -> Answer:
    return replace(answer, body=json.dumps(_other(_parsed(answer.body))).encode())


def _empty(answer: Answer) -> Answer:
    return replace(answer, body=b"")


def _invalid_utf8(answer: Answer) -> Answer:
    spot = "\ufffe"  # no character, so no text holds it
    value = _texts(_parsed(answer.body), lambda text: text[:1] + spot + text[1:])
    body = json.dumps(value, ensure_ascii=False).encode()
    if spot.encode() in body:
        return replace(answer, body=body.replace(spot.encode(), _INVALID))
    middle = len(answer.body) // 2
    return replace(answer, body=answer.body[:middle] + _INVALID + answer.body[middle:])


def _huge(body: bytes, size: int) -> bytes:
    left = [max(0, size - len(body))]

    def longer(text: str) -> str:
        more, left[0] = left[0], 0
        return text + "x" * more

    value = _texts(_parsed(body), longer)
    return json.dumps(value).encode() if not left[0] else body + b" " * left[0]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _other(value: Any) -> Any:
    """The same keys and lists, with values of other types."""
    if isinstance(value, dict):
        return {key: _other(each) for key, each in value.items()} or []
    if isinstance(value, list):
        return [_other(each) for each in value] or {}
    return 7 if value is None or isinstance(value, str) else "seven"


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same, with its text values changed."""
    if isinstance(value, dict):
        return {key: _texts(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


_REWRITTEN: Mapping[str, Callable[[Answer], Answer]] = {
    "html": _html,
    "cut-json": _cut,
    "wrong-types": _wrong_types,
    "empty": _empty,
    "invalid-utf8": _invalid_utf8,
}


# -- answers that are not even whole ------------------------------------------------------------------------


def _cut_body(answer: Answer) -> Iterator[Step]:
    yield Head(answer=_plain(answer))
    yield Body(data=answer.body[: len(answer.body) // 2])
    yield Close()


def _length_too_short(answer: Answer) -> Iterator[Step]:
    yield Head(answer=_plain(answer), length=len(answer.body) // 2)
    yield Raw(data=answer.body)


def _length_too_long(answer: Answer) -> Iterator[Step]:
    yield Head(answer=_plain(answer), length=len(answer.body) + _MORE)
    yield Body(data=answer.body)
    yield Hold()


def _broken_chunk(answer: Answer) -> Iterator[Step]:
    middle = len(answer.body) // 2
    chunked = replace(_plain(answer), headers=(*_plain(answer).headers, ("Transfer-Encoding", "chunked")))
    yield Head(answer=chunked)
    yield Raw(data=b"%x\r\n%s\r\n" % (middle, answer.body[:middle]) if middle else b"")
    yield Raw(data=b"no size\r\n%s\r\n0\r\n\r\n" % answer.body[middle:])


def _plain(answer: Answer) -> Answer:
    """The answer without chunks."""
    return replace(answer, headers=_but(answer, "transfer-encoding"))


def _but(answer: Answer, left_out: str) -> Headers:
    return tuple((name, value) for name, value in answer.headers if name.lower() != left_out)


_BROKEN: Mapping[str, Callable[[Answer], Iterator[Step]]] = {
    "cut-body": _cut_body,
    "length-too-short": _length_too_short,
    "length-too-long": _length_too_long,
    "broken-chunk": _broken_chunk,
}

KINDS = (*_REWRITTEN, "huge", *_BROKEN)
"""What can be wrong with an answer."""
