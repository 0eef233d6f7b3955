"""Requests in Slack's name: which count, and that nothing a stranger sends breaks anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr
from slack_bolt.response import BoltResponse
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Route

from bot.http.bodies import Bodies
from bot.slack.receiver import BODY_LIMIT, MalformedError, SlackReceiver, parse_request
from bot.slack.signatures import REMEMBERED, WINDOW, NotFromSlackError, Signatures

NOW = 1_800_000_000.0
OLD, NEW = "old-secret", "new-secret"
FORM = "application/x-www-form-urlencoded"
PRESS = urlencode({"payload": json.dumps({"type": "block_actions"})}).encode()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def signed(body: bytes, secret: str = NEW, at: float = NOW) -> dict[str, str]:
    base = f"v0:{int(at)}:".encode() + body
    digest = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": str(int(at)), "x-slack-signature": f"v0={digest}"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signatures(clock: Clock) -> Signatures:
    return Signatures([SecretStr(OLD), SecretStr(NEW)], clock=clock)


class Listener:
    """Hears payloads, and answers as it is told."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.is_ready = True
        self.status = 200

    async def hear(self, payload: dict) -> BoltResponse:
        self.heard.append(payload)
        return BoltResponse(status=self.status, body="")


class Door:
    """The receiver behind HTTP, in this process."""

    def __init__(self, signatures: Signatures) -> None:
        self.listener = Listener()
        self.outcomes: list[str] = []
        self.receiver = SlackReceiver(signatures, self.listener, self.outcomes.append)
        transport = httpx.ASGITransport(Starlette(routes=[Route("/slack/events", self.receiver)]))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://bot")

    async def post(self, body: bytes = PRESS, content_type: str = FORM, **headers: str) -> int:
        given = {"content-type": content_type, **(headers or signed(body))}
        return (await self.client.post("/slack/events", content=body, headers=given)).status_code


@pytest.fixture
def door(signatures: Signatures) -> Door:
    return Door(signatures)


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_two_secrets_count_while_one_is_replaced(door, secret):
    """Both the old and the new signing secret open the door."""
    assert await door.post(**signed(PRESS, secret)) == 200
    assert door.listener.heard == [{"type": "block_actions"}]


