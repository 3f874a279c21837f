"""Faults made of others: one after another, or now and then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_ralph.core.fault import Fault
from pytest_ralph.core.quantity import number, whole_number


@dataclass(frozen=True, init=False)
class Sequence(Fault):
    """One attempt after another meets another fault; after the last the service is healthy.

    A fault of the connection (`Refuse`, `DnsFailure`...) in it is met by the client that connects next, and
    open connections are closed for it. A sequence in a sequence is met as if its faults stood there. Of a
    fault that is another one for each attempt, such as `Randomly`, each entry is one attempt.

    Args:
        faults: What each attempt meets; None for an attempt that meets nothing.
        then: What all further attempts meet; None for a service that is healthy again.

    Raises:
        TypeError: An entry is neither a fault nor None.
        ValueError: There is no fault among them.

    Example:
        >>> from pytest_ralph.faults import Hang, Status
        >>> Sequence(Status(503), None, Hang())
        Sequence(Status(503), None, Hang())
    """

    faults: tuple[Fault | None, ...]
    then: Fault | None

    def __init__(self, *faults: Fault | None, then: Fault | None = None) -> None:
        for each in (*faults, then):
            if each is not None and not isinstance(each, Fault):
                raise TypeError(f"Sequence takes faults and None, such as Status(503), got {each!r}")
        if not any((*faults, then)):
            raise ValueError(f"Sequence needs at least one fault, got {faults!r}")
        object.__setattr__(self, "faults", faults)
        object.__setattr__(self, "then", then)

    def __repr__(self) -> str:
        rest = [] if self.then is None else [f"then={self.then!r}"]
        return f"Sequence({', '.join([*map(repr, self.faults), *rest])})"

    def attempts(self) -> Iterator[Fault | None]:
        for each in self.faults:
            if isinstance(each, Sequence) and each.then is None:
                yield from each.attempts()
            else:
                yield None if each is None else next(each.attempts(), None)
        if self.then is not None:
            yield from self.then.attempts()

    def parts(self) -> tuple[Fault, ...]:
        return tuple(part for each in (*self.faults, self.then) if each is not None for part in each.parts())


@dataclass(frozen=True)
class Randomly(Fault):
    """An attempt meets a fault with some probability, and else nothing.

    Args:
        fault: The fault.
        probability: How likely an attempt meets it, more than 0 and up to 1.
        seed: Seed of the choices: the same seed gives the same choices in the same order.

    Raises:
        TypeError: It is not a fault.
        ValueError: The probability or the seed is outside of that.

    Example:
        >>> from pytest_ralph.faults import Status
        >>> Randomly(Status(503), 0.1)
        Randomly(Status(503), 0.1, seed=0)
    """

    fault: Fault
    probability: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.fault, Fault):
            raise TypeError(f"Randomly needs a fault such as Status(503), got {self.fault!r}")
        if not number(self.probability, name="probability", maximum=1):
            raise ValueError(f"probability must be more than 0, got {self.probability!r}")
        whole_number(self.seed, name="seed")

    def __repr__(self) -> str:
        return f"Randomly({self.fault!r}, {self.probability!r}, seed={self.seed!r})"

    def attempts(self) -> Iterator[Fault | None]:
        chance = random.Random(self.seed)
        of_fault = self.fault.attempts()
        while True:
            yield next(of_fault, None) if chance.random() < self.probability else None

    def parts(self) -> tuple[Fault, ...]:
        return self.fault.parts()
