"""What retry libraries do on the wire, unmodified, as their sources say."""

from __future__ import annotations

import datetime as dt
import functools
from email.utils import format_datetime
from typing import Any

import backoff
import httpx
import httpx_retries
import opnieuw
import pytest
import requests
import stamina
import tenacity
import urllib3
from google.api_core import exceptions as google
from google.api_core.retry import Retry as GoogleRetry

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts
from pytest_ralph.world.world import World
from tests.clients.wire import Live, announced, draw, give_ups, waits, within

URL = "http://api.example"


def get(timeout: float = 10) -> requests.Response:
    """One attempt, which raises for what is worth another."""
    answer = requests.get(f"{URL}/", timeout=timeout)
    answer.raise_for_status()
    return answer


def fails(live: Live, call: Any, error: type[BaseException]) -> None:
    with pytest.raises(error):
        live(call)


# -- stamina ------------------------------------------------------------------------------------------------

STAMINA = pytest.mark.shows("libraries", "stamina", "attempts, waits with jitter, and its time limit")


@STAMINA
@pytest.mark.parametrize("share", [0, 1])
def test_stamina_waits_as_its_documentation_says(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    """min(5, 0.1 * 2 ** (attempt - 1) + random(0, 1)), and at most 10 attempts."""
    draw(monkeypatch, share)
    world.upstream(URL).inject(faults.Status(503))

    fails(live, stamina.retry(on=requests.HTTPError)(get), requests.HTTPError)

    assert waits(world) == pytest.approx([min(5, 0.1 * 2**n + share) for n in range(9)], abs=0.001)


@STAMINA
def test_stamina_draws_its_jitter(world: World, live: Live):
    world.upstream(URL).inject(faults.Status(503))

    fails(live, stamina.retry(on=requests.HTTPError, attempts=4)(get), requests.HTTPError)

    assert within(waits(world), [0.1, 0.2, 0.4], [1.1, 1.2, 1.4])


@STAMINA
def test_stamina_stops_after_45_seconds_of_hung_answers(world: World, live: Live):
    world.upstream(URL).inject(faults.Hang())

    fails(live, stamina.retry(on=requests.Timeout)(get), requests.Timeout)

    # It looks at the clock after each attempt: with the waits, 40.7 s to 43.7 s after the fourth.
    assert give_ups(world) == [10, 10, 10, 10, 10]


# -- backoff ------------------------------------------------------------------------------------------------

BACKOFF = pytest.mark.shows("libraries", "backoff", "tries, full jitter, and `max_time` on the wall clock")


@BACKOFF
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_backoff_waits_with_full_jitter(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    draw(monkeypatch, share)
    world.upstream(URL).inject(faults.Status(503))

    fails(live, backoff.on_exception(backoff.expo, requests.HTTPError, max_tries=5)(get), requests.HTTPError)

    assert waits(world) == pytest.approx([share * 2**n for n in range(4)], abs=0.001)


@BACKOFF
def test_backoff_waits_as_long_as_it_says(world: World, live: Live):
    world.upstream(URL).inject(faults.Refuse())
    chosen: list[float] = []
    decorate = backoff.on_exception(
        backoff.expo,
        requests.ConnectionError,
        max_tries=6,
        on_backoff=lambda details: chosen.append(details["wait"]),
    )

    fails(live, decorate(get), requests.ConnectionError)

    assert waits(world) == pytest.approx(chosen, abs=0.001)
    assert within(chosen, [0] * 5, [1, 2, 4, 8, 16])


@BACKOFF
def test_backoff_stops_at_its_time_limit(world: World, live: Live):
    """It looks at `datetime.now` before each try, and waits no longer than up to the limit."""
    world.upstream(URL).inject(faults.Hang())
    decorate = backoff.on_exception(backoff.constant, requests.Timeout, interval=4, jitter=None, max_time=30)

    fails(live, decorate(get), requests.Timeout)

    # Tries begin after 0 s, 14 s, 28 s and 40 s; the third wait is cut to what was left of 30 s.
    assert give_ups(world) == [10, 10, 10, 10]
    assert waits(world) == pytest.approx([4, 4, 2], abs=0.001)


@BACKOFF
def test_backoff_on_a_predicate(world: World, live: Live):
    world.upstream(URL).inject(faults.Status(503), times=2).get("/", body="fine")

    def is_bad(answer: requests.Response) -> bool:
        return answer.status_code == 503

    poll = backoff.on_predicate(backoff.fibo, is_bad, jitter=None)(lambda: requests.get(f"{URL}/", timeout=1))

    assert live(poll).text == "fine"
    assert waits(world) == [1, 1]


# -- httpx-retries ------------------------------------------------------------------------------------------

HTTPX_RETRIES = pytest.mark.shows("libraries", "httpx-retries", "retries, full jitter and Retry-After")


def by_httpx(retry: httpx_retries.Retry, method: str = "GET") -> Any:
    def call() -> int:
        with httpx.Client(transport=httpx_retries.RetryTransport(retry=retry), timeout=10) as client:
            return client.request(method, f"{URL}/").status_code

    return call


@HTTPX_RETRIES
@pytest.mark.parametrize("share", [0, 1])
def test_httpx_retries_waits_with_full_jitter(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    draw(monkeypatch, share)
    world.upstream(URL).inject(faults.Status(503))

    assert live(by_httpx(httpx_retries.Retry(total=4, backoff_factor=0.5))) == 503

    # factor * 2 ** retries made, which begins with 2 ** 1
    assert waits(world) == pytest.approx([share * 2**n for n in range(4)], abs=0.001)


@HTTPX_RETRIES
def test_httpx_retries_draws_its_jitter(world: World, live: Live):
    world.upstream(URL).inject(faults.Reset())

    fails(
        live, by_httpx(httpx_retries.Retry(total=3, backoff_factor=0.5, backoff_jitter=0.1)), httpx.ReadError
    )

    assert within(waits(world), [0.9, 1.8, 3.6], [1, 2, 4])


@HTTPX_RETRIES
def test_httpx_retries_hammers_ten_times_by_default(world: World, live: Live):
    world.upstream(URL).inject(faults.Hang())

    fails(live, by_httpx(httpx_retries.Retry()), httpx.ReadTimeout)

    assert give_ups(world) == [10] * 11
    assert waits(world) == [0] * 10


@HTTPX_RETRIES
def test_httpx_retries_does_not_retry_posts_by_default(world: World, live: Live):
    world.upstream(URL).inject(faults.Status(503))

    assert live(by_httpx(httpx_retries.Retry(), "POST")) == 503
    assert len(attempts(world.timeline)) == 1


@HTTPX_RETRIES
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_httpx_retries_waits_as_long_as_it_is_told(world: World, live: Live, form: str):
    """The date form is compared with `datetime.now(timezone.utc)`."""
    api = world.upstream(URL)

    def busy(_: Any) -> tuple[int, dict[str, str], str]:
        moment = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=90)
        return 503, {"Retry-After": "90" if form == "seconds" else format_datetime(moment, usegmt=True)}, ""

    api.add_callback("GET", "/", busy)

    assert live(by_httpx(httpx_retries.Retry(total=1))) == 503
    assert waits(world) == pytest.approx([90], abs=0.01)


# -- opnieuw ------------------------------------------------------------------------------------------------

OPNIEUW = pytest.mark.shows("libraries", "opnieuw", "calls, full jitter, and its window")


@OPNIEUW
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_opnieuw_waits_with_full_jitter(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    """Three calls spread over 60 s: up to 20 s, then up to 40 s."""
    draw(monkeypatch, share)
    world.upstream(URL).inject(faults.Status(503))

    fails(live, opnieuw.retry(retry_on_exceptions=requests.HTTPError)(get), requests.HTTPError)

    assert waits(world) == pytest.approx([share * 20, share * 40], abs=0.001)


@OPNIEUW
def test_opnieuw_stops_when_its_window_is_over(world: World, live: Live, monkeypatch: pytest.MonkeyPatch):
    draw(monkeypatch, 0.5)
    world.upstream(URL).inject(faults.Hang())
    slow = functools.partial(get, timeout=25)

    fails(live, opnieuw.retry(retry_on_exceptions=requests.Timeout)(slow), requests.Timeout)

    # 25 s, 10 s and 25 s are all of the 60 s.
    assert give_ups(world) == [25, 25]
    assert waits(world) == pytest.approx([10], abs=0.001)


# -- google-api-core ----------------------------------------------------------------------------------------

GOOGLE = pytest.mark.shows(
    "libraries", "google-api-core", "retries over requests, full jitter, and its time limit"
)


def google_get() -> requests.Response:
    answer = requests.get(f"{URL}/", timeout=10)
    if answer.status_code >= 400:
        raise google.from_http_response(answer)
    return answer


@GOOGLE
@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, [0.5, 1, 2, 4, 8, 16, 30, 30]), (1, [1, 2, 4, 8, 16, 32])]
)
def test_google_waits_with_full_jitter_for_two_minutes_at_most(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float, expected: list[float]
):
    """Up to 1 s, doubled, up to 60 s; a wait that would end after 120 s is not begun."""
    draw(monkeypatch, share)
    world.upstream(URL).inject(faults.Status(503))

    fails(live, GoogleRetry()(google_get), google.RetryError)

    assert waits(world) == pytest.approx(expected, abs=0.001)


