"""Listeners: each parses one interaction, hands it to one object, and acknowledges it.

An answer at a gate is acknowledged only when it is durable; until then Slack itself tells the
person that something is wrong.  Who they are, and whether it counts, is found out afterwards.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from pydantic import ValidationError
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.models.blocks import InputBlock, PlainTextInputElement, PlainTextObject
from slack_sdk.models.views import View
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from activities.ledger.clicks import Click, Reception
from bot.answers import Answers, late_answer
from bot.policy.doorkeeper import Doorkeeper
from bot.slack.block_kit import problems_of_view
from bot.slack.card import AGAIN, APPROVE, DENY, HAPPENED, STOP, needs_review
from bot.slack.commands import Asker, Commands
from bot.slack.connection import mark_heard
from bot.slack.interactions import (
    REASON_BLOCK,
    REASON_INPUT,
    REASON_TEXT,
    Denial,
    DenialPlace,
    Press,
    Typed,
)
from bot.slack.message import Message, section
from bot.slack.responder import Responder
from bot.slack.review import REVIEW_VIEW
from bot.slack.reviewer import Reviewer
from bot.slack.text import code
from bot.slack.usage import COMMAND
from bot.slack.voice import CHANNEL, MESSAGE, SlackVoice, user_of
from runbooks.errors import LedgerError
from runbooks.model.decision import Answer

LOG = structlog.get_logger("paramedic.slack")

DENY_VIEW = "paramedic.deny"
REMEMBERED = 1000  # slash commands whose second delivery is recognised

NOT_RECORDED = "Your answer could not be recorded, so it does not count. Please press again."
NOT_KNOWN = (
    "This question is not known here. It belongs to another installation, or is not a question at all."
)

_SLACK_ERRORS = (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError)


class Listeners:
    """What the bot does when people do something in Slack."""

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        answers: Answers,
        doorkeeper: Doorkeeper,
        voice: SlackVoice,
        commands: Commands,
    ) -> None:
        self._client = client
        self._answers = answers
        self._voice = voice
        self._responder = Responder(client, doorkeeper, commands)
        self._typed: OrderedDict[str, None] = OrderedDict()
        self._clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._reviewer = Reviewer(client, answers, voice, self._clock)

    def attach(self, app: AsyncApp) -> None:
        """Listen with `app`."""
        app.action(APPROVE, middleware=[mark_heard])(self.approve)
        app.action(HAPPENED, middleware=[mark_heard])(self.say_it_happened)
        app.action(AGAIN, middleware=[mark_heard])(self.say_again)
        app.action(STOP, middleware=[mark_heard])(self.say_stop)
        app.action(DENY, middleware=[mark_heard])(self.ask_for_reason)
        app.view(DENY_VIEW, middleware=[mark_heard])(self.deny)
        app.view(REVIEW_VIEW, middleware=[mark_heard])(self._reviewer.submit)
        app.command(COMMAND)(self.command)

    async def approve(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Approve was pressed: this is the decision, or, where it must be read first, the plan is opened.

        Which of the two is looked up, whatever the button said: anybody could post one.
        """
        try:
            press = Press.model_validate(body)
        except ValidationError as error:
            await _pass_over(ack, error)
            return
        click = press.click(Answer.APPROVED, self._clock())
        try:
            asked = await self._answers.asked(click)
        except LedgerError as error:
            await self._not_recorded(ack, click, error)
            return
        if asked is None or not needs_review(*asked):
            await self._receive(ack, body, Answer.APPROVED)
        else:
            await ack()
            await self._reviewer.open(click, press.trigger_id, *asked)

    async def say_it_happened(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """It happened, says a person of an action of which nobody knows."""
        await self._receive(ack, body, Answer.HAPPENED)

    async def say_again(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """It is to be done once more.  Slack has asked them twice."""
        await self._receive(ack, body, Answer.AGAIN)

    async def say_stop(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Nothing more is to be done."""
        await self._receive(ack, body, Answer.STOP)

    async def _receive(self, ack: AsyncAck, body: dict[str, Any], answer: Answer) -> None:
        try:
            click = Press.model_validate(body).click(answer, self._clock())
        except ValidationError as error:
            await _pass_over(ack, error)
            return
        try:
            reception = await self._answers.receive(click)
        except LedgerError as error:
            await self._not_recorded(ack, click, error)
            return
        await ack()
        if reception is Reception.UNKNOWN:
            await self._voice.tell(click, NOT_KNOWN)

    async def _not_recorded(self, ack: AsyncAck, click: Click, error: LedgerError) -> None:
        """Refuse, on purpose: Slack marks the button, and the person sees it too."""
        ack.response = BoltResponse(status=503, body="")
        LOG.warning("an answer could not be recorded", gate=click.gate, error=str(error))
        await self._voice.tell(click, NOT_RECORDED)

    async def ask_for_reason(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Deny was pressed: ask why, where the question is still open and this person may answer it."""
        await ack()
        try:
            press = Press.model_validate(body)
        except ValidationError as error:
            await _pass_over(ack, error)
            return
        click = press.click(Answer.DENIED, self._clock())
        if await self._is_in_vain(click):
            return
        try:
            await self._client.views_open(trigger_id=press.trigger_id, view=deny_view(click))
        except _SLACK_ERRORS as error:
            LOG.warning("the reason cannot be asked for", gate=click.gate, error=str(error))
            await self._voice.tell(click, "Slack did not open the form in time. Please press Deny again.")

    async def _is_in_vain(self, click: Click) -> bool:
        """Return whether an answer would change nothing, and the person has been told so."""
        try:
            closed = await self._answers.closed(click)
            asked = await self._answers.asked(click)
        except LedgerError as error:
            LOG.warning("a question cannot be looked up", gate=click.gate, error=str(error))
            return False  # asking is harmless; whether the answer counts is decided later
        if closed is not None:
            await self._voice.closed(click, late_answer(closed))
            return True
        refusal = await self._answers.turn_away(click, *asked) if asked is not None else None
        if refusal is not None:
            await self._voice.tell(click, refusal)
        return refusal is not None

    async def deny(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The reason was given: this is the decision."""
        try:
            denial = Denial.model_validate(body)
            click = denial.click(self._clock())
        except ValidationError as error:
            await _pass_over(ack, error)
            return
        if not click.reason:
            await _object(ack, "Please say why, in a few words: the next person will want to know.")
            return
        try:
            reception = await self._answers.receive(click)
        except LedgerError as error:
            LOG.warning("an answer could not be recorded", gate=click.gate, error=str(error))
            await _object(ack, NOT_RECORDED)
            return
        await ack()
        if reception is Reception.UNKNOWN:
            await self._voice.tell(click, NOT_KNOWN)

    async def command(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """`/runbook` was typed."""
        await ack()
        try:
            typed = Typed.model_validate(body)
        except ValidationError as error:
            await _pass_over(ack, error)
            return
        if self._is_repeated(typed.trigger_id):
            return
        asker = Asker(
            person=typed.person,
            source=f"slack:{typed.channel_id}",
            channel=typed.channel_id,
            nonce=typed.trigger_id,
        )
        message = await self._responder.answer(typed.text, asker, typed.trigger_id)
        if message is not None:
            await self._reply(typed, message)

    async def _reply(self, typed: Typed, message: Message) -> None:
        """Answer where the person typed, before their eyes only."""
        if not await self._reply_to_url(typed.response_url, message):
            await self._voice.whisper(typed.channel_id, user_of(typed.person), message)

    async def _reply_to_url(self, url: str, message: Message) -> bool:
        if not url:
            return False
        webhook = AsyncWebhookClient(url, logger=self._client.logger)
        webhook.proxy = self._client.proxy  # it would take one from the environment, even for 127.0.0.1
        try:
            answer = await webhook.send_dict({**message.payload(), "response_type": "ephemeral"})
        except _SLACK_ERRORS as error:
            LOG.warning("a command could not be answered in its place", error=str(error))
            return False
        return bool(answer.status_code == 200)

    def _is_repeated(self, trigger: str) -> bool:
        """Return whether this very command was delivered before.  Slack's triggers are unique."""
        if not trigger:
            return False
        if trigger in self._typed:
            return True
        self._typed[trigger] = None
        if len(self._typed) > REMEMBERED:
            self._typed.popitem(last=False)
        return False


def deny_view(click: Click) -> dict[str, Any]:
    """Return the modal that asks why not.  It remembers the gate and the card's place only."""
    place = DenialPlace(gate=click.gate, channel=click.place[CHANNEL], message=click.place[MESSAGE])
    reason = InputBlock(
        block_id=REASON_BLOCK,
        label=PlainTextObject(text="Why not?"),
        hint=PlainTextObject(text="It is shown in the channel and stays on record."),
        element=PlainTextInputElement(
            action_id=REASON_INPUT, multiline=True, max_length=REASON_TEXT, focus_on_load=True
        ),
    )
    view: dict[str, Any] = View(
        type="modal",
        callback_id=DENY_VIEW,
        title=PlainTextObject(text="Deny"),
        submit=PlainTextObject(text="Deny"),
        close=PlainTextObject(text="Go back"),
        private_metadata=json.dumps(place.model_dump()),
        blocks=[section(f"If you deny {code(click.remediation)}, nothing is done."), reason],
    ).to_dict()
    problems = problems_of_view(view)
    assert not problems, f"the form breaks Slack's rules: {problems}"
    return view


async def _object(ack: AsyncAck, text: str) -> None:
    """Keep the modal open, with an objection at its input."""
    await ack(response_action="errors", errors={REASON_BLOCK: text})


async def _pass_over(ack: AsyncAck, error: ValidationError) -> None:
    """Take note of a payload that is not one of ours; acknowledge it, so that it does not come again."""
    wrong = [".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)]
    LOG.warning("an interaction is malformed and was passed over", fields=wrong)
    await ack()
