"""What an agent does to gates instead of repairing the code: each way is caught, or named as out of reach.

What counts is that the run is called tampered, is red, and says what was done.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_ralph.report.jsonfile import is_intact
from tests.harness import HEADER, Outcome, Project

CLIENT = """
import requests

def charge():
    requests.post("http://api.pay.example/v1/charges", json={}, timeout=10)

def limits():
    return ["usd", "eur"]
"""
TEST = """
import client
from client import charge

def check(answer):
    assert answer is None

@pytest.fixture
def account():
    return "acct_1"

@ralph.feature("payments")
@ralph.timeout(10)
@pytest.mark.parametrize("currency", ["usd"])
def test_charge(api, account, currency):
    check(charge())
"""
POLICY = """
required = ["timeout"]
hosts = ["license.example"]
locked = ["data/*.json"]

[minimum]
resilience = 1
"""
CONFTEST = """
import pytest

@pytest.fixture
def customer():
    return "cus_1"
"""
NAME = "test_it.py::test_charge[usd]"


class Workshop:
    """A locked project that an agent may lay its hands on."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.pytester.path
        project.write(client=CLIENT, test_it=TEST)
        self.write("ralph.toml", POLICY)
        self.write("conftest.py", CONFTEST)
        self.write("data/limits.json", "{}")

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace text in a file, which must be there."""
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")

    def lock(self) -> None:
        """What a person does."""
        outcome = self.project.run("--ralph", "--ralph-lock")
        assert outcome.code == 0, outcome.output
        assert "locked 1 gates of 1 tests in ralph.lock" in outcome.output

    def run(self, *arguments: str) -> Outcome:
        """Run all gates."""
        return self.project.run("--ralph", *arguments)


@pytest.fixture
def workshop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return Workshop(project)


Attack = Callable[[Workshop], None]


def edit(name: str, old: str, new: str) -> Attack:
    return lambda workshop: workshop.replace(name, old, new)


def put(name: str, text: str) -> Attack:
    return lambda workshop: workshop.write(name, text)


def both(one: Attack, other: Attack) -> Attack:
    def act(workshop: Workshop) -> None:
        one(workshop)
        other(workshop)

    return act


FORGED_OUTCOME = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    report.longrepr = None
    return report
"""
DROPPED_ITEMS = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "charge" not in item.name]
"""
SETTINGS = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
OTHER_TEST = "\n@ralph.timeout(10)\ndef test_other(api):\n    charge()\n"

CAUGHT: dict[str, tuple[Attack, str]] = {
    "removes the test": (
        edit("test_it.py", "def test_charge", "def charge_it"),
        f"{NAME}: was removed, or is no longer collected or gated",
    ),
    "renames the test": (
        edit("test_it.py", "test_charge", "test_smoke"),
        f"{NAME}: was renamed to test_it.py::test_smoke[usd]",
    ),
    "takes the marker away": (
        edit("test_it.py", "@ralph.timeout(10)\n", ""),
        f"{NAME}: was removed, or is no longer collected or gated",
    ),
    "moves the gate to an easier test": (
        edit(
            "test_it.py",
            '@ralph.timeout(10)\n@pytest.mark.parametrize("currency", ["usd"])\n',
            '@ralph.timeout(10)\ndef test_easy(api):\n    charge()\n\n'
            '@pytest.mark.parametrize("currency", ["usd"])\n',
        ),
        f"{NAME}: was removed, or is no longer collected or gated",
    ),
    "asks for a longer timeout": (
        edit("test_it.py", "timeout(10)", "timeout(30)"),
        f"{NAME} timeout: seconds: 30.0, was 10.0",
    ),
    "allows more tolerance": (
        edit("test_it.py", "timeout(10)", "timeout(10, tolerance=0.9)"),
        f"{NAME} timeout: tolerance: 0.9, was 0.05",
    ),
    "plays no scenarios": (
        edit("test_it.py", "timeout(10)", 'timeout(10, scenarios="manual")'),
        f"{NAME} timeout: no longer plays ",
    ),
    "renames the feature": (
        edit("test_it.py", '"payments"', '"misc"'),
        f"{NAME}: is of feature misc, was of payments",
    ),
    "empties the body": (
        edit("test_it.py", "    check(charge())", "    pass"),
        f"{NAME}: its body has changed",
    ),
    "swallows what the call raises": (
        edit("test_it.py", "    check(charge())", "    try: charge()\n    except OSError: pass"),
        f"{NAME}: its body has changed",
    ),
    "weakens a helper": (
        edit("test_it.py", "    assert answer is None", "    pass"),
        f"{NAME}: what it uses, check, has changed",
    ),
    "tests something else": (
        edit("test_it.py", "from client import charge", "from client import limits as charge"),
        f"{NAME}: what it uses, charge, has changed",
    ),
    "patches the code under test on import": (
        edit("test_it.py", "def check", "client.charge = lambda: None\n\ndef check"),
        "test_it.py: what it does on import has changed",
    ),
    "faults the upstream no longer": (
        edit("test_it.py", 'ralph_upstream("http://api.pay.example")', 'ralph_upstream("http://api.pay.example", faulted=False)'),  # noqa: E501
        f"{NAME}: what it uses, api, has changed",
    ),
    "overrides a fixture of conftest": (
        edit("test_it.py", "@ralph.feature", '@pytest.fixture(autouse=True)\ndef quiet(monkeypatch):\n    monkeypatch.setattr("client.charge", print)\n\n@ralph.feature'),  # noqa: E501
        f"{NAME}: it uses quiet, which it did not",
    ),
    "skips the test": (
        edit("test_it.py", "@ralph.feature", '@pytest.mark.skip(reason="flaky")\n@ralph.feature'),
        f"{NAME}: has a new mark: skip",
    ),
    "skips the module": (
        edit("test_it.py", "import client\n", 'import client\npytestmark = pytest.mark.skipif("1", reason="x")\n'),  # noqa: E501
        f"{NAME}: has a new mark: skipif",
    ),
    "expects the failure": (
        edit("test_it.py", "@ralph.feature", "@pytest.mark.xfail\n@ralph.feature"),
        f"{NAME}: has a new mark: xfail",
    ),
    "takes a parameter away": (
        edit("test_it.py", '["usd"]', '["eur"]'),
        f"{NAME}: was renamed to test_it.py::test_charge[eur]",
    ),
    "mocks the transport by a decorator": (
        edit("test_it.py", "@ralph.feature", "@__import__('responses').activate\n@ralph.feature"),
        f"{NAME}: its body has changed",
    ),
    "deselects it in the configuration": (
        edit("tox.ini", "[pytest]", "[pytest]\naddopts = --deselect=test_it.py::test_charge"),
        "addopts: ",
    ),
    "collects other files": (
        edit("tox.ini", "[pytest]", "[pytest]\npython_files = check_*.py"),
        "python_files: ['check_*.py'], was ['test_*.py', '*_test.py']",
    ),
    "collects another folder": (
        both(
            edit("tox.ini", "[pytest]", "[pytest]\ntestpaths = other"),
            put("other/test_other.py", HEADER + "\nfrom client import charge\n" + OTHER_TEST),
        ),
        "testpaths: ['other'], was []",
    ),
    "puts another configuration before it": (
        put("pytest.ini", f"{SETTINGS}addopts = --ignore=test_it.py\n"),
        "addopts: ",
    ),
    "forges outcomes in conftest": (
        put("conftest.py", CONFTEST + FORGED_OUTCOME),
        "conftest.py: has changed",
    ),
    "adds a conftest": (
        put("sub/conftest.py", FORGED_OUTCOME),
        "sub/conftest.py: is new, and may change any outcome",
    ),
    "drops items in a hook": (
        put("conftest.py", CONFTEST + DROPPED_ITEMS),
        "conftest.py: has changed",
    ),
    "ignores files in conftest": (
        put("conftest.py", CONFTEST + "\ncollect_ignore = ['test_it.py']\n"),
        "conftest.py: has changed",
    ),
    "loads a plugin of its own": (
        both(
            put("helper.py", FORGED_OUTCOME),
            edit("conftest.py", "import pytest", "import pytest\npytest_plugins = ['helper']"),
        ),
        "helper.py: is new, and may change any outcome",
    ),
    "waives it": (
        edit(
            "ralph.toml",
            "[minimum]",
            '[[waivers]]\nfeature = "payments"\ncriterion = "timeout"\nreason = "x"\nowner = "agent"\n'
            "expires = 9999-01-01\n\n[minimum]",
        ),
        "waiver payments/timeout: is new, or says something else",
    ),
    "requires less": (
        edit("ralph.toml", 'required = ["timeout"]\n', ""),
        "every feature: no longer requires timeout",
    ),
    "lowers the minimum": (
        edit("ralph.toml", "[minimum]\nresilience = 1\n", ""),
        "every feature: needs 0 skills of phase resilience, was 1",
    ),
    "allows a host": (
        edit("ralph.toml", '"license.example"', '"license.example", "api.pay.example"'),
        "hosts api.pay.example: is allowed now",
    ),
    "unlocks a file": (
        edit("ralph.toml", 'locked = ["data/*.json"]\n', ""),
        "locked data/*.json: is no longer locked",
    ),
    "edits a locked file": (
        put("data/limits.json", '{"usd": 0}'),
        "data/limits.json: has changed",
    ),
    "spoils the lock": (
        put("ralph.lock", "{}"),
        "ralph.lock: cannot be read: KeyError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", CAUGHT)
def test_what_weakens_a_gate_is_caught(workshop: Workshop, attack: str):
    act, told = CAUGHT[attack]
    workshop.lock()

    act(workshop)
    report = workshop.run().report

    assert report is not None
    changes = [f"{each['subject']}: {each['text']}" for each in report["integrity"]["changes"]]
    assert [each for each in changes if each.startswith(told)], changes
    assert (report["gate"], report["state"]) == ("fail", "tampered")
    assert report["next_action"]["prompt"].startswith("Undo what weakens the gates")


FINE: dict[str, Attack] = {
    "nothing": lambda workshop: None,
    "repairs the code": edit("client.py", "timeout=10)", "timeout=(10, 10))"),
    "adds a gate": edit("test_it.py", "@ralph.feature", f"{OTHER_TEST}\n@ralph.feature"),
    "adds a skill": edit("test_it.py", "@ralph.feature", "@ralph.retry\n@ralph.feature"),
    "tightens": edit("test_it.py", "timeout(10)", "timeout(9, total=60, tolerance=0.01)"),
    "formats": edit("test_it.py", "    check(charge())", "    # charge\n\n    check( charge() )  # once"),
    "adds a file": put("test_more.py", HEADER + "\nfrom client import charge\n" + OTHER_TEST),
    "demands more": edit("ralph.toml", "resilience = 1", "resilience = 2"),
}  # fmt: skip


@pytest.mark.parametrize("change", FINE)
def test_what_does_not_weaken_a_gate_is_fine(workshop: Workshop, change: str):
    workshop.lock()

    FINE[change](workshop)
    report = workshop.run().whole

    assert report["integrity"]["canary"] == "red"
    assert report["integrity"]["locked"]
    assert report["integrity"]["changes"] == []
    assert report["state"] != "tampered"


def test_a_lock_that_is_gone_is_missed(workshop: Workshop):
    workshop.lock()
    assert workshop.run().whole["state"] == "green"

    (workshop.path / "ralph.lock").unlink()

    report = workshop.run().whole
    assert report["state"] == "tampered"
    assert report["integrity"]["changes"][0]["text"] == "is gone, and it was there in an earlier run"


def test_fewer_criteria_than_were_locked_are_caught(workshop: Workshop):
    workshop.lock()
    path = workshop.path / "ralph.lock"
    locked = json.loads(path.read_text())
    locked["tests"][NAME]["gates"][0]["criteria"].append("timeout.future")
    path.write_text(json.dumps(locked))

    (change,) = workshop.run().whole["integrity"]["changes"]

    assert change["text"] == "no longer judges timeout.future"


def test_the_lock_is_compared_under_xdist_too(workshop: Workshop):
    workshop.lock()
    workshop.replace("test_it.py", "timeout(10)", "timeout(20)")

    report = workshop.project.run_apart("--ralph", "-n", "2").whole

    assert report["state"] == "tampered"
    assert [each["text"] for each in report["integrity"]["changes"]] == ["seconds: 20.0, was 10.0"]


# -- without a lock -----------------------------------------------------------------------------------------

CARELESS = CLIENT.replace("timeout=10", "timeout=30")
FORGED_VERDICTS = """
import pytest

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item, call):
    report = yield
    return report

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    for verdict in getattr(report, "ralph", {}).get("verdicts", ()):
        verdict["status"] = "pass"
    report.outcome = "passed"
    report.longrepr = None
    return report
