"""Skill ``bad_data``: an answer that is garbage is refused, with an exception that callers know.

The service answers with its usual status, and what it says is an error page, half of the JSON, values of
other types, nothing at all or far too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.attempts import attempts
from pytest_ralph.core.location import Location
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallEnded, FaultMet
from pytest_ralph.faults import Malformed
from pytest_ralph.faults.content import KINDS
from pytest_ralph.marker import Decorator, attach, check_scenarios, exception_classes


@dataclass(frozen=True, kw_only=True)
class BadData:
    """The validated arguments of ``ralph.bad_data``."""

    raises: tuple[type[Exception], ...]
    kinds: tuple[str, ...]
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"raises": [each.__name__ for each in self.raises], "kinds": list(self.kinds)}

    @property
    def names(self) -> str:
        """The exceptions, for people."""
        return " or ".join(each.__name__ for each in self.raises)


def bad_data(
    raises: type[Exception] | tuple[type[Exception], ...],
    *,
    kinds: str | Iterable[str] = "all",
    scenarios: str = "auto",
) -> Decorator[Any]:
    """Require that answers that are garbage are refused with an exception that callers know.

    Args:
        raises: The exception class, or several; classes derived from them are right as well.
        kinds: What is played: ``"all"``, or several of the kinds that `pytest_ralph.faults.Malformed` knows.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.bad_data(raises=RuntimeError)
        ... def test_rates(): ...
    """
    __tracebackhide__ = True
    return attach("bad-data", lambda: _spec(raises, kinds, scenarios))  # type: ignore[no-any-return]


def _spec(raises: object, kinds: object, scenarios: str) -> BadData:
    allowed = exception_classes(raises, name="raises", example="RatesError")
    check_scenarios(scenarios)
    return BadData(raises=allowed, kinds=_kinds(kinds), scenarios=scenarios)


def _kinds(value: object) -> tuple[str, ...]:
    if value == "all":
        return KINDS
    known = ", ".join(map(repr, KINDS))
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"kinds must be 'all' or several of {known}, such as ('html',), got {value!r}")
    given = tuple(value)
    for each in given:
        if each not in KINDS:
            raise ValueError(f"kinds takes {known}, got {each!r}")
    if not given:
        raise ValueError("kinds must name at least one kind: there is nothing to play otherwise")
    return tuple(dict.fromkeys(given))


def _scenarios(spec: BadData) -> tuple[Scenario, ...]:
    return tuple(Scenario(id=f"malformed-{kind}", fault=Malformed(kind)) for kind in spec.kinds)


# -- what is judged -----------------------------------------------------------------------------------------


def _end(play: Play) -> CallEnded | None:
    """How the call ended that met garbage."""
    if not play.timeline.of(FaultMet):
        return None
    ends = play.timeline.of(CallEnded)
    return ends[-1] if ends else None


def _request(play: Play) -> Location | None:
    """The user's line that made the last request."""
    return next((each.location for each in reversed(attempts(play.timeline)) if each.location), None)


def _rejects_malformed(spec: BadData, play: Play) -> Verdict | None:
    """The call ends with an exception: which one is another question."""
    end = _end(play)
    if end is None:
        return None
    if end.endless:
        return failed(f"the call raises {spec.names}", _told(end), _request(play), play.timeline)
    if end.error is None or end.own:
        # One flaw, one failure: what returned was not refused, and what it returned is what is wrong.
        return untested(_RETURNED, play.timeline)
    return PASSED


def _raw_exception(spec: BadData, play: Play) -> Verdict | None:
    """No other exception gets out."""
    end = _end(play)
    if end is None or end.endless:
        return None
    if end.error is None or end.own or end.is_of(spec.raises):
        return PASSED
    return failed(f"no exception but {spec.names}", end.text(), end.location or _request(play), play.timeline)


def _accepts_garbage(spec: BadData, play: Play) -> Verdict | None:
    """The call does not return."""
    end = _end(play)
    if end is None:
        return None
    if end.error is not None and not end.own:
        return PASSED
    return failed(
        "the call does not return what it made of garbage",
        f"{_told(end)}, though it got {play.scenario.fault or 'garbage'}",
        _request(play),
        play.timeline,
    )


def _told(end: CallEnded) -> str:
    """How the call ended, as the code under test is concerned."""
    return f"call returned (the test found fault with that: {end.error})" if end.own else end.text()


_UNMET = "no answer was garbage: see exercised"
_RETURNED = "the call returned, so it refused nothing: see accepts-garbage"

SKILL = Skill(
    id="bad-data",
    marker="bad_data",
    title="refuses answers that are garbage",
    phase="resilience",
    rests_on=("timeout",),  # bytes that are announced and never come are waited for
    keep=lambda _: (
        "timeouts that are set, which errors are retried, the arguments and the result of the call"
    ),
    criteria=(
        Criterion(
            id="rejects-malformed",
            kind="pass",
            text=lambda _: "raises an exception on every kind of garbage",
            scenarios=_scenarios,
            judge=_rejects_malformed,
            timing=False,
            untested=_UNMET,
            fix=lambda spec: (
                f"Read and check the answer in one place that raises {spec.names} for whatever is wrong: the "
                "body that cannot be read, the JSON that cannot be parsed, the field that is missing or of "
                "another type, the size that is out of all proportion"
            ),
        ),
        Criterion(
            id="raw-exception",
            kind="fail",
            text=lambda spec: f"an exception other than {spec.names}",
            scenarios=_scenarios,
            judge=_raw_exception,
            timing=False,
            untested=_UNMET,
            fix=lambda spec: (
                "Catch what reading, decoding and parsing the answer raise (with requests: RequestException; "
                "with httpx: HTTPError and ValueError) and what a missing field raises "
                f" (KeyError, TypeError, AttributeError), and raise {spec.names} from it"
            ),
        ),
        Criterion(
            id="accepts-garbage",
            kind="fail",
            text=lambda _: "a result made of garbage",
            scenarios=_scenarios,
            judge=_accepts_garbage,
            timing=False,
            untested=_UNMET,
            fix=lambda spec: (
                "Check the answer before using it, and make nothing of one that is wrong, not even None: the "
                "type of each field (pydantic, or isinstance), the encoding (json.loads(answer.content) "
                "refuses what is no UTF-8, requests' answer.json() replaces it), and the size while reading "
                "(stream the body and stop at a limit); raise "
                f"{spec.names} when it is wrong"
            ),
        ),
    ),
)
