"""Skill ``idempotent``: what is tried again happens once, because every attempt carries the same key.

A service that knows idempotency keys executes a request once for each key, and gives later ones with that
key the first answer (draft-ietf-httpapi-idempotency-key-header, https://docs.stripe.com/api/idempotent_requests).
So two effects are two requests that took effect under different keys, or under none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pytest_ralph.core.attempts import Attempt, Operation, attempts, faulted, operations
from pytest_ralph.core.quantity import times
from pytest_ralph.core.scenario import Calls, Scenario, Stage, once
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed, untested
from pytest_ralph.core.timeline import CallStarted, Performed, Requested, Stuck, Timeline
from pytest_ralph.faults import AnswerLost, Hang, Reset, Status
from pytest_ralph.marker import Decorator, attach, check_scenarios

F = TypeVar("F", bound=Callable[..., Any])

# Safe methods (RFC 9110, 9.2.1) have no effect that could happen twice.
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
# A field name (RFC 9110, 5.1).
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, kw_only=True)
class Idempotent:
    """The validated arguments of ``ralph.idempotent``."""

    header: str
    methods: tuple[str, ...]
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {"header": self.header, "methods": list(self.methods)}


@overload
def idempotent(function: F, /) -> F: ...
@overload
def idempotent(
    *, header: str = "Idempotency-Key", methods: Iterable[str] = ("POST",), scenarios: str = "auto"
) -> Decorator[Any]: ...
def idempotent(
    function: Any = None,
    /,
    *,
    header: str = "Idempotency-Key",
    methods: Iterable[str] = ("POST",),
    scenarios: str = "auto",
) -> Any:
    """Require that nothing happens twice: one key per operation, the same on every retry.

    Args:
        function: The test, when the marker is written without parentheses.
        header: Name of the header field that carries the key.
        methods: The HTTP methods whose requests carry one: ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.idempotent(header="Idempotency-Key")
        ... def test_charge(): ...
    """
    __tracebackhide__ = True

    def build() -> Idempotent:
        if function is not None and not callable(function):
            raise TypeError(f"takes keyword arguments only, such as header='...', got {function!r}")
        check_scenarios(scenarios)
        return Idempotent(header=_header(header), methods=_methods(methods), scenarios=scenarios)

    return attach("idempotent", build, function)


def _header(value: object) -> str:
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value):
        raise ValueError(
            f"header must be the name of a header field such as 'Idempotency-Key', got {value!r}"
        )
    return value


def _methods(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(
            f"methods must be several of {', '.join(_METHODS)}, such as ('POST',), got {value!r}"
        )
    given = tuple(dict.fromkeys(value))
    if not given:
        raise ValueError("methods must name at least one of " + ", ".join(_METHODS))
    for each in given:
        if each not in _METHODS:
            raise ValueError(f"methods takes {', '.join(_METHODS)}, got {each!r}")
    return given


# -- what is played -----------------------------------------------------------------------------------------

_UNAVAILABLE = Scenario(id="status-503", fault=Status(503))
_FAILURES = (
    _UNAVAILABLE,
    once(_UNAVAILABLE),
    once(Scenario(id="hang", fault=Hang())),
    once(Scenario(id="reset", fault=Reset())),
)


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A healthy call, and one whose answer is lost after the request took effect; then all is well again."""

    def play(self, stage: Stage) -> None:
        """Direct the play."""
        stage.call()
        stage.inject()
        stage.call()


_LOST = tuple(
    Scenario(id=f"answer-lost-{name}", fault=AnswerLost(how), times=1, course=Lost())
    for how, name in (("reset", "by-reset"), ("close", "by-close"), ("hang", "in-a-hang"))
)
# At the same moment, or nearly: a key made of the time in seconds is no new one.
_TWICE = Scenario(id="healthy-2-calls", course=Calls(count=2))


# -- what is judged -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """The keys of the requests on a timeline, by the numbers of their attempts."""

    header: str
    timeline: Timeline

    def of(self, made: Iterable[Attempt]) -> list[str]:
        """The keys of attempts, empty where a request has none; connects that failed are left out."""
        headers = {each.attempt: each.headers for each in self.timeline.of(Requested)}
        name = self.header.lower()
        return [headers[each.number].get(name, "").strip() for each in made if each.number in headers]


