"""A ward: many remediations at once, all of them real but the people and what is acted on.

    async with ward(tmp_path, env) as ward:
        await ward.admit("web-1")                       # alert, workflow, checks, plan, question
        gate = await ward.question("web-1")
        await ward.answers.receive(ward.click(gate, "alice"))

The engine on a Temporal server, the guard, the case, the ledger, and the way of people's answers are
the product's own.  Actions count how often they were carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.ledger import records, versions
from activities.ledger.clicks import Click
from bot.answers import Answers, TemporalWorkflows
from bot.sandbox import workflow_runner
from runbooks.engine.remediation import TASK_QUEUE, Remediation
from runbooks.model.alert import AlertStatus, Arrival
from runbooks.model.decision import Answer
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Order, Turn, workflow_id
from tests.guard.surgery import GATE, RUNBOOK, Surgery
from tests.waiting import FakePeople, FakeVoice

PEOPLE = ("alice", "bob")
WITHIN = 60.0  # seconds that a test waits for something at most


class Ward:
    """The remediations of one test."""

    def __init__(self, folder: Path, client: Client) -> None:
        self.surgery = Surgery(folder)
        self.client = client
        self.people = FakePeople()
        self.people.groups = {f"slack:T/{name}": ("oncall",) for name in PEOPLE}
        self.answers = Answers(
            self.surgery.ledger,
            key=self.surgery.key,
            people=self.people,
            workflows=TemporalWorkflows(client),
            voice=FakeVoice(),
        )
        self._digest = ""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """With a worker, and somebody who delivers answers."""
        surgery = self.surgery
        worker = Worker(
            self.client, task_queue=TASK_QUEUE, workflows=[Remediation], workflow_runner=workflow_runner(),
            activities=[*surgery.case.activities(), *surgery.performer.activities(surgery.plans)],
            interceptors=[surgery.guard],
        )  # fmt: skip
        async with worker:
            delivering = asyncio.create_task(self.answers.run())
            try:
                yield
            finally:
                delivering.cancel()
                await asyncio.gather(delivering, return_exceptions=True)

    async def admit(
        self,
        target: str,
        *,
        requested_by: str = "",
        uses: str = "test.keyed",
        gate: str = GATE,
        step_gate: str = "",
    ) -> WorkflowHandle:
        """Take an alert in, and start its workflow."""
        own = f"\n    {step_gate}" if step_gate else ""
        text = RUNBOOK.format(uses=uses, gate=gate, step_gate=own, autonomy="gated")
        digest = await self.surgery.ledger.write(lambda t: versions.keep(t, "heal", text))
        entry = await self.surgery.receive(digest=digest, target=target, requested_by=requested_by)
        order = Order(runbook="heal", runbook_digest=digest, target=target)
        turn = Turn(order=order, arrivals=(Arrival(entry=entry, status=AlertStatus.FIRING),))
        name = workflow_id("heal", target)
        return await self.client.start_workflow("Remediation", turn, id=name, task_queue=TASK_QUEUE)

    async def records(self, *kinds: RecordKind) -> list[Record]:
        """Return what is on record."""
        return await self.surgery.ledger.read(lambda c: records.after(c, -1, 1_000_000, {*kinds} or None))

    async def streams(self, *kinds: RecordKind) -> dict[str, list[Record]]:
        """Return what is on record of each remediation."""
        by_stream: dict[str, list[Record]] = defaultdict(list)
        for record in await self.records(*kinds):
            by_stream[record.stream].append(record)
        return by_stream

    async def recorded(self, kind: RecordKind, number: int = 1, within: float = WITHIN) -> list[Record]:
        """Wait until so many records of a kind are there."""
        found: list[Record] = []

        async def there() -> bool:
            found[:] = await self.records(kind)
            return len(found) >= number

        await until(there, within)
        return found

    def click(self, gate: str, person: str, answer: Answer = Answer.APPROVED, **more: Any) -> Click:
        """Return a person's answer as a listener saw it."""
        facts = {"id": f"{gate}/{person}", "gate": gate, "answer": answer, "person": f"slack:T/{person}"}
        reason = "not now" if answer is Answer.DENIED else ""
        return Click.model_validate(
            {**facts, "via": "slack", "reason": reason, "at": datetime.now(UTC), **more}
        )

    @property
    def effects(self) -> Counter[str]:
        """How often each target was acted on."""
        return Counter(scene.target for scene in self.surgery.world.calls)


async def until(holds: Callable[[], Awaitable[bool]], within: float = WITHIN) -> None:
    """Look again until `holds`."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def ward(folder: Path, client: Client) -> AsyncIterator[Ward]:
    """Open a ward with a worker, and close it."""
    made = Ward(folder, client)
    try:
        async with made.working():
            yield made
    finally:
        made.surgery.ledger.close()
