"""A running Paramedic for tests of the command line: the real door over a real socket, and a person in Slack.

    with Port() as port, There(folder, port) as there:
        paramedic("login", "--url", there.url, configuration=folder)

Whoever asks for a login has their code typed at once by `there.person`, unless that is nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from activities.ledger.clicks import Click, Reception, accept_click
from bot.answers import AwayError
from bot.desk import Desk
from bot.http.server import HttpServer
from bot.http.terminal import TerminalDoor
from bot.logins import Asked, Logins
from bot.operations import Operations
from bot.policy.doorkeeper import Doorkeeper, LocalMembers
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import Person
from runbooks.model.record import Record, RecordKind
from tests.way_in import WayIn

ANN = "slack:T1/UANN"

T = TypeVar("T")


class Chat:
    """Knows people as Slack does."""

    def __init__(self) -> None:
        self.guests: set[str] = set()
        self.away = False

    async def know(self, person: str, groups: Sequence[str]) -> Person:
        if self.away:
            raise AwayError("Slack does not tell who clicked")
        return Person(key=person, groups=tuple(groups), guest=person in self.guests)


class TypedAtOnce(Logins):
    """Logins whose codes somebody types as soon as they are shown."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.person = ANN

    async def ask(self, label: str, peer: str) -> Asked:
        asked = await super().ask(label, peer)
        if self.person:
            await self.confirm(asked.code, self.person, "slack:C1")
        return asked


class Port:
    """A server in a thread of its own, which serves one Paramedic after the other."""

    def __init__(self) -> None:
        self.application: ASGIApp = Starlette()
        self._server = HttpServer(self, host="127.0.0.1", port=0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self._server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine does in its loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)


class There:
    """One running Paramedic."""

    def __init__(self, folder: Path, port: Port) -> None:
        self.url = port.url
        self.way = WayIn(folder / "there")
        self.chat = Chat()
        self.logins = TypedAtOnce(self.way.ledger, lifetime=timedelta(hours=12))
        self.clicks: list[Click] = []
        doorkeeper = Doorkeeper(
            PolicyFile(None), {"local": LocalMembers({}), "slack": self.chat}, local_people=False
        )
        operations = Operations(
            self.way.ledger, self.way.intake, freeze_file=self.way.freeze_file, doorkeeper=doorkeeper
        )
        door = TerminalDoor(self.logins, Desk(self.way.ledger, operations, self.logins, self._receive))
        port.application = Starlette(routes=door.routes)

    async def _receive(self, click: Click) -> Reception:
        self.clicks.append(click)
        return await self.way.ledger.write(lambda transaction: accept_click(transaction, click))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.way.__exit__(None, None, None)

    def records(self, *kinds: RecordKind) -> list[Record]:
        """Return what is on record."""
        return [record for kind in kinds for record in self.way.records(kind)]
