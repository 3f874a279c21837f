"""What ``make test`` leaves out, and what it measures the coverage of: both are a question of time.

Tables of subjects are long, for each row was once a way to fool a criterion, and each costs a run of pytest.
The rows beyond the number given here are marked slow: ``make test`` leaves them out, ``make test-all`` runs
them. A table is shortened only where its other rows are more of the same.

Coverage doubles what a test costs, so it is measured over a part of the tests only, those marked measured:
what these reach is a lower bound. Of the tables of a skill's subjects the first row reaches nearly all that
the others do: all that there were, six times as long, reached 4 % more.
"""

from __future__ import annotations

from collections import Counter

import pytest

KEPT = {
    "tests/cli/test_commands.py::test_verify_takes_away_what_was_added": 1,
    "tests/cli/test_agents.py::test_a_loop_has_limits": 1,
    "tests/clients/test_breaker_gates.py::test_breakers_in_module_globals": 4,
    "tests/clients/test_careless.py::test_retries_that_are_none": 2,
    "tests/clients/test_fallbacks.py::test_a_cache_in_redis_on_asyncio": 1,
    "tests/clients/test_fallbacks.py::test_other_ways_to_fall_back": 3,
    "tests/clients/test_gates.py::test_openai": 2,
    "tests/clients/test_gates.py::test_tenacity": 2,
    "tests/clients/test_http.py::test_gates_through_a_proxy": 2,
    "tests/clients/test_http2.py::test_gates": 4,
    "tests/integrity/test_attacks.py::test_forged_outcomes_betray_themselves": 4,
    "tests/plugin/test_hidden_flaws.py::test_attempt_numbers_in_all_usual_forms": 4,
    "tests/plugin/test_hidden_flaws.py::test_other_numbers_are_no_attempt_numbers": 3,
    "tests/plugin/test_isolation.py::test_verdicts_are_those_of_a_play_in_this_process": 1,
    "tests/plugin/test_robustness.py::test_jittered_waits_are_judged_by_their_means": 2,
    "tests/skills/test_circuit_breaker.py::test_evidence_says_what_was_observed_and_where": 4,
    "tests/skills/test_circuit_breaker.py::test_right_code_passes_every_criterion": 5,
    "tests/skills/test_emits_metric.py::test_right_metrics_of_every_library_pass": 10,
    "tests/skills/test_fallback.py::test_evidence_says_what_was_observed_and_where": 4,
    "tests/skills/test_fallback.py::test_right_code_passes_every_criterion": 6,
    "tests/skills/test_retry.py::test_evidence_says_what_was_expected_and_observed": 4,
    "tests/skills/test_retry.py::test_right_code_passes_every_criterion": 6,
    "tests/skills/test_scales.py::test_right_growth_passes": 1,
    "tests/skills/test_validates_input.py::test_what_comes_before_the_rejection_is_shown": 2,
}
MEASURED = (
    *("tests/unit/", "tests/world/", "tests/faults/", "tests/report/", "tests/cli/"),
    "tests/integrity/test_attacks.py::test_what_weakens_a_gate_is_caught",
)
# Of the tests of a skill, those that go through its subjects, with the first of these.
SUBJECTS = ("test_each_flaw", "test_right")
FIRST = 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rows beyond those that are kept."""
    seen: Counter[str] = Counter()
    for item in sorted(items, key=_row):
        table = item.nodeid.partition("[")[0]
        seen[table] += 1
        if seen[table] > KEPT.get(table, seen[table]):
            item.add_marker(pytest.mark.slow)
        if _is_measured(item, seen[table]):
            item.add_marker(pytest.mark.measured)


def _is_measured(item: pytest.Item, row: int) -> bool:
    if item.nodeid.startswith("tests/skills/"):
        return item.name.startswith(SUBJECTS) and row <= FIRST
    return item.nodeid.startswith(MEASURED)


def _row(item: pytest.Item) -> list[int]:
    """Where an item stands in its table, in whichever order another plugin has put the items."""
    spec = getattr(item, "callspec", None)
    return list(spec.indices.values()) if spec is not None else []
