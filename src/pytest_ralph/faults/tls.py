"""Faults of TLS: certificates that a client must not accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pytest_ralph.core.fault import Certificate, Fault, Kind


@dataclass(frozen=True)
class TlsError(Fault):
    """The service shows a certificate that a client must not accept: ``ssl.SSLCertVerificationError``.

    The certificate is a real one, shown in a real handshake. A client that does not check certificates gets
    the healthy answer. Connections that are already open are closed when the fault begins.

    Args:
        kind: ``expired``, ``wrong_host`` or ``unknown_issuer``.

    Raises:
        ValueError: ``kind`` is another.

    Example:
        >>> TlsError("expired")
        TlsError('expired')
    """

    connect_stage: ClassVar[bool] = True
    shown_by: ClassVar[frozenset[Kind]] = frozenset({Kind.HTTPS})

    kind: str

    def __post_init__(self) -> None:
        kinds = [each.value for each in Certificate]
        if self.kind not in kinds:
            raise ValueError(f"TlsError needs one of {', '.join(map(repr, kinds))}, got {self.kind!r}")

    def __repr__(self) -> str:
        return f"TlsError({self.kind!r})"

    def on_handshake(self) -> Certificate:
        return Certificate(self.kind)
