"""Each criterion of ``latency``: a subject that passes it, and one that fails exactly it.

What callers wait for is virtual and exact. What they compute is measured: where it is judged here, it is far
from its budget, or it was never measured but written down.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest

import pytest_ralph as ralph
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import Play, Status, Verdict
from pytest_ralph.core.timeline import Computed, Loaded, Spent, Timed, Timeline
from pytest_ralph.skills.latency import SKILL, Latency
from tests.harness import Outcome, Project

# A second of waiting costs no real time, and what a call computes is far less.
GATE = "@ralph.latency(p50='1.2 s', p95='2 s', calls=20, concurrency=4, upstream='1 s')"


def judge(project: Project, call: str, marker: str = GATE, *arguments: str, fixtures: str = "api") -> Outcome:
    """Judge one call from `tests.subjects.waiting`."""
    is_async = call.startswith("await ")
    project.write(
        test_it=f"""
        from tests.subjects import waiting

        {"@pytest.mark.asyncio" if is_async else ""}
        @ralph.reset(waiting.anew)
        {marker}
        {"async " if is_async else ""}def test_charge({fixtures}):
            {call}
        """
    )
    return project.run("--ralph", *arguments)


@pytest.mark.parametrize(
    "call",
    [
        "waiting.wide_pool()",
        "await waiting.concurrent()",
        "await waiting.by_threads()",
    ],
)
def test_right_code_passes_every_criterion(project: Project, call: str):
    outcome = judge(project, call)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("call", "marker", "not_passed", "observed"),
    [
        (
            "waiting.pool_of_one()",
            GATE,
            {"latency.p50": "fail", "latency.p95": "fail"},
            "all of it waiting",
        ),
        ("waiting.lock_held()", GATE, {"latency.p50": "fail", "latency.p95": "fail"}, "all of it waiting"),
        (
            "await waiting.blocking()",
            GATE,
            {"latency.p50": "fail", "latency.p95": "fail"},
            "all of it waiting",
        ),
        (
            "waiting.sleeps_at_times()",
            GATE,
            {"latency.p95": "fail"},
            "the 95th percentile of 20 calls is 6 s, all of it waiting, from when each was due",
        ),
        (
            "waiting.sleeps_at_times()",
            "@ralph.latency(max='2 s', calls=20, concurrency=4, upstream='1 s')",
            {"latency.max": "fail"},
            "the slowest of 20 calls took 6 s",
        ),
        (
            "waiting.sleeps_at_times()",
            "@ralph.latency(p99='2 s', calls=100, upstream='1 s')",
            {"latency.p99": "fail"},
            "the 99th percentile of 100 calls is 6 s",
        ),
        (
            "waiting.raises_at_times()",
            GATE,
            {"latency.error-rate": "fail"},
            "2 of 20 calls raised, such as RuntimeError",
        ),
        (
            "waiting.retries_quickly()",
            "@ralph.latency(p50='1 s', calls=8, concurrency=4, upstream=ralph.faults.Slow.uniform(0.1, 0.9))",
            {"latency.p50": "fail"},
            "all of it waiting",
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion_only(
    project: Project, call: str, marker: str, not_passed: dict[str, str], observed: str
):
    outcome = judge(project, call, marker)

    assert outcome.not_passed() == not_passed, outcome.output
    assert outcome.code == 1
    evidence = outcome.criterion(next(iter(not_passed)))["evidence"]
    assert observed in evidence["observed"]
    assert evidence["location"]["file"].endswith("tests/subjects/waiting.py")


def test_a_few_connections_fewer_than_callers_show(project: Project):
    """Of ten callers, five wait for the others' connections: that is the half of them, and not more."""
    marker = "@ralph.latency(p50='1.95 s', p90='1.97 s', calls=20, upstream='1 s')"
    outcome = judge(project, "waiting.pool_of_five()", marker)

    assert outcome.not_passed() == {"latency.p90": "fail"}, outcome.output
    assert outcome.criterion("latency.p90")["evidence"]["timeline"][0] == "20 calls, after 10 to warm up:"


def test_fast_failures_do_not_make_a_percentile_look_good(project: Project):
    marker = GATE.replace("upstream", "max_error_rate=0.5, upstream")
    outcome = judge(project, "waiting.fails_fast()", marker)

    assert outcome.not_passed() == {"latency.p95": "fail"}, outcome.output
    assert "calls that succeeded is" in outcome.criterion("latency.p95")["evidence"]["observed"]


