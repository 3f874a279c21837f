"""Each criterion of ``circuit_breaker``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

RIGHT = "breaker = Breaker()"
# What cannot be judged when the breaker never opens.
CLOSED = {
    "fails-fast": "not_exercised",
    "stays-open": "not_exercised",
    "recovers": "not_exercised",
    "half-open-limit": "not_exercised",
}


def judge(
    project: Project, breaker: str, marker: str = "@ralph.circuit_breaker", call: str = "breaker.call(send)"
) -> Outcome:
    """Judge one call behind a breaker that lives in a module global."""
    project.write(
        test_it=f"""
        import requests
        from tests.subjects.breakers import Breaker, OpenError, ServerError, retried, send

        {breaker}

        {marker}
        def test_charge(api):
            {call}
        """
    )
    return project.run("--ralph")


@pytest.mark.parametrize(
    ("marker", "breaker", "call"),
    [
        ("@ralph.circuit_breaker", RIGHT, "breaker.call(send)"),
        ("@ralph.circuit_breaker()", RIGHT, "breaker.call(send)"),
        (
            "@ralph.circuit_breaker(failures=1, reset_after='500 ms')",
            "breaker = Breaker(1, 0.5)",
            "breaker.call(send)",
        ),
        (
            "@ralph.circuit_breaker(failures=3, reset_after='2 h', half_open_calls=2)",
            "breaker = Breaker(3, 7200, 2)",
            "breaker.call(send)",
        ),
        # Around the retries it counts calls, inside of them attempts.
        ("@ralph.circuit_breaker", RIGHT, "breaker.call(lambda: retried(send))"),
        ("@ralph.circuit_breaker", RIGHT, "retried(lambda: breaker.call(send))"),
        (
            "@ralph.circuit_breaker(failures=3)",
            "breaker = Breaker(3)",
            "retried(lambda: breaker.call(send), attempts=6)",
        ),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, breaker: str, call: str):
    outcome = judge(project, breaker, marker, call)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert outcome.whole["gate"] == "pass"


@pytest.mark.parametrize(
    ("breaker", "call", "not_passed"),
    [
        # None at all, one for each call, and one that opens too late.
        (RIGHT, "send()", {"opens": "fail", **CLOSED}),
        (RIGHT, "Breaker().call(send)", {"opens": "fail", **CLOSED}),
        ("breaker = Breaker(6)", "breaker.call(send)", {"opens": "fail", **CLOSED}),
        ("breaker = Breaker(10)", "retried(lambda: breaker.call(send))", {"opens": "fail"}),
        # Blind to some failures.
        ("breaker = Breaker(counts=(ServerError,))", "breaker.call(send)", {"opens": "fail"}),
        (
            "breaker = Breaker(counts=(ServerError, requests.Timeout))",
            "breaker.call(send)",
            {"opens": "fail"},
        ),
        (
            "breaker = Breaker(counts=(requests.ConnectionError, requests.Timeout))",
            "breaker.call(send)",
            {"opens": "fail", "half-open-limit": "not_exercised"},
        ),
        # A call that never ends never fails.
        (RIGHT, "breaker.call(lambda: send(None))", {"opens": "fail"}),
        # The retries around it wait for it.
        (RIGHT, "retried(lambda: breaker.call(send), errors=(Exception,))", {"fails-fast": "fail"}),
        ("breaker = Breaker(reset_after=30)", "breaker.call(send)", {"stays-open": "fail"}),
        ("breaker = Breaker(flaws='trials change nothing')", "breaker.call(send)", {"stays-open": "fail"}),
        ("breaker = Breaker(flaws='each refusal counts')", "breaker.call(send)", {"recovers": "fail"}),
        ("breaker = Breaker(flaws='lets all try')", "breaker.call(send)", {"half-open-limit": "fail"}),
        ("breaker = Breaker(4)", "breaker.call(send)", {"opens-early": "fail"}),
        ("breaker = Breaker(3)", "breaker.call(lambda: retried(send))", {"opens-early": "fail"}),
        ("breaker = Breaker(4)", "retried(lambda: breaker.call(send))", {"opens-early": "fail"}),
        ("breaker = Breaker(flaws='never counts anew')", "breaker.call(send)", {"opens-early": "fail"}),
        ("breaker = Breaker(flaws='keeps its count')", "breaker.call(send)", {"opens-early": "fail"}),
        ("breaker = Breaker(flaws='stays half-open')", "breaker.call(send)", {"opens-early": "fail"}),
        (
            "breaker = Breaker(counts=(requests.RequestException, ServerError))",
            "breaker.call(send)",
            {"opens-on-client-error": "fail"},
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, breaker: str, call: str, not_passed: dict[str, str]
):
    outcome = judge(project, breaker, call=call)

    assert outcome.not_passed() == named(not_passed), outcome.output
    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"


def named(statuses: dict[str, str]) -> dict[str, str]:
    """Statuses by the whole ids of criteria."""
    return {f"circuit-breaker.{name}": status for name, status in statuses.items()}


def test_a_breaker_that_never_closes_breaks_what_is_played_after_it(project: Project):
    outcome = judge(project, "breaker = Breaker(flaws='never closes')")

    statuses = outcome.statuses()
    assert statuses.pop("circuit-breaker.recovers") == "fail"
    assert set(statuses.values()) == {"not_exercised"}
    assert outcome.whole["next_action"]["criterion"] == "circuit-breaker.recovers"


def test_what_is_left_of_an_earlier_play_is_no_evidence(project: Project):
    project.write(
        test_it="""
        from tests.subjects.breakers import Breaker, send

        breaker = Breaker(flaws="never closes")

        @ralph.circuit_breaker
        def test_charge(api):
            try:
                breaker.call(send)
            except Exception:
                pass  # a fallback: the call does not tell that the breaker is open
        """
    )

    outcome = project.run("--ralph")

    statuses = outcome.statuses()
    assert statuses.pop("circuit-breaker.recovers") == "fail"
    assert set(statuses.values()) == {"not_exercised"}


def test_a_cache_in_front_of_a_breaker_is_no_evidence(project: Project):
    project.write(
        test_it="""
        import functools
        from tests.subjects.breakers import Breaker, send

        breaker = Breaker()

        @functools.cache
        def charged():
            breaker.call(send)

        @ralph.circuit_breaker(half_open_calls=2)
        @ralph.reset(charged.cache_clear)
        def test_charge(api):
            charged()
        """
    )

    outcome = project.run("--ralph")

    assert set(outcome.statuses().values()) == {"not_exercised"}
    observed = outcome.criterion("circuit-breaker.opens")["evidence"]["observed"]
    assert observed.startswith("a healthy call at the beginning makes no POST /v1/charges")


def test_a_reset_clears_what_an_earlier_play_has_left(project: Project):
    project.write(
        test_it="""
        from tests.subjects.breakers import Breaker, send

        breaker = Breaker(flaws="never closes")

        @ralph.circuit_breaker
        @ralph.reset(lambda: breaker.__init__(flaws="never closes"))
        def test_charge(api):
            breaker.call(send)
        """
    )

    assert project.run("--ralph").not_passed() == named(
        {"recovers": "fail", "half-open-limit": "not_exercised"}
    )


def test_a_breaker_that_is_made_for_each_test_and_never_closes_fails_one_criterion(project: Project):
    project.write(
        test_it="""
        from tests.subjects.breakers import Breaker, send

        @pytest.fixture
        def breaker():
            return Breaker(flaws="never closes")

        @ralph.circuit_breaker
        def test_charge(api, breaker):
            breaker.call(send)
        """
    )

    assert project.run("--ralph").not_passed() == named(
        {"recovers": "fail", "half-open-limit": "not_exercised"}
    )


@pytest.mark.parametrize(
    ("breaker", "call", "criterion", "scenario", "observed", "where"),
    [
        (RIGHT, "send()", "opens", "outage-status-503", "1 request right after 5 failed calls", "send"),
        (
            "breaker = Breaker(counts=(ServerError,))",
            "breaker.call(send)",
            "opens",
            "outage-hang",
            "1 request right after 5 failed calls (timeout)",
            "send",
        ),
        (
            "breaker = Breaker(counts=(ServerError, requests.Timeout))",
            "breaker.call(send)",
            "opens",
            "outage-refused",
            "1 request right after 5 failed calls (connection error)",
            "send",
        ),
        (
            "breaker = Breaker(10)",
            "retried(lambda: breaker.call(send))",
            "opens",
            "outage-status-503",
            "it opens only after 10 failed attempts in 3 failed calls",
            "send",
        ),
        (
            RIGHT,
            "breaker.call(lambda: send(None))",
            "opens",
            "outage-hang",
            "does not end by itself, so it never fails: set a timeout first",
            "send",
        ),
        (
            RIGHT,
            "retried(lambda: breaker.call(send), errors=(Exception,))",
            "fails-fast",
            "outage-status-503",
            "it takes 7 s without any request",
            "retried",
        ),
        (
            "breaker = Breaker(reset_after=30)",
            "breaker.call(send)",
            "stays-open",
            "outage-status-503",
            "POST /v1/charges -> 200 59.4 s after the breaker had to open",
            "send",
        ),
        (
            "breaker = Breaker(flaws='trials change nothing')",
            "breaker.call(send)",
            "stays-open",
            "half-open",
            "0 s after the breaker had to open again, because a trial failed",
            "send",
        ),
        (
            "breaker = Breaker(reset_after=120)",
            "breaker.call(send)",
            "recovers",
            "outage-status-503",
            "a call made no request and raised OpenError, 60.6 s after the last failure",
            "_admit",
        ),
        (
            "breaker = Breaker(trials=3)",
            "breaker.call(send)",
            "half-open-limit",
            "half-open",
            "requests by 3 of 10 callers",
            "send",
        ),
        (
            "breaker = Breaker(3)",
            "breaker.call(lambda: retried(send))",
            "opens-early",
            "outage-status-503",
            "no more requests after 12 failed attempts in 3 failed calls",
            "send",
        ),
        (
            "breaker = Breaker(counts=(requests.RequestException, ServerError))",
            "breaker.call(send)",
            "opens-on-client-error",
            "client-error-400",
            "no more requests after 5 answers with status 400",
            "send",
        ),
    ],
)
def test_evidence_says_what_was_observed_and_where(
    project: Project, breaker: str, call: str, criterion: str, scenario: str, observed: str, where: str
):
    found = judge(project, breaker, call=call).criterion(f"circuit-breaker.{criterion}")

    assert found["status"] == "fail"
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["scenario"] == scenario
    assert found["evidence"]["location"]["function"] == where
    assert found["evidence"]["timeline"]


@pytest.mark.parametrize(
    ("breaker", "call", "not_passed"),
    [
        ("breaker, other = Breaker(), Breaker()", "both(breaker, other)", {}),
        ("breaker = Breaker()", "both(breaker, breaker)", {"opens": "not_exercised"}),
        # On the wire, an operation without any breaker looks the same.
        ("breaker = Breaker()", "breaker.call(rates), send()", {"opens": "not_exercised"}),
    ],
)
def test_a_breaker_that_two_operations_share_sees_no_consecutive_failures_of_one(
    project: Project, breaker: str, call: str, not_passed: dict[str, str]
):
    project.write(
        test_it=f"""
        import requests
        from tests.subjects.breakers import Breaker, ServerError, send

        {breaker}

        def rates():
            answer = requests.get("http://api.pay.example/v1/rates", timeout=10)
            if answer.status_code >= 500:
                raise ServerError(answer.status_code)
            answer.raise_for_status()

        def both(breaker, other):
            breaker.call(rates)
            other.call(send)

        @ralph.circuit_breaker
        def test_charge(api):
            api.get("/v1/rates", json={{}})
            {call}
        """
    )

    assert project.run("--ralph").not_passed() == named(not_passed)


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.circuit_breaker(failures=0)", "failures must be a whole number from 1 to 100, got 0"),
        ("@ralph.circuit_breaker(failures=True)", "failures must be a whole number from 1 to 100, got True"),
        ("@ralph.circuit_breaker(failures=2.5)", "failures must be a whole number from 1 to 100, got 2.5"),
        ("@ralph.circuit_breaker(reset_after=0)", "reset_after must be more than 0 s, got 0"),
        ("@ralph.circuit_breaker(reset_after='soon')", "reset_after must be seconds as a number or text"),
        ("@ralph.circuit_breaker(half_open_calls=0)", "half_open_calls must be a whole number from 1 to 9"),
        ("@ralph.circuit_breaker(half_open_calls=10)", "half_open_calls must be a whole number from 1 to 9"),
        ("@ralph.circuit_breaker(scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
        (
            "@ralph.circuit_breaker(scenarios='manual')",
            "scenarios='manual' cannot be judged",
        ),
        ("@ralph.circuit_breaker(5)", "takes keyword arguments only, such as failures=5, got 5"),
        ("@ralph.circuit_breaker(fail_max=5)", "unexpected keyword argument 'fail_max'"),
    ]

    project.check_each_refused(wrong)


@pytest.mark.parametrize("flaws", ["", "lets all try"])
@pytest.mark.parametrize(
    "mark",
    [
        "@pytest.mark.asyncio",
        "@pytest.mark.anyio\n@pytest.mark.parametrize('anyio_backend', ['asyncio'])",
        "@pytest.mark.anyio\n@pytest.mark.parametrize('anyio_backend', ['trio'])",
    ],
    ids=["pytest-asyncio", "anyio", "trio"],
)
def test_callers_at_once_of_asynchronous_code(project: Project, mark: str, flaws: str):
    lines = "".join(f"{line}\n        " for line in mark.split("\n"))
    project.write(
        test_it=f"""
        from tests.subjects.breakers import ASYNC_FAILURES, Breaker, send_async

        breaker = Breaker(counts=ASYNC_FAILURES, flaws={flaws!r})

        {lines}@ralph.circuit_breaker
        async def test_charge(api):
            async with breaker.guard():
                await send_async()
        """
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == named({"half-open-limit": "fail"} if flaws else {}), outcome.output
    if flaws:
        observed = outcome.criterion("circuit-breaker.half-open-limit")["evidence"]["observed"]
        assert observed == "requests by 10 of 10 callers"
