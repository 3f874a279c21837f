"""Skill ``validates-input``: input that is not valid is rejected before anything else is called.

Hypothesis searches, argument by argument, for a value that the code accepts, rejects in the wrong way, or
rejects too late, while the other arguments stay valid; it makes the value as small as it can. Each value is
tried in a call of its own.
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import short
from pytest_ralph.core.quantity import whole_number
from pytest_ralph.core.scenario import HEALTHY, Scenario, Stage
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Status, Verdict, untested
from pytest_ralph.core.timeline import CallEnded, Event, Outside, Searched, Timeline, Tried, Unmatched, named
from pytest_ralph.marker import Decorator, attach, check_arguments, exception_classes

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Strategies = tuple[tuple[str, "SearchStrategy[Any]"], ...]
Kinds = tuple[str, ...]

# What can be found of a value, and who raised what: see `_reception`.
_REJECTED, _ACCEPTED, _UNCLEAR = "rejected", "accepted", "unclear"
_CROSSED, _REFUSED = "crossed", "refused"


@dataclass(frozen=True, kw_only=True)
class ValidatesInput:
    """The validated arguments of ``ralph.validates_input``."""

    invalid: Strategies
    valid: Strategies = ()
    rejects: tuple[type[Exception], ...] = (ValueError,)
    examples: int = 100
    scenarios: str = "auto"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the test that are given other values."""
        return tuple(dict.fromkeys(name for name, _ in (*self.invalid, *self.valid)))

    @property
    def kinds(self) -> Kinds:
        """Full names of the exceptions that are a rejection."""
        return tuple(named(each) for each in self.rejects)

    @property
    def rejection(self) -> str:
        """The exceptions that are a rejection, for people."""
        return " or ".join(each.__name__ for each in self.rejects)

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "invalid": {name: short(repr(strategy), 120) for name, strategy in self.invalid},
            "valid": {name: short(repr(strategy), 120) for name, strategy in self.valid},
            "rejects": [each.__name__ for each in self.rejects],
            "examples": self.examples,
        }


def validates_input(
    invalid: Mapping[str, SearchStrategy[Any]] | None = None,
    /,
    *,
    rejects: type[Exception] | tuple[type[Exception], ...] = ValueError,
    examples: int = 100,
    valid: Mapping[str, SearchStrategy[Any]] | None = None,
    **arguments: SearchStrategy[Any],
) -> Decorator[Any]:
    """Require that input that is not valid is rejected, and before anything is called.

    Name the arguments of the test function, each with a Hypothesis strategy of values that are not valid. The
    fixtures or the parameters of the test give the valid values. Nothing may cross the borders of the process
    before the rejection: no connection, no request, no file that is written, no process that is started.

    Args:
        invalid: Arguments whose names cannot be written as keywords here, such as ``examples``.
        rejects: What the code raises to reject a value: an exception class, or a tuple of them.
        examples: How many values are tried for each argument, at least 1.
        valid: Strategies of values that must be accepted, by argument. Without them, only the value of the
            fixture is.
        arguments: A strategy of values that are not valid for each argument. There are ready ones in
            ``ralph.invalid``.

    Raises:
        MarkerError: An argument is wrong, or the test function does not have the arguments named.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.validates_input(amount=ralph.invalid.amounts(), token=ralph.invalid.tokens())
        ... def test_charge(gateway, amount, token): ...
    """
    __tracebackhide__ = True
    spec = _Arguments(invalid=invalid, keywords=arguments, valid=valid, rejects=rejects, examples=examples)
    return attach("validates-input", spec.checked, check=spec.check)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    """The arguments of the marker as they were written."""

    invalid: object
    keywords: Mapping[str, object]
    valid: object
    rejects: object
    examples: object

    def checked(self) -> ValidatesInput:
        """The arguments, if they are right."""
        if callable(self.invalid):
            raise TypeError(
                "needs a strategy of values that are not valid for at least one argument of the test: write "
                "@ralph.validates_input(amount=ralph.invalid.amounts())"
            )
        strategies = {**_mapping("the first argument", self.invalid), **self.keywords}
        if not strategies:
            raise TypeError(
                "names no argument of the test: give one a strategy of values that are not valid, such as "
                "amount=ralph.invalid.amounts()"
            )
        examples = whole_number(self.examples, name="examples", minimum=1)
        return ValidatesInput(
            invalid=_strategies(strategies),
            valid=_strategies(_mapping("valid", self.valid)),
            rejects=_exceptions(self.rejects),
            examples=examples,
        )

    def check(self, function: Callable[..., Any]) -> None:
        """Check that a test function fits."""
        check_arguments(function, self.checked().arguments)
        _check_plain(function)


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} must map arguments of the test to strategies, got {value!r}")
    return value


