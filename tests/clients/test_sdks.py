"""What SDKs do on the wire, unmodified, as their sources say."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe
from azure.core import PipelineClient
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.session import Session
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client as TwilioClient  # type: ignore[import-untyped]

from pytest_ralph import faults
from pytest_ralph.core.attempts import attempts
from pytest_ralph.core.fault import Fault
from pytest_ralph.core.timeline import Stuck
from pytest_ralph.world.endings import NeverEnds
from pytest_ralph.world.world import World
from tests.clients.wire import Live, announced, draw, give_ups, named, waits, within

# -- openai and anthropic -----------------------------------------------------------------------------------

OPENAI, ANTHROPIC = "https://api.openai.com", "https://api.anthropic.com"


def ask_openai(**options: Any) -> str:
    import openai

    with openai.OpenAI(api_key="sk-x", base_url=f"{OPENAI}/v1", **options) as client:
        answer = client.chat.completions.create(model="gpt-x", messages=[{"role": "user", "content": "Hi"}])
    return str(answer.choices[0].message.content)


def ask_anthropic(**options: Any) -> str:
    import anthropic

    with anthropic.Anthropic(api_key="sk-x", base_url=ANTHROPIC, **options) as client:
        answer = client.messages.create(
            model="claude-x", max_tokens=64, messages=[{"role": "user", "content": "Hi"}]
        )
    return str(getattr(answer.content[0], "text", None))


ASK: dict[str, Callable[..., str]] = {"openai": ask_openai, "anthropic": ask_anthropic}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def models(what: str) -> pytest.MarkDecorator:
    """Run a test with both SDKs."""
    return pytest.mark.parametrize(
        "name",
        [pytest.param(name, marks=pytest.mark.shows("clients", name, what)) for name in ASK],
    )


def ask(name: str, **options: Any) -> Callable[[], str]:
    """A question, asked when called. The SDK is imported at once: that may take long, in real time."""
    importlib.import_module(name)
    return lambda: ASK[name](**options)


def error(name: str, kind: str) -> type[Exception]:
    found: type[Exception] = getattr(importlib.import_module(name), kind)
    return found


def serve(world: World, fault: Fault, times: int | None = None) -> None:
    """Both services, with a fault."""
    world.upstream(OPENAI).post("/v1/chat/completions", json=COMPLETION)
    world.upstream(ANTHROPIC).post("/v1/messages", json=MESSAGE)
    for upstream in world.network.upstreams:
        upstream.inject(fault, times=times)


@models("two retries, and waits with jitter as long as it logs")
def test_models_are_asked_three_times(world: World, live: Live, caplog: pytest.LogCaptureFixture, name: str):
    caplog.set_level("INFO", name)
    serve(world, faults.Status(503))

    with pytest.raises(error(name, "InternalServerError")):
        live(ask(name))

    # 0.5 s and 1 s, each up to a quarter less.
    assert within(waits(world), [0.375, 0.75], [0.5, 1])
    assert waits(world) == pytest.approx(announced(world, r"Retrying .* in (\S+) seconds"), abs=0.001)


@models("timeouts: 600 s for an answer or as passed, 5 s to connect")
@pytest.mark.parametrize(("options", "expected"), [({}, 600), ({"timeout": 20}, 20)])
def test_models_that_hang_are_given_up(
    world: World, live: Live, name: str, options: dict[str, float], expected: float
):
    serve(world, faults.Hang())

    with pytest.raises(error(name, "APITimeoutError")):
        live(ask(name, **options))

    assert give_ups(world) == [expected] * 3


@models("timeouts: 600 s for an answer or as passed, 5 s to connect")
def test_models_out_of_reach_are_given_up(world: World, live: Live, name: str):
    serve(world, faults.Unreachable())

    with pytest.raises(error(name, "APITimeoutError")):
        live(ask(name))

    assert give_ups(world) == [5] * 3


@models("recovers from refused, reset, cut and hung answers")
@pytest.mark.parametrize(
    "fault", [faults.Refuse(), faults.Reset(), faults.Truncate(), faults.Hang(after_headers=True)], ids=named
)
def test_models_recover_from_broken_connections(world: World, live: Live, name: str, fault: Fault):
    serve(world, fault, times=2)

    assert live(ask(name)) == "Hello"
    assert len(attempts(world.timeline)) == 3


@models("waits for Retry-After")
def test_models_wait_as_long_as_they_are_told(world: World, live: Live, name: str):
    serve(world, faults.Status(429, headers=(("Retry-After", "45"),)), times=1)

    assert live(ask(name)) == "Hello"
    assert waits(world) == pytest.approx([45], abs=0.001)


@models("does not retry mistakes of the caller's")
def test_models_are_not_asked_again_after_a_mistake(world: World, live: Live, name: str):
    serve(world, faults.Status(422))

    with pytest.raises(error(name, "UnprocessableEntityError")):
        live(ask(name))

    assert len(attempts(world.timeline)) == 1


# -- stripe -------------------------------------------------------------------------------------------------

STRIPE = pytest.mark.shows("clients", "stripe", "two retries of its own with jitter and one Idempotency-Key")
STRIPE_TIMEOUT = pytest.mark.shows("clients", "stripe", "gives up a hung answer after 80 s")


def charge(retries: int) -> None:
    client = stripe.StripeClient(
        "sk_test_x", max_network_retries=retries, http_client=stripe.RequestsClient()
    )
    client.v1.charges.create(params={"amount": 100, "currency": "usd", "source": "tok_visa"})


def charge_by_module() -> None:
    stripe.Charge.create(amount=100, currency="usd", source="tok_visa")


@pytest.fixture
def by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of the first tutorials: everything of the module's own."""
    monkeypatch.setattr(stripe, "api_key", "sk_test_x")
    monkeypatch.setattr(stripe, "default_http_client", None)


