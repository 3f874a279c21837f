"""Each criterion of ``validates_input``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import Outcome, Project
from tests.subjects import validation

GATE = "@ralph.validates_input(amount=ralph.invalid.amounts(zero=True), token=ralph.invalid.tokens())"
FIXTURES = """
from hypothesis import strategies as st
from tests.subjects import validation

@pytest.fixture
def amount():
    return 100

@pytest.fixture
def token():
    return "tok_visa"
"""
ACCEPTS = {"validates-input.rejects-invalid": "fail"}
CALLS = {"validates-input.calls-before-validation": "fail"}
REFUSES = {"validates-input.accepts-valid": "fail"}


@pytest.fixture(autouse=True)
def innocent():
    yield
    validation._rejected.clear()


def judge(project: Project, body: str, *arguments: str, gate: str = GATE, more: str = "") -> Outcome:
    """Judge a test body, in a project with a fixture for each argument."""
    function = (
        body
        if body.startswith(("def ", "async def ", "@"))
        else f"def test_charge(api, amount, token):\n    {body}"
    )
    project.write(test_it=f"{FIXTURES}\n{more}\n{gate}\n{function}\n")
    return project.run("--ralph", *arguments)


@pytest.mark.parametrize(
    ("subject", "decimals"),
    [
        ("right", 0),
        ("with_model", 0),
        ("in_decimals", 2),
        ("logs_rejections", 0),
        ("to_log_file", 0),
    ],
)
def test_right_code_passes_every_criterion(project: Project, subject: str, decimals: int):
    gate = GATE.replace("zero=True", f"zero=True, decimals={decimals}")
    outcome = judge(project, f"validation.{subject}(amount, token)", gate=gate)

    assert outcome.not_passed() == {}, outcome.output
    assert set(outcome.statuses()) == {
        "validates-input.rejects-invalid",
        "validates-input.accepts-valid",
        "validates-input.calls-before-validation",
    }
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("subject", "not_passed"),
    [
        ("forgets_nan", ACCEPTS | CALLS),
        ("forgets_token", ACCEPTS | CALLS),
        ("logs_and_goes_on", ACCEPTS | CALLS),
        ("coerces", ACCEPTS | CALLS),
        ("rounds", ACCEPTS | CALLS),
        ("asserts", ACCEPTS),
        ("wrong_exception", ACCEPTS),
        ("exits", ACCEPTS),
        ("returns_nothing", ACCEPTS),
        ("validates_afterwards", CALLS),
        ("connects_first", CALLS),
        ("audits_first", CALLS),
        ("asks_a_tool_first", CALLS),
        ("reports_rejections", CALLS),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(project: Project, subject: str, not_passed: dict[str, str]):
    outcome = judge(project, f"validation.{subject}(amount, token)")

    assert not_passed == outcome.not_passed(), outcome.output
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("subject", "scenario", "observed", "function"),
    [
        (
            "forgets_nan",
            "invalid-amount",
            "forgets_nan(amount=float('nan'), token='tok_visa') returned",
            "forgets_nan",
        ),
        ("forgets_token", "invalid-token", "forgets_token(amount=100, token='') returned", "forgets_token"),
        ("asserts", "invalid-amount", "raised AssertionError", "asserts"),
        ("asserts", "invalid-amount", "python -O takes away", "asserts"),
        ("wrong_exception", "invalid-amount", "raised KeyError: 'amount'", "wrong_exception"),
        ("exits", "invalid-amount", "raised SystemExit: amount is not a whole number of cents", "exits"),
        (
            "returns_nothing",
            "invalid-amount",
            "returns_nothing(amount=float('nan'), token='tok_visa') returned",
            "returns_nothing",
        ),
        ("coerces", "invalid-amount", "returned", "coerces"),
    ],
)
def test_what_is_accepted_is_shown_as_a_call_to_paste(
    project: Project, subject: str, scenario: str, observed: str, function: str
):
    found = judge(project, f"validation.{subject}(amount, token)").criterion(
        "validates-input.rejects-invalid"
    )

    assert found["evidence"]["scenario"] == scenario
    assert observed in found["evidence"]["observed"]
    assert observed in found["prompt"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/validation.py")
    assert function == found["evidence"]["location"]["function"]


@pytest.mark.parametrize(
    ("subject", "after", "function"),
    [
        ("validates_afterwards", "after: POST /v1/charges", "send"),
        ("connects_first", "after: connect http://api.pay.example", "connects_first"),
        ("audits_first", "after: open for writing audit.log", "audits_first"),
        ("asks_a_tool_first", "after: start process true nan", "asks_a_tool_first"),
        ("reports_rejections", "after: POST /v1/charges", "send"),
    ],
)
def test_what_comes_before_the_rejection_is_shown(project: Project, subject: str, after: str, function: str):
    found = judge(project, f"validation.{subject}(amount, token)").criterion(
        "validates-input.calls-before-validation"
    )

    assert (
        f"{subject}(amount=float('nan'), token='tok_visa') raised ValueError" in found["evidence"]["observed"]
    )
    assert after in found["evidence"]["observed"]
    assert function == found["evidence"]["location"]["function"]


def test_valid_values_of_a_strategy_must_be_accepted(project: Project):
    gate = (
        "@ralph.validates_input(amount=ralph.invalid.amounts(decimals=0),"
        " valid={'amount': st.integers(1, 10**6)})"
    )

    right = judge(project, "validation.right(amount, token)", gate=gate)
    strict = judge(project, "validation.too_strict(amount, token)", gate=gate)

    assert right.not_passed() == {}, right.output
    assert strict.not_passed() == REFUSES, strict.output
    evidence = strict.criterion("validates-input.accepts-valid")["evidence"]
    # 151 is the smallest amount that is rejected.
    assert (
        "too_strict(amount=151, token='tok_visa') raised ValueError: amount is not valid"
        in evidence["observed"]
    )
    assert evidence["scenario"] == "valid-amount"


def test_a_valid_call_after_rejections_must_succeed(project: Project):
    outcome = judge(
        project,
        "validation.locks_out(amount, token)",
        gate="@ralph.validates_input(amount=ralph.invalid.amounts(zero=True))",
    )

    assert outcome.not_passed() == REFUSES, outcome.output
    found = outcome.criterion("validates-input.accepts-valid")
    assert "raised ValueError: too many wrong attempts after calls" in found["evidence"]["observed"]


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_asynchronous_bodies(project: Project, plugin: str):
    more = "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    head = f"@pytest.mark.{plugin}\nasync def test_charge(api, amount, token):\n"
    body = head + "    await validation.{}(amount, token)"
    careless = """
