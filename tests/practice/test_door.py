"""The door of the practice workspace: its buttons run real commands, so strangers stay outside."""

from __future__ import annotations

import socket

import aiohttp
import httpx
import pytest

from bot.practice.hands import Hands, HandsError
from bot.practice.server import PracticeServer


@pytest.fixture
def outside(server: PracticeServer) -> httpx.AsyncClient:
    """A client that knows the address and nothing else."""
    return httpx.AsyncClient(base_url=server.parts.base_url, trust_env=False)


async def status(outside: httpx.AsyncClient, path: str, **headers: str) -> int:
    async with outside:
        return (await outside.get(path, headers=headers)).status_code


@pytest.mark.parametrize(
    "path",
    ["/", "/?secret=wrong", "/page/app.js", "/practice/state?as=alice", "/files/F0", "/practice/faults"],
)
async def test_nothing_without_the_secret(outside: httpx.AsyncClient, path: str) -> None:
    """
    Page, state and files are shown to nobody who does not know the printed address.
    """
    assert await status(outside, path) == 403


async def test_the_secret_opens_the_page_only(outside: httpx.AsyncClient, server: PracticeServer) -> None:
    """
    The secret counts in the printed address and nowhere else; elsewhere it is the cookie.
    """
    secret = server.page_url.partition("secret=")[2]

    assert await status(outside, f"/practice/state?as=alice&secret={secret}") == 403


async def test_the_first_visit_leaves_a_cookie(outside: httpx.AsyncClient, server: PracticeServer) -> None:
    """
    The cookie cannot be read by scripts and is not sent along from other sites.
    """
    async with outside:
        first = await outside.get(server.page_url)
        again = await outside.get("/practice/state?as=alice")
    cookie = first.headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert again.status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/auth.test"])
async def test_answers_to_no_other_name(
    outside: httpx.AsyncClient, server: PracticeServer, path: str
) -> None:
    """
    A name that somebody points at 127.0.0.1 (DNS rebinding) is refused, for page and Web API alike.
    """
    async with outside:
        await outside.get(server.page_url)
        answer = await outside.get(path, headers={"Host": "evil.example"})

    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_another_page_cannot_press(
    outside: httpx.AsyncClient, server: PracticeServer, origin: str
) -> None:
    """
    A request that another web page makes is refused, even with the cookie.
    """
    async with outside:
        await outside.get(server.page_url)
        answer = await outside.post(
            "/practice/press", json={"as": "alice", "action_id": "a"}, headers={"Origin": origin}
        )

    assert answer.status_code == 403


async def test_a_form_cannot_press(outside: httpx.AsyncClient, server: PracticeServer) -> None:
    """
    Only JSON is taken: what a plain HTML form can send is refused.
    """
    async with outside:
        await outside.get(server.page_url)
        answer = await outside.post("/practice/press", data={"as": "alice", "action_id": "a"})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Host": "evil.example"}], ids=str
)
async def test_the_door_of_the_web_socket(server: PracticeServer, headers: dict[str, str]) -> None:
    """
    The page's WebSocket has the same three locks: cookie, Origin, Host.
    """
    secret = server.page_url.partition("secret=")[2]
    cookies = {f"practice_{server.parts.port}": secret} if headers else {}
    url = server.parts.base_url.replace("http", "ws") + "/practice/changes?as=alice"
    async with aiohttp.ClientSession(cookies=cookies) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, headers=headers)

    assert refused.value.status == 403


async def test_a_socket_address_works_once(server: PracticeServer) -> None:
    """
    The address that the app gets for its socket cannot be used again, nor made up.
    """
    url = f"{server.parts.base_url.replace('http', 'ws')}/link/?ticket={server.sockets.issue_ticket()}"
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as link:
            assert (await link.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)

    assert refused.value.status == 403


async def test_listens_on_loopback_only(server: PracticeServer) -> None:
    """
    Another address of the same machine, even of loopback, is not listened on.
    """
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", server.parts.port)) != 0


async def test_foreign_text_cannot_become_script(outside: httpx.AsyncClient, server: PracticeServer) -> None:
    """
    The page allows only its own script and style, and no frame around it.
    """
    async with outside:
        policy = (await outside.get(server.page_url)).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


async def test_hands_say_why_they_may_not(server: PracticeServer) -> None:
    """
    Hands with a wrong address get the door's own words.
    """
    async with Hands(f"{server.parts.base_url}/?secret=wrong") as hands:
        with pytest.raises(HandsError, match="address that was printed"):
            await hands.look()
