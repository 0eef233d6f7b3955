"""The teller: runbooks call people through it, in the thread of the card and in the channel at once."""

from __future__ import annotations

from activities.ledger import cards
from activities.ledger.store import Ledger
from bot.slack.boards import CARD
from bot.slack.lines import call
from bot.slack.message import Message
from bot.slack.people import SlackPeople
from bot.slack.poster import Poster
from bot.slack.sender import Posted, SlackAwayError, SlackRefusedError, Urgency
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError


class SlackTeller:
    """Tells people in Slack.  Implements `activities.actions.Teller`."""

    def __init__(self, ledger: Ledger, *, poster: Poster, people: SlackPeople) -> None:
        self._ledger = ledger
        self._poster = poster
        self._people = people

    async def tell(self, *, to: str, text: str, remediation: str) -> str:
        """Tell the group `to` the escaped `text`.  Return where it was said, for the record.

        Raises:
            FailedError: Slack refused it.
            NotSentError: it was certainly not said.
            UnknownOutcomeError: it may have been said.
        """
        who = await self._people.mention([to])
        try:
            posted = await self._say(call(who, text, remediation), remediation)
        except SlackRefusedError as error:
            raise FailedError(str(error)) from error
        except SlackAwayError as error:
            kind = UnknownOutcomeError if error.maybe_sent else NotSentError
            raise kind(str(error)) from error
        return f"slack:{posted.channel}/{posted.ts}"

    async def _say(self, message: Message, remediation: str) -> Posted:
        card = await self._ledger.read(lambda connection: cards.card(connection, remediation))
        if card is not None and card.state == CARD:
            place = Posted(channel=card.channel, ts=card.ts)
            said = await self._poster.reply(place, message, urgency=Urgency.GATE, broadcast=True)
            if said is not None:
                return said
        return await self._poster.say(message, urgency=Urgency.GATE)
