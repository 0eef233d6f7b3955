"""`slack.escalate`: told, or said that nobody was told."""

from __future__ import annotations

import pytest

from activities.slack import Escalate, escalate
from runbooks.errors import FailedError


class FakeTeller:
    """Remembers what was told to whom."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    async def tell(self, *, to: str, text: str, remediation: str) -> str:
        self.told.append((to, text, remediation))
        return "#ops/1700000000.000100"


async def test_tells_the_group(make_scene):
    """
    The group is told the text, for this remediation, and where is on record.
    """
    teller = FakeTeller()

    done = await escalate.perform(Escalate(to="sre-oncall", text="Look at it."), make_scene(teller=teller))

    assert teller.told == [("sre-oncall", "Look at it.", "R-TEST")]
    assert done.sentence == "told sre-oncall"
    assert done.output == {"where": "#ops/1700000000.000100"}


async def test_says_that_a_person_is_needed_where_the_author_says_nothing(make_scene):
    """
    Without a text the group still learns what is asked of it.
    """
    teller = FakeTeller()

    await escalate.perform(Escalate(to="sre-oncall"), make_scene(teller=teller))

    assert "needs a person" in teller.told[0][1]


async def test_does_not_pretend_that_anybody_was_told(make_scene):
    """
    Without a chat it fails, in words that name the group.
    """
    with pytest.raises(FailedError, match="sre-oncall was not told: no chat is connected"):
        await escalate.perform(Escalate(to="sre-oncall"), make_scene())
