"""What judging costs, measured in one run on one machine: figures to compare with each other, no verdicts.

1. Real time per scenario against the raw cost of the same client calls on a plain loopback server.
2. Virtual seconds judged per real second for the payments example.
3. Start-up of pytest with and without the plugin.
4. Real time of a latency gate: 200 calls under load, and 200 that are measured.
5. What the mechanisms of the resource skills add to a call that does nothing.

Run it with ``make bench``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
ROUNDS = 7

GATE = """
import pytest
import pytest_ralph as ralph
import requests

SESSION = requests.Session()
SESSION.trust_env = False

@pytest.fixture
def api(ralph_upstream):
    api = ralph_upstream("http://api.pay.example")
    api.post("/v1/charges", json={"id": "ch_1"})

@pytest.mark.parametrize("number", range(100))
@ralph.timeout(10)
def test_charge(api, number):
    SESSION.post("http://api.pay.example/v1/charges", json={"amount": 1}, timeout=10).raise_for_status()
"""
# The same, without the plugin: the cost of pytest's own items is not the plugin's.
PLAIN = """
import os
import pytest
import requests

SESSION = requests.Session()
SESSION.trust_env = False
URL = os.environ["BENCH_URL"]

@pytest.mark.parametrize("number", range(100))
@pytest.mark.parametrize("scenario", range({scenarios}))
def test_charge(number, scenario):
    for _ in range({calls}):
        SESSION.post(URL, json={{"amount": 1}}, timeout=10)
"""


class Healthy(BaseHTTPRequestHandler):
    """A plain server that gives the answer the simulated one gives."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"id": "ch_1"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def pytest_in(folder: Path, *arguments: str, **environment: str) -> tuple[float, str]:
    """Run pytest in a process of its own. Returns real seconds and output."""
    # Byte code is cached, as on any machine of a developer's.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    return time.perf_counter() - began, done.stdout


def inner_seconds(output: str) -> float:
    """The seconds pytest says it took, without start-up of the interpreter."""
    return float(output.rstrip().splitlines()[-1].rpartition(" in ")[2].split("s")[0])


def best(measure: object, rounds: int = ROUNDS) -> float:
    """The shortest of several measurements: the one the rest of the machine disturbed least."""
    return min(measure() for _ in range(rounds))  # type: ignore[operator]


def scenario_cost() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/charges"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_gate.py").write_text(GATE)
        _, listed = pytest_in(folder, "--ralph", "--collect-only", "test_gate.py")
        items = sum("::" in line for line in listed.splitlines())
        scenarios = items // 100
        # A scenario makes a healthy call and one or more with the fault: 2 of each kind at the least.
        (folder / "test_plain.py").write_text(textwrap.dedent(PLAIN).format(scenarios=scenarios, calls=2))
        judged = best(lambda: inner_seconds(pytest_in(folder, "--ralph", "--tb=no", "test_gate.py")[1]), 3)
        raw = best(lambda: inner_seconds(pytest_in(folder, "test_plain.py", BENCH_URL=url)[1]), 3)
    server.shutdown()
    print(f"scenarios                        {items}")
    print(f"judged, per scenario             {judged / items * 1000:8.2f} ms")
    print(f"same calls, plain server         {raw / items * 1000:8.2f} ms")
    print(f"added per scenario               {(judged - raw) / items * 1000:8.2f} ms   (target: under 5 ms)")
    print(f"ratio                            {judged / raw:8.2f}")


def virtual_time() -> None:
    folder = EXAMPLES / "requests_payments"
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        arguments = ("--ralph", "--tb=no", f"--ralph-report={report}", "-p", "bench_virtual", str(folder))
        # Not what this project's own tests load.
        arguments += (f"--confcutdir={folder}",)
        (Path(name) / "bench_virtual.py").write_text(VIRTUAL)
        seconds: list[float] = []
        virtual = 0.0
        for _ in range(3):
            took, output = pytest_in(folder, *arguments, PYTHONPATH=name)
            seconds.append(took)
            virtual = sum(
                float(line.split()[1]) for line in output.splitlines() if line.startswith("VIRTUAL ")
            )
    took = min(seconds)
    print(f"virtual time judged              {virtual:8.0f} s")
    print(f"real time, start-up included     {took:8.2f} s    (target: under 2 s)")
    print(f"virtual seconds per real second  {virtual / took:8.0f}")