async def careless(amount, token):
    if amount == 0:
        raise ValueError("amount must not be nothing")
    return await validation.right_async(100, "tok")
validation.careless = careless
"""

    right = judge(project, body.format("right_async"), more=more)
    assert right.not_passed() == {}, right.output

    outcome = judge(project, body.format("careless"), more=more + careless)
    assert outcome.not_passed() == ACCEPTS | CALLS, outcome.output


def test_several_exceptions_may_be_a_rejection(project: Project):
    outcome = judge(
        project,
        "validation.wrong_exception(amount, token)",
        gate=GATE[:-1] + ", rejects=(KeyError, ValueError), examples=20)",
    )

    assert outcome.not_passed() == {}, outcome.output
    assert "test_charge[invalid-amount-KeyError-ValueError-20-examples]" in str(
        judge(
            project,
            "validation.right(amount, token)",
            "--collect-only",
            "-q",
            gate=GATE[:-1] + ", rejects=(KeyError, ValueError), examples=20)",
        ).output
    )


# -- what comes from the test itself ------------------------------------------------------------------------


def test_an_assertion_of_the_test_is_no_rejection(project: Project):
    outcome = judge(project, "assert validation.forgets_nan(amount, token)['amount'] == 100")

    assert outcome.not_passed() == ACCEPTS | CALLS, outcome.output
    observed = outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]
    assert "returned, and then the test itself failed (AssertionError" in observed


def test_what_the_test_raises_before_the_call_shows_nothing(project: Project):
    outcome = judge(
        project,
        "validation.right(int(amount), token)",
        gate=GATE.replace("ralph.invalid.amounts(zero=True)", "st.text('xyz')"),
    )

    assert outcome.not_passed() == {"validates-input.rejects-invalid": "not_exercised"}, outcome.output
    observed = outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]
    assert "came from the test itself" in observed
    assert "hand amount on as it is" in observed


def test_code_is_judged_where_the_test_converts_only_some_values(project: Project):
    # int() rejects NaN and text by itself, but it lets True pass for 1: that the code took.
    outcome = judge(project, "validation.right(int(amount), token)")

    assert outcome.not_passed() == ACCEPTS | CALLS, outcome.output


def test_a_body_that_ignores_the_argument_is_red(project: Project):
    outcome = judge(project, "validation.right(100, token)")

    assert outcome.not_passed() == ACCEPTS | CALLS, outcome.output
    observed = outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]
    assert "test_charge(amount=float('nan')) returned" in observed


def test_a_call_to_an_undeclared_host_is_too_early_and_hides_the_rejection(project: Project):
    more = """
