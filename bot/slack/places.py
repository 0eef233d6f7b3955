"""Places: where the messages of the channel are, also those that were posted again somewhere else.

A message that somebody deleted, or whose channel is gone, has another place afterwards.  The `card`
table is told; whoever still holds the old place asks here.
"""

from __future__ import annotations

from activities.ledger import cards
from activities.ledger.store import Ledger
from bot.slack.sender import Posted


class Places:
    """Knows which messages have moved since this process began."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._moved: dict[Posted, Posted] = {}

    def now(self, place: Posted) -> Posted:
        """Return where the message is that was posted at `place`."""
        while place in self._moved:
            place = self._moved[place]
        return place

    async def move(self, old: Posted, new: Posted) -> None:
        """Remember that a message is somewhere else now.

        Raises:
            LedgerError: it cannot be written; in this process it is known all the same.
        """
        # Both in one step: a row that is written with the old place is in the queue before this one.
        self._moved[old] = new
        before, after = (old.channel, old.ts), (new.channel, new.ts)
        await self._ledger.write(lambda transaction: cards.move(transaction, before, after))
