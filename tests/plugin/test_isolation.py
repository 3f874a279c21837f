"""A scenario in a process of its own: as if it were played here, except that it cannot harm the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pytest_ralph.engine import apart
from tests.harness import Outcome, Project

CLIENT = """
import requests

def charge(timeout=10):
    answer = requests.post("http://api.pay.example/v1/charges", json={}, timeout=timeout)
    answer.raise_for_status()
"""
TEST = """
from client import charge
{before}
@ralph.timeout(10)
def test_charge(api{fixtures}):
    charge()
{body}
"""


def judge(project: Project, body: str, *arguments: str, fixtures: str = "", before: str = "") -> Outcome:
    """Judge a call, isolated, with more in its body."""
    project.write(client=CLIENT)
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    project.write(test_it=TEST.format(body=lines, fixtures=fixtures, before=before))
    return project.run("--ralph", "--ralph-isolate", *arguments)


SEARCHES = """
import logging
from hypothesis import strategies as st
from tests.subjects import schedules

@ralph.feature("survived")
@ralph.survives(examples=20, raises=schedules.PaymentError, max_requests=4)
def test_survives(api):
    assert schedules.right() == "ch_1"

@ralph.feature("broken")
@ralph.survives(raises=schedules.PaymentError)
def test_breaks(api):
    assert schedules.trusting() == "ch_1"

class Odd:
    def __init__(self):
        self.travels_nowhere = lambda: 0

    def __repr__(self):
        return "Odd()"

def check(amount):
    if not isinstance(amount, (int, Odd)):
        raise ValueError(amount)

@pytest.fixture
def amount():
    return 5

@ralph.feature("input")
@ralph.validates_input(amount=st.one_of(st.text(), st.builds(Odd)), examples=20)
def test_input(api, amount):
    check(amount)

@ralph.feature("lines")
@ralph.logs
@ralph.timeout(10)
def test_lines(api):
    logging.getLogger("pay").warning("hello %s", 1)
    schedules.right()
"""
GATE = """
from client import charge

@ralph.retry(max_retries=1, backoff=(1,))
@ralph.timeout({limit})
def test_charge(api):
    charge({limit})
"""


@pytest.mark.parametrize(
    "test",
    [GATE.format(limit="10"), GATE.format(limit="(10, 30)"), SEARCHES],
    ids=["10", "(10, 30)", "searches"],
)
def test_verdicts_are_those_of_a_play_in_this_process(project: Project, test: str):
    project.write(client=CLIENT, test_it=test)

    here, apart = project.run("--ralph").whole, project.run("--ralph", "--ralph-isolate").whole

    assert {**here, "run": None} == {**apart, "run": None}
    if test is SEARCHES:
        failed = [
            (skill["feature"], each["id"])
            for skill in apart["skills"]
            for each in skill["criteria"]
            if each["status"] == "fail"
        ]
        assert failed == [
            ("broken", "survives.invariants-hold"),
            ("input", "validates-input.rejects-invalid"),
            ("lines", "logs.structured"),
        ]


def test_state_of_modules_does_not_outlive_a_scenario(project: Project):
    outcome = judge(
        project,
        "client.calls.append(1)\nassert len(client.calls) == 1, client.calls",
        before="import client\nclient.calls = []\n",
    )

    assert outcome.not_passed() == {}, outcome.output


def test_output_and_logs_are_shown(project: Project):
    body = """
import logging, os, sys
print("printed"); print("to stderr", file=sys.stderr); os.write(1, b"writ" + b"ten\\n")
logging.getLogger("app").error("logged %s", "here", extra={"odd": lambda: 0})
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("app").exception("caught")
assert [1, 2] == [1, 3]
"""
    for capture in ("fd", "sys"):
        outcome = judge(project, body, f"--capture={capture}")

        assert outcome.code == 1
        for shown in ("printed", "to stderr", "logged here", "caught", "ZeroDivisionError: division by zero"):
            assert outcome.output.count(shown) >= 1, (capture, shown, outcome.output)
        assert ("written" in outcome.output) == (capture == "fd")
        assert "At index 1 diff: 2 != 3" in outcome.output
        assert ">       assert [1, 2] == [1, 3]" in outcome.output
        assert "test_it.py:" in outcome.output


def test_nothing_is_written_twice(project: Project):
    project.write(client=CLIENT)
    project.write(
        test_it=TEST.format(
            before="", fixtures="", body="    import sys\n    sys.stdout.write('written once')\n"
        )
    )

    outcome = project.run_apart("--ralph", "--ralph-isolate", "-s", "-k", "healthy", "-v")

    assert outcome.output.count("written once") == 1
    assert outcome.output.count("test_charge[healthy]") == 1


@pytest.mark.parametrize(
    ("body", "shown", "counts"),
    [
        ("import pytest; pytest.skip('not here')", "not here", "4 skipped"),
        ("import pytest; pytest.xfail('known')", "XFAIL test_it.py", "4 xfailed"),
        ("import pytest; pytest.fail('no good', pytrace=False)", "no good", "4 failed"),
        ("raise KeyError('lost')", "E       KeyError: 'lost'", "4 failed"),
    ],
)
def test_ways_to_end_a_test(project: Project, body: str, shown: str, counts: str):
    # Where the service is broken, the call raises before.
    outcome = judge(project, body, "-ra", "-rx")

    assert shown in outcome.output, outcome.output
    assert counts in outcome.output, outcome.output


def test_an_expected_exception_is_recognised_even_if_it_does_not_travel(project: Project):
    outcome = judge(
        project,
        "raise Odd(1, 2)",
        "-k",
        "healthy",
        before="""
