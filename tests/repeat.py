"""Runs tests again and again, and makes sure that the same happens in each run.

    python -m tests.repeat [--runs N] [--ways alone,workers,busy] [PATH...]

Each way is run so many times: alone in one process, by two workers, and in one process while every core of
the machine is kept busy. What happened is compared test by test, see ``tests.timelines``.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WAYS = ("alone", "workers", "busy")
_SHOWN = 40


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Every core has something else to do."""
    burning = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burning) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def run(way: str, paths: list[str], folder: Path) -> dict[str, str]:
    """Run the tests once.

    Args:
        way: One of `WAYS`.
        paths: What to run.
        folder: For the files of this run.

    Returns:
        What happened, by the name of its file.

    Raises:
        SystemExit: A test failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"--timelines={folder}", *paths]
    command += ["-n", "2"] if way == "workers" else []
    with busy() if way == "busy" else contextlib.nullcontext():
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{way}: the tests failed\n{result.stdout[-5_000:]}{result.stderr[-1_000:]}")
    return {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()}


def differences(first: dict[str, str], other: dict[str, str]) -> list[str]:
    """What is not the same in two runs, as the beginnings of diffs."""
    found = []
    for name in sorted(first.keys() | other.keys()):
        before, after = first.get(name, ""), other.get(name, "")
        if before != after:
            test = (before or after).partition("\n")[0]
            lines = difflib.unified_diff(
                before.splitlines(), after.splitlines(), "first", "later", lineterm="", n=1
            )
            found.append("\n".join([test, *list(lines)[:_SHOWN]]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("paths", nargs="*", default=["tests/clients", "tests/world"])
    options = parser.parse_args()
    first: dict[str, str] = {}
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for way in options.ways.split(","):
            for number in range(1, options.runs + 1):
                found = run(way, options.paths, Path(folder, f"{way}-{number}"))
                first = first or found
                unlike = differences(first, found)
                different += len(unlike)
                print(
                    f"{way} {number}: {len(found)} tests, {len(unlike)} not as in the first run", flush=True
                )
                print("\n\n".join(unlike), end="\n\n" if unlike else "", flush=True)
    sys.exit(f"{different} times something else happened" if different else 0)


if __name__ == "__main__":
    main()