def _judged(spec: Idempotent, play: Play) -> list[Operation]:
    """The operations that need a key: those a fault was aimed at, as others may not be broken."""
    met = {each.number for each in faulted(play.timeline)}
    found = []
    for operation in operations(play.timeline):
        methods = {each.method for each in operation.attempts} - {None}
        aimed = any(each.number in met for each in operation.attempts)
        if methods & set(spec.methods) and (aimed or play.scenario.manual):
            found.append(operation)
    return found


def _keys(spec: Idempotent, play: Play, operation: Operation) -> list[str]:
    return _Keys(header=spec.header, timeline=play.timeline).of(operation.attempts)


def _key_present(spec: Idempotent, play: Play) -> Verdict | None:
    """The first request of each operation has a key."""
    judged = _judged(spec, play)
    for operation in judged:
        if not _keys(spec, play, operation)[0]:
            return failed(
                f"{operation.name} with the header {spec.header}",
                f"{operation.name} without it",
                operation.location,
                play.timeline,
            )
    return PASSED if judged else None


def _same_key(spec: Idempotent, play: Play) -> Verdict | None:
    """All requests of an operation that have a key have the same."""
    verdict = None
    for operation in _judged(spec, play):
        keys = [key for key in _keys(spec, play, operation) if key]
        if len(set(keys)) > 1:
            return failed(
                f"the same {spec.header} in each attempt at {operation.name}",
                f"{times(len(set(keys)), 'key')} in {times(len(keys), 'attempt')}",
                operation.location,
                play.timeline,
            )
        if len(keys) > 1:
            verdict = PASSED
    return verdict


def _without_key(spec: Idempotent, play: Play) -> Verdict | None:
    """No retry is without a key."""
    verdict = None
    for operation in _judged(spec, play):
        for number, key in enumerate(_keys(spec, play, operation)[1:], start=1):
            if not key:
                return failed(
                    f"each retry of {operation.name} with the header {spec.header}",
                    f"retry {number} without it",
                    operation.location,
                    play.timeline,
                )
            verdict = PASSED
    return verdict


def _new_key(spec: Idempotent, play: Play) -> Verdict | None:
    """No two operations have the same key."""
    seen: dict[tuple[str, str, str], Operation] = {}
    found = [each for each in operations(play.timeline) if each.last.method in spec.methods]
    for operation in found:
        for key in set(_keys(spec, play, operation)) - {""}:
            before = seen.setdefault((operation.last.upstream, operation.name, key), operation)
            if before is not operation:
                return _same_again(spec, play, operation, key)
    return PASSED if len(seen) > 1 else None


