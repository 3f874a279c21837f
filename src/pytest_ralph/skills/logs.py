"""Skill ``logs``: what happens is in the log, as a line that machines can read and people may read.

Judged are the lines that would be written in production, after every processor and formatter. Calls that
succeed, fail at once and hang are played, and slow ones where those are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pytest_ralph.core.lines import FORMATS, JSON, LEVELS, TEXT, Line, names_of, read
from pytest_ralph.core.masking import short
from pytest_ralph.core.outcomes import FAILURE, SUCCESS, Call, calls
from pytest_ralph.core.quantity import duration, seconds, times
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.secrets import Secret, hidden, without_sources
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Verdict, failed
from pytest_ralph.core.timeline import Exported, Traced, Written
from pytest_ralph.marker import Decorator, attach, check_scenarios
from pytest_ralph.skills._fields import Field, fields_of, one_of
from pytest_ralph.skills._observed import endless, played

F = TypeVar("F", bound=Callable[..., Any])

ALWAYS, SLOW = "always", "slow"
_WHENS = (ALWAYS, SUCCESS, FAILURE, SLOW)
_PERS = ("call", "attempt")
_SHOWN = 160
_UNSET = "no handler of the program's is set up in the test: set up logging there as the program does"


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The validated arguments of ``ralph.logs``."""

    event: str | re.Pattern[str] | None
    level: str | None
    fields: tuple[Field, ...]
    format: str
    when: str
    slower_than: float | None
    per: str
    scenarios: str = "auto"

    def parameters(self) -> Mapping[str, Any]:
        """The arguments for the report."""
        return {
            "event": self.event.pattern if isinstance(self.event, re.Pattern) else self.event,
            "level": self.level,
            "fields": {each.path: each.to_json() for each in self.fields},
            "format": self.format,
            "when": self.when,
            "slower_than": self.slower_than,
            "per": self.per,
        }

    @property
    def name(self) -> str:
        """What is logged, for people."""
        if self.event is None:
            return f"something at {self.level}" if self.level else "something"
        return f"a match of {self.event.pattern}" if isinstance(self.event, re.Pattern) else self.event

    @property
    def moment(self) -> str:
        """When it is logged, for people."""
        slow = duration(self.slower_than) if self.slower_than is not None else ""
        return {
            ALWAYS: "in every call",
            SUCCESS: "when the call succeeds",
            FAILURE: "when the call fails",
            SLOW: f"when an answer takes more than {slow}",
        }[self.when]

    def is_due(self, call: Call) -> bool:
        """Whether it must be logged in a call."""
        if self.when == SLOW:
            assert self.slower_than is not None
            return call.took(self.slower_than)
        return self.when in (ALWAYS, call.outcome)

    def is_out_of_place(self, call: Call) -> bool:
        """Whether an event of that name would be a lie in a call."""
        if self.event is None or self.when == ALWAYS or self.is_due(call):
            return False
        return call.outcome == FAILURE if self.when == SUCCESS else not call.troubled

    def marks(self, line: Line, other: Logs) -> bool:
        """Whether a line has what this asks for and another does not: patterns of fields, and the level."""
        mine = [each for each in self.fields if each.pattern is not None and each not in other.fields]
        told = [not each.problem(line.get) for each in mine]
        if self.level not in (None, other.level):
            told.append(line.severity == self.level)
        return bool(told) and all(told)

    def lines(self, call: Call) -> list[Line]:
        """What a call wrote to the log. What is printed counts if it can be read by names."""
        found = [read(each, self.format) for each in call.timeline.of(Written)]
        return [each for each in found if not each.written.printed or each.named or self.format == TEXT]

    def about(self, call: Call) -> list[Line]:
        """The lines that may be what is asked for: those of the event, or any at the level."""
        if self.event is None:
            return [each for each in self.lines(call) if self.level in (None, each.severity)]
        return [each for each in self.lines(call) if each.is_about(self.event)]


