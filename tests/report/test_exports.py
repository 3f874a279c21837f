"""Other formats: Markdown, annotations, JUnit properties, CTRF and SARIF."""

from __future__ import annotations

import datetime as dt
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sarif_pydantic import Sarif

from pytest_ralph.core.policy import Policy, Waiver
from pytest_ralph.report import ctrf, github, markdown, sarif
from pytest_ralph.report.model import Integrity
from tests.harness import Project
from tests.report import made

WAIVER = Waiver(
    feature="payments", criterion="retry.recovers", reason="later", owner="ann", expires=dt.date(2030, 1, 1)
)
RUN = {
    **made.RUN,
    "started": "2026-11-24T08:00:00+00:00",
    "duration": 1.5,
    "versions": {"pytest-ralph": "0.1"},
}


@pytest.fixture
def report() -> dict[str, Any]:
    """One of every status."""
    report = made.report(
        made.skill(
            {
                "retry.backoff": "fail",
                "retry.recovers": "fail",
                "retry.exercised": "not_exercised",
                "retry.logs-each-retry": "error",
                "retry.max-retries": "pass",
                "retry.silent-retries": "skipped",
            }
        ),
        made.skill({"timeout.gives-up": "not_run"}, feature="orders"),
        made.skill({"timeout.gives-up": "not_exercised"}, feature="users", problem="KeyError: 'x'"),
        policy=Policy(waivers=(WAIVER,)),
        complete=False,
    )
    report["run"] = RUN
    return report


def failing(feature: str, observed: str) -> dict[str, Any]:
    """A skill that fails in one way."""
    return made.skill([made.criterion("retry.a", "fail", feature, observed=observed)], feature=feature)


# As the npm package ctrf 0.3.0 carries it (MIT); the specification is at https://ctrf.io/docs/specification.
CTRF = json.loads(Path(__file__).with_name("ctrf-schema-0.0.json").read_text(encoding="utf-8"))
CTRF_COUNTS = CTRF["properties"]["results"]["properties"]["summary"]["required"]


def test_ctrf(report: dict[str, Any]):
    found = ctrf.convert(report)

    jsonschema.validate(found, CTRF)
    results = found["results"]
    assert {each["name"]: each["status"] for each in results["tests"]} == {
        "payments/retry.backoff": "failed",
        "payments/retry.recovers": "passed",
        "payments/retry.exercised": "failed",
        "payments/retry.logs-each-retry": "failed",
        "payments/retry.max-retries": "passed",
        "payments/retry.silent-retries": "skipped",
        "orders/timeout.gives-up": "pending",
        "users/timeout": "failed",
    }
    assert {name: results["summary"][name] for name in CTRF_COUNTS} == {
        "tests": 8,
        "passed": 2,
        "failed": 4,
        "skipped": 1,
        "pending": 1,
        "other": 0,
        "start": 1795507200000,
        "stop": 1795507201500,
    }


def test_sarif(report: dict[str, Any]):
    found = sarif.convert(report)

    Sarif.model_validate(found)
    (run,) = found["runs"]
    levels = {each["message"]["text"].partition(":")[0]: each["level"] for each in run["results"]}
    assert levels == {
        "payments/retry.backoff": "error",
        "payments/retry.recovers": "warning",
        "payments/retry.exercised": "warning",
        "payments/retry.logs-each-retry": "error",
        "payments/retry.silent-retries": "warning",
        "orders/timeout.gives-up": "note",
        "users/timeout": "error",
    }
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    (waived,) = [each for each in run["results"] if "suppressions" in each]
    assert waived["suppressions"][0]["justification"] == "later (ann, until 2030-01-01)"
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "pay.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 41},
    }


def test_sarif_names_the_test_where_no_line_is_known():
    skill = made.skill([made.criterion("retry.backoff", "not_exercised", location=None)])
    found = made.report(skill)
    found["run"] = RUN

    (result,) = sarif.convert(found)["runs"][0]["results"]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "t.py"


def test_annotations(report: dict[str, Any]):
    lines = list(github.render(report))

    assert (
        "::error file=pay.py,line=41,title=users/timeout::expected what timeout wants; observed KeyError: 'x'"
    ) in lines
    assert [re.search("title=([^:]*)", line)[1] for line in lines if line.startswith("::error ")] == [  # type: ignore[index]
        "payments/retry.logs-each-retry",
        "users/timeout",
        "payments/retry.backoff",
        "payments/retry.exercised",
        "payments/retry.silent-retries",
    ]


