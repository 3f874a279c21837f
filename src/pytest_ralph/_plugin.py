"""The hooks that pytest calls. Each is a few lines; what they do is in `pytest_ralph.engine`.

Importing this module must cost next to nothing: everything else is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ralph.core.timeline import Timeline
    from pytest_ralph.engine.fixtures import Clock
    from pytest_ralph.world.upstream import Upstream


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ralph", "production readiness (pytest-ralph)")
    group.addoption(
        "--ralph", action="store_true", help="Play production against gated tests and judge them."
    )
    group.addoption(
        "--ralph-skill", action="append", default=[], metavar="ID", help="Judge only this skill (repeatable)."
    )
    group.addoption(
        "--ralph-feature",
        action="append",
        default=[],
        metavar="NAME",
        help="Judge only this feature (repeatable).",
    )
    group.addoption(
        "--ralph-report",
        default=".ralph/report.json",
        metavar="PATH",
        help="Where the JSON report is written (default: .ralph/report.json).",
    )
    group.addoption(
        "--ralph-output",
        choices=("human", "agent"),
        default="human",
        help="For whom the summary is written (default: human).",
    )
    group.addoption(
        "--ralph-seed", type=int, default=0, metavar="N", help="Seed of random numbers (default: 0)."
    )
    group.addoption(
        "--ralph-isolate", action="store_true", help="Play every scenario in a process of its own."
    )
    group.addoption(
        "--ralph-watchdog",
        default="60",
        metavar="SECONDS",
        help="Real time after which an isolated scenario is killed, 0 for never (default: 60).",
    )
    group.addoption(
        "--ralph-memory",
        metavar="SIZE",
        help="Memory that the process of each scenario may have, such as 512MB, as a container has it.",
    )
    group.addoption("--ralph-realtime", action="store_true", help="No virtual clock: wait in real time.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "ralph(spec, skill): a pytest-ralph gate; use pytest_ralph.<skill>(...)"
    )
    if config.getoption("ralph"):
        from pytest_ralph.engine import reporting

        reporting.configure(config)


# After other plugins have parametrized, so that the scenario stands last in the test's id.
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not metafunc.definition.get_closest_marker("ralph"):
        return
    from pytest_ralph.marker import provide

    provide(metafunc)
    if metafunc.config.getoption("ralph"):
        from pytest_ralph.engine import collecting

        collecting.parametrize(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    if config.getoption("ralph"):
        from pytest_ralph.engine import collecting

        collecting.select(config, items, failed=session.testsfailed > 0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    if not _concerns(item):
        return (yield)
    from pytest_ralph.engine import judging

    return (yield from judging.setup(item))


# Inside of all others, so that capturing and logging are in place for every call of the test body.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if not _concerns(item):
        return (yield)
    from pytest_ralph.engine import judging

    return (yield from judging.call(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    if not _concerns(item):
        return (yield)
    from pytest_ralph.engine import judging

    return (yield from judging.teardown(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if item.config.getoption("ralph"):
        from pytest_ralph.engine import reporting

        reporting.attach(item, report)
    return report


def _concerns(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "_ralph_scenario" in callspec.params:
        return True
    return any(name.startswith("ralph_") for name in getattr(item, "fixturenames", ()))


@pytest.fixture
def _ralph_scenario(request: pytest.FixtureRequest) -> Any:
    """The scenario that the item plays."""
    return request.param


@pytest.fixture
def ralph_upstream(request: pytest.FixtureRequest) -> Callable[..., Upstream]:
    """Declare a simulated service: ``ralph_upstream("https://api.pay.example")``.

    ``faulted=False`` keeps generated scenarios from breaking it.
    """
    from pytest_ralph.engine import fixtures

    return fixtures.upstream(request)


@pytest.fixture
def ralph_clock(request: pytest.FixtureRequest) -> Clock:
    """The virtual clock: ``now``, ``advance(seconds)`` and ``sleeps``."""
    from pytest_ralph.engine import fixtures

    return fixtures.clock(request)


@pytest.fixture
def ralph_timeline(request: pytest.FixtureRequest) -> Callable[[], Timeline]:
    """What was recorded so far: call it to get the timeline."""
    from pytest_ralph.engine import fixtures

    return fixtures.timeline(request)


@pytest.fixture
def ralph_oom() -> Callable[[int | str], AbstractContextManager[None]]:
    """Make memory run out, with a real ``MemoryError``, in a block of a test that takes more than it may."""
    from pytest_ralph.engine import fixtures

    return fixtures.oom
