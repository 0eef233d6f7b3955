"""A question is shown even where the message that it was to share is never posted, or is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.slack import boards as boards_module
from bot.slack import presenter as presenter_module
from bot.slack.boards import Board
from bot.slack.card import APPROVE
from bot.slack.people import SlackPeople
from bot.slack.poster import Poster
from bot.slack.presenter import FIRST_PAUSE, GOOD_WHILE, Presenter
from bot.slack.seating import TRIES, Seating, SpotGivenUpError, group_key
from bot.slack.sender import Posted, SlackAwayError
from runbooks.errors import LedgerError
from runbooks.model.alert import Alert, AlertStatus
from runbooks.policy.story import read_story
from tests.ledgers import new_ledger
from tests.records import ALERT, NOON, Telling
from tests.slack.rig import MILD, Rig
from tests.waiting import as_entry

GROUP = '{}/{severity="page"}:{service="checkout"}'
PATIENCE = 60.0  # seconds; waits end as soon as what they wait for is there
SECOND_GATE = "R-000002/gate-1"


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(boards_module, "UPDATE_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "LINE_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "PATIENCE", timedelta(0))
    async with Rig.open(tmp_path) as opened:
        yield opened


def checking(number: int) -> Telling:
    """A remediation of the incident whose checks are under way."""
    alert = ALERT.model_copy(update={"group_key": GROUP}).model_dump(mode="json")
    plan = MILD.model_copy(update={"target": f"host-{number}"})
    return Telling(f"R-{number:06}", plan=plan).admitted(alert=alert)


def asking(number: int) -> Telling:
    """One that asks."""
    return checking(number).check("before", "passed").planned().asked()


async def keep(rig, told, known=0):
    """Put its records into the ledger, but for those that are `known` there."""
    await rig.ledger.append(*map(as_entry, told.records[known:]))
    return len(told.records)


def grouped() -> Alert:
    return Alert(status=AlertStatus.FIRING, labels={"alertname": "A"}, group_key=GROUP)


async def gives_way(waiting):
    with pytest.raises(SpotGivenUpError):
        await waiting


@pytest.mark.slow
async def test_who_waits_for_a_message_is_shown_when_the_first_there_ends_without_one(rig, monkeypatch):
    """The first became a short line instead, while Slack said no to its card."""
    monkeypatch.setattr(presenter_module, "FIRST_PAUSE", 1.0)  # the second must come while the first rests
    nowhere = asyncio.Event()
    bot = rig.bot()
    bot.sender.tally.count = lambda outcome: nowhere.set() if outcome == "nowhere" else None
    async with bot.running():
        rig.server.faults.refuse("chat.postMessage", "restricted_action", times=1)
        first = checking(1)
        known = await keep(rig, first)
        await asyncio.wait_for(nowhere.wait(), PATIENCE)
        await keep(rig, asking(2))
        first.check("before", "failed").ended("not_needed")
        await keep(rig, first, known)
        await rig.hands.wait_for_button(APPROVE, SECOND_GATE, PATIENCE)


@pytest.mark.slow
async def test_who_waits_for_a_message_is_shown_when_the_first_there_always_fails(rig, monkeypatch):
    """One odd remediation holds up no others of its incident."""
    real = presenter_module.render_card

    def odd(story, **more):
        if story.remediation == "R-000001":
            raise ValueError("odd")
        return real(story, **more)

    monkeypatch.setattr(presenter_module, "render_card", odd)
    async with rig.bot().running():
        await keep(rig, checking(1))
        await keep(rig, asking(2))
        await rig.hands.wait_for_button(APPROVE, SECOND_GATE, PATIENCE)


@pytest.mark.slow
async def test_who_joins_a_message_is_shown_however_long_its_row_takes(rig, monkeypatch):
    """The board on which all others have ended is over sooner than the ledger has the newcomer's row."""
    keep_row, run_board, over = Presenter._keep, Board.run, asyncio.Event()

    async def run(self):
        await run_board(self)
        over.set()

    async def slow(self, story, place, state, shown=None):
        if story.remediation == "R-000002" and shown is not None and self._boards.at(place) is not None:
            await over.wait()
        await keep_row(self, story, place, state, shown)

    monkeypatch.setattr(Board, "run", run)
    monkeypatch.setattr(Presenter, "_keep", slow)
    async with rig.bot().running():
        first = asking(1)
        known = await keep(rig, first)
        await rig.hands.wait_for_button(APPROVE, "R-000001/gate-1", PATIENCE)
        first.answered("denied", reason="no").gate_closed("denied").ended("denied")
        await keep(rig, first, known)
        await rig.no_buttons()
        await keep(rig, asking(2))
        await rig.hands.wait_for_button(APPROVE, SECOND_GATE, PATIENCE)


async def test_a_message_that_is_given_up_lets_those_who_wait_take_a_seat_anew():
    """One of them is the first of the next message, which counts as no second one; the others join it."""
    seating = Seating(lambda: NOON)
    spot, _ = seating.seat(grouped())
    joined, _ = seating.seat(grouped())
    waiting = asyncio.create_task(gives_way(asyncio.shield(joined.posted)))
    await asyncio.sleep(0)

    seating.give_up(spot)

    await waiting
    again = [seating.seat(grouped()) for _ in range(3)]
    assert [is_first for _, is_first in again] == [True, False, False]
    assert all(each is again[0][0] is not spot for each, _ in again)
    assert len(seating._begun) == 1


@pytest.mark.parametrize(("alert", "given_up"), [(grouped(), True), (None, False)], ids=["shared", "alone"])
async def test_a_message_that_others_wait_for_is_given_up_after_a_few_tries(alert, given_up):
    """Not at the first trouble, and never where nobody can be waiting."""
    seating = Seating(lambda: NOON)
    spot, _ = seating.seat(alert)

    for _ in range(TRIES - 1):
        seating.failed(spot)
    early = spot.posted.done()
    seating.failed(spot)

    assert not early
    assert spot.posted.done() is given_up
    assert (group_key(alert) in seating._spots) is False


async def test_nobody_waits_for_a_board_that_is_over():
    """Whoever shows something there hears of it, and opens it again."""
    told = asking(1)
    board = Board(Posted(channel="C1", ts="1.1"), None)
    await board.run()

    with pytest.raises(SlackAwayError, match="opened again"):
        await board.show(told.records, read_story(told.records), told=-1)


async def test_after_a_good_while_trouble_is_new_trouble(tmp_path, monkeypatch):
    """The pause doubles only while the ledger cannot be followed at all."""
    now, slept = [NOON], []

    async def follow(desks):
        if len(slept) == 3:
            now[0] += GOOD_WHILE + timedelta(seconds=1)
        raise LedgerError("away")

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    ledger = new_ledger(tmp_path / "ledger.db")
    presenter = Presenter(
        ledger, poster=Poster(None, "C1"), people=SlackPeople(None, {}), clock=lambda: now[0]
    )
    monkeypatch.setattr(presenter, "_follow", follow)
    monkeypatch.setattr(presenter_module.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await presenter.run()
    ledger.close()

    assert slept == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, FIRST_PAUSE]
