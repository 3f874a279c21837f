"""The building blocks of skills, criteria and faults, for packages that add their own.

How they are put together is shown in the how-to on writing a skill; how they come into a run, in
`pytest_ralph.hookspecs`.
"""

from __future__ import annotations

from pytest_ralph.core import timeline
from pytest_ralph.core.attempts import Attempt, Operation, attempts, ended_badly, operations
from pytest_ralph.core.fault import (
    Abort,
    Answer,
    Body,
    Close,
    Connect,
    Exchange,
    Fault,
    Head,
    Hold,
    Pause,
    Raw,
    Request,
    Send,
    Step,
)
from pytest_ralph.core.quantity import duration, seconds
from pytest_ralph.core.scenario import HEALTHY, Calls, Course, Scenario, Stage, once
from pytest_ralph.core.skill import (
    PASSED,
    PHASES,
    Criterion,
    Play,
    Skill,
    Spec,
    Status,
    Verdict,
    failed,
    untested,
)
from pytest_ralph.core.timeline import Timeline
from pytest_ralph.marker import attach, check_scenarios

__all__ = [
    "HEALTHY",
    "PASSED",
    "PHASES",
    "Abort",
    "Answer",
    "Attempt",
    "Body",
    "Calls",
    "Close",
    "Connect",
    "Course",
    "Criterion",
    "Exchange",
    "Fault",
    "Head",
    "Hold",
    "Operation",
    "Pause",
    "Play",
    "Raw",
    "Request",
    "Scenario",
    "Send",
    "Skill",
    "Spec",
    "Stage",
    "Status",
    "Step",
    "Timeline",
    "Verdict",
    "attach",
    "attempts",
    "check_scenarios",
    "duration",
    "ended_badly",
    "failed",
    "once",
    "operations",
    "seconds",
    "timeline",
    "untested",
]
