"""State over runs: progress, a step back, standstill; and that only full runs count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.report import state
from pytest_ralph.report.findings import essence, fingerprint
from pytest_ralph.report.history import Dispute, History
from pytest_ralph.report.model import Integrity
from pytest_ralph.report.state import Past
from tests.harness import Project
from tests.report import made

RED = {"retry.backoff": "fail", "retry.recovers": "pass"}
GREEN = {"retry.backoff": "pass", "retry.recovers": "pass"}


def after(*runs: dict[str, str], **circumstances: Any) -> dict[str, Any]:
    """The last of several full runs, each with these statuses."""
    past = Past()
    for statuses in runs[:-1]:
        past = state.remember(past, made.report(made.skill(statuses), past=past))
    return made.report(made.skill(runs[-1]), past=past, **circumstances)


def test_a_full_run_in_which_all_holds_is_green():
    assert after(GREEN)["state"] == "green"


def test_failures_are_in_progress():
    assert after(RED)["state"] == "in_progress"


def test_what_held_before_and_fails_now_is_a_regression():
    report = after(RED, {"retry.backoff": "fail", "retry.recovers": "fail"})

    assert report["state"] == "regressed"
    assert report["regressions"] == ["payments/retry.recovers"]
    assert report["next_action"]["criterion"] == "retry.recovers"


def test_a_regression_stays_one_until_it_is_repaired():
    worse = {"retry.backoff": "fail", "retry.recovers": "fail"}
    swapped = {"retry.backoff": "pass", "retry.recovers": "fail"}

    assert after(RED, worse, swapped)["regressions"] == ["payments/retry.recovers"]
    assert after(RED, worse, swapped, GREEN)["state"] == "green"


def test_a_call_that_no_longer_succeeds_when_healthy_is_a_regression():
    past = state.remember(Past(), made.report(made.skill(GREEN)))

    report = made.report(made.skill({"retry.backoff": "not_exercised"}, problem="KeyError"), past=past)

    assert (report["state"], report["regressions"]) == ("regressed", ["payments/retry"])


def test_three_full_runs_with_the_same_failures_are_a_standstill():
    assert after(RED, RED)["state"] == "in_progress"
    assert after(RED, RED, RED)["state"] == "stalled"
    assert after(RED, RED, RED, GREEN)["state"] == "green"


def test_another_failure_is_no_standstill():
    def run(observed: str, past: Past) -> dict[str, Any]:
        skill = made.skill([made.criterion("retry.backoff", "fail", observed=observed)])
        return made.report(skill, past=past)

    past = Past()
    for observed in ("no waits", "one wait"):
        past = state.remember(past, run(observed, past))

    assert run("two waits", past)["state"] == "in_progress"


@pytest.mark.parametrize(
    "circumstances",
    [{"left_out": ["--ralph-skill retry"]}, {"complete": False}, {"integrity": Integrity(canary="forged")}],
)
def test_a_partial_run_is_never_green_and_never_remembered(circumstances: dict[str, Any]):
    past = state.remember(Past(), made.report(made.skill(RED)))

    report = made.report(made.skill(GREEN), past=past, **circumstances)

    assert report["state"] != "green"
    assert state.remember(past, report) == past


def test_a_partial_run_is_no_standstill_either():
    past = Past()
    for _ in range(5):
        past = state.remember(past, made.report(made.skill(RED), past=past))

    assert made.report(made.skill(RED), past=past, left_out=["only a.py"])["state"] == "in_progress"


def test_the_best_run_is_remembered():
    past = Past()
    for statuses in (RED, GREEN, {"retry.backoff": "fail", "retry.recovers": "fail"}):
        past = state.remember(past, made.report(made.skill(statuses), past=past))

    assert past.best is not None
    assert past.last is not None
    assert len(past.best.satisfied) == 2
    assert len(past.last.satisfied) == 0


def test_what_is_disputed_waits_for_a_person():
    two = {"retry.backoff": "fail", "retry.recovers": "fail"}
    found = {each["id"]: each["fingerprint"] for each in after(two)["skills"][0]["criteria"]}

    one = after(two, disputed={found["retry.backoff"]})
    both = after(two, disputed=set(found.values()))

    assert (one["state"], one["next_action"]["criterion"]) == ("in_progress", "retry.recovers")
    assert both["state"] == "blocked_on_human"
    assert both["next_action"]["prompt"].startswith("Stop here")
    assert both["gate"] == "fail"


def evidence(observed: str, **changed: Any) -> dict[str, Any]:
    location = {"file": "pay.py", "line": 41, "function": "charge"}
    return {
        "expected": "3 retries",
        "observed": observed,
        "scenario": "hang",
        "location": location,
        **changed,
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("raised in /srv/a/pay.py:41", "raised in /home/me/b/pay.py:977"),
        ("<Client at 0x7f0011223344>", "<Client at 0x5577aabbccdd>"),
        ("File 'pay.py', line 3", "File 'pay.py', line 5"),
        ("given up after 30.001 s", "given up after 30.002 s"),
        ("at 2026-11-24T08:19:00Z", "at 2027-01-01T00:00:00Z"),
        ("open /tmp/pytest-1/x.db", "open /tmp/pytest-2/x.db"),
    ],
)
def test_fingerprints_leave_out_what_is_incidental(one: str, other: str):
    assert essence(one) == essence(other)
    assert fingerprint("p", "retry.backoff", "fail", evidence(one)) == fingerprint(
        "p",
        "retry.backoff",
        "fail",
        evidence(other, location={"file": "x.py", "line": 1, "function": "charge"}),
    )


@pytest.mark.parametrize(
    ("one", "other"), [("1 retry", "2 retries"), ("KeyError: 'x'", "KeyError: 'y'"), ("hang", "reset")]
)
def test_fingerprints_tell_different_failures_apart(one: str, other: str):
    assert fingerprint("p", "c", "fail", evidence(one)) != fingerprint("p", "c", "fail", evidence(other))


def test_what_is_kept_is_read_again(tmp_path: Path):
    history = History(tmp_path)
    past = state.remember(Past(), made.report(made.skill(RED)))

    history.keep(past)
    history.dispute(Dispute(key="a/b.c", fingerprint="f", reason="no"))

    assert History(tmp_path).past() == past
    assert History(tmp_path).disputes() == [Dispute(key="a/b.c", fingerprint="f", reason="no")]
    assert (tmp_path / ".ralph" / ".gitignore").read_text() == "*\n"
    assert history.withdraw("f")
    assert not history.withdraw("f")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"last": 3}', '{"last": {"run": 1}}'])
def test_what_cannot_be_read_is_forgotten(tmp_path: Path, content: str):
    (tmp_path / ".ralph").mkdir()
    (tmp_path / ".ralph" / "state.json").write_text(content)

    assert History(tmp_path).past() == Past()


CLIENT = """
import requests