def _strategies(given: Mapping[str, object]) -> Strategies:
    from hypothesis.strategies import SearchStrategy

    for name, strategy in given.items():
        if not isinstance(strategy, SearchStrategy):
            raise TypeError(
                f"{name} must be a Hypothesis strategy, such as ralph.invalid.amounts() or "
                f"st.integers(max_value=0), got {strategy!r}"
            )
        strategy.validate()
        if strategy.is_empty:
            raise ValueError(f"{name} is a strategy without any value: {strategy!r}")
    return tuple(given.items())  # type: ignore[arg-type]


def _exceptions(value: object) -> tuple[type[Exception], ...]:
    given = exception_classes(value, name="rejects", example="ValueError")
    for each in given:
        if each is Exception:
            raise ValueError(
                "rejects=Exception would take any crash for a rejection: name what the code raises"
            )
        if issubclass(each, AssertionError):
            raise ValueError(
                "rejects must not be AssertionError: python -O takes assert statements away, so they reject "
                "nothing in production"
            )
    return given


def _check_plain(function: Callable[..., Any]) -> None:
    """Refuse a body that expects the rejection itself: it would hide it."""
    inner = inspect.unwrap(function)
    names, known = inner.__code__.co_names, inner.__globals__
    if "raises" in names and any(known.get(name) in (pytest, pytest.raises) for name in names):
        raise ValueError(
            f"{function.__name__} uses pytest.raises, which hides the rejection: make the call plainly, with "
            "the valid values; what it raises for the others is judged"
        )


@dataclass(frozen=True, kw_only=True)
class Search:
    """A course that looks for the smallest value that is not received as it should be.

    Attributes:
        argument: The argument of the test that gets the values.
        strategy: Where they come from.
        rejects: Full names of the exceptions that are a rejection; None if the values are to be accepted.
        examples: How many values are tried.
    """

    argument: str
    strategy: SearchStrategy[Any]
    rejects: Kinds | None
    examples: int

    def play(self, stage: Stage) -> None:
        """Try what earlier runs have found, then search; with an ordinary call before and after it."""
        seeds = random.Random(random.getrandbits(64))
        with stage.searching():
            stage.note(stage.follow("", {}))
            replayed = Searching(search=self, stage=stage, seeds=seeds).replayed()
            # This one knows nothing of the replay, and so finds the same whatever earlier runs have found.
            searched = Searching(search=self, stage=stage, seeds=seeds).searched()
            stage.note(replace(searched, found={**replayed, **searched.found}))
            stage.note(stage.follow("", {}))


@dataclass(kw_only=True)
class Searching:
    """One search while it goes on.

    Attributes:
        search: What is searched for.
        stage: Where the calls are made.
        seeds: Where the seeds of Hypothesis come from.
        cases: How many calls there were.
        seen: The first case of each kind that came by, with its value.
        trouble: Why there could be no search.
    """

    search: Search
    stage: Stage
    seeds: random.Random
    cases: int = 0
    trouble: str = ""

    def __post_init__(self) -> None:
        self.seen: dict[str, tuple[object, Timeline]] = {}

    @property
    def kinds(self) -> Kinds:
        """What is searched for."""
        return (_REFUSED,) if self.search.rejects is None else (_ACCEPTED, _CROSSED)

    def replayed(self) -> dict[str, Tried]:
        """Try what earlier runs have found."""
        from pytest_ralph.skills._search import replay

        found = {kind: self._smallest(kind, replay) for kind in self.kinds}
        return {kind: tried for kind, tried in found.items() if tried is not None}

    def searched(self) -> Searched:
        """Search for all that there is to find."""
        from pytest_ralph.skills._search import search

        found: dict[str, Tried] = {}
        first, *_ = self.kinds
        for kind in self.kinds:
            # What the first search has not come by in all its cases need not be searched for.
            if kind == first or kind in self.seen or first in found:
                smallest = self._smallest(kind, partial(search, seed=self.seeds.getrandbits(64)))
                if smallest is not None:
                    found[kind] = smallest
        if not found and _UNCLEAR in self.seen:
            found[_UNCLEAR] = self._told(*self.seen[_UNCLEAR], _UNCLEAR)
        return Searched(
            at=0.0, argument=self.search.argument, cases=self.cases, found=found, trouble=self.trouble
        )

    def _smallest(self, kind: str, look: Callable[..., bool]) -> Tried | None:
        last: list[tuple[object, Timeline]] = []

        def shows(value: object) -> bool:
            case = self._case(value)
            shown = _kinds(case, self.search.rejects)
            for each in shown:
                self.seen.setdefault(each, (value, case))
            if kind in shown:
                last[:] = [(value, case)]
            return kind in shown

        try:
            look(
                self.search.strategy,
                shows,
                examples=self.search.examples,
                name=f"{self.stage.test} {self.search.argument} {kind}",
            )
        except Exception as error:  # noqa: BLE001 - the strategy is the user's code
            self.trouble = self.trouble or f"{type(error).__name__}: {short(str(error), 160)}"
        return self._told(*last[0], kind) if last else None

    def _case(self, value: object) -> Timeline:
        self.cases += 1
        return self.stage.case({self.search.argument: _copied(value)})

    def _told(self, value: object, case: Timeline, kind: str) -> Tried:
        """A case with the call to paste; the case as it was if it comes out otherwise now."""
        tried = self.stage.follow(self.search.argument, {self.search.argument: _copied(value)})
        return tried if kind in _kinds(tried.case, self.search.rejects) else replace(tried, case=case)