@GOOGLE
def test_google_draws_its_jitter(world: World, live: Live, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "google.api_core.retry")
    world.upstream(URL).inject(faults.Refuse(), times=4).get("/", body="fine")

    assert live(lambda: GoogleRetry(initial=10)(google_get)()).text == "fine"

    assert within(waits(world), [0] * 4, [10, 20, 40, 60])
    assert waits(world) == pytest.approx(announced(world, r"sleeping (\S+)s"), abs=0.051)


@GOOGLE
@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        (faults.Hang(), requests.ReadTimeout, 1),
        (faults.Status(404), google.NotFound, 1),
        (faults.Status(504), google.GatewayTimeout, 1),
    ],
)
def test_google_retries_transient_errors_only(
    world: World, live: Live, fault: Any, error: type[Exception], tries: int
):
    world.upstream(URL).inject(fault)

    fails(live, GoogleRetry()(google_get), error)

    assert len(attempts(world.timeline)) == tries


# -- stacked ------------------------------------------------------------------------------------------------


@pytest.mark.shows("libraries", "tenacity", "stacked on the retries of urllib3, every request counted")
def test_stacked_retries_multiply(world: World, live: Live):
    api = world.upstream(URL)
    api.inject(faults.Status(503))
    policy = urllib3.Retry(total=3, backoff_factor=1, status_forcelist=[503])

    @tenacity.retry(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_fixed(10), reraise=True)
    def call() -> None:
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=policy))
            session.get(f"{URL}/", timeout=1)

    fails(live, call, requests.exceptions.RetryError)

    assert len(api.requests) == 16
    assert waits(world) == [0, 2, 4, 10] * 3 + [0, 2, 4]
