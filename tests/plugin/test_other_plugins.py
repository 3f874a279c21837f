"""Plugins that people have beside this one: they and the verdicts are what they are without the other."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_socket

from tests.harness import Outcome, Project

CAREFUL = """
import logging, random, time
import requests

log = logging.getLogger(__name__)

def charge():
    for number in range(1, 5):
        try:
            answer = requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
            if answer.status_code < 500:
                answer.raise_for_status()
                return answer.json()
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if number == 4:
                raise
        if number < 4:
            log.warning("attempt %d failed", number)
            time.sleep(2 ** (number - 1) * random.uniform(0.9, 1.1))
    answer.raise_for_status()
"""
GATE = """
from client import charge

@ralph.retry(max_retries=3, jitter=0.1)
@ralph.timeout(10)
def test_charge(api):
    charge()
"""


def shows(plugin: str, what: str, support: str = "yes") -> pytest.MarkDecorator:
    return pytest.mark.shows("plugins", plugin, what, support=support)


def stable(outcome: Outcome) -> str:
    """The report without what differs from run to run, and without the plugins that were asked for."""
    volatile = ("run", "left_out", "full", "state")
    return json.dumps({name: value for name, value in outcome.whole.items() if name not in volatile})


# -- pytest-timeout -----------------------------------------------------------------------------------------


@shows("pytest-timeout", "counts in real time: a virtual hour does not trip it, by signal or by thread")
@pytest.mark.parametrize("method", ["signal", "thread"])
@pytest.mark.parametrize("scope", ["true", "false"])
def test_virtual_time_does_not_trip_it(project: Project, method: str, scope: str):
    project.write(
        client="""
        import requests

        def charge():
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=3600)
        """,
        test_it=GATE.replace("@ralph.retry(max_retries=3, jitter=0.1)", "").replace("(10)", "(3600)"),
    )
    outcome = project.run_apart(
        "--ralph", "--timeout=60", f"--timeout-method={method}", "-o", f"timeout_func_only={scope}"
    )

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@shows("pytest-timeout", "counts in real time: a virtual hour does not trip it, by signal or by thread")
def test_its_thread_waits_in_real_time_even_if_it_comes_late(live: Callable[[Callable[[], Any]], Any]):
    """It is started before the world is entered, but may begin to wait after that."""

    def call() -> bool:
        timer = threading.Timer(600, lambda: tripped.append(True))
        timer.name = "pytest_timeout test_it.py::test_charge"
        timer.start()
        time.sleep(3_600)
        timer.cancel()
        timer.join()
        return bool(tripped)

    tripped: list[bool] = []
    assert live(call) is False


OVERRUN = """
def charge():
    while True:
        pass