@pytest.mark.parametrize(
    ("call", "marker", "reason"),
    [
        ("waiting.cached()", GATE, "20 calls made 0 requests: answers that are kept"),
        (
            "waiting.wide_pool()",
            "@ralph.latency(p50=1, calls=4, concurrency=2)",
            "http://api.pay.example answered at once, as no service does",
        ),
        (
            "waiting.wide_pool()",
            "@ralph.latency(p50=1, calls=4, concurrency=2, upstream={'http://api.other.example': 1})",
            "upstream= names http://api.other.example, which the test does not declare",
        ),
    ],
)
def test_what_was_not_put_to_the_test_is_no_pass(project: Project, call: str, marker: str, reason: str):
    outcome = judge(project, call, marker)

    assert outcome.not_passed() == {"latency.p50": "not_exercised"} | (
        {"latency.p95": "not_exercised"} if marker is GATE else {}
    )
    assert reason in outcome.criterion("latency.p50")["evidence"]["observed"]


@pytest.mark.parametrize(
    ("call", "marker"),
    [
        ("waiting.wide_pool()", "@ralph.latency(p50='20 s', calls=4, concurrency=2, upstream=0)"),
        ("waiting.wide_pool()", "@ralph.latency(p50='20 s', calls=4, concurrency=2, upstream={URL: '1 s'})"),
        ("waiting.computes(0.001)", "@ralph.latency(max='20 s', calls=4, cpu=True)"),
    ],
)
def test_what_services_take_is_told_by_the_marker(project: Project, call: str, marker: str):
    outcome = judge(project, call, marker.replace("URL", "'http://api.pay.example/'"))

    assert outcome.not_passed() == {}, outcome.output


def test_a_deadlock_under_load_is_told(project: Project):
    marker = "@ralph.latency(p50='2 s', calls=8, concurrency=4, upstream='1 s')"
    outcome = judge(project, "waiting.deadlock()", marker)

    assert outcome.not_passed() == {"latency.p50": "fail", "latency.error-rate": "fail"}, outcome.output
    assert "never come back" in outcome.criterion("latency.p50")["evidence"]["observed"]


def test_real_waits_count_where_the_virtual_clock_does_not_see_them(project: Project):
    marker = "@ralph.latency(p50='10 ms', calls=4, concurrency=2)"
    outcome = judge(project, "waiting.waits_unseen(0.05)", marker, fixtures="")

    assert outcome.not_passed() == {"latency.p50": "not_exercised"}, outcome.output


def test_computing_alone_can_be_judged(project: Project):
    """The processor's time is counted, however busy the machine is: 60 ms are more than 1 ms everywhere."""
    outcome = judge(
        project, "waiting.computes(0.06)", "@ralph.latency(max='1 ms', calls=4, cpu=True)", fixtures=""
    )

    assert outcome.not_passed() == {"latency.max": "fail"}, outcome.output
    assert "Measured max of 4 calls" in outcome.output
    assert gc.isenabled()


def test_the_report_is_the_same_but_for_what_was_measured(project: Project):
    first, second = (judge(project, "waiting.lock_held()") for _ in range(2))

    assert first.whole["run"]["digest"] == second.whole["run"]["digest"]
    assert first.whole["skills"] == second.whole["skills"]


def test_figures_that_differ_from_run_to_run_are_in_the_block_for_them(project: Project):
    outcome = judge(project, "waiting.wide_pool()")

    (lines,) = outcome.whole["run"]["measured"].values()
    assert [line.partition(" of 20 calls: 1 s of waiting, ")[0] for line in lines] == [
        "latency.p50: p50",
        "latency.p95: p95",
    ]
    assert "measured in test_it.py::test_charge[load-20-by-4-each-1.6s-upstream-1s]" in outcome.output


# -- the criteria, on calls that are written down ------------------------------------------------------------


