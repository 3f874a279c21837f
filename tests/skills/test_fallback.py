"""Each criterion of ``fallback``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

PLAIN = "@ralph.fallback"
ASK = "rates.{}()"
HAND_OVER = "ralph_returned(rates.{}())"


def judge(project: Project, marker: str, subject: str, call: str = ASK) -> Outcome:
    """Judge one call from `tests.subjects.fallbacks`."""
    returned = ", ralph_returned" if "ralph_returned" in call else ""
    project.write(
        test_it=f"""
        from tests.subjects import fallbacks as rates

        @pytest.fixture
        def service(ralph_upstream):
            service = ralph_upstream("http://rates.example")
            service.get("/v1/rates", json={{"usd": 1.08}})
            return service

        {marker}
        @ralph.reset(rates.forget)
        def test_rates(service{returned}):
            {call.format(subject)}
        """
    )
    return project.run("--ralph")


@pytest.mark.parametrize(
    ("marker", "subject", "call"),
    [
        (PLAIN, "right", ASK),
        ("@ralph.fallback(within='0.5 s', log_level='INFO')", "right", ASK),
        ("@ralph.fallback(returns=1.08)", "right", HAND_OVER),
        ("@ralph.fallback(returns=float)", "right", HAND_OVER),
        ("@ralph.fallback(returns=lambda value: value > 0)", "right", HAND_OVER),
        (PLAIN, "right", "assert rates.{}() == 1.08"),
        (PLAIN, "default", HAND_OVER),
        ("@ralph.fallback(returns=1.0)", "default", HAND_OVER),
        (PLAIN, "expiring", ASK),
        (PLAIN, "breaker", ASK),
        ("@ralph.fallback(within=2)", "patient", ASK),
        ("@ralph.fallback(within='2 s')", "persistent", ASK),
        ("@ralph.fallback(log_level='INFO')", "logs_at_info", ASK),
    ],
)
def test_right_code_passes_every_criterion(project: Project, marker: str, subject: str, call: str):
    outcome = judge(project, marker, subject, call)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


UNSEEN = "not_exercised"


@pytest.mark.parametrize(
    ("marker", "subject", "call", "not_passed"),
    [
        (PLAIN, "none", ASK, {"serves-fallback": "fail", "logs-fallback": UNSEEN}),
        (PLAIN, "timeouts_only", ASK, {"serves-fallback": "fail"}),
        (PLAIN, "no_statuses", ASK, {"serves-fallback": "fail"}),
        (PLAIN, "no_cut_answers", ASK, {"serves-fallback": "fail"}),
        (PLAIN, "nothing", HAND_OVER, {"serves-fallback": "fail"}),
        (PLAIN, "default", "assert rates.{}() == 1.08", {"serves-fallback": "fail", "logs-fallback": UNSEEN}),
        ("@ralph.fallback(returns=1.08)", "default", HAND_OVER, {"serves-fallback": "fail"}),
        ("@ralph.fallback(returns=int)", "right", HAND_OVER, {"serves-fallback": "fail"}),
        (
            "@ralph.fallback(returns=lambda value: value['usd'])",
            "right",
            HAND_OVER,
            {"serves-fallback": "fail"},
        ),
        ("@ralph.fallback(returns=1.08)", "right", ASK, {"serves-fallback": UNSEEN}),
        (PLAIN, "patient", ASK, {"within-deadline": "fail"}),
        (PLAIN, "persistent", ASK, {"within-deadline": "fail"}),
        ("@ralph.fallback(within='300 ms')", "right", ASK, {"within-deadline": "fail"}),
        (PLAIN, "no_timeout", ASK, {"serves-fallback": "fail", "within-deadline": "fail"}),
        (PLAIN, "catches_everything", ASK, {"serves-fallback": "fail", "within-deadline": "fail"}),
        (PLAIN, "silent", ASK, {"logs-fallback": "fail"}),
        (PLAIN, "logs_at_info", ASK, {"logs-fallback": "fail"}),
        (PLAIN, "logs_retries_only", ASK, {"logs-fallback": "fail"}),
        (PLAIN, "never_again", ASK, {"prefers-live": "fail"}),
        (PLAIN, "default_for_ever", HAND_OVER, {"prefers-live": "fail"}),
        (
            PLAIN,
            "cached_for_ever",
            ASK,
            {
                "prefers-live": "fail",
                "serves-fallback": UNSEEN,
                "within-deadline": UNSEEN,
                "logs-fallback": UNSEEN,
                "exercised": UNSEEN,
            },
        ),
        (PLAIN, "always_default", ASK, {"falls-back-when-healthy": "fail"}),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, marker: str, subject: str, call: str, not_passed: dict[str, str]
):
    outcome = judge(project, marker, subject, call)

    expected = {f"fallback.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("subject", "call", "criterion", "observed", "function"),
    [
        ("none", ASK, "serves-fallback", "call raised HTTPError: 500", "fetch"),
        ("nothing", HAND_OVER, "serves-fallback", "it returned None", "fetch"),
        ("default", "assert rates.{}() == 1.08", "serves-fallback", "call raised AssertionError", "fetch"),
        ("persistent", ASK, "within-deadline", "it took 1.5 s", "fetch"),
        ("no_timeout", ASK, "within-deadline", "it never ends", "fetch"),
        ("silent", ASK, "logs-fallback", "nothing is logged after the last attempt", "fetch"),
        ("logs_at_info", ASK, "logs-fallback", "logged at INFO: serving what was kept", "fetch"),
        ("never_again", ASK, "prefers-live", "no request in an hour after the outage", "fetch"),
        ("default_for_ever", HAND_OVER, "prefers-live", "the fallback 1.0 is served again", "fetch"),
        ("default_for_ever", "assert rates.{}() == 1.08", "prefers-live", "raised AssertionError", "fetch"),
        ("cached_for_ever", ASK, "prefers-live", "it is served for ever", "fetch"),
        ("always_default", ASK, "falls-back-when-healthy", "logged: serving the default", "always_default"),
    ],
)
def test_evidence_says_what_was_observed_and_where(
    project: Project, subject: str, call: str, criterion: str, observed: str, function: str
):
    found = judge(project, PLAIN, subject, call).criterion(f"fallback.{criterion}")

    assert found["status"] == "fail"
    assert observed in found["evidence"]["observed"]
    assert found["evidence"]["location"]["file"].endswith("tests/subjects/fallbacks.py")
    assert function == found["evidence"]["location"]["function"]


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.fallback(within=0)", "within must be more than 0 s, got 0"),
        ("@ralph.fallback(within='soon')", "within must be seconds as a number or text such as '500 ms'"),
        ("@ralph.fallback(within=None)", "within must be seconds as a number or text such as '500 ms'"),
        ("@ralph.fallback(log_level='LOUD')", "log_level must be one of DEBUG, INFO, WARNING"),
        ("@ralph.fallback(log_level=30)", "log_level must be one of DEBUG, INFO, WARNING"),
        ("@ralph.fallback(scenarios='some')", "scenarios must be 'auto' or 'manual', got 'some'"),
        ("@ralph.fallback('500 ms')", "takes keyword arguments only, such as within='500 ms', got '500 ms'"),
    ]

    project.check_each_refused(wrong)


@pytest.mark.parametrize(
    ("ending", "not_passed"),
    [
        ("service.heal(); rates.right()", {}),
        ("pass", {"fallback.prefers-live": "not_exercised"}),
    ],
)
def test_a_test_of_ones_own_is_judged_by_what_it_plays(
    project: Project, ending: str, not_passed: dict[str, str]
):
    project.write(
        test_it=f"""
        from tests.subjects import fallbacks as rates

        @ralph.fallback(scenarios="manual")
        def test_rates(ralph_upstream):
            service = ralph_upstream("http://rates.example")
            service.get("/v1/rates", json={{"usd": 1.08}})
            rates.right()
            service.inject(ralph.faults.Status(503))
            rates.right()
            {ending}
        """
    )

    outcome = project.run("--ralph")

    assert not_passed == outcome.not_passed(), outcome.output
