"""What is played against one call: which fault, how often, how many calls."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ralph.core.fault import Fault


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way the world behaves during a test.

    Attributes:
        id: The name in the test id, such as ``status-503``.
        fault: The fault that is met, or None for a world that works.
        times: How many attempts meet the fault before the service recovers; None while it lasts.
        calls: How many times the test body is called and watched.
        pause: Virtual seconds between the calls.
        manual: The test injects its own faults; the world plays none.
    """

    id: str
    fault: Fault | None = None
    times: int | None = None
    calls: int = 1
    pause: float = 0.0
    manual: bool = False

    @property
    def recovers(self) -> bool:
        """Whether the service is healthy, or becomes healthy again, while the call goes on."""
        return self.fault is None or self.times is not None


HEALTHY = Scenario(id="healthy")
MANUAL = Scenario(id="manual", manual=True)


def once(scenario: Scenario, *, times: int = 1) -> Scenario:
    """The same fault, met a limited number of times."""
    name = f"{scenario.id}-once" if times == 1 else f"{scenario.id}-{times}-times"
    return Scenario(id=name, fault=scenario.fault, times=times)
