"""Fields of lines and spans that markers ask for: by name, type or pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_ralph.core.masking import short

_TYPES: tuple[type, ...] = (str, int, float, bool, list, dict, object)
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field that something must have.

    Attributes:
        path: Its name, with dots between names where it is nested.
        type: The type of its value, if that is asked for.
        pattern: What its whole value must match, if that is asked for.
    """

    path: str
    type: type | None = None
    pattern: str | None = None

    def problem(self, get: Callable[[str, object], object]) -> str:
        """What is wrong with it; empty if nothing is.

        Args:
            get: Gives the value under a name, or what it was passed besides.
        """
        value = get(self.path, _MISSING)
        if value is _MISSING:
            return f"{self.path} is missing"
        if self.type is object:
            return ""
        if value is None or value == "":
            return f"{self.path} is empty"
        if self.type is not None and not _is_a(value, self.type):
            return f"{self.path} is {_shown(value)}, which is no {self.type.__name__}"
        if self.pattern is not None and re.fullmatch(self.pattern, _as_text(value)) is None:
            return f"{self.path} is {_shown(value)}, which does not match {self.pattern!r}"
        return ""

    def to_json(self) -> str:
        """What is asked of it, for the report."""
        return self.pattern or (self.type.__name__ if self.type is not None else "any")

    def __str__(self) -> str:
        kind = self.pattern if self.pattern is not None else self.type.__name__ if self.type else ""
        return f"{self.path} ({kind})" if kind else self.path


def _is_a(value: object, kind: type) -> bool:
    """Whether a value is of a type in JSON, where 1 may stand for 1.0."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    return short(repr(value), 60)


def one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    """Check an argument that is one of a few.

    Raises:
        ValueError: It is not.
    """
    if value not in known:
        shown = ", ".join(repr(each) for each in known if each is not None)
        raise ValueError(f"{name} must be one of {shown}, got {value!r}")


def fields_of(name: str, fields: object) -> tuple[Field, ...]:
    """Read an argument that names fields.

    Args:
        name: The argument's name, for the error.
        fields: Names, or a mapping from names to types or patterns.

    Raises:
        TypeError: It is something else.
        ValueError: A pattern is no regular expression.
    """
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        raise TypeError(
            f"{name} must be names such as ('payment_id', 'amount'), or a mapping from them, got {fields!r}"
        )
    asked: Mapping[object, object] = fields if isinstance(fields, Mapping) else dict.fromkeys(fields)
    return tuple(_field(name, path, kind, typed=isinstance(fields, Mapping)) for path, kind in asked.items())


def _field(name: str, path: object, kind: object, *, typed: bool) -> Field:
    if not isinstance(path, str) or not path.strip("."):
        raise TypeError(f"{name} must be named by text, got {path!r}")
    if not typed:
        return Field(path=path)
    if isinstance(kind, type) and kind in _TYPES:
        return Field(path=path, type=kind)
    if isinstance(kind, re.Pattern) and isinstance(kind.pattern, str):
        kind = kind.pattern
    if isinstance(kind, str):
        try:
            re.compile(kind)
        except re.error as error:
            raise ValueError(f"{name}[{path!r}] is no regular expression: {error}, got {kind!r}") from None
        return Field(path=path, pattern=kind)
    known = ", ".join(each.__name__ for each in _TYPES)
    raise TypeError(f"{name}[{path!r}] must be a type ({known}) or a regular expression, got {kind!r}")