class Odd(Exception):
    def __init__(self, one, two):
        super().__init__("odd", one, two, lambda: 0)
""",
    )

    assert "Odd: ('odd', 1, 2" in outcome.output
    assert "1 failed" in outcome.output


def test_xfail_by_type(project: Project):
    outcome = judge(
        project,
        "raise KeyError('lost')",
        "-k",
        "healthy",
        before="@pytest.mark.xfail(raises=KeyError, strict=True)",
    )

    assert "xfailed" in outcome.output
    assert "1 failed" not in outcome.output


def test_warnings_and_exceptions_in_threads_are_reported(project: Project):
    outcome = judge(
        project,
        """
import warnings, threading
warnings.warn("old-fashioned", DeprecationWarning)
thread = threading.Thread(target=lambda: 1 / 0, name="worker-7")
thread.start()
thread.join()
""",
        "-k",
        "healthy",
    )

    assert "DeprecationWarning: old-fashioned" in outcome.output
    assert "Exception in thread worker-7" in outcome.output
    assert "ZeroDivisionError" in outcome.output


def test_properties_are_recorded(project: Project):
    judge(
        project,
        "record_property('key', 'value')",
        "--junitxml=out.xml",
        "-o",
        "junit_family=legacy",
        fixtures=", record_property",
    )

    assert '<property name="key" value="value"' in (project.pytester.path / "out.xml").read_text()


@pytest.mark.parametrize(
    "measuring",
    [
        ("-m", "pytest"),
        pytest.param(("-m", "coverage", "run", "-m", "pytest"), marks=pytest.mark.slow),
    ],
)
def test_coverage_is_measured(project: Project, measuring: tuple[str, ...]):
    project.write(
        client=CLIENT,
        only_there="def used():\n    import sys\n    return sys.platform\n",
        test_it=TEST.format(before="import only_there", fixtures="", body="    assert only_there.used()\n"),
    )
    folder = project.pytester.path
    (folder / ".coveragerc").write_text("[run]\nparallel = true\ninclude = */only_there.py\n")
    by_plugin = ["--cov=only_there", "--cov-report="] if "coverage" not in measuring else []
    python = [sys.executable, *measuring, "-p", "no:randomly", "--ralph", "--ralph-isolate", *by_plugin]
    subprocess.run(python, cwd=folder, check=True, capture_output=True)
    if not by_plugin:
        subprocess.run(
            [sys.executable, "-m", "coverage", "combine"], cwd=folder, check=True, capture_output=True
        )
    shown = subprocess.run(
        [sys.executable, "-m", "coverage", "report", "--include=*/only_there.py"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )

    assert "100%" in shown.stdout, shown.stdout


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("import os; os.abort()", "was killed by SIGABRT"),
        ("import os; os._exit(0)", "ended before the scenario did: the code ends its process"),
        ("import os; os._exit(3)", "exited with status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
    ],
)
def test_a_process_that_dies_is_a_red_gate_and_not_a_lost_run(project: Project, body: str, reason: str):
    project.write(
        crash=f"def crash():\n    {body}\n",
        test_other="def test_other(api): ...\n@ralph.feature('other')\n@ralph.timeout(5)\ndef test_it(api):\n"
        "    import requests\n    requests.post('http://api.pay.example/v1/charges', timeout=5)\n",
    )

    outcome = judge(project, "crash()", before="from crash import crash")

    assert outcome.code == 1
    assert outcome.whole["complete"]
    mine = next(each for each in outcome.whole["skills"] if each["feature"] == "test_it")
    other = next(each for each in outcome.whole["skills"] if each["feature"] == "other")
    assert other["status"] == "pass"
    assert mine["status"] == "error"
    assert mine["problem"]["evidence"]["observed"] == f"the process {reason}"
    if "SIGSEGV" in reason or "SIGABRT" in reason:
        assert mine["problem"]["evidence"]["location"] == {"file": "crash.py", "line": 2, "function": "crash"}


def test_a_process_that_dies_only_in_trouble_fails_what_is_judged_there(project: Project):
    project.write(
        client="""
        import os, requests

        def charge():
            try:
                requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
            except requests.ConnectTimeout:
                os.abort()
        """,
        test_it=TEST.format(before="", fixtures="", body=""),
    )

    outcome = project.run("--ralph", "--ralph-isolate")

    assert outcome.not_passed() == {
        "timeout.connects-in-time": "fail",
        "timeout.waits-forever": "fail",
        "timeout.exercised": "fail",
    }
    found = outcome.criterion("timeout.connects-in-time")
    assert found["evidence"]["observed"] == "the process was killed by SIGABRT"
    assert found["evidence"]["location"] == {"file": "client.py", "line": 8, "function": "charge"}
    assert "must neither hang nor crash" in found["prompt"]


HOLDS_THE_GIL = """
import ctypes
libc = ctypes.PyDLL(None)

