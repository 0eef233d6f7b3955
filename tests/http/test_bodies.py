"""Bodies in memory: a limit for each and one for all, and room again as soon as one is done with."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from bot.http.answers import Refusal
from bot.http.bodies import Bodies
from tests.way_in import alert, notification

HALF = b"x" * 50


def sender(*pieces: bytes, goes_away: bool = False) -> Any:
    """Return what gives these pieces of a body, as a server does."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.disconnect"} if goes_away else {"type": "http.request"})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    return receive


async def refused(bodies: Bodies, receive: Any) -> int:
    """Return the status with which the body is refused."""
    with pytest.raises(Refusal) as caught:
        await bodies.read(receive)
    return caught.value.status


async def test_a_body_in_pieces_is_put_together():
    """Up to the limit, that included."""
    assert await Bodies(100, largest=100).read(sender(HALF, HALF)) == HALF + HALF


async def test_all_bodies_together_have_a_limit():
    """Whoever comes while there is no room is told to come again, and finds it when another is done."""
    bodies = Bodies(120, largest=100)
    first = await bodies.read(sender(HALF, HALF))

    assert await refused(bodies, sender(HALF)) == 503
    bodies.release(first)
    assert await bodies.read(sender(HALF, HALF)) == first


@pytest.mark.parametrize(
    ("receive", "status"),
    [(lambda: sender(HALF, goes_away=True), 400), (lambda: sender(HALF, HALF, b"x"), 413)],
)
async def test_a_body_that_is_refused_takes_up_no_room(receive, status):
    """Neither one whose sender goes away, nor one that is too large."""
    bodies = Bodies(101, largest=100)
    for _ in range(3):
        assert await refused(bodies, receive()) == status

    assert await bodies.read(sender(HALF, HALF))


async def test_a_body_whose_reader_gives_up_takes_up_no_room():
    """The deadline of a request may come in the middle of its body."""
    bodies, has_begun = Bodies(100), asyncio.Event()

    async def dawdle() -> dict[str, Any]:
        if has_begun.is_set():
            await asyncio.Event().wait()
        has_begun.set()
        return {"type": "http.request", "body": HALF, "more_body": True}

    reading = asyncio.create_task(bodies.read(dawdle))
    await has_begun.wait()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading

    assert await bodies.read(sender(HALF, HALF))


async def test_whatever_becomes_of_a_notification_there_is_room_again(way):
    """One that is taken in, one that repeats it, and one that nobody can read."""
    news = json.dumps(notification(alert(instance="web-1"))).encode()
    way.receiver._bodies = Bodies(len(news))
    async with way.sender() as sender:
        answers = [await sender.post(body) for body in (news, news, b"{", news)]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 200]