def charge():
    requests.post("http://api.pay.example/v1/charges", json={}, timeout=LIMIT)
"""
TEST = """
import client

@ralph.timeout(10)
def test_charge(api):
    client.charge()
"""


def change(project: Project, limit: str) -> None:
    project.write(client=CLIENT.replace("LIMIT", limit))


def test_a_project_from_red_to_green_and_back(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    project.write(test_it=TEST)
    states = []
    for limit in ("30", "(10, 30)", "10", "(30, 10)", "(30, 10)", "(30, 10)", "10"):
        change(project, limit)
        states.append(project.run("--ralph").whole["state"])

    assert states == ["in_progress", "in_progress", "green", "regressed", "regressed", "stalled", "green"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "test_it"),
        ("-k", "hang"),
        ("--ralph-skill", "timeout"),
        ("--ralph-feature", "test_it"),
        ("test_it.py",),
        ("test_it.py::test_charge",),
        ("--ignore", "test_other.py"),
        ("--deselect", "test_other.py::test_charge"),
        ("-o", "python_files=test_i*.py"),
        ("--override-ini=python_files=test_i*.py",),
        ("-c", "other.ini", "-W", "ignore"),
        ("-p", "helper"),
        ("-phelper",),
        ("--noconftest",),
    ],
    ids=" ".join,
)
def test_partial_runs_are_never_green(project: Project, arguments: tuple[str, ...]):
    change(project, "10")
    project.write(test_it=TEST, test_other=TEST)
    project.write(helper="")
    (project.pytester.path / "other.ini").write_text("[pytest]\npython_files = test_i*.py\n")

    report = project.run("--ralph", *arguments).report

    assert report is None or report["state"] in ("in_progress", "incomplete")
    assert History(project.pytester.path).past() == Past()


def test_the_last_failed_are_not_everything(project: Project):
    change(project, "10")
    project.write(test_it=TEST)

    report = project.pytester.runpytest_subprocess("--ralph", "--lf", "-p", "no:randomly")

    assert report.ret == 0
    assert json.loads((project.pytester.path / ".ralph/report.json").read_text())["state"] == "incomplete"


def test_plugins_of_one_run_may_be_allowed(project: Project, monkeypatch: pytest.MonkeyPatch):
    change(project, "10")
    project.write(test_it=TEST, helper="")
    monkeypatch.syspath_prepend(project.pytester.path)
    monkeypatch.setenv("PYTEST_PLUGINS", "helper")
    assert project.run("--ralph").whole["left_out"] == ["-p helper"]

    (project.pytester.path / "ralph.toml").write_text('plugins = ["helper"]')

    assert project.run("--ralph").whole["state"] == "green"


@pytest.mark.parametrize(
    ("setting", "arguments", "state"),
    [
        ("testpaths = tests", (), "green"),
        ("testpaths = tests", ("tests",), "green"),
        ("testpaths = tests", (".",), "green"),
        ("testpaths = tests", ("tests/sub",), "in_progress"),
        ("", ("tests",), "in_progress"),
        ("", (), "green"),
    ],
)
def test_paths_that_cover_everything_are_a_full_run(
    project: Project, setting: str, arguments: tuple[str, ...], state: str
):
    change(project, "10")
    project.write(test_it=TEST)
    folder = project.pytester.path / "tests" / "sub"
    folder.mkdir(parents=True)
    (project.pytester.path / "test_it.py").rename(folder / "test_it.py")
    project.pytester.makeini(
        f"[pytest]\nasyncio_default_fixture_loop_scope = function\npythonpath = .\n{setting}\n"
    )

    assert project.run("--ralph", *arguments).whole["state"] == state


def test_only_the_controller_remembers(project: Project):
    change(project, "30")
    project.write(test_it=TEST)

    project.run_apart("--ralph", "-n", "2")

    kept = json.loads((project.pytester.path / ".ralph" / "state.json").read_text())
    assert set(kept["last"]["failing"]) == {"test_it/timeout.gives-up", "test_it/timeout.connects-in-time"}
    assert kept["same"] == 1


def test_a_run_cut_short_is_not_remembered(project: Project):
    change(project, "30")
    project.write(test_it=TEST)

    report = project.run("--ralph", "-x").whole

    assert not report["complete"]
    assert History(project.pytester.path).past() == Past()
