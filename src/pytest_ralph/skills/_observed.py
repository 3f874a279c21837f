"""What the skills of observability share: what is played for them, and when something is due.

The world is healthy, broken at once, or hangs; and, where that is asked for, it is slow and works.
"""

from __future__ import annotations

from pytest_ralph.core.outcomes import Call
from pytest_ralph.core.quantity import duration
from pytest_ralph.core.scenario import HEALTHY, Scenario
from pytest_ralph.core.skill import Criterion, Skill, Verdict, untested
from pytest_ralph.faults import Hang, Slow, Status

STATUS_503 = Scenario(id="status-503", fault=Status(503))
HANG = Scenario(id="hang", fault=Hang())

ENDLESS = (
    "the call waits for ever and never comes to say anything: set a timeout first, see the skill timeout"
)

# By how much a slow answer is later than what counts as slow: little, for clients that soon give up.
_LATER = 1.25


def slow(limit: float) -> Scenario:
    """Answers that come later than so many virtual seconds."""
    delay = round(limit * _LATER, 6)
    return Scenario(id=f"slow-{duration(delay)}".replace(" ", ""), fault=Slow(delay))


def played(slower_than: float | None) -> tuple[Scenario, ...]:
    """Everything that is played."""
    broken = (HEALTHY, STATUS_503, HANG)
    return broken if slower_than is None else (*broken, slow(slower_than))


def endless(calls: list[Call]) -> Verdict | None:
    """Why nothing can be said of calls that did not end by themselves."""
    found = next((call for call in calls if call.end.endless), None)
    return untested(ENDLESS, found.timeline) if found is not None else None


def measuring(*, id: str, title: str, criteria: tuple[Criterion, ...]) -> Skill:
    """A skill that looks at what the code tells other programs about itself.

    Args:
        id: Its id.
        title: What code with this skill does.
        criteria: Its criteria.
    """
    return Skill(
        id=id,
        marker=id.replace("-", "_"),
        title=title,
        phase="observability",
        measures=True,
        keep=lambda _: "what the code does, which requests it makes, and what it logs",
        criteria=criteria,
    )