@STRIPE
def test_stripe_retries_with_its_own_backoff_and_one_idempotency_key(world: World, live: Live):
    api = world.upstream("https://api.stripe.com")
    api.inject(faults.Status(503))

    with pytest.raises(stripe.StripeError):
        live(lambda: charge(3))

    # From 0.5 s, doubled, up to 5 s, and each between half and the whole of it, but never below 0.5 s.
    assert within(waits(world), [0.5, 0.5, 1], [0.5, 1, 2])
    assert len({each.headers["idempotency-key"] for each in api.requests}) == 1


@STRIPE
@pytest.mark.usefixtures("by_module")
@pytest.mark.parametrize("share", [0, 1])
def test_stripe_makes_three_attempts_by_default(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, share: float
):
    draw(monkeypatch, share)
    api = world.upstream("https://api.stripe.com")
    api.inject(faults.Reset())

    with pytest.raises(stripe.APIConnectionError):
        live(charge_by_module)

    assert waits(world) == pytest.approx([0.5, 0.5 + 0.5 * share], abs=0.001)
    assert len({each.headers["idempotency-key"] for each in api.requests}) == 1


@STRIPE_TIMEOUT
def test_stripe_gives_up_a_hung_answer_after_80_seconds(world: World, live: Live):
    world.upstream("https://api.stripe.com").inject(faults.Hang())

    with pytest.raises(stripe.APIConnectionError):
        live(lambda: charge(2))

    assert give_ups(world) == [80, 80, 80]


@STRIPE_TIMEOUT
@pytest.mark.usefixtures("by_module")
def test_stripe_gives_up_a_hung_answer_after_80_seconds_by_default(world: World, live: Live):
    world.upstream("https://api.stripe.com").inject(faults.Hang())

    with pytest.raises(stripe.APIConnectionError):
        live(charge_by_module)

    assert give_ups(world) == [80, 80, 80]


@pytest.mark.shows("clients", "stripe", "no retries of StripeClient unless told")
@pytest.mark.parametrize("fault", [faults.Status(503), faults.Refuse(), faults.Hang()], ids=named)
def test_stripe_clients_do_not_retry_unless_told(world: World, live: Live, fault: Fault):
    world.upstream("https://api.stripe.com").inject(fault)

    with pytest.raises(stripe.StripeError):
        live(lambda: stripe.StripeClient("sk_test_x").v1.charges.list())

    assert len(attempts(world.timeline)) == 1


# -- botocore and boto3 -------------------------------------------------------------------------------------