import requests
def alerts(amount, token):
    try:
        validation.check_amount(amount)
        validation.check_token(token)
    except ValueError:
        requests.post("https://alerts.example/x", timeout=10)
        raise
    return validation.send(amount, token)
validation.alerts = alerts
"""
    outcome = judge(project, "validation.alerts(amount, token)", more=more)

    assert outcome.not_passed() == {"validates-input.rejects-invalid": "not_exercised", **CALLS}, (
        outcome.output
    )
    observed = outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]
    assert "refused: alerts.example is not declared; take that call away, or add" in observed
    called = outcome.criterion("validates-input.calls-before-validation")["evidence"]["observed"]
    assert "after: refused: alerts.example is not declared" in called


def test_methods_models_and_threads(project: Project):
    more = """
import threading
class Client:
    def __init__(self, currency):
        self.currency = currency
    def charge(self, amount):
        return validation.forgets_nan(amount, "tok_visa")
class Model(validation.pydantic.BaseModel):
    amount: float
validation.Client, validation.Model = Client, Model
def in_thread(amount):
    thread = threading.Thread(target=validation.right, args=(amount, "tok"))
    thread.start()
    thread.join()
validation.in_thread = in_thread
"""
    for body, observed, not_passed in (
        ("validation.Client('usd').charge(amount)", "charge(amount=float('nan')) returned", ACCEPTS | CALLS),
        (
            "validation.send(validation.Model(amount=amount).amount, 1)",
            "send(amount=float('nan'), token=1) returned",
            ACCEPTS | CALLS,
        ),
        ("validation.in_thread(amount)", "in_thread(amount=float('nan')) returned", ACCEPTS),
    ):
        gate = "@pytest.mark.filterwarnings('ignore')\n@ralph.validates_input(amount=ralph.invalid.amounts())"
        outcome = judge(project, body, gate=gate, more=more)

        assert outcome.not_passed() == not_passed, outcome.output
        assert observed in outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]


def test_a_body_that_skips_shows_nothing(project: Project):
    body = "if amount != 100: pytest.skip('not mine')\n    validation.right(amount, token)"
    outcome = judge(project, body)

    assert outcome.not_passed() == {"validates-input.rejects-invalid": "not_exercised"}, outcome.output


def test_nothing_can_come_too_early_where_nothing_comes(project: Project):
    outcome = judge(project, "validation.check_amount(amount)\n    validation.check_token(token)")

    assert outcome.not_passed() == {"validates-input.calls-before-validation": "not_exercised"}
    assert "let the test call the code that makes the requests" in outcome.output.replace(
        "\n" + " " * 17, " "
    )


# -- the search ---------------------------------------------------------------------------------------------


def without_run(outcome: Outcome) -> str:
    """The report without what differs from run to run, and without what runs before have to do with it."""
    others = ("run", "state", "next_action")
    return json.dumps({key: value for key, value in outcome.whole.items() if key not in others})


PROFILE = """
import hypothesis
from hypothesis.database import DirectoryBasedExampleDatabase
hypothesis.settings.register_profile("mine", {profile})
hypothesis.settings.load_profile("mine")
"""


@pytest.fixture
def restored():
    """Profiles are global: inner runs in this process must not leave theirs."""
    import hypothesis

    before = hypothesis.settings.get_current_profile_name()
    yield
    hypothesis.settings.load_profile(before)


@pytest.mark.usefixtures("restored")
def test_the_report_is_the_same_with_and_without_an_example_database(project: Project):
    rare = """
