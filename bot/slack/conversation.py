"""The conversation in Slack, put together: what the bot says, and what it hears."""

from __future__ import annotations

import socket
from collections.abc import Callable

from temporalio.client import Client

from activities.connections import Connections
from activities.ledger.store import Ledger
from bot.answers import Answers, TemporalWorkflows
from bot.duty import OnDuty
from bot.insight import Insight
from bot.keys import ListenerKey
from bot.operations import Operations
from bot.people import LocalPeople, OnePersonOneKey, PeopleEverywhere
from bot.running import Running
from bot.settings import Settings
from bot.slack.commands import Commands
from bot.slack.connection import SlackConnection
from bot.slack.homes import Homes
from bot.slack.listeners import Listeners
from bot.slack.people import SlackPeople
from bot.slack.poster import Poster
from bot.slack.presenter import Presenter
from bot.slack.receiver import SlackReceiver
from bot.slack.responder import Responder
from bot.slack.sender import Sender, Tally
from bot.slack.signatures import Signatures
from bot.slack.surface import Surface
from bot.slack.teller import SlackTeller
from bot.slack.voice import SlackVoice


class Voices:
    """What speaks in Slack, in every process that may have something to say.

    Attributes:
        connection: not yet open; only the process that listens opens it.
        teller: what the action `slack.escalate` speaks through.
        signing_secrets: what Slack signs its requests with, where it calls over HTTP.
    """

    def __init__(self, settings: Settings, ledger: Ledger, connections: Connections) -> None:
        self.connection = SlackConnection(
            bot_token=settings.slack_bot_token.get_secret_value() if settings.slack_bot_token else "",
            app_token=_app_token(settings),
            base_url=settings.slack_base_url,
        )
        self.signing_secrets = settings.slack_signing_secrets
        self.people = SlackPeople(self.connection.client, connections.groups)
        everywhere = PeopleEverywhere(LocalPeople(connections.groups), self.people)
        self.everybody = OnePersonOneKey(everywhere, connections.people)
        self.tally = Tally()
        self.sender = Sender(self.connection.sender_client, tally=self.tally)
        self.poster = Poster(self.sender, settings.slack_channel, settings.slack_fallback_channel)
        self.teller = SlackTeller(ledger, poster=self.poster, people=self.people)


class Conversation:
    """Cards kept up to date, answers delivered, commands carried out."""

    def __init__(
        self, voices: Voices, ledger: Ledger, operations: Operations, key: ListenerKey, client: Client
    ) -> None:
        self._connection = voices.connection
        self._signing_secrets = voices.signing_secrets
        self._presenter = Presenter(ledger, poster=voices.poster, people=voices.people)
        # Of several processes that listen, one shows: each would post every card.
        self._showing = OnDuty(ledger, "presenter", f"{socket.gethostname()}/{key.key_id}")
        voice = SlackVoice(self._connection.client, self._presenter)
        self._answers = Answers(
            ledger,
            key=key,
            people=voices.everybody,
            workflows=TemporalWorkflows(client),
            voice=voice,
            doorkeeper=operations.doorkeeper,
        )
        insight = Insight(ledger, operations)
        commands = Commands(operations, insight, self._answers)
        listeners = Listeners(
            client=self._connection.client,
            answers=self._answers,
            doorkeeper=operations.doorkeeper,
            voice=voice,
            commands=commands,
        )
        listeners.attach(self._connection.app)
        self._homes = Homes(self._connection.client, ledger, insight, voices.people, operations.doorkeeper)
        responder = Responder(self._connection.client, operations.doorkeeper, commands)
        surface = Surface(self._connection.client, responder, insight, operations, voice, self._homes)
        surface.attach(self._connection.app)

    async def start(self, running: Running) -> None:
        """Connect, and begin to speak and to listen.

        Raises:
            SlackTokensError: Slack does not accept the tokens.
        """
        await self._connection.start()
        running.add("answers", self._answers.run())
        running.add("home tabs", self._homes.run())
        running.add("presenter", self._showing.run(self._presenter.run))

    @property
    def answers(self) -> Answers:
        """What takes people's answers in, those from the command line too."""
        return self._answers

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
