"""Judged items behave like items: with all that pytest and its usual plugins do to them."""

from __future__ import annotations

import json
import sys

import pytest

from tests.harness import Outcome, Project

CLIENT = """
import requests

def charge(timeout=10):
    answer = requests.post("http://api.pay.example/v1/charges", json={}, timeout=timeout)
    answer.raise_for_status()
"""
GREEN = """
from client import charge

@ralph.timeout(10)
def test_charge(api):
    charge()
"""
RED = GREEN.replace("    charge()", "    charge((10, 30))")


@pytest.fixture
def green(project: Project) -> Project:
    project.write(client=CLIENT, test_it=GREEN)
    return project


@pytest.fixture
def red(project: Project) -> Project:
    project.write(client=CLIENT, test_it=RED)
    return project


def stable(outcome: Outcome) -> str:
    return json.dumps({key: value for key, value in outcome.whole.items() if key != "run"})


def test_green(green: Project):
    outcome = green.run("--ralph")

    assert outcome.code == 0
    assert tuple(outcome.whole[key] for key in ("gate", "state", "complete")) == ("pass", "green", True)
    assert outcome.whole["next_action"] is None


def test_red(red: Project):
    outcome = red.run("--ralph")

    assert outcome.code == 1
    assert tuple(outcome.whole[key] for key in ("gate", "state", "complete")) == ("fail", "in_progress", True)
    action = outcome.whole["next_action"]
    assert (
        action["feature"],
        action["skill"],
        action["criterion"],
    ) == ("test_it", "timeout", "timeout.gives-up")
    assert action["location"] == {"file": "client.py", "line": 5, "function": "charge"}
    assert action["rerun"] == "pytest --ralph --ralph-feature test_it --ralph-skill timeout"


def test_the_rerun_command_reruns_it(red: Project):
    action = red.run("--ralph").whole["next_action"]

    outcome = red.run(*action["rerun"].split()[1:])

    assert outcome.criterion(action["criterion"])["status"] == "fail"


@pytest.mark.parametrize("project_fixture", ["green", "red"])
def test_xdist_gives_the_same_report_and_exit_code(project_fixture: str, request: pytest.FixtureRequest):
    project: Project = request.getfixturevalue(project_fixture)

    alone = project.run("--ralph")
    spread = project.run_apart("--ralph", "-n", "2")

    assert stable(alone) == stable(spread)
    assert alone.code == spread.code


def test_random_order_gives_the_same_report(red: Project):
    reports = []
    for seed in ("1", "2"):
        red.pytester.runpytest_subprocess("--ralph", f"--randomly-seed={seed}")
        report = json.loads((red.pytester.path / ".ralph/report.json").read_text())
        report.pop("run")
        reports.append(json.dumps(report))
    assert reports[0] == reports[1]


def test_k_leaves_the_rest_not_run_and_claims_nothing(green: Project):
    outcome = green.run("--ralph", "-k", "hang")

    assert outcome.code == 0
    assert tuple(outcome.whole[key] for key in ("gate", "state", "complete")) == (
        "incomplete",
        "incomplete",
        False,
    )
    assert outcome.statuses() == {
        "timeout.gives-up": "pass",
        "timeout.connects-in-time": "not_run",
        "timeout.waits-forever": "not_run",
        "timeout.exercised": "not_run",
    }


def test_x_stops_and_leaves_the_rest_not_run(red: Project):
    outcome = red.run("--ralph", "-x")

    assert outcome.code == 1
    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("fail", False)
    assert outcome.statuses()["timeout.connects-in-time"] == "not_run"


def test_x_under_xdist_knows_what_was_not_run(red: Project):
    outcome = red.run_apart("--ralph", "-n", "1", "-x")

    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("fail", False)
    assert {
        "timeout.gives-up",
        "timeout.connects-in-time",
        "timeout.waits-forever",
        "timeout.exercised",
    } == set(outcome.statuses())


def test_lf_runs_only_the_failed_scenario(red: Project):
    red.pytester.runpytest_inprocess("--ralph", "-p", "no:randomly", "-p", "no:rerunfailures")

    result = red.pytester.runpytest_inprocess(
        "--ralph", "-p", "no:randomly", "-p", "no:rerunfailures", "--lf", "-v"
    )

    result.stdout.fnmatch_lines(["*test_charge[[]hang[]] FAILED*", "*2 failed*"])
    report = json.loads((red.pytester.path / ".ralph/report.json").read_text())
    assert report["complete"] is False
    assert {"timeout.connects-in-time": "not_run"}.items() <= {
        each["id"]: each["status"] for each in report["skills"][0]["criteria"]
    }.items()


def test_a_single_item_named_on_the_command_line_claims_nothing_of_the_others(green: Project):
    outcome = green.run("--ralph", "test_it.py::test_charge[hang]")

    assert outcome.code == 0
    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("incomplete", False)
    assert outcome.statuses()["timeout.connects-in-time"] == "not_run"


def test_xfail_is_an_expected_failure_to_pytest_but_no_green_gate(project: Project):
    project.write(
        client=CLIENT, test_it=RED.replace("@ralph", "@pytest.mark.xfail(reason='known')\n@ralph", 1)
    )

    outcome = project.run("--ralph")

    assert "2 xfailed, 2 xpassed" in outcome.output
    assert outcome.whole["gate"] == "fail"
    assert outcome.code == 1


