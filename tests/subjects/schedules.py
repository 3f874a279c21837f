"""A client that survives every schedule of faults, and ones that some schedule breaks."""

from __future__ import annotations

import threading
import time
import uuid

import requests

URL = "http://api.pay.example/v1/charges"


class PaymentError(Exception):
    """The charge could not be made."""


def charge(*, key: str | None, attempts: int = 4, timeout: float | None = 10, trusts: bool = False) -> str:
    """Try several times, and take no answer but a right one."""
    headers = {} if key is None else {"Idempotency-Key": key}
    for attempt in range(attempts):
        try:
            answer = requests.post(URL, json={"amount": 100}, headers=headers, timeout=timeout)
            if answer.status_code < 400:
                return str(answer.json()["id"]) if trusts else checked(answer)
            if answer.status_code < 500 and answer.status_code != 429:
                raise PaymentError(answer.status_code)
        except requests.RequestException:
            pass
        if attempt < attempts - 1:
            time.sleep(2**attempt)
    raise PaymentError("gave up")


def checked(answer: requests.Response) -> str:
    """The id, if there is one."""
    data = answer.json()
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        raise PaymentError("not an answer")
    return str(data["id"])


def right() -> str:
    """One key for all attempts."""
    return charge(key=str(uuid.uuid4()))


def without_key() -> str:
    """A lost answer charges twice."""
    return charge(key=None)


def trusting() -> str:
    """Takes what comes for an answer: KeyError, or a wrong one."""
    return charge(key=str(uuid.uuid4()), trusts=True)


def persistent() -> str:
    """Tries six times."""
    return charge(key=str(uuid.uuid4()), attempts=6)


def patient() -> str:
    """Waits half a minute for each answer."""
    return charge(key=str(uuid.uuid4()), timeout=30)


def endless() -> str:
    """Waits for ever."""
    return charge(key=str(uuid.uuid4()), timeout=None)


outbox: list[str] = []


def kept_for_later() -> str:
    """What could not be sent is sent by the next call, as a new order, though it may have arrived."""
    found = ""
    outbox.append("order")
    while outbox:
        found = charge(key=str(uuid.uuid4()), attempts=1)
        outbox.pop()
    return found


kept: dict[str, str] = {}


def kept_with_its_key() -> str:
    """What could not be sent is sent by the next call, as the same order."""
    found = ""
    kept[str(uuid.uuid4())] = "order"
    for key in list(kept):
        found = charge(key=key, attempts=1)
        del kept[key]
    return found


_lock = threading.Lock()


def keeps_the_lock() -> str:
    """Where an attempt fails, the lock is never released, and the next call waits for it."""
    _lock.acquire()
    found = charge(key=str(uuid.uuid4()), attempts=1)
    _lock.release()
    return found


last = ["ch_0"]


def stale() -> str:
    """When it is throttled twice in a row, it gives an old charge for a new one."""
    key = str(uuid.uuid4())
    try:
        return charge(key=key, attempts=1)
    except PaymentError:
        answer = requests.post(URL, json={"amount": 100}, timeout=10, headers={"Idempotency-Key": key})
        if answer.status_code == 429:
            return last[0]
        raise
    except requests.RequestException as error:
        raise PaymentError("gave up") from error