def _copied(value: object) -> object:
    """A value that the code may change without changing what is shown of it."""
    if isinstance(value, (list, dict, set)):
        with suppress(RecursionError):
            return copy.deepcopy(value)
    return value


def _kinds(case: Timeline, rejects: Kinds | None) -> set[str]:
    """What a case is an example of."""
    ended = case.of(CallEnded)[-1]
    if rejects is None:
        return {_REFUSED} if ended.error else set()
    crossed = {_CROSSED} if _crossings(case) else set()
    return {_reception(ended, rejects), *crossed}


def _reception(ended: CallEnded, rejects: Kinds) -> str:
    """How a value that is not valid was received."""
    if _is_outcome(ended, "Skipped") or _is_outcome(ended, "XFailed"):
        return _UNCLEAR
    if ended.endless or ended.error is None or _is_assertion(ended):
        return _ACCEPTED
    if ended.own:
        return _UNCLEAR
    return _REJECTED if set(rejects) & set(ended.kinds) else _ACCEPTED


def _is_outcome(ended: CallEnded, name: str) -> bool:
    # pytest's own exceptions pretend to be built in.
    return name in ended.kinds


def _is_assertion(ended: CallEnded) -> bool:
    return "AssertionError" in ended.kinds or _is_outcome(ended, "Failed")


def _crossings(case: Timeline) -> list[Event]:
    return [event for event in case if event.crosses]


def _strays(case: Timeline) -> list[Outside | Unmatched]:
    return [*case.of(Outside), *case.of(Unmatched)]


def _observed(tried: Tried) -> str:
    """What a call did, in words."""
    ended = tried.case.of(CallEnded)[-1]
    if ended.endless:
        did = "never ends"
    elif ended.error is None:
        did = "returned"
    elif _is_assertion(ended) and (ended.own or _is_outcome(ended, "Failed")):
        did = f"returned, and then the test itself failed ({ended.error})"
    elif "AssertionError" in ended.kinds:
        did = f"raised {ended.error}, which python -O takes away if it comes from an assert"
    else:
        did = f"raised {ended.error}"
    return f"{tried.call} {did}"


def _failed(tried: Tried, expected: str, observed: str, location: Location | None) -> Verdict:
    # The call is shown as it is, so that it can be pasted.
    return Verdict(
        status=Status.FAIL,
        expected=expected,
        observed=observed,
        location=location,
        lines=tuple(tried.case.lines()),
    )


def _no_search(searched: Searched) -> Verdict | None:
    if searched.trouble:
        return untested(f"Hypothesis could not search for values of {searched.argument}: {searched.trouble}")
    if not searched.cases:
        return untested(f"Hypothesis made no value of {searched.argument}")
    return None


def _rejects_invalid(spec: ValidatesInput, play: Play) -> Verdict | None:
    """Each value that is not valid makes the call raise the right exception."""
    for searched in play.timeline.of(Searched):
        name = searched.argument
        accepted, unclear = searched.found.get(_ACCEPTED), searched.found.get(_UNCLEAR)
        if accepted is not None:
            ended = accepted.case.of(CallEnded)[-1]
            for stray in _strays(accepted.case) if ended.error else ():
                # What it would have raised, had it reached what it wanted, nobody knows.
                reason = f"{accepted.call}: {stray.text()}; take that call away, or add {stray.advice}"
                return replace(untested(reason, accepted.case), location=stray.location)
            return _failed(
                accepted,
                f"{spec.rejection} for every value of {name} that is not valid",
                _observed(accepted),
                (None if ended.own else ended.location) or accepted.location,
            )
        if unclear is not None:
            return untested(
                f"{_observed(unclear)}: that came from the test itself, not from the code that it calls; "
                f"hand {name} on as it is",
                unclear.case,
            )
        return _no_search(searched) or PASSED
    return None


