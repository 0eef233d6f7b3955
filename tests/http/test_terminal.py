"""The door for command lines: who has no token gets nothing but a code, and every refusal says why."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette

from bot.desk import Desk
from bot.http.bodies import Bodies
from bot.http.terminal import LARGEST, TerminalDoor
from bot.logins import Logins
from bot.requests import ASK_PATH, LOGIN_PATH
from runbooks.model.record import RecordKind

ANN = "slack:T1/UANN"


@pytest.fixture
def logins(way):
    return Logins(way.ledger, lifetime=timedelta(hours=12))


@pytest.fixture
def door(way, logins):
    return TerminalDoor(logins, Desk(way.ledger, way.operations, logins))


@pytest.fixture
async def visitor(door):
    """Somebody who calls, without a network."""
    transport = httpx.ASGITransport(Starlette(routes=door.routes), client=("10.0.0.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://paramedic") as visitor:
        yield visitor


async def begin(visitor):
    told = (await visitor.post(LOGIN_PATH, json={"label": "ann@laptop\x1b[31m"})).json()
    return told, {"authorization": f"Bearer {told['token']}"}


async def test_a_login_is_had_without_credentials_and_gives_nothing_yet(visitor, logins):
    """Waiting is told as waiting, and refused where somebody must be logged in."""
    told, credentials = await begin(visitor)

    waiting = await visitor.get(LOGIN_PATH, headers=credentials)
    refused = await visitor.post(ASK_PATH, headers=credentials, json={"what": "status"})
    await logins.confirm(told["code"], ANN, "slack:C1")
    confirmed = await visitor.get(LOGIN_PATH, headers=credentials)

    assert (waiting.status_code, waiting.json()["person"]) == (200, "")
    assert (refused.status_code, refused.json()["code"]) == (401, "login_wrong")
    assert confirmed.json()["person"] == ANN
    assert (confirmed.json()["peer"], "\x1b" in confirmed.json()["label"]) == ("10.0.0.7", False)
    assert {each.headers["cache-control"] for each in (waiting, refused, confirmed)} == {"no-store"}


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer L-AAAAAA.x", "Basic YTpi", "Bearer é"])
async def test_a_stranger_is_refused_and_told_what_to_do(visitor, header):
    """Whatever they send, whatever they ask for."""
    headers = {"authorization": header.encode("latin-1")} if header else {}

    for answer in (
        await visitor.post(ASK_PATH, headers=headers, json={"what": "freeze", "reason": "x"}),
        await visitor.get(LOGIN_PATH, headers=headers),
        await visitor.delete(LOGIN_PATH, headers=headers),
    ):
        assert answer.status_code == 401
        assert "paramedic login" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 413, "larger than"),
        (b'{"what": "shutdown"}', 422, "cannot be asked here"),
        (b'{"what": "thaw", "scope": "db-1", "as": "root"}', 422, "as"),
        (b'{"what": "freeze", "reason": "' + b"x" * 5000 + b'"}', 422, "at most 4000"),
    ],
    ids=["no JSON", "too large", "unknown", "a word too much", "too long"],
)
async def test_what_cannot_be_understood_is_explained(visitor, logins, body, status, complaint):
    """And nothing is done."""
    told, credentials = await begin(visitor)
    await logins.confirm(told["code"], ANN, "slack:C1")

    answer = await visitor.post(ASK_PATH, headers=credentials, content=body)

    assert answer.status_code == status
    assert complaint in answer.json()["error"]


async def test_a_request_that_was_answered_takes_up_no_room(visitor, door):
    """Whether it was understood or not."""
    label = b'{"label": "ann"}'
    door._bodies = Bodies(len(label))

    answers = [await visitor.post(LOGIN_PATH, content=body) for body in (label, b"{", label)]

    assert [answer.status_code for answer in answers] == [201, 400, 201]


async def test_a_browser_cannot_ask_for_a_login(visitor):
    """A page that somebody has open could otherwise use up all codes of this machine."""
    answer = await visitor.post(LOGIN_PATH, json={}, headers={"origin": "https://evil.example"})

    assert (answer.status_code, answer.json()["error"]) == (
        403,
        "a login is for a command line; nothing is taken from a browser",
    )


async def test_too_many_logins_at_a_time_are_refused(visitor):
    """So that codes cannot be guessed; it is not for ever."""
    answers = [await visitor.post(LOGIN_PATH, json={}) for _ in range(4)]

    assert [each.status_code for each in answers] == [201] * 3 + [429]
    assert "try again in 5 minutes" in answers[-1].json()["error"]


async def test_a_label_that_is_no_text_is_explained(visitor):
    """And no login waits for it."""
    answer = await visitor.post(LOGIN_PATH, json={"label": 123})

    assert (answer.status_code, "must be a text" in answer.json()["error"]) == (422, True)


async def test_somebody_whom_nobody_knows_here_does_nothing(visitor, logins, way):
    """A login is for a person; what they may is asked of the policy, and where they are known."""
    told, credentials = await begin(visitor)
    await logins.confirm(told["code"], ANN, "slack:C1")  # and Slack is off here

    answer = await visitor.post(ASK_PATH, headers=credentials, json={"what": "thaw"})

    assert (answer.status_code, answer.json()["code"]) == (422, "stranger")
    assert way.records(RecordKind.THAW) == []


def test_the_limit_is_larger_than_any_request():
    """The longest reason, in the longest characters, fits."""
    assert LARGEST > 2 * 4000 * 6