@overload
def logs(function: F, /) -> F: ...
@overload
def logs(
    event: str | re.Pattern[str] | None = None,
    *,
    level: str | None = None,
    fields: Iterable[str] | Mapping[str, type | str] = (),
    format: str = "json",
    when: str = "always",
    slower_than: float | str | None = None,
    per: str = "call",
    scenarios: str = "auto",
) -> Decorator[Any]: ...
def logs(
    event: Any = None,
    *,
    level: str | None = None,
    fields: Iterable[str] | Mapping[str, type | str] = (),
    format: str = "json",
    when: str = "always",
    slower_than: float | str | None = None,
    per: str = "call",
    scenarios: str = "auto",
) -> Any:
    """Require that something is logged, as a line that is really written.

    Args:
        event: The name of the event: the value of ``event``, ``message`` or ``msg`` in the line, or a word of
            a line that is prose; a compiled pattern for one that varies. None for any line.
        level: The level that the line shows: ``"DEBUG"``, ``"INFO"``, ``"WARNING"``, ``"ERROR"`` or
            ``"CRITICAL"``; None for any.
        fields: Names of fields that have a value, nested ones with dots; or a mapping from names to what
            the value must be: a type (``str``, ``int``, ``float``, ``bool``, ``list``, ``dict``, or
            ``object`` for anything, null included), or a regular expression for the whole of it. For a
            value that tells the outcome, write a marker for each, with ``when``.
        format: ``"json"`` (one object a line), ``"logfmt"`` (``name=value``) or ``"text"`` (not judged).
        when: In which calls: ``"always"``, ``"success"``, ``"failure"``, or ``"slow"``, when an answer
            takes more than ``slower_than``.
        slower_than: What counts as slow, in seconds or as text such as ``"500 ms"``.
        per: ``"call"`` for at least one line a call, ``"attempt"`` for one for each attempt at a request.
        scenarios: ``manual`` for a test that injects its own faults.

    Raises:
        MarkerError: An argument is wrong.

    Example:
        >>> import pytest_ralph as ralph
        >>> @ralph.logs("payment_attempted", fields={"amount": int, "outcome": "success"}, when="success")
        ... @ralph.logs("payment_attempted", fields={"amount": int, "outcome": "failure"}, when="failure")
        ... @ralph.logs("gateway_slow", level="WARNING", when="slow", slower_than=2)
        ... def test_charge(): ...
    """
    __tracebackhide__ = True
    function = event if callable(event) else None
    name = None if function is not None else event
    return attach(
        "logs",
        lambda: _spec(name, level, fields, format, when, slower_than, per, scenarios),
        function,
    )


def _spec(
    event: object,
    level: object,
    fields: object,
    form: object,
    when: object,
    slower_than: object,
    per: object,
    scenarios: str,
) -> Logs:
    if event is not None and not isinstance(event, re.Pattern) and not (isinstance(event, str) and event):
        raise TypeError(f"event must be the name of an event or a compiled pattern, got {event!r}")
    one_of("level", level, (None, *LEVELS))
    one_of("format", form, FORMATS)
    one_of("when", when, _WHENS)
    one_of("per", per, _PERS)
    if (when == SLOW) != (slower_than is not None):
        raise ValueError(
            f"slower_than and when='slow' need each other, got when={when!r} and slower_than={slower_than!r}"
        )
    if per == "attempt" and event is None:
        raise ValueError("per='attempt' needs the name of the event that is to be counted")
    limit = None if slower_than is None else seconds(slower_than, name="slower_than", exclusive=True)
    check_scenarios(scenarios)
    return Logs(
        event=event,
        level=level,  # type: ignore[arg-type]
        fields=fields_of("fields", fields),
        format=str(form),
        when=str(when),
        slower_than=limit,
        per=str(per),
        scenarios=scenarios,
    )


# -- what is judged ---------------------------------------------------------------------------------------


