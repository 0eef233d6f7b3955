"""The conversation in Slack, put together: what the bot says, and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from temporalio.client import Client

from activities.connections import GroupConnection
from activities.ledger.store import Ledger
from bot.answers import Answers, TemporalWorkflows
from bot.keys import ListenerKey
from bot.operations import Operations
from bot.people import LocalPeople, PeopleEverywhere
from bot.running import Running
from bot.settings import Settings
from bot.slack.commands import Commands
from bot.slack.connection import SlackConnection
from bot.slack.listeners import Listeners
from bot.slack.people import SlackPeople
from bot.slack.presenter import Presenter
from bot.slack.receiver import SlackReceiver
from bot.slack.sender import Sender
from bot.slack.signatures import Signatures
from bot.slack.teller import SlackTeller
from bot.slack.voice import SlackVoice


class Voices:
    """What speaks in Slack, in every process that may have something to say.

    Attributes:
        connection: not yet open; only the process that listens opens it.
        teller: what the action `slack.escalate` speaks through.
        signing_secrets: what Slack signs its requests with, where it calls over HTTP.
    """

    def __init__(self, settings: Settings, ledger: Ledger, groups: Mapping[str, GroupConnection]) -> None:
        self.connection = SlackConnection(
            bot_token=settings.slack_bot_token.get_secret_value() if settings.slack_bot_token else "",
            app_token=_app_token(settings),
            base_url=settings.slack_base_url,
        )
        self.signing_secrets = settings.slack_signing_secrets
        self.people = SlackPeople(self.connection.client, groups)
        self.everybody = PeopleEverywhere(LocalPeople(groups), self.people)
        self.sender = Sender(self.connection.sender_client)
        self.channel = settings.slack_channel
        self.teller = SlackTeller(ledger, sender=self.sender, people=self.people, channel=self.channel)


class Conversation:
    """Cards kept up to date, answers delivered, commands carried out."""

    def __init__(
        self, voices: Voices, ledger: Ledger, operations: Operations, key: ListenerKey, client: Client
    ) -> None:
        self._connection = voices.connection
        self._signing_secrets = voices.signing_secrets
        self._presenter = Presenter(
            ledger, sender=voices.sender, people=voices.people, channel=voices.channel
        )
        voice = SlackVoice(self._connection.client, self._presenter)
        self._answers = Answers(
            ledger,
            key=key,
            people=voices.everybody,
            workflows=TemporalWorkflows(client),
            voice=voice,
            doorkeeper=operations.doorkeeper,
        )
        listeners = Listeners(
            client=self._connection.client,
            answers=self._answers,
            doorkeeper=operations.doorkeeper,
            voice=voice,
            commands=Commands(operations),
        )
        listeners.attach(self._connection.app)

    async def start(self, running: Running) -> None:
        """Connect, and begin to speak and to listen.

        Raises:
            SlackTokensError: Slack does not accept the tokens.
        """
        await self._connection.start()
        running.add("answers", self._answers.run())
        running.add("presenter", self._presenter.run())

    async def stop(self) -> None:
        """Disconnect."""
        await self._connection.stop()

    def receiver(self, count: Callable[[str], None]) -> SlackReceiver | None:
        """Return what answers Slack's requests; None where Slack calls through a socket."""
        if not self._signing_secrets:
            return None
        return SlackReceiver(Signatures(self._signing_secrets), self._connection, count)


def _app_token(settings: Settings) -> str | None:
    if settings.slack_mode == "http":
        return None
    return settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