def _calls_before_validation(spec: ValidatesInput, play: Play) -> Verdict | None:
    """Nothing crosses the borders of the process for a value that is not valid."""
    for searched in play.timeline.of(Searched):
        crossed = searched.found.get(_CROSSED)
        if crossed is not None:
            events = _crossings(crossed.case)
            first = next((event for event in events if event.text()), events[0])
            what = first.text() or f"connect {getattr(first, 'upstream', '')}"
            return _failed(
                crossed,
                f"{searched.argument} is checked before any request, file or process",
                f"{_observed(crossed)}, after: {what.removesuffix(' ->')}",
                first.location or crossed.location,
            )
        usual = [tried for tried in play.timeline.of(Tried) if not tried.argument]
        if not any(_crossings(tried.case) for tried in usual):
            return untested(
                "the valid call reaches nothing outside of the process that the world sees, so nothing could "
                "come too early: let the test call the code that makes the requests; if it answers from a "
                "cache, name what clears it with @ralph.reset(function)",
                usual[0].case if usual else None,
            )
        return _no_search(searched) or PASSED
    return None


def _accepts_valid(spec: ValidatesInput, play: Play) -> Verdict | None:
    """What is valid is accepted, also after much that was not."""
    expected = "a valid call succeeds"
    for searched in play.timeline.of(Searched):
        refused = searched.found.get(_REFUSED)
        if refused is not None:
            ended = refused.case.of(CallEnded)[-1]
            where = (None if ended.own else ended.location) or refused.location
            return _failed(refused, expected, _observed(refused), where)
        if (trouble := _no_search(searched)) is not None:
            return trouble
    for tried in play.timeline.of(Tried):
        ended = tried.case.of(CallEnded)[-1]
        if ended.error:
            observed = f"the valid call raised {ended.error} after calls with values that are not valid"
            return _failed(tried, expected, observed, ended.location)
    return PASSED


def _invalid(spec: ValidatesInput) -> tuple[Scenario, ...]:
    return tuple(_scenario("invalid", spec, name, strategy, spec.kinds) for name, strategy in spec.invalid)


def _valid(spec: ValidatesInput) -> tuple[Scenario, ...]:
    return tuple(_scenario("valid", spec, name, strategy, None) for name, strategy in spec.valid)


def _scenario(
    kind: str, spec: ValidatesInput, name: str, strategy: SearchStrategy[Any], rejects: Kinds | None
) -> Scenario:
    parts = [kind, name]
    if rejects is not None and spec.rejects != (ValueError,):
        parts += [each.__name__ for each in spec.rejects]
    if spec.examples != 100:
        parts.append(f"{spec.examples}-examples")
    course = Search(argument=name, strategy=strategy, rejects=rejects, examples=spec.examples)
    return Scenario(id="-".join(parts), course=course)


def _named(spec: ValidatesInput) -> str:
    *others, last = (name for name, _ in spec.invalid)
    return f"{', '.join(others)} and {last}" if others else last


SKILL = Skill(
    id="validates-input",
    marker="validates_input",
    title="checks its input before it calls anything",
    phase="defensive",
    keep=lambda _: "what is accepted as valid, and what is done with it",
    criteria=(
        Criterion(
            id="rejects-invalid",
            kind="pass",
            text=lambda spec: f"{spec.rejection} for every {_named(spec)} that is not valid",
            scenarios=_invalid,
            judge=_rejects_invalid,
            untested="no value that is not valid was tried",
            timing=False,
            fix=lambda spec: (
                "Check type, format and range of the argument at the beginning of the function, and raise "
                f"{spec.rejection} for whatever is not valid. NaN is neither above nor below anything: ask "
                "for it; do not use assert"
            ),
        ),
        Criterion(
            id="accepts-valid",
            kind="pass",
            text=lambda _: "valid values are accepted, also after others were rejected",
            scenarios=lambda spec: (HEALTHY, *_invalid(spec), *_valid(spec)),
            judge=_accepts_valid,
            timing=False,
            fix=lambda _: "Make the check accept this call: it rejects a valid value",
        ),
        Criterion(
            id="calls-before-validation",
            kind="fail",
            text=lambda spec: f"a request, a file or a process before the check of {_named(spec)}",
            scenarios=_invalid,
            judge=_calls_before_validation,
            untested="no value that is not valid was tried",
            timing=False,
            fix=lambda spec: (
                f"Check {_named(spec)} before this line: validate all arguments first, then open "
                "connections and files and start processes"
            ),
        ),
    ),
)
