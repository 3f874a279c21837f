"""The table of what is supported, made from the results of the tests that show it.

A test that shows how something of the field is judged carries ``@pytest.mark.shows(group, name, what)``.
The page docs/reference/compatibility.md is written from the results: ``--compatibility=write`` writes it,
``--compatibility=check`` fails a run whose results are not those on the page.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "compatibility.md"
_BEGIN, _END = (
    "<!-- the results of the tests begin here -->\n",
    "<!-- the results of the tests end here -->\n",
)
# The groups in the order of the page, with what stands above each.
GROUPS = {
    "clients": "Clients and SDKs",
    "libraries": "Retry, breaker and pool libraries",
    "loops": "Event loops and their test plugins",
    "waits": "Waits and clocks",
    "http": "HTTP and TLS",
    "plugins": "Other pytest plugins and mocks",
}
SUPPORT = ("yes", "in real time", "refused", "no")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", choices=("check", "write"), help="Compare or write the page.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(group, name, what, support): a row of the table of support")
    mode = config.getoption("compatibility")
    if mode and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(mode))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("shows"):
            item.user_properties.append(("shows", _row(*mark.args, **mark.kwargs)))


def _row(group: str, name: str, what: str, support: str = "yes") -> list[str]:
    assert group in GROUPS, group
    assert support in SUPPORT, support
    return [group, name, what, support]


class Collector:
    """Collects rows on the controller, and compares or writes the page at the end."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._rows: set[tuple[str, ...]] = set()
        self._problem = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found: list[Any] = [row for name, row in report.user_properties if name == "shows"]
        if report.skipped:
            # What this interpreter cannot show stays as another has shown it.
            self._rows.update(tuple(row) for row in found if _line(*row[1:]) in PAGE.read_text("utf-8"))
        elif report.when == "call" and report.passed:
            self._rows.update(tuple(row) for row in found)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.testsfailed:
            return
        before = PAGE.read_text(encoding="utf-8")
        after = rendered(before, self._rows)
        if self._mode == "write":
            PAGE.write_text(after, encoding="utf-8")
        elif before != after:
            changes = difflib.unified_diff(
                before.splitlines(), after.splitlines(), "page", "results", lineterm=""
            )
            self._problem = "\n".join(changes)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._problem:
            terminalreporter.section("the page on compatibility is not what the tests give")
            terminalreporter.line(self._problem)
            terminalreporter.line("make compatibility writes it anew.")


def rendered(page: str, rows: Iterable[tuple[str, ...]]) -> str:
    """The page with these rows."""
    head, tail = page.split(_BEGIN, maxsplit=1)[0], page.split(_END)[1]
    parts = []
    for group, title in GROUPS.items():
        mine = sorted({row[1:] for row in rows if row[0] == group}, key=lambda row: (row[0].lower(), row))
        if mine:
            lines = [f"## {title}", "", "| | supported | what is tested |", "|---|---|---|"]
            parts.append("\n".join([*lines, *(_line(*row) for row in mine)]))
    return "\n".join([head + _BEGIN, *(f"{part}\n" for part in parts), _END + tail])


def _line(name: str, what: str, support: str) -> str:
    return f"| {name} | {support} | {what} |"