def rare(amount, token):
    if type(amount) is int and amount > 1_234_567:
        return validation.send(amount, token)
    return validation.right(amount, token)
validation.rare = rare
"""
    gate = "@ralph.validates_input(amount=st.integers(min_value=10**9 + 1) | st.integers(max_value=0))"
    reports, entries = [], []
    for profile in ("database=None", "database=DirectoryBasedExampleDatabase('examples')"):
        for _ in range(2):
            outcome = judge(
                project,
                "validation.rare(amount, token)",
                gate=gate,
                more=PROFILE.format(profile=profile) + rare,
            )
            assert outcome.not_passed() == ACCEPTS | CALLS, outcome.output
            reports.append(without_run(outcome))
            folder = project.pytester.path / "examples"
            entries.append(len([each for each in folder.rglob("*") if each.is_file()]))

    assert "rare(amount=1000000001, token='tok_visa') returned" in reports[0]
    assert len(set(reports)) == 1
    assert entries[:2] == [0, 0]
    assert entries[2] > 0


@pytest.mark.usefixtures("restored")
def test_an_example_of_the_database_is_tried_first(project: Project):
    # Two values are tried, and hardly the one in ten thousand that is accepted: the second run has it from
    # the database.
    more = (
        PROFILE.format(profile="database=DirectoryBasedExampleDatabase('examples')")
        + """
calls = []
def picky(amount, token):
    calls.append(amount)
    if amount == 777:
        return validation.send(amount, token)
    raise ValueError("no")
validation.picky = picky
@pytest.fixture
def amount():
    return 777
@pytest.fixture(scope="module", autouse=True)
def written():
    yield
    with open("calls.txt", "w") as file:
        file.write(repr(calls))
"""
    )
    gate = "@ralph.validates_input(amount=st.integers(0, 10**4), examples={})"
    body = "validation.picky(amount, token)"

    first = judge(project, body, "-k", "invalid", gate=gate.format(20_000), more=more)
    assert first.criterion("validates-input.rejects-invalid")["status"] == "fail", first.output
    second = judge(project, body, "-k", "invalid", gate=gate.format(2), more=more)

    assert second.criterion("validates-input.rejects-invalid")["status"] == "fail", second.output
    calls = eval((project.pytester.path / "calls.txt").read_text())
    # The healthy call of the item, the one before the search, and then at once what was kept.
    assert calls[:3] == [777, 777, 777]


def test_as_many_values_are_tried_as_asked_for(project: Project):
    # Nothing that another run has kept may be tried in addition.
    more = (
        PROFILE.format(profile="database=None")
        + """
seen = []
def counting(amount, token):
    seen.append(amount)
    return validation.right(amount, token)
validation.counting = counting
@pytest.fixture(scope="module", autouse=True)
def written():
    yield
    with open("seen.txt", "w") as file:
        file.write(str(len(seen)))
"""
    )
    gate = "@ralph.validates_input(amount=st.integers(max_value=0), examples=700)"

    outcome = judge(project, "validation.counting(amount, token)", "-k", "invalid", gate=gate, more=more)

    # The healthy call of the item, one before and one after the search, and the cases.
    assert (project.pytester.path / "seen.txt").read_text() == "703", outcome.output


def test_what_cases_print_and_log_is_not_shown(project: Project):
    more = """
def noisy(amount, token):
    if amount != 100:
        print("printed", amount)
        validation.log.error("logged %s", amount)
    return validation.right(100, token)
validation.noisy = noisy
"""
    outcome = judge(project, "validation.noisy(amount, token)", more=more)

    assert outcome.not_passed() == ACCEPTS | CALLS
    assert "printed" not in outcome.output
    # Only as evidence, once for each criterion at the most.
    assert outcome.output.count("log ERROR logged nan") in (1, 2)
    assert "Captured" not in outcome.output


def test_code_that_changes_its_mind_is_red(project: Project):
    more = """
state = {"calls": 0}
def moody(amount, token):
    state["calls"] += 1
    if amount != 100 and state["calls"] == 8:
        return None
    return validation.right(amount, token)
validation.moody = moody
"""
    outcome = judge(project, "validation.moody(amount, token)", more=more)

    assert outcome.not_passed() == ACCEPTS, outcome.output


def test_strange_text_does_not_break_the_report(project: Project):
    more = """
