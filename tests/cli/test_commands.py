"""Each command of pytest-ralph, on a small project, with its exit codes."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_ralph import cli
from pytest_ralph.cli import COMMANDS, main, shared
from pytest_ralph.core.policy import Policy
from pytest_ralph.core.registry import builtin
from pytest_ralph.core.skill import PHASES
from pytest_ralph.report import exits, jsonfile
from pytest_ralph.report.merging import merge
from pytest_ralph.report.model import Integrity
from tests.cli.conftest import TEST, Shop
from tests.report import made

FORGED = Integrity(canary="forged")


@pytest.fixture
def judged(shop: Shop) -> Shop:
    """The project, judged once: red."""
    assert shop.ralph("run").code == exits.RED
    return shop


def test_run_prints_the_output_for_agents_and_exits_by_the_report(shop: Shop):
    done = shop.ralph("run")

    assert done.code == exits.RED
    assert done.out.startswith("ralph gate=fail state=in_progress complete=true")
    assert "\nnext: In client.py, line 5 (charge):" in done.out

    shop.limit(10)
    assert shop.ralph("run").code == exits.GREEN


def test_run_as_json(shop: Shop):
    done = shop.ralph("run", "--json")

    assert done.data["code"] == exits.RED
    assert done.data["state"] == "in_progress"
    assert done.data["next_action"]["criterion"] == "timeout.gives-up"


def test_a_partial_run_in_which_all_holds_is_incomplete(shop: Shop):
    shop.limit(10)

    assert shop.ralph("run", "--ralph-skill", "timeout").code == exits.INCOMPLETE
    assert shop.ralph("run", "-k", "healthy").code == exits.INCOMPLETE


def test_a_forged_exit_code_does_not_count(shop: Shop):
    shop.write("conftest.py", "import os\ndef pytest_unconfigure():\n    os._exit(0)\n")

    assert shop.ralph("run").code == exits.RED


def test_a_run_that_never_reports_is_incomplete(shop: Shop):
    shop.write("conftest.py", "import os\ndef pytest_sessionstart():\n    os._exit(0)\n")

    assert shop.ralph("run").code == exits.INCOMPLETE


def test_no_gate_and_wrong_options_have_codes_of_their_own(shop: Shop):
    assert shop.ralph("run", "--ralph-skill", "nothing").code == exits.USAGE
    shop.write("test_it.py", "def test_it(): pass")
    assert shop.ralph("run").code == exits.NOTHING


def test_status(judged: Shop):
    done = judged.ralph("status")

    assert done.code == exits.RED
    assert done.out.startswith("in_progress: gate fail (1 features, 1 skills, 4 criteria, 2 pass, 2 fail)\n")
    assert "fail payments/timeout.gives-up" in done.out
    assert judged.ralph("status", "--json").data["intact"] is True


def test_status_of_a_report_edited_by_hand(judged: Shop):
    path = judged.path / ".ralph" / "report.json"
    path.write_text(path.read_text().replace('"state": "in_progress"', '"state": "green"'))

    done = judged.ralph("status")

    assert done.code == exits.TAMPERED
    assert "was edited after it was written" in done.out


def test_next(judged: Shop):
    done = judged.ralph("next")

    assert done.code == exits.RED
    assert done.out.startswith("In client.py, line 5 (charge): Set the client's read timeout to 10 s")
    assert done.out.endswith("pytest --ralph --ralph-feature payments --ralph-skill timeout\n")
    assert judged.ralph("next", "--json").data["skill"] == "timeout"


@pytest.mark.parametrize("name", ["payments/timeout.gives-up", "timeout.gives-up", "fingerprint"])
def test_show_one(judged: Shop, name: str):
    if name == "fingerprint":
        name = judged.ralph("show", "timeout.gives-up", "--json").data[0]["fingerprint"][:6]

    shown = judged.ralph("show", name).out

    assert shown.startswith("payments/timeout.gives-up (fail, ")
    assert "  observed given up after 30 s\n" in shown
    assert "  evidence 0.000 POST /v1/charges -> client gave up after 30 s" in shown


def test_show_all(judged: Shop):
    assert len(judged.ralph("show", "--json").data) == 2
    done = judged.ralph("show", "nothing")
    assert done.code == exits.USAGE
    assert "there are: payments/timeout.gives-up" in done.err


@pytest.mark.parametrize("skill", [each.id for each in builtin()])
def test_explain_every_skill(shop: Shop, skill: str):
    data = shop.ralph("explain", skill, "--json").data

    assert data["id"] == skill
    assert {each["id"].partition(".")[0] for each in data["criteria"]} == {skill}
    assert all(each["text"] and each["fix"] for each in data["criteria"])
    assert f"{skill}: " in shop.ralph("explain", skill).out


def test_explain_lists_skills(shop: Shop):
    assert "timeout" in shop.ralph("explain").out
    assert shop.ralph("explain", "nothing").code == exits.USAGE


def test_diff(judged: Shop):
    report = judged.path / ".ralph" / "report.json"
    report.rename(judged.path / "before.json")
    judged.limit(10)
    judged.ralph("run")

    done = judged.ralph("diff", "before.json", str(report))

    assert done.code == exits.GREEN
    assert done.out.splitlines() == [
        "in_progress -> green",
        "payments/timeout.gives-up: fail -> pass",
        "payments/timeout.connects-in-time: fail -> pass",
    ]


def test_locking_leaves_the_report_where_it_is(shop: Shop):
    shop.ralph("run")
    before = (shop.path / ".ralph/report.json").read_bytes()

    assert shop.ralph("lock").code == 0

    assert (shop.path / ".ralph/report.json").read_bytes() == before


def test_waive_and_lock(judged: Shop):
    done = judged.ralph(
        "waive",
        "payments",
        "timeout",
        "--reason",
        'the "old" gateway',
        "--owner",
        "ann",
        "--expires",
        "9999-01-01",
    )

    assert done.code == 0
    assert judged.ralph("run").code == exits.GREEN
    assert json.loads((judged.path / ".ralph/report.json").read_text())["summary"]["waived"] == 2


def test_a_wrong_waiver_is_refused_and_leaves_the_policy_as_it_was(judged: Shop):
    judged.write("pyproject.toml", "[project]\nname = 'x'\n")
    arguments = ["waive", "payments", "timeout", "--reason", "x", "--owner", "ann", "--expires"]

    done = judged.ralph(*arguments, "soon")

    assert done.code == exits.USAGE
    assert "tool.ralph.waivers[0].expires: expected the last day" in done.err
    assert (judged.path / "pyproject.toml").read_text() == "[project]\nname = 'x'\n"
    assert judged.ralph(*arguments, "9999-01-01").code == 0
    assert judged.ralph(*arguments, "9999-01-01").code == exits.USAGE, "it is waived already"


def test_dispute(judged: Shop):
    assert judged.ralph("dispute", "timeout.gives-up").code == exits.USAGE
    assert judged.ralph("dispute", "timeout.gives-up", "--reason", "the service is slow").code == 0

    assert judged.ralph("run").code == exits.RED
    assert judged.ralph("next", "--json").data["criterion"] == "timeout.connects-in-time"
    judged.ralph("dispute", "timeout.connects-in-time", "--reason", "so it is")
    assert judged.ralph("run").code == exits.STUCK
    assert judged.ralph("status", "--json").data["state"] == "blocked_on_human"
    assert "the service is slow" in judged.ralph("dispute").out
    assert judged.ralph("dispute", "timeout.gives-up", "--withdraw").code == 0
    assert judged.ralph("dispute", "timeout.gives-up", "--withdraw").code == exits.USAGE


def test_schema(shop: Shop):
    assert shop.ralph("schema", "--json").data == shop.ralph("schema").data == jsonfile.schema()


def test_doctor(shop: Shop):
    done = shop.ralph("doctor")
    assert done.code == 0, done.out

    shop.write("ralph.toml", "hosts = 3")

    found = {each["check"]: each for each in shop.ralph("doctor", "--json").data}
    assert not found["policy"]["ok"]
    assert "hosts: expected a list of texts" in found["policy"]["text"]
    assert not found["pytest --ralph"]["ok"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(shop: Shop, name: str):
    done = shop.ralph(name, "--help")

    assert done.code == 0
    assert "examples:\n  pytest-ralph " in done.out
    assert "--json" in done.out


def test_usage_errors_have_their_code(shop: Shop):
    assert shop.ralph("nothing").code == exits.USAGE
    assert shop.ralph("status").code == exits.USAGE
    shop.write("a.json", "{}")
    assert shop.ralph("status", "--report", "a.json").code == exits.USAGE


def test_a_crash_says_so_and_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("pytest_ralph.cli.schema.schema", lambda: 1 / 0)

    assert main(["schema"]) == exits.CRASHED
    assert "crashed; this is a bug, and no verdict" in capsys.readouterr().err


def test_the_module_can_be_run(shop: Shop):
    done = subprocess.run(
        [sys.executable, "-m", "pytest_ralph.cli", "--version"], capture_output=True, text=True, check=False
    )

    assert done.stdout.startswith("pytest-ralph ")


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (made.report(made.skill({"retry.backoff": "pass"})), exits.GREEN),
        (made.report(made.skill({"retry.backoff": "fail"})), exits.RED),
        (made.report(made.skill({"retry.backoff": "pass"}), left_out=["only a"]), exits.INCOMPLETE),
        (made.report(made.skill({"retry.backoff": "not_run"}), complete=False), exits.INCOMPLETE),
        (
            made.report(made.skill({"retry.backoff": "pass"}), integrity=Integrity(canary="forged")),
            exits.TAMPERED,
        ),
        (made.report(complete=False), exits.NOTHING),
        (made.report(complete=False, uncollected=["x"]), exits.INCOMPLETE),
    ],
    ids=["green", "red", "partial", "not run", "forged", "nothing", "uncollected"],
)
def test_exit_codes(report: dict[str, Any], code: int):
    assert exits.code(report) == code


# -- init ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["client:charge", "client.py:charge"])
def test_init_writes_a_gate_that_runs(shop: Shop, subject: str):
    shop.limit(10)
    (shop.path / "test_it.py").unlink()

    done = shop.ralph("init", subject)

    assert done.code == 0
    assert done.out.splitlines()[:2] == ["wrote ralph.toml", "wrote tests/test_charge_ralph.py"]
    text = (shop.path / "tests/test_charge_ralph.py").read_text()
    assert 'api = ralph_upstream("http://api.pay.example")' in text
    run = shop.ralph("run")
    assert run.code == exits.RED
    assert "client/retry.retries-transient" in run.out
    assert shop.ralph("init", subject).code == exits.USAGE


def test_init_for_a_url_and_for_asynchronous_code(shop: Shop):
    (shop.path / "test_it.py").unlink()
    shop.write("pyproject.toml", "[project]\nname = 'x'\n")
    shop.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\npythonpath = src\n")
    shop.write("src/deep/thing.py", "async def fetch(a, b=1): ...\n")

    assert shop.ralph("init", "https://api.pay.example/v1/charges").code == 0
    assert shop.ralph("init", "src/deep/thing.py:fetch").code == 0

    assert "[tool.ralph]" in (shop.path / "pyproject.toml").read_text()
    text = (shop.path / "tests/test_fetch_ralph.py").read_text()
    assert "from deep.thing import fetch" in text
    assert "asyncio.run(fetch(a=...))" in text
    assert shop.ralph("run").code == exits.RED


@pytest.mark.parametrize("subject", ["client", "client:nothing", "nothing:charge", "ftp://x", "../x.py:f"])
def test_init_refuses_what_is_not_there(shop: Shop, subject: str):
    done = shop.ralph("init", subject)

    assert done.code == exits.USAGE
    assert done.err.startswith("pytest-ralph init: ")


# -- merge --------------------------------------------------------------------------------------------------

TODAY = dt.date(2030, 1, 1)


def merged(*reports: dict[str, Any], expected: int | None = None, **policy: Any) -> dict[str, Any]:
    found = [
        merge(
            order, expected=expected or len(order), policy=Policy(**policy), today=TODAY, order=PHASES.index
        )
        for order in itertools.permutations(reports)
    ]
    assert all(each == found[0] for each in found), "the order of the shards changes nothing"
    jsonschema.validate(found[0], jsonfile.schema())
    return found[0]


def shard(*statuses: str, feature: str = "payments", **circumstances: Any) -> dict[str, Any]:
    names = [f"retry.c{number}" for number in range(len(statuses))]
    circumstances = {"left_out": [f"only {feature}"], **circumstances}
    return made.report(made.skill(dict(zip(names, statuses, strict=True)), feature=feature), **circumstances)


def test_shards_that_hold_together_are_green():
    report = merged(shard("pass"), shard("pass", feature="orders"), shard("pass", feature="users"))

    assert (report["gate"], report["state"], report["summary"]["features"]) == ("pass", "green", 3)


def test_the_worst_status_wins():
    report = merged(
        shard("pass", "fail", "pass"), shard("pass", "pass", "not_exercised"), shard("error", "pass", "pass")
    )

    assert [each["status"] for each in report["skills"][0]["criteria"]] == ["error", "fail", "not_exercised"]
    assert report["state"] == "in_progress"


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([shard("pass")], 2),
        ([shard("pass"), shard("pass", feature="b", integrity=Integrity(locked=True, lock="other"))], 2),
        ([shard("pass"), shard("pass", feature="b", complete=False)], 2),
        ([shard("pass"), shard("pass", feature="b", left_out=["only b", "--ralph-skill retry"])], 2),
    ],
    ids=["missing", "another lock", "incomplete", "a selection"],
)
def test_what_is_not_whole_is_never_green(reports: list[dict[str, Any]], expected: int):
    report = merged(*reports, expected=expected)

    assert report["state"] in ("incomplete", "in_progress")
    assert exits.code(report) == exits.INCOMPLETE


def test_a_forged_shard_spoils_the_whole():
    assert (
        merged(shard("pass"), shard("pass", feature="b", integrity=Integrity(canary="forged")))["state"]
        == "tampered"
    )


def test_the_policy_is_judged_over_the_whole():
    from pytest_ralph.core.policy import Demand

    report = merged(shard("pass"), shard("pass", feature="b"), demand=Demand(required=("timeout",)))

    assert [each["feature"] for each in report["policy"]] == ["b", "payments"]


def test_merge_of_real_shards(shop: Shop):
    shop.limit(10)
    shop.write("tests/a/test_a.py", TEST)
    shop.write("tests/b/test_b.py", TEST.replace("payments", "orders"))
    (shop.path / "test_it.py").unlink()
    for name in "ab":
        subprocess.run(
            [sys.executable, "-m", "pytest", "--ralph", f"tests/{name}", f"--ralph-report={name}.json"],
            check=True,
        )

    done = shop.ralph("merge", "--expect", "2", "a.json", "b.json")

    assert done.code == exits.GREEN, done.out
    assert shop.ralph("status", "--report", ".ralph/merged.json").code == exits.GREEN
    assert shop.ralph("merge", "--expect", "2", "a.json", "missing.json").code == exits.INCOMPLETE
    Path("a.json").write_text(
        Path("a.json").read_text().replace('"green"', '"x"').replace('"in_progress"', '"green"')
    )
    assert shop.ralph("merge", "a.json", "b.json").code == exits.TAMPERED


# -- lock and verify ----------------------------------------------------------------------------------------


@pytest.fixture
def agreed(shop: Shop) -> Iterator[Shop]:
    """A locked project on main, and a branch to work on."""
    shop.git("init", "-q", "-b", "main")
    assert shop.ralph("lock").code == 0
    shop.commit()
    shop.git("checkout", "-q", "-b", "work")
    yield shop
    assert len(shop.git("worktree", "list").splitlines()) == 1, "no worktree is left behind"


def test_lock_refuses_what_cannot_be_locked(shop: Shop):
    shop.write("test_it.py", "import nothing")

    done = shop.ralph("lock")

    assert done.code == exits.USAGE
    assert not (shop.path / "ralph.lock").exists()


def test_verify_is_green_for_honest_work(agreed: Shop):
    agreed.limit(10)
    agreed.commit()

    done = agreed.ralph("verify", "--ref", "main")

    assert done.code == exits.GREEN, done.out
    assert "verify: green: gate pass" in done.out


def test_verify_judges_what_is_committed(agreed: Shop):
    agreed.limit(10)

    done = agreed.ralph("verify", "--ref", "main")

    assert done.code == exits.RED
    assert "note: what is not committed is not judged" in done.out


def test_verify_restores_what_was_weakened_and_says_so(agreed: Shop):
    agreed.write("test_it.py", TEST.replace("timeout(10)", "timeout(30)"))
    agreed.ralph("lock")
    agreed.commit()
    assert agreed.ralph("run").code == exits.GREEN, "a lock made anew satisfies a run in the agent's own tree"

    done = agreed.ralph("verify", "--ref", "main", "--json")

    assert done.code == exits.TAMPERED
    assert [each["text"] for each in done.data["changes"]] == ["seconds: 30.0, was 10.0"]
    assert done.data["restored"] == ["test_it.py"]
    assert done.data["report"]["gate"] == "fail", "with the gates of main the code is red"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("conftest.py", "def pytest_runtest_makereport(item, call): ...\n"),
        ("sub/conftest.py", "X = 1\n"),
        ("pytest.ini", "[pytest]\npythonpath = .\naddopts = --deselect=test_it.py\n"),
    ],
)
def test_verify_takes_away_what_was_added(agreed: Shop, name: str, text: str):
    agreed.limit(10)
    agreed.write(name, text)
    agreed.commit()

    done = agreed.ralph("verify", "--ref", "main", "--json")

    assert done.code == exits.TAMPERED
    assert done.data["restored"] == [name]
    assert done.data["report"]["state"] == "green", "the code itself is good"


def test_verify_misses_a_lock_that_was_removed(agreed: Shop):
    agreed.limit(10)
    (agreed.path / "ralph.lock").unlink()
    agreed.commit()

    done = agreed.ralph("verify", "--ref", "main", "--json")

    assert done.code == exits.TAMPERED
    assert done.data["changes"][0]["text"] == "was removed"


def test_verify_needs_a_ref_with_a_lock(agreed: Shop):
    assert "there is no ref nothing" in agreed.ralph("verify", "--ref", "nothing").err
    agreed.git("checkout", "-q", "--orphan", "empty")
    agreed.git("rm", "-q", "--cached", "ralph.lock")
    agreed.git("commit", "-qm", "Begin anew")
    assert "there is no ralph.lock at empty" in agreed.ralph("verify", "--ref", "empty").err


def test_shared_knows_only_reports(tmp_path: Path):
    (tmp_path / "x.json").write_text("[1]")

    with pytest.raises(shared.UsageError, match="is not a report"):
        shared.load(tmp_path / "x.json")


def test_completion_is_offered_where_shtab_is_installed():
    pytest.importorskip("shtab")

    assert "--print-completion" in cli.parser().format_help()


def test_a_reader_that_has_seen_enough_is_no_crash(monkeypatch: pytest.MonkeyPatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)

        assert main(["schema"]) == exits.GREEN
