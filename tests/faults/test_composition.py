"""Faults made of others, faults drawn by chance, and what a plan makes of several."""

from __future__ import annotations

import re
from itertools import islice
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ralph import faults
from pytest_ralph.core.fault import Fault, Kind, Request, can_show
from pytest_ralph.world.plan import Plan
from pytest_ralph.world.upstream import Upstream, origin

ANY: Any = faults  # to be called with what type checkers would not let pass
BAD, HANG, RESET = faults.Status(503), faults.Hang(), faults.Reset()

seconds = st.one_of(
    st.floats(min_value=0.001, max_value=1e6),
    st.integers(min_value=1, max_value=10**6),
    st.sampled_from(["1 ms", "2.5 s", "1 min"]),
)
sizes = st.integers(min_value=1, max_value=10**9)
seeds = st.integers(min_value=0, max_value=2**40)
SIMPLE: st.SearchStrategy[Fault] = st.one_of(
    st.builds(faults.Status, st.integers(min_value=200, max_value=599), body=st.none() | st.text()),
    st.builds(faults.Hang, after_headers=st.booleans(), after_bytes=st.none() | sizes),
    st.builds(faults.Truncate, keep=st.floats(min_value=0, max_value=1, exclude_max=True)),
    st.builds(faults.Truncate, after_bytes=sizes),
    st.builds(faults.Dribble, seconds, at_least=seconds, size=sizes),
    st.builds(faults.Slow, seconds, after_bytes=st.none() | sizes),
    st.builds(faults.Slow.uniform, st.just(0.001), seconds, seed=seeds),
    st.builds(faults.Slow.lognormal, seconds, st.floats(min_value=0, max_value=10), seed=seeds),
    st.builds(faults.Bandwidth, sizes, upload=st.none() | sizes),
    st.builds(faults.Reset, after_bytes=st.none() | sizes),
    st.builds(faults.CloseEarly, after=seconds),
    st.builds(faults.CloseEarly, before_request=st.booleans()),
    st.builds(faults.DnsFailure, st.just("timeout"), after=seconds),
    st.builds(faults.TlsError, st.sampled_from(["expired", "wrong_host", "unknown_issuer"])),
    st.builds(faults.Unauthorized, st.sampled_from(["Bearer", 'Basic realm="it\'s"'])),
    st.builds(faults.Raises, st.sampled_from([TimeoutError, ConnectionError("no", 5), KeyError("x")])),
    st.sampled_from([faults.Refuse(), faults.Unreachable(), faults.DnsFailure()]),
)
FAULTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(
            lambda first, rest, then: faults.Sequence(first, *rest, then=then),
            inner,
            st.lists(st.none() | inner, max_size=3),
            st.none() | inner,
        ),
        st.builds(faults.Randomly, inner, st.floats(min_value=0.001, max_value=1), seed=seeds),
    ),
    max_leaves=5,
)


@given(FAULTS)
def test_every_fault_is_printed_as_the_code_that_makes_it(fault: Fault):
    again = eval(repr(fault), dict(vars(faults)))

    assert again == fault
    assert hash(again) == hash(fault)
    assert again.parts() == fault.parts()
    assert list(islice(again.attempts(), 20)) == list(islice(fault.attempts(), 20))


@given(FAULTS)
def test_what_an_attempt_meets_is_a_part_or_nothing_and_every_part_prints(fault: Fault):
    kinds = {type(part) for part in fault.parts()}

    for met in islice(fault.attempts(), 20):
        assert met is None or type(met) in kinds
        assert eval(repr(met), dict(vars(faults))) is not None or met is None


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (BAD, [BAD] * 5),
        (faults.Unauthorized(), [faults.Unauthorized()]),
        (faults.Sequence(BAD, None, HANG), [BAD, None, HANG]),
        (faults.Sequence(BAD, then=HANG), [BAD, HANG, HANG, HANG, HANG]),
        (faults.Sequence(BAD, faults.Sequence(RESET, HANG), BAD), [BAD, RESET, HANG, BAD]),
        (faults.Sequence(faults.Sequence(RESET, then=HANG), BAD), [RESET, BAD]),
        (faults.Sequence(faults.Unauthorized(), BAD), [faults.Unauthorized(), BAD]),
        (faults.Randomly(BAD, 1), [BAD] * 5),
        (faults.Randomly(faults.Sequence(BAD), 1), [BAD, None, None, None, None]),
    ],
    ids=repr,
)
def test_what_one_attempt_after_another_meets(fault: Fault, met: list[Fault | None]):
    assert list(islice(fault.attempts(), 5)) == met


