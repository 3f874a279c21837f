"""Each criterion of ``scales``: a subject that passes it, and one that fails exactly it."""

from __future__ import annotations

import re

import pytest

from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.skill import Play
from pytest_ralph.core.timeline import Measured, Timeline
from pytest_ralph.skills.scales import SKILL, Scales
from tests.harness import Outcome, Project

SIZES = "(40_000, 80_000, 160_000, 320_000)"
SMALL = "(500, 1_000, 2_000, 4_000)"
PAIRS = "(200, 400, 800, 1_600)"


UNTOLD = {"scales.growth": "not_exercised", "scales.memory": "not_exercised"}


def more(*row: object) -> object:
    """More of the same kind."""
    return pytest.param(*row, marks=pytest.mark.slow)


def judge(
    project: Project, call: str, sizes: str = SIZES, more: str = "", fixtures: str = "n", *options: str
) -> Outcome:
    project.write(
        test_it=f"""
        from tests.subjects import growth

        @ralph.scales({sizes}{more})
        def test_it({fixtures}):
            growth.{call}
        """
    )
    return project.run(*(options or ("--ralph",)))


@pytest.mark.parametrize(
    ("call", "sizes", "more"),
    [
        more("linear(n)", SIZES, ""),
        more("linear(n)", SIZES, ", at_most='n'"),
        ("sorting(n)", SIZES, ""),
        more("by_set(n)", SIZES, ", at_most='n'"),
        ("raises_the_limit(n)", SIZES, ""),
        ("quadratic(n)", SMALL, ", at_most='n^2'"),
        ("keeps_all(n)", SIZES, ", memory='n'"),
        more("in_pieces(n)", SIZES, ", memory='1'"),
        more("linear(n)", SIZES, ", memory='1'"),
    ],
)
def test_right_growth_passes(project: Project, call: str, sizes: str, more: str):
    outcome = judge(project, call, sizes, more)

    assert outcome.not_passed() == {}, outcome.output
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("call", "sizes", "more", "not_passed"),
    [
        ("quadratic(n)", SMALL, "", {"scales.growth": "fail"}),
        ("quadratic_elsewhere(n)", "(1_000, 2_000, 8_000)", ", at_most='log n'", {"scales.growth": "fail"}),
        ("quadratic_once(n)", "(1_500, 3_000, 12_000)", "", {"scales.growth": "not_exercised"}),
        more("linear(n)", SIZES, ", at_most='log n'", {"scales.growth": "fail"}),
        more("all_pairs(n)", PAIRS, ", at_most='n^3', memory='n'", {"scales.memory": "fail"}),
        ("keeps_all(n)", SIZES, ", memory='1'", {"scales.memory": "fail"}),
        more("keeps_all(n)", "(50, 100, 800)", ", memory='n'", UNTOLD),
        ("constant(n)", SIZES, "", {"scales.growth": "not_exercised"}),
        ("linear(n)", "(10, 100, 40_000)", ", at_most='n'", {"scales.growth": "not_exercised"}),
        (
            "recursive(n)",
            "(100, 800, 50_000)",
            "",
            {
                "scales.recursion-limit": "fail",
                "scales.growth": "not_exercised",
                "scales.handles-largest": "not_exercised",
            },
        ),
        ("recursive_without_limit(n)", "(1_100, 2_200, 8_800)", "", {"scales.recursion-limit": "fail"}),
        (
            "refuses_much(n)",
            SIZES,
            "",
            {"scales.handles-largest": "fail", "scales.growth": "not_exercised"},
        ),
    ],
)
def test_each_flaw_fails_its_own_criterion(
    project: Project, call: str, sizes: str, more: str, not_passed: dict[str, str]
):
    outcome = judge(project, call, sizes, more)

    assert outcome.not_passed() == not_passed, outcome.output
    assert outcome.code == 1
    red = [name for name, status in not_passed.items() if status == "fail"]
    if red in (["scales.growth"], ["scales.memory"]):
        location = outcome.criterion(red[0])["evidence"]["location"]
        assert location["file"].endswith("subjects/growth.py")
        assert location["function"] in (call.partition("(")[0], "<listcomp>", "<genexpr>")


