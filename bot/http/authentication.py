"""Authentication of senders, on headers only: nothing of the body is read for a stranger.

Alertmanager can send a bearer token or basic credentials; it signs nothing.  Several of each may
be valid at a time, so that one can be rotated.  Where none is configured, only programs on this
machine may send, and nothing that came through a proxy or out of a browser: to those every peer
looks like this machine.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.datastructures import Headers


@dataclass(frozen=True)
class Stranger:
    """Why a sender may not send.

    Attributes:
        status: 401 where other credentials would help, 403 where none would.
        sentence: what is wrong and what would be right.
    """

    status: int
    sentence: str


@dataclass(frozen=True)
class Sender:
    """Who sends, for the record: the credential's place in the settings, and the address."""

    name: str


_SECOND_HAND = ("forwarded", "x-forwarded-for", "x-real-ip")
_BROWSER = ("origin", "sec-fetch-site")


class Gatekeeper:
    """Knows the credentials that senders may use."""

    def __init__(self, tokens: Iterable[SecretStr] = (), basic: Iterable[SecretStr] = ()) -> None:
        self._tokens = [_hash(token.get_secret_value().encode()) for token in tokens]
        self._basic = [_hash(pair.get_secret_value().encode()) for pair in basic]

    @property
    def open_to_loopback(self) -> bool:
        """Whether there are no credentials, so that any program on this machine may send."""
        return not self._tokens and not self._basic

    def identify(self, headers: Headers, peer: str) -> Sender | Stranger:
        """Return who sends this request from the address `peer`, or why it is refused."""
        if self.open_to_loopback:
            return _neighbour(headers, peer)
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            place = _place(rest.strip().encode("latin-1"), self._tokens)
        elif scheme.lower() == "basic":
            place = _place(_decoded(rest.strip()), self._basic)
        else:
            return Stranger(401, "no credentials; send a bearer token or basic authentication")
        if place is None:
            return Stranger(401, f"these {scheme.lower()} credentials are not known here")
        return Sender(f"{scheme.lower()}-{place}@{peer}")


def _neighbour(headers: Headers, peer: str) -> Sender | Stranger:
    if not is_loopback(peer):
        return Stranger(
            403, "no credentials are configured, so only this machine may send; set webhook tokens"
        )
    if any(name in headers for name in _SECOND_HAND):
        return Stranger(
            403, "no credentials are configured, so nothing is taken from a proxy; set webhook tokens"
        )
    if any(name in headers for name in _BROWSER):
        return Stranger(
            403, "no credentials are configured, so nothing is taken from a browser; set webhook tokens"
        )
    return Sender(f"loopback@{peer}")


def is_loopback(peer: str) -> bool:
    """Return whether `peer` is an address of this machine's loopback interface."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _place(offered: bytes, known: list[bytes]) -> int | None:
    """Return the place (from 1) of `offered` in `known`.  Every one is compared, in constant time."""
    offered_hash = _hash(offered)
    found = None
    for place, each in enumerate(known, start=1):
        if hmac.compare_digest(offered_hash, each):
            found = place
    return found


def _decoded(credentials: str) -> bytes:
    """Return the `user:password` of a basic header; what is not base64 equals no known pair."""
    try:
        return base64.b64decode(credentials, validate=True)
    except (ValueError, binascii.Error):
        return b""
