"""What real retry libraries and SDKs do, unmodified, as their sources say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
import stripe
import tenacity
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.session import Session

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts, operations
from pytest_ralph.core.fault import Fault
from pytest_ralph.world.world import World

Live = Callable[[Callable[[], Any]], Any]


def waits(world: World) -> list[float]:
    """The gaps between the attempts of the only operation."""
    (operation,) = operations(world.timeline)
    return [round(gap, 3) for gap in operation.gaps]


def give_ups(world: World) -> list[float]:
    return [round((each.ended or 0) - each.started, 2) for each in attempts(world.timeline)]


def test_urllib3_waits_nothing_before_its_first_retry(world: World, live: Live):
    world.upstream("https://api.example").inject(faults.Status(503))
    policy = urllib3.Retry(total=3, backoff_factor=1, status_forcelist=[503], allowed_methods=None)

    def call() -> None:
        with urllib3.PoolManager(retries=policy) as pool:
            pool.request("POST", "https://api.example/")

    with pytest.raises(urllib3.exceptions.MaxRetryError):
        live(call)
    assert waits(world) == [0, 2, 4]


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


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (tenacity.wait_fixed(3), [3, 3, 3]),
        (tenacity.wait_exponential(multiplier=1), [1, 2, 4]),
        (tenacity.wait_incrementing(1, 5), [1, 6, 11]),
    ],
)
@pytest.mark.parametrize("sleep", [None, "event"])
def test_tenacity_waits_as_it_is_told(
    world: World, live: Live, policy: Any, expected: list[float], sleep: str | None
):
    import threading

    world.upstream("https://api.example").inject(faults.Refuse())
    how: Any = {} if sleep is None else {"sleep": tenacity.sleep_using_event(threading.Event())}

    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(4), wait=policy, reraise=True, **how)

    with pytest.raises(httpx.ConnectError):
        live(lambda: retrying(httpx.get, "https://api.example/"))
    assert waits(world) == expected


def test_tenacity_stops_after_a_delay_on_the_virtual_clock(world: World, live: Live):
    world.upstream("http://api.example").inject(faults.Hang())

    @tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(5), reraise=True)
    def call() -> None:
        httpx.get("http://api.example/", timeout=10)

    with pytest.raises(httpx.ReadTimeout):
        live(call)
    assert give_ups(world) == [10, 10, 10, 10, 10]


def charge(retries: int) -> None:
    client = stripe.StripeClient(
        "sk_test_x", max_network_retries=retries, http_client=stripe.RequestsClient()
    )
    client.v1.charges.create(params={"amount": 100, "currency": "usd", "source": "tok_visa"})


def test_stripe_retries_with_its_own_backoff_and_one_idempotency_key(world: World, live: Live):
    api = world.upstream("https://api.stripe.com")
    api.inject(faults.Status(503))

    with pytest.raises(stripe.StripeError):
        live(lambda: charge(3))

    first, second, third = waits(world)
    # From 0.5 s, doubled, up to 5 s, and each between half and the whole of it.
    assert 0.5 <= first <= 1
    assert 0.5 <= second <= 1
    assert 1 <= third <= 2
    assert len({each.headers["idempotency-key"] for each in api.requests}) == 1


def test_stripe_gives_up_a_hung_answer_after_80_seconds(world: World, live: Live):
    world.upstream("https://api.stripe.com").inject(faults.Hang())

    with pytest.raises(stripe.APIConnectionError):
        live(lambda: charge(2))

    assert give_ups(world) == [80, 80, 80]


def test_stripe_clients_do_not_retry_unless_told(world: World, live: Live):
    world.upstream("https://api.stripe.com").inject(faults.Status(503))

    with pytest.raises(stripe.StripeError):
        live(lambda: stripe.StripeClient("sk_test_x").v1.charges.list())

    assert len(attempts(world.timeline)) == 1


def queue() -> Any:
    session = Session()
    session.set_credentials("key", "secret")
    return session.create_client(
        "sqs",
        region_name="eu-central-1",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )


@pytest.mark.parametrize(
    ("fault", "error"),
    [(faults.Status(503), ClientError), (faults.Hang(), ReadTimeoutError)],
)
def test_botocore_makes_three_attempts(world: World, live: Live, fault: Fault, error: type[Exception]):
    world.upstream("https://sqs.eu-central-1.amazonaws.com").inject(fault)

    with pytest.raises(error):
        live(lambda: queue().list_queues())

    assert len(attempts(world.timeline)) == 3
    # Full jitter: anything up to 1 s, then up to 2 s.
    first, second = waits(world)
    assert 0 <= first <= 1
    assert 0 <= second <= 2
    if isinstance(fault, faults.Hang):
        assert give_ups(world) == [60, 60, 60]


def test_botocore_recovers(world: World, live: Live):
    api = world.upstream("https://sqs.eu-central-1.amazonaws.com")
    api.post("/", json={})
    api.inject(faults.Reset(), times=1)

    assert live(lambda: queue().list_queues())["ResponseMetadata"]["RetryAttempts"] == 1
    assert len(attempts(world.timeline)) == 2


def test_botocore_takes_a_cut_answer_for_a_whole_one(world: World, live: Live):
    api = world.upstream("https://sqs.eu-central-1.amazonaws.com")
    api.post("/", json={"QueueUrls": ["https://sqs.eu-central-1.amazonaws.com/1/orders"]})
    api.inject(faults.Truncate(), times=1)

    answer = live(lambda: queue().list_queues())

    assert "QueueUrls" not in answer
    assert len(attempts(world.timeline)) == 1