FORGED = {
    "unsigned": {"x-other": "1"},
    "another secret": signed(PRESS, "guessed"),
    "another body": signed(b"payload=%7B%7D"),
    "another version": {**signed(PRESS), "x-slack-signature": "v1=" + "0" * 64},
    "no hexadecimal": {**signed(PRESS), "x-slack-signature": "v0=" + "z" * 64},
    "no time": {**signed(PRESS), "x-slack-request-timestamp": "soon"},
    "a negative time": {**signed(PRESS), "x-slack-request-timestamp": "-5"},
    "an endless time": {**signed(PRESS), "x-slack-request-timestamp": "9" * 5000},
    "an empty time": {**signed(PRESS), "x-slack-request-timestamp": ""},
    "another time": {**signed(PRESS), "x-slack-request-timestamp": str(int(NOW) + 1)},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
async def test_what_is_not_signed_by_slack_is_refused(door, headers):
    """A forgery gets 401, is counted as one, and no listener hears of it."""
    assert await door.post(**headers) == 401
    assert door.outcomes == ["forged"]
    assert door.listener.heard == []


@pytest.mark.parametrize(("age", "status"), [(WINDOW, 200), (WINDOW + 1, 401), (-WINDOW - 1, 401)])
async def test_the_window_is_five_minutes_in_both_directions(door, age, status):
    """A request that was signed earlier or later than the window is refused, though the signature is right."""
    assert await door.post(**signed(PRESS, at=NOW - age)) == status
    assert door.outcomes == ["accepted" if status == 200 else "stale"]


async def test_the_same_request_counts_once(door):
    """What somebody recorded and sends again within the window is refused."""
    assert [await door.post(), await door.post()] == [200, 401]
    assert door.outcomes == ["accepted", "replayed"]
    assert len(door.listener.heard) == 1


async def test_a_request_that_was_answered_takes_up_no_room(door):
    """Whether it was taken, forged, or nothing that Slack sends."""
    door.receiver._bodies = Bodies(len(PRESS))

    statuses = [await door.post(), await door.post(**FORGED["another secret"]), await door.post(b"{")]

    assert statuses == [200, 401, 400]
    assert await door.post(**signed(PRESS, OLD)) == 200


@pytest.mark.parametrize("trouble", ["not_ready", "failed"])
async def test_what_could_not_be_taken_may_come_again(door, trouble):
    """A request that was answered 503 is no replay when it is sent once more."""
    door.listener.is_ready, door.listener.status = trouble != "not_ready", 503
    first = await door.post()
    door.listener.is_ready, door.listener.status = True, 200

    assert [first, await door.post()] == [503, 200]
    assert door.outcomes == [trouble, "accepted"]


async def test_signatures_are_forgotten_after_the_window(signatures, clock):
    """What can no longer be replayed is no longer remembered: the memory is bounded."""
    for second in range(0, 3 * int(WINDOW), 100):
        clock.now = NOW + second
        signatures.check(Headers(signed(PRESS, at=clock.now)), PRESS)

    assert len(signatures._used) <= WINDOW / 100 + 1


def test_no_more_signatures_are_remembered_than_there_is_room_for(signatures, clock):
    """Even who knows the secret cannot fill the memory."""
    for number in range(REMEMBERED + 5):
        signatures._remember(str(number), clock.now + WINDOW)

    assert len(signatures._used) == REMEMBERED


MALFORMED = {
    "nothing": (b"", FORM),
    "no form": (b"hello", FORM),
    "no text": (b"\xff\xfe=\xfd", FORM),
    "no JSON in the payload": (b"payload=%7B", FORM),
    "a list in the payload": (b"payload=%5B%5D", FORM),
    "deep JSON": (b"payload=" + b"%5B" * 50_000, FORM),
    "no command": (b"a=1&b=2", FORM),
    "too many fields": (b"command=x&" + b"&".join(b"a=1" for _ in range(200)), FORM),
    "no JSON": (b"{", "application/json"),
    "a number": (b"5", "application/json; charset=utf-8"),
}


@pytest.mark.parametrize(("body", "content_type"), MALFORMED.values(), ids=MALFORMED)
async def test_what_slack_would_not_send_is_refused_even_when_it_is_signed(door, body, content_type):
    """A signed body that is no interaction, command or event gets 400 (no text: 401) and reaches nobody."""
    status = await door.post(body, content_type)

    assert status in {400, 401}
    assert door.outcomes == ["malformed" if status == 400 else "forged"]
    assert door.listener.heard == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"content-length": str(BODY_LIMIT + 1)}, 413), ({"content-encoding": "gzip"}, 415)],
)
async def test_what_is_too_large_or_packed_is_not_read(door, headers, status):
    """Size and encoding are judged on the headers."""
    assert await door.post(b"x", **signed(b"x"), **headers) == status
    assert door.outcomes == ["unreadable"]


async def test_a_stranger_is_turned_away_before_the_body_is_read(door):
    """An unsigned request costs no memory, however much it says it brings."""
    assert await door.post(b"x", **{"content-length": str(10 * BODY_LIMIT)}) == 401


async def test_looking_is_refused(door):
    """A browser that is pointed at the address gets 405."""
    assert (await door.client.get("/slack/events")).status_code == 405


@pytest.mark.parametrize(
    ("body", "content_type", "read"),
    [
        (b"payload=%7B%22type%22%3A%22x%22%7D", FORM, {"type": "x"}),
        (b"command=%2Frunbook&text=", FORM, {"command": "/runbook", "text": ""}),
        (b"ssl_check=1", FORM, {"ssl_check": "1"}),
        (b'{"type": "url_verification"}', "application/json", {"type": "url_verification"}),
    ],
)
def test_each_shape_that_slack_sends_is_read(body, content_type, read):
    """Interactions, commands, Slack's own checks and events."""
    assert parse_request(body.decode(), content_type) == read


def test_the_errors_say_what_kind_they_are(signatures):
    """The kind is the metric's label."""
    with pytest.raises(NotFromSlackError, match="not signed by Slack") as refused:
        signatures.check(Headers({}), b"")
    assert refused.value.kind == "forged"
    with pytest.raises(MalformedError, match="neither an interaction nor a command"):
        parse_request("a=1", FORM)
