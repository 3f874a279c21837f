"""Each criterion of ``idempotent``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

NO_KEY = {
    "key-present": "fail",
    "same-key-on-retry": "not_exercised",
    "new-key-per-operation": "not_exercised",
    "single-effect": "fail",
    "retries-without-key": "fail",
}


def judge(project: Project, call: str, marker: str = "@ralph.idempotent", arguments: str = "") -> Outcome:
    """Judge one call from the module of subjects."""
    project.write(
        test_it=f"""
        import uuid
        from tests.subjects import orders

        @pytest.fixture
        def number():
            return "order-17"

        {marker}
        def test_charge(api{arguments}):
            for method in ("POST", "PUT"):
                api.add(method, "/v1/charges", json={{}})
            api.post("/v1/receipts", json={{}})
            orders.{call}
        """
    )
    return project.run("--ralph")


def named(statuses: dict[str, str]) -> dict[str, str]:
    """Statuses by the whole ids of criteria."""
    return {f"idempotent.{name}": status for name, status in statuses.items()}


@pytest.mark.parametrize(
    ("marker", "call"),
    [
        ("@ralph.idempotent", "right()"),
        ("@ralph.idempotent()", "right()"),
        ("@ralph.idempotent(header='idempotency-key')", "right()"),
        ("@ralph.idempotent(header='X-Request-Id')", "right(header='X-Request-Id')"),
        ("@ralph.idempotent(methods=('PUT', 'POST'))", "right(method='PUT')"),
        ("@ralph.idempotent", "by_threads()"),
        ("@ralph.idempotent", "of_random()"),
        ("@ralph.idempotent", "of(uuid.uuid4())"),
        ("@ralph.idempotent", "two_of_a_kind()"),
        ("@ralph.idempotent", "tenacity_outside()"),
        ("@ralph.idempotent", "by_urllib3()"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, call: str):
    outcome = judge(project, call, marker)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0
    assert outcome.whole["gate"] == "pass"


@pytest.mark.parametrize(
    ("call", "not_passed"),
    [
        ("none()", NO_KEY),
        ("empty()", NO_KEY),
        ("none_on_receipt()", {"key-present": "fail"}),
        ("new_on_each_attempt()", {"same-key-on-retry": "fail", "single-effect": "fail"}),
        ("tenacity_inside()", {"same-key-on-retry": "fail", "single-effect": "fail"}),
        ("new_on_each_attempt_but_only_after_503()", {"same-key-on-retry": "fail"}),
        ("dropped_on_last_attempt()", {"retries-without-key": "fail"}),
        ("sent_again_from_a_thread()", {"same-key-on-retry": "fail", "single-effect": "fail"}),
        ("hedged()", {"single-effect": "fail"}),
        ("constant()", {"new-key-per-operation": "fail"}),
        ("of_the_payload()", {"new-key-per-operation": "fail"}),
        ("of_the_second()", {"new-key-per-operation": "fail"}),
        ("of_a_seed()", {"new-key-per-operation": "fail"}),
        ("batch()", {"new-key-per-operation": "fail"}),
        ("of_a_session()", {"new-key-per-operation": "fail"}),
        ("by_event_hook()", {"same-key-on-retry": "fail", "single-effect": "fail"}),
        ("new_on_each_attempt_of_the_first()", {"same-key-on-retry": "fail", "single-effect": "fail"}),
        (
            "never_retries()",
            {"same-key-on-retry": "not_exercised", "retries-without-key": "not_exercised"},
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(project: Project, call: str, not_passed: dict[str, str]):
    outcome = judge(project, call)

    assert outcome.not_passed() == named(not_passed), outcome.output
    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("of('17')", ""),
        ("of(17)", ""),
        ("of(number)", ", number"),
    ],
)
def test_a_key_that_the_test_passes_is_no_new_one_and_no_wrong_one(
    project: Project, call: str, arguments: str
):
    outcome = judge(project, call, arguments=arguments)

    assert outcome.not_passed() == named({"new-key-per-operation": "not_exercised"}), outcome.output
    observed = outcome.criterion("idempotent.new-key-per-operation")["evidence"]["observed"]
    assert "comes from what the test passes" in observed
    assert "let the test pass a new value in each" in observed


@pytest.mark.parametrize(
    ("call", "criterion", "scenario", "observed", "where"),
    [
        ("none()", "key-present", "status-503", "POST /v1/charges without it", "send"),
        ("none_on_receipt()", "key-present", "status-503", "POST /v1/receipts without it", "send"),
        ("new_on_each_attempt()", "same-key-on-retry", "status-503", "4 keys in 4 attempts", "send"),
        ("dropped_on_last_attempt()", "retries-without-key", "status-503", "retry 3 without it", "send"),
        (
            "none()",
            "single-effect",
            "answer-lost-by-reset",
            "2 effects: 2 requests without Idempotency-Key",
            "send",
        ),
        (
            "tenacity_inside()",
            "single-effect",
            "answer-lost-by-reset",
            "2 effects: a new Idempotency-Key each",
            "tenacity_inside",
        ),
        (
            "of_the_payload()",
            "new-key-per-operation",
            "healthy-2-calls",
            "the same key again, which a service takes for the same order",
            "send",
        ),
    ],
)
def test_evidence_says_what_was_observed_and_where(
    project: Project, call: str, criterion: str, scenario: str, observed: str, where: str
):
    found = judge(project, call).criterion(f"idempotent.{criterion}")

    assert found["status"] == "fail"
    assert found["evidence"]["observed"] == observed
    assert found["evidence"]["scenario"] == scenario
    assert found["evidence"]["location"]["function"] == where
    assert found["evidence"]["timeline"]


def test_a_service_that_faults_spare_needs_no_key(project: Project):
    project.write(
        test_it="""
        import requests
        from tests.subjects import orders

        @ralph.idempotent
        def test_charge(api, ralph_upstream):
            ralph_upstream("http://login.example", faulted=False).post("/token", json={})
            requests.post("http://login.example/token", timeout=10)
            orders.right()
        """
    )

    assert project.run("--ralph").not_passed() == {}


@pytest.mark.parametrize(
    ("key", "not_passed"),
    [
        ("", {}),
        (', idempotency_key="order-of-mine"', {"new-key-per-operation": "not_exercised"}),
    ],
)
def test_stripe_makes_its_own_keys(project: Project, key: str, not_passed: dict[str, str]):
    project.write(
        test_it=f"""
        import stripe

        @ralph.idempotent
        def test_charge(ralph_upstream):
            ralph_upstream("https://api.stripe.com").post("/v1/charges", json={{"id": "ch_1"}})
            stripe.api_key, stripe.max_network_retries = "sk_test_1", 2
            stripe.Charge.create(amount=100, currency="usd", source="tok_visa"{key})
        """
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == named(not_passed), outcome.output


def test_no_request_of_the_methods_is_no_evidence(project: Project):
    outcome = judge(project, "right()", "@ralph.idempotent(methods=('DELETE',))")

    exercised = {"idempotent.exercised": "pass"}
    assert outcome.statuses() == dict.fromkeys(outcome.statuses(), "not_exercised") | exercised


def test_faults_of_ones_own_are_judged(project: Project):
    project.write(
        test_it="""
        from tests.subjects import orders

        @ralph.idempotent(scenarios="manual")
        def test_charge(api):
            orders.right()
            api.inject(ralph.faults.AnswerLost(), times=1)
            orders.right()
        """
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == {}, outcome.output


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.idempotent(header='')", "header must be the name of a header field such as"),
        ("@ralph.idempotent(header='two words')", "such as 'Idempotency-Key', got 'two words'"),
        ("@ralph.idempotent(header=None)", "such as 'Idempotency-Key', got None"),
        ("@ralph.idempotent(methods='POST')", "methods must be several of POST, PUT, PATCH, DELETE"),
        ("@ralph.idempotent(methods=())", "methods must name at least one of POST"),
        ("@ralph.idempotent(methods=('GET',))", "methods takes POST, PUT, PATCH, DELETE, got 'GET'"),
        ("@ralph.idempotent(methods=('post',))", "methods takes POST, PUT, PATCH, DELETE, got 'post'"),
        ("@ralph.idempotent(scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
        ("@ralph.idempotent('X-Key')", "takes keyword arguments only, such as header='...', got 'X-Key'"),
        ("@ralph.idempotent(name='X-Key')", "unexpected keyword argument 'name'"),
    ]

    project.check_each_refused(wrong)
