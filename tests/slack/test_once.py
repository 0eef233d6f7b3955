"""What was posted is not posted again, though it could not be written down, or somebody else was there as well."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from activities.ledger import freezes
from bot.slack import boards as boards_module
from bot.slack import presenter as presenter_module
from bot.slack.places import Places
from bot.slack.poster import Draft
from bot.slack.sender import Posted, SlackRefusedError, Urgency
from runbooks.errors import LedgerError
from tests.ledgers import new_ledger
from tests.records import ALERT, Telling
from tests.slack.rig import MILD, Rig
from tests.waiting import as_entry

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # seconds; waits end as soon as what they wait for is there


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(boards_module, "UPDATE_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "LINE_PAUSE", 0.05)
    for module in (boards_module, presenter_module):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
        monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    async with Rig.open(tmp_path) as opened:
        yield opened


def asking(number):
    """A remediation that asks, of one incident with the others."""
    alert = ALERT.model_copy(update={"group_key": '{}:{service="checkout"}'}).model_dump(mode="json")
    told = Telling(f"R-{number:06}", plan=MILD.model_copy(update={"target": f"host-{number}"}))
    return told.admitted(alert=alert).check("before", "passed").planned().asked()


def withheld():
    return (
        Telling("R-WWWWWW")
        .admitted("withheld", reason="frozen", sentence="x")
        .ended("withheld", "y", "frozen")
    )


async def keep(rig, *told):
    await rig.ledger.append(*(as_entry(record) for each in told for record in each.records))


async def freeze(rig):
    await rig.ledger.write(
        lambda t: freezes.freeze(
            t, "*", actor="slack:T0PRACTICE/U0BOB", source="slack", reason="db", at=rig.now()
        )
    )


class FullDisk:
    """A ledger that can be read, and takes nothing of what Slack's side wants to remember."""

    def __init__(self, ledger):
        self.is_full = True
        self.refused = 0
        self._news = asyncio.Event()
        self._write = ledger.write
        ledger.write = self.write

    async def write(self, work, **more):
        if self.is_full and work.__module__.startswith("bot.slack."):
            self.refused += 1
            self._news.set()
            raise LedgerError("the disk is full")
        return await self._write(work, **more)

    async def has_refused(self, times):
        """Return when it has, counted from now."""
        wanted = self.refused + times
        async with asyncio.timeout(PATIENCE):
            while self.refused < wanted:
                self._news.clear()
                await self._news.wait()


def posts(rig):
    """The texts of all that was posted, in the channel and in threads."""
    return [
        str(call.arguments.get("text"))
        for call in rig.server.workspace.calls
        if call.method == "chat.postMessage"
    ]


@pytest.mark.parametrize(
    ("begin", "shown"),
    [
        pytest.param(lambda rig: keep(rig, asking(0)), "Approval needed", id="a card and its thread"),
        pytest.param(lambda rig: keep(rig, withheld()), "R-WWWWWW", id="a line"),
        pytest.param(freeze, "*Frozen*", id="the brake"),
    ],
)
async def test_what_cannot_be_written_down_is_posted_once(rig, begin, shown):
    """A full disk, or another process that holds the file: Slack's channel must not fill up as well."""
    disk = FullDisk(rig.ledger)
    async with rig.bot().running():
        await begin(rig)
        await rig.see(shown)
        await disk.has_refused(4)
        disk.is_full = False
        await rig.noted()

    assert len(set(posts(rig))) == len(posts(rig))


async def test_a_board_tells_its_thread_once(rig):
    """It mentions those who are asked: once, though what it told cannot be written down."""
    disk = FullDisk(rig.ledger)
    disk.is_full = False
    async with rig.bot().running():
        await keep(rig, asking(0), asking(1))
        await see_title(rig, "▲ 2 answers are needed")
        await rig.noted("R-000001")
        disk.is_full = True
        closed = asking(1)
        known = len(closed.records)
        closed.answered("denied", reason="not now").gate_closed("denied").ended("denied")
        await rig.ledger.append(*map(as_entry, closed.records[known:]))
        await disk.has_refused(4)
        disk.is_full = False
        await rig.noted("R-000001")

    assert len(set(posts(rig))) == len(posts(rig))


async def test_a_message_on_its_way_is_not_posted_again_when_the_ledger_cannot_be_followed(rig):
    """Whoever began anew would not know of it."""
    following, broken = rig.ledger.follow, asyncio.Event()

    async def follow(after, **more):
        async for batch in following(after, **more):
            yield batch
            if not broken.is_set():
                await broken.wait()
                raise LedgerError("the connection is gone")

    rig.ledger.follow = follow
    rig.server.faults.slow("chat.postMessage", seconds=0.5)
    async with rig.bot().running():
        await keep(rig, asking(0))
        async with asyncio.timeout(PATIENCE):
            while rig.server.faults.waiting():  # noqa: ASYNC110 - nobody is told when a call comes in
                await asyncio.sleep(0.01)
        broken.set()
        await rig.see("Approval needed")
        await rig.noted()

    assert len(set(posts(rig))) == len(posts(rig))


async def test_a_lost_message_is_posted_again_once(tmp_path):
    """A card and the board that follows it find out at the same moment: the second goes where the first went."""
    lost, found = Posted(channel="C1", ts="1.1"), Posted(channel="C1", ts="2.2")
    slack = _Channel(lost, found)
    with closing(new_ledger(tmp_path / "ledger.db")) as ledger:
        places = Places(ledger, slack)
        card = asyncio.create_task(places.update(lost, draft("card"), urgency=Urgency.CARD))
        board = asyncio.create_task(places.update(lost, draft("board"), urgency=Urgency.GATE))
        await slack.both_know.wait()
        slack.may_post.set()
        assert {await card, await board} == {found}

    assert len(slack.posted) == 1
    assert {*slack.posted, *slack.shown} == {"card", "board"}


def draft(about):
    return Draft(about=about, full=lambda: None, plain=lambda: None)


class _Channel:
    """A poster whose message is gone."""

    def __init__(self, lost, found):
        self.lost, self.found = lost, found
        self.posted, self.shown = [], []
        self.knowing = 0
        self.both_know, self.may_post = asyncio.Event(), asyncio.Event()

    async def replace(self, place, draft, *, urgency):
        if place == self.found:
            self.shown.append(draft.about)
            return
        self.knowing += 1
        if self.knowing == 2:
            self.both_know.set()
        raise SlackRefusedError("chat.update", "message_not_found")

    async def post(self, draft, *, urgency):
        await self.may_post.wait()
        self.posted.append(draft.about)
        return self.found


async def test_another_process_does_not_put_one_card_in_the_place_of_all(rig):
    """An answer that came too late is told by whoever heard it; the message of many is for who is on duty."""
    async with rig.bot().running():
        await keep(rig, asking(0), asking(1))
        board = await see_title(rig, "▲ 2 answers are needed")
        await rig.noted("R-000001")
    await rig.bot().presenter.tidy("R-000000", Posted(channel="C0INCIDENTS", ts=board["ts"]))

    (message,) = await rig.hands.messages()
    assert message["text"].startswith("▲ 2 answers are needed")


async def see_title(rig, words):
    def seen(sight):
        return next((each for each in sight.messages("#incidents") if each["text"].startswith(words)), None)

    return await rig.hands.wait_for(seen, PATIENCE)
