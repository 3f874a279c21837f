"""What must never be shown, to whoever reads logs and metrics or the report: which texts, and where they are.

Known are the values that a test declares, and the credentials that its requests carry.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from pytest_ralph.core.timeline import Requested, Timeline

# Of a secret that was cut off, a beginning of so many characters is hidden as well.
_BEGINNING = 4
# What a request carries may be a placeholder such as "Bearer test".
_SHORTEST_SENT = 6
_HIDDEN = "<secret>"

_KEY_HEADER = re.compile(
    r"(?i)^(?:proxy-authorization|authorization|cookie|(?:x[-_])?(?:[\w-]+[-_])?(?:api|access|auth|secret)"
    r"[-_]?(?:key|token|secret)|x-auth|x-token|private-token|apikey)$"
)
_KEY_PARAMETER = re.compile(
    r"(?i)^(?:[\w-]*[-_])?(?:api[-_]?key|access[-_]?token|secret|password|sig|signature)$"
)

# A frame of a traceback and the line of code below it, also where a JSON string holds them.
_SOURCE = re.compile(r"""(File \\?"[^"\\\n]+\\?", line \d+, in [^\n\\]+(?:\n|\\n)[ ]+)((?:(?!\\n|\n).)*)""")


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A text that must not be shown.

    Attributes:
        value: The text.
        name: What it is, for people.
    """

    value: str
    name: str

    def is_in(self, text: str) -> bool:
        """Whether a text shows it, as it is or as it is written in JSON, in a URL or in base64."""
        return any(form in text for form in self.forms())

    def forms(self) -> tuple[str, ...]:
        """How it may be written, the longest first."""
        value = self.value
        found = {
            value,
            json.dumps(value)[1:-1],
            repr(value)[1:-1],
            quote(value, safe=""),
            quote_plus(value),
            base64.b64encode(value.encode()).decode(),
        }
        return tuple(sorted(found, key=lambda each: (-len(each), each)))


def without_sources(text: str) -> str:
    r"""Text without the lines of code that tracebacks in it show: what stands there is no value.

    Example:
        >>> without_sources('File "pay.py", line 3, in pay\n    charge("tok_visa")\nValueError: no')
        'File "pay.py", line 3, in pay\n    ...\nValueError: no'
    """
    return _SOURCE.sub(r"\1...", text)


def declared(values: Iterable[str]) -> tuple[Secret, ...]:
    """The secrets that a test names."""
    return tuple(Secret(value=value, name="a declared secret") for value in dict.fromkeys(values))


def sent(timeline: Timeline) -> tuple[Secret, ...]:
    """The credentials that requests carry, in their headers and in their URLs."""
    found: dict[str, Secret] = {}
    for request in timeline.of(Requested):
        for value, name in (*_in_headers(request.headers), *_in_target(request.target)):
            if len(value) >= _SHORTEST_SENT:
                found.setdefault(value, Secret(value=value, name=name))
    return tuple(found.values())


def _in_headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if not _KEY_HEADER.match(name):
            continue
        shown = f"the value of the header {name.title()} that was sent"
        if name.lower() == "cookie":
            for part in value.split(";"):
                yield part.partition("=")[2].strip(), shown
            continue
        scheme, _, credentials = value.partition(" ")
        yield (credentials or scheme).strip(), shown
        if scheme.lower() == "basic":
            yield _password(credentials), "the password that was sent in the header Authorization"


def _password(credentials: str) -> str:
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    user, _, password = pair.partition(":")
    return password or user


def _in_target(target: str) -> Iterator[tuple[str, str]]:
    for name, value in parse_qsl(urlsplit(target).query):
        if _KEY_PARAMETER.match(name):
            yield value, f"the parameter {name} that was sent"


def hidden(value: Any, secrets: Iterable[Secret]) -> Any:
    """Plain data with every secret in it replaced."""
    forms = [form for secret in secrets for form in secret.forms()]
    return _hidden(value, sorted(forms, key=len, reverse=True)) if forms else value


def _hidden(value: Any, forms: list[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = _cut_off(value.replace(form, _HIDDEN), form)
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(each, forms) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_hidden(each, forms) for each in value)
    return value


def _cut_off(text: str, form: str) -> str:
    """Text without the beginning of a secret that was shortened in the middle of it."""
    if "..." in text:
        for length in range(len(form) - 1, _BEGINNING - 1, -1):
            text = text.replace(f"{form[:length]}...", f"{_HIDDEN}...")
    return text
