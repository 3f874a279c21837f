"""Code whose cost grows with the amount of data in all kinds of ways."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import sys

import requests

_FORK = multiprocessing.get_context("fork")
URL = "http://api.pay.example/v1/charges"


def linear(n: int) -> int:
    """Looks at everything a few times."""
    return sum(number * number % 7 for number in range(n))


def sorting(n: int) -> int:
    """Sorts what is in no order."""
    return len(sorted(((number * 7919) % n for number in range(n)), key=lambda each: -each))


def quadratic(n: int) -> int:
    """Looks through all it has seen for each element."""
    seen: list[int] = []
    for number in range(n):
        if number not in seen:
            seen.append(number)
    return len(seen)


def quadratic_elsewhere(n: int) -> None:
    """The same in a process of its own."""
    process = _FORK.Process(target=quadratic, args=(n,))
    process.start()
    process.join()


@functools.cache
def _counted(numbers: tuple[int, ...]) -> int:
    return quadratic(len(numbers))


def quadratic_once(n: int) -> int:
    """Keeps what it has found out, and takes some time to see that it has."""
    assert sum(hash(str(number)) for number in range(n) for _ in range(8))
    return _counted(tuple(range(n)))


def by_set(n: int) -> int:
    """The same with a set."""
    seen: set[int] = set()
    for number in range(n):
        if number not in seen:
            seen.add(number)
    return len(seen)


def keeps_all(n: int) -> int:
    """A list of everything."""
    return len([str(number) for number in range(n)])


def in_pieces(n: int) -> int:
    """Never more than a piece of fixed size."""
    return sum(len([str(number) for number in range(4_000)]) for _ in range(n // 4_000))


def all_pairs(n: int) -> int:
    """A table of everything against everything."""
    return len([[column % 7 for column in range(n)] for _ in range(n)])


def constant(n: int) -> int:
    """Takes hardly any time."""
    return n


def recursive(n: int) -> int:
    """One call for each element."""
    return 0 if n == 0 else 1 + recursive(n - 1)


def recursive_without_limit(n: int) -> int:
    """The usual way to be rid of the error."""
    sys.setrecursionlimit(10**6)
    return 0 if n == 0 else linear(100) + recursive_without_limit(n - 1)


def raises_the_limit(n: int) -> int:
    """For something else: nothing here is as deep as the data."""
    sys.setrecursionlimit(3_000)
    return linear(n)


def refuses_much(n: int) -> int:
    """Has a limit of its own."""
    if n > 100_000:
        raise ValueError("too many")
    return linear(n)


def one_by_one(n: int) -> None:
    """The N+1 problem."""
    requests.post(URL, json={"ids": n}, timeout=10)
    for number in range(n):
        requests.post(URL, json={"id": number}, timeout=10)


def all_at_once(n: int) -> None:
    """One request for all."""
    requests.post(URL, json={"ids": list(range(n))}, timeout=10)


SESSION = requests.Session()


def page_by_page(n: int) -> None:
    """Asks for each element, and keeps nothing of the answers."""
    for number in range(n):
        SESSION.post(URL, json={"id": number}, timeout=10)


def all_pages(n: int) -> int:
    """The same, and keeps the answers until it has them all."""
    return len([SESSION.post(URL, json={"id": number}, timeout=10) for number in range(n)])


def lists_first(n: int) -> None:
    """Makes a list of what there is, and lets go of it before it asks for each."""
    assert len([str(number) * 2_000 for number in range(n)]) == n
    page_by_page(n)


def logs_each(n: int) -> None:
    """Has something to say about each element, and keeps none."""
    for number in range(n):
        logging.getLogger(__name__).warning("skipped %d", number)
