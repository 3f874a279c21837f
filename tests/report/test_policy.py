"""The policy: what it demands, what it waives, what it allows, and that errors in it say what is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.policy import Policy, PolicyError, parse
from pytest_ralph.report.policyfile import load
from tests.docs.pages import DOCS, blocks
from tests.harness import Project
from tests.report import made

SKILLS = ("retry", "timeout", "fallback", "logs")
TODAY = dt.date(2030, 6, 15)


def policy(text: str, tmp_path: Path) -> Policy:
    (tmp_path / "ralph.toml").write_text(text, encoding="utf-8")
    return load(tmp_path, SKILLS)


def problems(text: str, tmp_path: Path, *skills: dict[str, Any], **circumstances: Any) -> dict[str, str]:
    """What a report of these entries says of the policy."""
    report = made.report(*skills, policy=policy(text, tmp_path), today=TODAY, **circumstances)
    assert (report["gate"] == "fail") >= bool(report["policy"])
    return {each["subject"]: each["text"] for each in report["policy"]}


PASSING = made.skill({"retry.backoff": "pass"})


def test_without_a_policy_nothing_is_demanded(tmp_path: Path):
    assert load(tmp_path, SKILLS) == Policy()


def test_a_policy_may_stand_in_pyproject(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[tool.ralph]\nrequired = ["retry"]\n')

    assert load(tmp_path, SKILLS).demand.required == ("retry",)


def test_required_skills(tmp_path: Path):
    text = 'required = ["retry", "timeout"]'

    assert problems(text, tmp_path, PASSING) == {
        "feature payments, skill timeout": "has no gate, and is required"
    }
    assert problems(text, tmp_path, PASSING, made.skill({"timeout.gives-up": "pass"})) == {}


def test_required_skills_of_one_feature(tmp_path: Path):
    text = '[features.payments]\nrequired = ["timeout"]'

    assert list(problems(text, tmp_path, PASSING)) == ["feature payments, skill timeout"]
    other = made.skill({"retry.backoff": "pass"}, feature="orders")
    assert list(problems(text, tmp_path, other)) == ["feature payments"]


def test_a_minimum_of_skills(tmp_path: Path):
    text = "[minimum]\nresilience = 3"

    found = problems(text, tmp_path, PASSING, made.skill({"timeout.gives-up": "pass"}))

    assert found == {
        "feature payments, phase resilience": "has 2 of at least 3 skills (retry, timeout)",
    }
    third = made.skill({"fallback.serves-fallback": "pass"})
    assert problems(text, tmp_path, PASSING, made.skill({"timeout.gives-up": "pass"}), third) == {}


def test_two_gates_with_one_skill_are_one_skill(tmp_path: Path):
    assert list(problems("[minimum]\nresilience = 2", tmp_path, PASSING, PASSING)) == [
        "feature payments, phase resilience"
    ]


def test_levels_include_those_below(tmp_path: Path):
    text = 'level = "silver"\n[levels]\nbronze = ["timeout"]\nsilver = ["retry"]\ngold = ["logs"]'

    assert problems(text, tmp_path, PASSING) == {
        "feature payments, skill timeout": "has no gate, and belongs to level silver"
    }


def test_a_selection_says_nothing_about_what_is_missing(tmp_path: Path):
    text = 'required = ["timeout"]'

    assert problems(text, tmp_path, PASSING, left_out=["--ralph-skill retry"]) == {}


def test_what_is_missing_is_the_next_action_when_all_holds(tmp_path: Path):
    report = made.report(PASSING, policy=policy('required = ["timeout"]', tmp_path))

    assert (report["gate"], report["state"]) == ("fail", "in_progress")
    assert report["next_action"]["prompt"] == (
        "feature payments, skill timeout has no gate, and is required. Gate the feature payments with "
        "timeout: add @ralph.timeout to its test (pytest-ralph explain timeout shows what it judges), then "
        "make the code pass it."
    )


WAIVER = """
[[waivers]]
feature = "payments"
criterion = "CRITERION"
reason = "the gateway is replaced in July"
owner = "ann"
expires = 2030-06-DAY
"""


def waiver(criterion: str = "retry.backoff", day: int = 15) -> str:
    return WAIVER.replace("CRITERION", criterion).replace("DAY", str(day))


@pytest.mark.parametrize("status", ["fail", "not_exercised", "error", "skipped"])
@pytest.mark.parametrize("criterion", ["retry.backoff", "retry"])
def test_what_is_waived_satisfies_its_gate_until_its_last_day(tmp_path: Path, status: str, criterion: str):
    report = made.report(
        made.skill({"retry.backoff": status, "retry.recovers": "pass"}),
        policy=policy(waiver(criterion), tmp_path),
        today=TODAY,
    )

    assert (report["gate"], report["state"], report["policy"]) == ("pass", "green", [])
    assert report["summary"]["waived"] == 1
    assert report["skills"][0]["status"] == "waived"
    assert report["skills"][0]["criteria"][0]["waiver"] == {
        "reason": "the gateway is replaced in July",
        "owner": "ann",
        "expires": "2030-06-15",
    }


def test_an_expired_waiver_is_red_and_waives_nothing(tmp_path: Path):
    red = made.skill({"retry.backoff": "fail"})

    report = made.report(red, policy=policy(waiver(day=14), tmp_path), today=TODAY)

    assert report["summary"]["fail"] == 1
    assert [each["text"] for each in report["policy"]] == ["expired on 2030-06-14 (owner: ann)"]


def test_an_expired_waiver_is_red_even_if_all_holds(tmp_path: Path):
    assert list(problems(waiver(day=14), tmp_path, PASSING)) == ["waiver payments/retry.backoff"]


@pytest.mark.parametrize("criterion", ["retry.backoff", "retry", "timeout"])
def test_an_unused_waiver_is_red(tmp_path: Path, criterion: str):
    found = problems(waiver(criterion), tmp_path, PASSING)

    assert list(found.values()) == ["waives nothing: what it names holds, or is not there"]


def test_a_waiver_of_what_was_not_run_is_not_unused(tmp_path: Path):
    unrun = made.skill({"retry.backoff": "not_run"})

    assert problems(waiver(), tmp_path, unrun, complete=False) == {}
    assert problems(waiver("timeout"), tmp_path, PASSING, left_out=["--ralph-skill retry"]) == {}


@pytest.mark.parametrize(
    "entry",
    [
        made.skill({"retry.backoff": "fail"}, feature="orders"),
        made.skill({"retry.recovers": "fail"}),
        made.skill({"retry.backoff": "not_exercised"}, problem="KeyError"),
        made.skill({"retry.backoff": "not_run"}),
    ],
    ids=["another feature", "another criterion", "broken when healthy", "not run"],
)
def test_a_waiver_waives_nothing_else(tmp_path: Path, entry: dict[str, Any]):
    report = made.report(entry, policy=policy(waiver(), tmp_path), today=TODAY)

    assert report["summary"]["waived"] == 0
    assert report["state"] != "green"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('require = ["retry"]', "ralph.toml: require: expected one of the keys paths, required"),
        ("required = 3", "ralph.toml: required: expected a list of texts, got 3"),
        ('required = ["retri"]', "required: expected ids of skills; there are retry, timeout, fallback, logs, got 'retri'"),  # noqa: E501
        ("minimum = 3", "minimum: expected a table, got 3"),
        ("[minimum]\nspeed = 3", "minimum: expected phases; there are core, defensive, resilience"),
        ("[minimum]\nresilience = 0", "minimum.resilience: expected a whole number from 1, got 0"),
        ("[minimum]\nresilience = true", "minimum.resilience: expected a whole number from 1, got True"),
        ('level = "gold"', "level: expected a level, defined under levels, got 'gold'"),
        ('level = "gold"\n[levels]\nbronze = []', "level: expected a level; there are bronze, got 'gold'"),
        ('[levels]\nbronze = ["x"]', "levels.bronze: expected ids of skills"),
        ("[features]\npayments = 3", "features.payments: expected a table, got 3"),
        ("[features.payments]\nhosts = []", "features.payments.hosts: expected one of the keys required, minimum"),  # noqa: E501
        ("hosts = [1]", "hosts: expected a list of texts, got [1]"),
        ("waivers = 1", "waivers: expected a list of tables, got 1"),
        (waiver().replace('owner = "ann"', ""), "waivers[0].owner: expected who answers for it, got None"),
        (waiver().replace('"the gateway is replaced in July"', '" "'), "waivers[0].reason: expected why it need not hold, got ' '"),  # noqa: E501
        (waiver().replace("2030-06-15", '"soon"'), "waivers[0].expires: expected the last day on which it holds, such as 2030-12-31, got 'soon'"),  # noqa: E501
        (waiver().replace("expires = 2030-06-15", ""), "waivers[0].expires: expected the last day"),
        (waiver().replace("2030-06-15", "2030-06-15T00:00:00"), "waivers[0].expires: expected the last day"),
        (waiver("x.y"), "waivers[0].criterion: expected the id of a criterion such as 'retry.backoff'"),
        (waiver() + waiver(), "waivers[1]: expected one waiver for each criterion, got 'payments/retry.backoff'"),  # noqa: E501
        (waiver() + 'until = "x"', "waivers[0].until: expected one of the keys feature, criterion"),
        ("[defaults]\nretri = {}", "defaults: expected ids of skills"),
        ("[defaults]\nretry = 3", "defaults.retry: expected a table, got 3"),
        ("required = [", "ralph.toml: the file: expected TOML, got"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(tmp_path: Path, text: str, message: str):
    with pytest.raises(PolicyError) as caught:
        policy(text, tmp_path)

    assert message in str(caught.value)


def test_two_policies_are_one_too_many(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text("[tool.ralph]\n")

    with pytest.raises(
        PolicyError, match=r"pyproject.toml: tool.ralph: expected one policy, and ralph.toml is"
    ):
        policy("", tmp_path)


def test_errors_in_pyproject_name_the_whole_key():
    with pytest.raises(PolicyError, match=r"pyproject.toml: tool.ralph.minimum.resilience: expected"):
        parse({"minimum": {"resilience": 0}}, file="pyproject.toml", prefix="tool.ralph", skills=SKILLS)


# -- in real runs -------------------------------------------------------------------------------------------

TEST = """
from tests.subjects import timeouts

