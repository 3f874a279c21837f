"""Finds the lines of the user's code that hold most memory at its peak, by memray where it is installed.

That is done in a run of its own, after one that has used too much. `culprits` does the same without memray.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_ralph.core.location import Location, Locator

TOOL = "memray"


def available() -> bool:
    """Whether memray is installed."""
    return importlib.util.find_spec(TOOL) is not None


@contextmanager
def recorded(path: str) -> Iterator[None]:
    """Record what is allocated in the block, into a file that must not be there yet."""
    import memray

    with memray.Tracker(path):
        yield


def largest(path: str, locator: Locator) -> dict[Location, int]:
    """Bytes by line at the moment when most was allocated, the line with most of it first.

    Args:
        path: What was recorded; if the process was killed meanwhile, what it had written until then counts.
        locator: Knows the user's code.
    """
    import memray

    sizes: Counter[Location] = Counter()
    try:
        with memray.FileReader(path) as reader:
            for record in reader.get_high_watermark_allocation_records(merge_threads=True):
                frames = ((file, line, function) for function, file, line in record.stack_trace())
                if (location := locator.pick(frames)) is not None:
                    sizes[location] += record.size
    except OSError:  # killed before anything was written
        return {}
    return dict(sizes.most_common())
