"""Payment clients with the right timeouts, and with wrong ones."""

from __future__ import annotations

import time

import requests

URL = "http://api.pay.example/v1/charges"


def right() -> None:
    """Ten seconds for connecting and for reading."""
    requests.post(URL, json={}, timeout=10)


def none() -> None:
    """The default of requests: none."""
    requests.post(URL, json={})


def too_long() -> None:
    """Thirty seconds for the answer."""
    requests.post(URL, json={}, timeout=(10, 30))


def too_short() -> None:
    """Two seconds for the answer."""
    requests.post(URL, json={}, timeout=(10, 2))


def slow_to_connect() -> None:
    """Thirty seconds to connect."""
    requests.post(URL, json={}, timeout=(30, 10))


def never_gives_up_connecting() -> None:
    """No limit to connect, and so that of the operating system."""
    requests.post(URL, json={}, timeout=(None, 10))


def reads_for_ever() -> None:
    """A limit to connect only."""
    requests.post(URL, json={}, timeout=(10, None))


def no_total() -> None:
    """Each attempt is limited; how many there are is, too; the whole is not what was asked for."""
    for attempt in range(5):
        try:
            requests.post(URL, json={}, timeout=10)
            return
        except requests.exceptions.RequestException:
            time.sleep(attempt)


def with_total() -> None:
    """Reads the answer in pieces and looks at the clock: 25 s for everything."""
    deadline = time.monotonic() + 25
    while True:
        try:
            with requests.post(URL, json={}, timeout=10, stream=True) as answer:
                for _ in answer.iter_content(1):
                    if time.monotonic() > deadline:
                        raise TimeoutError("too slow")
            return
        except requests.exceptions.Timeout:
            if time.monotonic() + 10 > deadline:
                raise
