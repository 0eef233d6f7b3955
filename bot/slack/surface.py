"""The surface around the cards: the run form, the shortcut on an alert, mentions, the home tab, files.

Each listener parses one interaction, asks one object, and answers one person.  None of them decides
anything: a run goes through `Operations` like one from a terminal.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from pydantic import ValidationError
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.insight import Insight
from bot.operations import RunRequested
from bot.run_inputs import mistakes_in, with_target
from bot.slack.alert_message import FoundAlert, read_alert
from bot.slack.commands import Asker
from bot.slack.connection import mark_heard
from bot.slack.files import Files, TextFile
from bot.slack.home import HOME_CARD, HOME_RUN
from bot.slack.homes import Homes
from bot.slack.interactions import FileWanted, HomeOpenedEvent, MentionEvent, Opening, Submitted
from bot.slack.message import Message, say
from bot.slack.pages import FILE_BUTTON
from bot.slack.responder import LATE, SLACK_ERRORS, Responder
from bot.slack.run_form import CHOOSE, RUN_VIEW, RunPlace, errors_in, filled_in, run_view
from bot.slack.sender import Posted, SlackAwayError, SlackRefusedError
from bot.slack.text import code, line
from bot.slack.voice import SlackVoice, user_of
from bot.timeline_page import as_markdown_page
from runbooks.errors import ParamedicError
from runbooks.language.matching import matches
from runbooks.model.runbook import Runbook

LOG = structlog.get_logger("paramedic.slack")

ALERT_SHORTCUT = "paramedic.run_for_alert"
SLACK_WAITS = (
    2.5  # seconds for an answer to a form, and some for its way; after that it says that there was trouble
)
REMEMBERED = 1000  # events and forms whose second delivery is recognised

NOT_THERE = frozenset({"not_in_channel", "channel_not_found", "is_archived"})


class Running(Protocol):
    """Whoever begins a run, as `bot.operations.Operations` does."""

    async def run(self, name: str, labels: Mapping[str, str], *, actor: str, source: str) -> RunRequested:
        """Ask for a run; a ParamedicError says why not."""


class Surface:
    """What the bot does where no gate is answered."""

    def __init__(
        self,
        client: AsyncWebClient,
        responder: Responder,
        insight: Insight,
        operations: Running,
        voice: SlackVoice,
        homes: Homes,
    ) -> None:
        self._client = client
        self._responder = responder
        self._insight = insight
        self._operations = operations
        self._voice = voice
        self._homes = homes
        self._files = Files(client)
        self._heard: OrderedDict[str, None] = OrderedDict()

    def attach(self, app: AsyncApp) -> None:
        """Listen with `app`."""
        app.event("app_mention")(self.mention)
        app.event("app_home_opened")(self.home_opened)
        app.action(HOME_RUN)(self.open_run)
        app.action(HOME_CARD)(self.follow_link)
        app.shortcut(ALERT_SHORTCUT)(self.run_for_alert)
        app.action(CHOOSE)(self.choose)
        app.view(RUN_VIEW, middleware=[mark_heard])(self.run)
        app.action(FILE_BUTTON)(self.share_timeline)

    # --- by name, and at home -------------------------------------------------------------------

    async def mention(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The bot was spoken to: the answer is the slash command's, before that person's eyes."""
        await ack()
        try:
            said = MentionEvent.model_validate(body)
        except ValidationError as error:
            _pass_over(error)
            return
        if said.event.bot_id or self._is_repeated(f"event {said.event_id or said.event.ts}"):
            return
        channel = said.event.channel
        asker = Asker(person=said.person, source=f"slack:{channel}", channel=channel, nonce=said.event.ts)
        message = await self._responder.answer(said.text, asker)
        if message is not None:
            await self._tell(said.person, channel, message)

    async def home_opened(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Somebody looks at their home tab; it is published in a moment."""
        await ack()
        try:
            opened = HomeOpenedEvent.model_validate(body)
        except ValidationError as error:
            _pass_over(error)
            return
        if opened.event.tab == "home":
            self._homes.opened(opened.person)

    async def follow_link(self, ack: AsyncAck) -> None:
        """A link was followed.  Slack tells, and wants to know that we heard."""
        await ack()

    # --- the run form ---------------------------------------------------------------------------

    async def open_run(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The button of the home tab: the form, without anything chosen."""
        await ack()
        await self._open(body, FoundAlert())

    async def run_for_alert(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The shortcut on a message: the form, filled with what the message says about an alert."""
        await ack()
        message = body.get("message")
        await self._open(body, read_alert(message if isinstance(message, dict) else {}))

    async def _open(self, body: dict[str, Any], found: FoundAlert) -> None:
        try:
            opening = Opening.model_validate(body)
        except ValidationError as error:
            _pass_over(error)
            return
        refusal = await self._responder.refusal(opening.person)
        if refusal is not None:
            await self._tell(opening.person, opening.channel_id, refusal)
            return
        runbooks = _fitting_first(self._insight.runbooks, found)
        chosen = runbooks[0].name if runbooks and _fits(runbooks[0], found) else ""
        lead = _lead(found, chosen) if "message" in body else ""
        view = run_view(runbooks, chosen, found.labels, channel=opening.channel_id, lead=lead)
        if not await self._responder.show(view, opening.trigger_id):
            await self._tell(opening.person, opening.channel_id, say(f"✗ {LATE}"))

    async def choose(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Another runbook was chosen in the form: it asks for that one's inputs, and keeps what was said."""
        await ack()
        try:
            view = Submitted.model_validate(body).view
            place = RunPlace.model_validate_json(view.get("private_metadata") or "{}")
        except ValidationError as error:
            _pass_over(error)
            return
        filled = filled_in(view.get("state") or {})
        shown = run_view(self._insight.runbooks, filled.runbook, filled.labels, channel=place.channel)
        try:
            await self._client.views_update(
                view_id=str(view.get("id")), hash=str(view.get("hash")), view=shown
            )
        except SLACK_ERRORS as error:
            LOG.warning("a form could not be changed", error=str(error))

    async def run(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The form was submitted: ask for the run, or say beside each input what is wrong with it."""
        try:
            submitted = Submitted.model_validate(body)
            place = RunPlace.model_validate_json(submitted.view.get("private_metadata") or "{}")
        except ValidationError as error:
            _pass_over(error)
            await ack()
            return
        once = f"form {submitted.view.get('id')}"
        if self._is_repeated(once):
            await ack()
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        filled = filled_in(submitted.view.get("state") or {})
        try:
            runbook = self._insight.runbook(filled.runbook)
            labels = with_target(runbook, filled.labels)
            wrong: Mapping[str, str] = mistakes_in(runbook, labels)
            if not wrong and not filled.unread:
                asked = await self._operations.run(
                    runbook.name, labels, actor=submitted.person, source=f"slack:{place.channel or 'home'}"
                )
                await ack()
                words = f"✓ Asked for {code(asked.runbook)} on {code(asked.target)}. Its card appears in a moment."
                await self._tell(submitted.person, place.channel, say(words))
                return
        except ParamedicError as error:
            wrong = {"": str(error).rstrip(".")}
        self._heard.pop(once, None)  # what is mended is another submission of the same form
        errors = errors_in(submitted.view, filled, wrong)
        await ack(response_action="errors", errors=errors)
        if loop.time() - began > SLACK_WAITS:  # the form has been given up, and shows nothing of this
            await self._tell(
                submitted.person, place.channel, say(f"✗ {line('; '.join(errors.values()), 1000)}")
            )

    # --- files ----------------------------------------------------------------------------------

    async def share_timeline(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The timeline is wanted as a file: it goes into the card's thread, where everybody finds it."""
        await ack()
        try:
            wanted = FileWanted.model_validate(body)
        except ValidationError as error:
            _pass_over(error)
            return
        channel, remediation = wanted.container.channel_id, wanted.actions[0].value
        message = await self._responder.refusal(wanted.person)
        if message is None and not self._is_repeated(f"file {wanted.actions[0].action_ts}"):
            message = await self._share(remediation, channel)
        if message is not None:
            await self._tell(wanted.person, channel, message)

    async def _share(self, remediation: str, channel: str) -> Message:
        try:
            told = await self._insight.timeline(remediation)
            card = await self._insight.card(remediation)
            place = (
                Posted(channel=card.channel, ts=card.ts)
                if card and card.ts
                else Posted(channel=channel, ts="")
            )
            file = TextFile(
                name=f"timeline-{remediation}.md",
                title=f"Timeline of {remediation}",
                content=as_markdown_page(told),
                said=line(told.title, 200),
            )
            await self._files.share(file, place)
        except SlackRefusedError as error:
            remedy = (
                " Invite me there, or try it in the channel of the cards." if error.word in NOT_THERE else ""
            )
            return say(f"✗ The file could not be shared: {line(str(error), 300)}.{remedy}")
        except (ParamedicError, SlackAwayError) as error:
            return say(f"✗ The file could not be shared: {line(str(error), 300)}.")
        where = "in the thread of its card" if place.ts else "here"
        return say(f"✓ The timeline of {code(remediation)} is shared as a file, {where}.")

    async def _tell(self, person: str, channel: str, message: Message) -> None:
        await self._voice.whisper(channel, user_of(person), message)

    def _is_repeated(self, identity: str) -> bool:
        """Return whether this was heard before, and remember it."""
        if identity in self._heard:
            return True
        self._heard[identity] = None
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        return False


def _fitting_first(runbooks: Sequence[Runbook], found: FoundAlert) -> list[Runbook]:
    return sorted(runbooks, key=lambda each: not _fits(each, found))


def _fits(runbook: Runbook, found: FoundAlert) -> bool:
    """Return whether `runbook` is for this alert; by its name alone where the message lacks labels."""
    if matches(runbook, {"alertname": found.name, **found.labels}):
        return True
    return bool(found.name) and any(trigger.alert == found.name for trigger in runbook.when)


def _lead(found: FoundAlert, chosen: str) -> str:
    if not found.name and not found.labels:
        return "No alert was found in this message. Choose a runbook, and say what it needs."
    about = f"The message is about {code(found.name or 'an alert without a name')}"
    return f"{about}." if chosen else f"{about}, and no runbook is for that. Choose one that helps."


def _pass_over(error: ValidationError) -> None:
    wrong = [".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)]
    LOG.warning("an interaction is malformed and was passed over", fields=wrong)
