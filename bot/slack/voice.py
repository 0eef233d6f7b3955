"""The voice: what only one person is to see, such as that their answer does not count."""

from __future__ import annotations

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from activities.ledger.clicks import Click
from bot.slack.message import Message, say
from bot.slack.presenter import Presenter
from bot.slack.sender import Posted
from bot.slack.text import line

LOG = structlog.get_logger("paramedic.slack")

CHANNEL, MESSAGE = "channel", "message"
"""The names in `Click.place`: the id of the channel, and the ts of the message, that was clicked."""


class SlackVoice:
    """Answers the person who clicked, before their eyes only.  Implements `bot.answers.Voice`."""

    def __init__(self, client: AsyncWebClient, presenter: Presenter) -> None:
        self._client = client
        self._presenter = presenter

    async def tell(self, click: Click, text: str) -> None:
        """Tell the person, and nobody else, the plain `text`.  Never raises.

        Who answered at a terminal waits there for the record, and reads it.
        """
        if CHANNEL not in click.place:
            return
        await self.whisper(click.place[CHANNEL], user_of(click.person), say(line(text, 1000)))

    async def closed(self, click: Click, text: str) -> None:
        """Tell them that the question is closed, and take away the buttons that they clicked."""
        await self.tell(click, text)
        channel, message = click.place.get(CHANNEL), click.place.get(MESSAGE)
        if channel and message:
            await self._presenter.tidy(click.remediation, Posted(channel=channel, ts=message))

    async def whisper(self, channel: str, user: str, message: Message) -> None:
        """Show `message` to one person in a channel; as a direct message where that fails.  Never raises."""
        said = message.payload()
        try:
            if channel:
                await self._client.api_call(
                    "chat.postEphemeral", json={"channel": channel, "user": user, **said}
                )
                return
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            LOG.info("nothing can be shown to one person in this channel", error=str(error))
        try:
            await self._client.api_call("chat.postMessage", json={"channel": user, **said})
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            LOG.warning("a person could not be told", person=user, error=str(error))


def user_of(person: str) -> str:
    """Return Slack's user id in a person's key."""
    return person.rpartition("/")[2]
