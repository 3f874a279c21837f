"""Calls that a mock answers go round the simulation: they are seen, and nothing passes on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import pytest_httpx
import requests
import responses
import respx

from pytest_ralph.core.scenario import HEALTHY
from pytest_ralph.core.skill import PASSED, Criterion, Play, Skill, Status, Verdict, failed
from pytest_ralph.core.timeline import Mocked, Requested, Timeline
from pytest_ralph.engine.gates import Gate
from pytest_ralph.engine.verdicts import judge
from pytest_ralph.world.world import World
from tests.harness import Outcome, Project

CLIENT = """
import contextlib
import uuid

import httpx
import requests

URL = "http://api.pay.example/v1/charges"

def charge(url=URL):
    requests.post(url, json={}, timeout=10).raise_for_status()

def pay(url=URL, **how):
    with httpx.Client(timeout=10, **how) as client:
        client.post(url, json={}).raise_for_status()

async def pay_later(url=URL):
    async with httpx.AsyncClient(timeout=10) as client:
        (await client.post(url, json={})).raise_for_status()

def whatever_happens(call, *arguments):
    with contextlib.suppress(Exception):
        call(*arguments)
"""
IMPORTS = """
import httpx, pytest, requests, responses, respx
from client import *
"""
LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")  # or pytest-asyncio warns
MOCKS = "http://mock.example/v1/charges"


def write(project: Project, test: str) -> None:
    (project.pytester.path / "test_it.py").unlink(missing_ok=True)
    project.write(client=CLIENT, test_it=IMPORTS)
    path = project.pytester.path / "test_it.py"
    path.write_text(path.read_text() + test, encoding="utf-8")


def run(project: Project, test: str, *arguments: str) -> Outcome:
    write(project, test)
    return project.run("--ralph", *LOOPS, *arguments)


CHARGE = "POST http://api.pay.example/v1/charges"


def check_mocked(outcome: Outcome, mock: str, request: str = CHARGE) -> None:
    """Make sure that nothing passed, and that every criterion says why."""
    assert outcome.code == 1
    assert set(outcome.statuses().values()) == {"not_exercised"}, outcome.output
    for name in outcome.statuses():
        evidence = outcome.criterion(name)["evidence"]
        assert evidence["observed"].startswith(f"{mock} answered {request}, so timing and faults"), name
        assert "instead, or take the mock away" in evidence["observed"]
        assert evidence["location"]["file"] == "client.py"
        assert any(line.endswith(f" by {mock}") for line in evidence["timeline"])


SEEN = {
    "responses": "answers of `responses` in a gated test are seen: not exercised, never a pass",
    "respx": "answers of respx in a gated test are seen: not exercised, never a pass",
    "pytest-httpx": "answers of pytest-httpx in a gated test are seen: not exercised, never a pass",
}
THROUGH = {
    "responses": "what it passes through (`add_passthru`, passthrough answers) is judged",
    "respx": "what it passes through (`pass_through`) is judged",
    "pytest-httpx": "what it passes through (`should_mock`) is judged",
}


def case(name: str, mock: str, text: str, test: str) -> Any:
    return pytest.param(mock, test, id=name, marks=pytest.mark.shows("plugins", mock, text))


def seen(name: str, mock: str, test: str) -> Any:
    return case(name, mock, SEEN[mock], test)


def through(name: str, mock: str, test: str) -> Any:
    return case(name, mock, THROUGH[mock], test)


@pytest.mark.parametrize(
    ("mock", "test"),
    [
        seen(
            "responses-decorator",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.post(URL, json={})
    charge()
""",
        ),
        seen(
            "responses-context",
            "responses",
            """
@ralph.timeout(10)
def test_charge(api):
    with responses.RequestsMock() as mock:
        mock.post(URL, json={})
        charge()
""",
        ),
        seen(
            "responses-fixture",
            "responses",
            """
@pytest.fixture
def mock():
    with responses.RequestsMock(registry=responses.registries.OrderedRegistry) as mock:
        mock.post(URL, json={})
        yield mock

@ralph.timeout(10)
def test_charge(api, mock):
    charge()
""",
        ),
        seen(
            "responses-callback",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.add_callback("POST", URL, lambda request: (200, {}, "{}"))
    charge()
""",
        ),
        seen(
            "responses-exception",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.post(URL, body=requests.ConnectionError("mocked"))
    whatever_happens(charge)
""",
        ),
        seen(
            "responses-refused",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    whatever_happens(charge)
""",
        ),
        seen(
            "respx-decorator",
            "respx",
            """
@ralph.timeout(10)
@respx.mock
def test_charge(api):
    respx.post(URL)
    pay()
""",
        ),
        seen(
            "respx-context",
            "respx",
            """
@ralph.timeout(10)
def test_charge(api):
    with respx.mock(base_url="http://api.pay.example") as router:
        router.post("/v1/charges").respond(201)
        pay()
""",
        ),
        seen(
            "respx-fixture",
            "respx",
            """
@ralph.timeout(10)
def test_charge(api, respx_mock):
    respx_mock.post(URL).mock(side_effect=[httpx.Response(200)] * 9)
    pay()
""",
        ),
        seen(
            "respx-using-httpx",
            "respx",
            """
@ralph.timeout(10)
@respx.mock(using="httpx")
def test_charge(api, respx_mock):
    respx_mock.post(URL)
    pay()
""",
        ),
        seen(
            "respx-transport",
            "respx",
            """
@ralph.timeout(10)
def test_charge(api):
    router = respx.Router()
    router.post(URL)
    pay(transport=httpx.MockTransport(router.handler))
""",
        ),
        seen(
            "respx-anything",
            "respx",
            """
@ralph.timeout(10)
@respx.mock(assert_all_mocked=False)
def test_charge(api, respx_mock):
    pay()
""",
        ),
        seen(
            "respx-exception",
            "respx",
            """
@ralph.timeout(10)
@respx.mock
def test_charge(api):
    respx.post(URL).mock(side_effect=httpx.ConnectError)
    whatever_happens(pay)
""",
        ),
        seen(
            "respx-refused",
            "respx",
            """
@ralph.timeout(10)
@respx.mock
def test_charge(api):
    whatever_happens(pay)
""",
        ),
        seen(
            "respx-async",
            "respx",
            """
@ralph.timeout(10)
@pytest.mark.asyncio
@respx.mock
async def test_charge(api):
    respx.post(URL)
    await pay_later()
""",
        ),
        seen(
            "respx-async-refused",
            "respx",
            """
@ralph.timeout(10)
@pytest.mark.asyncio
@respx.mock
async def test_charge(api):
    try:
        await pay_later()
    except AssertionError:
        pass
""",
        ),
        seen(
            "httpx-mock",
            "pytest-httpx",
            """
@ralph.timeout(10)
def test_charge(api, httpx_mock):
    httpx_mock.add_response()
    pay()
""",
        ),
        seen(
            "httpx-mock-async",
            "pytest-httpx",
            """
@ralph.timeout(10)
@pytest.mark.asyncio
async def test_charge(api, httpx_mock):
    httpx_mock.add_response()
    await pay_later()
""",
        ),
        seen(
            "httpx-mock-refused",
            "pytest-httpx",
            """
@ralph.timeout(10)
@pytest.mark.httpx_mock(assert_all_requests_were_expected=False)
def test_charge(api, httpx_mock):
    whatever_happens(pay)
""",
        ),
    ],
)
def test_what_a_mock_answers_is_never_a_pass(project: Project, mock: str, test: str):
    check_mocked(run(project, test), mock)


@pytest.mark.parametrize(
    ("mock", "test"),
    [
        through(
            "responses-prefix",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.add_passthru("http://api.pay.example")
    charge()
""",
        ),
        through(
            "responses-pattern",
            "responses",
            """
import re

@ralph.timeout(10)
def test_charge(api):
    with responses.RequestsMock() as mock:
        mock.add_passthru(re.compile(r"http://api[.]pay[.]example/\\w+"))
        charge()
""",
        ),
        through(
            "responses-answer",
            "responses",
            """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.add(responses.PassthroughResponse("POST", URL))
    charge()
""",
        ),
        through(
            "respx",
            "respx",
            """
@ralph.timeout(10)
@respx.mock
def test_charge(api):
    respx.route(host="api.pay.example").pass_through()
    pay()
""",
        ),
        through(
            "respx-using-httpx",
            "respx",
            """
@ralph.timeout(10)
@respx.mock(using="httpx")
def test_charge(api, respx_mock):
    respx_mock.route(host="api.pay.example").pass_through()
    pay()
""",
        ),
        through(
            "respx-second-router",
            "respx",
            """
@ralph.timeout(10)
def test_charge(api):
    with respx.mock(assert_all_called=False) as first, respx.mock() as second:
        first.get("http://mock.example/")
        second.route(host="api.pay.example").pass_through()
        pay()
""",
        ),
        through(
            "respx-async",
            "respx",
            """
@ralph.timeout(10)
@pytest.mark.asyncio
@respx.mock
async def test_charge(api):
    respx.route(host="api.pay.example").pass_through()
    await pay_later()
""",
        ),
        through(
            "httpx-mock",
            "pytest-httpx",
            """
@ralph.timeout(10)
@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host != "api.pay.example")
def test_charge(api, httpx_mock):
    pay()
""",
        ),
        through(
            "httpx-mock-async",
            "pytest-httpx",
            """
@ralph.timeout(10)
@pytest.mark.asyncio
@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host != "api.pay.example")
async def test_charge(api, httpx_mock):
    await pay_later()
""",
        ),
    ],
)
def test_what_a_mock_lets_through_is_judged(project: Project, mock: str, test: str):
    outcome = run(project, test)

    assert outcome.code == 0, outcome.output
    assert len(outcome.statuses()) == 4
    assert outcome.not_passed() == {}


