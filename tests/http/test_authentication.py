"""Who may send."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from bot.http.application import ALERTS
from bot.http.authentication import Gatekeeper, Sender, Stranger
from runbooks.model.record import RecordKind
from tests.way_in import TOKEN, WayIn, alert, notification


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


GATEKEEPER = Gatekeeper(
    [SecretStr("old-token"), SecretStr("new-token")], [SecretStr("alertmanager:secret:with:colons")]
)

ANSWERS = {
    "the first token": ("Bearer old-token", "bearer-1@10.0.0.3"),
    "the second token, while they are rotated": ("Bearer new-token", "bearer-2@10.0.0.3"),
    "the scheme in lower case": ("bearer old-token", "bearer-1@10.0.0.3"),
    "basic": (basic("alertmanager:secret:with:colons"), "basic-1@10.0.0.3"),
    "another token": ("Bearer other", 401),
    "a token that begins rightly": ("Bearer old-token-and-more", 401),
    "the beginning of a token": ("Bearer old", 401),
    "an empty token": ("Bearer ", 401),
    "no scheme": ("old-token", 401),
    "a token as basic": (basic("old-token"), 401),
    "a basic pair as a token": ("Bearer alertmanager:secret:with:colons", 401),
    "the wrong password": (basic("alertmanager:other"), 401),
    "the wrong user": (basic("prometheus:secret:with:colons"), 401),
    "basic that is not base64": ("Basic !!!", 401),
    "another scheme": ("Digest old-token", 401),
    "letters beyond ASCII": ("Bearer \xe9\xff", 401),
    "nothing": (None, 401),
}


@pytest.mark.parametrize(("credentials", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_knows_senders_by_their_credentials(credentials, expected):
    """Each configured credential opens, and nothing else does; the record names which one it was."""
    headers = Headers({"authorization": credentials} if credentials else {})
    found = GATEKEEPER.identify(headers, "10.0.0.3")

    assert (found.name if isinstance(found, Sender) else found.status) == expected


NEIGHBOURS = {
    "this machine": ("127.0.0.1", {}, None),
    "this machine, another address": ("127.8.8.8", {}, None),
    "this machine, IPv6": ("::1", {}, None),
    "this machine, IPv4 in IPv6": ("::ffff:127.0.0.1", {}, None),
    "another machine": ("10.0.0.3", {}, 403),
    "another machine, IPv4 in IPv6": ("::ffff:10.0.0.3", {}, 403),
    "no address": ("", {}, 403),
    "a name": ("localhost", {}, 403),
    "a proxy on this machine": ("127.0.0.1", {"x-forwarded-for": "10.0.0.3"}, 403),
    "a proxy that says it in the standard's way": ("127.0.0.1", {"forwarded": "for=10.0.0.3"}, 403),
    "a web page in a browser on this machine": ("127.0.0.1", {"origin": "https://evil.example"}, 403),
}


@pytest.mark.parametrize(("peer", "headers", "status"), NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_without_credentials_only_programs_of_this_machine_may_send(peer, headers, status):
    """Nothing that only looks like this machine may send, where no token is asked for."""
    found = Gatekeeper().identify(Headers(headers), peer)

    assert (found.status if isinstance(found, Stranger) else None) == status


async def test_a_stranger_is_refused_before_the_body_is_read(way):
    """Nothing of a stranger's body is read, and nothing is written."""
    read = False

    async def body():
        nonlocal read
        read = True
        yield b"{}"

    async with way.sender(token="wrong") as sender:
        answer = await sender.request("POST", ALERTS, content=body())

    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers
    assert not read
    assert way.records() == []
    assert way.counted("paramedic_receiver_answers_total", code="401") == 1


async def test_the_sender_is_on_record_without_its_secret(way):
    """A record says which credential was used, and never shows it."""
    async with way.sender() as sender:
        await sender.post(notification(alert(instance="web-1")))

    [record] = way.records(RecordKind.ALERT_RECEIVED)
    assert record.data["sender"] == "bearer-1@127.0.0.1"
    assert TOKEN not in record.model_dump_json()


async def test_from_elsewhere_without_configured_tokens(tmp_path):
    """No tokens configured is no invitation to the network."""
    with WayIn(tmp_path, tokens=()) as way:
        async with way.sender(token=None, peer="10.0.0.3") as stranger, way.sender(token=None) as neighbour:
            refused = await stranger.post(notification(alert(instance="web-1")))
            taken = await neighbour.post(notification(alert(instance="web-1")))

    assert (refused.status_code, taken.status_code) == (403, 200)
