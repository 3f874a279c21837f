"""What ends calls that would never end, and how it is recognised when it comes out on the other side.

Both derive from BaseException, so that the code under test does not take them for failures to handle. Task
groups and event loops wrap what goes through them.
"""

from __future__ import annotations


class Ended(BaseException):
    """A call was ended by the world."""


class NeverEnds(Ended):
    """Raised in a wait that nothing could ever end."""


class EndedByWorld(Ended):
    """Raised in the code under test when a call goes on and on."""


def ending(error: BaseException | None) -> Ended | None:
    """What the world ended a call with, if that is behind an exception, in a group or as its cause."""
    if error is None or isinstance(error, Ended):
        return error
    parts = getattr(error, "exceptions", (error.__cause__,))
    return next((found for part in parts if (found := ending(part)) is not None), None)