# The simulated call comes first, so that in trouble the one that is mocked is not made at all.
@pytest.mark.parametrize("order", ["charge(); charge(MOCKED)", "charge(MOCKED); charge()"])
def test_one_mocked_call_among_simulated_ones_is_no_pass(project: Project, order: str):
    outcome = run(
        project,
        f"""
MOCKED = "{MOCKS}"

@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.add_passthru("http://api.pay.example")
    responses.post(MOCKED, json={{}})
    {order}
""",
    )

    check_mocked(outcome, "responses", f"POST {MOCKS}")
    assert 'ralph_upstream("http://mock.example")' in outcome.output


def test_a_mock_met_only_in_trouble_is_no_pass(project: Project):
    outcome = run(
        project,
        f"""
MOCKED = "{MOCKS}"

@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.add_passthru("http://api.pay.example")
    responses.post(MOCKED, json={{}})
    try:
        charge()
    except requests.Timeout:
        charge(MOCKED)
""",
    )

    # A client that gives up on a hung service turns to the mock.
    assert outcome.criterion("timeout.gives-up")["status"] == "not_exercised"
    assert outcome.criterion("timeout.gives-up")["evidence"]["observed"].startswith("responses answered POST")
    assert "pass" not in outcome.statuses().values()


def test_a_mock_that_was_started_before_the_world_is_seen(project: Project):
    project.write(
        conftest="""
        import pytest, responses

        @pytest.fixture(scope="session", autouse=True)
        def mocked():
            with responses.mock:
                responses.post("http://api.pay.example/v1/charges", json={})
                yield
        """
    )

    check_mocked(run(project, "@ralph.timeout(10)\ndef test_charge(api):\n    charge()\n"), "responses")


