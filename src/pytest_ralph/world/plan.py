"""Which fault a simulated service shows to which attempt."""

from __future__ import annotations

from collections.abc import Callable

from pytest_ralph.core.fault import Fault, Request


class Plan:
    """The faults of one service.

    A fault is met by attempts until it was met ``times`` times, or by all. It may be meant for some requests
    only; the others are answered in the healthy way.
    """

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._left: int | None = None
        self._only: Callable[[Request], bool] | None = None
        self._after = 0
        self._first_met: int | None = None

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        only: Callable[[Request], bool] | None = None,
        after: int = 0,
    ) -> None:
        """Show ``fault`` from now on.

        Args:
            fault: The fault.
            times: How many attempts meet it; None for all.
            only: Which requests it is meant for; None for all. A fault that hits connecting clients cannot
                tell requests apart.
            after: How many requests are answered in the healthy way before a fault that hits connecting
                clients begins.
        """
        self._fault, self._left, self._only, self._after = fault, times, only, after
        self._first_met = None

    def heal(self) -> None:
        """Show no fault any more."""
        self._fault, self._left, self._only, self._after = None, None, None, 0

    def on_connect(self) -> Fault | None:
        """The fault that a connecting client meets, if it is one of that stage."""
        if self._fault is None or self._after or not self._fault.connect_stage:
            return None
        return self._take()

    def on_request(self, request: Request) -> Fault | None:
        """The fault that a request meets."""
        if self._after:
            self._after -= 1
            return None
        if self._fault is None or (self._only is not None and not self._only(request)):
            return None
        return self._take()

    def since_met(self, moment: int) -> float:
        """Seconds since a request met the fault for the first time.

        Args:
            moment: The present moment, at which a request meets it, in virtual nanoseconds.
        """
        if self._first_met is None:
            self._first_met = moment
        return (moment - self._first_met) / 1e9

    @property
    def breaks_connections(self) -> bool:
        """Whether there is a fault that an open connection would not survive."""
        return self._fault is not None and self._fault.connect_stage and not self._after

    def _take(self) -> Fault | None:
        fault = self._fault
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.heal()
        return fault
