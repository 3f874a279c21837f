"""What a test does with the faults of a dependency: inject them, and have them end with a block."""

from __future__ import annotations

from collections.abc import Callable
from re import Pattern
from types import TracebackType
from typing import TYPE_CHECKING

from pytest_ralph.core.fault import Fault, Kind, Request, check_shown
from pytest_ralph.core.quantity import whole_number
from pytest_ralph.world.plan import Plan

if TYPE_CHECKING:
    from typing_extensions import Self

Undo = Callable[[], None]


class Injectable:
    """A dependency that faults can be injected into.

    As a context manager, right after an injection, it shows at the end of the block what it showed before.

    Args:
        url: What it is called on the timeline.
        kind: What it is.
        faulted: Whether generated scenarios may break it.
        changed: Called when a fault has begun or ended.
    """

    def __init__(
        self, url: str, kind: Kind, *, faulted: bool, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.url = url
        self.faulted = faulted
        self._changed = changed
        self._latest: Undo = self.heal
        self._entered: list[Undo] = []
        self.kind = kind
        self.plan = Plan()

    def __enter__(self) -> Self:
        self._entered.append(self._latest)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop()()

    def heal(self) -> None:
        """Show no fault any more."""
        self.plan.heal()
        self._changed()

    def show(self, fault: Fault, times: int | None, route: Route | None = None) -> Undo:
        """Show a fault.

        Args:
            fault: The fault.
            times: How many attempts meet it; None while it lasts.
            route: The requests that it is meant for; None for all.

        Returns:
            What puts back what was shown before.

        Raises:
            TypeError: It is not a fault.
            ValueError: The dependency cannot show it, or an argument is wrong.
        """
        check_shown(self.kind, fault, repr(self))
        if times is not None:
            whole_number(times, name="times", minimum=1)
        if route is not None:
            _check_limited(fault, route)
        before = self.plan.shown
        self.plan.inject(fault, times=times, only=route.matches if route else None, scope=route)
        self._changed()

        def undo() -> None:
            self.plan.put_back(tuple(each for each in before if not each.over))
            self._changed()

        self._latest = undo
        return undo


def _check_limited(fault: Fault, route: Route) -> None:
    for part in fault.parts():
        if part.connect_stage:
            raise ValueError(
                f"{part!r} hits clients before they have sent a request, so it cannot be limited to {route}"
            )


class Route:
    """Which requests a fault is meant for.

    Args:
        method: The HTTP method; None for all.
        path: The path without its query, or a compiled pattern that it matches from its beginning; None for
            all.

    Raises:
        ValueError: The method is empty or no text, or the path does not begin with ``/``.
    """

    def __init__(self, method: str | None, path: str | Pattern[str] | None) -> None:
        if method is not None and (not isinstance(method, str) or not method.isalpha()):
            raise ValueError(f"method must be an HTTP method such as 'POST', got {method!r}")
        if path is not None and not isinstance(path, Pattern) and not _is_path(path):
            raise ValueError(
                f"path must be a path without a query, such as '/v1/charges', or a compiled pattern, "
                f"got {path!r}"
            )
        self._method = method.upper() if method is not None else None
        self._path = path

    def __str__(self) -> str:
        path = self._path.pattern if isinstance(self._path, Pattern) else self._path
        return " ".join(each for each in (self._method, path) if each is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Route) and (self._method, self._path) == (other._method, other._path)

    def __hash__(self) -> int:
        return hash((self._method, self._path))

    def matches(self, request: Request) -> bool:
        """Whether it is meant for a request."""
        path = request.target.partition("?")[0]
        if self._method not in (None, request.method):
            return False
        if isinstance(self._path, Pattern):
            return self._path.match(path) is not None
        return self._path in (None, path)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and not {"?", "#"} & set(value)
