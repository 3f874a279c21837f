"""The examples: every careless client is red at its own line, every hardened one is green."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

RED = {
    ("input, careless", "validates-input"): {"rejects-invalid", "calls-before-validation"},
    ("httpx, careless", "retry"): {
        "max-retries",
        "backoff",
        "backoff-not-exponential",
        "retries-client-error",
        "silent-retries",
    },
    ("httpx, careless", "timeout"): {"gives-up", "total-deadline"},
    ("requests, careless", "retry"): {
        "retries-transient",
        "backoff",
        "backoff-not-exponential",
        "logs-each-retry",
    },
    ("requests, careless", "timeout"): {"waits-forever", "connects-in-time"},
    ("stripe, careless", "retry"): {"retries-transient"},
    ("stripe, careless", "timeout"): {"gives-up", "connects-in-time"},
    ("observed, careless", "logs"): {"event-logged", "fields", "structured", "secret-logged"},
    ("observed, careless", "emits-metric"): {"changes", "labels", "wrong-when"},
    ("flask, careless", "logs"): {"event-logged", "level"},
    ("flask, careless", "emits-metric"): {"labels", "wrong-when"},
    ("checkout, careless", "bad-data"): {"rejects-malformed", "raw-exception", "accepts-garbage"},
    # Its cache never lets go: no fault is met, and nothing is claimed.
    ("checkout, careless", "fallback"): set(),
    ("checkout, careless", "rate-limit"): {
        "waits-retry-after",
        "waits-http-date",
        "gives-up-beyond-max",
        "hammers",
    },
    ("checkout, careless", "retry"): {
        "retries-transient",
        "max-retries",
        "backoff",
        "retries-client-error",
        "backoff-not-exponential",
        "silent-retries",
    },
    ("checkout, careless", "timeout"): {"connects-in-time", "waits-forever"},
    ("checkout, careless", "idempotent"): {"key-present", "retries-without-key"},
    ("checkout, careless", "survives"): {"invariants-hold", "hangs"},
    ("report, careless", "memory-limit"): {"peak-under-limit"},
    ("report, careless", "no-leaks"): {"memory"},
    ("report, careless", "scales"): {"requests"},
    ("rates, careless", "latency"): {"p50", "p95"},
}


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("examples") / "report.json"
    command = [sys.executable, "-m", "pytest", "--ralph", "-q", f"--ralph-report={path}", "docs/examples"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["skills"]
    return found


def test_careless_clients_are_red_for_their_flaws(skills: list[dict[str, Any]]):
    found: dict[tuple[str, str], set[str]] = {}
    for skill in skills:
        if skill["feature"].endswith("careless"):
            failed = [each["id"] for each in skill["criteria"] if each["status"] == "fail"]
            flaws = found.setdefault((skill["feature"], skill["id"]), set())
            flaws.update(each.partition(".")[2] for each in failed)

    assert found == RED


def test_failures_are_located_in_the_careless_module(skills: list[dict[str, Any]]):
    failures = [each for skill in skills for each in skill["criteria"] if each["status"] == "fail"]

    assert failures
    for criterion in failures:
        assert criterion["evidence"]["location"]["file"].endswith("_careless.py"), criterion
        assert criterion["evidence"]["location"]["function"] in ("charge", "report", "totals", "convert")


def test_hardened_clients_are_green(skills: list[dict[str, Any]]):
    hardened = [skill for skill in skills if skill["feature"].endswith("hardened")]

    assert len(hardened) == 28
    assert {each["status"] for skill in hardened for each in skill["criteria"]} == {"pass"}


def test_all_pass_their_ordinary_tests():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "docs/examples"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "26 passed" in done.stdout
