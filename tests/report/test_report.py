"""The report: valid under its schema, the same for the same code, and written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_ralph.cli import main
from pytest_ralph.report import agent, jsonfile, terminal
from pytest_ralph.report.model import Circumstances, Result, build, red
from tests.harness import Project

CLIENT = """
import requests

def charge(timeout):
    requests.post("https://api.pay.example/v1/charges", json={}, timeout=timeout).raise_for_status()
"""
TEST = """
import client

@pytest.fixture
def secure(ralph_upstream):
    ralph_upstream("https://api.pay.example").post("/v1/charges", json={"id": "ch_1"})

@ralph.feature("payments")
@ralph.retry(jitter=0.5)
@ralph.timeout(10, total=60)
@pytest.mark.parametrize("limit", [10, None])
def test_charge(secure, limit):
    client.charge(limit)

@ralph.feature("broken")
@ralph.timeout(10)
def test_broken(secure):
    raise KeyError("x")
"""

PLAN = {
    "t.py::a": {
        "gates": [
            {
                "feature": "payments",
                "skill": "timeout",
                "title": "limits every wait",
                "phase": "resilience",
                "rests_on": [],
                "parameters": {"seconds": 10},
                "criteria": [
                    {
                        "id": "timeout.gives-up",
                        "kind": "pass",
                        "text": "gives up after 10 s",
                        "untested": "nothing was given up",
                        "scenarios": ["hang"],
                    },
                    {
                        "id": "timeout.exercised",
                        "kind": "pass",
                        "text": "the fault was met",
                        "untested": "",
                        "scenarios": ["hang", "unreachable"],
                    },
                ],
            }
        ],
        "scenarios": ["healthy", "hang", "unreachable"],
        "items": {
            "healthy": "t.py::a[healthy]",
            "hang": "t.py::a[hang]",
            "unreachable": "t.py::a[unreachable]",
        },
    }
}
EVIDENCE = {
    "expected": "10 s",
    "observed": "30 s",
    "scenario": "hang",
    "aimed_at": "POST /",
    "nodeid": "t.py::a[hang]",
    "location": {"file": "a.py", "line": 3, "function": "f"},
    "timeline": ["0.000 POST / -> no answer"],
}


def verdict(criterion: str, status: str = "pass") -> dict[str, Any]:
    found: dict[str, Any] = {"gate": 0, "criterion": f"timeout.{criterion}", "status": status}
    return found if status == "pass" else {**found, "evidence": EVIDENCE, "prompt": "Do it."}


def results(**changed: Result) -> dict[str, Result]:
    exercised = verdict("exercised")
    found = {
        "healthy": Result(outcome="judged"),
        "hang": Result(outcome="judged", verdicts=(verdict("gives-up"), exercised)),
        "unreachable": Result(outcome="judged", verdicts=(exercised,)),
    }
    return {f"t.py::a[{name}]": result for name, result in {**found, **changed}.items()}


def folded(found: dict[str, Result], **circumstances: Any) -> dict[str, Any]:
    run = {"id": "1", "started": "now", "duration": 0.1, "versions": {}}
    report = build(PLAN, found, Circumstances(run=run, **circumstances), lambda _: 0)
    jsonschema.validate(report, jsonfile.schema())
    return report


def test_all_passed_is_green():
    report = folded(results())

    assert (report["gate"], report["state"], report["complete"]) == ("pass", "green", True)
    assert report["next_action"] is None
    assert not red(report)


@pytest.mark.parametrize(
    ("changed", "gate", "status"),
    [
        (
            {"hang": Result(outcome="judged", verdicts=(verdict("gives-up", "fail"), verdict("exercised")))},
            "fail",
            "fail",
        ),
        ({"hang": Result(outcome="judged", verdicts=(verdict("exercised"),))}, "fail", "not_exercised"),
        ({"hang": Result(outcome="skipped", reason="later")}, "fail", "skipped"),
        ({"hang": Result(outcome="error", reason="setup failed")}, "fail", "error"),
        ({"hang": Result(outcome="broken", reason="KeyError")}, "fail", "not_exercised"),
    ],
)
def test_anything_but_a_pass_is_red(changed: dict[str, Result], gate: str, status: str):
    report = folded(results(**changed))

    assert report["gate"] == gate
    assert report["skills"][0]["criteria"][0]["status"] == status
    assert report["next_action"] is not None
    assert red(report)


def test_what_was_not_run_is_neither_red_nor_green():
    found = results()
    del found["t.py::a[unreachable]"]

    report = folded(found)

    assert (report["gate"], report["state"], report["complete"]) == ("incomplete", "incomplete", False)
    assert not red(report)
    assert [each["status"] for each in report["skills"][0]["criteria"]] == ["pass", "not_run"]


def test_an_interrupted_run_is_not_complete_even_if_everything_passed():
    assert folded(results(), interrupted=True)["gate"] == "incomplete"


def test_a_selection_is_never_the_whole():
    assert folded(results(), left_out=["--ralph-skill retry"])["state"] == "in_progress"


def test_an_operation_that_no_fault_ever_met_is_not_exercised():
    reached = Result(
        outcome="judged",
        verdicts=(verdict("gives-up"), verdict("exercised")),
        reached=("GET /token of x", "POST / of x"),
        met=("POST / of x",),
    )

    report = folded(results(hang=reached))

    exercised = report["skills"][0]["criteria"][1]
    assert exercised["status"] == "not_exercised"
    assert "no fault was met by GET /token of x" in exercised["evidence"]["observed"]


def test_the_order_of_arrival_changes_nothing():
    found = results(hang=Result(outcome="judged", verdicts=(verdict("gives-up", "fail"),)))

    assert folded(found) == folded(dict(reversed(list(found.items()))))


def test_files_named_on_the_command_line_are_named_again():
    found = results(hang=Result(outcome="judged", verdicts=(verdict("gives-up", "fail"),)))
    report = build(PLAN, found, Circumstances(), lambda _: 0, ["tests/a b.py"])

    assert (
        report["next_action"]["rerun"]
        == "pytest --ralph 'tests/a b.py' --ralph-feature payments --ralph-skill timeout"
    )


def test_real_reports_are_valid_and_the_same_on_every_run(project: Project):
    project.write(client=CLIENT, test_it=TEST)

    first, second = (project.run_apart("--ralph").whole for _ in range(2))

    for report in (first, second):
        jsonschema.validate(report, jsonfile.schema())
    assert first["run"] != second["run"]
    first.pop("run"), second.pop("run")
    assert jsonfile.dumps(first) == jsonfile.dumps(second)
    assert {each["status"] for each in first["skills"]} == {"fail", "error"}


def test_reports_without_gates_are_valid(project: Project):
    project.write(test_it="def test_it(): pass")

    jsonschema.validate(project.run("--ralph").whole, jsonfile.schema())


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "deep" / "report.json"
    jsonfile.write({"a": 1}, path)

    with pytest.raises(TypeError):
        jsonfile.write({"a": object()}, path)

    assert json.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]


MATRIX = """\
feature   skill    gate           criteria
payments  timeout  FAIL           1 of 2; failed: gives-up