def judged(
    name: str,
    spec: Latency,
    *,
    took: Sequence[float],
    computed: Sequence[float] = (),
    simulating: float = 0.0,
    spins: Sequence[float] = (),
    errors: Sequence[int] = (),
    tasks: bool = False,
    virtual: bool = True,
) -> Verdict:
    """The verdict of one criterion, on calls that are due one second apart."""
    calls = tuple(
        Timed(due=float(number), took=each, error="ValueError" if number in errors else "")
        for number, each in enumerate(took)
    )
    work = computed or [0.0] * len(took)
    spent = tuple(
        Spent(computed=each + simulating, simulating=simulating, error=call.error)
        for each, call in zip(work, calls, strict=True)
    )
    events = [
        *([] if spec.cpu else [Loaded(at=0.0, calls=calls, tasks=tasks, virtual=virtual)]),
        Computed(at=0.0, calls=spent, spins=tuple(spins) or (0.001,) * len(took)),
    ]
    (criterion,) = [each for each in SKILL.criteria if each.id == name]
    verdict = criterion.judge(spec, Play(scenario=Scenario(id="load"), timeline=Timeline(tuple(events))))
    assert verdict is not None
    return verdict


def spec(**budgets: float) -> Latency:
    return Latency(budgets=tuple(budgets.items()))


def test_a_percentile_is_the_nearest_rank():
    took = [0.05] * 19 + [0.4]

    assert judged("p95", spec(p95=0.1), took=took).status is Status.PASS
    assert judged("p99", spec(p99=0.1), took=took * 5).status is Status.FAIL
    assert judged("max", spec(max=0.1), took=took).status is Status.FAIL
    assert judged("p95", spec(p95=0.1), took=[*took[1:], 0.4]).status is Status.FAIL


def test_the_budget_itself_is_kept_and_the_next_millisecond_is_not():
    assert judged("max", spec(max=0.1), took=[0.1]).status is Status.PASS
    assert judged("max", spec(max=0.1), took=[0.1012]).status is Status.FAIL
    assert judged("max", spec(max=0.1), took=[0.1012], tasks=True).status is Status.PASS


def test_a_failure_on_waits_shows_a_histogram():
    verdict = judged("max", spec(max=0.1), took=[0.05, 0.05, 0.13])

    assert verdict.lines[0] == "3 calls, after 0 to warm up:"
    assert verdict.lines[1] == "up to 60 ms  | ############################## 2"
    assert verdict.lines[-1] == "up to 130 ms | ############### 1"


@pytest.mark.parametrize(
    ("took", "errors", "status"),
    [
        ([0.01] * 5 + [0.2] * 5, [], Status.PASS),
        ([0.01] * 5 + [0.2] * 5, [0, 1, 2, 3, 4], Status.FAIL),  # those that failed were fast
        ([0.01] * 4 + [0.2] * 6, [4, 5, 6, 7, 8, 9], Status.FAIL),  # slow failures count, too
        ([0.01] * 10, range(10), Status.NOT_EXERCISED),
    ],
)
def test_percentiles_where_calls_fail(took: list[float], errors: Sequence[int], status: Status):
    assert judged("p50", spec(p50=0.1), took=took, errors=errors).status is status


@pytest.mark.parametrize(
    ("computed", "spins", "status"),
    [
        (0.02, (0.001, 0.001), Status.PASS),
        (0.02, (0.001, 0.009), Status.PASS),  # noise makes slower, never faster
        (0.2, (0.001, 0.001), Status.FAIL),
        (0.2, (0.001, 0.009), Status.NOT_EXERCISED),  # on a quiet machine that may be 22 ms
        (0.06, (0.001, 0.001), Status.NOT_EXERCISED),  # too near to tell
    ],
)
def test_computing_is_judged_only_where_it_can_be_told_from_noise(
    computed: float, spins: tuple[float, ...], status: Status
):
    verdict = judged("max", spec(max=0.1), took=[0.05, 0.05], computed=[computed] * 2, spins=spins)

    assert verdict.status is status
    (measured,) = verdict.measured
    assert measured.startswith("max of 2 calls: 50 ms of waiting, ")
    assert f"{max(spins) / min(spins):.2f} times its best" in measured
    # Figures that were measured would make two reports of the same code differ.
    assert not any(character.isdigit() for character in verdict.observed)


def test_computing_of_callers_at_once_is_one_after_another():
    """At the most: threads may release the GIL, tasks of one loop cannot."""
    busy = [3.0] * 4

    assert judged("max", spec(max=5.0), took=[0.0] * 4, computed=busy).status is Status.NOT_EXERCISED
    assert judged("max", spec(max=5.0), took=[0.0] * 4, computed=busy, tasks=True).status is Status.FAIL
    assert judged("max", spec(max=2.0), took=[0.0] * 4, computed=busy).status is Status.FAIL
    assert judged("max", spec(max=9.1), took=[0.0] * 4, computed=busy).status is Status.PASS


