"""In agents: the stop hook, the loop with scripted agents, and the Agent Skill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.report import exits
from tests.cli.conftest import Done, Shop

# -- the hook -----------------------------------------------------------------------------------------------


def stop(shop: Shop, monkeypatch: pytest.MonkeyPatch, *arguments: str, **event: Any) -> Any:
    """What the hook answers."""
    sent = json.dumps({"session_id": "s1", "hook_event_name": "Stop", "cwd": str(shop.path), **event})
    return answer(shop, monkeypatch, sent, *arguments).data


def answer(shop: Shop, monkeypatch: pytest.MonkeyPatch, sent: str, *arguments: str) -> Done:
    read, write = os.pipe()
    os.write(write, sent.encode())
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        done = shop.ralph("hook", "stop", *arguments)
    assert done.code == 0
    return done


def test_the_hook_blocks_a_red_stop_with_what_is_next(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    found = stop(shop, monkeypatch)

    assert found["decision"] == "block"
    assert "next: In client.py, line 5 (charge)" in found["reason"]
    assert len(found["reason"]) < 10_000


def test_the_hook_lets_a_green_stop_pass(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.limit(10)

    assert stop(shop, monkeypatch) == {}


def test_the_hook_speaks_to_cursor(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    found = stop(shop, monkeypatch, "--cursor", session_id="", conversation_id="c1")

    assert list(found) == ["followup_message"]


def test_the_hook_is_bounded_by_session(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    assert stop(shop, monkeypatch, "--limit", "1")["decision"] == "block"

    released = stop(shop, monkeypatch, "--limit", "1")

    assert "decision" not in released
    assert "still not green after 1 tries" in released["systemMessage"]
    assert stop(shop, monkeypatch, "--limit", "1", session_id="s2")["systemMessage"].startswith(
        "pytest-ralph: a person has to look at it"
    ), "three full runs with the same failures are a standstill"


def test_the_hook_counts_anew_after_green(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    stop(shop, monkeypatch, "--limit", "1")
    shop.limit(10)
    stop(shop, monkeypatch, "--limit", "1")
    shop.limit(30)

    assert stop(shop, monkeypatch, "--limit", "1")["decision"] == "block"


def test_the_hook_releases_what_a_person_has_to_look_at(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.ralph("lock")
    shop.write("test_it.py", (shop.path / "test_it.py").read_text().replace("timeout(10)", "timeout(30)"))

    found = stop(shop, monkeypatch)

    assert "decision" not in found
    assert "state=tampered" in found["systemMessage"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test_it.py", "import nothing"),
        ("test_it.py", "def test_it(): pass"),
        ("conftest.py", "raise SystemExit(0)"),
        ("ralph.toml", "hosts = 3"),
    ],
    ids=["cannot be collected", "no gate", "pytest breaks off", "wrong policy"],
)
def test_the_hook_fails_closed(shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, text: str):
    shop.write(name, text)

    assert stop(shop, monkeypatch)["decision"] == "block"


def test_an_event_that_cannot_be_read_is_judged_as_well(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    assert answer(shop, monkeypatch, "no JSON").data["decision"] == "block"


# -- the loop -----------------------------------------------------------------------------------------------

FIXER = """
import pathlib, re, sys
told = sys.stdin.read()
client = pathlib.Path("client.py")
text = client.read_text()
action = re.search("^next: (.*)$", told, re.M)[1]
if "read timeout to 10 s" in action:
    text = text.replace("timeout=30", "timeout=(30, 10)")
elif "connect timeout to at most 10 s" in action:
    text = text.replace("timeout=(30, 10)", "timeout=(10, 10)")
