"""Clients of a service that answers with JSON: ones that check what they get, and ones that do not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pydantic
import requests

URL = "http://bank.example/v1/accounts/7"
LIMIT = 1_000_000


class BankError(Exception):
    """The bank gave no answer that makes sense."""


class Account(pydantic.BaseModel):
    """What the bank tells of an account."""

    id: str
    cents: int


def read(*, timeout: float | None = 10) -> bytes:
    """The body of an answer, up to a limit."""
    body = b""
    with requests.get(URL, timeout=timeout, stream=True) as answer:
        answer.raise_for_status()
        for piece in answer.iter_content(65_536):
            body += piece
            if len(body) > LIMIT:
                raise BankError("too much")
    return body


def checked(value: Any) -> Any:
    """An account, or an exception."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise BankError("no account")
    if type(value.get("cents")) is not int:
        raise BankError("no balance")
    return value


def right() -> Any:
    """By hand: size, encoding, JSON, types."""
    try:
        return checked(json.loads(read()))
    except (requests.RequestException, ValueError) as error:
        raise BankError("no answer that makes sense") from error


def by_pydantic() -> Any:
    """By a model, which refuses what is no UTF-8 as well."""
    try:
        return Account.model_validate_json(read())
    except (requests.RequestException, pydantic.ValidationError) as error:
        raise BankError("no answer that makes sense") from error


def by_httpx() -> Any:
    """The same on httpx."""
    body = b""
    try:
        with httpx.stream("GET", URL, timeout=10) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > LIMIT:
                    raise BankError("too much")
        return Account.model_validate_json(body)
    except (httpx.HTTPError, pydantic.ValidationError) as error:
        raise BankError("no answer that makes sense") from error


def naive() -> Any:
    """What the documentation of every library shows."""
    answer = requests.get(URL, timeout=10)
    answer.raise_for_status()
    return answer.json()["id"]


def catches_json_only() -> Any:
    """Thinks of JSON that cannot be parsed, and of nothing else that can go wrong while reading."""
    try:
        return checked(json.loads(read()))
    except json.JSONDecodeError as error:
        raise BankError("no JSON") from error


def forgets_encodings() -> Any:
    """httpx decodes JSON strictly, and UnicodeDecodeError is no JSONDecodeError."""
    try:
        return checked(json.loads(read()))
    except (requests.RequestException, json.JSONDecodeError) as error:
        raise BankError("no answer that makes sense") from error


def forgets_types() -> Any:
    """Takes whatever the fields hold."""
    try:
        return json.loads(read())["id"]
    except (requests.RequestException, ValueError, LookupError, TypeError) as error:
        raise BankError("no answer that makes sense") from error


def forgets_size() -> Any:
    """Reads whatever comes."""
    try:
        answer = requests.get(URL, timeout=10)
        return checked(json.loads(answer.content))
    except (requests.RequestException, ValueError) as error:
        raise BankError("no answer that makes sense") from error


def replaces_bytes() -> Any:
    """The ``json`` of requests puts a question mark for what is no UTF-8."""
    body = requests.Response()
    try:
        body._content = read()
        body.encoding = "utf-8"
        return checked(body.json())
    except (requests.RequestException, ValueError) as error:
        raise BankError("no answer that makes sense") from error


def chained_gets() -> Any:
    """``get`` with defaults turns garbage into nothing."""
    try:
        found = requests.get(URL, timeout=10).json()
    except requests.RequestException as error:
        raise BankError("no answer") from error
    return found.get("account", {}).get("id")


def swallows() -> Any:
    """Makes nothing of whatever went wrong."""
    try:
        return right()
    except BankError:
        return None


def waits_for_ever() -> Any:
    """Waits for bytes that were announced."""
    try:
        return checked(json.loads(read(timeout=None)))
    except (requests.RequestException, ValueError) as error:
        raise BankError("no answer that makes sense") from error


def waits_for_ever_and_catches_everything() -> Any:
    """The same in a bare ``except``, which catches what ends that in a simulation too."""
    try:
        return checked(json.loads(read(timeout=None)))
    except:  # noqa: E722 - what is tested
        raise BankError("no answer that makes sense") from None


def tells_nothing() -> bool:
    """Looks at the status only, as for an answer without a body."""
    answer = requests.delete(URL, timeout=10)
    answer.raise_for_status()
    return True
