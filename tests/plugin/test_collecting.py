"""Gates become items: one per scenario under ``--ralph``, one plain test without."""

from __future__ import annotations

import pytest

from tests.harness import Project

TIMEOUT = """
import requests

@ralph.timeout(10)
def test_charge(api):
    requests.post("http://api.pay.example/v1/charges", json={}, timeout=10).raise_for_status()
"""


def collected(project: Project, *arguments: str) -> list[str]:
    output = project.run("--ralph", "--collect-only", "-q", *arguments).output
    return [line for line in output.splitlines() if "::" in line]


def test_without_ralph_a_gated_test_runs_once_against_the_healthy_answer(project: Project):
    project.write(test_it=TIMEOUT)

    outcome = project.run("-v")

    assert outcome.code == 0
    assert "test_it.py::test_charge PASSED" in outcome.output
    assert "1 passed" in outcome.output
    assert outcome.report is None


def test_with_ralph_there_is_one_item_per_scenario(project: Project):
    project.write(test_it=TIMEOUT)

    assert collected(project) == [
        "test_it.py::test_charge[healthy]",
        "test_it.py::test_charge[hang]",
        "test_it.py::test_charge[hang-in-body]",
        "test_it.py::test_charge[unreachable]",
    ]


def test_scenarios_wanted_by_several_markers_are_played_once(project: Project):
    project.write(test_it=TIMEOUT.replace("@ralph.timeout(10)", "@ralph.timeout(10)\n@ralph.retry"))

    names = collected(project)

    assert len(names) == len(set(names))
    assert sum("[hang]" in name for name in names) == 1
    outcome = project.run("--ralph")
    assert {each["id"]: each["status"] for each in outcome.whole["skills"]} == {
        "timeout": "pass",
        "retry": "fail",
    }
    assert "hang" in outcome.criterion("retry.retries-transient")["evidence"]["also_in"]


def test_several_markers_of_one_kind_are_judged_each(project: Project):
    project.write(test_it=TIMEOUT.replace("@ralph.timeout(10)", "@ralph.timeout(10)\n@ralph.timeout(20)"))

    outcome = project.run("--ralph")

    by_limit = {each["parameters"]["seconds"]: each["status"] for each in outcome.whole["skills"]}
    assert by_limit == {10: "pass", 20: "fail"}


def test_parametrized_tests_are_gated_for_each_parameter(project: Project):
    project.write(
        test_it="""
        import requests

        @pytest.mark.parametrize("limit", [10, 30])
        @ralph.timeout(10)
        def test_charge(api, limit):
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=limit).raise_for_status()
        """
    )

    assert "test_it.py::test_charge[30-hang]" in collected(project)
    outcome = project.run("--ralph")
    entry = outcome.skill("timeout")
    assert entry["tests"] == ["test_it.py::test_charge[10]", "test_it.py::test_charge[30]"]
    gives_up = outcome.criterion("timeout.gives-up")
    assert gives_up["status"] == "fail"
    assert gives_up["evidence"]["nodeid"] == "test_it.py::test_charge[30-hang]"


def test_classes_pass_their_markers_on(project: Project):
    project.write(
        test_it="""
        import requests

        @ralph.feature("payments")
        @ralph.timeout(10)
        class TestPayments:
            def test_charge(self, api):
                requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)

            @ralph.timeout(5)
            def test_charge_fast(self, api):
                requests.post("http://api.pay.example/v1/charges", json={}, timeout=5)
        """
    )

    outcome = project.run("--ralph")

    assert {"payments"} == {each["feature"] for each in outcome.whole["skills"]}
    by_limit = {each["parameters"]["seconds"]: each for each in outcome.whole["skills"]}
    assert by_limit[10]["tests"] == [
        "test_it.py::TestPayments::test_charge",
        "test_it.py::TestPayments::test_charge_fast",
    ]
    assert by_limit[10]["status"] == "fail"
    assert by_limit[5]["status"] == "pass"


