"""The presenter: Slack as a projection of the ledger.

It follows the ledger's records and keeps one card for each remediation as they say, in its place,
with a thread below.  The engine does not know it.  All that it must remember stands in the `card`
table, so after a crash it goes on where it was: what has a row is never posted a second time.

Each remediation has a desk that shows one state at a time.  Whatever was recorded while a call
was under way is shown together by the next one, so a slow Slack gets fewer messages, not later
ones.  If the channel is gone, the desk keeps trying: the gate stays open until its
time is over.

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
from slack_sdk.errors import SlackObjectFormationError

from activities.ledger import cards, records
from activities.ledger.cards import Card
from activities.ledger.store import Ledger, Transaction
from bot.intake import NO_TARGET
from bot.slack.card import is_open, plain_card, render_card
from bot.slack.headline import PEOPLE_NEEDED, headline
from bot.slack.message import Message, say
from bot.slack.people import SlackPeople
from bot.slack.progress import Progress, render_progress
from bot.slack.sender import Posted, Sender, SlackAwayError, SlackRefusedError, Urgency
from bot.slack.text import code, line, person
from runbooks.errors import LedgerError
from runbooks.model.record import SYSTEM, Record, RecordKind
from runbooks.policy.admission import ATTEMPTS_USED_UP
from runbooks.policy.story import Story, StoryError, read_story

LOG = structlog.get_logger("paramedic.slack")

PATIENCE = timedelta(seconds=2)
"""How long checks may take before a card says that they are under way."""

ASKING_PATIENCE = timedelta(seconds=30)
"""How long a card waits for the question to people, once there is a plan that needs their answer."""

OLD_NEWS = timedelta(minutes=30)
"""What ended longer ago and was never shown (Slack was off) is not shown any more."""

LINE_PAUSE = 1.0  # seconds in which short lines gather into one message
LINES_TOGETHER = 15
FIRST_PAUSE = 1.0  # seconds before a desk tries again after Slack said no; doubles
LONGEST_PAUSE = 60.0

QUIET_REASONS = frozenset({"cooldown"})
"""Reasons for withholding of which Slack says nothing."""

CARD, LINE, SILENT = "card", "line", "silent"
"""What the `card` table remembers of a remediation's state: what was posted for it."""

_POSITION = "(presenter)"  # the row that says up to where everything has been shown
_MESSAGE_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_THREAD_GONE = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
_CONTENT_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}
)