def test_annotations_are_escaped():
    location = {"file": "a,b:c.py", "line": 1, "function": "f"}
    skill = made.skill([made.criterion("retry.backoff", "fail", observed="50 %\nof it", location=location)])

    (line,) = github.render(made.report(skill))

    assert line == (
        "::error file=a%2Cb%3Ac.py,line=1,title=payments/retry.backoff::expected what retry.backoff wants; "
        "observed 50 %25%0Aof it"
    )


def test_annotations_keep_the_limit_of_the_platform():
    skills = [
        made.skill([made.criterion("retry.a", "fail", f"f{n}", observed=f"n {n}")], feature=f"f{n}")
        for n in range(30)
    ]

    lines = list(github.render(made.report(*skills)))

    assert len(lines) == 10
    assert lines[-1] == "::error title=pytest-ralph::21 more causes in the report"


def test_markdown(report: dict[str, Any]):
    text = markdown.render(report)

    assert text.startswith("## Production readiness: FAIL (in progress)\n\n1 fail, 1 error, ")
    assert "| payments | retry | ❌ fail | 2 of 6 |" in text
    assert "<details><summary>❌ payments/retry.backoff at `pay.py:41`</summary>" in text
    assert text.endswith("\n    pytest --ralph --ralph-feature payments --ralph-skill retry\n")


def test_markdown_means_what_it_says():
    skill = made.skill([made.criterion("retry.backoff", "fail", observed="<b>|`x`|</b> *y*\n# z")])

    text = markdown.render(made.report(skill, integrity=Integrity(canary="forged")))

    assert "observed: &#60;b&#62;&#124;&#96;x&#96;&#124;&#60;/b&#62; &#42;y&#42; # z\n" in text
    assert "**tampered:** a test that must come out red did not" in text


def test_markdown_stays_below_what_a_summary_may_hold():
    skills = [
        made.skill(
            [made.criterion("retry.a", "fail", f"f{n}", observed=f"{n} {'x' * 5000}")], feature=f"f{n}"
        )
        for n in range(2000)
    ]

    assert len(markdown.render(made.report(*skills)).encode()) < 1_000_000


TEST = """
import requests

@ralph.feature("payments")
@ralph.timeout(10)
def test_charge(api):
    requests.post("http://api.pay.example/v1/charges", json={}, timeout=(10, 30))
"""


def test_a_run_writes_all_of_them(project: Project):
    project.write(test_it=TEST)
    folder = project.pytester.path

    outcome = project.run(
        "--ralph",
        "--ralph-markdown=out/summary.md",
        "--ralph-ctrf=out/ctrf.json",
        "--ralph-sarif=out/report.sarif",
        "--ralph-annotations",
        "--junitxml=out/junit.xml",
    )

    assert "## Production readiness: FAIL" in (folder / "out/summary.md").read_text(encoding="utf-8")
    jsonschema.validate(json.loads((folder / "out/ctrf.json").read_text()), CTRF)
    Sarif.model_validate(json.loads((folder / "out/report.sarif").read_text()))
    assert re.search(
        r"^::error file=.*,line=\d+,title=payments/timeout.gives-up::", outcome.output, re.MULTILINE
    )
    check_junit(folder / "out/junit.xml")


def check_junit(path: Path) -> None:
    cases = {case.get("name"): case for case in ET.parse(path).iter("testcase")}
    properties = [
        (each.get("name"), each.get("value")) for each in cases["test_charge[hang]"].iter("property")
    ]
    assert properties == [
        ("ralph.feature", "payments"),
        ("ralph.scenario", "hang"),
        ("ralph.timeout.gives-up", "fail"),
        ("ralph.timeout.waits-forever", "pass"),
        ("ralph.timeout.exercised", "pass"),
    ]


def test_properties_reach_the_controller(project: Project):
    project.write(test_it=TEST)

    project.run_apart("--ralph", "-n", "2", "--junitxml=junit.xml")

    check_junit(project.pytester.path / "junit.xml")


def test_what_cannot_be_written_is_a_usage_error(project: Project):
    project.write(test_it=TEST)

    outcome = project.run("--ralph", "--ralph-sarif=.")

    assert outcome.code == 4
    assert "--ralph-sarif: cannot write" in outcome.output