"""
BLIND = """
from pytest_ralph.core import skill
from pytest_ralph.engine import verdicts

verdicts._verdict = lambda gate, criterion, play, mocks: skill.PASSED
"""
FORGED_LATER = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    for verdict in getattr(report, "ralph", {}).get("verdicts", ()):
        verdict["status"] = "pass"
    report.outcome = "passed"
"""
SPOILED = """
import pytest

def pytest_runtest_makereport(item, call):
    if item.name == "ralph_canary":
        raise RuntimeError("no canaries here")
"""


@pytest.mark.parametrize(
    "arguments", [(), ("-n", "2"), ("--ralph-isolate",)], ids=["one process", "xdist", "isolated"]
)
@pytest.mark.parametrize(
    ("conftest", "canary"),
    [
        (FORGED_OUTCOME, "forged"),
        (FORGED_VERDICTS, "forged"),
        (BLIND, "forged"),
        (FORGED_LATER, "red"),
    ],
    ids=["outcomes", "verdicts", "criteria", "reports"],
)
def test_forged_outcomes_betray_themselves(
    workshop: Workshop, conftest: str, canary: str, arguments: tuple[str, ...]
):
    workshop.write("client.py", CARELESS)
    workshop.write("conftest.py", conftest)

    # Apart: what is patched here must not stay patched for other tests.
    outcome = workshop.project.run_apart("--ralph", *arguments)

    assert outcome.whole["state"] == "tampered"
    assert outcome.whole["gate"] == "fail"
    assert outcome.code == 1
    assert outcome.whole["integrity"]["canary"] == canary