@dataclass
class _Desk:
    """One remediation's place of work.

    Attributes:
        pending: position of the first record that is not shown yet; None: all is shown.
    """

    remediation: str
    pending: int | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Line:
    text: str
    posted: asyncio.Future[Posted]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Presenter:
    """Shows remediations in one channel.

    Args:
        channel: name or id.
        timeline_command: what shows everything, without the id (`paramedic timeline`).
        clock: the time of day; tests set it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        sender: Sender,
        people: SlackPeople,
        channel: str,
        timeline_command: str = "paramedic timeline",
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._people = people
        self._channel = channel
        self._timeline_command = timeline_command
        self._clock = clock
        self._desks: dict[str, _Desk] = {}
        self._followed = -1  # the last record that was handed to a desk
        self._lines: list[_Line] = []
        self._line_came = asyncio.Event()

    async def run(self) -> None:
        """Show what is recorded, and what will be, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._follow()
            except* LedgerError as errors:
                LOG.warning("the ledger cannot be followed", error=str(errors.exceptions[0]))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def tidy(self, remediation: str, place: Posted) -> None:
        """Bring a message that shows `remediation` up to date, wherever it is; buttons that lie go away."""
        try:
            story = read_story(await self._stream(remediation))
            await self._sender.update(place, self._message(story), urgency=Urgency.GATE)
        except (StoryError, SlackRefusedError, SlackAwayError, LedgerError) as error:
            LOG.warning("an old card cannot be brought up to date", error=str(error))

    # --- following ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        self._desks = {}
        known = await self._ledger.read(lambda connection: cards.card(connection, _POSITION))
        self._followed = known.seq if known else -1
        async with asyncio.TaskGroup() as desks:
            desks.create_task(self._post_lines())
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
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
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
        except (SlackRefusedError, SlackAwayError, LedgerError) as error:
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
            await self._bring_up(card, stream, story)
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
        if _is_silent(story, self._clock()):
            await self._keep(story, Posted(channel="", ts=""), SILENT)
        elif story.plan is None and story.ending is not None:
            whom = f"{await self._people.mention(story.tell)} " if story.tell else ""
            await self._keep(story, await self._say_line(f"{whom}{_short_line(story)}"), LINE)
        else:
            place = await self._post(story)
            # The row stands before anything else is said: from here on there is a card.
            await self._keep(story, place, CARD, shown=stream[0].seq - 1)
            await self._report(place, render_progress(None, story), asking=is_open(story))
            await self._keep(story, place, CARD)

    async def _bring_up(self, card: Card, stream: list[Record], story: Story) -> None:
        shown = [record for record in stream if record.seq <= card.seq]
        before = read_story(shown) if shown else None
        place = await self._update(Posted(channel=card.channel, ts=card.ts), before, story)
        await self._report(place, render_progress(before, story), asking=is_open(story))
        await self._keep(story, place, CARD)

    async def _post(self, story: Story) -> Posted:
        """Post the card; the plain one where Slack refuses the full one after all."""
        urgency = Urgency.GATE if is_open(story) else Urgency.CARD
        try:
            return await self._sender.post(self._channel, self._message(story), urgency=urgency)
        except SlackRefusedError as error:
            if error.word not in _CONTENT_REFUSED:
                raise
            LOG.warning(
                "slack refused a card; the plain one is posted",
                remediation=story.remediation,
                error=error.word,
            )
            return await self._sender.post(self._channel, plain_card(story), urgency=urgency)

    async def _update(self, place: Posted, before: Story | None, story: Story) -> Posted:
        """Update the card; return where it is now: somewhere else, if somebody has deleted it."""
        gate = is_open(story) or (before is not None and is_open(before))
        urgency = Urgency.GATE if gate else Urgency.CARD
        try:
            await self._sender.update(place, self._message(story), urgency=urgency)
        except SlackRefusedError as error:
            if error.word in _MESSAGE_GONE:
                LOG.warning("a card is gone; it is posted again", remediation=story.remediation)
                return await self._post(story)
            if error.word not in _CONTENT_REFUSED:
                raise
            LOG.warning(
                "slack refused a card; the plain one is shown",
                remediation=story.remediation,
                error=error.word,
            )
            await self._sender.update(place, plain_card(story), urgency=urgency)
        return place

    def _message(self, story: Story) -> Message:
        """Return the card, checked by the rules that Slack goes by; the plain one where it breaks any."""
        try:
            message = render_card(story, timeline_command=self._timeline_command, now=self._clock())
            problems = [str(problem) for problem in message.problems()]
        except SlackObjectFormationError as error:
            message, problems = plain_card(story), [str(error)]
        if not problems:
            return message
        LOG.error(
            "a card breaks Slack's rules; the plain one is shown",
            remediation=story.remediation,
            problems=problems,
        )
        return plain_card(story)

    async def _report(self, place: Posted, news: list[Progress], *, asking: bool) -> None:
        """Say in the thread what happened: first what people must hear, the rest in one message.

        While people are asked, the rest is as urgent as the question: the card waits for it.
        """
        for progress in news:
            if progress.mention:
                who = await self._people.mention(progress.mention)
                await self._say_in_thread(place, f"{who} {progress.text}", Urgency.GATE)
        rest = "\n".join(progress.text for progress in news if not progress.mention)
        if rest:
            await self._say_in_thread(place, rest, Urgency.GATE if asking else Urgency.PROGRESS)

    async def _say_in_thread(self, place: Posted, text: str, urgency: Urgency) -> None:
        try:
            await self._sender.post(place.channel, say(text), thread=place.ts, urgency=urgency)
        except SlackRefusedError as error:
            if error.word not in _THREAD_GONE:
                raise
            LOG.warning("a thread is gone; its news are not told", error=error.word)

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
        if self._clock() - record.at < OLD_NEWS:
            await self._say_line(_system_line(record))
        self._desks[f"{record.kind.value}/{record.seq}"].pending = None
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
            lines, self._lines = self._lines[:LINES_TOGETHER], self._lines[LINES_TOGETHER:]
            if not self._lines:
                self._line_came.clear()
            await self._post_together(lines)

    async def _post_together(self, lines: list[_Line]) -> None:
        message = say("\n".join(each.text for each in lines))
        try:
            place = await self._sender.post(self._channel, message, urgency=Urgency.LINE)
        except (SlackRefusedError, SlackAwayError) as error:
            for each in lines:
                each.posted.set_exception(error)
        else:
            for each in lines:
                each.posted.set_result(place)


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


def _short_line(story: Story) -> str:
    if story.ending_reason == ATTEMPTS_USED_UP:  # whoever is called needs the whole pattern
        about = f"{code(story.runbook, 60)} on {code(story.target, 80)}, {code(story.remediation, 20)}"
        return f"{PEOPLE_NEEDED} *Somebody has to look.* {line(story.ending_sentence, 900)} ({about})"
    words = line(f"{headline(story)}", 160)
    why = line(story.ending_sentence, 200)
    known = why and why.split(": ", 1)[-1] not in words
    about = f"{code(story.runbook, 60)} on {code(story.target, 80)}, {code(story.remediation, 20)}"
    return f"{words}{f'. {why}' if known else ''} ({about})"


def _is_without_target(record: Record) -> bool:
    """Return whether a runbook was written for an alert that cannot be acted on: else nobody would know."""
    return record.kind is RecordKind.ALERT_EXPLAINED and record.data.get("reason") == NO_TARGET


def _system_line(record: Record) -> str:
    if record.kind is RecordKind.ALERT_EXPLAINED:
        return f"▲ *An alert is not acted on:* {line(str(record.data.get('sentence', '')), 400)}"
    scope = str(record.data.get("scope", ""))
    what = "everything" if scope == "*" else code(scope, 120)
    reason = line(str(record.data.get("reason", "")), 300)
    said = f": {reason}" if reason else "."
    if record.kind is RecordKind.FREEZE:
        return f"■ *Frozen*: {what}, by {person(record.actor)}{said}"
    return f"□ *Thawed*: {what}, by {person(record.actor)}{said}"