def _event_logged(spec: Logs, play: Play) -> Verdict | None:
    """The event is there in every call where it is due."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        about = spec.about(call)
        misplaced = _misplaced(spec, call, about, play)
        if misplaced:
            expected = f"{spec.name}{_marked(spec, misplaced[0])} is logged only {spec.moment}"
            observed = f"it is logged: {_line(misplaced[0], play)}"
            return failed(expected, observed, _at(misplaced[0]), play.timeline)
        if spec.is_due(call):
            problem = _missing(spec, call, about, play)
            if problem:
                return failed(f"{spec.name} is logged {spec.moment}", problem, call.location, play.timeline)
            verdict = PASSED
    return verdict


def _misplaced(spec: Logs, call: Call, about: Sequence[Line], play: Play) -> list[Line]:
    """Lines that would be a lie in a call.

    Where another marker wants the same event in the call, only those are that have the marks of this one: all
    else that is wrong with them is judged by the other.
    """
    if not spec.is_out_of_place(call):
        return []
    others = [
        each
        for each in play.beside
        if isinstance(each, Logs) and each.event == spec.event and each.is_due(call)
    ]
    return [line for line in about if all(spec.marks(line, other) for other in others)]


def _marked(spec: Logs, line: Line) -> str:
    """The values by which a line is what is asked for, for people; empty if it is so by its name alone."""
    asked = [each for each in spec.fields if each.pattern is not None]
    held = asked and not any(each.problem(line.get) for each in asked)
    return f" with {', '.join(map(str, asked))}" if held else ""


def _missing(spec: Logs, call: Call, about: Sequence[Line], play: Play) -> str:
    if not about:
        lines = spec.lines(call)
        if not lines:
            return "nothing was written to the log"
        written = "; ".join(_named(each, play) for each in lines[:3])
        more = f"; and {times(len(lines) - 3, 'more line')}" if len(lines) > 3 else ""
        return f"written was only: {written}{more}"
    logged = len({each.written.entry for each in about})
    if spec.per == "attempt" and logged != len(call.attempts):
        return f"it is logged {times(logged, 'time')} for {times(len(call.attempts), 'attempt')}"
    return ""


def _named(line: Line, play: Play) -> str:
    """A line by its event, or as it is."""
    if not line.named or not line.events:
        return _line(line, play, 70)
    return f"{short(str(hidden(line.events[0], play.secrets)), 60)!r} at {line.severity or 'no level'}"


def _level(spec: Logs, play: Play) -> Verdict | None:
    """The line shows the level."""
    return _each_due(spec, play, lambda line: _level_problem(spec, line, play), f"the level is {spec.level}")


def _level_problem(spec: Logs, line: Line, play: Play) -> str:
    if line.level == spec.level:
        return ""
    if line.level:
        return f"the level is {line.level}: {_line(line, play)}"
    return f"it was logged at {line.written.level}, but the line does not say so: {_line(line, play)}"


def _fields_there(spec: Logs, play: Play) -> Verdict | None:
    """The line has all fields."""

    def problem(line: Line) -> str:
        wrong = [problem for each in spec.fields if (problem := each.problem(line.get))]
        if not wrong:
            return ""
        names = ", ".join(names_of(line.values)) or "none"
        bare = f"; {_UNSET}" if not line.written.writer else ""
        return f"{', '.join(wrong)}; the line has {names}: {_line(line, play)}{bare}"

    return _each_due(spec, play, problem, f"the line has {', '.join(map(str, spec.fields))}")


def _each_due(spec: Logs, play: Play, problem: Callable[[Line], str], expected: str) -> Verdict | None:
    """Judge the lines in question of each call where they are due.

    With the name of an event, every line of it must be right; without, one of them.
    """
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        lines = spec.about(call)
        if not lines or not spec.is_due(call):
            continue
        wrong = [(line, text) for line in lines if (text := problem(line))]
        if wrong and (spec.event is not None or len(wrong) == len(lines)):
            # Of several lines any one of which would do, the one that was meant has the most of the fields.
            line, text = (
                wrong[0] if spec.event is not None else min(wrong, key=lambda each: _absent(spec, each[0]))
            )
            return failed(expected, text, _at(line) or call.location, play.timeline)
        verdict = PASSED
    return verdict


def _absent(spec: Logs, line: Line) -> int:
    """How many of the fields a line has not, whatever their values."""
    return sum(line.get(each.path) is None for each in spec.fields)


def _structured(spec: Logs, play: Play) -> Verdict | None:
    """Every line can be read by machines."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        for written in call.timeline.of(Written):
            line = read(written, spec.format)
            if line.problem:
                how = f"printed to {written.logger}" if written.printed else f"written by {written.logger}"
                bare = f"; {_UNSET}" if not written.printed and not written.writer else ""
                observed = f"{line.problem}: {_line(line, play)} ({how}{bare})"
                return failed(
                    f"every line is {_FORMAT_NAMES[spec.format]}", observed, _at(line), play.timeline
                )
            verdict = PASSED
    return verdict


