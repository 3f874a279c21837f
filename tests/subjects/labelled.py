"""Payment clients whose metric has the outcome as a label, and some that get it wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import requests
from datadog.dogstatsd.base import DogStatsd
from prometheus_client import CollectorRegistry, Counter, Histogram

from tests.subjects import traced

URL = "http://api.pay.example/v1/charges"

# A registry of its own for each import of this module: names in the default one are taken for good.
OWN = CollectorRegistry()
PAYMENTS = Counter("payments", "Payments by outcome", ["outcome"], registry=OWN)
SECONDS = Histogram("payments_duration_seconds", "Duration by outcome", ["outcome"], registry=OWN)
STEPS = Counter("payments_steps", "Payments by what is done", ["step"], registry=OWN)
BY_REASON = Counter("payments_by_reason", "Payments by reason", ["reason"], registry=OWN)

# As the documentation of prometheus-client recommends: the series are there before the first payment.
PAYMENTS.labels("ok")
PAYMENTS.labels("failed")


def _post() -> None:
    requests.post(URL, json={}, timeout=5).raise_for_status()


def _counted(outcome: str, amount: float = 1) -> None:
    PAYMENTS.labels(outcome).inc(amount)


def _told(count: Callable[[str], object], *, ok: str = "ok", failed: str = "failed") -> None:
    outcome = failed
    try:
        _post()
        outcome = ok
    finally:
        count(outcome)


# -- right --------------------------------------------------------------------------------------------------


def in_a_finally() -> None:
    """The outcome is a variable, and the finally counts."""
    _told(_counted)


def in_both_branches() -> None:
    """Each branch counts its own."""
    try:
        _post()
    except requests.RequestException:
        _counted("failed")
        raise
    else:
        _counted("ok")


def handled() -> None:
    """The failure is handled, and counted as one."""
    try:
        _post()
    except requests.RequestException:
        _counted("failed")
        return
    _counted("ok")


def each_attempt() -> None:
    """Three attempts, each of which counts."""
    for left in (2, 1, 0):
        try:
            return in_both_branches()
        except requests.RequestException:
            if not left:
                raise
    return None


def observed() -> None:
    """A histogram by outcome."""
    outcome = "failed"
    with httpx.Client(timeout=5) as client:
        try:
            client.post(URL, json={}).raise_for_status()
            outcome = "ok"
        finally:
            SECONDS.labels(outcome).observe(0.0)


def begun_and_ended() -> None:
    """Two series of one metric in each call."""
    STEPS.labels("begun").inc()
    _told(lambda outcome: STEPS.labels(outcome).inc())


def _otel(count: Callable[[Any, str], object]) -> None:
    counter = traced.METERS.get_meter("payments").create_counter("payments")
    _told(lambda outcome: count(counter, outcome))


def otel_with_its_reason() -> None:
    """Failures have one attribute more, as semantic conventions want it."""
    more: Mapping[str, dict[str, str]] = {"ok": {}, "failed": {"error.type": "HTTPError"}}
    _otel(lambda counter, outcome: counter.add(1, {"outcome": outcome, **more[outcome]}))


def _datadog(tags: Callable[[str], list[str]]) -> None:
    client = DogStatsd(host="127.0.0.1", port=8125, disable_telemetry=True)
    try:
        _told(lambda outcome: client.increment("payments", tags=tags(outcome)))
    finally:
        client.stop()


def datadog_tags() -> None:
    """A tag for the outcome."""
    _datadog(lambda outcome: [f"outcome:{outcome}"])


# -- careless -----------------------------------------------------------------------------------------------


def always_ok() -> None:
    """A finally that does not know how it ended."""
    try:
        _post()
    finally:
        _counted("ok")


def always_failed() -> None:
    """The outcome is never set."""
    _told(_counted, ok="failed")


def never_ok() -> None:
    """Only failures are remembered."""
    try:
        _post()
    except requests.RequestException:
        _counted("failed")
        raise


def never_failed() -> None:
    """An exception skips the line."""
    _post()
    _counted("ok")


def mistyped() -> None:
    """A typo where it goes well."""
    _told(_counted, ok="okk")


def mistyped_failure() -> None:
    """A typo where it goes wrong."""
    _told(_counted, failed="faild")


def status_as_outcome() -> None:
    """The number of the status in place of the outcome."""
    answer = requests.post(URL, json={}, timeout=5)
    _counted("ok" if answer.ok else str(answer.status_code))
    answer.raise_for_status()


def swapped() -> None:
    """One for the other."""
    _told(_counted, ok="failed", failed="ok")


def failure_counted_as_both() -> None:
    """The finally counts again."""
    try:
        _post()
    except requests.RequestException:
        _counted("failed")
        raise
    finally:
        _counted("ok")


def success_counted_as_both() -> None:
    """Failed until it is known better."""
    _counted("failed")
    _post()
    _counted("ok")


def failure_counted_twice() -> None:
    """In the except block and where it is raised to."""
    try:
        in_both_branches()
    except requests.RequestException:
        _counted("failed")
        raise


def counted_under_a_second_name() -> None:
    """By a decorator as well, which calls it something else."""
    _told(_counted)
    _counted("done")


def otel_without_its_label() -> None:
    """A failure that has no attribute."""
    more: Mapping[str, dict[str, str]] = {"ok": {"outcome": "ok"}, "failed": {}}
    _otel(lambda counter, outcome: counter.add(1, more[outcome]))


def otel_with_another_label() -> None:
    """A failure that has one attribute more than is asked for."""
    otel_with_its_reason()


def datadog_plain() -> None:
    """A tag that is no pair."""
    _datadog(lambda outcome: [outcome])


def ended_without_a_count() -> None:
    """It is counted that it began, and then it is forgotten when it goes well."""
    STEPS.labels("begun").inc()
    try:
        _post()
    except requests.RequestException:
        STEPS.labels("failed").inc()
        raise


# -- labels that grow ---------------------------------------------------------------------------------------


class PaymentError(Exception):
    """Some payment failed."""


def _reasoned(reason: Callable[[Exception], str]) -> None:
    try:
        _post()
    except requests.RequestException as error:
        BY_REASON.labels(reason(error)).inc()
        raise
    BY_REASON.labels("").inc()


def text_of_the_client() -> None:
    """What requests says of an error: the URL is in it."""
    _reasoned(str)


def text_of_the_client_and_more() -> None:
    """The same in a sentence, and the failure is handled."""
    try:
        _reasoned(lambda error: f"payment failed: {error}")
    except requests.RequestException:
        return


def text_with_a_random_id() -> None:
    """A text of one's own, with the number of an order."""
    order = random.randrange(10**6)
    _reasoned(lambda _: str(PaymentError(f"order {order} could not be paid")))


_orders = iter(range(1, 10**6))


def text_with_an_amount() -> None:
    """A text of one's own, with an amount that differs from call to call."""
    amount = next(_orders) * 10
    _reasoned(lambda _: str(PaymentError(f"{amount} EUR could not be paid")))


_kept: list[int] = []


def one_more_each_time() -> None:
    """What is kept is counted again in each call, under its number."""
    _kept.append(len(_kept))
    for number in _kept:
        BY_REASON.labels(f"kept {number}").inc()
    _post()


def class_of_the_error() -> None:
    """The name of the exception's class: one of a few."""
    _reasoned(lambda error: type(error).__name__)


_turns = iter(["eu-1", "eu-2", "us-1"] * 100)


def in_turn() -> None:
    """Three gateways, one after the other."""
    gateway = next(_turns)
    _reasoned(lambda _: gateway)
