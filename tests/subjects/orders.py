"""Payment clients that send an idempotency key as they should, and ones that do not."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import requests
import tenacity

URL = "http://api.pay.example/v1/charges"
RECEIPTS = "http://api.pay.example/v1/receipts"
HEADER = "Idempotency-Key"

ORDER = {"amount": 100, "currency": "usd"}
LOST = (requests.ConnectionError, requests.Timeout)


class ServerError(Exception):
    """The service answered with status 5xx."""


def new_key() -> str:
    """A key that nobody else has."""
    return str(uuid.uuid4())


def send(key: str | None, url: str = URL, header: str = HEADER, method: str = "POST") -> None:
    """One attempt."""
    headers = {} if key is None else {header: key}
    answer = requests.request(method, url, json=ORDER, headers=headers, timeout=10)
    if answer.status_code >= 500:
        raise ServerError(answer.status_code)
    answer.raise_for_status()


def retried(
    attempt: Callable[[int], None], errors: tuple[type[Exception], ...] = (*LOST, ServerError)
) -> None:
    """Three retries."""
    for number in range(4):
        try:
            return attempt(number)
        except errors:
            if number == 3:
                raise
            time.sleep(2**number)
    return None


def right(header: str = HEADER, method: str = "POST") -> None:
    """One key, made before the first attempt."""
    key = new_key()
    retried(lambda _: send(key, header=header, method=method))


def by_threads() -> None:
    """The same, with a thread for each attempt."""
    key = new_key()

    def attempt(_: int) -> None:
        failures: list[Exception] = []

        def run() -> None:
            try:
                send(key)
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    retried(attempt)


def none() -> None:
    """No key at all."""
    retried(lambda _: send(None))


def empty() -> None:
    """A header with nothing in it."""
    retried(lambda _: send(""))


def none_on_receipt() -> None:
    """A key for the charge, and none for the receipt after it."""
    right()
    send(None, RECEIPTS)


def new_on_each_attempt() -> None:
    """The key is made inside of what is retried."""
    retried(lambda _: send(new_key()))


def new_on_each_attempt_but_only_after_503() -> None:
    """The same, where only a refused order is tried again."""
    retried(lambda _: send(new_key()), errors=(ServerError,))


def dropped_on_last_attempt() -> None:
    """The last retry, after refusals only, goes without."""
    key = new_key()
    retried(lambda number: send(key if number < 3 else None), errors=(ServerError,))


def never_retries() -> None:
    """A key, and a single attempt."""
    send(new_key())


def sent_again_from_a_thread() -> None:
    """After a loss a thread sends the order again, as a new one."""
    key = new_key()
    try:
        retried(lambda _: send(key), errors=(ServerError,))
    except LOST:
        thread = threading.Thread(target=send, args=(new_key(),))
        thread.start()
        thread.join()


def hedged() -> None:
    """What takes longer than 2 s is sent once more beside the first, as a new order."""
    key = new_key()
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(retried, lambda _: send(key))]
        done, _ = wait(sent, timeout=2)
        if not done:
            sent.append(pool.submit(send, new_key()))
            done, _ = wait(sent, return_when=FIRST_COMPLETED)
        done.pop().result()


CONSTANT = new_key()


def constant() -> None:
    """The key is made when the module is loaded."""
    retried(lambda _: send(CONSTANT))


def keeps_trying(**headers: str) -> requests.Session:
    """A session that tries again by itself, as urllib3 does it."""
    again = requests.adapters.Retry(
        total=3, backoff_factor=1, status_forcelist=(500, 502, 503, 504), allowed_methods=None
    )
    session = requests.Session()
    session.headers.update(headers)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))
    return session


def by_urllib3() -> None:
    """The transport repeats the request as it is, key included."""
    with keeps_trying() as session:
        session.post(URL, json=ORDER, headers={HEADER: new_key()}, timeout=10).raise_for_status()


session = keeps_trying(**{HEADER: new_key()})


def of_a_session() -> None:
    """The key is a default of the session, and the same for all that is ever sent by it."""
    session.post(URL, json=ORDER, timeout=10).raise_for_status()


def new_on_each_attempt_of_the_first() -> None:
    """Two charges; the retries of the first have new keys."""
    new_on_each_attempt()
    right()


def of_the_payload() -> None:
    """The key is a hash of what is ordered: the second equal order is none."""
    key = hashlib.sha256(json.dumps(ORDER).encode()).hexdigest()
    retried(lambda _: send(key))


def of_the_second() -> None:
    """The key is the time, in seconds."""
    key = f"order-{int(time.time())}"
    retried(lambda _: send(key))


def of_a_seed() -> None:
    """The key is random, and begins anew each time."""
    key = f"{random.Random(42).getrandbits(128):032x}"
    retried(lambda _: send(key))


def of_random() -> None:
    """The key is drawn from the shared generator."""
    key = f"{random.getrandbits(128):032x}"
    retried(lambda _: send(key))


def of(order: object) -> None:
    """The key is that of the order that the caller names."""
    retried(lambda _: send(f"order-{order}"))


def batch() -> None:
    """Two charges under one key."""
    key = new_key()
    for _ in range(2):
        retried(lambda _: send(key))


def two_of_a_kind() -> None:
    """Two charges, each with its key."""
    right()
    right()


def is_worth_another_try(error: BaseException) -> bool:
    """Whether a failure may pass."""
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
    return isinstance(error, httpx.TransportError) or status >= 500


policy = tenacity.retry(
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_exponential(),
    retry=tenacity.retry_if_exception(is_worth_another_try),
    reraise=True,
)


@policy
def tenacity_inside() -> None:
    """The well-known mistake: tenacity calls this function, and with it the maker of the key, again."""
    answer = httpx.post(URL, json=ORDER, headers={HEADER: str(uuid.uuid4())}, timeout=10)
    answer.raise_for_status()


def tenacity_outside() -> None:
    """The key is passed to what tenacity retries."""
    key = str(uuid.uuid4())

    @policy
    def attempt() -> None:
        httpx.post(URL, json=ORDER, headers={HEADER: key}, timeout=10).raise_for_status()

    attempt()


def add_key(request: httpx.Request) -> None:
    """A hook that runs for every request, and so for every retry."""
    request.headers[HEADER] = new_key()


def by_event_hook() -> None:
    """The key is added where the request is sent."""

    @policy
    def attempt() -> None:
        with httpx.Client(timeout=10, event_hooks={"request": [add_key]}) as client:
            client.post(URL, json=ORDER).raise_for_status()

    attempt()
