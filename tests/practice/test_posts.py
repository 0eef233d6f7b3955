"""Signed HTTP from Slack's side: what is posted, how it is signed, and when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from slack_sdk.signature import SignatureVerifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.http.server import HttpServer
from bot.practice.deliveries import Answer
from bot.practice.faults import Faults
from bot.practice.posts import Posts

SECRET = "0123456789abcdef"
AT = 1_800_000_000.0


class App:
    """An app behind an address; a test says how it answers."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, dict[str, str]]] = []
        self.answer: Callable[[], Response] = lambda: Response("")
        self.arrived = asyncio.Condition()

    async def __call__(self, request: Request) -> Response:
        self.seen.append((await request.body(), dict(request.headers)))
        async with self.arrived:
            self.arrived.notify_all()
        return self.answer()

    async def until(self, requests: int) -> None:
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.seen) >= requests)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def url(app: App) -> AsyncIterator[str]:
    server = HttpServer(
        Starlette(routes=[Route("/slack/events", app.__call__, methods=["POST"])]), host="127.0.0.1", port=0
    )
    await server.start()
    yield f"http://127.0.0.1:{server.port}/slack/events"
    await server.stop()


@pytest.fixture
async def posts(url: str) -> AsyncIterator[Posts]:
    made = Posts(
        Faults(), url=url, secret=SECRET, patience=3.0, clock=lambda: AT, retry_after=(0.0, 0.01, 0.02)
    )
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    ("kind", "begins", "content_type"),
    [
        ("interactive", b"payload=%7B%22type%22", "application/x-www-form-urlencoded"),
        ("slash_commands", b"type=", "application/x-www-form-urlencoded"),
        ("events_api", b'{"type"', "application/json"),
    ],
)
async def test_each_kind_has_its_shape_and_a_signature(
    posts: Posts, app: App, kind: str, begins: bytes, content_type: str
) -> None:
    """
    The SDK's own verifier accepts what is posted.
    """
    acknowledgement = await posts.deliver(kind, {"type": "x"})
    ((body, headers),) = app.seen
    verifier = SignatureVerifier(SECRET, clock=posts_clock())

    assert acknowledgement.answer is Answer.ACKNOWLEDGED
    assert body.startswith(begins)
    assert headers["content-type"] == content_type
    assert verifier.is_valid_request(body, headers)


def posts_clock() -> Any:
    class Fixed:
        def now(self) -> float:
            return AT

    return Fixed()


@pytest.mark.parametrize(
    ("answer", "payload"),
    [
        (Response(""), {}),
        (PlainTextResponse("hello"), {"text": "hello"}),
        (JSONResponse({"response_action": "clear"}), {"response_action": "clear"}),
    ],
)
async def test_the_answer_may_carry_something(
    posts: Posts, app: App, answer: Response, payload: dict[str, str]
) -> None:
    """
    Nothing, a text, or JSON: each as Slack would take it.
    """
    app.answer = lambda: answer

    assert (await posts.deliver("interactive", {})).payload == payload


async def test_a_press_is_not_tried_again(posts: Posts, app: App) -> None:
    """
    What a person did is refused once, and they see it.
    """
    app.answer = lambda: Response(status_code=503)

    assert (await posts.deliver("interactive", {})).answer is Answer.REFUSED
    assert len(app.seen) == 1


async def test_an_event_is_tried_again_three_times(posts: Posts, app: App) -> None:
    """
    Each retry has its number, the reason, and says the same.
    """
    app.answer = lambda: Response(status_code=500)
    await posts.deliver("events_api", {"type": "event_callback"})
    await app.until(4)

    assert [headers.get("x-slack-retry-num") for _, headers in app.seen] == [None, "1", "2", "3"]
    assert {headers.get("x-slack-retry-reason") for _, headers in app.seen[1:]} == {"http_error"}
    assert len({body for body, _ in app.seen}) == 1


async def test_a_retry_that_is_taken_is_the_last(posts: Posts, app: App) -> None:
    """
    Slack stops when it hears 200.
    """
    app.answer = lambda: Response(status_code=500 if len(app.seen) < 2 else 200)
    await posts.deliver("events_api", {})
    await app.until(2)
    await asyncio.gather(*posts._retries)

    assert len(app.seen) == 2


async def test_an_app_that_is_not_there(app: App, posts: Posts) -> None:
    """
    Whoever pressed learns that the app cannot be reached.
    """
    posts._url = "http://127.0.0.1:9/slack/events"

    assert (await posts.deliver("interactive", {})).answer is Answer.NOT_CONNECTED


async def test_silence_ends_after_slacks_patience(app: App, posts: Posts) -> None:
    """
    An answer that takes too long is none.
    """
    posts._patience = 0.0

    assert (await posts.deliver("interactive", {})).answer is Answer.TIMED_OUT


async def test_a_doubled_delivery_says_that_it_is_one(posts: Posts, app: App) -> None:
    """
    The second of two carries the retry's number, and says the same.
    """
    posts._faults.deliver_twice()
    await posts.deliver("interactive", {"type": "x"})

    assert len(app.seen) == 2
    assert {headers.get("x-slack-retry-num") for _, headers in app.seen} == {None, "1"}
