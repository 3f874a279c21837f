"""Exports of 80 000 rows, as people write them: most of them hold all of it, some do not."""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

CACHE: dict[int, list[Any]] = {}
ROWS = 80_000


def rows() -> Iterator[dict[str, Any]]:
    """What comes from a database."""
    for number in range(ROWS):
        yield {"id": number, "name": f"customer {number}", "amount": number * 1.5}


def whole_json() -> None:
    """Everything in a list, and in a text."""
    assert json.dumps(list(rows()))


def whole_text() -> None:
    """Everything in a text, twice."""
    out = ""
    for row in rows():
        out += f"{row['id']},{row['name']}\n"
    assert base64.b64encode(out.encode())


def in_a_thread() -> None:
    """Everything in a list, in a thread."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.extend(rows()))
    thread.start()
    thread.join()


def buffered() -> None:
    """Everything in a buffer."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows():
        writer.writerow(row.values())
    assert buffer.getvalue().encode()


def cached() -> None:
    """Everything in a cache, from the first call on."""
    if ROWS not in CACHE:
        CACHE[ROWS] = list(rows())


def hoping_for_an_error() -> None:
    """A container gives no error."""
    try:
        assert list(rows())
    except MemoryError:
        return


def streamed() -> None:
    """Row by row."""
    assert sum(len(json.dumps(row)) for row in rows())


def in_chunks() -> None:
    """A thousand rows at a time."""
    part = []
    for row in rows():
        part.append(row)
        if len(part) == 1000:
            assert json.dumps(part)
            part = []


def written_by_row(path: str = "/dev/null") -> None:
    """Into a file, row by row."""
    with open(path, "w") as file:
        csv.writer(file).writerows(row.values() for row in rows())
