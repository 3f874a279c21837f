"""Payment clients that count and measure what they do, with every library, and some that do it carelessly."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
import statsd  # type: ignore[import-untyped]
from datadog.dogstatsd.base import DogStatsd
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Summary

from tests.subjects import traced

URL = "http://api.pay.example/v1/charges"

# A registry of its own for each import of this module: names in the default one are taken for good.
OWN = CollectorRegistry()
ATTEMPTED = Counter("payments_attempted", "Payments", ["outcome"], registry=OWN)
PLAIN = Counter("payments", "Payments", registry=OWN)
FAILED = Counter("payments_failed", "Failed payments", registry=OWN)
SECONDS = Histogram("payments_duration_seconds", "Duration", registry=OWN)
MILLISECONDS = Histogram("payments_duration_ms", "Duration", registry=OWN)
SIZES = Summary("payments_amount", "Amounts", registry=OWN)
LAST = Gauge("payments_last_success_time", "When the last one succeeded", registry=OWN)
BUDGET = Gauge("payments_budget", "What is left", registry=OWN)
BUDGET.set(1000)
MISTAKEN = Gauge("payments_seen_total", "A gauge that is named like a counter", registry=OWN)
PER_USER = Counter("payments_by_request", "Payments", ["request_id"], registry=OWN)
PER_TRY = Counter("payments_by_error", "Payments", ["error"], registry=OWN)


def _post(**options: Any) -> None:
    requests.post(URL, json={}, timeout=5, **options).raise_for_status()


def _told(count: Callable[[str], object]) -> None:
    outcome = "failed"
    try:
        _post()
        outcome = "ok"
    finally:
        count(outcome)


def counted() -> None:
    """One for each call, with its outcome."""
    _told(lambda outcome: ATTEMPTED.labels(outcome).inc())


def counted_in_the_default_registry() -> None:
    """The registry that everybody uses."""
    name = "default_payments"
    found: Any = REGISTRY._names_to_collectors.get(name) or Counter(name, "Payments")
    _told(lambda _: found.inc())


def counted_in_a_new_registry() -> None:
    """A registry that is made in the call."""
    counter = Counter("payments_of_a_call", "Payments", registry=CollectorRegistry())
    _told(lambda _: counter.inc())


def timed() -> None:
    """How long it took, in seconds, with the trace as an exemplar."""
    began = time.perf_counter()
    _told(lambda _: SECONDS.observe(time.perf_counter() - began, {"trace_id": "abc"}))


def timed_by_decorator() -> None:
    """The same in one line."""
    with SECONDS.time():
        _post()


def summed() -> None:
    """A summary of amounts."""
    _told(lambda _: SIZES.observe(100))


def gauged() -> None:
    """A gauge that goes down."""
    _told(lambda _: BUDGET.dec(100))


def noted() -> None:
    """A gauge that is set when all is well."""
    _post()
    LAST.set_to_current_time()


def failures() -> None:
    """Failures only."""
    try:
        _post()
    except requests.RequestException:
        FAILED.inc()
        raise


def each_attempt() -> None:
    """Three attempts, each of which counts."""
    for left in (2, 1, 0):
        try:
            _post()
            PLAIN.inc()
            return
        except requests.RequestException:
            PLAIN.inc()
            if not left:
                raise


# -- careless -----------------------------------------------------------------------------------------------


def only_on_success() -> None:
    """An exception skips the line."""
    _post()
    PLAIN.inc()


def twice() -> None:
    """Counted where it is done, and once more by the caller."""
    PLAIN.inc()
    _told(lambda _: PLAIN.inc())


def twice_when_it_fails() -> None:
    """In the except block and in the finally."""
    try:
        _post()
    except requests.RequestException:
        PLAIN.inc()
        raise
    finally:
        PLAIN.inc()


def never() -> None:
    """Defined and forgotten."""
    _post()


def failure_counted_as_success() -> None:
    """Swallows the exception and goes on."""
    with suppress(requests.RequestException):
        _post()
    PLAIN.inc()


def success_counted_as_failure() -> None:
    """A finally that counts everything."""
    try:
        _post()
    finally:
        FAILED.inc()


def wrong_type() -> None:
    """A gauge that only goes up."""
    _told(lambda _: MISTAKEN.inc())


def milliseconds_as_seconds() -> None:
    """Observes milliseconds under a name that says seconds."""
    began = time.perf_counter()
    _told(lambda _: SECONDS.observe((time.perf_counter() - began) * 1000))


def seconds_as_milliseconds() -> None:
    """Observes seconds under a name that says milliseconds."""
    began = time.perf_counter()
    _told(lambda _: MILLISECONDS.observe(time.perf_counter() - began))


def time_of_day() -> None:
    """Observes the time, not how much of it passed."""
    _told(lambda _: SECONDS.observe(time.time()))


def endless_labels() -> None:
    """A label for each request."""
    _told(lambda _: PER_USER.labels(str(uuid.uuid4())).inc())


_numbers = iter(range(1, 1_000))


def numbered_labels() -> None:
    """A label for each request that looks harmless."""
    _told(lambda _: PER_USER.labels(f"order-{next(_numbers)}").inc())


def errors_as_labels() -> None:
    """The text of the exception as a label."""
    try:
        _post(headers={"X-Request": str(next(_numbers))})
        PER_TRY.labels("").inc()
    except requests.RequestException as error:
        PER_TRY.labels(f"{error} ({next(_numbers)})").inc()
        raise


def secret_as_a_label() -> None:
    """A customer's key as a label."""
    key = "sk_live_51HqLyjWDarjtT1"
    _told(lambda _: PER_TRY.labels(key).inc())


