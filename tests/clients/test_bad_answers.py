"""What people build on real clients to read answers, judged when those are garbage."""

from __future__ import annotations

import pytest

from tests.harness import Project

HEAD = """
import asyncio
import json
import aiohttp
import httpx
import pydantic
import requests

URL = "http://bank.example/v1/accounts"

class BankError(Exception):
    pass
"""

CATCH_ALL = """
def call():
    try:
        return requests.get(URL, timeout=10).json()["id"]
    except Exception as error:
        raise BankError from error
"""

CONTENT_TYPE = """
def call():
    try:
        answer = requests.get(URL, timeout=10)
    except requests.RequestException as error:
        raise BankError from error
    if answer.headers["Content-Type"] != "application/json" or len(answer.content) > 10_000:
        raise BankError("no JSON")
    return pydantic.TypeAdapter(dict[str, int | str]).validate_python(answer.json())
"""

MODEL_ONLY = """
class Account(pydantic.BaseModel):
    id: str
    cents: int

def call():
    answer = httpx.get(URL, timeout=10)
    answer.raise_for_status()
    try:
        return Account(**answer.json())
    except (ValueError, TypeError) as error:
        raise BankError from error
"""

AIOHTTP = """
async def ask():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        async with session.get(URL) as answer:
            body = b""
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > 100_000:
                    raise BankError("too much")
    found = json.loads(body)
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise BankError("no account")
    return found

def call():
    try:
        return asyncio.run(ask())
    except {caught} as error:
        raise BankError from error
"""


@pytest.mark.parametrize(
    ("client", "not_passed"),
    [
        (CATCH_ALL, {"rejects-malformed": "not_exercised", "accepts-garbage": "fail"}),
        (
            CONTENT_TYPE,
            {"rejects-malformed": "not_exercised", "raw-exception": "fail", "accepts-garbage": "fail"},
        ),
        # Reads all there is, and lets out what httpx raises meanwhile.
        (
            MODEL_ONLY,
            {"rejects-malformed": "not_exercised", "raw-exception": "fail", "accepts-garbage": "fail"},
        ),
        (AIOHTTP.format(caught="(aiohttp.ClientError, asyncio.TimeoutError, ValueError)"), {}),
        # Neither is a timeout a ClientError, nor what json raises.
        (AIOHTTP.format(caught="aiohttp.ClientError"), {"raw-exception": "fail"}),
    ],
)
def test_ways_to_read_an_answer(project: Project, client: str, not_passed: dict[str, str]):
    project.write(client=HEAD + client)
    project.write(
        test_it="""
        import client

        @pytest.fixture
        def service(ralph_upstream):
            ralph_upstream("http://bank.example").get("/v1/accounts", json={"id": "acc_7", "cents": 1250})

        @ralph.bad_data(raises=client.BankError)
        def test_call(service):
            client.call()
        """
    )

    outcome = project.run("--ralph")

    expected = {f"bad-data.{name}": status for name, status in not_passed.items()}
    assert expected == outcome.not_passed(), outcome.output
