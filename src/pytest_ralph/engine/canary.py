"""A gate that must come out red, run through the same hooks as all others.

Its subject gives up at the first failure, and its gate asks for retries. A hook that makes failures pass, or
a criterion that was made blind, betrays itself by it. It is shown to nobody and counted nowhere.
"""

from __future__ import annotations

import http.client
import inspect
import types
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pytest

import pytest_ralph as ralph
from pytest_ralph.core.masking import short
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.engine.gates import SCENARIO, definition_id, gates_of
from pytest_ralph.engine.session import CASE, Test, run_of
from pytest_ralph.marker import Feature

NAME = "ralph_canary"
_HOST = "canary.ralph.example"
_SCENARIO = "status-503"
_MUST_FAIL = "retry.retries-transient"


@dataclass(frozen=True, kw_only=True)
class Song:
    """What the canary of one process says.

    Attributes:
        heard: ``red`` if it came out red, as it must; else ``forged``, or ``not_run`` if it could not be run.
        reason: Why it could not be run.
    """

    heard: str
    reason: str = ""


def sing(session: pytest.Session, attached: str) -> Song:
    """Run the canary.

    Args:
        session: The session, after its last test.
        attached: The attribute under which verdicts are attached to reports.
    """
    item = _item(session)
    try:
        reports = [_phase(session.config, item, when) for when in ("setup", "call", "teardown")]
    except Exception as error:  # noqa: BLE001 - whatever other plugins make of it
        return Song(heard="not_run", reason=short(f"{type(error).__name__}: {error}", 200))
    finally:
        run_of(session.config).judged.pop(item.nodeid, None)
    setup, called, _ = reports
    if setup.outcome != "passed":
        return Song(heard="not_run", reason=short(f"setup {setup.outcome}: {setup.longreprtext}", 200))
    verdicts = (getattr(called, attached, None) or {}).get("verdicts", ())
    found = {each["criterion"]: each["status"] for each in verdicts}
    honest = called.outcome == "failed" and found.get(_MUST_FAIL) == "fail"
    return Song(heard="red" if honest else "forged")


def _item(session: pytest.Session) -> Any:
    item: Any = pytest.Function.from_parent(session, name=NAME, callobj=_body(lambda: item))
    run = run_of(session.config)
    # Without the defaults of the policy, which could make it easy.
    retry = inspect.unwrap(ralph.retry)
    for marker in (pytest.mark.ralph.with_args(Feature(name=NAME)), retry(max_retries=1)):
        item.add_marker(marker)
    if session.config.pluginmanager.has_plugin("socket"):
        # pytest-socket refuses sockets where it is not told so.
        item.add_marker(pytest.mark.enable_socket)
    gates = gates_of(item, run.registry, NAME)
    scenario = next(each for gate in gates for each in Test(gates=gates).scenarios if each.id == _SCENARIO)
    # No fixture of the project's is for it, not even those that all tests use.
    item.fixturenames = []
    item.callspec = _callspec(scenario)
    run.know(definition_id(item), Test(gates=gates, markers=len(gates)))
    return item


def _callspec(scenario: Scenario) -> types.SimpleNamespace:
    return types.SimpleNamespace(params={SCENARIO: scenario}, id=scenario.id, marks=[], indices={})


def _body(item: Callable[[], Any]) -> Callable[[], None]:
    declared: list[object] = []

    def ralph_canary() -> None:
        if not declared:
            upstream = item().stash[CASE].world.upstream(f"http://{_HOST}")
            upstream.get("/", json={})
            declared.append(upstream)
        connection = http.client.HTTPConnection(_HOST, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")

    return ralph_canary


def _phase(config: pytest.Config, item: pytest.Item, when: str) -> pytest.TestReport:
    """One phase of a test, as pytest runs it, but reported to nobody."""
    hook = getattr(config.hook, f"pytest_runtest_{when}")
    arguments = {"nextitem": None} if when == "teardown" else {}
    call = pytest.CallInfo.from_call(
        lambda: hook(item=item, **arguments),
        when=when,  # type: ignore[arg-type]
        reraise=(KeyboardInterrupt, pytest.exit.Exception),
    )
    report: pytest.TestReport = config.hook.pytest_runtest_makereport(item=item, call=call)
    return report


def together(songs: Collection[Song]) -> Song:
    """What the canaries of all processes say: one that was forged is enough, and all must have been red."""
    for heard in ("forged", "not_run"):
        for song in songs:
            if song.heard == heard:
                return song
    return Song(heard="red") if songs else Song(heard="not_run", reason="no test was judged")
