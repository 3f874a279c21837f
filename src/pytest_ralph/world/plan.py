"""Which faults a dependency shows, and to which attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.fault import Connect, Fault, Lookup

Only = Callable[[Any], bool]


@dataclass(eq=False)
class Injection:
    """A fault that is being shown.

    Args:
        fault: The fault as it was injected.
        left: How many attempts it still meets; None for all.
        only: Which requests it is meant for; None for all.
        after: How many requests come before it begins, if it hits connecting clients.
        scope: What it is limited to, in a form that can be compared; another of the same scope replaces it.
    """

    fault: Fault
    left: int | None
    only: Only | None
    after: int
    scope: object

    def __post_init__(self) -> None:
        self._attempts: Iterator[Fault | None] = self.fault.attempts()
        self.over = False
        self.coming: Fault | None = None
        self._next()

    def take(self) -> Fault | None:
        """What the attempt that is being made meets."""
        met = self.coming
        if met is not None and self.left is not None:
            self.left -= 1
            self.over = self.left <= 0
        if not self.over:
            self._next()
        return met

    @property
    def breaks_connections(self) -> bool:
        """Whether what comes next hits clients that connect."""
        return not self.over and not self.after and self.coming is not None and self.coming.connect_stage

    def _next(self) -> None:
        try:
            self.coming = next(self._attempts)
        except StopIteration:
            self.coming, self.over = None, True


class Plan:
    """The faults of one dependency.

    Each is met by attempts until it was met ``times`` times, or by all, and may be meant for some requests
    only. Of several that could meet an attempt the one injected last does. Requests that none is meant for
    are answered in the healthy way.
    """

    def __init__(self) -> None:
        self._shown: tuple[Injection, ...] = ()
        self._began: dict[Injection, Fault | None] = {}
        self._first_met: dict[str, int] = {}
        self.era = 0
        """Counts how often faults have begun that open connections do not survive."""

    @property
    def shown(self) -> tuple[Injection, ...]:
        """What is being shown, to be put back by `put_back`."""
        return self._shown

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        only: Only | None = None,
        after: int = 0,
        scope: object = None,
    ) -> None:
        """Show ``fault`` from now on, in place of another of the same scope.

        Args:
            fault: The fault.
            times: How many attempts meet it; None for all.
            only: Which requests it is meant for; None for all. A fault that hits connecting clients cannot
                tell requests apart.
            after: How many requests are answered in the healthy way before a fault that hits connecting
                clients begins.
            scope: What it is limited to; None for the whole dependency.
        """
        self._first_met.clear()
        others = tuple(each for each in self._shown if each.scope != scope)
        self.put_back((*others, Injection(fault, times, only, after, scope)))

    def put_back(self, shown: tuple[Injection, ...]) -> None:
        """Show these, and no others."""
        self._shown = shown
        self._note()

    def heal(self) -> None:
        """Show no fault any more."""
        self.put_back(())

    def on_resolve(self) -> tuple[Fault, Lookup] | None:
        """The fault that a client meets when it looks up the host, and how the lookup fails."""
        for each in reversed(self._shown):
            lookup = each.coming.on_resolve() if each.breaks_connections and each.coming else None
            if lookup is not None and (fault := self._take(each)) is not None:
                return fault, lookup
        return None

    def on_connect(self) -> Fault | None:
        """The fault that a connecting client meets, if it is one of that stage."""
        for each in reversed(self._shown):
            if each.breaks_connections and each.coming is not None and each.coming.on_resolve() is None:
                return self._take(each)
        return None

    def on_request(self, request: Any) -> Fault | None:
        """The fault that a request meets."""
        # Matchers may count requests, so all of them are asked.
        meant = [each for each in self._shown if each.only is None or each.only(request)]
        waiting = [each for each in self._shown if each.after]
        for each in waiting:
            each.after -= 1
        ready = [each for each in meant if each not in waiting and not each.over]
        met = None
        for each in reversed(ready):
            if each.coming is None or not _is_for_the_next(each.coming):
                met = self._take(each)
                break
        self._note()
        return met

    def since_met(self, fault: Fault, moment: int) -> float:
        """Seconds since a request met a fault for the first time after it was injected.

        Args:
            fault: The fault.
            moment: The present moment, at which a request meets it, in virtual nanoseconds.
        """
        return (moment - self._first_met.setdefault(repr(fault), moment)) / 1e9

    @property
    def breaks_connections(self) -> bool:
        """Whether there is a fault that an open connection would not survive."""
        return any(each.breaks_connections for each in self._shown)

    def is_broken_since(self, era: int) -> bool:
        """Whether a connection that was opened in an era does not survive."""
        return self.era != era and self.breaks_connections

    def _take(self, injection: Injection) -> Fault | None:
        fault = injection.take()
        self._shown = tuple(each for each in self._shown if not each.over)
        self._note()
        return fault

    def _note(self) -> None:
        """Count what has begun to break connections."""
        breaking = {each: each.coming for each in self._shown if each.breaks_connections}
        self.era += any(self._began.get(each) != coming for each, coming in breaking.items())
        self._began = breaking


def _is_for_the_next(fault: Fault) -> bool:
    """Whether a fault hits lookups or handshakes, so that a request on an open connection is past it."""
    return fault.connect_stage and fault.on_connect() is Connect.ACCEPT
