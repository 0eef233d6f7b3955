"""The poster: gets a message to where people see it, whatever became of its place.

Three things go away in Slack.  A message that somebody deleted is posted again.  A channel that
was archived, or that the bot was taken out of, is replaced by the fallback channel for as long as
that lasts: each message tries the right one first.  And a message that breaks Slack's rules, by
our own look or by Slack's, is replaced by its plain form with the same buttons: an approval must
never be lost because an alert was odd.

Where nothing is left to post to, the caller hears of it, and so does whoever looks at readiness.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from slack_sdk.errors import SlackObjectFormationError

from bot.slack.message import Message
from bot.slack.sender import Posted, Sender, SlackAwayError, SlackRefusedError, Urgency

LOG = structlog.get_logger("paramedic.slack")

CHANNEL_GONE = frozenset(
    {
        "channel_not_found",  # a private channel that the bot is not in looks like this too
        "is_archived",
        "not_in_channel",
        "restricted_action",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
    }
)
"""Slack's words for a channel in which nothing can be said."""

TOKEN_GONE = frozenset(
    {"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked", "missing_scope"}
)
"""Slack's words for a bot that may say nothing anywhere."""

LOST = CHANNEL_GONE | {"message_not_found", "cant_update_message", "edit_window_closed"}
"""Slack's words for a message that cannot be updated any more."""

_THREAD_GONE = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
_CONTENT_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}
)

T = TypeVar("T")


@dataclass(frozen=True)
class Draft:
    """A message in two forms.

    Attributes:
        about: which remediation it shows, for the log.
        full: may raise `slack_sdk.errors.SlackObjectFormationError`.
        plain: the same buttons, and as few words as possible.
    """

    about: str
    full: Callable[[], Message]
    plain: Callable[[], Message]

    def message(self) -> Message:
        """Return the full form, checked by the rules that Slack goes by; the plain one where it breaks any."""
        try:
            message = self.full()
            problems = [str(problem) for problem in message.problems()]
        except SlackObjectFormationError as error:
            problems = [str(error)]
        else:
            if not problems:
                return message
        LOG.error(
            "a message breaks Slack's rules; the plain one is shown", about=self.about, problems=problems
        )
        return self.plain()


class Poster:
    """Posts in one channel, or in the fallback where that one is gone.

    Args:
        channel, fallback: names or ids; an empty fallback is none.

    Attributes:
        trouble: what keeps messages out of their channel, for people; empty where nothing does.
    """

    def __init__(self, sender: Sender, channel: str, fallback: str = "") -> None:
        self._sender = sender
        self._channel = channel
        self._fallback = fallback
        self.trouble = ""

    def note(self) -> str:
        """Return for people whether messages get where they belong."""
        return self.trouble or "as it should be"

    async def post(self, draft: Draft, *, urgency: Urgency) -> Posted:
        """Post a draft, the plain form where Slack refuses the full one after all.

        Raises:
            SlackRefusedError: Slack said no, in the fallback channel too.
            SlackAwayError: Slack does not answer.
        """
        return await self._full_or_plain(draft, lambda message: self.say(message, urgency=urgency))

    async def replace(self, place: Posted, draft: Draft, *, urgency: Urgency) -> None:
        """Put a draft in the place of a message, where that is still there.

        Raises:
            SlackRefusedError: Slack said no; it may be gone.
            SlackAwayError: Slack does not answer.
        """
        await self._full_or_plain(draft, lambda message: self._sender.update(place, message, urgency=urgency))

    async def say(self, message: Message, *, urgency: Urgency) -> Posted:
        """Post a message in the channel, or in the fallback.

        Raises:
            SlackRefusedError: Slack said no, in the fallback channel too.
            SlackAwayError: Slack does not answer.
        """
        try:
            posted = await self._sender.post(self._channel, message, urgency=urgency)
        except SlackRefusedError as error:
            self._note(error)
            if error.word not in CHANNEL_GONE or not self._fallback:
                self._sender.tally.count("nowhere")
                raise
            self._sender.tally.count("fallback")
            return await self._sender.post(self._fallback, message, urgency=urgency)
        self.trouble = ""
        return posted

    async def reply(
        self, place: Posted, message: Message, *, urgency: Urgency, broadcast: bool = False
    ) -> Posted | None:
        """Say something in the thread of a message; return None where the thread is gone.

        Raises:
            SlackRefusedError: Slack said no for another reason.
            SlackAwayError: Slack does not answer.
        """
        try:
            return await self._sender.post(
                place.channel, message, thread=place.ts, broadcast=broadcast, urgency=urgency
            )
        except SlackRefusedError as error:
            if error.word not in _THREAD_GONE | CHANNEL_GONE:
                raise
            LOG.warning("a thread is gone; its news are not told there", error=error.word)
            return None

    async def whisper(self, user: str, message: Message) -> bool:
        """Tell one person something in a direct message; return whether that worked."""
        try:
            await self._sender.post(user, message, urgency=Urgency.GATE)
        except (SlackRefusedError, SlackAwayError) as error:
            LOG.warning("a person could not be told", person=user, error=str(error))
            return False
        return True

    async def _full_or_plain(self, draft: Draft, send: Callable[[Message], Awaitable[T]]) -> T:
        try:
            return await send(draft.message())
        except SlackRefusedError as error:
            if error.word not in _CONTENT_REFUSED:
                raise
            LOG.warning(
                "slack refused a message; the plain one is shown", about=draft.about, error=error.word
            )
            self._sender.tally.count("plain")
            return await send(draft.plain())

    def _note(self, error: SlackRefusedError) -> None:
        if error.word in CHANNEL_GONE:
            instead = f"{self._fallback} is used instead" if self._fallback else "no card can be shown"
            self.trouble = f"Slack says {error.word} of {self._channel}: {instead}"
        elif error.word in TOKEN_GONE:
            self.trouble = f"Slack says {error.word}: nothing can be said at all"
        else:
            return
        LOG.error("the channel of the cards cannot be used", trouble=self.trouble)
