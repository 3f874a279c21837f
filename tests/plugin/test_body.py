"""The test body, called with other arguments than those of its fixtures."""

from __future__ import annotations

import pytest

from tests.harness import Project

CALLER = """
import pytest
from pytest_ralph.engine.body import Body

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    body = Body(item)
    before = dict(item.funcargs)
    {acts}
    assert item.funcargs == before
    return result
"""


def run(project: Project, acts: str, test: str) -> str:
    indented = acts.strip().replace("\n", "\n    ")
    (project.pytester.path / "conftest.py").write_text(CALLER.format(acts=indented), encoding="utf-8")
    project.write(test_it=test)
    outcome = project.run("-q", "-s")
    assert outcome.code == 0, outcome.output
    return outcome.output


FIXTURE = "@pytest.fixture\ndef amount(): return 1\n"
BACKEND = "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
VALUES = "@pytest.mark.parametrize('amount', [1])"
SHOWS = "test_it(amount): print('<', amount, '>')"


@pytest.mark.parametrize(
    "test",
    [
        f"{FIXTURE}def {SHOWS}",
        f"{VALUES}\ndef {SHOWS}",
        f"class TestIt:\n    {VALUES}\n    def {SHOWS.replace('(', '(self, ', 1)}",
        f"{FIXTURE}@pytest.mark.asyncio\nasync def {SHOWS}",
        f"{FIXTURE}{BACKEND}@pytest.mark.anyio\nasync def {SHOWS}",
    ],
    ids=["fixture", "parametrized", "method", "asyncio", "anyio"],
)
def test_another_value_is_passed_for_one_call(project: Project, test: str):
    output = run(project, "body({'amount': [7]})\nbody()", test)

    assert [part.split(" >")[0] for part in output.split("< ")[1:]] == ["1", "[7]", "1"]


def test_the_fixtures_come_back_after_a_failure(project: Project):
    acts = """
with pytest.raises(ZeroDivisionError):
    body({'amount': 0})
body()
"""
    run(project, acts, "@pytest.fixture\ndef amount(): return 1\ndef test_it(amount): 1 / amount")


def test_an_argument_that_the_test_does_not_have(project: Project):
    acts = """
with pytest.raises(LookupError, match="the test has no argument amont, price"):
    body({'price': 0, 'amont': 1})
"""
    run(project, acts, "def test_it(): pass")


def test_what_the_body_raises_itself_is_told_from_what_it_calls(project: Project):
    test = """
import json, functools
def helper(value):
    raise ValueError(value)

def decorated(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

@pytest.fixture
def value(): return None

@decorated
def test_it(value):
    if value == "own": raise ValueError("own")
    if value == "assert": assert value == "else"
    if value == "nested": [int(each) for each in ["x"]]
    if value == "lambda": (lambda: 1 / 0)()
    if value == "helper": helper(value)
    if value == "library": json.loads("no")
"""
    acts = """
found = {}
for value in ("own", "assert", "nested", "lambda", "helper", "library"):
    try:
        body({"value": value})
    except Exception as error:
        found[value] = body.raised(error)
assert [value for value in found if found[value]] == ["own", "assert", "nested", "lambda"]
assert len(found) == 6
"""
    run(project, acts, test)
