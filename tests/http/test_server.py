"""The server: over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal

import httpx
import pytest

from bot.http import server as server_module
from bot.http.application import ALERTS
from bot.http.payload import BODY_LIMIT
from bot.http.server import HEAD_LIMIT, HttpServer, PortTakenError
from tests.components import wait_until
from tests.way_in import TOKEN, alert, notification


@pytest.fixture
async def server(way):
    made = HttpServer(way.application, host="127.0.0.1", port=0)
    await made.start()
    yield made
    await made.stop()


async def exchange(port: int, *pieces: bytes, within: float = 20.0) -> bytes:
    """Send the pieces and return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(within):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
    finally:
        writer.close()


def head(*lines: str) -> bytes:
    return "\r\n".join([f"POST {ALERTS} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


AUTHORIZED = f"Authorization: Bearer {TOKEN}"


async def test_takes_alerts_over_a_socket(server, way):
    """What Alertmanager sends over HTTP/1.1 is taken in, on a connection that stays open."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for number in range(3):
            answer = await client.post(
                f"http://127.0.0.1:{server.port}{ALERTS}",
                json=notification(alert(instance=f"web-{number}")),
                headers={"authorization": f"Bearer {TOKEN}"},
            )
            assert answer.json()["accepted"] == 1
            assert answer.headers.get("connection") != "close"


async def test_leaves_the_signal_handlers_alone(way):
    """Signals belong to the process."""
    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(each) for each in handled]
    server = HttpServer(way.application, host="127.0.0.1", port=0)
    await server.start()
    during = [signal.getsignal(each) for each in handled]
    await server.stop()

    assert before == during


async def test_does_not_believe_who_a_proxy_says_the_sender_is(server, way):
    """A header cannot choose the address that stands in the record."""
    body = json.dumps(notification(alert(instance="web-1"))).encode()
    lines = (AUTHORIZED, "X-Forwarded-For: 203.0.113.9", f"Content-Length: {len(body)}", "Connection: close")
    async with way.taking_in():
        answer = await exchange(server.port, head(*lines) + body)
        await way.intake.taken_in()

    assert answer.startswith(b"HTTP/1.1 200")
    assert way.records()[0].data["sender"] == "bearer-1@127.0.0.1"


async def test_cuts_off_a_chunked_body_at_the_limit(server, way):
    """Chunks without end are refused, and the connection is closed while they are still being sent."""
    chunk = b"%x\r\n%s\r\n" % (2**20, b"x" * 2**20)
    chunks = [chunk] * (4 * BODY_LIMIT // 2**20)
    with pytest.raises(ConnectionError):
        await exchange(server.port, head(AUTHORIZED, "Transfer-Encoding: chunked"), *chunks)

    assert way.counted("paramedic_receiver_answers_total", code="413") == 1


async def test_cuts_off_a_head_without_end(server):
    """Headers without end are not collected without limit."""
    endless = b"x" * (HEAD_LIMIT // 4)
    answer = await exchange(server.port, b"POST / HTTP/1.1\r\nA: ", *[endless] * 5)

    assert answer.startswith(b"HTTP/1.1 431")


async def test_closes_a_connection_that_says_nothing(way, monkeypatch):
    """Connections that send no request do not use up the places of those that do."""
    monkeypatch.setattr(server_module, "HEAD_DEADLINE", 0.05)
    server = HttpServer(way.application, host="127.0.0.1", port=0)
    await server.start()
    try:
        assert await exchange(server.port, b"POST ") == b""
        assert await exchange(server.port) == b""
    finally:
        await server.stop()


async def test_closes_a_connection_whose_next_request_does_not_come_to_its_end(way, monkeypatch):
    """The first one was in order; of the second there is only a beginning, alone or right behind the first."""
    monkeypatch.setattr(server_module, "HEAD_DEADLINE", 2.0)
    server = HttpServer(way.application, host="127.0.0.1", port=0)
    await server.start()
    first, beginning = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHo"
    try:
        sent = (first, beginning), (first + beginning,)
        answers = await asyncio.gather(*(exchange(server.port, *pieces) for pieces in sent))
        assert [answer.count(b"HTTP/1.1 200") for answer in answers] == [1, 1]
    finally:
        await server.stop()


async def test_answers_503_beyond_the_number_of_connections(way, monkeypatch):
    """Too many at once are told to come again."""
    monkeypatch.setattr(server_module, "CONNECTIONS_LIMIT", 3)
    server = HttpServer(way.application, host="127.0.0.1", port=0)
    await server.start()
    others = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    try:
        answer = await exchange(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
    finally:
        for _, writer in others:
            writer.close()
        await server.stop()


@pytest.mark.parametrize("noise", [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"], ids=repr)
async def test_answers_400_to_what_is_not_http(server, noise):
    """Noise is refused and breaks nothing."""
    assert (await exchange(server.port, noise)).startswith(b"HTTP/1.1 400")
    assert (await httpx_get(server.port, "/healthz")).status_code == 200


async def httpx_get(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


async def test_a_request_in_progress_ends_when_the_server_stops(server, way):
    """To stop is to accept nothing new, and to finish what was begun."""
    body = json.dumps(notification(alert(instance="web-1"))).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(AUTHORIZED, f"Content-Length: {len(body)}") + body[:10])
    await writer.drain()
    await wait_until(lambda: len(server._server.server_state.tasks) == 1)
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    writer.write(body[10:])
    answer = await reader.read()
    writer.close()
    await stopping

    assert answer.startswith(b"HTTP/1.1 200")
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_says_which_port_is_taken(server, way):
    """An address in use is an error that names it and the setting."""
    with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{server.port}.*PARAMEDIC_HTTP_PORT"):
        await HttpServer(way.application, host="127.0.0.1", port=server.port).start()
