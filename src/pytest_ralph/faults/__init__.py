"""The faults that a simulated service can show, as ``pytest_ralph.faults``.

Faults are immutable values: comparable, and printed as the code that makes them. Each family has a file of
its own; everything public in those files is a name here.
"""

from __future__ import annotations

from pytest_ralph.faults.answer import Dribble, Hang, Status, Truncate
from pytest_ralph.faults.connection import Refuse, Reset, Unreachable
from pytest_ralph.faults.lost import AnswerLost

__all__ = ["AnswerLost", "Dribble", "Hang", "Refuse", "Reset", "Status", "Truncate", "Unreachable"]
