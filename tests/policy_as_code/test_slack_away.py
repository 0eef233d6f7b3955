"""While Slack tells nothing, the connections file vouches for those whom it lists, and for nobody else."""

from __future__ import annotations

import asyncio
from typing import NoReturn, cast

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from activities.connections import GroupConnection
from bot.answers import AwayError
from bot.policy.questions import Person
from bot.slack.people import SlackPeople
from runbooks.model.decision import Principal

ANN, BOB = "slack:T1/UANN", "slack:T1/UBOB"
GROUPS = {"sre-oncall": GroupConnection(members=(ANN,)), "leads": GroupConnection(members=(BOB,))}


class Silent:
    """Slack, while nobody answers there.

    Attributes:
        hangs: it takes connections, and then says nothing.
        asked: how often it was asked.
        heard: it was asked.
    """

    def __init__(self) -> None:
        self.hangs = False
        self.asked = 0
        self.heard = asyncio.Event()

    async def auth_test(self) -> NoReturn:
        self.asked += 1
        self.heard.set()
        if self.hangs:
            await asyncio.Event().wait()
        raise ConnectionRefusedError("nobody listens")

    async def users_info(self, *, user: str) -> NoReturn:
        raise ConnectionRefusedError(f"nobody tells who {user} is")


@pytest.fixture
def slack():
    return Silent()


@pytest.fixture
def people(slack):
    return SlackPeople(cast("AsyncWebClient", slack), GROUPS)


async def test_the_listed_are_in_the_groups_that_list_them(people):
    """So a gate can be answered on the day when Slack is down; of other groups nothing is known."""
    asked = ("sre-oncall", "leads", "unheard-of")

    assert await people.look_up(ANN, asked) == Principal(key=ANN, groups=("sre-oncall",))
    assert await people.know(BOB, asked) == Person(key=BOB, groups=("leads",))


async def test_everybody_else_waits_for_slack(people):
    """Nobody is let in because nobody could be asked."""
    for asked in (people.look_up, people.know):
        with pytest.raises(AwayError, match="Slack does not tell"):
            await asked("slack:T1/UEVE", ("sre-oncall",))


async def test_the_listed_do_not_wait_for_a_slack_that_hangs(people, slack, monkeypatch):
    """An answer at a gate has seconds to be judged: a server that says nothing must not use them up."""
    monkeypatch.setattr("bot.slack.people.PATIENCE", 0.01)
    slack.hangs = True

    assert await people.look_up(ANN, ("sre-oncall",)) == Principal(key=ANN, groups=("sre-oncall",))
    assert await people.know(ANN) == Person(key=ANN)


async def test_whom_the_list_puts_elsewhere_is_not_refused_because_slack_is_slow(people, slack, monkeypatch):
    """Slack may know of a group what the list does not: only its own word ends the waiting."""
    monkeypatch.setattr("bot.slack.people.PATIENCE", 0.01)
    slack.hangs = True
    waiting = asyncio.create_task(people.look_up(BOB, ("sre-oncall",)))
    await slack.heard.wait()
    await people.look_up(ANN, ("sre-oncall",))

    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize(("silence", "asked"), [(600.0, 1), (0.0, 2)])
async def test_a_slack_that_did_not_tell_is_left_alone_for_a_while(
    people, slack, monkeypatch, silence, asked
):
    """A command asks several times who somebody is, and waits once."""
    monkeypatch.setattr("bot.slack.people.SILENCE", silence)
    await people.look_up(ANN, ("sre-oncall",))
    await people.know(ANN, ("sre-oncall", "leads"))

    assert slack.asked == asked


async def test_whom_nobody_lists_is_asked_about_every_time(people, slack):
    """That Slack was silent a moment ago says nothing about whom only Slack knows."""
    await people.know(ANN)
    for _ in range(2):
        with pytest.raises(AwayError):
            await people.know("slack:T1/UEVE")

    assert slack.asked == 1 + 2
