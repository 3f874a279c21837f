"""Payment clients that leave spans of OpenTelemetry, and some that do it carelessly."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import requests
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

URL = "http://api.pay.example/v1/charges"
METERS = MeterProvider(shutdown_on_exit=False)
TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("payments")
UNSAMPLED = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("payments")
ATTRIBUTES: dict[str, Any] = {"payment.amount": 100, "payment.currency": "usd"}


def _post() -> None:
    requests.post(URL, json={}, timeout=5).raise_for_status()


def right() -> None:
    """The exception passes through the span."""
    with TRACER.start_as_current_span("charge", attributes=ATTRIBUTES):
        _post()


def handled() -> None:
    """The exception is handled inside, and the span shows it."""
    with TRACER.start_as_current_span("charge", attributes=ATTRIBUTES) as span:
        try:
            _post()
        except requests.RequestException as error:
            span.record_exception(error)
            span.set_status(StatusCode.ERROR)


def made_in_the_call() -> None:
    """A provider that is made in the call."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("payments")
    with tracer.start_as_current_span("charge", attributes=ATTRIBUTES):
        _post()


def never_ended() -> None:
    """An exception skips the end."""
    span = TRACER.start_span("charge", attributes=ATTRIBUTES)
    try:
        _post()
    except requests.RequestException:
        span.set_status(StatusCode.ERROR)
        raise
    span.end()


def unsampled() -> None:
    """A sampler that takes nothing."""
    with UNSAMPLED.start_as_current_span("charge", attributes=ATTRIBUTES):
        _post()


def another_name() -> None:
    """A name that nobody looks for."""
    with TRACER.start_as_current_span("POST /charge", attributes=ATTRIBUTES):
        _post()


def attributes_too_late() -> None:
    """An exception skips the attributes."""
    with TRACER.start_as_current_span("charge") as span:
        _post()
        span.set_attributes(ATTRIBUTES)


def swallowed() -> None:
    """A failure that the trace does not show."""
    with TRACER.start_as_current_span("charge", attributes=ATTRIBUTES), suppress(requests.RequestException):
        _post()


def always_an_error() -> None:
    """A status that says nothing."""
    with TRACER.start_as_current_span("charge", attributes=ATTRIBUTES) as span:
        span.set_status(StatusCode.ERROR)
        _post()


def _told(*, ok: str = "ok", failed: str = "failed") -> None:
    with TRACER.start_as_current_span("charge") as span:
        try:
            _post()
        except requests.RequestException:
            span.set_attribute("outcome", failed)
            raise
        span.set_attribute("outcome", ok)


def outcome_told() -> None:
    """The outcome is an attribute."""
    _told()


def outcome_always_ok() -> None:
    """The same one, however it ends."""
    _told(failed="ok")


def outcome_mistyped() -> None:
    """A typo where it goes well."""
    _told(ok="OK")