# -- OpenTelemetry ------------------------------------------------------------------------------------------


def _meter() -> Any:
    return traced.METERS.get_meter("payments")


def otel_counter() -> None:
    """A counter of the SDK."""
    counter = _meter().create_counter("payments.attempted")
    _told(lambda outcome: counter.add(1, {"outcome": outcome}))


def otel_histogram() -> None:
    """A histogram of the SDK, in seconds."""
    histogram = _meter().create_histogram("payments.duration", unit="s")
    began = time.monotonic()
    _told(lambda _: histogram.record(time.monotonic() - began))


def otel_milliseconds() -> None:
    """Milliseconds where the unit says seconds."""
    histogram = _meter().create_histogram("payments.duration", unit="s")
    began = time.monotonic()
    _told(lambda _: histogram.record((time.monotonic() - began) * 1000))


def otel_up_down() -> None:
    """A counter that goes both ways."""
    counter = _meter().create_up_down_counter("payments.open")
    _told(lambda _: counter.add(-1))


# -- statsd -------------------------------------------------------------------------------------------------


def statsd_package() -> None:
    """The package statsd: a counter and a timer."""
    client = statsd.StatsClient("localhost", 8125, prefix="shop")
    began = time.monotonic()
    try:
        _told(lambda _: client.incr("payments.attempted"))
    finally:
        client.timing("payments.duration", (time.monotonic() - began) * 1000)
        client.close()


def statsd_seconds() -> None:
    """Seconds as a timer, whose unit is always milliseconds."""
    client = statsd.StatsClient("localhost", 8125, prefix="shop")
    began = time.monotonic()
    try:
        _post()
    finally:
        client.timing("payments.duration", time.monotonic() - began)
        client.close()


def datadog_package() -> None:
    """The package datadog, with tags, and with what it keeps back for a moment."""
    client = DogStatsd(host="127.0.0.1", port=8125, disable_buffering=False, disable_telemetry=True)
    try:
        _told(lambda outcome: client.increment("payments.attempted", tags=[f"outcome:{outcome}"]))
        client.histogram("payments.amount", 100)
    finally:
        client.stop()