_FORMAT_NAMES = {"json": "one JSON object", "logfmt": "pairs name=value"}


def _stack_missing(spec: Logs, play: Play) -> Verdict | None:
    """A failure is logged without its stack, or not at all although it is handled."""
    found = calls(play.timeline)
    verdict = endless(found)
    for call in found if verdict is None else ():
        if call.outcome != FAILURE:
            continue
        lines = spec.lines(call)
        errors = [each for each in lines if each.severity in ("ERROR", "CRITICAL")]
        bare = [each for each in errors if each.written.handling or (call.handled and call.broke)]
        expected = "a failure is logged with the stack of its exception"
        if bare and not any(each.has_stack for each in lines):
            observed = f"no line has a stack: {_line(bare[0], play)}"
            return failed(expected, observed, _at(bare[0]) or call.location, play.timeline)
        if call.handled and not any(each.severity in _LOUD for each in lines):
            observed = "the failure was handled, and no line at WARNING or above tells of it"
            return failed(expected, observed, call.location, play.timeline)
        verdict = PASSED
    return verdict


_LOUD = ("WARNING", "ERROR", "CRITICAL")


def _secret_logged(_: Logs, play: Play) -> Verdict | None:
    """A secret is shown somewhere."""
    verdict = None
    for call in calls(play.timeline):
        for where, text, location in _shown_texts(call):
            shown = without_sources(text)
            secret = next((each for each in play.secrets if each.is_in(shown)), None)
            if secret is not None:
                observed = f"{secret.name} is in {where}: {_around(secret, shown, play.secrets)}"
                return failed("no secret is shown", observed, location or call.location, play.timeline)
            verdict = PASSED
    return verdict


def _shown_texts(call: Call) -> Iterable[tuple[str, str, Any]]:
    """All texts of a call that others come to see."""
    for event in call.timeline:
        if isinstance(event, Written):
            yield (
                "a line of the log" if not event.printed else f"a line on {event.logger}",
                event.line,
                event.location,
            )
        elif isinstance(event, Exported):
            for metric in event.metrics:
                for series in metric.series:
                    # What was there before and did not change is none of this call's doing.
                    if series.before is None or series.delta:
                        yield "a label of a metric", f"{metric.name}{series.label_text()}", None
        elif isinstance(event, Traced):
            yield "an attribute of a span", f"{event.name} {dict(event.attributes)}", event.location
    if call.end.raised:
        yield "the text of the exception that the call raised", call.end.raised, call.end.location


def _around(secret: Secret, text: str, secrets: Sequence[Secret]) -> str:
    """What stands around a secret, without any."""
    form = next(form for form in secret.forms() if form in text)
    start = text.index(form)
    # Hidden before it is cut, or half of another secret would be left.
    before, after = hidden((text[:start], text[start + len(form) :]), secrets)
    lead = "..." if len(before) > _SHOWN // 2 else ""
    return short(f"{lead}{before[-_SHOWN // 2 :]}{hidden(form, secrets)}{after}", _SHOWN)


