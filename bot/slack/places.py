"""Places: where the messages of the channel are, also those that were posted again somewhere else.

A message that somebody deleted, or whose channel is gone, has another place afterwards.  The `card`
table is told; whoever still holds the old place asks here.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

import structlog

from activities.ledger import cards
from activities.ledger.store import Ledger, Transaction
from bot.slack.poster import LOST, Draft, Poster
from bot.slack.sender import Posted, SlackRefusedError, Urgency

LOG = structlog.get_logger("paramedic.slack")


class Places:
    """Knows which messages have moved since this process began, and moves those that are gone."""

    def __init__(self, ledger: Ledger, poster: Poster) -> None:
        self._ledger = ledger
        self._poster = poster
        self._moved: dict[Posted, Posted] = {}
        self._unwritten: dict[Posted, Posted] = {}  # of those, what the table was not told yet
        self._moving: WeakValueDictionary[Posted, asyncio.Lock] = WeakValueDictionary()

    def now(self, place: Posted) -> Posted:
        """Return where the message is that was posted at `place`."""
        while place in self._moved:
            place = self._moved[place]
        return place

    async def update(self, place: Posted, draft: Draft, *, urgency: Urgency) -> Posted:
        """Put a draft in the place of a message; return where it is now, somewhere else if that one was gone.

        Raises:
            SlackRefusedError: Slack said no.
            SlackAwayError: Slack does not answer.
            LedgerError: this message or another is somewhere else, and that cannot be written; it is known here, and
                written by the next call.
        """
        while True:
            place = self.now(place)
            try:
                await self._poster.replace(place, draft, urgency=urgency)
            except SlackRefusedError as error:
                if error.word not in LOST:
                    raise
                LOG.warning("a message is gone; it is posted again", about=draft.about, error=error.word)
            else:
                await self.write_moves()
                return place
            async with self._moving.setdefault(place, asyncio.Lock()):
                if self.now(place) == place:  # else somebody was quicker, a card or the board that follows it
                    posted = await self._poster.post(draft, urgency=urgency)
                    self._moved[place] = self._unwritten[place] = posted
                    await self.write_moves()
                    return posted

    async def write_moves(self) -> None:
        """Tell the table what has moved and could not be written then.

        Raises:
            LedgerError: it cannot be written now either.
        """
        moves = dict(self._unwritten)
        if not moves:
            return

        def move(transaction: Transaction) -> None:
            for old, new in moves.items():
                cards.move(transaction, (old.channel, old.ts), (new.channel, new.ts))

        # In the step in which `now` began to say so: a row with the old place is in the queue before this one.
        await self._ledger.write(move)
        for old in moves:
            self._unwritten.pop(old, None)
