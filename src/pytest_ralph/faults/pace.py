"""Faults of pace: an answer that comes late, in drops, or over a narrow line."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from pytest_ralph.core.fault import (
    CALLABLES,
    SERVICES,
    Body,
    CallStep,
    Exchange,
    Fault,
    Head,
    Kind,
    Pause,
    Send,
    Step,
    has_body,
    spelled,
)
from pytest_ralph.core.quantity import number, seconds, whole_number

# A line is simulated in so many pieces a second, and an answer in at most so many pieces.
_PIECES_A_SECOND = 10
_PIECES = 10_000


@dataclass(frozen=True)
class _Uniform:
    """Durations that are equally likely between two bounds."""

    low: float | str
    high: float | str
    seed: int

    def __post_init__(self) -> None:
        low = seconds(self.low, name="low")
        if seconds(self.high, name="high", exclusive=True) < low:
            raise ValueError(f"high must not be less than low ({self.low!r}), got {self.high!r}")
        whole_number(self.seed, name="seed")

    def __repr__(self) -> str:
        return f"uniform({self.low!r}, {self.high!r}, seed={self.seed!r})"

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(seconds(self.low, name="low"), seconds(self.high, name="high"))


@dataclass(frozen=True)
class _LogNormal:
    """Durations with a long tail, as those of real services."""

    median: float | str
    sigma: float
    seed: int

    def __post_init__(self) -> None:
        seconds(self.median, name="median", exclusive=True)
        number(self.sigma, name="sigma", maximum=10)
        whole_number(self.seed, name="seed")

    def __repr__(self) -> str:
        return f"lognormal({self.median!r}, {self.sigma!r}, seed={self.seed!r})"

    def draw(self, chance: random.Random) -> float:
        return chance.lognormvariate(math.log(seconds(self.median, name="median")), self.sigma)


@dataclass(frozen=True)
class Slow(Fault):
    """The answer comes late, and then as it should be. A Python callable takes so much longer.

    Args:
        delay: How much later, as seconds or text such as ``"2 s"``. `uniform` and `lognormal` make faults
            whose delay is another one for each attempt.
        after_bytes: How many bytes of the body come in time: the delay is in the middle of the answer.

    Raises:
        TypeError: The delay is neither a number nor text.
        ValueError: The delay is not positive, or ``after_bytes`` is no whole number.

    Example:
        >>> Slow("2 s")
        Slow('2 s')
        >>> Slow.uniform(1, 3)
        Slow.uniform(1, 3, seed=0)
    """

    shown_by: ClassVar[frozenset[Kind]] = SERVICES | CALLABLES

    delay: float | str | _Uniform | _LogNormal
    after_bytes: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.delay, (_Uniform, _LogNormal)):
            seconds(self.delay, name="delay", exclusive=True)
        if self.after_bytes is not None:
            whole_number(self.after_bytes, name="after_bytes")

    @classmethod
    def uniform(cls, low: float | str, high: float | str, *, seed: int = 0) -> Slow:
        """Each attempt is answered later by a delay that is equally likely between two bounds.

        Args:
            low: The shortest delay, as seconds or text.
            high: The longest delay, as seconds or text.
            seed: Seed of the delays: the same seed gives the same delays in the same order.

        Raises:
            TypeError: A delay is neither a number nor text.
            ValueError: A delay is negative, ``high`` is not positive or below ``low``, or the seed is no
                whole number.
        """
        return cls(_Uniform(low, high, seed))

    @classmethod
    def lognormal(cls, median: float | str, sigma: float, *, seed: int = 0) -> Slow:
        """Each attempt is answered later by a delay from a distribution with a long tail.

        Args:
            median: The delay that half of the attempts stay below, as seconds or text.
            sigma: Standard deviation of the delay's logarithm, from 0 to 10: at 0.5, one attempt in a
                hundred takes longer than three times the median.
            seed: Seed of the delays: the same seed gives the same delays in the same order.

        Raises:
            TypeError: The median is neither a number nor text.
            ValueError: The median is not positive, or sigma or the seed is outside of that.
        """
        return cls(_LogNormal(median, sigma, seed))

    def __repr__(self) -> str:
        if isinstance(self.delay, (_Uniform, _LogNormal)):
            return f"Slow.{self.delay!r}"
        rest = "" if self.after_bytes is None else f", after_bytes={self.after_bytes!r}"
        return f"Slow({self.delay!r}{rest})"

    def attempts(self) -> Iterator[Fault | None]:
        if not isinstance(self.delay, (_Uniform, _LogNormal)):
            yield from super().attempts()
            return
        chance = random.Random(self.delay.seed)
        while True:
            # Rounded to what the clock shows, but never to nothing.
            yield replace(self, delay=max(round(self.delay.draw(chance), 6), 1e-6))

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy()
        if self.after_bytes is None or not has_body(exchange, answer):
            yield Pause(seconds=self._seconds())
            yield Send(answer=answer)
            return
        yield Head(answer=answer)
        yield Body(data=answer.body[: self.after_bytes])
        yield Pause(seconds=self._seconds())
        yield Body(data=answer.body[self.after_bytes :])

    def on_call(self) -> Iterator[CallStep]:
        yield Pause(seconds=self._seconds())

    def _seconds(self) -> float:
        return seconds(self.delay, name="delay")


@dataclass(frozen=True)
class Dribble(Fault):
    """The body comes in drops: always something, never late enough for a read timeout to notice.

    Status and headers come at once, and so does an answer without a body (HEAD, redirects, empty answers).

    Args:
        interval: Virtual time before each drop, as seconds or text.
        at_least: How long the whole answer takes at the least; white space is put after the body until
            it does.
        size: How many bytes a drop has.

    Raises:
        TypeError: A duration is neither a number nor text.
        ValueError: A duration is not positive, or ``size`` is no whole number from 1.

    Example:
        >>> Dribble(5)
        Dribble(interval=5, at_least=0)
    """

    interval: float | str
    at_least: float | str = 0
    size: int = 1

    def __post_init__(self) -> None:
        seconds(self.interval, name="interval", exclusive=True)
        seconds(self.at_least, name="at_least")
        whole_number(self.size, name="size", minimum=1)

    def __repr__(self) -> str:
        return spelled(self, "interval", "at_least")

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        interval = seconds(self.interval, name="interval")
        answer = exchange.healthy()
        if not has_body(exchange, answer):
            yield Send(answer=answer)
            return
        wanted = math.ceil(seconds(self.at_least, name="at_least") / interval) * self.size
        body = answer.body.ljust(wanted)
        yield Head(answer=replace(answer, body=body))
        for position in range(0, len(body), self.size):
            yield Pause(seconds=interval)
            yield Body(data=body[position : position + self.size])


@dataclass(frozen=True)
class Bandwidth(Fault):
    """The line is narrow: a body takes as long as its length needs. Status and headers come at once.

    Args:
        bytes_per_second: How many bytes of an answer come in a second.
        upload: How many bytes of a request arrive in a second: the service begins so much later. The client
            has sent them all by then, so its write timeout does not see it. None for no limit.

    Raises:
        ValueError: A rate is not positive.

    Example:
        >>> Bandwidth(1000)
        Bandwidth(1000)
    """

    bytes_per_second: float
    upload: float | None = None

    def __post_init__(self) -> None:
        number(self.bytes_per_second, name="bytes_per_second", minimum=1)
        if self.upload is not None:
            number(self.upload, name="upload", minimum=1)

    def __repr__(self) -> str:
        rest = "" if self.upload is None else f", upload={self.upload!r}"
        return f"Bandwidth({self.bytes_per_second!r}{rest})"

    def on_request(self, exchange: Exchange) -> Iterator[Step]:
        answer = exchange.healthy()
        if self.upload is not None and exchange.request.body:
            yield Pause(seconds=len(exchange.request.body) / self.upload)
        if not has_body(exchange, answer):
            yield Send(answer=answer)
            return
        yield Head(answer=answer)
        rate, length = self.bytes_per_second, len(answer.body)
        size = max(math.ceil(rate / _PIECES_A_SECOND), math.ceil(length / _PIECES))
        for position in range(0, length, size):
            piece = answer.body[position : position + size]
            yield Pause(seconds=len(piece) / rate)
            yield Body(data=piece)
