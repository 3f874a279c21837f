"""Metrics that are sent to a statsd agent over UDP, as the packages statsd and datadog do.

Datagrams to this machine that are written in the protocol are taken where they are sent, and go no further:
in a test nobody listens. See https://github.com/statsd/statsd/blob/master/docs/metric_types.md and
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from pytest_ralph.core.metrics import Metric, Series, unit_of
from pytest_ralph.world.instances import Instances, of
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.repoint import Undo

_LINE = re.compile(
    rb"(?P<name>[^:|@#\s][^:|@#\n]*):(?P<values>[+-]?[\w.+-]+(?::[+-]?[\d.]+)*)\|(?P<type>c|g|ms|h|d|s)"
    rb"(?:\|@(?P<rate>[\d.]+))?(?:\|#(?P<tags>[^|\n]*))?(?:\|[cTe]:?[^|\n]*)*"
)
_TYPES = {"c": "counter", "g": "gauge", "ms": "histogram", "h": "histogram", "d": "histogram", "s": "set"}
_DATADOG = "datadog.dogstatsd.base"
# What the client of datadog tells of itself.
_OWN = "datadog.dogstatsd."
_INET = (socket.AF_INET, socket.AF_INET6)


@dataclass(kw_only=True)
class _Total:
    count: float = 0.0
    total: float = 0.0


class Exporter:
    """Adds up what a program sends."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, str, frozenset[tuple[str, str]]], _Total] = defaultdict(_Total)
        self._clients: Instances | None = None

    def install(self) -> Undo:
        """Take datagrams from now on. Returns what undoes it."""
        with ExitStack() as stack:
            stack.callback(wrap(socket.socket, "send", self._send))
            stack.callback(wrap(socket.socket, "sendto", self._sendto))
            if (module := sys.modules.get(_DATADOG)) is not None:
                self._clients = self._clients or Instances(module.DogStatsd)
                stack.callback(self._clients.install())
            return stack.pop_all().close

    @property
    def wanted(self) -> list[Instances]:
        """The clients that keep something back."""
        return [self._clients] if self._clients is not None else []

    def flush(self) -> None:
        """Let clients send what they keep back for a moment."""
        for client in self._datadog():
            with suppress(Exception):  # a client of the program's that has no agent to send to
                client.flush_aggregated_metrics()
                client.flush()

    def _datadog(self) -> list[Any]:
        if self._clients is not None:
            return self._clients.all()
        # Loaded after this was installed: nobody says what is made.
        module = sys.modules.get(_DATADOG)
        return of(module.DogStatsd) if module is not None else []

    def snapshot(self, *, first: bool) -> list[Metric]:  # noqa: ARG002 - that of all exporters
        """All metrics, now."""
        grouped: dict[tuple[str, str], list[Series]] = defaultdict(list)
        for (name, kind, tags), total in self._totals.items():
            observes = _TYPES[kind] == "histogram"
            grouped[name, kind].append(
                Series(labels=dict(tags), after=total.count, total=total.total if observes else None)
            )
        return [
            Metric(
                name=name,
                type=_TYPES[kind],
                source="statsd",
                unit="ms" if kind == "ms" else unit_of(name) if _TYPES[kind] == "histogram" else "",
                series=tuple(series),
            )
            for (name, kind), series in grouped.items()
        ]

    def _send(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def send(sock: Any, data: Any, *args: Any) -> Any:
            if _is_datagram(sock) and _is_here(_peer(sock)) and self._takes(data):
                return len(data)
            return original(sock, data, *args)

        return send

    def _sendto(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def sendto(sock: Any, data: Any, *args: Any) -> Any:
            if _is_datagram(sock) and args and _is_here(args[-1]) and self._takes(data):
                return len(data)
            return original(sock, data, *args)

        return sendto

    def _takes(self, data: Any) -> bool:
        """Add up a datagram, if it is one of the protocol."""
        lines = [line for line in bytes(data).split(b"\n") if line]
        matches = [match for line in lines if (match := _LINE.fullmatch(line)) is not None]
        for match in matches if len(matches) == len(lines) else ():
            name = match["name"].decode("utf-8", "replace")
            if not name.startswith(_OWN):
                key = (name, match["type"].decode(), frozenset(_tags(match["tags"])))
                _add(self._totals[key], match)
        return bool(matches) and len(matches) == len(lines)


def _add(total: _Total, match: re.Match[bytes]) -> None:
    kind, rate = match["type"], float(match["rate"] or 1)
    for value in match["values"].split(b":"):
        if kind == b"g":
            relative = value[:1] in b"+-"
            total.count = float(value) + (total.count if relative else 0.0)
        elif kind == b"c":
            total.count += float(value) / rate
        else:
            total.count += 1 / rate
            total.total += float(value) / rate if kind != b"s" else 0.0


def _tags(text: bytes | None) -> Iterator[tuple[str, str]]:
    for tag in (text or b"").decode("utf-8", "replace").split(","):
        if tag:
            name, _, value = tag.partition(":")
            yield name, value


def _is_datagram(sock: Any) -> bool:
    # Flags may be part of the type.
    return sock.family in _INET and sock.type & 0xF == socket.SOCK_DGRAM


def _peer(sock: Any) -> Any:
    try:
        return sock.getpeername()
    except OSError:
        return None


def _is_here(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) and address else None
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False
