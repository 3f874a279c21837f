"""Runs gates as a user does: files in, outcome and report out."""

from __future__ import annotations

import gc
import importlib
import json
import pkgutil
import re
import signal
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

# Inner runs forget what they import; what is imported here stays, and each of them is faster by that.
import httpcore  # noqa: F401
import httpcore2  # noqa: F401
import httpx  # noqa: F401
import httpx2  # noqa: F401
import hypothesis  # noqa: F401
import pytest
import requests  # noqa: F401
import responses  # noqa: F401
import tenacity  # noqa: F401
import trustme  # noqa: F401

import pytest_ralph as ralph
from tests import subjects

HEADER = """
import pytest
import pytest_ralph as ralph

@pytest.fixture
def api(ralph_upstream):
    api = ralph_upstream("http://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1", "status": "succeeded"})
    return api
"""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a job in the background. Processes started here would not end on Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An inner run leaves much garbage behind. To look through all that is loaded for it after every fifth run
# took a tenth of their time; it is done after some fifty.
gc.set_threshold(700, 10, 100)

for _module in pkgutil.walk_packages(ralph.__path__, "pytest_ralph."):
    importlib.import_module(_module.name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an inner run."""

    code: int
    output: str
    report: dict[str, Any] | None

    @property
    def whole(self) -> dict[str, Any]:
        """The report, which must be there."""
        assert self.report is not None, self.output
        return self.report

    def skill(self, skill: str) -> dict[str, Any]:
        """The only entry of a skill."""
        found: list[dict[str, Any]] = [each for each in self.whole["skills"] if each["id"] == skill]
        (entry,) = found
        return entry

    def criterion(self, name: str) -> dict[str, Any]:
        """The only entry of a criterion, such as ``retry.backoff``."""
        found: list[dict[str, Any]] = [
            each for skill in self.whole["skills"] for each in skill["criteria"] if each["id"] == name
        ]
        (entry,) = found
        return entry

    def of(self, feature: str) -> dict[str, Any]:
        """The criteria of a feature, by their names."""
        mine = (skill for skill in self.whole["skills"] if skill["feature"] == feature)
        return {each["id"]: each for skill in mine for each in skill["criteria"]}

    def statuses(self) -> dict[str, str]:
        """Status by criterion."""
        return {each["id"]: each["status"] for skill in self.whole["skills"] for each in skill["criteria"]}

    def not_passed_of_all(self) -> list[tuple[str, str, str]]:
        """Parameters, criterion and status of all that did not pass, for a skill that is asked for twice."""
        return [
            (str(skill["parameters"]), each["id"], each["status"])
            for skill in self.whole["skills"]
            for each in skill["criteria"]
            if each["status"] != "pass"
        ]

    def not_passed(self) -> dict[str, str]:
        """Status by criterion of all that did not pass."""
        return {name: status for name, status in self.statuses().items() if status != "pass"}


def _subjects(call: str) -> str:
    """The modules of subjects that a call may need; those that load much only if they are named."""
    named = set(re.findall(r"\w+", call)) & {"labelled", "logged", "measured", "traced"}
    return ", ".join(["charges", *sorted(named), "timeouts"])


def _gated(marker: str, call: str, fixtures: str) -> str:
    """A module with one test that has a gate."""
    return f"""
            from tests.subjects import {_subjects(call)}

            {marker}
            def test_charge({fixtures}):
                {call}
            """


def _collection_errors(output: str) -> dict[str, str]:
    """What pytest tells of each file that it could not collect."""
    errors = output.partition("short test summary info")[0]
    _, *told = re.split(r"^_+ ERROR collecting (\S+) _+$", errors, flags=re.MULTILINE)
    return dict(zip(told[::2], told[1::2], strict=True))


def _unlike(told: str, file: str, marker: str, message: str) -> str:
    """How a collection error is unlike the one that a wrong marker is to be, or nothing."""
    shown = f"{file}:13: in <module>\n    {marker}"
    if "(" not in marker and sys.version_info < (3, 11):
        # Older Pythons name the decorated function's line for what its decorator raises.
        shown = f"{file}:14: in <module>\n    def test_charge(api):"
    if not told:
        return "it was not refused"
    if message not in told:
        return f"the message is another:\n{told}"
    if shown not in told:
        return f"the user's line is not shown:\n{told}"
    if "marker.py" in told or "pytest_ralph/skills/" in told:
        return f"a line of ours is shown:\n{told}"
    return ""


def _forget_subjects() -> None:
    """Let no module that an inner run loaded be found as a part of its package, for it is loaded anew."""
    for name, value in list(vars(subjects).items()):
        if isinstance(value, ModuleType) and value.__name__ not in sys.modules:
            delattr(subjects, name)


# What a new process loads half of its time, and the words of a project that has a use for it. Runs in this
# process have it all: what they load is loaded once.
_HEAVY = {
    "anyio": r"anyio|trio",
    "hypothesispytest": r"hypothesis|validates_input|survives",
    "pytest_cov": r"--cov",
    "pytest_httpx": r"httpx_mock",
    "respx": r"respx",
}


def _without(arguments: tuple[str, ...]) -> list[str]:
    """Options that leave out plugins: pytest-rerunfailures starts a server in a thread that never ends."""
    asked = {"--reruns", "rerunfailures"} & set(arguments)
    return ["-p", "no:randomly", *([] if asked else ["-p", "no:rerunfailures"])]


def _without_heavy(arguments: tuple[str, ...], folder: Path) -> list[str]:
    """Options that leave out plugins too that the tests in a folder have no use for."""
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.suffix in (".py", ".ini")]
    whole = " ".join([*arguments, *texts])
    unused = [plugin for plugin, words in _HEAVY.items() if not re.search(words, whole)]
    return [*_without(arguments), *(option for each in unused for option in ("-p", f"no:{each}"))]


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder with tests in it."""

    pytester: pytest.Pytester

    def write(self, **files: str) -> None:
        """Write modules; ``test_it`` gets the usual header."""
        for name, text in files.items():
            header = HEADER if name.startswith("test_") else ""
            (self.pytester.path / f"{name}.py").write_text(header + textwrap.dedent(text), encoding="utf-8")

    def run(self, *arguments: str, report: str = ".ralph/report.json") -> Outcome:
        """Run pytest in this process."""
        options = [*_without(arguments), "-p", "no:cacheprovider"]
        result = self.pytester.runpytest_inprocess(*options, *arguments)
        _forget_subjects()
        return self._outcome(int(result.ret), str(result.stdout) + str(result.stderr), report)

    def run_apart(self, *arguments: str, report: str = ".ralph/report.json") -> Outcome:
        """Run pytest in a process of its own."""
        options = _without_heavy(arguments, self.pytester.path)
        result = self.pytester.runpytest_subprocess(*options, *arguments)
        return self._outcome(int(result.ret), str(result.stdout) + str(result.stderr), report)

    def judge(self, marker: str, call: str, *arguments: str, fixtures: str = "api") -> Outcome:
        """Judge one call from `tests.subjects` with one marker."""
        self.write(test_it=_gated(marker, call, fixtures))
        return self.run("--ralph", *arguments)

    def check_refused(self, marker: str, message: str) -> None:
        """Make sure that a wrong marker is a collection error at the user's line, and at no line of ours."""
        self.check_each_refused([(marker, message)])

    def check_each_refused(self, wrong: Sequence[tuple[str, str]]) -> None:
        """The same for many wrong markers, each with its message: one run tells of all."""
        for number, (marker, _) in enumerate(wrong):
            self.write(**{f"test_it{number}": _gated(marker, "charges.right()", "api")})
        outcome = self.run("--ralph")
        assert outcome.code == 2, outcome.output
        told = _collection_errors(outcome.output)
        unlike = [
            f"{marker}, {message!r}: {problem}"
            for number, (marker, message) in enumerate(wrong)
            if (
                problem := _unlike(
                    told.get(f"test_it{number}.py", ""), f"test_it{number}.py", marker, message
                )
            )
        ]
        assert not unlike, "\n".join(unlike)

    def _outcome(self, code: int, output: str, report: str) -> Outcome:
        path = Path(self.pytester.path, report)
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return Outcome(code=code, output=output, report=found)


@pytest.fixture
def tidy() -> Iterator[None]:
    """Collect clients in globals, which programs never close, before their warnings fall on another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# What a pipeline or a person may have set, and pytest prints differently for: on CI it cuts no line.
_TASTES = ("CI", "BUILD_NUMBER", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "PYTEST_ADDOPTS", "PYTEST_THEME")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder to put tests in, with the same output on every machine."""
    for name in _TASTES:
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return Project(pytester=pytester)
