"""Collects results from all processes, and gives the report at the end. Only the controller writes."""

from __future__ import annotations

import copy
import datetime as dt
import json
import platform
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.skill import PHASES
from pytest_ralph.core.source import digest_of_file
from pytest_ralph.engine import canary, locking
from pytest_ralph.engine.gates import base_id, scenario_of
from pytest_ralph.engine.scope import left_out
from pytest_ralph.engine.session import RESULT, Run, run_of
from pytest_ralph.report import agent, ctrf, github, jsonfile, markdown, sarif, state, terminal
from pytest_ralph.report.history import History
from pytest_ralph.report.lock import FILE, Change
from pytest_ralph.report.model import Circumstances, Integrity, Result, build, red

NAME = "pytest-ralph-collector"
_REPORT = "ralph"


def configure(config: pytest.Config) -> None:
    """Check the options and, on the controller, prepare for the report.

    Raises:
        pytest.UsageError: An option is wrong, or the report could not be written.
    """
    run_of(config)
    if config.getoption("ralph_output") == "agent":
        # The report says all that an agent needs, once.
        config.option.tbstyle = "no"
        config.option.reportchars = ""
        config.option.disable_warnings = True
        config.option.verbose = min(config.option.verbose, -1)
        config.pluginmanager.register(Hushed(), f"{NAME}-hushed")
    if config.getoption("ralph_lock"):
        config.option.collectonly = True
        config.pluginmanager.register(Locker(config), NAME)
        return
    if _is_worker(config) or config.getoption("collectonly"):
        config.pluginmanager.register(Sender(config), NAME)
        return
    path = Path(config.invocation_params.dir) / config.getoption("ralph_report")
    for option, target in (("report", path), *_exports(config)):
        _check_writable(option, target)
    config.pluginmanager.register(Collector(config, path), NAME)


def _check_writable(option: str, path: Path) -> None:
    try:
        jsonfile.check_writable(path)
    except OSError as error:
        raise pytest.UsageError(f"--ralph-{option}: cannot write {path}: {error}") from error


_EXPORTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "markdown": markdown.render,
    "ctrf": lambda report: jsonfile.dumps(ctrf.convert(report)),
    "sarif": lambda report: jsonfile.dumps(sarif.convert(report)),
}