def test_the_line_is_that_which_takes_most(project: Project):
    project.write(
        exports="""
        def export(n):
            rows = list(range(n))
            total = sum(rows)
            seen = []
            for row in rows:
                if row not in seen:
                    seen.append(row)
            return total, [str(row) for row in seen]
        """,
        test_it="""
        from exports import export

        @ralph.scales((500, 1_000, 2_000, 4_000))
        def test_it(n):
            export(n)
        """,
    )

    evidence = project.run("--ralph").criterion("scales.growth")["evidence"]

    assert evidence["location"] == {"file": "exports.py", "line": 7, "function": "export"}
    assert re.search(r"; \d+% of it for \d+ in exports\.py:7 in export$", evidence["observed"])


def test_requests_are_counted_exactly(project: Project):
    sizes, more = "(2, 4, 16)", ", requests='1'"
    good = judge(project, "all_at_once(n)", sizes, more, "api, n")
    bad = judge(project, "one_by_one(n)", sizes, more, "api, n")

    assert good.statuses()["scales.requests"] == "pass", good.output
    found = bad.criterion("scales.requests")
    assert found["status"] == "fail"
    assert found["evidence"]["observed"] == "3 for 2, 5 for 4, 17 for 16"
    assert found["evidence"]["location"]["function"] == "one_by_one"


@pytest.mark.parametrize(
    ("call", "sizes", "status"),
    [
        ("page_by_page(n)", "(30, 90, 240)", "pass"),
        more("all_pages(n)", "(30, 90, 240)", "fail"),
        more("lists_first(n)", "(30, 90, 240)", "fail"),
        more("logs_each(n)", "(200, 800, 4_000)", "pass"),
    ],
)
def test_what_the_world_remembers_is_no_memory_of_the_call(
    project: Project, call: str, sizes: str, status: str
):
    outcome = judge(project, call, sizes, ", memory='1', requests='n'", "api, n")

    assert outcome.statuses()["scales.memory"] == status, outcome.output


def test_a_growth_does_not_look_like_the_one_that_is_allowed():
    taken = ((1_000, 0.0012), (2_000, 0.0058), (4_000, 0.0297))
    timeline = Timeline(tuple(Measured(at=0.0, n=n, seconds=seconds) for n, seconds in taken))
    growth = next(each for each in SKILL.criteria if each.id == "growth")

    spec = Scales(sizes=(1_000, 2_000, 4_000), at_most="n^2")
    verdict = growth.judge(spec, Play(scenario=Scenario(id="sizes"), timeline=timeline))

    assert verdict is not None
    assert verdict.expected.endswith("by a power of at most 2.30")
    assert verdict.observed.startswith("it grows by a power of 2.31")


def test_an_overrun_is_named(project: Project):
    outcome = judge(
        project, "linear(n if n == 10 else 10**12)", "(10, 20, 80)", "", "n", "--ralph", "--ralph-watchdog=2"
    )

    found = outcome.criterion("scales.handles-largest")
    assert found["evidence"]["observed"] == "the process did not end within 2 s of real time"
    assert found["evidence"]["location"]["function"].startswith(("linear", "<genexpr>"))


def test_without_judging_it_is_an_ordinary_test(project: Project):
    outcome = judge(project, "linear(n)", SIZES, "", "n", "-v")

    assert "test_it.py::test_it PASSED" in outcome.output


def test_a_test_that_does_not_take_the_amount_is_refused(project: Project):
    outcome = judge(project, "linear(10)", SIZES, "", "")

    assert outcome.code != 0
    assert "@ralph.scales needs a test with the argument n" in outcome.output


def test_a_wrong_argument_is_a_collection_error_at_the_users_line(project: Project):
    wrong = [
        ("@ralph.scales", "needs the sizes: write @ralph.scales((1_000, 4_000, 16_000))"),
        ("@ralph.scales(10)", "sizes must be at least three whole numbers in rising order"),
        ("@ralph.scales((1, 2))", "sizes must be at least three whole numbers in rising order"),
        ("@ralph.scales((1, 2, 3))", "the last 8 times the first or more, got (1, 2, 3)"),
        ("@ralph.scales((1, 20, 10))", "sizes must be at least three whole numbers in rising order"),
        ("@ralph.scales((1, 2, 9), at_most='n!')", "at_most must be one of '1', 'log n', 'n', 'n log n'"),
        ("@ralph.scales((1, 2, 9), at_most=['n'])", "at_most must be one of '1', 'log n', 'n', 'n log n'"),
        ("@ralph.scales((1, 2, 9), memory='n!')", "memory must be one of '1', 'log n', 'n', 'n log n'"),
        ("@ralph.scales((1, 2, 9), requests='n!')", "requests must be one of '1', 'log n', 'n', 'n log n'"),
    ]

    project.check_each_refused(wrong)
