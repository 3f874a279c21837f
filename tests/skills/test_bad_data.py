"""Each criterion of ``bad_data``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

PLAIN = "@ralph.bad_data(raises=accounts.BankError)"
FAIL = "fail"
# What is taken for an answer was not refused either: that is one flaw.
ACCEPTS = {"accepts-garbage": FAIL, "rejects-malformed": "not_exercised"}


def judge(project: Project, marker: str, call: str) -> Outcome:
    """Judge one call from `tests.subjects.accounts`."""
    project.write(
        test_it=f"""
        from tests.subjects import accounts

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream("http://bank.example")
            service.get("/v1/accounts/7", json={{"id": "acc_7", "cents": 1250}})
            service.delete("/v1/accounts/7", status=204)
            return service

        {marker}
        def test_account(service):
            {call}
        """
    )
    return project.run("--ralph")


@pytest.mark.parametrize(
    ("marker", "subject"),
    [
        (PLAIN, "right"),
        (PLAIN, "by_pydantic"),
        (PLAIN, "by_httpx"),
        ("@ralph.bad_data(raises=(LookupError, accounts.BankError))", "right"),
        ("@ralph.bad_data(raises=Exception)", "right"),
        ("@ralph.bad_data(raises=accounts.BankError, kinds=('html', 'empty', 'huge'))", "forgets_encodings"),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, subject: str):
    outcome = judge(project, marker, f"accounts.{subject}()")

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("subject", "not_passed"),
    [
        ("naive", {"raw-exception": FAIL, **ACCEPTS}),
        ("catches_json_only", {"raw-exception": FAIL}),
        ("forgets_encodings", {"raw-exception": FAIL}),
        ("forgets_types", ACCEPTS),
        ("forgets_size", ACCEPTS),
        ("replaces_bytes", ACCEPTS),
        ("swallows", ACCEPTS),
        ("chained_gets", ACCEPTS),
        ("waits_for_ever", {"rejects-malformed": FAIL}),
        ("waits_for_ever_and_catches_everything", {"rejects-malformed": FAIL}),
    ],
)
def test_each_flaw_fails_its_own_criterion(project: Project, subject: str, not_passed: dict[str, str]):
    outcome = judge(project, PLAIN, f"accounts.{subject}()")

    expected = {f"bad-data.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output
    assert outcome.code == 1


@pytest.mark.parametrize(
    "call",
    [
        "assert accounts.forgets_types() == 'acc_7'",
        "accounts.forgets_types().startswith('acc')",
        "check(accounts.forgets_types())",
    ],
)
@pytest.mark.parametrize("marker", [PLAIN, "@ralph.bad_data(raises=Exception)"])
def test_what_the_test_itself_notices_was_not_refused_by_the_code(project: Project, marker: str, call: str):
    """Least of all where any exception would do."""
    helper = "def check(value):\n            assert value == 'acc_7'\n\n        "

    outcome = judge(project, helper + marker, call)

    not_passed = {f"bad-data.{name}": status for name, status in ACCEPTS.items()}
    assert not_passed == outcome.not_passed(), outcome.output
    observed = outcome.criterion("bad-data.accepts-garbage")["evidence"]["observed"]
    assert "call returned (the test found fault with that" in observed


@pytest.mark.parametrize(
    ("subject", "criterion", "kind", "observed", "function"),
    [
        ("naive", "raw-exception", "html", "call raised JSONDecodeError", "naive"),
        ("forgets_encodings", "raw-exception", "invalid-utf8", "UnicodeDecodeError", "forgets_encodings"),
        ("forgets_types", "accepts-garbage", "wrong-types", "call returned", "read"),
        ("forgets_size", "accepts-garbage", "huge", "call returned", "forgets_size"),
        ("replaces_bytes", "accepts-garbage", "invalid-utf8", "call returned", "read"),
        ("waits_for_ever", "rejects-malformed", "length-too-long", "does not end by itself", "read"),
    ],
)
def test_evidence_says_what_was_observed_and_where(
    project: Project, subject: str, criterion: str, kind: str, observed: str, function: str
):
    found = judge(project, PLAIN, f"accounts.{subject}()").criterion(f"bad-data.{criterion}")

    assert found["evidence"]["scenario"] == f"malformed-{kind}"
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/accounts.py")
    assert function == found["evidence"]["location"]["function"]


def test_an_answer_without_a_body_cannot_be_malformed(project: Project):
    """Not even an HTML page in place of a 204 is a reason to fail."""
    outcome = judge(project, PLAIN, "accounts.tells_nothing()")

    assert set(outcome.statuses().values()) == {"not_exercised"}
    assert outcome.code == 1


def test_a_call_with_two_requests_is_judged_by_the_one_that_has_a_body(project: Project):
    outcome = judge(project, PLAIN, "accounts.right(), accounts.tells_nothing()")

    assert outcome.not_passed() == {}, outcome.output


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        (
            "@ralph.bad_data",
            "must be an exception class or a tuple of them, such as raises=RatesError, got <",
        ),
        ("@ralph.bad_data()", "missing 1 required positional argument: 'raises'"),
        ("@ralph.bad_data(raises=())", "raises names no exception: name what the code raises"),
        ("@ralph.bad_data(raises='ValueError')", "raises must be an exception class or a tuple of them"),
        ("@ralph.bad_data(raises=[ValueError])", "raises must be an exception class or a tuple of them"),
        ("@ralph.bad_data(raises=(ValueError, 3))", "raises must be an exception class or a tuple of them"),
        ("@ralph.bad_data(raises=BaseException)", "raises must be an exception class or a tuple of them"),
        ("@ralph.bad_data(ValueError, kinds='html')", "kinds must be 'all' or several of 'html', 'cut-json'"),
        ("@ralph.bad_data(ValueError, kinds=('xml',))", "'broken-chunk', got 'xml'"),
        ("@ralph.bad_data(ValueError, kinds=())", "kinds must name at least one kind"),
        ("@ralph.bad_data(ValueError, kinds=7)", "kinds must be 'all' or several of"),
        ("@ralph.bad_data(ValueError, scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
    ]

    project.check_each_refused(wrong)
