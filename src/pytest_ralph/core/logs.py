"""What the log says of a retry or a fallback."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable

from pytest_ralph.core.timeline import Logged

# What HTTP clients say of every request they make is no word on a retry.
_CHATTER = ("urllib3", "httpx", "httpcore", "httpx2", "httpcore2", "requests", "botocore", "boto3", "h11")
# Neither is it one on a fallback, nor is what SDKs and event loops say of themselves.
_CLIENTS = (*_CHATTER, "aiohttp", "asyncio", "anthropic", "openai", "redis", "stripe", "twilio")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# A number that is a duration ("in 2 s"), part of a larger number or of a name is no attempt number.
_NUMBER = re.compile(
    r"(?<![\w.:-])(\d+)(?:st|nd|rd|th)?(?![\w.:]|\s*(?:s|sec|secs|second|seconds|ms|milliseconds)\b)"
)
# "in 2", "backing off for 2", "sleep=2": a wait, whatever its unit. "after 2 attempts" is none.
_WAITS = re.compile(
    r"\b(?:in|for|after|wait\w*|sleep\w*|delay\w*|back\w*(?:[ -]?off)?)\s*[:=]?\s*\d+(?:\.\d+)?\b"
    r"(?!\s*(?:attempt|tr(?:y|ies)|retr|fail))",
    re.IGNORECASE,
)
_DURATION_FIELDS = re.compile(
    r"(sleep|wait|delay|backoff|duration|seconds|_s$|_ms$|status|code)", re.IGNORECASE
)


def level_number(name: str) -> int:
    """The number of a standard level name; 0 for an unknown one."""
    number = logging.getLevelName(name)
    return number if isinstance(number, int) else 0


def check_level(value: object, name: str = "log_level") -> str:
    """Check an argument that is the name of a level.

    Raises:
        ValueError: There is no such level.
    """
    if value not in LEVELS:
        raise ValueError(f"{name} must be one of {', '.join(LEVELS)}, got {value!r}")
    return str(value)


def not_of_clients(records: Iterable[Logged]) -> list[Logged]:
    """The records that HTTP clients, SDKs and event loops did not write of their own accord."""
    return [record for record in records if record.logger.split(".")[0] not in _CLIENTS]


def about_retries(records: Iterable[Logged]) -> list[Logged]:
    """The records that may speak of a retry: not the chatter of HTTP clients, not debugging."""
    return [
        record
        for record in records
        if level_number(record.level) >= logging.WARNING
        or (level_number(record.level) >= logging.INFO and record.logger.split(".")[0] not in _CHATTER)
    ]


def numbers(record: Logged) -> Counter[int]:
    """The numbers in a record that can be an attempt's, in its message and its fields, and how often."""
    found = Counter(int(match) for match in _NUMBER.findall(_WAITS.sub("", _prose(record.message))))
    for name, value in _fields(record).items():
        if value.isdigit() and not _DURATION_FIELDS.search(name):
            found[int(value)] += 1
    return found


def _fields(record: Logged) -> dict[str, str]:
    return {**record.fields, **_json(record.message)}


def _prose(message: str) -> str:
    return "" if _json(message) else message


def _json(message: str) -> dict[str, str]:
    if not message.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(message)
    except ValueError:
        return {}
    return {str(key): str(each) for key, each in value.items()} if isinstance(value, dict) else {}