def spin():
    libc.sleep(3600)
"""
SWALLOWS = """
import signal, time

def spin():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""


@pytest.mark.parametrize(("code", "line"), [(HOLDS_THE_GIL, 6), (SWALLOWS, 10)])
def test_the_watchdog_ends_what_cannot_be_interrupted(project: Project, code: str, line: int):
    project.write(spinner=code)

    outcome = judge(
        project, "spin()", "--ralph-watchdog=1", "-k", "healthy", before="from spinner import spin"
    )

    problem = outcome.skill("timeout")["problem"]["evidence"]
    assert problem["observed"] == "the process did not end within 1 s of real time"
    assert (problem["location"]["file"], problem["location"]["function"]) == ("spinner.py", "spin")
    assert abs(problem["location"]["line"] - line) <= 1


def test_what_a_scenario_started_ends_with_it(project: Project, tmp_path: Path):
    pids = tmp_path / "pids"
    outcome = judge(
        project,
        f"""
import os, subprocess, sys
sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
global one, two
one = subprocess.Popen(sleeper)
two = subprocess.Popen(sleeper, start_new_session=True)
start = "import subprocess; print(subprocess.Popen(%r, start_new_session=True, stdout=-3).pid)" % sleeper
orphan = subprocess.run([sys.executable, "-c", start], stdout=-1, text=True)
with open({str(pids)!r}, "a") as file:
    print(one.pid, two.pid, orphan.stdout.strip(), file=file)
""",
        "-k",
        "healthy",
    )

    assert "1 passed" in outcome.output, outcome.output
    left = [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]
    assert [pid for pid in left if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE] == []


def test_a_fork_bomb_is_stopped(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apart, "MOST_PROCESSES", 20)
    # It ends by itself, for the sake of the machine it is tested on: after 60 processes.
    outcome = judge(
        project,
        """
import os, time
for _ in range(60):
    if os.fork() == 0:
        time.sleep(3600)
        os._exit(0)
time.sleep(3600)
""",
        "--ralph-realtime",
        "-k",
        "healthy",
    )

    problem = outcome.skill("timeout")["problem"]["evidence"]
    assert problem["observed"] == "the process started more than 20 processes"


def test_a_fork_that_comes_back_is_no_second_result(project: Project):
    outcome = judge(project, "import os\nif os.fork() == 0:\n    raise KeyError\nos.wait()", "-k", "healthy")

    assert "1 passed" in outcome.output, outcome.output


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_asynchronous_tests_are_isolated(project: Project, workers: str):
    project.write(
        test_it="""
        import httpx

        @ralph.timeout(10)
        @pytest.mark.asyncio
        async def test_asyncio(api):
            async with httpx.AsyncClient(timeout=10) as client:
                (await client.post("http://api.pay.example/v1/charges")).raise_for_status()

        @ralph.timeout(10)
        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_anyio(api, anyio_backend):
            async with httpx.AsyncClient(timeout=10) as client:
                (await client.post("http://api.pay.example/v1/charges")).raise_for_status()
        """
    )

    outcome = project.run_apart("--ralph", "--ralph-isolate", "-n", workers)

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize("option", [("--ralph-watchdog", "soon"), ("--ralph-memory", "much")])
def test_options_are_checked(project: Project, option: tuple[str, str]):
    outcome = project.run("--ralph", "=".join(option))

    assert outcome.code == 4
    assert f"{option[0]} must be" in outcome.output


def test_ctrl_c_ends_the_child(project: Project, tmp_path: Path):
    pid = tmp_path / "pid"
    judge(
        project,
        f"""
import os, pathlib, signal
path = pathlib.Path({str(pid)!r})
path.write_text(str(os.getpid()))
os.kill(os.getppid(), signal.SIGINT)
while True: pass
""",
        "-k",
        "nothing",
    )

    outcome = project.run_apart("--ralph", "--ralph-isolate", "-k", "healthy")

    assert outcome.code == 2, outcome.output
    assert not psutil.pid_exists(int(pid.read_text()))
    assert os.getpid() > 0
