"""``pytest-ralph judge locust``, over files that Locust 2.47 has written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_ralph.core import locust
from pytest_ralph.core.skill import Status
from pytest_ralph.report import exits
from tests.cli.conftest import Shop

WRITTEN = Path(__file__).parent / "locust"
HEAD = "Type,Name,Request Count,Failure Count,Max Response Time,50%,95%,99%,100%"


@pytest.fixture
def run(shop: Shop) -> Shop:
    """A folder with the files of a run: 563 charges of which 22 failed, and 196 rates."""
    shutil.copytree(WRITTEN, shop.path, dirs_exist_ok=True)
    return shop


@pytest.mark.parametrize(
    ("arguments", "code", "statuses"),
    [
        (
            [
                "run_stats.csv",
                "--p50",
                "20 ms",
                "--p95",
                "200 ms",
                "--max",
                "220 ms",
                "--max-error-rate",
                "0.04",
            ],
            exits.GREEN,
            ["pass", "pass", "pass", "pass"],
        ),
        (["run_stats.csv", "--p95", "0.2"], exits.RED, ["pass", "fail"]),
        (["run_stats.csv", "--p95", "50 ms", "--max-error-rate", "0.04"], exits.RED, ["fail", "pass"]),
        (["run_stats.csv", "--max", "219 ms", "--max-error-rate", "0.04"], exits.RED, ["fail", "pass"]),
        (["run", "--name", "GET /rates", "--p99", "100 ms"], exits.GREEN, ["pass", "pass"]),
        (["run", "--name", "/rates", "--p99", "60 ms"], exits.RED, ["fail", "pass"]),
        (
            ["run.json", "--p50", "20 ms", "--p90", "200 ms", "--max-error-rate", "0.1"],
            exits.GREEN,
            ["pass"] * 3,
        ),
        (["run.json", "--p50", "1 ms", "--max-error-rate", "0.1"], exits.RED, ["fail", "pass"]),
        (
            ["distributed_stats.csv", "--p99", "160 ms", "--max-error-rate", "0.03"],
            exits.RED,
            ["not_exercised", "pass"],
        ),
        (
            ["distributed_stats.csv", "--p99", "165 ms", "--max-error-rate", "0.03"],
            exits.GREEN,
            ["pass", "pass"],
        ),
    ],
)
def test_statistics_are_judged_by_the_criteria_of_latency(
    run: Shop, arguments: list[str], code: int, statuses: list[str]
):
    done = run.ralph("judge", "--json", "locust", *arguments)

    (judged,) = done.data["requests"]
    assert [each["status"] for each in judged["criteria"]] == statuses
    assert judged["criteria"][-1]["id"] == "latency.error-rate"
    assert done.code == code
    assert done.data["gate"] == ("pass" if code == exits.GREEN else "fail")


def test_what_is_shown_to_people(run: Shop):
    done = run.ralph("judge", "locust", "run_stats.csv", "--each", "--p95", "30 ms")

    assert done.out.splitlines() == [
        "POST /charges: 563 requests, 22 failed",
        "  fail          latency.p95: the 95th percentile of 563 requests is 71 ms",
        "                expected: 95 % of 563 requests end within 30 ms",
        "  fail          latency.error-rate: 22 of 563 requests failed",
        "                expected: none of 563 requests fails",
        "GET /rates: 196 requests, 0 failed",
        "  pass          latency.p95: the 95th percentile of 196 requests is 24 ms",
        "  pass          latency.error-rate: 0 of 196 requests failed",
        "gate: FAIL",
    ]


def test_budgets_come_from_the_policy_where_none_is_given(run: Shop):
    run.write("pyproject.toml", '[tool.ralph.defaults.latency]\np99 = "60 ms"\nmax_error_rate = 0.5\n')

    done = run.ralph("judge", "--json", "locust", "run_stats.csv", "--name", "/rates")
    assert [each["status"] for each in done.data["requests"][0]["criteria"]] == ["fail", "pass"]

    done = run.ralph("judge", "--json", "locust", "run_stats.csv", "--name", "/rates", "--p99", "1 s")
    assert done.code == exits.GREEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv", "--p95", "1"], "there is no file missing.csv"),
        ([".", "--p95", "1"], "cannot be read"),
        (["test_it.py", "--p95", "1"], "is not a file of statistics from Locust: it has no column 'Type'"),
        (
            ["run_failures.csv", "--p95", "1"],
            "it holds the failures of a run; give the file that ends with _stats",
        ),
        (["run_stats_history.csv", "--p95", "1"], "it holds the history of a run"),
        (["run_exceptions.csv", "--p95", "1"], "it holds the exceptions of a run"),
        (["cut.csv", "--p95", "1"], "it has no row 'Aggregated' at its end"),
        (["damaged.csv", "--p95", "1"], "it is damaged: ValueError"),
        (["list.json", "--p95", "1"], "it holds 1, and no statistics"),
        (["other.json", "--p95", "1"], "it has no 'method'"),
        (["broken.json", "--p95", "1"], "it is damaged: JSONDecodeError"),
        (["mixed.csv", "--p95", "1"], "it is damaged: Aggregated has 50 failures of 40 requests"),
        (["part.json", "--p95", "1"], "it is damaged: /rates has 60 times of 100 requests"),
        (["run_stats.csv"], 'there is no budget: give one, such as --p95 "100 ms"'),
        (["run_stats.csv", "--p95", "soon"], "--p95 must be seconds as a number or text"),
        (["run_stats.csv", "--p95", "0"], "--p95 must be more than 0 s"),
        (
            ["run_stats.csv", "--p95", "1", "--max-error-rate", "2"],
            "--max-error-rate must be a number from 0 to 1",
        ),
        (["run_stats.csv", "--p95", "1", "--max-error-rate", "few"], "--max-error-rate must be a number"),
        (
            ["run_stats.csv", "--p95", "1", "--name", "/refunds"],
            "there is no request '/refunds'; there are POST /charges, GET /rates",
        ),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(run: Shop, arguments: list[str], message: str):
    run.write("cut.csv", f"{HEAD}\nGET,/rates,40,0,80,5,60,80,80\n")
    run.write("damaged.csv", f"{HEAD}\nGET,/rates,many,0,80,5,60,80,80\n,Aggregated,40,0,80,5,60,80,80\n")
    run.write("list.json", "[1]")
    run.write("other.json", '[{"name": "/rates"}]')
    run.write("broken.json", "[")
    run.write("mixed.csv", f"{HEAD}\n,Aggregated,40,50,80,5,60,80,80\n")
    part = {"name": "/rates", "method": "GET", "num_requests": 100, "num_failures": 0}
    run.write("part.json", json.dumps([{**part, "max_response_time": 90, "response_times": {"50": 60}}]))

    done = run.ralph("judge", "locust", *arguments)

    assert done.code == exits.USAGE
    assert message in done.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.csv", f"{HEAD}\nGET,/rates,0,0,0,N/A,N/A,N/A,N/A\n,Aggregated,0,0,0,N/A,N/A,N/A,N/A\n"),
        ("none.json", "[]"),
    ],
)
def test_without_a_request_nothing_is_judged(run: Shop, name: str, text: str):
    run.write(name, text)

    done = run.ralph("judge", "locust", name, "--p95", "1")

    assert done.code == exits.NOTHING
    assert "nothing was judged" in done.out


def test_a_request_that_was_never_made_is_not_covered_by_others(run: Shop):
    row = "40,0,80,5,60,80,80"
    run.write("some.csv", f"{HEAD}\nGET,/a,0,0,0,N/A,N/A,N/A,N/A\nGET,/b,{row}\n,Aggregated,{row}\n")

    done = run.ralph("judge", "locust", "some.csv", "--each", "--p95", "1")

    assert done.code == exits.RED
    assert "no request was made" in done.out


def test_a_file_that_begins_with_a_byte_order_mark_is_read(run: Shop):
    run.write("marked.csv", f"\ufeff{HEAD}\n,Aggregated,40,0,80,5,60,80,80\n")

    assert run.ralph("judge", "locust", "marked.csv", "--p95", "1").code == exits.GREEN


def percentile(
    took: dict[str, int], *, failures: int = 0, budget: float = 0.1, name: str = "p95"
) -> tuple[Status, str]:
    entry = {
        "name": "/charges",
        "method": "POST",
        "num_requests": sum(took.values()),
        "num_failures": failures,
        "max_response_time": max(map(int, took)),
        "response_times": took,
    }
    *_, total = locust.read(json.dumps([entry]))
    verdict = dict(locust.judge(total, {name: budget}, 1.0))[f"latency.{name}"]
    return verdict.status, verdict.observed


def test_failures_that_came_fast_do_not_make_a_percentile_look_good():
    took = {"1": 50, "90": 40, "300": 10}

    assert percentile(took, failures=0, budget=0.1, name="p90")[0] is Status.PASS
    status, observed = percentile(took, failures=50, budget=0.1, name="p90")
    assert status is Status.NOT_EXERCISED
    assert "50 requests failed, and if those were the fastest, it is up to 305 ms of the others" in observed


@pytest.mark.parametrize(
    ("took", "budget", "status"),
    [
        ("99", 0.1, Status.PASS),
        ("150", 0.155, Status.PASS),
        ("150", 0.15, Status.NOT_EXERCISED),  # Locust makes 150 of 154
        ("150", 0.144, Status.FAIL),
        ("3400", 3.4, Status.NOT_EXERCISED),
        ("3400", 3.45, Status.PASS),
        ("3400", 3.3, Status.FAIL),
        ("0", 0.001, Status.PASS),
    ],
)
def test_what_locust_rounds_is_known_only_so_well(took: str, budget: float, status: Status):
    assert percentile({took: 100}, budget=budget)[0] is status


def test_a_percentile_that_cannot_be_known_is_not_judged(shop: Shop):
    assert percentile({"1": 19}) == (Status.NOT_EXERCISED, "19 requests: p95 needs at least 20")

    rows = "40,0,80,5,60,80"
    head = HEAD.replace("95%,", "")
    shop.write("run_stats.csv", f"{head}\nGET,/a,{rows}\n,Aggregated,{rows}\n")
    done = shop.ralph("judge", "locust", "run", "--p95", "1")
    assert done.code == exits.RED
    assert "the file does not hold 95 %: it has 50 %, 99 %, 100 %" in done.out
