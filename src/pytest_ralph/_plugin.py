"""The hooks that pytest calls. Each is a few lines; what they do is in `pytest_ralph.engine`.

Importing this module must cost next to nothing: everything else is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ralph.core.timeline import Timeline
    from pytest_ralph.engine.fixtures import Clock, Everywhere
    from pytest_ralph.world.callables import Dependency
    from pytest_ralph.world.upstream import Upstream


# Root folders of the projects under test, for the defaults of markers: a test run may run another.
ROOTS: list[Path] = []


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
        "--ralph-markdown", metavar="PATH", help="Write the report as Markdown too, for a pipeline's summary."
    )
    group.addoption("--ralph-ctrf", metavar="PATH", help="Write the report as CTRF too.")
    group.addoption("--ralph-sarif", metavar="PATH", help="Write the report as SARIF too.")
    group.addoption(
        "--ralph-annotations", action="store_true", help="Print annotations of lines for GitHub Actions."
    )
    group.addoption(
        "--ralph-lock",
        action="store_true",
        help="Write ralph.lock, what the gates are to be compared with from now on; nothing is run.",
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
    group.addoption(
        "--ralph-cgroup",
        metavar="DIRECTORY",
        help="A delegated control group, in which groups are made for processes that are held to a limit.",
    )
    group.addoption("--ralph-realtime", action="store_true", help="No virtual clock: wait in real time.")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_ralph import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "ralph(spec, skill): a pytest-ralph gate; use pytest_ralph.<skill>(...)"
    )
    ROOTS.append(config.rootpath)
    config.add_cleanup(lambda: ROOTS.remove(config.rootpath))
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
def ralph_callable(request: pytest.FixtureRequest) -> Callable[..., Dependency]:
    """Declare a dependency that is a Python callable: ``ralph_callable("shop.rates:fetch")``.

    ``returns=`` gives what it returns while it is healthy, in place of doing its work; ``faulted=False``
    keeps generated scenarios from breaking it.
    """
    from pytest_ralph.engine import fixtures

    return fixtures.python_callable(request)


@pytest.fixture
def ralph_slow(request: pytest.FixtureRequest) -> Generator[Everywhere]:
    """Slow down everything that is declared, for a block or until the test ends."""
    from pytest_ralph.engine import fixtures

    found = fixtures.slow(request)
    yield found
    found.check_used()


@pytest.fixture
def ralph_5xx(request: pytest.FixtureRequest) -> Generator[Everywhere]:
    """Have all declared services answer 503 or another 5xx, for a block or until the test ends."""
    from pytest_ralph.engine import fixtures

    found = fixtures.server_error(request)
    yield found
    found.check_used()


@pytest.fixture
def ralph_returned(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Hand over what the code under test returned: ``ralph_returned(rate("eur"))``. Gives it back."""
    from pytest_ralph.engine import fixtures

    return fixtures.returned(request)


@pytest.fixture
def ralph_oom() -> Callable[[int | str], AbstractContextManager[None]]:
    """Make memory run out, with a real ``MemoryError``, in a block of a test that takes more than it may."""
    from pytest_ralph.engine import fixtures

    return fixtures.oom