def delays(fault: Fault, count: int = 2000) -> list[float]:
    found = [met.delay for met in islice(fault.attempts(), count) if isinstance(met, faults.Slow)]
    assert all(isinstance(each, float) for each in found)
    return found  # type: ignore[return-value]


def test_delays_have_the_distribution_they_are_named_for():
    uniform = delays(faults.Slow.uniform(1, 3))
    lognormal = delays(faults.Slow.lognormal("2 s", 0.5))

    assert 1 <= min(uniform) < 1.1
    assert 2.9 < max(uniform) <= 3
    assert median(uniform) == pytest.approx(2, abs=0.1)
    assert median(lognormal) == pytest.approx(2, rel=0.05)
    assert sum(each > 6 for each in lognormal) / len(lognormal) == pytest.approx(0.014, abs=0.008)
    assert delays(faults.Slow.lognormal("2 s", 0), 3) == [2, 2, 2]
    assert delays(faults.Slow.uniform(1, 3)) == uniform
    assert delays(faults.Slow.uniform(1, 3, seed=1)) != uniform


def test_chance_hits_as_often_as_it_says_and_in_the_same_places():
    def hits(fault: Fault) -> list[bool]:
        return [met is not None for met in islice(fault.attempts(), 2000)]

    assert sum(hits(faults.Randomly(BAD, 0.1))) == pytest.approx(200, abs=50)
    assert hits(faults.Randomly(BAD, 0.1)) == hits(faults.Randomly(BAD, 0.1))
    assert hits(faults.Randomly(BAD, 0.1)) != hits(faults.Randomly(BAD, 0.1, seed=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ANY.Slow(0), "delay must be more than 0 s, got 0"),
        (lambda: ANY.Slow("soon"), "delay must be seconds as a number or text"),
        (lambda: ANY.Slow(1, after_bytes=-1), "after_bytes must be a whole number from 0, got -1"),
        (lambda: ANY.Slow.uniform(3, 1), "high must not be less than low (3), got 1"),
        (lambda: ANY.Slow.uniform(-1, 1), "low must be at least 0 s, got -1"),
        (lambda: ANY.Slow.uniform(0, 0), "high must be more than 0 s, got 0"),
        (lambda: ANY.Slow.uniform(1, 3, seed=0.5), "seed must be a whole number from 0, got 0.5"),
        (lambda: ANY.Slow.lognormal(0, 1), "median must be more than 0 s, got 0"),
        (lambda: ANY.Slow.lognormal(1, -1), "sigma must be a number from 0 to 10, got -1"),
        (lambda: ANY.Slow.lognormal(1, float("nan")), "sigma must be a number from 0 to 10, got nan"),
        (lambda: ANY.Bandwidth(0), "bytes_per_second must be a number from 1, got 0"),
        (lambda: ANY.Bandwidth("1 kB"), "bytes_per_second must be a number from 1, got '1 kB'"),
        (lambda: ANY.Bandwidth(1, upload=0), "upload must be a number from 1, got 0"),
        (lambda: ANY.Hang(after_bytes=0), "after_bytes must be a whole number from 1, got 0"),
        (lambda: ANY.Hang(after_bytes=True), "after_bytes must be a whole number from 1, got True"),
        (lambda: ANY.Truncate(after_bytes=-1), "after_bytes must be a whole number from 0, got -1"),
        (lambda: ANY.Truncate(keep="half"), "Truncate needs keep from 0 up to, but not including, 1"),
        (lambda: ANY.Dribble(1, size=0), "size must be a whole number from 1, got 0"),
        (lambda: ANY.Reset(after_bytes=1.5), "after_bytes must be a whole number from 0, got 1.5"),
        (lambda: ANY.CloseEarly(after=-1), "after must be at least 0 s, got -1"),
        (lambda: ANY.CloseEarly(after=1, before_request=True), "before_request leaves unread: got 1"),
        (lambda: ANY.DnsFailure("servfail"), "DnsFailure needs 'nxdomain' or 'timeout', got 'servfail'"),
        (lambda: ANY.DnsFailure(after=3), "an unknown name fails at once, got 3"),
        (lambda: ANY.DnsFailure("timeout", after=None), "after must be seconds as a number or text"),
        (lambda: ANY.TlsError("old"), "'expired', 'wrong_host', 'unknown_issuer', got 'old'"),
        (lambda: ANY.Unauthorized(" "), "Unauthorized needs a challenge such as 'Bearer'"),
        (lambda: ANY.Raises("late"), "Raises needs an exception such as TimeoutError"),
        (lambda: ANY.Raises(KeyboardInterrupt), "got <class 'KeyboardInterrupt'>"),
        (lambda: ANY.Raises(UnicodeDecodeError), "UnicodeDecodeError cannot be made without arguments"),
        (lambda: ANY.Sequence(), "Sequence needs at least one fault, got ()"),
        (lambda: ANY.Sequence(None), "Sequence needs at least one fault, got (None,)"),
        (lambda: ANY.Sequence([BAD]), "Sequence takes faults and None, such as Status(503), got [Status"),
        (lambda: ANY.Sequence(BAD, then=3), "Sequence takes faults and None, such as Status(503), got 3"),
        (lambda: ANY.Randomly(503, 0.1), "Randomly needs a fault such as Status(503), got 503"),
        (lambda: ANY.Randomly(BAD, 10), "probability must be a number from 0 to 1, got 10"),
        (lambda: ANY.Randomly(BAD, 0), "probability must be more than 0, got 0"),
        (lambda: ANY.Randomly(BAD, 0.1, seed=None), "seed must be a whole number from 0, got None"),
    ],
)
def test_arguments_that_make_no_sense_are_named(make: Any, message: str):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


