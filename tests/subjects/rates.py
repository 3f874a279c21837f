"""Dependencies that are Python callables, in all the forms there are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class RateError(Exception):
    """The rates are not to be had."""


class UnknownCurrencyError(RateError):
    """There is no such rate, and there will be none."""


def fetch(currency: str = "eur", *, digits: int = 2) -> float:
    """A rate."""
    return round(1.23456, digits)


async def fetch_async(currency: str = "eur") -> float:
    """A rate, by and by."""
    return 1.23


def _make(rate: float, digits: int) -> tuple[Callable[[], float], Callable[[], Any]]:
    def closed_over() -> float:
        return round(rate, digits)

    async def closed_over_async() -> float:
        return round(rate, digits)

    return closed_over, closed_over_async


closed_over, closed_over_async = _make(4.567, 1)


@functools.lru_cache
def cached(currency: str = "eur") -> float:
    """A rate that is asked for once."""
    return 7.5


partial = functools.partial(fetch, "usd", digits=1)


def factorial(number: int) -> int:
    """Calls itself."""
    return 1 if number < 2 else number * factorial(number - 1)


def refuse(currency: str) -> float:
    """Raises an exception of its own."""
    raise UnknownCurrencyError(currency)


def each(currency: str) -> Any:
    """A generator."""
    yield 1.0


class Base:
    """What clients have in common."""

    def inherited(self) -> str:
        """A method of the base class."""
        return type(self).__name__


class Client(Base):
    """A client with all kinds of methods."""

    limit = 5

    def __init__(self, rate: float = 2.0) -> None:
        self.rate = rate

    def get(self, factor: float = 1) -> float:
        """A method."""
        return self.rate * factor

    async def get_async(self) -> float:
        """An asynchronous method."""
        return self.rate

    def doubled(self) -> float:
        """A method that needs its class."""
        return super().__sizeof__() and self.rate * 2

    @classmethod
    def named(cls) -> str:
        """A class method."""
        return cls.__name__

    @staticmethod
    def fixed(value: int) -> int:
        """A static method."""
        return value

    @functools.lru_cache  # noqa: B019 - what is tested
    def cached(self) -> float:
        """A method that is no function."""
        return self.rate

    send = staticmethod(fetch)

    @property
    def shown(self) -> str:
        """A property."""
        return "shown"


class Other(Base):
    """Another client."""


class Caller:
    """An object that can be called."""

    def __call__(self, value: int) -> int:
        return value + 1


class AsyncCaller:
    """An object that can be called and awaited."""

    async def __call__(self, value: int) -> int:
        return value + 1


call = Caller()
call_async = AsyncCaller()
