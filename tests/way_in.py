"""The way in, for tests: a real ledger, a small catalog, and senders that say what a test wants said.

with WayIn(tmp_path) as way:
    async with way.sender() as sender:
        answer = await sender.post(notification(alert(instance="web-1")))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from activities.ledger import records
from activities.ledger.inbox import InboxEntry
from bot.catalog import Catalog
from bot.http.application import ALERTS, build_http
from bot.http.authentication import Gatekeeper
from bot.http.health import Health, ledger_is_writable
from bot.http.receiver import Receiver
from bot.intake import Intake
from bot.metrics import Metrics
from bot.operations import Operations
from bot.policy.doorkeeper import Doorkeeper, LocalMembers
from bot.policy.policy_file import PolicyFile
from runbooks.model.record import Record, RecordKind
from tests.language.declarations import VOCABULARY
from tests.ledgers import new_ledger

TOKEN = "a-token-for-tests"

RUNBOOK = """\
runbook: {name}
summary: Restart what {alert} is about.
autonomy: automatic

when:
  - alert: {alert}
target: "{target}"

check:
  - name: It is slow
    uses: prometheus.query
    with: {{query: 'slow{{instance="{{{{ target }}}}"}}'}}
    expect: result.value > 0.5

do:
  - name: Set the window
    uses: window.set
    with: {{begin: 1, end: 2}}
    undo: none

verify:
  - name: It is quick
    uses: prometheus.query
    with: {{query: 'slow{{instance="{{{{ target }}}}"}}'}}
    expect: result.value < 0.5
    within: 1m
"""


def runbook(name: str, alert: str, target: str = "{{ labels.instance }}") -> str:
    """Return the text of a small valid runbook."""
    return RUNBOOK.format(name=name, alert=alert, target=target)


def alert(name: str = "HostSlow", *, status: str = "firing", **labels: str) -> dict[str, Any]:
    """Return one alert as Alertmanager writes it."""
    return {
        "status": status,
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "it is slow"},
        "startsAt": "2026-03-14T03:07:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-03-14T03:09:00Z",
        "generatorURL": "http://prometheus.example/graph?g0.expr=slow",
        "fingerprint": "0123456789abcdef",
    }


def notification(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a notification as Alertmanager writes it."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HostSlow"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "paramedic",
        "groupLabels": {"alertname": "HostSlow"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts),
        **more,
    }


class WayIn:
    """Everything between a sender and the inbox."""

    def __init__(
        self,
        folder: Path,
        *,
        tokens: tuple[str, ...] = (TOKEN,),
        basic: tuple[str, ...] = (),
        database: Path | None = None,
    ) -> None:
        self.catalog_folder = folder / "catalog"
        self.catalog_folder.mkdir(parents=True)
        self.write_runbook("host-slow", runbook("host-slow", "HostSlow"))
        self.database = database or folder / "ledger.db"
        self.ledger = new_ledger(self.database)
        self.woken: list[InboxEntry] = []
        self._users = 0
        self.catalog = Catalog.load(self.catalog_folder, VOCABULARY)
        self.intake = Intake(
            self.ledger,
            self.catalog,
            duplicate_window=timedelta(minutes=10),
            wake=self.woken.extend,
            suppressed=lambda repeated: self.metrics.suppressed(repeated, by="delivery"),
        )
        self.freeze_file = folder / "FREEZE"
        self.metrics = Metrics(self.ledger, actions=list(VOCABULARY), freeze_file=self.freeze_file)
        self.operations = Operations(
            self.ledger,
            self.intake,
            freeze_file=self.freeze_file,
            doorkeeper=Doorkeeper(PolicyFile(None), {"local": LocalMembers({})}),
        )
        gatekeeper = Gatekeeper(map(SecretStr, tokens), map(SecretStr, basic))
        self.receiver = Receiver(self.intake, gatekeeper, self.metrics)
        self.health = Health({"ledger": ledger_is_writable(self.ledger)})
        self.application = build_http(self.receiver, self.metrics, self.health)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.receiver.close()
        self.ledger.close()

    def write_runbook(self, name: str, text: str) -> Path:
        """Write a file into the catalog's folder."""
        file = self.catalog_folder / f"{name}.yaml"
        file.write_text(text)
        return file

    def sender(self, *, token: str | None = TOKEN, peer: str = "127.0.0.1") -> Sender:
        """Return a sender at the address `peer`."""
        return Sender(self, token, peer)

    @asynccontextmanager
    async def taking_in(self) -> AsyncIterator[None]:
        """Take in what is acknowledged, for as long as anybody is in such a block."""
        if not self._users:
            self._taking = asyncio.create_task(self.intake.run())
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self.intake.stop()
                await self._taking

    def records(self, kind: RecordKind | None = None) -> list[Record]:
        """Return what is on record."""
        kinds = None if kind is None else {kind}
        return self.ledger.read_now(lambda connection: records.after(connection, -1, 100_000, kinds))

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a metric, 0 where there is none yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Sender:
    """Somebody who sends alerts, without a network, and waits until what they say is taken in."""

    def __init__(self, way: WayIn, token: str | None, peer: str) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(way.application, client=(peer, 50000), raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://paramedic", headers=headers)
        self._way = way
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        await self._stack.enter_async_context(self._way.taking_in())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def post(self, said: Any, **headers: str) -> httpx.Response:
        """Send a notification; bytes are sent as they are."""
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        answer = await self._client.post(ALERTS, content=body, headers=headers)
        if answer.is_success:
            await self._way.intake.taken_in()
        return answer

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send anything."""
        return await self._client.request(method, path, **more)


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
