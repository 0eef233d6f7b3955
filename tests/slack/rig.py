"""The whole conversation over real sockets: practice workspace, bolt app, ledger; only the engine is a fake.

async with Rig.open(tmp_path) as rig:
    await rig.house.keep()
    button = await rig.hands.wait_for_button(APPROVE)
    await rig.press(button)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from activities.connections import GroupConnection
from activities.ledger import cards, records
from activities.ledger.leases import KeptTarget
from activities.ledger.store import Ledger
from bot import answers as answers_module
from bot.answers import Answers
from bot.catalog import Catalog
from bot.http.application import SLACK
from bot.http.server import HttpServer
from bot.insight import Insight
from bot.keys import ListenerKey
from bot.operations import GateLine, RunbookLine, RunRequested, Status, StatusLine, Stopped
from bot.policy.doorkeeper import Doorkeeper
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import Question, Verb
from bot.practice.hands import Hands, Sight
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack import receiver as receiver_module
from bot.slack.commands import Commands
from bot.slack.connection import SlackConnection
from bot.slack.homes import Homes
from bot.slack.listeners import Listeners
from bot.slack.manifest import Mode
from bot.slack.people import SlackPeople
from bot.slack.poster import Poster
from bot.slack.presenter import Presenter
from bot.slack.receiver import SlackReceiver
from bot.slack.responder import Responder
from bot.slack.sender import Sender
from bot.slack.signatures import Signatures
from bot.slack.surface import ALERT_SHORTCUT, Surface
from bot.slack.teller import SlackTeller
from bot.slack.voice import SlackVoice
from runbooks.errors import ParamedicError
from runbooks.language.document import parse_runbook
from runbooks.model.action import Effect
from runbooks.model.freeze import Freeze
from runbooks.model.runbook import Autonomy, Runbook
from tests.language.declarations import VOCABULARY
from tests.ledgers import new_ledger
from tests.records import NOON, PLAN, RESTART, Telling
from tests.waiting import Waiting
from tests.way_in import runbook

HOLD = timedelta(seconds=20)
"""A busy machine may need seconds for one attempt, and a story in which nothing goes wrong has only one."""

SOON = timedelta(seconds=2)
"""The same where something is away or slow: it is tried again as soon as this is over."""

PATIENCE = 10.0
"""Seconds that Slack waits for the app: its own three say more of a busy machine than of the app."""

DEADLINE = 8.0
"""Seconds that the app gives itself for a request; less than Slack waits, as in life."""

FORESIGHT = timedelta(seconds=30)
"""How long a form may wait for who wants it, where triggers live as long."""

MILD = PLAN.model_copy(update={"actions": (RESTART.model_copy(update={"effect": Effect.WRITE}),)})
"""A plan that one press approves: what interrupts something must be read first (test_review.py)."""


class FakeOperations:
    """What people asked for.

    Attributes:
        reading: set whenever somebody has read what is going on, and not been answered yet.
        answers: whoever reads waits while it is not set, and gets what was there before.
    """

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self.doorkeeper = doorkeeper
        self.asked: list[tuple[Any, ...]] = []
        self.frozen: list[Freeze] = []
        self.kept: list[KeptTarget] = []
        self.gates: list[GateLine] = []
        self.running: list[StatusLine] = []
        self.reading, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def list_runbooks(self) -> list[RunbookLine]:
        known = RunbookLine(name="service-errors", summary="Restart <it> & hope.", autonomy=Autonomy.GATED)
        return [known, RunbookLine(name="broken", error="broken.yaml:3:1: there is no word `chek`.")]

    async def run(self, name: str, labels: Any, *, actor: str, source: str) -> RunRequested:
        if name != "service-errors":
            raise ParamedicError(f"there is no runbook {name!r}; did you mean service-errors?")
        self.asked.append(("run", name, dict(labels), actor, source))
        return RunRequested(entry="e1", runbook=name, target=labels.get("service", "?"))

    async def status(self) -> Status:
        running = tuple(self.running)
        found = Status(
            frozen=tuple(self.frozen), running=running, gates=tuple(self.gates), kept=tuple(self.kept)
        )
        self.reading.set()
        await self.answers.wait()
        return found

    @property
    def catalog(self) -> Catalog:
        text = runbook("service-errors", "ServiceErrors", "{{ labels.service }}")
        parsed = parse_runbook(text, file="service-errors.yaml", vocabulary=VOCABULARY)
        return Catalog(Path(), VOCABULARY, {parsed.name: parsed})

    def find(self, name: str) -> Runbook:
        if name not in self.catalog.runbooks:
            raise ParamedicError(f"there is no runbook {name!r}; did you mean service-errors?")
        return self.catalog.runbooks[name]

    async def stop(self, remediation: str, reason: str, *, actor: str, source: str) -> Stopped:
        self.asked.append(("stop", remediation, reason, actor, source))
        return Stopped(remediation=remediation, runbook="service-errors", target="checkout")

    async def freeze(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        self.asked.append(("freeze", scope, reason, actor, source))
        self.frozen.append(Freeze(scope=scope, actor=actor, reason=reason, at=NOON))
        return True

    async def thaw(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        await self.doorkeeper.admit(actor, Question(verb=Verb.THAW, scope=scope))
        self.asked.append(("thaw", scope, reason, actor, source))
        known = [each for each in self.frozen if each.scope == scope]
        self.frozen = [each for each in self.frozen if each.scope != scope]
        return bool(known)


class Bot:
    """One process of the bot, as far as Slack is concerned."""

    def __init__(
        self,
        server: PracticeServer,
        ledger: Ledger,
        house: Waiting,
        *,
        channel: str = "#incidents",
        fallback: str = "",
        thaw_group: str | None = None,
        mode: Mode = "socket",
        hold: timedelta = HOLD,
    ) -> None:
        self.server = server
        self.mode = mode
        self.connection = SlackConnection(
            bot_token=server.bot_token,
            app_token=server.app_token if mode == "socket" else None,
            base_url=server.base_url,
        )
        self.outcomes: Counter[str] = Counter()
        self.url = ""
        self.people = SlackPeople(self.connection.client, {"sre-oncall": GroupConnection()})
        self.sender = Sender(self.connection.sender_client, per_second=200)
        self.poster = Poster(self.sender, channel, fallback)
        self.presenter = Presenter(ledger, poster=self.poster, people=self.people, clock=house.now)
        self.teller = SlackTeller(ledger, poster=self.poster, people=self.people)
        self.voice = SlackVoice(self.connection.client, self.presenter)
        doorkeeper = Doorkeeper(PolicyFile(None), {"slack": self.people}, thaw_group=thaw_group)
        self.operations = FakeOperations(doorkeeper)
        self.answers = Answers(
            ledger,
            key=ListenerKey.generate(),
            people=self.people,
            workflows=house,
            voice=self.voice,
            clock=house.now,
            hold=hold,
        )
        insight = Insight(ledger, self.operations)
        commands = Commands(self.operations, insight, self.answers)
        self.listeners = Listeners(
            client=self.connection.client,
            answers=self.answers,
            doorkeeper=doorkeeper,
            voice=self.voice,
            commands=commands,
        )
        self.listeners.attach(self.connection.app)
        self.homes = Homes(self.connection.client, ledger, insight, self.people, doorkeeper, pause=0.05)
        responder = Responder(self.connection.client, doorkeeper, commands)
        surface = Surface(self.connection.client, responder, insight, self.operations, self.voice, self.homes)
        surface.attach(self.connection.app)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Bot]:
        """Connected, presenting and delivering."""
        await self.connection.start()
        try:
            async with self._listening(), self._working():
                yield self
        finally:
            await self.connection.stop()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """With the address that Slack posts to, where it does."""
        if self.mode == "socket":
            yield
            return
        receiver = SlackReceiver(
            Signatures([SecretStr(self.server.signing_secret)]),
            self.connection,
            lambda outcome: self.outcomes.update([outcome]),
        )
        http = HttpServer(Starlette(routes=[Route(SLACK, receiver)]), host="127.0.0.1", port=0)
        await http.start()
        self.url = f"http://127.0.0.1:{http.port}{SLACK}"
        await self.server.call_over_http(self.url)
        try:
            yield
        finally:
            await http.stop()

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.presenter.run()), asyncio.create_task(self.answers.run())]
        tasks.append(asyncio.create_task(self.homes.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def app_has(seconds: float) -> Iterator[None]:
    """Let the app give itself so long for a request over HTTP."""
    with mock.patch.object(receiver_module, "DEADLINE", seconds):
        yield


class Rig:
    """A workspace with people, one bot, and one remediation that waits for them."""

    def __init__(
        self, server: PracticeServer, ledger: Ledger, house: Waiting, hands: Hands, mode: Mode = "socket"
    ) -> None:
        self.mode = mode
        self.server = server
        self.ledger = ledger
        self.house = house
        self.hands = hands

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path, mode: Mode = "socket", **house: Any) -> AsyncIterator[Rig]:
        ledger = new_ledger(folder / "ledger.db")
        workspace = Workspace(shortcuts={ALERT_SHORTCUT: "Run runbook for alert"}, patience=PATIENCE)
        workspace.triggers.lifetime = FORESIGHT.total_seconds()  # a form must open on a slow machine too
        try:
            async with PracticeServer(workspace) as server, Hands(server.page_url) as hands:
                house.setdefault(
                    "told", Telling(plan=MILD).admitted().check("before", "passed").planned().asked()
                )
                waiting = Waiting(ledger, **house)
                async with waiting.time_passes():
                    with mock.patch.object(answers_module, "FORESIGHT", FORESIGHT), app_has(DEADLINE):
                        yield cls(server, ledger, waiting, hands, mode)
        finally:
            ledger.close()

    def bot(self, **more: Any) -> Bot:
        return Bot(self.server, self.ledger, self.house, mode=self.mode, **more)

    async def press(self, button: Any, as_person: str = "alice") -> str:
        return await self.hands.press_button(button, as_person)

    @contextlib.contextmanager
    def slack_waits(self, seconds: float) -> Iterator[None]:
        """Let Slack wait only so long for the app: where no answer is to come, more would show nothing."""
        carrier = self.server.sockets if self.mode == "socket" else self.server.posts
        with mock.patch.object(carrier, "_patience", seconds):
            yield

    async def see(self, words: str, as_person: str = "alice") -> dict[str, Any]:
        """Wait for a message of the channel that holds `words`, and return it."""
        return await self._find(words, lambda sight: sight.messages("#incidents"), as_person)

    async def see_reply(self, words: str, as_person: str = "alice") -> dict[str, Any]:
        """Wait for a reply in any thread that holds `words`."""

        def replies(sight: Sight) -> list[dict[str, Any]]:
            cards = sight.messages("#incidents")
            return [reply for card in cards for reply in sight.thread("#incidents", card["ts"])]

        return await self._find(words, replies, as_person)

    async def overhear(self, words: str, as_person: str = "alice") -> dict[str, Any]:
        """Wait for a message that only this person sees."""
        return await self._find(words, lambda sight: sight.ephemerals, as_person)

    async def no_buttons(self, as_person: str = "alice") -> None:
        """Wait until no message offers a button any more."""
        await self.hands.wait_for(lambda sight: not sight.buttons(), as_person=as_person)

    async def card_row(self) -> Any:
        return await self.ledger.read(lambda c: cards.card(c, self.house.told.remediation))

    async def all_noted(self) -> None:
        """`noted`, of the house's remediation."""
        await self.noted(self.house.told.remediation)

    async def noted(self, name: str = "(presenter)") -> None:
        """Wait until the bot has noted that Slack shows everything, of one remediation or of all that there are.

        That it does is seen before it is noted, and a bot that is stopped between the two has to do it again.
        """
        stream = await self.ledger.read(lambda c: records.stream_of(c, name))
        last = stream[-1].seq if stream else await self.ledger.read(records.size) - 1
        async with asyncio.timeout(60):
            while (row := await self.ledger.read(lambda c: cards.card(c, name))) is None or row.seq < last:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # nobody is told when a row changes

    async def _find(self, words: str, where: Any, as_person: str) -> dict[str, Any]:
        def seen(sight: Sight) -> dict[str, Any] | None:
            return next((each for each in where(sight) if words in str(each)), None)

        return await self.hands.wait_for(seen, as_person=as_person)

    def now(self) -> datetime:
        return self.house.now()