def test_a_test_that_injects_its_own_faults_does_not_pass_on_mocks(project: Project):
    outcome = run(
        project,
        """
@ralph.timeout(10, scenarios="manual")
def test_charge(api):
    with api.inject(ralph.faults.Hang()), pytest.raises(requests.Timeout):
        charge()
    with responses.RequestsMock() as mock:
        mock.post(URL, json={})
        charge()
""",
    )

    check_mocked(outcome, "responses")


def test_ids_in_what_was_mocked_do_not_change_the_report(project: Project):
    outcome = run(
        project,
        """
import re

@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.post(re.compile(URL), json={})
    charge(f"{URL}/{uuid.uuid4()}?token={uuid.uuid4()}")
""",
    )

    check_mocked(outcome, "responses", "POST http://api.pay.example/v1/charges/<uuid>")


def test_an_endless_loop_against_a_mock_is_ended(project: Project):
    outcome = run(
        project,
        """
@ralph.timeout(10)
@responses.activate
def test_charge(api):
    responses.post(URL, status=503)
    while True:
        whatever_happens(charge)
""",
        "-k",
        "healthy",
    )

    assert outcome.skill("timeout")["status"] == "error"
    assert "the call never ends" in outcome.output


@pytest.mark.parametrize("arguments", [(), ("--ralph",)])
def test_mocks_in_tests_that_are_not_judged_are_nobodys_business(
    project: Project, arguments: tuple[str, ...]
):
    write(
        project,
        """
@responses.activate
def test_charge(api, ralph_timeline):
    responses.post(URL, json={})
    charge()
    assert [event.url for event in ralph_timeline() if type(event).__name__ == "Mocked"] == [URL]

@ralph.timeout(10)
def test_gate(api):
    charge()
""",
    )

    assert project.run(*LOOPS, *arguments).code == 0