def _same_again(spec: Idempotent, play: Play, operation: Operation, key: str) -> Verdict:
    """What a key that comes again means: it may be one that the test passes.

    The key itself is not shown: one that is made when a module is loaded is another in each run.
    """
    given = {each for start in play.timeline.of(CallStarted) for each in start.given}
    if any(re.search(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", key) for each in given):
        return untested(
            "the key comes from what the test passes, a constant or the value of a fixture that is the same "
            "in both calls; let the test pass a new value in each, such as str(uuid.uuid4())",
            play.timeline,
        )
    return failed(
        f"a new {spec.header} for each {operation.name}",
        "the same key again, which a service takes for the same order",
        operation.location,
        play.timeline,
    )


def _single_effect(spec: Idempotent, play: Play) -> Verdict | None:
    """Whatever was lost, nothing happened twice."""
    if play.timeline.of(Stuck):
        return None
    done = _effects(spec, play)
    lost = [each for each in faulted(play.timeline) if each.number in done]
    for attempt in lost:
        effects, usual = _retried_effects(play, attempt, done), 1
        if len(effects) == 1 and isinstance(play.scenario.course, Lost):
            effects, usual = _effects_in_call(play, attempt, done)
        if len(effects) > usual:
            return failed(
                f"{times(usual, 'effect')} of {attempt.name}, although an answer was lost",
                f"{times(len(effects), 'effect')}: {_told(spec, effects)}",
                attempt.location,
                play.timeline,
            )
    return PASSED if lost else None


_Effect = tuple[str, int]


def _retried_effects(play: Play, lost: Attempt, done: Mapping[int, _Effect]) -> set[_Effect]:
    """What the attempts at one operation did, of which the answer to one was lost."""
    numbers = [[each.number for each in operation.attempts] for operation in operations(play.timeline)]
    (own,) = [group for group in numbers if lost.number in group]
    return {done[number] for number in own if number in done}


def _effects_in_call(play: Play, lost: Attempt, done: Mapping[int, _Effect]) -> tuple[set[_Effect], int]:
    """What was done alike in the whole call, from another thread perhaps, and how much of it is usual."""
    alike = [
        each
        for each in attempts(play.timeline)
        if each.number in done and (each.upstream, each.key) == (lost.upstream, lost.key)
    ]
    usual = sum(each.call < lost.call for each in alike)
    return {done[each.number] for each in alike if each.call == lost.call}, max(usual, 1)


def _effects(spec: Idempotent, play: Play) -> dict[int, _Effect]:
    """What each attempt did, by its number: one thing for each key, and one for each request without."""
    keys = _Keys(header=spec.header, timeline=play.timeline)
    performed = {each.attempt for each in play.timeline.of(Performed) if each.status < 400}
    found = {}
    for attempt in attempts(play.timeline):
        if attempt.number in performed and attempt.method in spec.methods:
            (key,) = keys.of([attempt])
            found[attempt.number] = (key, 0 if key else attempt.number)
    return found


def _told(spec: Idempotent, effects: Iterable[_Effect]) -> str:
    without = sum(not key for key, _ in effects)
    return f"{times(without, 'request')} without {spec.header}" if without else f"a new {spec.header} each"


def _what(spec: Idempotent) -> str:
    return " and ".join(spec.methods)


_NO_RETRY = "no retry with a request was seen: a client that never tries again cannot show it"

SKILL = Skill(
    id="idempotent",
    marker="idempotent",
    title="lets nothing happen twice",
    phase="guarantees",
    rests_on=("timeout", "retry"),
    keep=lambda _: "timeouts that are set, which errors are retried, how often and with which waits",
    criteria=(
        Criterion(
            id="key-present",
            kind="pass",
            text=lambda spec: f"sends {spec.header} with every {_what(spec)}",
            scenarios=lambda _: (*_FAILURES, *_LOST),
            judge=_key_present,
            timing=False,
            untested="no request of these methods was made",
            fix=lambda spec: (
                f"Send a {spec.header} header, such as str(uuid.uuid4()), with every {_what(spec)}"
            ),
        ),
        Criterion(
            id="same-key-on-retry",
            kind="pass",
            text=lambda spec: f"sends the same {spec.header} with every retry",
            scenarios=lambda _: (*_FAILURES, *_LOST),
            judge=_same_key,
            timing=False,
            untested=_NO_RETRY,
            fix=lambda _: (
                "Make the key once per operation, before the first attempt and outside of the function that "
                "is retried, and pass it to each attempt"
            ),
        ),
        Criterion(
            id="new-key-per-operation",
            kind="pass",
            text=lambda spec: f"sends a new {spec.header} with each operation",
            scenarios=lambda _: (_TWICE,),
            judge=_new_key,
            timing=False,
            untested="fewer than two operations with a key were seen: see key-present",
            fix=lambda _: (
                "Make a new key for each operation, such as str(uuid.uuid4()): not when the module is "
                "loaded, not of the clock alone, and not of what is ordered, or the second of two equal "
                "orders is lost"
            ),
        ),
        Criterion(
            id="single-effect",
            kind="pass",
            text=lambda _: "has one effect, even if the answer is lost after it",
            scenarios=lambda _: _LOST,
            judge=_single_effect,
            timing=False,
            untested="no answer was lost after its request had taken effect",
            fix=lambda spec: (
                f"Send the same {spec.header} with every attempt of one operation, so that the service can "
                "tell a retry from a new order"
            ),
        ),
        Criterion(
            id="retries-without-key",
            kind="fail",
            text=lambda spec: f"a retry without {spec.header}",
            scenarios=lambda _: (*_FAILURES, *_LOST),
            judge=_without_key,
            timing=False,
            untested=_NO_RETRY,
            fix=lambda spec: f"Send the {spec.header} of the first attempt with every retry, or do not retry",
        ),
    ),
)
