"""A remediation that waits at its gate, for tests of how people answer it.

    house = Waiting(ledger)            # its records are in the ledger, its workflow is a fake
    await house.open()
    await house.decide("wf", signed)   # as Temporal would

The fake workflow keeps the engine's own rules (`runbooks.policy.gate`) and writes the records
that the ledger's keeper would write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from activities.ledger import records
from activities.ledger.clicks import Click
from activities.ledger.store import Ledger
from bot.answers import AwayError, PersonRefusedError, Verdict, WorkflowGoneError
from runbooks.model.decision import Answer, Principal, SignedDecision
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.policy.gate import Gate, GateState, Question
from runbooks.policy.story import Story, read_story
from tests.records import Telling


def as_entry(record: Record) -> Entry:
    """Return what would have been handed to the ledger for `record`."""
    return Entry.model_validate(record.model_dump(exclude={"seq", "stream_seq"}))


class Waiting:
    """A remediation in a real ledger, and the workflow that waits for its answer."""

    def __init__(self, ledger: Ledger, told: Telling | None = None, *, need: int = 1) -> None:
        self.ledger = ledger
        self.told = told or Telling().admitted().check("before", "passed").planned().asked()
        self.kept = 0
        self.away = False
        self.gone = False
        self.heard: list[SignedDecision] = []
        self.answered = asyncio.Event()
        self._verdicts: dict[str, Verdict] = {}
        self._deciding = asyncio.Lock()
        plan = self.told.plan
        terms = plan.gate.model_copy(update={"need": need})
        question = Question(terms=terms, plan_digest=plan.digest)
        self.gate = Gate(self.told.gate, question, opens_at=self.told.now)

    def now(self) -> datetime:
        """The time in this story."""
        return self.told.now

    @contextlib.asynccontextmanager
    async def time_passes(self) -> AsyncIterator[None]:
        """Let the story's clock go on as time does: what was cut off is tried again only when its claim is over."""
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.told.wait(seconds=1)

    async def keep(self) -> None:
        """Write what was told since the last time into the ledger."""
        new, self.kept = self.told.records[self.kept :], len(self.told.records)
        await self.ledger.append(*map(as_entry, new))

    async def decide(self, workflow_id: str, signed: SignedDecision) -> Verdict:
        """Judge as the engine does; the same decision again gets the first verdict."""
        if self.gone:
            raise WorkflowGoneError(workflow_id)
        if self.away:
            raise AwayError("Temporal is away")
        # Whoever asked may give up; what Temporal has accepted it carries out all the same.
        return await asyncio.shield(self._decide(signed))

    async def _decide(self, signed: SignedDecision) -> Verdict:
        async with self._deciding:
            self.heard.append(signed)
            known = self._verdicts.get(signed.decision.id)
            if known is None:
                known = await self._judge(signed)
                self._verdicts[signed.decision.id] = known
        self.answered.set()
        return known

    async def _judge(self, signed: SignedDecision) -> Verdict:
        objection = self.gate.objection(signed.decision, self.now())
        if objection is not None:
            return Verdict(objection=objection.sentence, recorded=False)
        self.gate.record(signed)
        await self.record(signed)
        if self.gate.state is not GateState.OPEN:
            await self.close_gate(str(self.gate.state), self.gate.sentence)
        return Verdict()

    async def record(self, signed: SignedDecision) -> None:
        """Put a decision that counts on record, as the ledger's keeper does."""
        data = {**signed.model_dump(mode="json"), "objection": ""}
        await self._append(RecordKind.DECISION, "accepted", signed.decision.id, data)

    async def close_gate(self, outcome: str, sentence: str) -> None:
        """Put the closing of the gate on record."""
        data = {"gate": self.gate.id, "sentence": sentence}
        await self._append(RecordKind.GATE_CLOSED, outcome, f"{self.gate.id}/closed", data)

    async def end(self, ending: str, sentence: str = "it is over") -> None:
        """Put the ending on record."""
        data = {"ending": ending, "reason": ending, "sentence": sentence, "count": 0}
        await self._append(RecordKind.ENDING, ending, f"{self.told.remediation}/ending", data)

    async def _append(self, kind: RecordKind, outcome: str, event: str, data: dict[str, Any]) -> None:
        await self.ledger.append(
            Entry(
                event_id=event,
                stream=self.told.remediation,
                kind=kind,
                actor="bot:worker",
                source="worker",
                outcome=outcome,
                at=self.now(),
                data=data,
            )
        )

    async def stream(self) -> list[Record]:
        """The remediation's records."""
        return await self.ledger.read(lambda c: records.stream_of(c, self.told.remediation))

    async def story(self) -> Story:
        """The remediation's story."""
        return read_story(await self.stream())

    def click(
        self, who: str = "U1", answer: Answer = Answer.APPROVED, nonce: str = "1", **more: Any
    ) -> Click:
        """A click of a person of the team T1."""
        facts = {"id": f"{who}-{answer}-{nonce}", "gate": self.gate.id, "answer": answer}
        person = {"person": f"slack:T1/{who}", "via": "slack", "at": self.now()}
        return Click.model_validate({**facts, **person, **more})


class FakePeople:
    """People whose groups a test chooses."""

    def __init__(self) -> None:
        self.groups: dict[str, tuple[str, ...]] = {
            "slack:T1/U1": ("sre-oncall",),
            "slack:T1/U2": ("sre-oncall",),
        }
        self.refused: dict[str, str] = {}
        self.away = False
        self.asked: list[str] = []

    async def look_up(self, person: str, groups: Any) -> Principal:
        self.asked.append(person)
        if self.away:
            raise AwayError("Slack does not tell who clicked")
        if person in self.refused:
            raise PersonRefusedError(self.refused[person])
        mine = self.groups.get(person, ())
        return Principal(key=person, name=person[-2:], groups=tuple(each for each in groups if each in mine))


class FakeVoice:
    """What people were told, in order; a queue, so that a test waits for it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.tidied: list[Click] = []

    async def tell(self, click: Click, text: str) -> None:
        self.told.put_nowait((click.person, text))

    async def closed(self, click: Click, text: str) -> None:
        self.tidied.append(click)
        self.told.put_nowait((click.person, text))