@pytest.mark.shows(
    "plugins", "unittest.mock", "a patched client is not seen, but its fault is never met: not exercised"
)
def test_a_patched_client_never_meets_the_fault(project: Project):
    outcome = run(
        project,
        """
from unittest import mock

@ralph.timeout(10)
def test_charge(api):
    with mock.patch("requests.post"):
        charge()
""",
    )

    assert outcome.code == 1
    assert set(outcome.statuses().values()) == {"not_exercised"}
    assert "Hang() was never met" in outcome.criterion("timeout.exercised")["evidence"]["observed"]


# -- a criterion of the healthy world, whatever skills there are ---------------------------------------------


def healthy_gate(verdict: Verdict | None) -> Gate:
    spec = type("Spec", (), {"scenarios": "auto", "parameters": lambda _: {}})()
    criterion = Criterion(
        id="holds",
        kind="pass",
        text=lambda _: "it holds",
        scenarios=lambda _: (HEALTHY,),
        judge=lambda *_: verdict,
        fix=lambda _: "Mend it",
    )
    skill = Skill(
        id="any", marker="any", title="any", phase="core", criteria=(criterion,), keep=lambda _: "all"
    )
    return Gate(feature="any", skill=skill, spec=spec)


MOCKED = Mocked(at=0.0, mock="respx", method="GET", url="https://user.example:8443/v1/a?b=c")
FAILED = failed("this", "that", None, Timeline())


@pytest.mark.parametrize(
    ("verdict", "events", "status"),
    [
        (PASSED, (), "pass"),
        (FAILED, (), "fail"),
        (PASSED, (MOCKED,), "not_exercised"),
        (FAILED, (MOCKED,), "not_exercised"),
        (None, (MOCKED,), "not_exercised"),
    ],
)
def test_nothing_is_known_of_a_healthy_call_that_a_mock_answered(
    verdict: Verdict | None, events: tuple[Mocked, ...], status: str
):
    play = Play(scenario=HEALTHY, timeline=Timeline(events))

    (record,) = judge([healthy_gate(verdict)], HEALTHY, [play], "test_it.py::test_it[healthy]")

    assert record["status"] == status
    if status == Status.NOT_EXERCISED:
        assert 'ralph_upstream("https://user.example:8443")' in record["evidence"]["observed"]


def test_what_the_healthy_call_left_to_a_mock_counts_in_every_play():
    other = Requested(at=0.0, upstream="http://a.example", attempt=1, method="GET", target="/")
    play = Play(scenario=HEALTHY, timeline=Timeline((other,)))

    (record,) = judge([healthy_gate(PASSED)], HEALTHY, [play], "test_it.py::test_it[healthy]", mocks=[MOCKED])

    assert record["status"] == "not_exercised"


