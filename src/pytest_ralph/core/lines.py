"""Lines of a log as whoever reads them in production sees them: what they can be read as, and what they say.

A line is read as JSON or as pairs ``name=value`` (logfmt), and asked for its event, its level and its
fields under the names that logging libraries give them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_ralph.core.timeline import Written

JSON, LOGFMT, TEXT = "json", "logfmt", "text"
FORMATS = (JSON, LOGFMT, TEXT)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LEVELS = {
    **{level.lower(): level for level in LEVELS},
    "trace": "DEBUG",
    "success": "INFO",
    "notice": "INFO",
    "informational": "INFO",
    "warn": "WARNING",
    "err": "ERROR",
    "exception": "ERROR",
    "fatal": "CRITICAL",
    "alert": "CRITICAL",
    "emergency": "CRITICAL",
    # The numbers of the standard library, which most libraries for JSON share.
    **{str(number): level for number, level in zip((10, 20, 30, 40, 50), LEVELS, strict=True)},
}
# Names for the same thing in structlog, python-json-logger, loguru, ECS, OpenTelemetry and cloud loggers.
_LEVEL_NAMES = (
    "level",
    "levelname",
    "severity",
    "severity_text",
    "log_level",
    "loglevel",
    "lvl",
    "log.level",
    "level_name",
    "record.level.name",
)
_EVENT_NAMES = (
    "event",
    "message",
    "msg",
    "event_name",
    "event.name",
    "event.action",
    "record.message",
    "text",
)
# Where loguru puts what was bound.
_ENVELOPE = "record.extra"

_PAIR = re.compile(r'(?<![\w.-])([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|[^\s,;]*)')
_STACK = re.compile(r'Traceback \(most recent call last\)|File "[^"\n]+", line \d+|"frames": ?\[')


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line as it can be read.

    Attributes:
        written: The event on the timeline.
        values: What it says, by name.
        named: Whether all of it is by name, as in JSON, and none of it prose.
        problem: Why it is not what its format asks for; empty if it is.
    """

    written: Written
    values: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False
    problem: str = ""

    @property
    def level(self) -> str:
        """The level that it shows; empty if it shows none."""
        for name in _LEVEL_NAMES:
            found = _LEVELS.get(str(self.get(name, "")).lower())
            if found is not None:
                return found
        logged = self.written.level
        if not self.named:
            shown = re.search(rf"(?<![A-Za-z]){re.escape(logged)}(?![A-Za-z])", self.text, re.IGNORECASE)
            return logged if logged and shown else ""
        return ""

    @property
    def severity(self) -> str:
        """The level that it shows, or else the one that it was logged at."""
        return self.level or self.written.level

    @property
    def text(self) -> str:
        """The whole line."""
        return self.written.line

    @property
    def events(self) -> tuple[str, ...]:
        """What may be the name of its event."""
        found = (self.get(name) for name in _EVENT_NAMES)
        return tuple(dict.fromkeys(str(each).strip() for each in found if isinstance(each, str)))

    @property
    def has_stack(self) -> bool:
        """Whether it shows the stack of an exception."""
        text = self.text.replace('\\"', '"')
        return _STACK.search(text) is not None

    def is_about(self, event: str | re.Pattern[str]) -> bool:
        """Whether it tells of an event: by its name, or in prose as a word of it."""
        if isinstance(event, re.Pattern):
            return any(event.fullmatch(each) for each in self.events) or (
                not self.named and event.search(self.text) is not None
            )
        if event in self.events:
            return True
        word = rf"(?<![\w.-]){re.escape(event)}(?![\w-])"
        return not self.named and re.search(word, self.text) is not None

    def get(self, path: str, default: Any = None) -> Any:
        """The value under a name, or under names with dots between them."""
        found = _find(self.values, path, default)
        return _find(self.values, f"{_ENVELOPE}.{path}", default) if found is default else found


def _find(values: Any, path: str, default: Any) -> Any:
    if isinstance(values, Mapping):
        if path in values:
            return values[path]
        for end in (position for position, letter in enumerate(path) if letter == "."):
            inner = values.get(path[:end])
            if isinstance(inner, (Mapping, list)):
                found = _find(inner, path[end + 1 :], default)
                if found is not default:
                    return found
    elif isinstance(values, list):
        first, _, rest = path.partition(".")
        if first.isdigit() and int(first) < len(values):
            inner = values[int(first)]
            return _find(inner, rest, default) if rest else inner
    return default


def read(written: Written, form: str) -> Line:
    """Read a line.

    Args:
        written: The line.
        form: ``json``, ``logfmt`` or ``text``, which it ought to be.
    """
    values, problem = _json(written.line)
    named = values is not None
    if values is None:
        values = {name: _plain(value) for name, value in _PAIR.findall(written.line)}
    if form == LOGFMT:
        rest = _PAIR.sub("", written.line).strip()
        many = "\n" in written.line.strip()
        problem = "not all of it is pairs name=value on one line" if named or rest or many else ""
    return Line(written=written, values=values, named=named, problem="" if form == TEXT else problem)


def _json(text: str) -> tuple[Mapping[str, Any] | None, str]:
    """What a line says as JSON, if it is, and what is wrong with that."""
    strange: list[str] = []
    try:
        value = json.loads(text, parse_constant=strange.append)
    except RecursionError:
        return None, "it is nested too deeply to be read"
    except ValueError:
        return None, "it is not JSON"
    if not isinstance(value, dict):
        return None, "it is JSON, but no object"
    if strange:
        return value, f"{strange[0]} is not JSON (RFC 8259, section 6)"
    if "\n" in text.strip():
        return value, "the JSON is spread over several lines, and each is read as a record of its own"
    return value, ""


def _plain(value: str) -> Any:
    """The value of a pair: a number where it looks like one."""
    if value[:1] == '"':
        try:
            return json.loads(value)
        except ValueError:
            return value[1:-1]
    try:
        return json.loads(value, parse_constant=str)
    except ValueError:
        return value.strip("'")


def names_of(values: Mapping[str, Any], most: int = 12) -> Iterator[str]:
    """The names that a line has, for people."""
    inner = values.get("record")
    extra = inner.get("extra") if isinstance(inner, Mapping) else None
    found: Sequence[str] = [*values, *(f"{_ENVELOPE}.{name}" for name in extra or ())]
    yield from found[:most]
    if len(found) > most:
        yield "..."