# -- several at once ----------------------------------------------------------------------------------------


def upstream(url: str = "http://api.pay.example") -> Upstream:
    return Upstream(origin(url))


def request(method: str = "GET", target: str = "/") -> Request:
    return Request(method=method, target=target, url="", headers={}, body=b"")


def test_faults_for_different_requests_stand_side_by_side():
    api = upstream()
    api.inject(HANG, method="POST").inject(BAD, path="/v1/rates", times=2)
    api.inject(RESET, path=re.compile(r"/v1/charges/\w+"))

    met = api.plan.on_request
    assert met(request("POST", "/v1/charges")) == HANG
    assert met(request("GET", "/v1/rates?of=eur")) == BAD
    assert met(request("POST", "/v1/rates")) == BAD  # the one injected last
    assert met(request("POST", "/v1/rates")) == HANG  # the other was met twice
    assert met(request("GET", "/v1/charges/ch_1")) == RESET
    assert met(request("GET", "/v1/charges")) is None
    api.heal()
    assert met(request("POST", "/v1/charges")) is None


def test_another_fault_for_the_same_requests_takes_the_place_of_the_first():
    api = upstream()
    api.inject(HANG, method="post").inject(BAD, method="POST", times=1)

    assert api.plan.on_request(request("POST")) == BAD
    assert api.plan.on_request(request("POST")) is None


def test_a_block_ends_with_what_was_there_before():
    api = upstream()
    api.inject(HANG, times=2)

    with api.inject(BAD):
        with api.inject(RESET, method="POST"):
            assert api.plan.on_request(request("POST")) == RESET
            assert api.plan.on_request(request("GET")) == BAD
        assert api.plan.on_request(request("POST")) == BAD
    assert [api.plan.on_request(request()) for _ in range(3)] == [HANG, HANG, None]
    with api.inject(BAD, times=1), api.inject(RESET, method="PUT"):
        assert api.plan.on_request(request()) == BAD
    assert api.plan.on_request(request()) is None
    assert api.plan.on_request(request("PUT")) is None


