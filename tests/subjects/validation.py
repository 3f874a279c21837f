"""Payment clients that check their input as they should, and as people write it."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic
import requests

URL = "http://api.pay.example/v1/charges"
log = logging.getLogger("payments")


def send(amount: Any, token: Any) -> dict[str, Any]:
    answer = requests.post(URL, json={"amount": str(amount), "token": str(token)}, timeout=10)
    answer.raise_for_status()
    return {**answer.json(), "amount": amount}


def check_amount(amount: Any) -> None:
    if type(amount) is not int or not 0 < amount <= 10**9:
        raise ValueError(f"amount is not a whole number of cents: {amount!r}")


def check_token(token: Any) -> None:
    if not isinstance(token, str) or not token.isascii() or not token.replace("_", "").isalnum():
        raise ValueError("token is not one")
    if len(token) > 100:
        raise ValueError("token is too long")


# -- hardened -----------------------------------------------------------------------------------------------


def right(amount: Any, token: Any) -> dict[str, Any]:
    """Checks type and range of both, then sends."""
    check_amount(amount)
    check_token(token)
    return send(amount, token)


class Charge(pydantic.BaseModel):
    """A model does the checking; its ValidationError is a ValueError."""

    model_config = pydantic.ConfigDict(strict=True)
    amount: int = pydantic.Field(gt=0, le=10**9)
    token: str = pydantic.Field(pattern=r"\A[a-zA-Z0-9_]{1,100}\z")


def with_model(amount: Any, token: Any) -> dict[str, Any]:
    """Lets pydantic check."""
    charge = Charge(amount=amount, token=token)
    return send(charge.amount, charge.token)


def in_decimals(amount: Any, token: Any) -> dict[str, Any]:
    """Takes Decimal and int, to the cent."""
    if type(amount) not in (int, Decimal) or not Decimal(amount).is_finite():
        raise ValueError("amount is not a number")
    if not 0 < amount <= 10**6 or Decimal(amount).quantize(Decimal("0.01")) != amount:
        raise ValueError("amount is not an amount of money")
    check_token(token)
    return send(amount, token)


async def right_async(amount: Any, token: Any) -> dict[str, Any]:
    """The same for callers that await."""
    return right(amount, token)


def logs_rejections(amount: Any, token: Any) -> dict[str, Any]:
    """Logs and prints what it rejects: neither is an effect."""
    try:
        return right(amount, token)
    except ValueError:
        log.warning("rejected %r %r", amount, token)
        print("rejected", amount, token)
        raise


def to_log_file(amount: Any, token: Any) -> dict[str, Any]:
    """Opens its log file when the first record comes: that is logging, not an effect."""
    handler = logging.FileHandler("payments.log", delay=True)
    log.addHandler(handler)
    try:
        return logs_rejections(amount, token)
    finally:
        log.removeHandler(handler)
        handler.close()


# -- careless -----------------------------------------------------------------------------------------------


def forgets_nan(amount: Any, token: Any) -> dict[str, Any]:
    """Compares, and so takes NaN and the infinite."""
    if amount <= 0:
        raise ValueError("amount must be positive")
    check_token(token)
    return send(amount, token)


def forgets_token(amount: Any, token: Any) -> dict[str, Any]:
    """Checks one of the two."""
    check_amount(amount)
    return send(amount, token)


def validates_afterwards(amount: Any, token: Any) -> dict[str, Any]:
    """Checks what it has sent."""
    answer = send(100, "tok")
    check_amount(amount)
    check_token(token)
    return answer


def connects_first(amount: Any, token: Any) -> dict[str, Any]:
    """Opens the connection before it checks."""
    socket.create_connection(("api.pay.example", 80), timeout=10).close()
    return right(amount, token)


def asserts(amount: Any, token: Any) -> dict[str, Any]:
    """Checks with assert."""
    check_token(token)
    assert type(amount) is int
    assert 0 < amount <= 10**9
    return send(amount, token)


def wrong_exception(amount: Any, token: Any) -> dict[str, Any]:
    """Raises what no caller expects."""
    check_token(token)
    try:
        check_amount(amount)
    except ValueError:
        raise KeyError("amount") from None
    return send(amount, token)


def exits(amount: Any, token: Any) -> dict[str, Any]:
    """Ends the program, as scripts do."""
    check_token(token)
    try:
        check_amount(amount)
    except ValueError as error:
        sys.exit(str(error))
    return send(amount, token)


def logs_and_goes_on(amount: Any, token: Any) -> dict[str, Any]:
    """Notes it, and charges all the same."""
    try:
        check_amount(amount)
        check_token(token)
    except ValueError as error:
        log.error("invalid: %s", error)
    return send(amount, token)


def returns_nothing(amount: Any, token: Any) -> dict[str, Any] | None:
    """Takes None for an answer that says it."""
    with contextlib.suppress(ValueError):
        return right(amount, token)
    return None


def coerces(amount: Any, token: Any) -> dict[str, Any]:
    """Makes a number of whatever it gets."""
    check_token(token)
    try:
        number = int(amount)
    except (TypeError, OverflowError):
        raise ValueError("amount is not a number") from None
    check_amount(number)
    return send(number, token)


def rounds(amount: Any, token: Any) -> dict[str, Any]:
    """Forgets that a number may have too many places."""
    check_token(token)
    if type(amount) not in (int, float) or not math.isfinite(amount) or not 0 < amount <= 10**9:
        raise ValueError("amount is not an amount")
    return send(amount, token)


def audits_first(amount: Any, token: Any) -> dict[str, Any]:
    """Writes down what comes in before it looks at it."""
    with Path("audit.log").open("a", encoding="utf-8") as file:
        file.write(json.dumps(repr(amount)))
    return right(amount, token)


def asks_a_tool_first(amount: Any, token: Any) -> dict[str, Any]:
    """Starts a process with what comes in."""
    subprocess.run(["true", repr(amount)[:20].replace("\x00", "")], check=True)
    return right(amount, token)


def reports_rejections(amount: Any, token: Any) -> dict[str, Any]:
    """Tells the service of everything it rejects."""
    try:
        check_amount(amount)
        check_token(token)
    except ValueError:
        send(1, "rejected")
        raise
    return send(amount, token)


def too_strict(amount: Any, token: Any) -> dict[str, Any]:
    """Rejects what is valid."""
    check_token(token)
    if type(amount) is not int or not 0 < amount <= 150:
        raise ValueError("amount is not valid")
    return send(amount, token)


_rejected: list[Any] = []


def locks_out(amount: Any, token: Any) -> dict[str, Any]:
    """Rejects everything once it has rejected something."""
    if _rejected:
        raise ValueError("too many wrong attempts")
    try:
        return right(amount, token)
    except ValueError:
        _rejected.append(amount)
        raise