SQS = "https://sqs.eu-central-1.amazonaws.com"
BOTOCORE = pytest.mark.shows(
    "clients", "botocore", "attempts of the standard mode, and waits as long as it logs"
)
BOTOCORE_TIMEOUT = pytest.mark.shows("clients", "botocore", "gives up after 60 s")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away what the machine may have for AWS."""
    for name in ("AWS_PROFILE", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")


def queue(mode: Any = "standard") -> Any:
    session = Session()
    session.set_credentials("key", "secret")
    return session.create_client(
        "sqs",
        region_name="eu-central-1",
        config=Config(retries={"mode": mode, "total_max_attempts": 3}),
    )


@BOTOCORE
@pytest.mark.parametrize(
    ("status", "most"),
    [
        # rand(0, 1) times 0.05 s, doubled, but times 1 s when throttled.
        (503, [0.05, 0.1]),
        (429, [1, 2]),
    ],
)
def test_botocore_makes_three_attempts(
    world: World, live: Live, caplog: pytest.LogCaptureFixture, status: int, most: list[float]
):
    caplog.set_level("DEBUG", "botocore.endpoint")
    world.upstream(SQS).inject(faults.Status(status))

    with pytest.raises(ClientError):
        live(lambda: queue().list_queues())

    assert within(waits(world), [0, 0], most)
    assert waits(world) == pytest.approx(announced(world, r"sleeping for (\S+) seconds"), abs=0.001)


@BOTOCORE_TIMEOUT
@pytest.mark.parametrize(
    ("fault", "error"),
    [(faults.Hang(), ReadTimeoutError), (faults.Unreachable(), ConnectTimeoutError)],
    ids=named,
)
def test_botocore_gives_up_after_60_seconds(world: World, live: Live, fault: Fault, error: type[Exception]):
    world.upstream(SQS).inject(fault)

    with pytest.raises(error):
        live(lambda: queue().list_queues())

    assert give_ups(world) == [60, 60, 60]


@pytest.mark.shows("clients", "botocore", "waits for x-amz-retry-after")
def test_botocore_waits_as_long_as_it_is_told(world: World, live: Live):
    world.upstream(SQS).inject(faults.Status(503, headers=(("x-amz-retry-after", "3000"),)))

    with pytest.raises(ClientError):
        live(lambda: queue().list_queues())

    assert waits(world) == pytest.approx([3, 3], abs=0.001)


@pytest.mark.shows("clients", "botocore", "the rate limit of the adaptive mode, by `Condition.wait`")
def test_botocore_adapts_its_rate(world: World, live: Live):
    """Throttled before anything could be measured, it sends one request in two seconds, the least it does.

    It sleeps for its backoff, and then waits on a condition until it has a token: two seconds in all.
    """
    world.upstream(SQS).inject(faults.Status(429))

    with pytest.raises(ClientError):
        live(lambda: queue("adaptive").list_queues())

    assert waits(world) == pytest.approx([2, 2], abs=0.001)


@BOTOCORE
def test_botocore_recovers(world: World, live: Live):
    api = world.upstream(SQS)
    api.post("/", json={})
    api.inject(faults.Reset(), times=1)

    assert live(lambda: queue().list_queues())["ResponseMetadata"]["RetryAttempts"] == 1
    assert len(attempts(world.timeline)) == 2


@pytest.mark.shows("clients", "botocore", "takes a cut answer for a whole one")
def test_botocore_takes_a_cut_answer_for_a_whole_one(world: World, live: Live):
    api = world.upstream(SQS)
    api.post("/", json={"QueueUrls": [f"{SQS}/1/orders"]})
    api.inject(faults.Truncate(), times=1)

    answer = live(lambda: queue().list_queues())

    assert "QueueUrls" not in answer
    assert len(attempts(world.timeline)) == 1


@pytest.mark.shows("clients", "boto3", "attempts by default, by service, and waits as long as it logs")
@pytest.mark.parametrize(
    ("service", "operation", "most"),
    [("sqs", "list_queues", [0.05, 0.1]), ("dynamodb", "list_tables", [0.025, 0.05, 0.1])],
)
def test_boto3_makes_as_many_attempts_as_the_service_has(
    world: World,
    live: Live,
    caplog: pytest.LogCaptureFixture,
    service: str,
    operation: str,
    most: list[float],
):
    import boto3  # type: ignore[import-untyped]

    caplog.set_level("DEBUG", "botocore.endpoint")
    world.upstream(f"https://{service}.eu-central-1.amazonaws.com").inject(faults.Status(503))
    session = boto3.Session("key", "secret", region_name="eu-central-1")

    with pytest.raises(ClientError):
        live(lambda: getattr(session.client(service), operation)())

    assert within(waits(world), [0] * len(most), most)
    assert waits(world) == pytest.approx(announced(world, r"sleeping for (\S+) seconds"), abs=0.001)


# -- azure-core ---------------------------------------------------------------------------------------------

VAULT = "https://vault.example"
AZURE = pytest.mark.shows("clients", "azure-core", "retries and waits over RequestsTransport")
AZURE_TIMEOUT = pytest.mark.shows("clients", "azure-core", "gives up after 300 s, and within its own total")


def secret(**options: Any) -> Callable[[], int]:
    def call() -> int:
        policies = [RetryPolicy[Any, Any](**options)]
        client: PipelineClient[Any, Any] = PipelineClient(
            VAULT, policies=policies, transport=RequestsTransport()
        )
        with client:
            found: int = client.send_request(HttpRequest("GET", f"{VAULT}/secrets/1")).status_code
            return found

    return call


@AZURE
@pytest.mark.parametrize(
    ("fault", "error"),
    [(faults.Refuse(), ServiceRequestError), (faults.Reset(), ServiceResponseError)],
    ids=named,
)
def test_azure_makes_four_attempts_to_connect_or_to_read(
    world: World, live: Live, fault: Fault, error: type[Exception]
):
    world.upstream(VAULT).inject(fault)

    with pytest.raises(error):
        live(secret())

    # Nothing before the first retry, then 0.8 s times 2, 4, ...
    assert waits(world) == [0, 1.6, 3.2]


@AZURE
def test_azure_makes_four_attempts_while_the_status_is_bad(world: World, live: Live):
    world.upstream(VAULT).inject(faults.Status(503))

    assert live(secret()) == 503
    assert waits(world) == [0, 1.6, 3.2]


@AZURE
def test_azure_waits_as_long_as_it_is_told(world: World, live: Live):
    world.upstream(VAULT).inject(faults.Status(429, headers=(("Retry-After", "20"),)), times=2).get(
        "/secrets/1"
    )

    assert live(secret()) == 200
    assert waits(world) == [20, 20]


@AZURE
def test_azure_waits_a_fixed_time_if_told_so(world: World, live: Live):
    world.upstream(VAULT).inject(faults.Status(500))

    assert live(secret(retry_mode="fixed", retry_backoff_factor=7, retry_status=4)) == 500
    assert waits(world) == [0, 7, 7, 7]


@AZURE_TIMEOUT
@pytest.mark.parametrize("fault", [faults.Hang(), faults.Unreachable()], ids=named)
def test_azure_gives_up_after_300_seconds(world: World, live: Live, fault: Fault):
    world.upstream(VAULT).inject(fault)

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        live(secret())

    assert give_ups(world) == [300] * 4


@AZURE_TIMEOUT
def test_azure_stops_at_its_total(world: World, live: Live):
    """The time that is left limits connecting; it is measured by `time.time`."""
    world.upstream(VAULT).inject(faults.Unreachable())

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        live(secret(timeout=400))

    assert give_ups(world) == [300, 100]


# -- twilio -------------------------------------------------------------------------------------------------

TWILIO = "https://api.twilio.com"


def send_text(http_client: TwilioHttpClient | None = None) -> Callable[[], str | None]:
    def call() -> str | None:
        client = TwilioClient("AC1", "token", http_client=http_client)
        sent: str | None = client.messages.create(to="+15550001", from_="+15550002", body="Hello").sid
        return sent

    return call


@pytest.mark.shows("clients", "twilio", "no retry")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Status(503), TwilioRestException),
        (faults.Refuse(), requests.ConnectionError),
        (faults.Truncate(), requests.exceptions.ChunkedEncodingError),
    ],
    ids=named,
)
def test_twilio_does_not_retry(world: World, live: Live, fault: Fault, error: type[Exception]):
    api = world.upstream(TWILIO)
    api.post("/2010-04-01/Accounts/AC1/Messages.json", json={"sid": "SM1"}, status=201)
    api.inject(fault, times=1)

    with pytest.raises(error):
        live(send_text())

    assert len(attempts(world.timeline)) == 1
    assert live(send_text()) == "SM1"


@pytest.mark.shows("clients", "twilio", "no timeout: the endless wait is ended, and named")
def test_twilio_waits_for_ever(world: World, live: Live):
    world.upstream(TWILIO).inject(faults.Hang())

    with pytest.raises(NeverEnds):
        live(send_text())

    (stuck,) = world.timeline.of(Stuck)
    assert stuck.phase == "read"
    assert stuck.location is not None
    assert stuck.location.function == "call"
    assert len(attempts(world.timeline)) == 1


@pytest.mark.shows("clients", "twilio", "gives up after the timeout that is set")
def test_twilio_gives_up_if_told_to(world: World, live: Live):
    world.upstream(TWILIO).inject(faults.Hang())

    with pytest.raises(requests.Timeout):
        live(send_text(TwilioHttpClient(timeout=12)))

    assert give_ups(world) == [12]
