"""The pool of connections, against a real server that counts them and answers when it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from activities.pool import Pool

TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """Answers each request on a connection, once it may."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked: list[int] = []  # the connection's number, for each request
        self.gone = asyncio.Semaphore(0)
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.requests = asyncio.Semaphore(0)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(number)
                self.requests.release()
                await self.may_answer.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.release()
        finally:
            writer.close()

    async def heard(self, requests: int) -> None:
        """Return when so many more requests have come in."""
        for _ in range(requests):
            await self.requests.acquire()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    async with listener:
        yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        server.may_answer.set()


@asynccontextmanager
async def asking(url: str, pool: Pool, /, **timeouts: float) -> AsyncIterator[httpx.AsyncClient]:
    timeout = httpx.Timeout(10.0, **timeouts)
    async with httpx.AsyncClient(base_url=url, transport=pool, timeout=timeout, trust_env=False) as client:
        yield client


async def test_who_comes_one_after_the_other_shares_a_connection() -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST)) as client:
        for _ in range(3):
            assert (await client.get("/")).text == "ok"
        assert server.asked == [1, 1, 1]


async def test_at_the_same_time_nobody_shares_one() -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST)) as client:
        server.may_answer.clear()
        asked = [asyncio.create_task(client.get("/")) for _ in range(20)]
        await server.heard(20)
        assert sorted(server.asked) == list(range(1, 21))
        server.may_answer.set()
        assert {answer.text for answer in await asyncio.gather(*asked)} == {"ok"}


async def test_the_next_one_gets_the_connection_that_was_used_last() -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST)) as client:
        server.may_answer.clear()
        asked = [asyncio.create_task(client.get("/")) for _ in range(3)]
        await server.heard(3)
        server.may_answer.set()
        await asyncio.gather(*asked)
        before = len(server.asked)
        await client.get("/")
        await client.get("/")
        assert len(set(server.asked[before:])) == 1
        assert server.opened == 3


async def test_who_finds_all_taken_waits_for_the_first_that_is_given_back() -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST, limit=2)) as client:
        server.may_answer.clear()
        asked = [asyncio.create_task(client.get("/")) for _ in range(9)]
        await server.heard(2)
        assert server.opened == 2
        server.may_answer.set()
        await asyncio.gather(*asked)
        assert (server.opened, len(server.asked)) == (2, 9)


async def test_who_waits_too_long_is_told_that_nothing_was_sent() -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST, limit=1), pool=0.05) as client:
        server.may_answer.clear()
        first = asyncio.create_task(client.get("/"))
        await server.heard(1)
        with pytest.raises(httpx.PoolTimeout, match="all connections are taken"):
            await client.get("/")
        assert len(server.asked) == 1
        server.may_answer.set()
        assert (await first).text == "ok"
        assert (await client.get("/")).text == "ok"


async def test_a_connection_is_taken_until_the_answer_is_closed() -> None:
    async with serving() as (_, url), asking(url, Pool(TRUST, limit=1), pool=0.05) as client:
        async with client.stream("GET", "/") as answer:
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/")
            assert await answer.aread() == b"ok"
            await answer.aclose()  # which the end of the block does once more
        assert (await client.get("/")).text == "ok"


@pytest.mark.parametrize("how", ["no answer in time", "cancelled", "refused", "not read to its end"])
async def test_however_a_request_ends_its_place_is_free_again(how: str) -> None:
    async with serving() as (server, url), asking(url, Pool(TRUST, limit=1), pool=1.0) as client:
        if how == "refused":
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")
        elif how == "not read to its end":
            async with client.stream("GET", "/"):
                pass
        else:
            server.may_answer.clear()
            patience = 0.05 if how == "no answer in time" else 10.0
            asked = asyncio.create_task(client.get("/", timeout=httpx.Timeout(10.0, read=patience)))
            await server.heard(1)
            if how == "cancelled":
                asked.cancel()
            with pytest.raises((httpx.ReadTimeout, asyncio.CancelledError)):
                await asked
            server.may_answer.set()
        assert (await client.get("/")).text == "ok"


async def test_what_nobody_has_used_for_long_is_closed_when_the_next_one_comes() -> None:
    now = 0.0
    pool = Pool(TRUST, kept_for=15.0, clock=lambda: now)
    async with serving() as (server, url), asking(url, pool) as client:
        server.may_answer.clear()
        asked = [asyncio.create_task(client.get("/")) for _ in range(3)]
        await server.heard(3)
        server.may_answer.set()
        await asyncio.gather(*asked)
        now = 10.0
        await client.get("/")  # keeps one of them young
        now = 20.0
        await client.get("/")
        for _ in range(2):
            await server.gone.acquire()
        assert server.opened == 3


async def test_a_closed_pool_has_closed_all_connections() -> None:
    async with serving() as (server, url):
        async with asking(url, Pool(TRUST)) as client:
            server.may_answer.clear()
            asked = [asyncio.create_task(client.get("/")) for _ in range(2)]
            await server.heard(2)
            server.may_answer.set()
            await asyncio.gather(*asked)
        for _ in range(2):
            await server.gone.acquire()


async def test_a_request_that_is_cancelled_at_any_moment_leaves_nothing_taken_behind() -> None:
    """httpx loses track of a connection that is cancelled between two of its steps."""
    async with serving() as (_, url), asking(url, Pool(TRUST, limit=1), pool=1.0) as client:
        for turns in range(40):
            asked = asyncio.create_task(client.get("/"))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            assert (await client.get("/")).text == "ok", f"after {turns} turns of the loop"
