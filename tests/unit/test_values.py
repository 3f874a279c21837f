"""Small values: quantities, locations, faults, plans, masks."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ralph import faults
from pytest_ralph.core.attempts import operation
from pytest_ralph.core.fault import Fault, Request
from pytest_ralph.core.location import Location, Locator
from pytest_ralph.core.masking import masked, short
from pytest_ralph.core.quantity import amount, duration, durations, seconds, size, times
from pytest_ralph.core.registry import Registry, builtin
from pytest_ralph.core.skill import PHASES, Skill
from pytest_ralph.world.plan import Plan
from pytest_ralph.world.upstream import Origin, origin


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10, 10),
        (0.5, 0.5),
        ("500 ms", 0.5),
        ("500ms", 0.5),
        ("2 s", 2),
        ("1 min", 60),
        ("1.5 h", 5400),
        (" 3 Seconds ", 3),
        (".5 s", 0.5),
        ("250 us", 0.00025),
    ],
)
def test_durations_as_people_write_them(value: object, expected: float):
    assert seconds(value, name="x") == pytest.approx(expected)


@pytest.mark.parametrize("value", ["", "5", "s", "5 parsecs", "-5 s", "1e3 s", "5 s s"])
def test_text_that_is_no_duration(value: str):
    with pytest.raises(ValueError, match="x must be seconds as a number or text"):
        seconds(value, name="x")


@pytest.mark.parametrize(
    ("value", "expected", "shown"),
    [
        (1, 1, "1 B"),
        ("1 kB", 1000, "1 kB"),
        ("1 KiB", 1024, "1 kB"),
        ("50 MB", 50_000_000, "50 MB"),
        ("50mib", 52_428_800, "50 MiB"),
        ("1.5 GB", 1_500_000_000, "1.5 GB"),
        ("2 GiB", 2**31, "2 GiB"),
    ],
)
def test_sizes_as_people_write_them(value: object, expected: int, shown: str):
    assert size(value, name="x") == expected
    assert amount(expected) == shown


@pytest.mark.parametrize("value", ["", "5", "5 parsecs", "-5 MB", "5 Mb/s", "5 m"])
def test_text_that_is_no_size(value: str):
    with pytest.raises(ValueError, match="x must be bytes as a whole number or text"):
        size(value, name="x")


@pytest.mark.parametrize("value", [None, True, [5], 1.5])
def test_values_that_are_no_size(value: object):
    with pytest.raises(TypeError, match="x must be bytes as a whole number or text"):
        size(value, name="x")


@pytest.mark.parametrize("value", [0, -1, "0 MB"])
def test_sizes_must_be_something(value: object):
    with pytest.raises(ValueError, match="x must be at least 1 byte"):
        size(value, name="x")


@pytest.mark.parametrize("value", [None, True, [5], {}])
def test_values_that_are_no_duration(value: object):
    with pytest.raises(TypeError, match="x must be seconds as a number or text"):
        seconds(value, name="x")


@pytest.mark.parametrize("value", [math.nan, math.inf, -1])
def test_numbers_that_are_no_duration(value: float):
    with pytest.raises(ValueError, match="x must be"):
        seconds(value, name="x")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"),
        (0.000002, "0 s"),
        (0.0005, "0.5 ms"),
        (0.500001, "500 ms"),
        (0.9999, "1 s"),
        (1, "1 s"),
        (1.9594, "1.959 s"),
        (10.0000031, "10 s"),
        (1801.5, "1801.5 s"),
        (100, "100 s"),
    ],
)
def test_durations_as_people_read_them(value: float, shown: str):
    assert duration(value) == shown


@given(st.floats(min_value=0.001, max_value=1e6))
def test_a_shown_duration_reads_as_what_it_was(value: float):
    assert seconds(duration(value), name="x") == pytest.approx(value, rel=0.06)


def test_rows_and_counts():
    assert durations(()) == "none"
    assert durations((1, 2, 4)) == "1 s, 2 s, 4 s"
    assert durations((1,) * 10) == "1 s, 1 s, 1 s, 1 s, 1 s, 1 s, 1 s, 1 s, and 2 more"
    assert (times(1, "retry", "retries"), times(2, "retry", "retries")) == ("1 retry", "2 retries")
    assert times(3, "wait") == "3 waits"


FAULTS: list[Fault] = [
    faults.Status(503),
    faults.Status(418, body="tea", headers=(("X-A", "b"),)),
    faults.Hang(),
    faults.Hang(after_headers=True),
    faults.Truncate(),
    faults.Truncate(keep=0.25),
    faults.Dribble(5),
    faults.Dribble("500 ms", at_least="1 min"),
    faults.Refuse(),
    faults.Unreachable(),
    faults.Reset(),
    faults.Hang(after_bytes=10),
    faults.Truncate(after_bytes=10),
    faults.Dribble(1, size=100),
    faults.Reset(after_bytes=0),
    faults.Slow("2 s"),
    faults.Slow(0.5, after_bytes=10),
    faults.Slow.uniform("100 ms", 2, seed=7),
    faults.Slow.lognormal(1, 0.5),
    faults.Bandwidth(1000),
    faults.Bandwidth(1000, upload=500),
    faults.CloseEarly(),
    faults.CloseEarly(after="30 s"),
    faults.CloseEarly(before_request=True),
    faults.DnsFailure(),
    faults.DnsFailure("timeout"),
    faults.DnsFailure("timeout", after="3 s"),
    faults.TlsError("expired"),
    faults.Unauthorized(),
    faults.Unauthorized('Basic realm="api"'),
    faults.Raises(TimeoutError),
    faults.Raises(ConnectionError("no route", 5)),
    faults.Sequence(faults.Status(503), None, faults.Hang()),
    faults.Sequence(faults.Refuse(), then=faults.Randomly(faults.Reset(), 0.5)),
    faults.Randomly(faults.Status(503), 0.1, seed=3),
    faults.AnswerLost(),
    faults.AnswerLost("hang"),
    faults.RateLimited(5),
    faults.RateLimited("1 min", form="http-date", status=503),
    faults.Malformed("html"),
    faults.Malformed("huge", size=1_000),
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_faults_are_values_printed_as_the_code_that_makes_them(fault: Fault):
    again = eval(repr(fault), {name: getattr(faults, name) for name in faults.__all__})

    assert again == fault
    assert hash(again) == hash(fault)
    assert str(fault) == repr(fault)
    with pytest.raises(AttributeError):
        fault.code = 1  # type: ignore[attr-defined]


def test_every_fault_is_covered_here():
    assert {type(fault).__name__ for fault in FAULTS} == set(faults.__all__)


def request(method: str = "GET", target: str = "/") -> Request:
    return Request(method=method, target=target, url="", headers={}, body=b"")


def test_a_plan_shows_its_fault_so_many_times():
    plan, fault = Plan(), faults.Status(500)
    assert plan.on_request(request()) is None

    plan.inject(fault, times=2)

    assert [plan.on_request(request()) for _ in range(3)] == [fault, fault, None]
    assert plan.on_connect() is None


def test_a_plan_for_some_requests_only():
    plan = Plan()
    plan.inject(faults.Hang(), only=lambda each: each.method == "POST")

    assert plan.on_request(request("GET")) is None
    assert plan.on_request(request("POST")) == faults.Hang()
    plan.heal()
    assert plan.on_request(request("POST")) is None


def test_faults_that_hit_connects():
    plan = Plan()
    plan.inject(faults.Refuse(), times=1)
    assert plan.breaks_connections

    assert plan.on_connect() == faults.Refuse()
    assert not plan.breaks_connections


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v1/charges", "GET /v1/charges"),
        ("/v1/charges?limit=3", "GET /v1/charges"),
        ("/users/42/orders/0815-a", "GET /users/*/orders/*"),
        ("/", "GET /"),
        ("/v12/x", "GET /v12/x"),
        ("/v1beta/x", "GET /*/x"),
    ],
)
def test_operations_leave_out_what_varies(target: str, name: str):
    assert operation("GET", target) == name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example", Origin(scheme="https", host="api.example", port=443)),
        ("http://API.example/", Origin(scheme="http", host="api.example", port=80)),
        ("http://api.example:8080", Origin(scheme="http", host="api.example", port=8080)),
    ],
)
def test_origins(url: str, expected: Origin):
    assert origin(url) == expected
    assert origin(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<object object at 0x7f00deadbeef>",
        "id 3b241101-e2bb-4255-8caf-4136c566a962",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "at 2026-01-02T03:04:05.678+00:00",
        "at 2026-01-02 03:04:05,678",
        "at 1767323045.678",
        "at 1767323045678",
    ],
)
def test_what_changes_is_masked(text: str):
    assert not any(character.isdigit() for character in masked(text).replace("0x...", ""))


@pytest.mark.parametrize(
    "text", ["0.000 POST /v1/charges -> 503", "waits 1 s, 2 s", "attempt 3 of 4", "12345 bytes", "status=503"]
)
def test_what_matters_is_not_masked(text: str):
    assert masked(text) == text


def test_locations_prefer_the_code_under_test_to_the_test(tmp_path: Path):
    code, test = tmp_path / "code.py", tmp_path / "test_code.py"
    code.write_text("def work(then):\n    return then()\n")
    test.write_text("def test(work, then):\n    return work(then)\n")
    scope: dict[str, Any] = {}
    for path in (code, test):
        exec(compile(path.read_text(), str(path), "exec"), scope)
    locator = Locator(tmp_path, [test])

    def here() -> Location | None:
        return locator.here()

    # This file is outside of the root, but the user's as well.
    outer = Locator(tmp_path, [test, Path(__file__)])
    assert scope["test"](scope["work"], outer.here) == Location(file="code.py", line=2, function="work")
    assert scope["test"](lambda then: then(), outer.here) == Location(
        file=os.path.relpath(__file__, tmp_path), line=sys._getframe().f_lineno - 1, function="<lambda>"
    )
    found = here()
    assert found is not None
    assert found.function == "here"


def test_locations_of_exceptions():
    locator = Locator(Path(__file__).parent)
    try:
        Path("/nowhere/at/all").read_text()
    except OSError as error:
        found = locator.of(error.__traceback__)
    assert found is not None
    assert found.file == "test_values.py"
    assert found.function == "test_locations_of_exceptions"
    assert str(found) == f"test_values.py:{found.line} in test_locations_of_exceptions"
    assert locator.of(None) is None


def test_the_registry_knows_the_skills_in_order():
    registry = Registry(builtin())

    assert registry.ids == (
        "validates-input",
        "bad-data",
        "circuit-breaker",
        "fallback",
        "rate-limit",
        "retry",
        "timeout",
        "emits-metric",
        "emits-span",
        "logs",
        "idempotent",
        "survives",
        "latency",
        "memory-limit",
        "no-leaks",
        "scales",
    )
    assert "retry" in registry
    assert "nothing" not in registry


def skill(**changes: Any) -> Skill:
    fields: dict[str, Any] = {
        "id": "x",
        "marker": "x",
        "title": "x",
        "phase": "core",
        "criteria": (),
        "keep": str,
    }
    return Skill(**{**fields, **changes})


def test_the_registry_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="skill 'x' is defined twice"):
        Registry([skill(), skill()])
    with pytest.raises(ValueError, match="phase must be one of"):
        Registry([skill(phase="later")])
    assert PHASES[0] == "core"
    assert Registry([skill(id="b"), skill(id="a", phase="resources"), skill(id="c")]).ids == ("b", "c", "a")


@pytest.mark.parametrize("most", range(12, 90))
def test_half_a_time_or_id_is_never_left(most: int):
    texts = [
        f"a {number}b241101-e2bb-4255-8caf-4136c566a962 {1767323045.5 + number} 0x7f88aa00120{number} end"
        for number in range(2)
    ]
    shown = [short(text, most) for text in texts]

    assert shown[0] == shown[1]
    assert len(shown[0]) <= most