client.write_text(text)
print('{"total_cost_usd": 0.25}')
"""
IDLER = "import sys; sys.stdin.read(); print('I am done, everything is green.')"
CHEAT = """
import pathlib
test = pathlib.Path("test_it.py")
test.write_text(test.read_text().replace("timeout(10)", "timeout(30)"))
"""


def loop(shop: Shop, agent: str, *options: str) -> Done:
    shop.write("agent.py", agent)
    return shop.ralph("loop", *options, "--", sys.executable, "agent.py")


def test_a_loop_with_an_agent_that_repairs_the_code(shop: Shop):
    done = loop(shop, FIXER)

    assert done.code == exits.GREEN, done.out
    assert done.out == "loop: green, after 2 iterations; log: .ralph/loop.log\n"
    progress = [re.sub(r" \(\d+ s\)", "", line) for line in done.err.splitlines()]
    assert progress == [
        "loop 0: in_progress 2/4, next payments/timeout.gives-up",
        "loop 1: in_progress 3/4, next payments/timeout.connects-in-time",
        "loop 2: green 4/4",
    ]
    log = (shop.path / ".ralph" / "loop.log").read_text()
    assert "You repair code until its production-readiness gates are green" in log
    assert log.count('"total_cost_usd": 0.25') == 2


def test_a_loop_with_an_agent_that_makes_no_progress(shop: Shop):
    done = loop(shop, IDLER)

    assert done.code == exits.STUCK
    assert done.out.startswith("loop: stalled, after 2 iterations")


def test_runs_before_a_loop_are_no_standstill_of_its_agent(shop: Shop):
    for _ in range(3):
        shop.ralph("run")

    assert loop(shop, FIXER).code == exits.GREEN


def test_a_loop_with_an_agent_that_cheats(shop: Shop):
    shop.ralph("lock")

    done = loop(shop, CHEAT)

    assert done.code == exits.TAMPERED
    assert done.out.startswith("loop: tampered, after 1 iterations")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--iterations", "1"), "the limit of 1 iterations is met"),
        (("--minutes", "0"), "the limit of 0 minutes is met"),
        (("--max-cost", "0.2"), "the limit of 0.2 USD is met"),
    ],
)
def test_a_loop_has_limits(shop: Shop, options: tuple[str, ...], why: str):
    done = loop(shop, FIXER, *options)

    assert done.code == exits.RED
    assert done.out.startswith(f"loop: {why}")


def test_a_limit_of_cost_needs_an_agent_that_tells_it(shop: Shop):
    assert "the agent tells no cost" in loop(shop, IDLER, "--max-cost", "1").out


def test_a_loop_goes_on_where_it_was_after_ctrl_c(shop: Shop):
    started = shop.path / "started"
    os.mkfifo(started)
    shop.write("agent.py", "import time\nopen('started', 'w').close()\ntime.sleep(60)")
    command = [sys.executable, "-m", "pytest_ralph.cli", "loop", "--", sys.executable, "agent.py"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    started.open().close()  # waits until the agent is there

    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=60)

    assert running.returncode == exits.RED, err
    assert out.startswith("loop: interrupted; the same command goes on from here, after 1 iterations")
    assert loop(shop, FIXER).code == exits.GREEN


def test_a_loop_needs_a_command_that_can_be_run(shop: Shop):
    assert shop.ralph("loop").code == exits.USAGE
    assert shop.ralph("loop", "--", "./nothing-here").code == exits.USAGE


def test_a_loop_ends_when_no_gate_can_be_judged(shop: Shop):
    shop.write("ralph.toml", "hosts = 3")

    done = loop(shop, FIXER)

    assert done.code == exits.USAGE
    assert "hosts: expected a list of texts" in done.out


# -- the Agent Skill ----------------------------------------------------------------------------------------


def frontmatter(text: str) -> dict[str, str]:
    """The fields of the file, by the Agent Skills specification: agentskills.io/specification."""
    _, head, body = text.split("---\n", 2)
    assert body.strip()
    return dict(line.split(": ", 1) for line in head.splitlines() if not line.startswith((" ", "metadata:")))


def test_the_agent_skill_is_valid(shop: Shop):
    done = shop.ralph("skill", "--output", "skills")

    path = shop.path / "skills" / "pytest-ralph" / "SKILL.md"
    assert done.out == "wrote skills/pytest-ralph/SKILL.md\n"
    fields = frontmatter(path.read_text())
    assert set(fields) <= {"name", "description", "license", "compatibility", "allowed-tools"}
    assert fields["name"] == path.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fields["name"])
    assert len(fields["name"]) <= 64
    assert 1 <= len(fields["description"]) <= 1024
    # A colon and a space, or a backquote at the beginning, would not be plain text in YAML.
    assert not re.search(r": |^[`'\"\[{&*!|>%@]", fields["description"])
    assert len(fields["compatibility"]) <= 500
    assert len(path.read_text().splitlines()) < 500


def test_the_commands_that_the_skill_names_are_there(shop: Shop):
    shop.ralph("skill", "--output", "skills")
    text = shop.ralph("skill", "--agents-md").out + Path("skills/pytest-ralph/SKILL.md").read_text()
    named = set(re.findall(r"`pytest-ralph (\w+)", text))

    assert named == {"run", "next", "show", "dispute", "explain"}
    assert f"{exits.STUCK}, {exits.TAMPERED}: stop" in text