def _line(line: Line, play: Play, most: int = _SHOWN) -> str:
    """A line for people: without its secrets, and not too long."""
    return short(str(hidden(line.text, play.secrets)), most)


def _at(line: Line) -> Any:
    return line.written.location


def _everything(spec: Logs) -> tuple[Scenario, ...]:
    return played(spec.slower_than)


_EVENT = "nothing of that name was logged in a call where it is due: see event-logged"

SKILL = Skill(
    id="logs",
    marker="logs",
    title="says what happens, in lines that machines can read",
    phase="observability",
    measures=True,
    keep=lambda _: "what the code does, and which requests it makes with which waits",
    criteria=(
        Criterion(
            id="event-logged",
            kind="pass",
            text=lambda spec: f"{spec.name} is logged {spec.moment}",
            scenarios=_everything,
            judge=_event_logged,
            untested="no call ended in the way that this is to be logged for",
            fix=lambda spec: (
                f"Log {spec.name} {spec.moment}"
                + (", once for each attempt" if spec.per == "attempt" else "")
                + ", where it is known how the call ended: in a finally, or in both branches; and see that "
                "the level of the handler lets it through"
            ),
        ),
        Criterion(
            id="level",
            kind="pass",
            text=lambda spec: f"{spec.name} is logged at {spec.level}, and the line shows it",
            scenarios=_everything,
            judge=_level,
            applies=lambda spec: spec.level is not None,
            untested=_EVENT,
            timing=False,
            fix=lambda spec: (
                f"Log it at {spec.level}, and let the line show the level: with structlog by the processor "
                "add_log_level, with python-json-logger by %(levelname)s in the format"
            ),
        ),
        Criterion(
            id="fields",
            kind="pass",
            text=lambda spec: f"the line has the fields {', '.join(map(str, spec.fields))}",
            scenarios=_everything,
            judge=_fields_there,
            applies=lambda spec: bool(spec.fields),
            untested=_EVENT,
            timing=False,
            fix=lambda spec: (
                f"Give the line a value for each of {', '.join(map(str, spec.fields))}, also when the call "
                "fails: as keyword arguments or bound context with structlog, in extra= with logging and "
                "with a formatter that writes them"
            ),
        ),
        Criterion(
            id="structured",
            kind="pass",
            text=lambda spec: f"every line that is written is {_FORMAT_NAMES[spec.format]}",
            scenarios=_everything,
            judge=_structured,
            applies=lambda spec: spec.format != TEXT,
            untested="no line was written at all",
            timing=False,
            fix=lambda spec: (
                f"Make every line {_FORMAT_NAMES[spec.format]}: render at the end of the chain "
                "(structlog's JSONRenderer, a JSON formatter on the handler), exceptions included, and log "
                "instead of printing"
                if spec.format == JSON
                else "Make every line pairs name=value, with structlog's LogfmtRenderer or one of its kind"
            ),
        ),
        Criterion(
            id="stack-missing",
            kind="fail",
            text=lambda _: "a failure that is logged without its stack, or handled and not logged",
            scenarios=_everything,
            judge=_stack_missing,
            untested="no call failed",
            timing=False,
            fix=lambda _: (
                "Log a handled exception at ERROR with its stack: logger.exception(...) or exc_info=True in "
                "the except block, and with structlog the processor format_exc_info before the renderer "
                "(dict_tracebacks shows local variables as well)"
            ),
        ),
        Criterion(
            id="secret-logged",
            kind="fail",
            text=lambda _: "a secret in a line, in the text of an exception or in a label",
            scenarios=_everything,
            judge=_secret_logged,
            untested="nothing was written or raised that could show a secret",
            timing=False,
            fix=lambda _: (
                "Keep the secret out of what is logged, raised and counted: log an id or the last four "
                "characters, send credentials in headers rather than in URLs, and let a processor or filter "
                "redact what slips through"
            ),
        ),
    ),
)