def test_what_the_simulation_computes_is_not_counted():
    found = judged("max", spec(max=0.1), took=[0.0], computed=[0.01], simulating=5.0)

    assert found.status is Status.PASS


@pytest.mark.parametrize(
    ("took", "spins", "status"),
    [
        (0.09, (0.001, 0.009), Status.PASS),
        (1.0, (0.001, 0.001), Status.FAIL),
        (0.5, (0.001, 0.005), Status.NOT_EXERCISED),
        (0.12, (0.001, 0.001), Status.NOT_EXERCISED),
    ],
)
def test_with_a_real_clock_all_of_it_is_measured(took: float, spins: tuple[float, ...], status: Status):
    verdict = judged("max", spec(max=0.1), took=[took] * 2, spins=spins, virtual=False)

    assert verdict.status is status
    assert verdict.lines == ()
    assert not any(character.isdigit() for character in verdict.observed)


@pytest.mark.parametrize(
    ("computed", "spins", "status"),
    [
        (0.09, (0.001, 0.009), Status.PASS),
        (0.3, (0.001, 0.001), Status.FAIL),
        (0.3, (0.001, 0.004), Status.NOT_EXERCISED),
    ],
)
def test_computing_alone_and_noise(computed: float, spins: tuple[float, ...], status: Status):
    alone = Latency(budgets=(("max", 0.1),), cpu=True)

    assert judged("max", alone, took=[9.0] * 2, computed=[computed] * 2, spins=spins).status is status


@pytest.mark.parametrize(
    ("allowed", "errors", "status"),
    [(0.0, 0, Status.PASS), (0.0, 1, Status.FAIL), (0.1, 1, Status.PASS), (0.1, 2, Status.FAIL)],
)
@pytest.mark.parametrize("cpu", [False, True])
def test_error_rate(allowed: float, errors: int, status: Status, cpu: bool):
    some = Latency(budgets=(("max", 1.0),), max_error_rate=allowed, cpu=cpu)

    assert judged("error-rate", some, took=[0.0] * 10, errors=range(errors)).status is status


# -- the marker ----------------------------------------------------------------------------------------------


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.latency('100 ms')", "takes keyword arguments only, such as p95='100 ms', got '100 ms'"),
        ("@ralph.latency(p95=0)", "p95 must be more than 0 s, got 0"),
        ("@ralph.latency(p95='soon')", "p95 must be seconds as a number or text"),
        ("@ralph.latency(p99=1, calls=20)", "p99 needs at least calls=100, got calls=20"),
        ("@ralph.latency(p95=1, calls=19)", "p95 needs at least calls=20, got calls=19"),
        ("@ralph.latency(p50=2, p95=1)", "p95 must not be less than p50 (2 s), got 1"),
        ("@ralph.latency(p95=1, calls=0)", "calls must be a whole number from 1, got 0"),
        ("@ralph.latency(max=1, calls=5)", "calls must be at least concurrency (10), got 5"),
        ("@ralph.latency(concurrency=1.5)", "concurrency must be a whole number from 1, got 1.5"),
        ("@ralph.latency(max_error_rate=2)", "max_error_rate must be a number from 0 to 1, got 2"),
        ("@ralph.latency(cpu='yes')", "cpu must be True or False, got 'yes'"),
        ("@ralph.latency(cpu=True, upstream=1)", "cpu=True counts what is computed"),
        ("@ralph.latency(upstream=-1)", "upstream must be at least 0 s, got -1"),
        ("@ralph.latency(upstream={})", "upstream names no service"),
        ("@ralph.latency(upstream={1: 1})", "upstream must name services by their URLs, got 1"),
        (
            "@ralph.latency(upstream=ralph.faults.Hang())",
            "upstream must be a duration or ralph.faults.Slow, got Hang()",
        ),
    ]

    project.check_each_refused(wrong)


@pytest.mark.parametrize("marker", [ralph.latency, ralph.latency(max_error_rate=0)])
def test_without_a_budget_nearly_all_calls_have_100_ms(marker: Any):
    def test_sums() -> None: ...

    (mark,) = marker(test_sums).pytestmark
    assert [each.text(mark.args[0]) for each in SKILL.applicable(mark.args[0])] == [
        "95 % of 200 calls end within 100 ms, with 10 callers every 100 ms",
        "none of 200 calls raises",
    ]
