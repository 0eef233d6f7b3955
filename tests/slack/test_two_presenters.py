"""Two processes that could both keep the cards: one does, and the other goes on where it dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest

from bot.duty import OnDuty, Pace
from bot.slack import presenter as presenter_module
from tests.records import Telling, a_good_night
from tests.slack.rig import Rig
from tests.waiting import Waiting

pytestmark = pytest.mark.slow

PACE = Pace(beats_every=0.05, looks_every=0.05)
"""Of whoever dies nobody hears; the time until others go on is that of the product."""


@contextlib.asynccontextmanager
async def presenting(rig, holder, pace=PACE):
    """A process that presents, whenever it is its turn."""
    duty = OnDuty(rig.ledger, "presenter", holder, pace=pace)
    task = asyncio.create_task(duty.run(rig.bot().presenter.run))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def posted(rig):
    """How often each text was posted, in the channel or in a thread."""
    calls = [call for call in rig.server.workspace.calls if call.method == "chat.postMessage"]
    return Counter(str(sorted(call.arguments.items(), key=str)) for call in calls)


async def test_everything_is_posted_once(tmp_path, monkeypatch):
    """Cards, threads and short lines, with two that follow the same records, the first of whom is stopped."""
    monkeypatch.setattr(presenter_module, "LINE_PAUSE", 0.05)
    async with Rig.open(tmp_path) as rig:
        first_night, second_night = a_good_night(), Telling("R-SECOND").admitted().ended("not_needed")
        async with presenting(rig, "b"):
            async with presenting(rig, "a"):
                rig.house.told.now = max(rig.house.told.now, first_night.now)
                await Waiting(rig.ledger, first_night).keep()
                await rig.see_reply("✓ Mitigated")
                await rig.all_noted()
            await Waiting(rig.ledger, second_night).keep()
            await rig.see("R-SECOND")

        assert set(posted(rig).values()) == {1}
        assert len(await rig.hands.messages()) == 2
