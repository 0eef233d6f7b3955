"""The responder: what people type is answered, whether as a slash command or to the bot by name."""

from __future__ import annotations

from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.answers import AwayError, PersonRefusedError
from bot.policy.doorkeeper import Doorkeeper, NotPermittedError
from bot.policy.questions import Question, Verb
from bot.slack.commands import Asker, Commands, Form
from bot.slack.message import Message, say
from bot.slack.text import line

LOG = structlog.get_logger("paramedic.slack")

SLACK_ERRORS = (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError)

LATE = "Slack did not open the form in time. Please try again."


class Responder:
    """Answers what one person typed, and opens the forms that are answers."""

    def __init__(self, client: AsyncWebClient, doorkeeper: Doorkeeper, commands: Commands) -> None:
        self._client = client
        self._doorkeeper = doorkeeper
        self._commands = commands

    async def refusal(self, person: str) -> Message | None:
        """Return why this person may not even look, or None if they may."""
        try:
            await self._doorkeeper.admit(person, Question(verb=Verb.READ))
        except (PersonRefusedError, NotPermittedError) as error:
            return say(f"✗ That is not for you: {line(str(error))}.")
        except AwayError as error:
            return say(f"✗ Nothing was done. {line(str(error))}. The command line works without Slack.")
        return None

    async def answer(self, text: str, asker: Asker, trigger: str = "") -> Message | None:
        """Return what to say to `text`; None where a form has opened instead.

        Args:
            trigger: what a form opens with; empty where none can.
        """
        refusal = await self.refusal(asker.person)
        if refusal is not None:
            return refusal
        answered = await self._commands.answer(text, asker)
        if isinstance(answered, Form):
            return await self._open(answered, trigger)
        problems = answered.problems()
        if problems:
            LOG.error("an answer breaks Slack's rules", problems=[str(each) for each in problems])
            return say(answered.text)
        return answered

    async def _open(self, form: Form, trigger: str) -> Message | None:
        if not trigger:
            return say(f"A form cannot open here: {line(form.instead, 500)}.")
        return None if await self.show(form.view, trigger) else say(f"✗ {LATE}")

    async def show(self, view: dict[str, Any], trigger: str) -> bool:
        """Open a form before whoever has the trigger.  False: it did not open."""
        try:
            await self._client.views_open(trigger_id=trigger, view=view)
        except SLACK_ERRORS as error:
            LOG.warning("a form cannot be opened", error=str(error))
            return False
        return True