def test_a_block_ends_with_what_was_there_before_even_if_the_test_fails():
    api = upstream()

    def fail() -> None:
        with api.inject(BAD):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert api.plan.on_request(request()) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fault": 503}, "inject needs a fault such as ralph.faults.Hang(), got 503"),
        ({"fault": faults.Status}, "inject needs a fault such as ralph.faults.Hang(), got <class"),
        ({"times": 0}, "times must be a whole number from 1, got 0"),
        ({"times": True}, "times must be a whole number from 1, got True"),
        ({"method": ""}, "method must be an HTTP method such as 'POST', got ''"),
        ({"method": 5}, "method must be an HTTP method such as 'POST', got 5"),
        ({"path": "v1"}, "path must be a path without a query, such as '/v1/charges', or a compiled pattern"),
        ({"path": "/v1?x=1"}, "path must be a path without a query"),
        ({"fault": faults.Refuse(), "path": "/v1"}, "so it cannot be limited to /v1"),
        (
            {"fault": faults.Sequence(BAD, faults.DnsFailure()), "method": "GET"},
            "DnsFailure('nxdomain') hits",
        ),
        (
            {"fault": faults.CloseEarly(before_request=True), "path": "/"},
            "CloseEarly(before_request=True) hits",
        ),
        (
            {"fault": faults.TlsError("expired")},
            "is for a service on https://, and this is a service on http",
        ),
        ({"fault": faults.Randomly(faults.Raises(OSError), 1)}, "Raises(OSError) is for a Python callable"),
    ],
    ids=str,
)
def test_injections_that_make_no_sense_are_named(arguments: dict[str, Any], message: str):
    api = upstream()

    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        api.inject(**{"fault": BAD, **arguments})
    assert api.plan.on_request(request()) is None


def test_a_plan_goes_on_with_a_sequence_over_all_stages():
    plan = Plan()
    plan.inject(faults.Sequence(BAD, faults.Refuse(), None, faults.DnsFailure(), HANG), times=3)

    assert plan.on_resolve() is None
    assert plan.on_connect() is None
    breaking = [plan.breaks_connections]
    assert plan.on_request(request()) == BAD
    assert [*breaking, plan.breaks_connections] == [False, True]
    assert plan.on_resolve() is None
    assert plan.on_connect() == faults.Refuse()
    assert (plan.on_connect(), plan.on_request(request())) == (None, None)
    assert plan.on_connect() is None  # the client knows the address
    assert plan.on_request(request()) is None
    found = plan.on_resolve()
    assert found is not None
    assert found[0] == faults.DnsFailure()
    # The third was the last.
    assert plan.on_request(request()) is None
    assert plan.shown == ()


def test_only_what_was_open_before_is_closed():
    plan = Plan()
    before = plan.era
    plan.inject(faults.TlsError("expired"))
    since = plan.era

    assert plan.is_broken_since(before)
    plan.on_connect()
    plan.on_connect()
    assert plan.is_broken_since(before)
    assert not plan.is_broken_since(since)
    plan.heal()
    assert not plan.is_broken_since(before)


def test_kinds_of_dependencies_show_what_they_can():
    either = {Kind.HTTP, Kind.HTTPS}
    assert {kind for kind in Kind if can_show(kind, HANG)} == set(Kind)
    assert {kind for kind in Kind if can_show(kind, BAD)} == either
    assert {kind for kind in Kind if can_show(kind, faults.TlsError("expired"))} == {Kind.HTTPS}
    assert {kind for kind in Kind if can_show(kind, faults.Sequence(HANG, BAD))} == either
    assert {kind for kind in Kind if can_show(kind, faults.Raises(OSError))} == set(Kind) - either