def test_the_feature_is_the_module_by_default(project: Project):
    project.write(test_it=TIMEOUT)

    assert project.run("--ralph").skill("timeout")["feature"] == "test_it"


def test_tests_without_gates_are_deselected(project: Project):
    project.write(test_it=TIMEOUT + "\ndef test_other():\n    raise AssertionError\n")

    outcome = project.run("--ralph")

    assert outcome.code == 0
    assert "4 passed, 1 deselected" in outcome.output


def test_no_gate_at_all_is_exit_code_5(project: Project):
    project.write(test_it="def test_other(): pass")

    outcome = project.run("--ralph")

    assert outcome.code == 5
    assert outcome.whole["gate"] == "incomplete"
    assert outcome.whole["complete"] is False
    assert "no gate was judged" in outcome.output


def test_skill_and_feature_select_gates(project: Project):
    project.write(
        test_it=TIMEOUT.replace(
            "@ralph.timeout(10)", "@ralph.feature('a')\n@ralph.retry\n@ralph.timeout(10)"
        ),
        test_other=TIMEOUT.replace("@ralph.timeout(10)", "@ralph.feature('b')\n@ralph.timeout(10)"),
    )

    by_skill = project.run("--ralph", "--ralph-skill", "timeout").whole["skills"]
    assert [(each["feature"], each["id"]) for each in by_skill] == [("a", "timeout"), ("b", "timeout")]

    by_feature = project.run("--ralph", "--ralph-feature", "b").whole
    assert [(each["feature"], each["id"]) for each in by_feature["skills"]] == [("b", "timeout")]
    # All that was asked for is green, but not all there is was asked for.
    assert (by_feature["gate"], by_feature["state"]) == ("pass", "in_progress")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ralph-skill", "retyr"), "--ralph-skill: there is no skill 'retyr'; there are "),
        (("--ralph-feature", "nope"), "--ralph-feature: no gate of feature nope; there are test_it"),
        (("--ralph-output", "robot"), "invalid choice: 'robot'"),
        (("--ralph-seed", "x"), "invalid int value: 'x'"),
    ],
)
def test_wrong_options_are_usage_errors(project: Project, arguments: tuple[str, ...], message: str):
    project.write(test_it=TIMEOUT)

    outcome = project.run("--ralph", *arguments)

    assert outcome.code == 4
    assert message in outcome.output


def test_unittest_methods_cannot_be_gated(project: Project):
    project.write(
        test_it="""
        import unittest

        class TestIt(unittest.TestCase):
            @ralph.timeout(10)
            def test_charge(self):
                pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 4
    assert "test_it.py::TestIt::test_charge: methods of unittest.TestCase cannot be gated" in outcome.output


def test_the_marker_can_be_used_for_selection(project: Project):
    project.write(test_it=TIMEOUT + "\n@ralph.retry\ndef test_retry(api): pass\n")

    outcome = project.run("-m", "ralph(skill='retry')", "-v")

    assert "test_retry PASSED" in outcome.output
    assert "1 passed, 1 deselected" in outcome.output


def test_a_feature_needs_a_name(project: Project):
    project.write(test_it="@ralph.feature\ndef test_charge(api): pass")

    outcome = project.run("--ralph")

    assert outcome.code == 2
    assert "@ralph.feature: needs a name such as @ralph.feature('payments')" in outcome.output


def test_a_reset_needs_a_function(project: Project):
    project.write(test_it="@ralph.reset('cache')\ndef test_charge(api): pass")

    outcome = project.run("--ralph")

    assert outcome.code == 2
    assert "@ralph.reset: needs a function to call" in outcome.output


def test_hypothesis_tests_cannot_be_gated(project: Project):
    project.write(
        test_it="""
        from hypothesis import given, strategies as st

        @ralph.timeout(10)
        @given(st.integers())
        def test_charge(number):
            pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 4
    assert "test_it.py::test_charge" in outcome.output
    assert "a test with @given makes many calls" in outcome.output