"""


@shows("pytest-timeout", "a test that really takes too long fails by signal; by thread the run is ended")
def test_a_real_overrun_is_ended_by_signal(project: Project):
    project.write(client=OVERRUN, test_it=GATE)

    outcome = project.run_apart("--ralph", "--timeout=1", "--timeout-method=signal", "-k", "healthy")

    assert outcome.code == 1
    assert "Timeout (>1.0s) from pytest-timeout" in outcome.output
    assert outcome.whole["gate"] != "pass"
    assert "pass" not in outcome.statuses().values()


@shows("pytest-timeout", "a test that really takes too long fails by signal; by thread the run is ended")
def test_a_real_overrun_in_a_play_is_ended_by_signal(project: Project):
    """The healthy call is fine: it is in trouble that the code does not come back."""
    project.write(
        client="""
        import requests

        def charge():
            if not requests.post("http://api.pay.example/v1/charges", json={}, timeout=10).ok:
                while True:
                    pass
        """,
        test_it=GATE,
    )

    outcome = project.run_apart("--ralph", "--timeout=6", "--timeout-method=signal", "-k", "503 or healthy")

    assert outcome.code == 1
    assert "Timeout (>6.0s) from pytest-timeout" in outcome.output
    assert "1 failed, 1 passed" in outcome.output
    assert outcome.statuses()["retry.retries-transient"] == "error"


@shows("pytest-timeout", "a test that really takes too long fails by signal; by thread the run is ended")
def test_a_real_overrun_is_ended_by_thread(project: Project):
    """It ends the process: there is no report, and none that could be taken for one."""
    project.write(client=OVERRUN, test_it=GATE)

    outcome = project.run_apart("--ralph", "--timeout=1", "--timeout-method=thread")

    assert outcome.code == 1
    assert "Timeout" in outcome.output
    assert outcome.report is None


# -- pytest-randomly ----------------------------------------------------------------------------------------


@pytest.fixture
def own_random() -> Iterator[None]:
    state = random.getstate()
    yield
    random.setstate(state)


@shows("pytest-randomly", "the same report in any order and with any seed")
def test_any_order_gives_the_same_report(project: Project, own_random: None):
    more = "\n@ralph.timeout(10)\ndef test_another(api):\n    charge()\n"
    project.write(client=CAREFUL, test_it=GATE + more, test_more=GATE)

    def run(*arguments: str) -> Outcome:
        without = ("-p", "no:cacheprovider", "-p", "no:rerunfailures")
        result = project.pytester.runpytest_inprocess(*without, "--ralph", "-v", *arguments)
        return project._outcome(int(result.ret), str(result.stdout), ".ralph/report.json")

    plain = run("-p", "no:randomly")
    shuffled = [run("-p", "randomly", f"--randomly-seed={seed}") for seed in (1, 2)]

    def items(outcome: Outcome) -> list[str]:
        return [line.partition(" ")[0] for line in outcome.output.splitlines() if "::test_" in line]

    assert plain.not_passed() == {}, plain.output
    assert [stable(each) for each in shuffled] == [stable(plain)] * 2
    assert items(plain) != items(shuffled[0]) != items(shuffled[1])


# -- pytest-rerunfailures -----------------------------------------------------------------------------------

FLAKY = """
import requests

{marker}
@ralph.timeout(10)
def test_charge(api, request):
    seconds = {first} if request.node.execution_count == 1 else {later}
    requests.post("http://api.pay.example/v1/charges", json={{}}, timeout=seconds)
"""


def flaky(project: Project, marker: str, *, first: int, later: int) -> None:
    """Code that is not the same each time, as if it drew lots where no seed reaches."""
    project.write(test_it=FLAKY.format(marker=marker, first=first, later=later))


@shows("pytest-rerunfailures", "a gate that was red is red, whatever it is when it is run again")
@pytest.mark.parametrize(
    ("marker", "arguments"),
    [("", ("--reruns", "2")), ("@pytest.mark.flaky(reruns=2)", ("-p", "rerunfailures"))],
    ids=["option", "marker"],
)
def test_a_red_gate_is_not_made_green_by_running_it_again(
    project: Project, marker: str, arguments: tuple[str, ...]
):
    flaky(project, marker, first=30, later=10)

    outcome = project.run("--ralph", *arguments)

    assert "rerun" in outcome.output
    assert outcome.statuses()["timeout.gives-up"] == "fail", outcome.output
    assert outcome.criterion("timeout.gives-up")["evidence"]["observed"] == "given up after 30 s"
    assert outcome.whole["gate"] == "fail"
    assert outcome.code == 1


@shows("pytest-rerunfailures", "a gate that was red is red, whatever it is when it is run again")
def test_a_gate_that_stays_red(project: Project):
    flaky(project, "", first=20, later=30)

    outcome = project.run("--ralph", "--reruns", "2")

    assert outcome.statuses()["timeout.gives-up"] == "fail"
    assert outcome.code == 1


@shows("pytest-rerunfailures", "an item that could not be judged is judged when it is run again")
def test_an_item_that_could_not_be_judged(project: Project):
    project.write(
        test_it="""
        @pytest.fixture
        def database(request):
            if getattr(request.node, "execution_count", 1) == 1:
                raise OSError("not up yet")

        @ralph.timeout(10)
        def test_charge(database, api):
            import requests
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)
        """
    )

    outcome = project.run("--ralph", "--reruns", "1")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert project.run("--ralph").code == 1


# -- pytest-cov ---------------------------------------------------------------------------------------------


@shows("pytest-cov", "lines and branches that only faults reach are measured")
def test_what_only_faults_reach_is_measured(project: Project, monkeypatch: pytest.MonkeyPatch):
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    in_thread = """