def test_a_skipped_gate_is_no_green_gate(project: Project):
    project.write(
        client=CLIENT, test_it=GREEN.replace("@ralph", "@pytest.mark.skip(reason='later')\n@ralph", 1)
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"
    assert {"skipped"} == set(outcome.statuses().values())
    assert "later" in outcome.criterion("timeout.gives-up")["evidence"]["observed"]


def test_a_test_that_skips_itself_is_no_green_gate(project: Project):
    project.write(client=CLIENT, test_it=GREEN.replace("    charge()", "    pytest.skip('no key')"))

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert {"skipped"} == set(outcome.statuses().values())


def test_pdb_stops_at_a_red_gate(red: Project):
    child = red.pytester.spawn_pytest("--ralph -p no:randomly --pdb test_it.py")
    child.expect("timeout.gives-up: fail")
    child.expect("Pdb")
    child.sendline("q")
    child.read()
    child.close()


def test_reruns_do_not_make_a_flaky_gate_green(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        from client import charge
        seen = []

        @ralph.timeout(10)
        def test_charge(api, request):
            seen.append(request.node.name)
            charge(10 if len(seen) > 7 else 30)
        """,
    )

    outcome = project.run("--ralph", "--reruns", "3")

    assert outcome.not_passed() == {"timeout.gives-up": "fail"}, outcome.output
    assert outcome.code == 1
    assert "rerun" in outcome.output


def test_ctrl_c_in_the_middle_leaves_an_incomplete_report(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        import os, signal
        from client import charge

        @ralph.timeout(10)
        def test_charge(api, _ralph_scenario):
            if _ralph_scenario.id == "unreachable":
                os.kill(os.getpid(), signal.SIGINT)
            charge()
        """,
    )

    outcome = project.run_apart("--ralph")

    assert outcome.code == 2
    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("incomplete", False)
    assert "KeyboardInterrupt" in outcome.output
    assert outcome.statuses()["timeout.connects-in-time"] == "not_run"


def test_the_world_is_gone_after_ctrl_c(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        import socket, time
        from client import charge
        before = (time.sleep, socket.socket.__dict__.get("recv"), time.time())

        @ralph.timeout(10)
        def test_charge(api):
            raise KeyboardInterrupt
        """,
        conftest="""
        import socket, time

        def pytest_unconfigure():
            began = time.monotonic()
            time.sleep(0.01)
            assert "recv" not in vars(socket.socket)
            assert time.monotonic() - began >= 0.01
            print("restored")
        """,
    )

    assert "restored" in project.run_apart("--ralph", "-s").output


def test_output_for_agents_is_short_and_has_one_next_action(red: Project):
    output = red.run("--ralph", "--ralph-output", "agent", "-q", "--tb=no").output

    assert "ralph gate=fail state=in_progress complete=true" in output
    assert "fail test_it/timeout.gives-up: expected each attempt is given up after 10 s" in output
    assert output.count("\nnext: ") == 1
    assert "then: pytest --ralph --ralph-feature test_it --ralph-skill timeout" in output


def test_durations_are_real(green: Project):
    output = green.run("--ralph", "--durations=0", "-vv").output

    slowest = max(float(line.split("s ")[0]) for line in output.splitlines() if "s call" in line)
    # An hour of virtual time passes in each scenario.
    assert slowest < 600


def test_realtime_waits_for_real(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        import time
        from client import charge
        real = []

        @ralph.timeout(10)
        def test_charge(api):
            began = time.perf_counter()
            try:
                charge(0.1)
            finally:
                real.append(time.perf_counter() - began)

        def teardown_module():
            assert max(real) >= 0.1
        """,
    )

    outcome = project.run("--ralph", "--ralph-realtime")

    assert "4 failed" not in outcome.output
    # How long exactly depends on the machine; that it gave up, and too early, does not.
    assert outcome.criterion("timeout.gives-up")["status"] == "fail"


def test_a_manual_gate_judges_what_the_test_makes_happen(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        from client import charge

        @ralph.timeout(10, scenarios="manual")
        def test_charge(api):
            with api.inject(ralph.faults.Hang()):
                with pytest.raises(OSError):
                    charge(30)
        """,
    )

    outcome = project.run("--ralph")

    assert "test_charge[manual]" in outcome.output
    assert "given up after 30 s" in outcome.criterion("timeout.gives-up")["evidence"]["observed"]
    assert outcome.statuses()["timeout.connects-in-time"] == "not_exercised"


def test_capture_and_fixtures_work_in_every_scenario(project: Project):
    project.write(
        client=CLIENT,
        test_it="""
        from client import charge

        @ralph.timeout(10)
        def test_charge(api, capsys, tmp_path, monkeypatch):
            print("hello")
            assert "hello" in capsys.readouterr().out
            (tmp_path / "x").write_text("x")
            charge()
        """,
    )

    assert project.run("--ralph").code == 0


def test_the_plugin_costs_no_heavy_import_when_unused(project: Project):
    (project.pytester.path / "test_it.py").write_text("def test_nothing(): pass")

    def imported(*arguments: str) -> set[str]:
        script = f"import sys, pytest; pytest.main([*{arguments!r}, 'test_it.py']); print(*sys.modules)"
        result = project.pytester.run(sys.executable, "-c", script)
        return set(result.outlines[-1].split())

    own = {"pytest_ralph", "pytest_ralph._plugin", "pytest_ralph.hookspecs"}
    assert own == imported() - imported("-p", "no:ralph")
