"""Faults of Python callables only: the exceptions they raise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_ralph.core.fault import CALLABLES, CallStep, Fault, Kind, Throw
from pytest_ralph.core.timeline import named


@dataclass(frozen=True, eq=False)
class Raises(Fault):
    """A Python callable raises an exception in place of doing its work.

    Two are equal if their exceptions have the same type and the same arguments.

    Args:
        exception: The exception, or a class of exceptions that can be made without arguments.

    Raises:
        TypeError: It is neither.

    Example:
        >>> Raises(TimeoutError)
        Raises(TimeoutError)
        >>> Raises(ConnectionError("no route"))
        Raises(ConnectionError('no route'))
    """

    shown_by: ClassVar[frozenset[Kind]] = CALLABLES

    exception: Exception | type[Exception]

    def __post_init__(self) -> None:
        self.error()

    def __repr__(self) -> str:
        if isinstance(self.exception, type):
            return f"Raises({named(self.exception)})"
        module = type(self.exception).__module__
        prefix = "" if module == "builtins" else f"{module}."
        return f"Raises({prefix}{self.exception!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raises) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def on_call(self) -> Iterator[CallStep]:
        yield Throw(error=self.error())

    def error(self) -> Exception:
        """A fresh exception, so that no traceback grows from call to call.

        Raises:
            TypeError: None can be made.
        """
        if isinstance(self.exception, Exception):
            return copy.copy(self.exception).with_traceback(None)
        if not isinstance(self.exception, type) or not issubclass(self.exception, Exception):
            raise TypeError(
                f"Raises needs an exception such as TimeoutError or TimeoutError('late'), "
                f"got {self.exception!r}"
            )
        try:
            return self.exception()
        except TypeError as error:
            raise TypeError(
                f"Raises: {named(self.exception)} cannot be made without arguments, so give an exception: "
                f"{error}"
            ) from None

    def _key(self) -> tuple[object, ...]:
        if isinstance(self.exception, type):
            return (self.exception,)
        return type(self.exception), repr(self.exception.args)
