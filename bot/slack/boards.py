"""Boards at work: messages that several remediations share, and the threads below them.

Whatever changes is gathered for a moment and shown by one update.  The thread is for what people
must hear, so it tells many things in one message, and not more often than anybody could read; it
mentions each group once a message.  What was not told yet when a process dies is told by the next
one: a remediation's row in the `card` table moves on only when its news are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from activities.ledger import cards, records
from activities.ledger.cards import Card
from activities.ledger.store import Ledger, Transaction
from bot.slack.board import Row, plain_board, render_board, row_of
from bot.slack.headline import target
from bot.slack.lines import board_news
from bot.slack.people import SlackPeople
from bot.slack.places import Places
from bot.slack.poster import Draft, Poster
from bot.slack.progress import Progress, render_progress
from bot.slack.seating import lead_of
from bot.slack.sender import Posted, SlackAwayError, SlackRefusedError, Urgency
from bot.slack.text import code
from runbooks.errors import LedgerError
from runbooks.model.alert import Alert
from runbooks.model.record import Record
from runbooks.policy.story import Story, StoryError, read_story

LOG = structlog.get_logger("paramedic.slack")

UPDATE_PAUSE = 0.5  # seconds in which changes gather into one update
THREAD_PAUSE = 20.0  # seconds between two messages in the thread
FIRST_PAUSE = 1.0  # seconds before it is tried again after Slack said no; doubles
LONGEST_PAUSE = 60.0

CARD = "card"
"""What the `card` table says of a remediation that a message of the channel shows, alone or not."""


@dataclass(frozen=True)
class _News:
    """What is to be told of one remediation: the records `first` to `last`."""

    remediation: str
    first: int
    last: int
    about: str
    progress: tuple[Progress, ...]


@dataclass(frozen=True)
class Crew:
    """What all boards need."""

    ledger: Ledger
    poster: Poster
    places: Places
    people: SlackPeople
    timeline_command: str
    clock: Callable[[], datetime]


class Board:
    """One message that several remediations share."""

    def __init__(self, place: Posted, crew: Crew) -> None:
        self.place = place
        self._crew = crew
        self._rows: dict[str, Row] = {}
        self._alerts: dict[str, Alert | None] = {}
        self._queued: dict[str, int] = {}  # the last record whose news are told, or wait to be
        self._untold: list[_News] = []
        self._said = 0  # of those, how many the thread has been told; that is not on record yet
        self._waiting: list[asyncio.Future[None]] = []
        self._changed = False
        self._asked: list[dict[str, Any]] | None = None  # the buttons that it offers; None: not known
        self._is_left = False  # nobody keeps it up to date any more
        self._woken = asyncio.Event()
        self._tell_at = 0.0  # by the loop's clock
        self._pause = FIRST_PAUSE

    # --- for those who have news ----------------------------------------------------------------

    async def show(self, stream: Sequence[Record], story: Story, *, told: int) -> None:
        """Show where a remediation is; return when the message says so.  Its thread follows.

        Args:
            told: the last of its records whose news are told, as the `card` table says.

        Raises:
            SlackRefusedError: Slack said no.
            SlackAwayError: Slack does not answer, or the board is over: it must be opened again.
        """
        if self._is_left:
            raise SlackAwayError("the board", "it is over, and is opened again", maybe_sent=False)
        since = max(told, self._queued.get(story.remediation, -1))
        news = [record for record in stream if record.seq > since]
        if news:
            self._untold.append(_news_of(stream, story, since))
        self.put(story)
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(shown)
        await shown

    def put(self, story: Story) -> None:
        """Let the next update show where a remediation is."""
        self._rows[story.remediation] = row_of(story)
        self._alerts[story.remediation] = story.alert
        self._queued[story.remediation] = story.last_seq
        self._changed = True
        self._woken.set()

    def redraw(self) -> None:
        """Put what it shows there once more: somebody has written something else in its place."""
        self._changed = True
        self._woken.set()

    @property
    def first_untold(self) -> int | None:
        """The first record whose news are not told yet; None where all are."""
        return min((news.first for news in self._untold), default=None)

    @property
    def is_over(self) -> bool:
        """Whether everything on it has ended, is shown and told."""
        busy = self._changed or self._untold or self._waiting
        return not busy and all(row.state == "ended" for row in self._rows.values())

    # --- the work -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the message and its thread up to date until it is over."""
        while not self.is_over:
            await self._until_there_is_something()
            try:
                if self._changed:
                    await self._update()
                elif self._untold and self._now() >= self._tell_at:
                    await self._tell()
            except (SlackRefusedError, SlackAwayError, LedgerError) as error:
                await self._rest(error)
            except Exception as error:  # one odd board must not take all other cards away
                LOG.exception("a board is not shown")
                await self._rest(error)
            else:
                self._pause = FIRST_PAUSE
        self._is_left = True

    async def load(self, rows: Sequence[Card]) -> None:
        """Take in what sits here already.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        for row in rows:
            stream = await self._crew.ledger.read(
                lambda c, name=row.remediation: records.stream_of(c, name)  # type: ignore[misc]
            )
            try:
                story = read_story([record for record in stream if record.seq <= row.seq] or stream)
            except StoryError as error:
                LOG.warning("not shown in Slack: its records are no story", error=str(error))
                continue
            if row.remediation not in self._rows:  # else it was put here meanwhile, and is newer
                self.put(story)
                self._queued[row.remediation] = row.seq

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _until_there_is_something(self) -> None:
        self._woken.clear()
        if not self._changed:
            wait = max(0.0, self._tell_at - self._now()) if self._untold else None
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                return
        await asyncio.sleep(UPDATE_PAUSE)

    async def _rest(self, error: Exception) -> None:
        """Tell those who wait that it did not work, and try again after a while."""
        waiting, self._waiting = self._waiting, []
        _fail(waiting, error)
        self._changed = True
        self._tell_at = self._now() + self._pause
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _update(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._changed = False
        asked = [row.buttons for row in self._rows.values() if row.state == "asking"]
        # Where people are asked what they were asked before, a card with a question goes first.
        urgency = Urgency.CARD if asked == self._asked else Urgency.GATE
        try:
            self.place = await self._crew.places.update(self.place, self._draft(), urgency=urgency)
            self._asked = asked
        except BaseException as error:  # cancelled as well: whoever waits must hear of it
            _fail(waiting, error)
            raise
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def _draft(self) -> Draft:
        rows, crew = list(self._rows.values()), self._crew
        lead = lead_of(self._alerts.values())
        return Draft(
            about=f"{len(rows)} remediations",
            full=lambda: render_board(lead, rows, timeline_command=crew.timeline_command),
            plain=lambda: plain_board(rows),
        )

    async def _tell(self) -> None:
        told = list(self._untold)
        fresh = told[self._said :]
        groups = tuple(
            dict.fromkeys(group for news in fresh for each in news.progress for group in each.mention)
        )
        lines = [f"{news.about} {each.text}" for news in fresh for each in news.progress]
        if lines:
            who = await self._crew.people.mention(groups) if groups else ""
            urgency = Urgency.GATE if groups else Urgency.PROGRESS
            await self._crew.poster.reply(self.place, board_news(who, lines), urgency=urgency)
            self._tell_at = self._now() + THREAD_PAUSE
        self._said = len(told)
        await self._keep(told)

    async def _keep(self, told: Sequence[_News]) -> None:
        last = {news.remediation: news.last for news in told}
        place = self.place
        rows = [
            Card(remediation=name, channel=place.channel, ts=place.ts, seq=seq, state=CARD)
            for name, seq in last.items()
        ]

        def keep(transaction: Transaction) -> None:
            for row in rows:
                cards.keep(transaction, row)

        await self._crew.ledger.write(keep)
        self._untold, self._said = self._untold[len(told) :], 0


def _news_of(stream: Sequence[Record], story: Story, since: int) -> _News:
    shown = [record for record in stream if record.seq <= since]
    before = read_story(shown) if shown else None
    first = next(record.seq for record in stream if record.seq > since)
    progress = tuple(render_progress(before, story))
    return _News(story.remediation, first, story.last_seq, code(target(story), 60), progress)


def _fail(waiting: Sequence[asyncio.Future[None]], error: BaseException) -> None:
    for each in waiting:
        if not each.done():
            each.set_exception(SlackAwayError("the board", str(error), maybe_sent=True))


class Boards:
    """All boards that are at work.

    Args:
        begin: runs a board in the background.
    """

    def __init__(self, crew: Crew, begin: Callable[[Board], object]) -> None:
        self._crew = crew
        self._begin = begin
        self._boards: list[Board] = []
        self._opening = asyncio.Lock()

    @property
    def first_untold(self) -> int | None:
        """The first record whose news are not told yet, of all boards."""
        untold = (board.first_untold for board in self._boards)
        return min((seq for seq in untold if seq is not None), default=None)

    def at(self, place: Posted) -> Board | None:
        """Return the board at a place, or that was there before it moved, if there is one at work."""
        now = self._crew.places.now
        return next((board for board in self._boards if now(board.place) == now(place)), None)

    async def open(self, place: Posted) -> Board:
        """Return the board at a place; it is set to work where it is not yet.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        async with self._opening:
            board = self.at(place)
            if board is None:
                now = self._crew.places.now(place)
                board = Board(now, self._crew)
                where = (now.channel, now.ts)
                self._boards.append(board)  # first: what changes while it is read must come here, too
                try:
                    await self._crew.places.write_moves()
                    await board.load(await self._crew.ledger.read(lambda c: cards.at(c, *where)))
                except BaseException:  # cancelled as well: nobody would set it to work
                    self._boards.remove(board)
                    raise
                self._begin(board)
            return board

    async def work(self, board: Board) -> None:
        """Let a board work until it is over."""
        try:
            await board.run()
        finally:
            self._boards.remove(board)