# -- the seam ------------------------------------------------------------------------------------------------

WATCHED = [
    (responses.RequestsMock, "_find_match"),
    (respx.router.Router, "handler"),
    (respx.router.Router, "async_handler"),
    (respx.mocks.Mocker, "handler"),
    (respx.mocks.Mocker, "async_handler"),
    (pytest_httpx.HTTPXMock, "_handle_request"),
    (pytest_httpx.HTTPXMock, "_handle_async_request"),
]


@pytest.mark.parametrize(("owner", "name"), WATCHED)
def test_mocks_are_watched_only_while_a_world_is_active(world: World, owner: type, name: str):
    before = vars(owner)[name]

    world.enter()
    during = vars(owner)[name]
    world.leave()

    assert during is not before
    assert type(during) is type(before)
    assert vars(owner)[name] is before


def test_a_mock_made_in_another_way_breaks_no_world(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(responses.RequestsMock, "_find_match")
    monkeypatch.delattr(respx.mocks, "Mocker")

    world.enter()
    world.leave()


def test_what_mocks_answer_is_on_the_timeline(world: World, live: Callable[[Callable[[], Any]], Any]):
    def call() -> None:
        with responses.RequestsMock() as mock:
            mock.get("http://a.example/1", status=201)
            mock.add_callback("GET", "http://a.example/2", lambda _: (202, {}, ""))
            mock.get("http://a.example/3", body=OSError("mocked"))
            requests.get("http://a.example/1", timeout=1)
            requests.get("http://a.example/2", timeout=1)
            with pytest.raises(OSError, match="mocked"):
                requests.get("http://a.example/3", timeout=1)
        with respx.mock() as router:
            router.get("http://a.example/4").respond(204)
            router.get("http://a.example/5").mock(side_effect=httpx.ConnectTimeout)
            httpx.get("http://a.example/4")
            with pytest.raises(httpx.ConnectTimeout):
                httpx.get("http://a.example/5")

    live(call)

    assert world.timeline.lines() == [
        "0.000 GET http://a.example/1 -> 201 by responses",
        "0.000 GET http://a.example/2 -> answered by responses",
        "0.000 GET http://a.example/3 -> answered by responses",
        "0.000 GET http://a.example/4 -> 204 by respx",
        "0.000 GET http://a.example/5 -> answered by respx",
    ]
    assert {each.location and each.location.function for each in world.timeline.of(Mocked)} == {"call"}


def test_many_calls_that_a_mock_answers_well_are_no_endless_loop(
    world: World, live: Callable[[Callable[[], Any]], Any]
):
    def call() -> None:
        with responses.RequestsMock() as mock:
            mock.get("http://a.example/1", status=200)
            for _ in range(80):
                requests.get("http://a.example/1", timeout=1)

    live(call)

    assert len(world.timeline) == 80


def test_that_declared_answers_are_matched_by_responses_is_no_mock(
    world: World, live: Callable[[Callable[[], Any]], Any]
):
    world.upstream("http://api.pay.example").get("/v1/charges", json=[])

    assert live(lambda: requests.get("http://api.pay.example/v1/charges", timeout=1).json()) == []
    assert world.timeline.of(Mocked) == []
    assert len(world.timeline.of(Requested)) == 1


def test_no_mock_is_imported_to_be_watched(project: Project):
    write(project, "")
    (project.pytester.path / "test_it.py").write_text(
        """
import sys
import pytest_ralph as ralph

@ralph.timeout(10)
def test_nothing(ralph_timeline):
    pass
"""
    )
    project.write(
        conftest="""
        import sys

        def pytest_sessionfinish():
            print("loaded:", sorted({"responses", "respx", "pytest_httpx"} & set(sys.modules)))
        """
    )

    outcome = project.run_apart("--ralph", "-s", "-p", "no:pytest_httpx", "-p", "no:respx")

    assert "loaded: []" in outcome.output