def charge_by_thread():
    import threading
    thread = threading.Thread(target=charge_quietly)
    thread.start()
    thread.join()

def charge_quietly():
    try:
        charge()
    except requests.RequestException:
        log.error("given up")
"""
    project.write(client=CAREFUL + in_thread, test_it=GATE.replace("charge()", "client.charge_by_thread()"))
    path = project.pytester.path / "test_it.py"
    path.write_text(path.read_text().replace("from client import charge", "import client"), encoding="utf-8")

    outcome = project.run_apart(
        "--ralph", "--cov=client", "--cov-branch", "--cov-report=json", "--cov-report=term-missing"
    )

    assert outcome.not_passed() == {}, outcome.output
    found = json.loads((project.pytester.path / "coverage.json").read_text())["files"]["client.py"]
    assert found["missing_lines"] == []
    # The loop always ends by a return or in its last turn.
    assert len(found["missing_branches"]) <= 1
    assert found["summary"]["num_branches"] >= 8


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="coverage may measure without a trace function there")
def test_the_trace_function_of_coverage_survives_a_call_that_is_broken_out_of(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    project.write(
        client="""
        import requests

        def charge():
            while True:
                try:
                    return requests.post("http://api.pay.example/v1/charges", json={}, timeout=1).json()["id"]
                except:
                    pass

        def afterwards():
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=1)
            return "measured"
        """,
        test_it="""
        import client

        @ralph.timeout(1)
        def test_charge(api):
            client.charge()

        @ralph.timeout(1)
        def test_what_comes_then(api):
            client.afterwards()
        """,
    )

    outcome = project.run_apart("--ralph", "--cov=client", "--cov-report=json")

    assert "ended by the world" in json.dumps(outcome.whole), outcome.output
    found = json.loads((project.pytester.path / "coverage.json").read_text())["files"]["client.py"]
    assert found["missing_lines"] == []


# -- pytest-socket ------------------------------------------------------------------------------------------


@shows("pytest-socket", "`--disable-socket`: a gate is not judged, and it is said what to add", "refused")
@pytest.mark.parametrize("swallows", [False, True])
def test_disabled_sockets_are_refused(project: Project, swallows: bool):
    body = "charge()" if not swallows else "try: charge()\n    except Exception: pass"
    project.write(client=CAREFUL, test_it=GATE.replace("charge()", body))

    outcome = project.run("--ralph", "--disable-socket")

    assert outcome.code == 1
    assert set(outcome.statuses().values()) <= {"error", "not_exercised", "fail"}
    assert "@pytest.mark.enable_socket" in outcome.output
    assert "pytest-socket has disabled sockets" in json.dumps(outcome.whole)


@shows("pytest-socket", "gates that are marked `enable_socket`, beside other tests that have none")
def test_gates_with_sockets_beside_tests_without(project: Project):
    project.write(
        client=CAREFUL,
        test_it=GATE.replace("@ralph.retry", "@pytest.mark.enable_socket\n@ralph.retry")
        + """
def test_other():
    import pytest_socket, socket
    with pytest.raises(pytest_socket.SocketBlockedError), pytest.warns(UserWarning):
        socket.socket()
""",
    )

    outcome = project.run("--ralph", "--disable-socket")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert socket.socket.__module__ == "socket"


@shows("pytest-socket", "`--allow-hosts`: in a gate the simulated world decides who can be reached")
def test_allowed_hosts(project: Project):
    project.write(client=CAREFUL, test_it=GATE)

    outcome = project.run("--ralph", "--allow-hosts=192.0.2.1")

    assert outcome.not_passed() == {}, outcome.output
    assert socket.socket.connect is pytest_socket._true_connect