def _exports(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    """The other formats that are asked for, and where they go."""
    for name in _EXPORTS:
        if given := config.getoption(f"ralph_{name}"):
            yield name, Path(config.invocation_params.dir) / given


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Attach an item's verdicts to its report: plain data, which crosses process borders."""
    if scenario_of(item) is None:
        return
    data: dict[str, Any] = {}
    if report.when == "call" and (result := item.stash.get(RESULT, None)) is not None:
        data.update(result)
    if _is_worker(item.config):
        test = base_id(item)
        plan = run_of(item.config).plan
        data["plan"] = {test: plan[test]} if test in plan else {}
    setattr(report, _REPORT, data)


class Hushed:
    """Keeps pytest from printing a letter for each of many items: an agent pays for every token."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count an outcome, but do not show it."""
        if report.when != "call" and report.outcome == "passed":
            return None
        if report.when != "call" and report.outcome == "failed":
            return "error", "", ""
        return report.outcome, "", ""


class Locker:
    """Writes the lock when everything is collected.

    Args:
        config: The configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._done = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write it.

        Raises:
            pytest.UsageError: Not everything was collected, there is no gate, or it cannot be written.
        """
        run, root = run_of(self._config), self._config.rootpath
        left = left_out(self._config, run.policy)
        if left:
            raise pytest.UsageError(
                f"--ralph-lock: all gates are locked at once; leave out {', '.join(left)}"
            )
        if session.testsfailed:
            raise pytest.UsageError("--ralph-lock: not everything could be collected; repair that first")
        if not run.inventory["tests"]:
            raise pytest.UsageError("--ralph-lock: there is no gate to lock")
        try:
            path = locking.write(run.inventory, root)
        except OSError as error:
            raise pytest.UsageError(f"--ralph-lock: {error}") from error
        gates = sum(len(each["gates"]) for each in run.inventory["tests"].values())
        tests = len(run.inventory["tests"])
        self._done = f"locked {gates} gates of {tests} tests in {_relative(path, self._config)}: commit it"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say so."""
        if self._done:
            terminalreporter.write_line(self._done)


class Sender:
    """On a worker: hands the plan to the controller.

    Args:
        config: The worker's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the plan, so that the controller knows of items that no worker ran."""
        output = getattr(self._config, "workeroutput", None)
        if output is None:
            return
        run = run_of(self._config)
        output["ralph_plan"] = run.plan
        output["ralph_inventory"] = json.dumps(run.inventory)
        # A worker that judged nothing has nothing to be believed.
        output["ralph_canary"] = vars(canary.sing(session, _REPORT)) if run.judged else {"heard": "red"}
        output["ralph_judged"] = run.judged


class Collector:
    """On the controller: gathers plan and results, writes and shows the report.

    Args:
        config: The configuration.
        path: Where the JSON report goes.
    """

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._plan: dict[str, Any] = {}
        self._results: dict[str, Result] = {}
        self._began = dt.datetime.now(dt.timezone.utc)
        self._uncollected: list[str] = []
        self._interrupted = False
        self._report: dict[str, Any] | None = None
        self._trouble: str | None = None
        self._songs: list[canary.Song] = []
        self._told: dict[str, tuple[str, str]] = {}

    def pytest_sessionstart(self) -> None:
        """Remove a report left over from an earlier run: it must not be taken for this one's."""
        self._path.unlink(missing_ok=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected."""
        if report.failed:
            self._uncollected.append(f"{report.nodeid}: {_reason(report)}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a finished worker's plan."""
        output = getattr(node, "workeroutput", {})
        self._plan.update(output.get("ralph_plan", {}))
        self._songs.append(
            canary.Song(**output.get("ralph_canary", {"heard": "not_run", "reason": "it broke off"}))
        )
        run = run_of(self._config)
        run.judged.update(output.get("ralph_judged", {}))
        run.inventory = run.inventory or json.loads(output.get("ralph_inventory", "{}"))
        self._interrupted = self._interrupted or error is not None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one report; a failing teardown does not hide what was judged before it."""
        data = getattr(report, _REPORT, None)
        if data is None:
            return
        self._plan.update(data.get("plan", {}))
        if "verdicts" in data:
            told = {key: data[key] for key in ("verdicts", "reached", "met")}
            self._told[report.nodeid] = (report.outcome, json.dumps(told))
        result = _result(report, data, self._config.rootpath)
        before = self._results.get(report.nodeid)
        if result is None or (report.when == "teardown" and not _all_passed(before)):
            return
        self._results[report.nodeid] = _as_bad_as(result, before)

    def pytest_keyboard_interrupt(self) -> None:
        """Note that the run was cut short."""
        self._interrupted = True

    def pytest_internalerror(self) -> None:
        """Note that the run was cut short."""
        self._interrupted = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report, and see to it that a red gate is not taken for success."""
        run, history = run_of(self._config), History(self._config.rootpath)
        past = history.past()
        plan = {**self._plan, **run.plan}
        if run.judged and not self._songs:
            self._songs.append(canary.sing(session, _REPORT))
        left = left_out(self._config, run.policy)
        self._report = build(
            dict(sorted(plan.items())),
            self._results,
            Circumstances(
                interrupted=(
                    self._interrupted
                    or bool(self._uncollected)
                    or bool(session.shouldstop)
                    # Files without a failure are not even collected then.
                    or bool(self._config.getoption("lf", False))
                ),
                left_out=left,
                uncollected=tuple(self._uncollected),
                run=self._volatile(),
                policy=run.policy,
                today=run.today,
                past=past,
                disputed={each.fingerprint for each in history.disputes()},
                integrity=self._integrity(run, past, whole=not left and not self._uncollected),
            ),
            PHASES.index,
            _paths(self._config),
        )
        self._report["run"]["digest"] = jsonfile.digest(self._report)
        self._write(history, state.remember(past, self._report))
        self._config.hook.pytest_ralph_report(config=self._config, report=copy.deepcopy(self._report))
        if session.exitstatus == pytest.ExitCode.OK and (red(self._report) or self._trouble):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _integrity(self, run: Run, past: state.Past, *, whole: bool) -> Integrity:
        """Whether the verdicts can be believed."""
        root = self._config.rootpath
        found = locking.changes(root, run.inventory, run.registry, whole=whole)
        forged = list(_forged(run, self._told))
        if found is None and past.locked:
            forged.append(
                {"kind": "file", "subject": FILE, "text": "is gone, and it was there in an earlier run"}
            )
        song = canary.together(self._songs)
        return Integrity(
            canary=song.heard,
            unheard=song.reason,
            locked=found is not None,
            lock=digest_of_file(root / FILE),
            changes=[*(found or ()), *forged],
        )

    def _write(self, history: History, past: state.Past) -> None:
        if self._report is None:
            return
        report = self._report
        self._try(
            f"the report could not be written to {self._path}", lambda: jsonfile.write(report, self._path)
        )
        for name, target in _exports(self._config):
            text = _EXPORTS[name](report)
            self._try(f"{name} could not be written to {target}", lambda: jsonfile.replace(target, text))  # noqa: B023
        self._try(f"nothing can be remembered in {history.folder}", lambda: history.keep(past))

    def _try(self, told: str, write: Callable[[], None]) -> None:
        """Write something; what goes wrong is told at the end, and never hides the verdict."""
        try:
            write()
        except OSError as error:
            self._trouble = self._trouble or f"{told}: {error}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the report."""
        if self._report is None:
            return
        shown = _relative(self._path, self._config)
        if self._config.getoption("ralph_output") == "agent":
            for line in agent.render(self._report, shown):
                terminalreporter.write_line(line)
        else:
            terminalreporter.section("ralph", sep="=")
            width = self._config.get_terminal_writer().fullwidth
            for line, markup in terminal.render(self._report, width):
                terminalreporter.write_line(line, **markup)
            if self._trouble is None:
                terminalreporter.write_line(f"report: {shown}")
        if self._config.getoption("ralph_annotations"):
            for line in github.render(self._report):
                terminalreporter.write_line(line)
        if self._trouble is not None:
            terminalreporter.write_line(f"pytest-ralph: {self._trouble}", red=True, bold=True)

    def _volatile(self) -> dict[str, Any]:
        """What differs from run to run."""
        now = dt.datetime.now(dt.timezone.utc)
        measured = {nodeid: _measured(result) for nodeid, result in sorted(self._results.items())}
        return {
            "id": uuid.uuid4().hex,
            "started": self._began.isoformat(timespec="seconds"),
            "duration": round((now - self._began).total_seconds(), 3),
            "versions": {
                "pytest-ralph": version("pytest-ralph"),
                "pytest": pytest.__version__,
                "python": platform.python_version(),
                "platform": sys.platform,
            },
            "measured": {nodeid: found for nodeid, found in measured.items() if found},
        }


def _measured(result: Result) -> list[str]:
    """What was measured in real time for an item."""
    return [
        f"{verdict['criterion']}: {line}"
        for verdict in result.verdicts
        for line in verdict.get("measured", ())
    ]


def _forged(run: Run, told: Mapping[str, tuple[str, str]]) -> Iterator[Change]:
    """Where what reports say is not what was judged."""
    for nodeid, judged in run.judged.items():
        outcome, given = told.get(nodeid, ("", ""))
        known = json.loads(judged)
        if not given:
            # Interrupted, or the worker broke off: then it is not satisfied either.
            continue
        if json.loads(given) != known["result"]:
            yield {
                "kind": "forged",
                "subject": nodeid,
                "text": "its report says something else than was judged",
            }
        elif outcome == "passed" and known["red"]:
            yield {"kind": "forged", "subject": nodeid, "text": "was judged red, and is reported as passed"}


def _paths(config: pytest.Config) -> list[str]:
    """The files and folders named on the command line."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return [each.partition("::")[0] for each in config.args] if named else []


def _result(report: pytest.TestReport, data: dict[str, Any], root: Path) -> Result | None:
    """What a report says of its item; None when it says nothing that is not known better."""
    if "broken" in data:
        return Result(outcome="broken", **data["broken"])
    if "verdicts" in data:
        judged = Result(outcome="judged", verdicts=data["verdicts"], reached=data["reached"], met=data["met"])
        if report.outcome == "failed" and _all_passed(judged):
            return Result(outcome="error", reason=f"{report.when} failed: {_reason(report)}")
        return judged
    if report.when == "call" and report.outcome == "passed":
        return Result(outcome="error", reason="the test passed without being judged")
    if report.outcome == "skipped":
        return Result(outcome="skipped", reason=_reason(report))
    if report.outcome == "failed":
        return Result(
            outcome="error",
            reason=f"{report.when} failed: {_reason(report)}",
            location=_crashed_at(report, root),
        )
    return None


def _as_bad_as(result: Result, before: Result | None) -> Result:
    """A result of an item that has run before: what failed then has failed.

    A scenario is played the same way each time. Code that holds only now and then does not hold, whatever a
    plugin that runs failed items again makes of it. What was not judged in the earlier run may be now.
    """
    if before is None or "judged" not in (before.outcome, result.outcome):
        return result
    failures = {_key(each): each for each in before.verdicts if each["status"] == "fail"}
    if not failures:
        return result
    if result.outcome != "judged":
        return before
    return replace(result, verdicts=[failures.get(_key(each), each) for each in result.verdicts])


def _key(verdict: Mapping[str, Any]) -> tuple[Any, ...]:
    return verdict["gate"], verdict["criterion"]


def _crashed_at(report: pytest.TestReport, root: Path) -> dict[str, Any] | None:
    """The line that failed, where pytest knows it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return None
    path = Path(crash.path)
    shown = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    return {"file": shown.as_posix(), "line": crash.lineno, "function": ""}


def _all_passed(result: Result | None) -> bool:
    """Whether a result holds nothing that would be lost if it were replaced by an error."""
    return (
        result is not None
        and result.outcome == "judged"
        and all(verdict["status"] == "pass" for verdict in result.verdicts)
    )


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or report.outcome)
    return " ".join(text.split())[-300:]


def _relative(path: Path, config: pytest.Config) -> str:
    try:
        return str(path.relative_to(config.invocation_params.dir))
    except ValueError:
        return str(path)