def echoes(amount, token):
    if token != "tok_visa":
        validation.log.warning("bad %s", token)
        raise KeyError(token)
    return validation.right(amount, token)
validation.echoes = echoes
"""
    gate = "@ralph.validates_input(token=st.sampled_from(['\\ud800\\u202e\\x00', '\\ud800']))"
    outcome = judge(project, "validation.echoes(amount, token)", gate=gate, more=more)

    assert outcome.not_passed() == ACCEPTS, outcome.output
    evidence = outcome.criterion("validates-input.rejects-invalid")["evidence"]
    assert "token='\\ud800" in evidence["observed"]
    assert json.dumps(evidence, ensure_ascii=False).encode("utf-8")


def test_long_values_are_shown_in_short(project: Project):
    text = "ralph.invalid.text(longest=5_000, empty=False).filter(lambda value: len(value) > 5_000)"
    gate = f"@ralph.validates_input(token={text})"
    outcome = judge(project, "validation.forgets_token(amount, token)", gate=gate)

    observed = outcome.criterion("validates-input.rejects-invalid")["evidence"]["observed"]
    assert "forgets_token(amount=100, token='a' * 5001) returned" in observed


def test_a_strategy_that_cannot_give_values_shows_nothing(project: Project):
    gate = "@ralph.validates_input(amount=st.integers().filter(lambda number: False))"
    outcome = judge(project, "validation.right(amount, token)", gate=gate)

    assert set(outcome.not_passed().values()) == {"not_exercised"}, outcome.output
    assert outcome.code == 1


def test_parametrized_tests_and_methods(project: Project):
    project.write(
        test_it=FIXTURES
        + """
class TestPayments:
    @ralph.validates_input(amount=st.just(-1))
    @pytest.mark.parametrize("amount", [1, 2])
    def test_charge(self, api, amount, token):
        validation.right(amount, token)
"""
    )
    outcome = project.run("--ralph", "-q")

    assert outcome.not_passed() == {}, outcome.output
    assert "4 passed" in outcome.output


def test_other_skills_on_the_same_test(project: Project):
    outcome = judge(project, "validation.right(amount, token)", gate=f"{GATE}\n@ralph.timeout(10)")

    assert outcome.not_passed() == {}, outcome.output
    assert "timeout.exercised" in outcome.statuses()


# -- wrong use ----------------------------------------------------------------------------------------------


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("", "needs a strategy of values that are not valid for at least one argument"),
        ("()", "names no argument of the test"),
        ("(amount=IDS)", "test_charge has no argument 'amount'; its arguments are api"),
        ("(api=5)", "api must be a Hypothesis strategy, such as ralph.invalid.amounts()"),
        ("(api=ralph.invalid.ids)", "api must be a Hypothesis strategy"),
        ("(api=IDS, examples=0)", "examples must be a whole number from 1, got 0"),
        ("(api=IDS, examples=True)", "examples must be a whole number from 1"),
        ("(api=IDS, rejects='no')", "rejects must be an exception class or a tuple"),
        ("(api=IDS, rejects=())", "rejects names no exception"),
        ("(api=IDS, rejects=Exception)", "would take any crash for a rejection"),
        ("(api=IDS, rejects=AssertionError)", "python -O takes assert statements away"),
        ("(api=IDS, valid=5)", "valid must map arguments of the test to strategies"),
        ("(api=IDS, valid={'b': IDS})", "has no argument 'b'"),
        ("({5: IDS})", "the first argument must map arguments of the test"),
    ]

    project.check_each_refused(
        [
            (f"@ralph.validates_input{arguments.replace('IDS', 'ralph.invalid.ids()')}", message)
            for arguments, message in wrong
        ]
    )


def test_empty_and_impossible_strategies_are_refused(project: Project):
    for strategy, message in (("nothing()", "without any value"), ("integers(5, 1)", "max_value=1")):
        outcome = judge(
            project,
            "validation.right(amount, token)",
            gate=f"@ralph.validates_input(amount=st.{strategy})",
        )
        assert outcome.code == 2
        assert message in outcome.output


def test_a_body_that_expects_the_rejection_is_refused(project: Project):
    for body in ("with pytest.raises(ValueError):", "with raises(ValueError):"):
        outcome = judge(
            project,
            f"{body} validation.right(amount, token)",
            more="from pytest import raises",
        )
        assert outcome.code == 2
        assert "uses pytest.raises, which hides the rejection: make the call plainly" in outcome.output


def test_arguments_are_checked_for_markers_of_classes_too(project: Project):
    outcome = judge(
        project,
        "@ralph.validates_input(amont=st.just(-1))\n"
        "class TestIt:\n"
        "    def test_charge(self, api, amount): ...",
        gate="",
    )

    assert outcome.code == 2
    assert "test_charge has no argument 'amont'; its arguments are api, amount" in outcome.output
    assert "test_it.py:" in outcome.output


def test_two_markers_for_one_argument_are_refused_unless_they_reject_differently(project: Project):
    twice = "@ralph.validates_input(amount=st.just(-1))\n@ralph.validates_input(amount=st.just({}){})"
    outcome = judge(project, "validation.right(amount, token)", gate=twice.format("-2", ""))
    assert outcome.code == 2
    assert (
        "2 markers want different things played as 'invalid-amount'; join them in one marker"
        in outcome.output
    )

    more = """
