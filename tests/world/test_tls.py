"""Certificates: declared hosts are trusted, others are not, and bundles load as they should."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_ralph.world.tls import Bundles
from pytest_ralph.world.world import World

Live = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "bundle.pem"
    path.write_bytes(trustme.CA().cert_pem.bytes())
    return str(path)


def authorities(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def fresh() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def test_a_bundle_is_read_once_and_again_where_it_matters(bundle: str):
    bundles, first, second = Bundles(), fresh(), fresh()

    bundles.load(first, bundle)
    bundles.load(second, bundle)

    assert (authorities(first), authorities(second)) == (1, 0)
    bundles.catch_up(second)
    assert authorities(second) == 1


def test_a_bundle_that_has_changed_is_read_anew(bundle: str):
    bundles, context = Bundles(), fresh()
    bundles.load(fresh(), bundle)

    Path(bundle).write_bytes(b"".join(trustme.CA().cert_pem.bytes() for _ in range(2)))
    bundles.load(context, bundle)

    assert authorities(context) == 2


def test_a_missing_or_broken_bundle_fails_as_always(bundle: str):
    bundles = Bundles()
    bundles.load(fresh(), bundle)
    Path(bundle).unlink()
    with pytest.raises(FileNotFoundError):
        bundles.load(fresh(), bundle)
    Path(bundle).write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        bundles.load(fresh(), bundle)


def test_the_code_under_test_sees_its_bundles(live: Live, world: World, bundle: str):
    world.upstream("https://api.pay.example").get("/", body="fine")

    def call() -> list[int]:
        contexts = [fresh(), fresh()]
        for context in contexts:
            context.load_verify_locations(bundle)
        return [len(context.get_ca_certs()) for context in contexts]

    assert live(call) == [1, 1]


def test_contexts_that_outlive_the_world_have_their_bundles(live: Live, world: World, bundle: str):
    contexts = [fresh(), fresh()]

    def call() -> None:
        for context in contexts:
            context.load_verify_locations(bundle)

    live(call)
    world.close()

    assert [authorities(context) for context in contexts] == [1, 1]


def test_a_certificate_for_another_name_is_refused(live: Live, world: World):
    world.upstream("https://api.pay.example").get("/", body="fine")
    world.upstream("https://other.example").get("/", body="fine")

    def call() -> None:
        import socket

        context = ssl.create_default_context()
        with socket.create_connection(("api.pay.example", 443), timeout=1) as sock:
            context.wrap_socket(sock, server_hostname="other.example")

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        live(call)