def test_a_canary_that_cannot_be_run_leaves_nothing_green(workshop: Workshop):
    workshop.write("conftest.py", SPOILED)

    report = workshop.run().whole

    assert (report["gate"], report["state"]) == ("incomplete", "incomplete")
    assert report["integrity"]["canary"] == "not_run"
    assert "RuntimeError: no canaries here" in report["next_action"]["prompt"]


def test_a_forged_exit_code_leaves_the_report_as_it_is(workshop: Workshop):
    workshop.write("client.py", CARELESS)
    workshop.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            yield
            session.exitstatus = 0
        """,
    )

    outcome = workshop.run()

    assert outcome.whole["gate"] == "fail", "pytest-ralph run goes by the report, not by pytest's exit code"


def test_a_body_that_is_never_called_is_no_pass(workshop: Workshop):
    workshop.write("conftest.py", "def pytest_pyfunc_call(pyfuncitem):\n    return True\n")

    assert workshop.run().whole["state"] == "tampered"


def test_a_report_edited_by_hand_is_not_intact(workshop: Workshop):
    workshop.write("client.py", CARELESS)
    report = workshop.run().whole
    assert is_intact(report)

    report["gate"] = "pass"

    assert not is_intact(report)


# -- out of reach -------------------------------------------------------------------------------------------


def test_out_of_reach_code_in_the_same_process_that_knows_the_plugin(workshop: Workshop):
    """Named in docs/explanation/tampering.md: whoever runs in the process can forge what it writes."""
    workshop.lock()
    workshop.write(
        "client.py",
        CARELESS
        + textwrap.dedent(
            """
            import sys

            if "pytest" in sys.modules:
                _post = requests.post
                requests.post = lambda *args, timeout, **kwargs: _post(*args, timeout=10, **kwargs)
            """
        ),
    )

    assert workshop.project.run_apart("--ralph").whole["state"] == "green", (
        "code that behaves only under test is not seen by any test"
    )


def test_out_of_reach_a_lock_that_the_agent_makes_anew(workshop: Workshop):
    """Named there too: a person reviews ralph.lock, and verify takes it from another ref."""
    workshop.lock()
    workshop.replace("test_it.py", "timeout(10)", "timeout(30)")
    workshop.write("client.py", CARELESS)
    workshop.lock()

    assert workshop.run().whole["state"] == "green"


def test_the_docs_name_what_is_out_of_reach():
    page = Path(__file__).parents[2] / "docs" / "explanation" / "tampering.md"

    text = page.read_text(encoding="utf-8")

    assert "in the same process" in text
    assert "ralph.lock" in text
