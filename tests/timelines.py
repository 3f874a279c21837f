"""What happens in each test's worlds, written to files: two runs of the same tests can be compared by them.

``--timelines=FOLDER`` writes a file for each test: the timelines of all plays in all worlds that it made in
this process, and the reports of the runs inside of it. ``tests.repeat`` makes runs and compares them.
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.world import World
from tests import harness

# As libraries write them into messages.
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|datetime\.datetime\([\d, ]+\)")
_UPWARDS = re.compile(r"(\.\./)+")
# psycopg_pool counts the pools of the process.
_POOL = re.compile(r"'pool-\d+'")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--timelines", metavar="FOLDER", type=Path, help="Write each test's timelines there.")


def pytest_configure(config: pytest.Config) -> None:
    # Runs inside of tests load this file as well, and have no such option set.
    if (folder := config.getoption("timelines", None)) is not None:
        config.pluginmanager.register(Scribe(folder.absolute()))


class Scribe:
    """Writes down what happens.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        platform.processor()  # asks a process of the system, but only once, and who comes first has it

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._found.clear()
        # Not by pytest-randomly, which other runs may be without.
        random.seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Recorder, "restart", self._before(Recorder.restart, lambda recorder: recorder))
            patch.setattr(World, "close", self._before(World.close, lambda world: world.recorder))
            patch.setattr(harness.Project, "_outcome", self._reported(harness.Project._outcome))
            found = yield
        name = hashlib.sha256(item.nodeid.encode()).hexdigest()[:16]
        text = "\n".join([item.nodeid, *self._found, ""])
        (self._folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        return found

    def _before(
        self, original: Callable[..., Any], recorder: Callable[[Any], Recorder]
    ) -> Callable[..., Any]:
        def method(subject: Any, *args: Any, **kwargs: Any) -> Any:
            lines = recorder(subject).timeline.lines(limit=1_000_000)
            # How long a real wait takes, and so whether there is one to speak of, is not the same each time.
            self._write("---", *(line for line in lines if " real wait in " not in line))
            return original(subject, *args, **kwargs)

        return method

    def _reported(self, original: Any) -> Any:
        def method(*args: Any) -> harness.Outcome:
            outcome: harness.Outcome = original(*args)
            report = {name: value for name, value in (outcome.report or {}).items() if name != "run"}
            self._write("===", f"exit code {outcome.code}", *json.dumps(report, indent=1).splitlines())
            return outcome

        return method

    def _write(self, *lines: str) -> None:
        """Note lines, but for what differs from process to process and from day to day."""
        for pattern, same in ((_DATE, "DATE"), (_UPWARDS, "../"), (_POOL, "'pool'")):
            lines = tuple(pattern.sub(same, line) for line in lines)
        self._found += lines