payments / timeout: limits every wait
  t.py::a
  FAIL  gives-up: gives up after 10 s
        Expected 10 s
        Observed 30 s
        Scenario hang at POST /
        Where    a.py:3 in f
        Evidence 0.000 POST / -> no answer
  pass  exercised

Next: payments / timeout.gives-up
  Do it.
  pytest --ralph --ralph-feature payments --ralph-skill timeout
gate: FAIL  (1 fail, 1 pass)
"""


def test_the_matrix_at_80_columns():
    found = results(
        hang=Result(outcome="judged", verdicts=(verdict("gives-up", "fail"), verdict("exercised")))
    )

    lines = [line for line, _ in terminal.render(folded(found), 80)]

    assert "\n".join(lines) + "\n" == MATRIX


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_the_terminal(project: Project, width: int):
    project.write(client=CLIENT, test_it=TEST)
    report = project.run("--ralph").whole

    for line, _ in terminal.render(report, width):
        # A single word, such as a test id, is not broken; the rerun command is to be copied.
        assert len(line) <= width or len(line.split()) == 1 or "pytest --ralph" in line


def test_the_matrix_of_an_incomplete_run():
    found = results()
    del found["t.py::a[unreachable]"]

    lines = [line for line, _ in terminal.render(folded(found), 80)]

    assert "payments  timeout  not run        1 of 2; 1 not run" in lines
    assert "gate: INCOMPLETE  (1 not run, 1 pass)" in lines


def test_the_matrix_of_a_green_run():
    lines = [line for line, _ in terminal.render(folded(results()), 80)]

    assert lines == [
        "feature   skill    gate           criteria",
        "payments  timeout  pass           2 of 2",
        "",
        "gate: PASS  (2 pass)",
    ]


def test_output_for_agents():
    found = results(hang=Result(outcome="judged", verdicts=(verdict("gives-up", "fail"),)))

    assert list(agent.render(folded(found), "r.json")) == [
        "ralph gate=fail state=in_progress complete=true features=1 skills=1 criteria=2 pass=1 fail=1",
        "fail payments/timeout.gives-up: expected 10 s; observed 30 s at a.py:3",
        "next: Do it.",
        "then: pytest --ralph --ralph-feature payments --ralph-skill timeout",
    ]


def test_output_for_agents_of_a_broken_gate():
    lines = list(
        agent.render(folded(results(hang=Result(outcome="broken", reason="KeyError: 'x'"))), "r.json")
    )

    assert "error payments/timeout: healthy call fails: KeyError: 'x'" in lines
    assert sum(line.startswith("next: ") for line in lines) == 1


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]):
    assert main(["schema"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed == jsonfile.schema()
    jsonschema.Draft202012Validator.check_schema(printed)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]):
    for arguments, shown in (
        (["--help"], "pytest-ralph schema > report.schema.json"),
        (["--version"], "pytest-ralph 0."),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
        assert shown in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 4
