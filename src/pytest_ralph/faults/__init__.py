"""The faults that a simulated service can show, as ``pytest_ralph.faults``.

Faults are immutable values: comparable, and printed as the code that makes them. Each family has a file of
its own; everything public in those files is a name here.
"""

from __future__ import annotations

from pytest_ralph.faults.answer import Hang, Status, Truncate, Unauthorized
from pytest_ralph.faults.composed import Randomly, Sequence
from pytest_ralph.faults.connection import CloseEarly, DnsFailure, Refuse, Reset, Unreachable
from pytest_ralph.faults.content import Malformed
from pytest_ralph.faults.exceptions import Raises
from pytest_ralph.faults.limit import RateLimited
from pytest_ralph.faults.lost import AnswerLost
from pytest_ralph.faults.pace import Bandwidth, Dribble, Slow
from pytest_ralph.faults.tls import TlsError

__all__ = [
    "AnswerLost",
    "Bandwidth",
    "CloseEarly",
    "DnsFailure",
    "Dribble",
    "Hang",
    "Malformed",
    "Raises",
    "Randomly",
    "RateLimited",
    "Refuse",
    "Reset",
    "Sequence",
    "Slow",
    "Status",
    "TlsError",
    "Truncate",
    "Unauthorized",
    "Unreachable",
]