@ralph.feature("payments")
@ralph.timeout(10)
def test_charge(api):
    timeouts.CALL()
"""


def configure(project: Project, text: str) -> None:
    (project.pytester.path / "ralph.toml").write_text(text, encoding="utf-8")


def test_a_run_says_which_skill_is_missing(project: Project):
    configure(project, 'required = ["retry"]')
    project.write(test_it=TEST.replace("CALL", "right"))

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"
    assert "policy: feature payments, skill retry has no gate," in outcome.output


def test_a_run_honours_a_waiver(project: Project):
    text = waiver("timeout.gives-up").replace("2030-06-15", "9999-12-31")
    configure(project, text)
    project.write(test_it=TEST.replace("CALL", "too_long"))

    outcome = project.run("--ralph", "--ralph-output", "agent")

    assert outcome.whole["state"] == "green"
    assert outcome.code == 0, "pytest's own failures of what is waived do not count"


def test_a_run_refuses_a_wrong_policy(project: Project):
    configure(project, 'hosts = "x"')
    project.write(test_it=TEST.replace("CALL", "right"))

    outcome = project.run("--ralph")

    assert outcome.code == 4
    assert "ralph.toml: hosts: expected a list of texts, got 'x'" in outcome.output


HOST = """
import socket
from tests.subjects import timeouts

