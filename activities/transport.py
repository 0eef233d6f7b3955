"""How HTTP goes out: one way to open a client, to read an answer, and to sort what went wrong.

Three questions decide what a failed request means, and all three are answered here: did it
leave (a refused connection did not), may it have been carried out (a reset while waiting for
the answer says nothing), and is it the service that does not answer or we who cannot reach
anything (a name that does not resolve is no evidence about the service).
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Generator, Iterator
from datetime import timedelta
from functools import cache

import httpx

from activities.connections import SecretReference, reveal
from activities.pool import Pool

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_OUR_OWN_TROUBLE = frozenset(
    {errno.ENETUNREACH, errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS}
)


class BearerToken(httpx.Auth):
    """Adds a bearer token that is read anew for each request, so that a rotated one is used at once."""

    def __init__(self, reference: SecretReference) -> None:
        self._reference = reference

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {reveal(self._reference)}"
        yield request


class BasicCredentials(httpx.Auth):
    """Adds a user and a password that is read anew for each request."""

    def __init__(self, user: str, reference: SecretReference) -> None:
        self._user = user
        self._reference = reference

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        yield from httpx.BasicAuth(self._user, reveal(self._reference)).auth_flow(request)


def open_client(
    url: str, *, timeout: timedelta, connect: timedelta | None = None, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    """Return a client for one service: no redirects, no proxy and no .netrc from the environment.

    `timeout` holds for sending and for each wait for bytes, and for connecting where `connect` is None.
    """
    return httpx.AsyncClient(
        base_url=url,
        auth=auth,
        timeout=httpx.Timeout(timeout.total_seconds(), connect=(connect or timeout).total_seconds()),
        follow_redirects=False,
        trust_env=False,
        transport=Pool(_trust(httpx.URL(url).scheme)),
    )


@cache
def _trust(scheme: str) -> ssl.SSLContext:
    """Return whom clients trust, the same for all of them: to read the authorities takes 60 ms and 3 MiB.

    A client that never speaks TLS (it follows no redirects) trusts nobody.
    """
    if scheme == "https":
        return httpx.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def read_at_most(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """Return the beginning of the decoded body, at most `limit` bytes, and whether it was all."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            return bytes(body[:limit]), False
    return bytes(body), True


def was_never_sent(error: httpx.HTTPError) -> bool:
    """Return whether the request behind `error` certainly did not leave."""
    return isinstance(error, _NEVER_SENT)


def is_our_own_trouble(error: httpx.HTTPError) -> bool:
    """Return whether `error` says something about us or the network between, not about the service.

    An unresolvable name, a certificate that we do not trust, no route, no free socket: with any
    of these every service would look dead.
    """
    return any(
        isinstance(each, socket.gaierror | ssl.SSLCertVerificationError)
        or (isinstance(each, OSError) and each.errno in _OUR_OWN_TROUBLE)
        for each in _causes(error)
    )


def in_words(error: httpx.HTTPError) -> str:
    """Return what happened, without the address: it may hold credentials."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was closed before the answer was complete"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "the name does not resolve"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {getattr(cause, 'verify_message', '') or cause.reason}"
        if isinstance(cause, OSError) and cause.errno:
            return _OS_WORDS.get(cause.errno) or os.strerror(cause.errno).lower()
    return "the connection was lost" if isinstance(error, httpx.NetworkError) else type(error).__name__


_OS_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and all that led to it; one attempt for each address makes groups of errors."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
