"""A declared service as a proxy: it passes requests on to the other declared services.

It knows a request that is for somebody else by its form: CONNECT, or an absolute URL (RFC 9112, 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pytest_ralph.core.fault import Answer, Connect, Fault, Request
from pytest_ralph.world.exchange import Exchange
from pytest_ralph.world.line import Carrier, Host, Line, Passage

_PORTS = {"http": 80, "https": 443}
# How long proxies try to connect: squid's connect_timeout, nginx's proxy_connect_timeout.
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a request is to be passed on to."""

    host: str
    port: int


def destination(method: str, target: str, own: str) -> Destination | None:
    """Where a request is to be passed on to; None if it is for the service itself.

    Args:
        method: The method.
        target: The target as sent.
        own: URL of the service.
    """
    parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
    if parts.hostname is None:
        return None
    try:
        where = Destination(host=parts.hostname, port=parts.port or _PORTS.get(parts.scheme, 443))
    except ValueError:
        return None
    mine = urlsplit(own)
    is_mine = (mine.hostname, mine.port or _PORTS[mine.scheme]) == (where.host, where.port)
    return None if is_mine and method != "CONNECT" else where


class Tunnel:
    """A CONNECT that is being answered.

    Args:
        where: Where to.
        host: The network.
    """

    def __init__(self, where: Destination, host: Host) -> None:
        self._where = where
        self._host = host
        self.passage: Passage | None = None

    def answer(self) -> Answer:
        """Connect, and say what came of it."""
        found = self._host.reach(self._where.host, self._where.port)
        if isinstance(found, Passage) and found.outcome is Connect.ACCEPT:
            self.passage = found
            return Answer(status=200)
        return _failure(found, self._host)


def forward(
    request: Request, where: Destination, line: Line, carrier: Carrier
) -> tuple[Exchange, Fault | None]:
    """Pass on a request with an absolute URL.

    Returns:
        The request as it is answered, by the proxy itself or by the other service, and the fault it meets.
    """
    mine = line.upstream.plan.on_request(request)
    found = line.host.reach(where.host, where.port) if mine is None else None
    if not isinstance(found, Passage):
        exchange = Exchange(
            request,
            upstream=line.upstream,
            attempt=line.take_attempt(),
            host=line.host,
            carrier=carrier,
            healthy=lambda: _answer(request, found or line.host.reach(where.host, where.port), line.host),
        )
        return exchange, mine
    passed = _passed(request, found)
    exchange = Exchange(
        passed,
        upstream=found.upstream,
        attempt=found.attempt,
        host=line.host,
        carrier=carrier,
        healthy=lambda: _answer(request, found, line.host),
    )
    reached = found.outcome is Connect.ACCEPT
    return exchange, found.upstream.plan.on_request(passed) if reached else None


def _answer(request: Request, found: Passage | str, host: Host) -> Answer:
    if isinstance(found, Passage) and found.outcome is Connect.ACCEPT:
        return found.upstream.answer(_passed(request, found))
    return _failure(found, host)


def _failure(found: Passage | str, host: Host) -> Answer:
    """What a proxy answers when there is no way to a service (RFC 9110, 15.6.3 and 15.6.5)."""
    if isinstance(found, str):
        return Answer(status=502, body=f"{found}\n".encode())
    if found.outcome is Connect.REFUSE:
        return Answer(status=502, body=f"{found.upstream.url}: connection refused\n".encode())
    host.delay(_PATIENCE)
    return Answer(status=504, body=f"{found.upstream.url}: connection timed out\n".encode())


def _passed(request: Request, passage: Passage) -> Request:
    """A request as the other service sees it."""
    parts = urlsplit(request.target)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return replace(
        request,
        target=target,
        url=passage.upstream.url + target,
        headers={name: value for name, value in request.headers.items() if not name.startswith("proxy-")},
        raw_headers=tuple(pair for pair in request.raw_headers if not pair[0].lower().startswith("proxy-")),
    )