@ralph.timeout(10)
def test_charge(api):
    socket.getaddrinfo("license.example", 443)
"""


def test_a_host_that_is_not_allowed_is_refused(project: Project):
    project.write(test_it=HOST)

    assert "license.example" in project.run("--ralph").whole["skills"][0]["problem"]["evidence"]["observed"]


def test_an_allowed_host_is_left_to_the_real_network(project: Project):
    configure(project, 'hosts = ["license.example"]')
    project.write(test_it=HOST)

    observed = project.run("--ralph").whole["skills"][0]["problem"]["evidence"]["observed"]

    assert observed.startswith("gaierror"), "there is no such host, and that is the real resolver's answer"


def test_defaults_of_markers(project: Project):
    configure(project, "[defaults.timeout]\nseconds = 10\ntolerance = 0.1")
    project.write(
        test_it="""
        from tests.subjects import timeouts

        @ralph.timeout
        def test_bare(api):
            timeouts.right()

        @ralph.timeout(2, total=2)
        def test_given(api):
            timeouts.right()
        """
    )

    skills = project.run("--ralph").whole["skills"]

    assert [each["parameters"] for each in skills] == [
        {"seconds": 10.0, "total": None, "tolerance": 0.1},
        {"seconds": 2.0, "total": 2.0, "tolerance": 0.1},
    ]


def test_defaults_hold_without_ralph_too(project: Project):
    configure(project, "[defaults.timeout]\nseconds = 10")
    project.write(
        test_it="""
        from tests.subjects import timeouts

        @ralph.timeout
        def test_bare(api):
            timeouts.right()
        """
    )

    assert project.run().code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults.retry]\nmax_retris = 3", "ralph.toml: defaults.retry.max_retris: expected one of the arguments max_retries"),  # noqa: E501
        ("[defaults.retry]\nmax_retries = 0", "ralph.toml: defaults.retry: expected arguments that the marker takes: @ralph.retry: max_retries must be"),  # noqa: E501
    ],
)  # fmt: skip
def test_wrong_defaults_are_refused(project: Project, text: str, message: str):
    configure(project, text)
    project.write(test_it=TEST.replace("CALL", "right"))

    outcome = project.run("--ralph")

    assert outcome.code == 4
    assert message in outcome.output


def test_the_policy_on_its_page_is_a_policy(tmp_path: Path):
    (block,) = [each for each in blocks(DOCS / "reference/policy.md") if each.language == "toml"]
    (tmp_path / "pyproject.toml").write_text(block.content)

    found = load(tmp_path, SKILLS)

    assert found.features["payments"].level == "silver"
    assert found.waivers[0].expires == dt.date(2031, 7, 31)