def picky(amount, token):
    if isinstance(amount, str):
        raise TypeError("no")
    return validation.right(amount, token)
validation.picky = picky
"""
    gate = twice.format("'1'", ", rejects=TypeError")
    outcome = judge(project, "validation.picky(amount, token)", gate=gate, more=more)
    assert outcome.not_passed() == {}, outcome.output


def test_arguments_with_the_names_of_parameters(project: Project):
    outcome = judge(
        project,
        "def test_charge(api, examples):\n    validation.right(examples, 'tok')",
        gate="@ralph.validates_input({'examples': st.just(-1)})",
        more="@pytest.fixture\ndef examples():\n    return 1",
    )

    assert outcome.not_passed() == {}, outcome.output


def test_waits_of_the_code_do_not_cut_the_search_short(project: Project):
    # Hypothesis stops making a value smaller after five minutes: those must not be virtual ones.
    more = """
import time
def slow(amount, token):
    time.sleep(60)
    if 200 < amount < 10**15:
        return None
    return validation.right(amount, token)
validation.slow = slow
"""
    gate = "@ralph.validates_input(amount=st.integers(min_value=1_000_000_007))"
    outcome = judge(project, "validation.slow(amount, token)", gate=gate, more=more)

    assert outcome.not_passed() == ACCEPTS, outcome.output
    evidence = outcome.criterion("validates-input.rejects-invalid")["evidence"]
    assert "slow(amount=1000000007, token='tok_visa') returned" in evidence["observed"]
    assert evidence["timeline"] == ["0.000 wait 60 s", "60.000 call returned"]


def write_apart(project: Project, body: str, *, gate: str = GATE, more: str = "") -> None:
    """Write a project that other processes can run: with a copy of the subjects in it."""
    fixtures = FIXTURES.replace("from tests.subjects import validation", "import subjects as validation")
    test = f"{gate}\ndef test_charge(api, amount, token):\n    {body}\n"
    project.write(subjects=Path(validation.__file__).read_text(encoding="utf-8"))
    project.write(test_it=f"{fixtures}\n{more}\n{test}")


def test_the_report_is_the_same_in_other_processes(project: Project):
    write_apart(project, "validation.rounds(amount, token)")
    outcomes = [project.run_apart("--ralph", *arguments) for arguments in ((), ("-n", "2"))]

    assert outcomes[0].not_passed() == ACCEPTS | CALLS, outcomes[0].output
    assert len({without_run(outcome) for outcome in outcomes}) == 1


def test_strange_text_crosses_process_borders(project: Project):
    more = """
def echoes(amount, token):
    if token != "tok_visa":
        validation.log.warning("bad %s", token)
        raise KeyError(token)
    return validation.right(amount, token)
validation.echoes = echoes
"""
    gate = "@ralph.validates_input(token=st.sampled_from(['\\ud800\\u202e\\x00', '\\ud800']))"
    write_apart(project, "validation.echoes(amount, token)", gate=gate, more=more)
    outcome = project.run_apart("--ralph", "-n", "2")

    assert outcome.not_passed() == ACCEPTS, outcome.output
