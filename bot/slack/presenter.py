"""The presenter: Slack as a projection of the ledger.

It follows the ledger's records and keeps one card for each remediation as they say, in its place,
with a thread below.  The engine does not know it.  All that it must remember stands in the `card`
table, so after a crash it goes on where it was: what has a row is never posted a second time.

Each remediation has a desk that shows one state at a time.  Whatever was recorded while a call
was under way is shown together by the next one, so a slow Slack gets fewer messages, not later
ones.  If the channel is gone and there is no other, those who may answer are told directly, once,
and the desk keeps trying: the gate stays open until its time is over.

Remediations that belong together, and all that comes in a storm, share one message
(`bot.slack.seating`, `bot.slack.boards`).

Not everything deserves a card.  What ended before there was a plan (not needed, withheld) gets
one short line; lines that come close together share a message.  What was withheld because the
target is in its cooldown gets none: it is the echo of a remediation that people have seen.  That
the attempts are used up is told to those who must look, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from activities.ledger import cards, records
from activities.ledger.cards import Card
from activities.ledger.store import Ledger, Transaction
from bot.intake import NO_TARGET
from bot.slack.boards import CARD, Board, Boards, Crew
from bot.slack.card import is_open, plain_card, render_card
from bot.slack.lines import (
    call,
    fitting,
    question_without_channel,
    short_line,
    system_line,
    thread_news,
    together,
)
from bot.slack.people import SlackPeople
from bot.slack.places import Places
from bot.slack.poster import CHANNEL_GONE, Draft, Poster
from bot.slack.progress import render_progress
from bot.slack.seating import INCIDENT_LASTS, Seating, Spot, SpotGivenUpError
from bot.slack.sender import Posted, SlackAwayError, SlackRefusedError, Urgency
from runbooks.errors import LedgerError
from runbooks.model.record import SYSTEM, Record, RecordKind
from runbooks.policy.story import Story, StoryError, read_story

LOG = structlog.get_logger("paramedic.slack")

PATIENCE = timedelta(seconds=2)
"""How long checks may take before a card says that they are under way."""

ASKING_PATIENCE = timedelta(seconds=30)
"""How long a card waits for the question to people, once there is a plan that needs their answer."""

OLD_NEWS = timedelta(minutes=30)
"""What ended longer ago and was never shown (Slack was off) is not shown any more."""

LINE_PAUSE = 1.0  # seconds in which short lines gather into one message
FIRST_PAUSE = 1.0  # seconds before a desk tries again after Slack said no; doubles
LONGEST_PAUSE = 60.0
GOOD_WHILE = timedelta(minutes=5)
"""Where the ledger could be followed for so long, its next trouble is a new one."""

QUIET_REASONS = frozenset({"cooldown"})
"""Reasons for withholding of which Slack says nothing."""

LINE, SILENT = "line", "silent"
"""What the `card` table remembers of a remediation that got no card: what was posted for it instead."""

TOLD_DIRECTLY = 10  # people who are told of a question that cannot be shown in any channel

_POSITION = "(presenter)"  # the row that says up to where everything has been shown


@dataclass
class _Desk:
    """One remediation's place of work.

    Attributes:
        pending: position of the first record that is not shown yet; None: all is shown.
        spot: the message of the channel that it is to post, once it has been given one.
        place: where that message, or its line, is, once it is posted; it may not be on record yet.
        reported: the last record whose news the thread has been told; that may not be on record either.
        told: the questions of which people were told directly.
    """

    remediation: str
    pending: int | None = None
    spot: Spot | None = None
    place: Posted | None = None
    reported: int = -1
    told: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_card(self) -> bool:
        """Whether it has posted a message for itself, and perhaps others."""
        return self.spot is not None and self.place is not None


@dataclass
class _Line:
    text: str
    posted: asyncio.Future[Posted]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Presenter:
    """Shows remediations in one channel.

    Args:
        timeline_command: what shows everything, without the id (`paramedic timeline`).
        clock: the time of day; tests set it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        poster: Poster,
        people: SlackPeople,
        timeline_command: str = "paramedic timeline",
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._ledger = ledger
        self._poster = poster
        self._people = people
        self._timeline_command = timeline_command
        self._clock = clock
        self._places = Places(ledger, poster)
        self._crew = Crew(ledger, poster, self._places, people, timeline_command, clock)
        self._boards = Boards(self._crew, _not_at_work)
        self._seating = Seating(clock)
        self._desks: dict[str, _Desk] = {}
        self._followed = -1  # the last record that was handed to a desk
        self._lines: list[_Line] = []
        self._line_came = asyncio.Event()

    async def run(self) -> None:
        """Show what is recorded, and what will be, until cancelled.

        While the ledger cannot be followed, desks go on with what they have begun: a message that is on
        its way would be posted a second time by whoever began anew.
        """
        pause, has_begun = FIRST_PAUSE, False
        async with asyncio.TaskGroup() as desks:
            while True:
                since = self._clock()
                try:
                    if not has_begun:
                        await self._begin(desks)
                        has_begun = True
                    await self._follow(desks)
                except LedgerError as error:
                    LOG.warning("the ledger cannot be followed", error=str(error))
                if self._clock() - since > GOOD_WHILE:
                    pause = FIRST_PAUSE
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def tidy(self, remediation: str, place: Posted) -> None:
        """Bring a message that shows `remediation` up to date, wherever it is; buttons that lie go away."""
        place = self._places.now(place)
        try:
            story = read_story(await self._stream(remediation))
            if await self._is_shared(place):
                return  # it shows others too, and is kept up to date by whoever is on duty
            await self._poster.replace(place, self._draft(story), urgency=Urgency.GATE)
        except (StoryError, SlackRefusedError, SlackAwayError, LedgerError) as error:
            LOG.warning("an old card cannot be brought up to date", error=str(error))
        else:
            if (board := self._boards.at(place)) is not None:  # others have joined meanwhile
                board.redraw()

    # --- following ------------------------------------------------------------------------------

    async def _begin(self, desks: asyncio.TaskGroup) -> None:
        """Go on where an earlier process was, or this one when it was on duty before.

        Raises:
            LedgerError: that cannot be read.
        """
        known = await self._ledger.read(lambda connection: cards.card(connection, _POSITION))
        joinable = self._clock() - INCIDENT_LASTS
        spots = await self._ledger.read(lambda connection: cards.spots(connection, joinable))
        self._followed = known.seq if known else -1
        self._seating = Seating(self._clock)
        self._seating.restore((spot.remediation, Posted(channel=spot.channel, ts=spot.ts)) for spot in spots)
        self._boards = boards = Boards(self._crew, lambda board: desks.create_task(boards.work(board)))
        self._desks = {}
        self._lines = []  # whoever said those of an earlier time is not there any more
        desks.create_task(self._post_lines())

    async def _follow(self, desks: asyncio.TaskGroup) -> None:
        """Give each desk its records, as they come.

        Raises:
            LedgerError: they cannot be read.
        """
        async for batch in self._ledger.follow(self._followed):
            for record in batch:
                self._hand_over(record, desks)

    def _hand_over(self, record: Record, desks: asyncio.TaskGroup) -> None:
        self._followed = record.seq
        if record.stream != SYSTEM:
            name = record.stream
        elif record.kind in {RecordKind.FREEZE, RecordKind.THAW} or _is_without_target(record):
            name = f"{record.kind.value}/{record.seq}"
        else:
            return
        desk = self._desks.get(name)
        if desk is None:
            desk = self._desks[name] = _Desk(name)
            desks.create_task(self._keep_showing(desk, record))
        if desk.pending is None:
            desk.pending = record.seq
        desk.news.set()

    async def _keep_showing(self, desk: _Desk, first: Record) -> None:
        """Show one remediation, or one pull of the brake, until there is nothing more to show of it."""
        pause = FIRST_PAUSE
        while True:
            desk.news.clear()
            ended = await self._try_to_show(desk, first)
            if ended is None:
                self._note_failure(desk)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            self._give_up_spot(desk)
            if desk.news.is_set():
                continue
            desk.pending = None
            if ended:
                del self._desks[desk.remediation]
                return
            await desk.news.wait()

    async def _try_to_show(self, desk: _Desk, first: Record) -> bool | None:
        """Return whether it has ended; None: it could not be shown, and must be tried again."""
        try:
            return await self._show_line(first) if first.stream == SYSTEM else await self._show(desk)
        except (SlackRefusedError, SlackAwayError, SpotGivenUpError, LedgerError) as error:
            LOG.warning("not shown in Slack yet", remediation=desk.remediation, error=str(error))
        except Exception:  # one odd remediation must not take all other cards away
            LOG.exception("not shown in Slack yet", remediation=desk.remediation)
        return None

    # --- one remediation ------------------------------------------------------------------------

    async def _show(self, desk: _Desk) -> bool:
        """Bring what Slack shows up to the records.  Return whether it has ended."""
        try:
            stream, story = await self._settled(desk)
        except StoryError as error:
            LOG.warning("not shown in Slack: its records are no story", error=str(error))
            return True
        card = await self._ledger.read(lambda connection: cards.card(connection, desk.remediation))
        if card is None:
            await self._show_first(stream, story)
        elif card.state == CARD and card.seq < story.last_seq:
            await self._show_further(card, stream, story)
        return story.ending is not None

    async def _settled(self, desk: _Desk) -> tuple[list[Record], Story]:
        """Return the records and their story; while checks have only just begun, wait for more."""
        while True:
            desk.news.clear()
            stream = await self._stream(desk.remediation)
            story = read_story(stream)
            waited = self._clock() - story.opened_at
            # Before the question is on record a card is in no hurry, and in a storm would hold it up.
            asks_soon = story.plan is not None and story.plan.gate is not None and story.gate is None
            patience = (ASKING_PATIENCE if asks_soon else PATIENCE) - waited
            has_news = story.plan is not None and not asks_soon
            if has_news or story.ending is not None or patience <= timedelta():
                return stream, story
            await _first_of(desk.news, patience.total_seconds())

    async def _show_first(self, stream: list[Record], story: Story) -> None:
        desk = self._desks[story.remediation]
        if desk.has_card:
            await self._take_seat(stream, story)
        elif _is_silent(story, self._clock()):
            self._give_up_spot(desk)
            await self._keep(story, Posted(channel="", ts=""), SILENT)
        elif story.plan is None and story.ending is not None:
            self._give_up_spot(desk)  # a line may take long, and others wait
            if desk.place is None:
                whom = f"{await self._people.mention(story.tell)} " if story.tell else ""
                desk.place = await self._say_line(f"{whom}{short_line(story)}")
            await self._keep(story, desk.place, LINE)
        else:
            await self._take_seat(stream, story)

    async def _take_seat(self, stream: list[Record], story: Story) -> None:
        """Post a message for it, or join one."""
        desk = self._desks[story.remediation]
        spot = desk.spot
        if spot is None:
            spot, is_first = self._seating.seat(story.alert)
            if is_first:
                desk.spot = spot  # until it is posted, others wait for this desk
        if desk.spot is not None:
            await self._post(desk, spot, stream, story)
        else:
            place = self._places.now(await asyncio.shield(spot.posted))
            before_all = stream[0].seq - 1
            await self._keep(story, place, CARD, shown=before_all)
            board = await self._boards.open(place)  # last, for it could be over before anything else is done
            await board.show(stream, story, told=before_all)

    def _note_failure(self, desk: _Desk) -> None:
        """Let others try who wait for this desk's message, if it fails again and again."""
        if desk.spot is not None and not desk.has_card and not desk.spot.posted.done():
            self._seating.failed(desk.spot)
            if desk.spot.posted.done():
                desk.spot = None

    def _give_up_spot(self, desk: _Desk) -> None:
        """Let others go on who wait for a message that this desk was to post, and does not."""
        if desk.spot is not None and not desk.spot.posted.done():
            self._seating.give_up(desk.spot)
            desk.spot = None

    async def _post(self, desk: _Desk, spot: Spot, stream: list[Record], story: Story) -> None:
        is_old = desk.place is not None  # it could not be put on record then
        if desk.place is None:
            desk.place = await self._post_card(story)
        place = self._places.now(desk.place)
        # The row stands before anything else is said: from here on there is a card.
        names = [
            Card(remediation=key, channel=place.channel, ts=place.ts, seq=-1, state=cards.SPOT)
            for key in spot.keys
        ]
        if names:
            await self._remember(*names)
        await self._keep(story, place, CARD, shown=stream[0].seq - 1)
        spot.posted.set_result(place)
        if is_old:
            place = await self._places.update(place, self._draft(story), urgency=Urgency.GATE)
        await self._report(place, None, story)
        await self._leave(place, story)

    async def _show_further(self, card: Card, stream: list[Record], story: Story) -> None:
        """Show what is new where it is shown already, alone or with others."""
        place = self._places.now(Posted(channel=card.channel, ts=card.ts))
        if await self._is_shared(place):
            told = self._desks[story.remediation].reported
            if told > card.seq:  # by its own card, and that could not be put on record
                await self._keep(story, place, CARD, shown=told)
            board = await self._boards.open(place)
            await board.show(stream, story, told=max(told, card.seq))
        else:
            await self._bring_up(place, card, stream, story)

    async def _is_shared(self, place: Posted) -> bool:
        if self._boards.at(place) is not None:
            return True
        there = await self._ledger.read(lambda c: cards.at(c, place.channel, place.ts))
        return len(there) > 1

    async def _bring_up(self, old: Posted, card: Card, stream: list[Record], story: Story) -> None:
        told = max(card.seq, self._desks[story.remediation].reported)
        shown = [record for record in stream if record.seq <= told]
        before = read_story(shown) if shown else None
        gate = is_open(story) or (before is not None and is_open(before))
        urgency = Urgency.GATE if gate else Urgency.CARD
        place = await self._places.update(old, self._draft(story), urgency=urgency)
        await self._report(place, before, story)
        await self._leave(place, story)

    async def _leave(self, place: Posted, story: Story) -> None:
        """Note that it is shown.  If others have joined meanwhile, the last word is the board's."""
        place = self._places.now(place)
        await self._keep(story, place, CARD)
        board = self._boards.at(place)
        if board is not None:
            board.put(story)

    async def _post_card(self, story: Story) -> Posted:
        urgency = Urgency.GATE if is_open(story) else Urgency.CARD
        try:
            return await self._poster.post(self._draft(story), urgency=urgency)
        except SlackRefusedError as error:
            if error.word in CHANNEL_GONE:
                await self._tell_directly(story)
            raise

    async def _tell_directly(self, story: Story) -> None:
        """Tell those who may answer a question that no channel shows, once."""
        gate = story.open_gate
        if gate is None:
            return
        row, told_already = f"(told) {gate.gate}", self._desks[story.remediation].told
        if (
            row in told_already
            or await self._ledger.read(lambda connection: cards.card(connection, row)) is not None
        ):
            return
        message = question_without_channel(story, gate, self._poster.trouble)
        people = await self._people.members(gate.approvers)
        told = [await self._poster.whisper(each, message) for each in people[:TOLD_DIRECTLY]]
        LOG.warning("a question is shown in no channel", remediation=story.remediation, told=sum(told))
        if any(told):
            told_already.add(row)
            await self._remember(Card(remediation=row, channel="", ts="", seq=-1, state=SILENT))

    def _draft(self, story: Story) -> Draft:
        return Draft(
            about=story.remediation,
            full=lambda: render_card(story, timeline_command=self._timeline_command),
            plain=lambda: plain_card(story),
        )

    async def _report(self, place: Posted, before: Story | None, story: Story) -> None:
        """Say in the thread what happened: first what people must hear, the rest in as few messages as it takes.

        While people are asked, the rest is as urgent as the question: the card waits for it.
        """
        news = render_progress(before, story)
        for progress in news:
            if progress.mention:
                who = await self._people.mention(progress.mention)
                await self._poster.reply(place, call(who, progress.text), urgency=Urgency.GATE)
        urgency = Urgency.GATE if is_open(story) else Urgency.PROGRESS
        for message in thread_news([progress.text for progress in news if not progress.mention]):
            await self._poster.reply(place, message, urgency=urgency)
        self._desks[story.remediation].reported = story.last_seq

    async def _keep(self, story: Story, place: Posted, state: str, shown: int | None = None) -> None:
        """Remember what is shown, and up to where nothing is left to be shown."""
        seq = story.last_seq if shown is None else shown
        card = Card(remediation=story.remediation, channel=place.channel, ts=place.ts, seq=seq, state=state)
        desk = self._desks.get(story.remediation)
        if desk is not None and desk.pending is not None:
            desk.pending = seq + 1
        await self._remember(card, self._position())

    def _position(self) -> Card:
        """Return the row that says up to where everything has been shown."""
        pending = [desk.pending for desk in self._desks.values() if desk.pending is not None]
        if (untold := self._boards.first_untold) is not None:
            pending.append(untold)
        shown = min(pending, default=self._followed + 1) - 1
        return Card(remediation=_POSITION, channel="", ts="", seq=shown, state="position")

    async def _remember(self, *rows: Card) -> None:
        def keep(transaction: Transaction) -> None:
            for row in rows:
                cards.keep(transaction, row)

        await self._ledger.write(keep)

    async def _stream(self, remediation: str) -> list[Record]:
        return await self._ledger.read(lambda connection: records.stream_of(connection, remediation))

    # --- short lines ----------------------------------------------------------------------------

    async def _show_line(self, record: Record) -> bool:
        desk = self._desks[f"{record.kind.value}/{record.seq}"]
        if desk.place is None and self._clock() - record.at < OLD_NEWS:
            desk.place = await self._say_line(system_line(record))
        desk.pending = None
        await self._remember(self._position())
        return True

    async def _say_line(self, text: str) -> Posted:
        """Say one short line in the channel, together with others, and return where it stands."""
        posted: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
        self._lines.append(_Line(text, posted))
        self._line_came.set()
        return await posted

    async def _post_lines(self) -> None:
        while True:
            await self._line_came.wait()
            await asyncio.sleep(LINE_PAUSE)
            number = fitting([each.text for each in self._lines])
            lines, self._lines = self._lines[:number], self._lines[number:]
            if not self._lines:
                self._line_came.clear()
            if lines:
                await self._post_together(lines)

    async def _post_together(self, lines: list[_Line]) -> None:
        message = together([each.text for each in lines])
        try:
            place = await self._poster.say(message, urgency=Urgency.LINE)
        except (SlackRefusedError, SlackAwayError) as error:
            for each in lines:
                each.posted.set_exception(error)
        else:
            for each in lines:
                each.posted.set_result(place)


def _not_at_work(board: Board) -> None:
    raise AssertionError(f"nobody is at work who could keep {board.place} up to date")


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    """Return when `event` is set, at the latest after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _is_silent(story: Story, now: datetime) -> bool:
    """Return whether Slack says nothing of a remediation that it has not shown yet."""
    if story.ended_at is None:
        return False
    quiet = story.ending_reason in QUIET_REASONS or bool(story.said_before)
    return now - story.ended_at > OLD_NEWS or (story.plan is None and quiet)


def _is_without_target(record: Record) -> bool:
    """Return whether a runbook was written for an alert that cannot be acted on: else nobody would know."""
    return record.kind is RecordKind.ALERT_EXPLAINED and record.data.get("reason") == NO_TARGET
