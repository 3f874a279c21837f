"""What clients that retry by themselves do on the wire, unmodified, as their sources say."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
import redis
import requests
import tenacity
import urllib3

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import Waited
from pytest_ralph.world.world import World
from tests.clients.wire import Live, draw, give_ups, named, waits

# -- urllib3 ------------------------------------------------------------------------------------------------

URLLIB3 = pytest.mark.shows("clients", "urllib3", "retries and waits of `Retry`, by `time.sleep`")
RETRY_AFTER = pytest.mark.shows("clients", "urllib3", "waits for Retry-After, in seconds and as a date")


@URLLIB3
def test_urllib3_waits_nothing_before_its_first_retry(world: World, live: Live):
    world.upstream("https://api.example").inject(faults.Status(503))
    policy = urllib3.Retry(total=3, backoff_factor=1, status_forcelist=[503], allowed_methods=None)

    def call() -> None:
        with urllib3.PoolManager(retries=policy) as pool:
            pool.request("POST", "https://api.example/")

    with pytest.raises(urllib3.exceptions.MaxRetryError):
        live(call)
    assert waits(world) == [0, 2, 4]


@URLLIB3
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_urllib3_adds_its_jitter_up_to_its_limit(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    draw(monkeypatch, share)
    world.upstream("http://api.example").inject(faults.Reset())
    policy = urllib3.Retry(total=5, backoff_factor=1, backoff_jitter=2, backoff_max=9)

    def call() -> None:
        with urllib3.PoolManager(retries=policy) as pool:
            pool.request("GET", "http://api.example/")

    with pytest.raises(urllib3.exceptions.MaxRetryError):
        live(call)
    assert waits(world) == [0, 2 + 2 * share, 4 + 2 * share, min(8 + 2 * share, 9), 9]


@URLLIB3
@pytest.mark.parametrize(
    ("fault", "expected"), [(faults.Hang(), [3] * 11), (faults.Unreachable(), [2] * 11)], ids=named
)
def test_urllib3_retries_timeouts_ten_times_by_default(
    world: World, live: Live, fault: Fault, expected: list[float]
):
    """A bare `Retry()`, and a number as well, waits nothing at all."""
    world.upstream("http://api.example").inject(fault)

    def call() -> None:
        with urllib3.PoolManager(retries=urllib3.Retry(), timeout=urllib3.Timeout(connect=2, read=3)) as pool:
            pool.request("GET", "http://api.example/")

    with pytest.raises(urllib3.exceptions.MaxRetryError):
        live(call)
    assert give_ups(world) == expected
    assert waits(world) == [0] * 10


@RETRY_AFTER
def test_urllib3_waits_for_retry_after_in_seconds(world: World, live: Live):
    """Even without a list of statuses: 413, 429 and 503 with Retry-After are retried."""
    world.upstream("http://api.example").inject(faults.Status(429, headers=(("Retry-After", "7"),)))

    def call() -> int:
        with urllib3.PoolManager(retries=urllib3.Retry(total=2)) as pool:
            return pool.request("GET", "http://api.example/").status

    assert live(call) == 429
    assert waits(world) == [7, 7]


@RETRY_AFTER
def test_urllib3_waits_for_retry_after_as_a_date(world: World, live: Live):
    """RFC 9110, 10.2.3: Retry-After may be an HTTP date, which has whole seconds."""
    api = world.upstream("http://api.example")

    def busy(_: Any) -> tuple[int, dict[str, str], str]:
        moment = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
        return 503, {"Retry-After": moment}, ""

    api.add_callback("GET", "/", busy)

    def call() -> int:
        with urllib3.PoolManager(retries=urllib3.Retry(total=1)) as pool:
            return pool.request("GET", "http://api.example/").status

    assert live(call) == 503
    assert waits(world) == pytest.approx([30], abs=0.01)


# -- requests -----------------------------------------------------------------------------------------------

REQUESTS = pytest.mark.shows("clients", "requests", "retries of an HTTPAdapter with `Retry`")


@REQUESTS
def test_requests_does_not_retry_posts_by_default(world: World, live: Live):
    world.upstream("http://api.example").inject(faults.Status(503))

    def call() -> int:
        with requests.Session() as session:
            adapter = requests.adapters.HTTPAdapter(
                max_retries=urllib3.Retry(total=3, status_forcelist=[503])
            )
            session.mount("http://", adapter)
            return session.post("http://api.example/", timeout=1).status_code

    assert live(call) == 503
    assert len(attempts(world.timeline)) == 1


def mounted(policy: urllib3.Retry | int | None) -> Any:
    """A GET by a session with this policy."""

    def call() -> int:
        with requests.Session() as session:
            if policy is not None:
                session.mount("http://", requests.adapters.HTTPAdapter(max_retries=policy))
            return session.get("http://api.example/", timeout=10).status_code

    return call


@REQUESTS
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Status(503), requests.exceptions.RetryError),
        (faults.Refuse(), requests.exceptions.ConnectionError),
        (faults.Reset(), requests.exceptions.ConnectionError),
        (faults.Unreachable(), requests.exceptions.ConnectTimeout),
        (faults.Hang(), requests.exceptions.ConnectionError),
    ],
    ids=named,
)
def test_requests_retries_by_its_adapter(world: World, live: Live, fault: Fault, error: type[Exception]):
    world.upstream("http://api.example").inject(fault)

    with pytest.raises(error):
        live(mounted(urllib3.Retry(total=3, backoff_factor=0.5, status_forcelist=[503])))

    assert waits(world) == [0, 1, 2]


@REQUESTS
def test_requests_retries_a_cut_answer_as_little_as_a_whole_one(world: World, live: Live):
    """The body is read when the retries of urllib3 are over, and the error is no ConnectionError."""
    world.upstream("http://api.example").inject(faults.Truncate()).get("/", body="four")

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        live(mounted(urllib3.Retry(total=5)))

    assert len(attempts(world.timeline)) == 1


@REQUESTS
@pytest.mark.parametrize("fault", [faults.Refuse(), faults.Reset(), faults.Hang()], ids=named)
def test_requests_does_not_retry_unless_told(world: World, live: Live, fault: Fault):
    world.upstream("http://api.example").inject(fault)

    with pytest.raises(requests.exceptions.RequestException):
        live(mounted(None))

    assert len(attempts(world.timeline)) == 1


@REQUESTS
@pytest.mark.parametrize("fault", [faults.Refuse(), faults.Reset(), faults.Hang()], ids=named)
def test_requests_sends_again_if_told_a_number(world: World, live: Live, fault: Fault):
    """Its documentation says "never to requests where data has made it to the server"; urllib3 does it."""
    world.upstream("http://api.example").inject(fault)

    with pytest.raises(requests.ConnectionError):
        live(mounted(3))

    assert waits(world) == [0, 0, 0]


# -- tenacity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (tenacity.wait_fixed(3), [3, 3, 3]),
        (tenacity.wait_exponential(multiplier=1), [1, 2, 4]),
        (tenacity.wait_incrementing(1, 5), [1, 6, 11]),
    ],
)
@pytest.mark.parametrize(
    "sleep",
    [
        pytest.param(
            None, marks=pytest.mark.shows("libraries", "tenacity", "retries and waits, by `time.sleep`")
        ),
        pytest.param("event", marks=pytest.mark.shows("libraries", "tenacity", "waits by `Event.wait`")),
    ],
)
def test_tenacity_waits_as_it_is_told(
    world: World, live: Live, policy: Any, expected: list[float], sleep: str | None
):
    world.upstream("https://api.example").inject(faults.Refuse())
    how: Any = {} if sleep is None else {"sleep": tenacity.sleep_using_event(threading.Event())}

    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(4), wait=policy, reraise=True, **how)

    with pytest.raises(httpx.ConnectError):
        live(lambda: retrying(httpx.get, "https://api.example/"))
    assert waits(world) == expected


@pytest.mark.shows("libraries", "tenacity", "waits with jitter")
@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_tenacity_waits_with_full_jitter(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    draw(monkeypatch, share)
    world.upstream("http://api.example").inject(faults.Refuse())
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential(max=6), reraise=True
    )

    with pytest.raises(httpx.ConnectError):
        live(lambda: retrying(httpx.get, "http://api.example/"))
    assert waits(world) == [share * 1, share * 2, share * 4, share * 6]


@pytest.mark.shows("libraries", "tenacity", "its time limit, by `time.monotonic`")
def test_tenacity_stops_after_a_delay_on_the_virtual_clock(world: World, live: Live):
    world.upstream("http://api.example").inject(faults.Hang())

    @tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(5), reraise=True)
    def call() -> None:
        httpx.get("http://api.example/", timeout=10)

    with pytest.raises(httpx.ReadTimeout):
        live(call)
    assert give_ups(world) == [10, 10, 10, 10, 10]


# -- redis --------------------------------------------------------------------------------------------------

REDIS = pytest.mark.shows("clients", "redis", "connects again, by a `sleep` bound at import")


def look_up(**options: Any) -> Any:
    def call() -> Any:
        with redis.Redis(host="cache.example", **options) as cache:
            return cache.get("key")

    return call


@REDIS
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_redis_connects_eleven_times(world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float):
    """random() * 0.01 * 2 ** failures, at most 1 s."""
    draw(monkeypatch, share)
    world.upstream("http://cache.example:6379").inject(faults.Refuse())

    with pytest.raises(redis.ConnectionError, match="Connection refused"):
        live(look_up())

    assert waits(world) == pytest.approx([min(1, share * 0.01 * 2**n) for n in range(1, 11)], abs=0.001)


@REDIS
def test_redis_waits_as_its_policy_says(world: World, live: Live):
    world.upstream("http://cache.example:6379").inject(faults.Refuse())
    policy = redis.retry.Retry(redis.backoff.ExponentialBackoff(base=1, cap=10), retries=4)

    with pytest.raises(redis.ConnectionError):
        live(look_up(retry=policy))

    assert waits(world) == [2, 4, 8, 10]


@pytest.mark.shows("clients", "redis", "gives up connecting and reading after 5 s, or as passed")
@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        (faults.Unreachable(), {}, 5),
        (faults.Unreachable(), {"socket_connect_timeout": 2}, 2),
        (faults.Hang(), {}, 5),
        (faults.Hang(), {"socket_timeout": 8}, 8),
    ],
    ids=named,
)
def test_redis_gives_up_each_attempt(
    world: World, live: Live, fault: Fault, options: dict[str, Any], expected: float
):
    world.upstream("http://cache.example:6379").inject(fault)
    policy = redis.retry.Retry(redis.backoff.ConstantBackoff(3), retries=2)

    with pytest.raises(redis.TimeoutError):
        live(look_up(retry=policy, **options))

    assert give_ups(world) == [expected] * 3
    assert [event.until - event.at for event in world.timeline.of(Waited)] == pytest.approx([3, 3], abs=0.001)
