"""While Slack tells nothing, the connections file vouches for those whom it lists, and for nobody else."""

from __future__ import annotations

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
    """Slack, while nobody answers there."""

    async def auth_test(self) -> NoReturn:
        raise ConnectionRefusedError("nobody listens")

    async def users_info(self, *, user: str) -> NoReturn:
        raise ConnectionRefusedError(f"nobody tells who {user} is")


@pytest.fixture
def people():
    return SlackPeople(cast("AsyncWebClient", Silent()), GROUPS)


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
