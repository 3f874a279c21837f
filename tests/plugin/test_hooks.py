"""Other people's skills and criteria: wrong ones are refused, and none is dropped unseen."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

SKILL = """
from dataclasses import dataclass
import pytest_ralph as ralph
from pytest_ralph.extend import *

@dataclass(frozen=True, kw_only=True)
class Spec:
    scenarios: str = "auto"
    def parameters(self):
        return {}

def quiet():
    return attach("quiet", Spec, name="acme.quiet")

def criterion(id="few-requests", kind="pass", judge=lambda spec, play: PASSED):
    return Criterion(
        id=id, kind=kind, judge=judge, text=lambda _: "is quiet", scenarios=lambda _: (HEALTHY,),
        fix=lambda _: "Hush",
    )

def skill(id="quiet", phase="core", criteria=(criterion(),)):
    return Skill(
        id=id, marker="quiet", title="is quiet", phase=phase, criteria=criteria, keep=lambda _: "the rest"
    )
"""
GATED = """
import acme, requests

@acme.quiet()
def test_call(api):
    requests.post("http://api.pay.example/v1/charges", timeout=1)
"""


def run(project: Project, conftest: str, test: str = GATED) -> Outcome:
    project.write(acme=SKILL, conftest=f"import acme\n{conftest}\n", test_it=test)
    return project.run("--ralph")


def test_a_skill_of_a_conftest_is_judged(project: Project):
    outcome = run(project, "def pytest_ralph_skills(): return [acme.skill()]")

    # None of its scenarios has a fault, so there is none that had to be met.
    assert outcome.statuses() == {"quiet.few-requests": "pass"}
    assert outcome.whole["gate"] == "pass"
    assert outcome.code == 0


@pytest.mark.parametrize(
    "conftest",
    [
        "",
        "def pytest_ralph_skills(): return []",
        "def pytest_ralph_skills(): return [acme.skill(id='other')]",
    ],
)
def test_a_gate_of_a_skill_that_nobody_adds_is_an_error(project: Project, conftest: str):
    outcome = run(project, conftest)

    assert outcome.code == 4
    assert "test_it.py::test_call: there is no skill 'quiet'; there are" in outcome.output
    assert "pytest_ralph_skills" in outcome.output


@pytest.mark.parametrize(
    ("conftest", "message"),
    [
        ("def pytest_ralph_skills(): return ['quiet']", "expected a Skill, got 'quiet'"),
        ("def pytest_ralph_skills(): return [acme.skill(id='retry')]", "skill 'retry' is defined twice"),
        ("def pytest_ralph_skills(): return [acme.skill()] * 2", "skill 'quiet' is defined twice"),
        ("def pytest_ralph_skills(): return [acme.skill(id='Be Quiet')]", "must be in kebab-case"),
        ("def pytest_ralph_skills(): return [acme.skill(phase='later')]", "phase must be one of"),
        ("def pytest_ralph_skills(): return [acme.skill(criteria=[1])]", "expected a Criterion, got 1"),
        (
            "def pytest_ralph_criteria(skill): return [acme.criterion(kind='maybe')]",
            "must be 'pass' or 'fail'",
        ),
        ("def pytest_ralph_criteria(skill): return [acme.criterion()] * 2", "new in its skill"),
        ("def pytest_ralph_criteria(skill): return [acme.criterion(id='exercised')]", "not 'exercised'"),
    ],
)
def test_what_is_not_well_formed_is_refused(project: Project, conftest: str, message: str):
    outcome = run(project, conftest)

    assert outcome.code == 4
    assert message in outcome.output
    assert "INTERNALERROR" not in outcome.output


def test_a_criterion_that_breaks_is_an_error_and_no_pass(project: Project):
    outcome = run(
        project, "def pytest_ralph_skills(): return [acme.skill(criteria=(acme.criterion(judge=None),))]"
    )

    assert outcome.statuses()["quiet.few-requests"] == "error"
    assert outcome.code == 1


def test_a_criterion_is_added_to_every_gate_of_a_skill(project: Project):
    outcome = run(
        project,
        """
def pytest_ralph_criteria(skill):
    return [acme.criterion(id="is-quiet")] if skill == "timeout" else []
""",
        GATED.replace("@acme.quiet()", "@ralph.timeout(1)\n@ralph.retry"),
    )

    assert outcome.statuses()["timeout.is-quiet"] == "pass"
    assert "retry.is-quiet" not in outcome.statuses()


def test_the_report_is_told_once_and_cannot_be_changed(project: Project):
    conftest = """
def judge(spec, play):
    return acme.failed("a", "b", None, play.timeline)

def pytest_ralph_skills():
    return [acme.skill(criteria=(acme.criterion(judge=judge),))]

def pytest_ralph_report(config, report):
    print("told of", report["gate"], report["skills"][0]["id"])
    report["gate"] = "pass"
    report["skills"].clear()
"""
    outcome = run(project, conftest)

    assert outcome.output.count("told of fail quiet") == 1
    assert outcome.whole["gate"] == "fail"
    assert outcome.whole["skills"]
    assert outcome.code == 1


def test_a_wrong_argument_is_shown_under_the_name_of_the_marker(project: Project):
    outcome = run(
        project,
        "",
        GATED.replace("@acme.quiet()", "@acme.attach('quiet', lambda: int('x'), name='acme.hush')"),
    )

    assert outcome.code == 2
    assert "@acme.hush: invalid literal" in outcome.output
