"""Connections to one service, each used by one request at a time (docs/adr/0013).

httpx's own pool looks at each of its connections whenever a request comes or goes, and asks the system
about the idle ones: with sixteen requests at once it takes twice the time of everything else that is
done for them.  And it may close a connection that it has just given to a request that waits, which then
hears nothing until its time is over: for an action, an outcome that nobody knows.  So each connection
is a pool of its own here, and who has it is decided by taking it off a pile.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NamedTuple

import httpx

LIMIT = 64  # requests at once; who comes later waits
KEPT_FOR = 15.0  # seconds without a request


class _Idle(NamedTuple):
    connection: httpx.AsyncHTTPTransport
    since: float


class Pool(httpx.AsyncBaseTransport):
    """Carries the requests of one client.

    The connection that was used last is used next.  Who finds all of them taken waits, first come first
    served, for as long as their request's `pool` timeout says, and then gets `httpx.PoolTimeout`.

    Args:
        trust: whom the other side may be.
        limit: how many connections there are at most.
        kept_for: after so many seconds without a request a connection is closed, when the next one comes.
        clock: monotonic, in seconds; tests set it.
    """

    def __init__(
        self,
        trust: ssl.SSLContext,
        *,
        limit: int = LIMIT,
        kept_for: float = KEPT_FOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trust = trust
        self._kept_for = kept_for
        self._clock = clock
        self._places = asyncio.Semaphore(limit)
        self._idle: deque[_Idle] = deque()  # the one that has been idle longest stands first
        self._all: set[httpx.AsyncHTTPTransport] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that is its own until the answer is closed."""
        await self._wait_for_place(request)
        try:
            await self._close_forgotten()
            connection = self._idle.pop().connection if self._idle else self._open()
        except BaseException:  # cancelled too: the place is free again
            self._places.release()
            raise
        try:
            answer = await connection.handle_async_request(request)
        except BaseException:  # cancelled above all: see `throw_away`
            await self.throw_away(connection)
            raise
        assert isinstance(answer.stream, httpx.AsyncByteStream), "an asynchronous transport has answered"
        answer.stream = _Body(self, connection, answer.stream)
        return answer

    def give_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        """Let the next request have a connection whose answer was closed."""
        if connection in self._all:  # else the pool was closed meanwhile
            self._idle.append(_Idle(connection, self._clock()))
        self._places.release()

    async def throw_away(self, connection: httpx.AsyncHTTPTransport) -> None:
        """Close a connection whose request did not end well.

        One that was cancelled at the wrong moment stays taken for ever, by nobody, as far as httpx knows.
        """
        self._places.release()
        await self._close(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        connections, self._all = self._all, set()
        self._idle.clear()
        await asyncio.gather(*(each.aclose() for each in connections))

    async def _wait_for_place(self, request: httpx.Request) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._places.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("all connections are taken", request=request) from None

    async def _close_forgotten(self) -> None:
        longest = self._clock() - self._kept_for
        while self._idle and self._idle[0].since < longest:
            await self._close(self._idle.popleft().connection)

    async def _close(self, connection: httpx.AsyncHTTPTransport) -> None:
        self._all.discard(connection)
        with suppress(Exception):  # nobody needs it any more, and the caller has other things to hear
            await connection.aclose()

    def _open(self) -> httpx.AsyncHTTPTransport:
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=self._kept_for)
        connection = httpx.AsyncHTTPTransport(verify=self._trust, trust_env=False, limits=one)
        self._all.add(connection)
        return connection


class _Body(httpx.AsyncByteStream):
    """An answer's body, which gives the connection back when it is closed."""

    def __init__(
        self, pool: Pool, connection: httpx.AsyncHTTPTransport, stream: httpx.AsyncByteStream
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._stream = stream
        self._is_open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the parts as they come."""
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        """Close it.  May be called twice."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            await self._stream.aclose()
        except BaseException:  # cancelled above all: see `Pool.throw_away`
            await self._pool.throw_away(self._connection)
            raise
        self._pool.give_back(self._connection)