# Adds up what the code under test waited in the judged calls; the hour between plays does not count.
VIRTUAL = """
from pytest_ralph.engine import play

total = [0.0]
original = play.Player._play

def _play(self, scenario, targets):
    found = original(self, scenario, targets)
    total[0] += found.timeline[-1].at
    return found

play.Player._play = _play

def pytest_unconfigure():
    print()
    print("VIRTUAL", total[0])
"""


def start_up() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
        # Interleaved, so that what the machine does otherwise hits both alike.
        pairs = [
            (
                pytest_in(folder, "test_nothing.py")[0],
                pytest_in(folder, "-p", "no:ralph", "test_nothing.py")[0],
            )
            for _ in range(ROUNDS * 3)
        ]
    with_plugin, without = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    print(f"start-up with the plugin         {with_plugin * 1000:8.1f} ms")
    print(f"start-up without                 {without * 1000:8.1f} ms")
    print(
        f"unused plugin costs              {(with_plugin - without) * 1000:8.1f} ms   (target: under 10 ms)"
    )


LATENCY = """
import pytest
import pytest_ralph as ralph
import requests
from requests.adapters import HTTPAdapter

SESSION = requests.Session()
SESSION.trust_env = False
SESSION.mount("http://", HTTPAdapter(pool_maxsize={connections}, pool_block=True))

@pytest.fixture
def api(ralph_upstream):
    ralph_upstream("http://api.pay.example").post("/v1/charges", json={{"id": "ch_1"}})

@ralph.latency(p95="1.5 s", upstream="1 s")
def test_charge(api):
    SESSION.post("http://api.pay.example/v1/charges", json={{"amount": 1}}, timeout=1000).raise_for_status()
"""


def latency() -> None:
    for connections, what in ((10, "a connection for each caller"), (1, "one for all of them")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "test_latency.py").write_text(LATENCY.format(connections=connections))
            took = best(lambda: inner_seconds(pytest_in(folder, "--ralph", "--tb=no")[1]), 3)  # noqa: B023
        print(f"200 calls, {what:29} {took:8.2f} s")


MECHANISMS = {
    "in pytest's process": ("@ralph.timeout(10)", ()),
    "isolated": ("@ralph.timeout(10)", ("--ralph-isolate",)),
    "memory measured": ("@ralph.memory_limit('50 MB', mode='peak')", ()),
    "memory measured, and capped": ("@ralph.memory_limit('50 MB')", ()),
    "leaks counted, 20 calls": ("@ralph.no_leaks", ()),
    "growth, three sizes": ("@ralph.scales((1, 4, 16))", ()),
    "growth, of memory as well": ("@ralph.scales((1, 4, 16), memory='n')", ()),
}
IDLE = """
import pytest
import pytest_ralph as ralph

@pytest.mark.parametrize("number", range(20))
{marker}
def test_idle({arguments}):
    pass
"""


def mechanisms() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, (marker, options) in MECHANISMS.items():
            arguments = "number, n" if "scales" in marker else "number"
            (folder / "test_idle.py").write_text(IDLE.format(marker=marker, arguments=arguments))
            _, listed = pytest_in(folder, "--ralph", *options, "--collect-only", "test_idle.py")
            items = sum("::" in line for line in listed.splitlines())
            command = ("--ralph", "--tb=no", *options, "test_idle.py")
            took = best(lambda command=command: inner_seconds(pytest_in(folder, *command)[1]), 3)
            print(f"{what:32} {took / items * 1000:8.1f} ms per scenario")


if __name__ == "__main__":
    print("-- one scenario")
    scenario_cost()
    print("-- the payments example on requests")
    virtual_time()
    print("-- start-up")
    start_up()
    print("-- a latency gate")
    latency()
    print("-- mechanisms of the resource skills")
    mechanisms()
