"""The reviewer: opens the review of a plan, and takes its submission as the approval."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp
import structlog
from pydantic import ValidationError
from slack_bolt.async_app import AsyncAck
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from activities.ledger.clicks import Click, Reception
from bot.answers import Answers, late_answer
from bot.slack.interactions import Approval
from bot.slack.review import closed_view, review_view
from bot.slack.voice import CHANNEL, MESSAGE, SlackVoice
from runbooks.errors import LedgerError
from runbooks.policy.story import GateStory, Story

LOG = structlog.get_logger("paramedic.slack")

NOT_RECORDED = "Your approval could not be recorded, so it does not count. Please press Approve again."
NOT_OPENED = "Slack did not open the plan in time. Nothing is approved. Please press Approve again."


class Reviewer:
    """Shows plans that must be read before they are approved."""

    def __init__(
        self, client: AsyncWebClient, answers: Answers, voice: SlackVoice, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._answers = answers
        self._voice = voice
        self._clock = clock

    async def open(self, click: Click, trigger: str, story: Story, gate: GateStory) -> None:
        """Show the plan to whoever pressed Approve and may do that.  Nothing is approved by it."""
        refusal = await self._answers.turn_away(click, story, gate)
        if refusal is not None:
            await self._voice.tell(click, refusal)
            return
        view = review_view(story, gate, channel=click.place[CHANNEL], message=click.place[MESSAGE])
        try:
            await self._client.views_open(trigger_id=trigger, view=view)
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            LOG.warning("a plan cannot be shown", gate=click.gate, error=str(error))
            await self._voice.tell(click, NOT_OPENED)

    async def submit(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The plan was read and approved: this is the decision, unless the question was closed meanwhile."""
        try:
            click = Approval.model_validate(body).click(self._clock())
        except ValidationError as error:
            LOG.warning("a review is malformed and was passed over", problems=error.error_count())
            await ack()
            return
        try:
            closed = await self._answers.closed(click)
            reception = await self._answers.receive(click)
        except LedgerError as error:
            # Refused, on purpose: Slack keeps the form open, and says that something is wrong.
            ack.response = BoltResponse(status=503, body="")
            LOG.warning("an approval could not be recorded", gate=click.gate, error=str(error))
            await self._voice.tell(click, NOT_RECORDED)
            return
        if closed is None and reception is not Reception.UNKNOWN:
            await ack()
        else:
            await ack(
                response_action="update", view=closed_view(late_answer(closed or "it is not known here"))
            )
