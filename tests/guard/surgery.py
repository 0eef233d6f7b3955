"""A ledger with one admitted remediation whose plan is on record, a guard, and actions that count their calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict

from activities.action_records import Assignment
from activities.actions import Action, Measurement, Probe, ProbeAnswer, Registry, Scene, action
from activities.case import LedgerCase
from activities.connections import Connections
from activities.guard import Guard
from activities.ledger import inbox, records, versions
from activities.ledger.inbox import Delivery
from activities.performing import Performer
from activities.plans import Plans
from activities.signatures import TrustedKeys
from activities.surroundings import Surroundings
from bot.keys import ListenerKey
from runbooks.model.action import ActionClass, ActionResult, Effect, Receipt
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.decision import Answer, Decision, GatedStep, Principal, SignedDecision
from runbooks.model.plan import GateTerms, Outline, Part
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import CallIn, Examination, Order
from runbooks.policy.endings import action_key
from runbooks.ports.case import ActionOrder, GateRequest
from tests.ledgers import new_ledger

RUNBOOK = """
runbook: heal
summary: Heal it.
autonomy: {autonomy}
when: [{{alert: Broken}}]
target: "{{{{ labels.service }}}}"
check:
  - name: It is broken
    uses: test.look
    expect: result.value > 0
{gate}
do:
  - name: Mend it
    uses: {uses}
    with: {{word: "{{{{ labels.word }}}}"}}
    undo: none{step_gate}
verify:
  - name: It works
    uses: test.look
    expect: result.value > 0
otherwise:
  - name: Tell people
    uses: test.tell
    with: {{word: help}}
"""

GATE = "gate: {approvers: [oncall], within: 15m}"

LONG = timedelta(seconds=10)
"""How long each action may take.  It is counted from before its intent, and a slow machine stands still in between."""


class Word(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    word: str = ""


class World:
    """What the actions do, and what they were asked."""

    def __init__(self) -> None:
        self.value: float = 1.0
        self.calls: list[Scene] = []
        self.raises: BaseException | None = None
        self.unprepared: Exception | None = None
        self.probe = ProbeAnswer(probe=Probe.CANNOT_TELL, sentence="cannot tell")
        self.prepared: list[Mapping[str, Any]] = []

    def registry(self) -> Registry:
        world = self

        @action("test.look", "Look", effect=Effect.READ, kind=ActionClass.IDEMPOTENT, samples={"value": 1.0})
        async def look(parameters: Word, scene: Scene) -> Measurement:
            return Measurement(sentence=f"value is {world.value}", result={"value": world.value})

        async def perform(parameters: Word, scene: Scene) -> ActionResult:
            world.calls.append(scene)
            if world.raises is not None:
                raise world.raises
            return ActionResult(sentence=f"mended {parameters.word}", output={"word": parameters.word})

        async def prepare(parameters: Word, scene: Scene) -> dict[str, Any]:
            if world.unprepared is not None:
                raise world.unprepared
            return {"seen": "before"}

        async def probe(parameters: Word, scene: Scene, prepared: Mapping[str, Any]) -> ProbeAnswer:
            world.prepared.append(prepared)
            return world.probe

        def acting(name: str, kind: ActionClass, effect: Effect = Effect.WRITE, **more: Any) -> Action:
            return action(name, name, effect=effect, kind=kind, timeout=LONG, **more)(perform)

        return Registry(
            [
                look,
                acting("test.keyed", ActionClass.KEYED),
                acting("test.opaque", ActionClass.OPAQUE),
                acting("test.probed", ActionClass.PROBED, prepare=prepare, probe=probe),
                acting("test.tell", ActionClass.IDEMPOTENT, Effect.TELL),
            ]
        )


def in_time(assignment: Assignment, seconds: float) -> Assignment:
    """Return `assignment` with another time for its action, for one rule of the guard to be tried with."""
    planned = assignment.planned.model_copy(update={"timeout": timedelta(seconds=seconds)})
    return replace(assignment, planned=planned)


class Surgery:
    """Everything around one action."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World()
        self.key = ListenerKey.of(Ed25519PrivateKey.generate())
        self.ledger = new_ledger(folder / "ledger.db")
        self.performer = Performer(self.world.registry(), Connections())
        trusted = TrustedKeys.from_texts([], [self.key.public_text])
        self.freeze_file = folder / "FREEZE"
        self.surroundings = Surroundings(self.freeze_file)
        self.plans = Plans(self.ledger)
        self.case = LedgerCase(self.ledger, self.performer, trusted, self.plans, self.surroundings)
        self.guard = Guard(self.ledger, self.performer, trusted, self.plans, self.surroundings)
        self.found = Examination(remediation="")

    async def receive(
        self,
        labels: dict[str, str] | None = None,
        *,
        digest: str = "",
        requested_by: str = "",
        status: AlertStatus = AlertStatus.FIRING,
        target: str = "web",
    ) -> str:
        """Put one alert into the inbox; return its entry."""
        alert = Alert(
            status=status, labels={"alertname": "Broken", "service": target, "word": "it", **(labels or {})}
        )
        delivery = Delivery(
            delivery=alert.delivery + str(datetime.now(UTC).timestamp()), runbook="heal", runbook_digest=digest,
            target=target, alert=alert, sender="test", requested_by=requested_by,
        )  # fmt: skip
        window = timedelta(seconds=1)
        accepted = await self.ledger.write(
            lambda t: inbox.accept(t, [delivery], at=datetime.now(UTC), duplicate_window=window)
        )
        return accepted.entries[0].entry

    async def examine(
        self,
        *,
        uses: str = "test.keyed",
        gated: bool = False,
        gate: str = GATE,
        step_gate: str = "",
        labels: dict[str, str] | None = None,
        requested_by: str = "",
        run: str = "run-1",
        observe: bool = False,
    ) -> Examination:
        autonomy = "observe" if observe else "gated" if gated else "automatic"
        own = f"\n    {step_gate}" if step_gate else ""
        text = RUNBOOK.format(uses=uses, gate=gate if gated else "", autonomy=autonomy, step_gate=own)
        digest = await self.ledger.write(lambda t: versions.keep(t, "heal", text))
        entry = await self.receive(labels, digest=digest, requested_by=requested_by)
        order = Order(runbook="heal", runbook_digest=digest, target="web")
        call = CallIn(order=order, workflow_id="remediation/heal/web", first_run=run, entries=(entry,))
        self.found = await self.case.examine(call)
        return self.found

    @property
    def outline(self) -> Outline:
        assert self.found.plan is not None
        return self.found.plan

    def order(self, part: Part = Part.DO, **changes: Any) -> ActionOrder:
        step = (self.outline.actions if part is Part.DO else self.outline.otherwise)[0]
        order = ActionOrder(
            remediation=self.found.remediation, plan_digest=self.outline.digest, part=part, step=step.id,
            key=action_key(self.found.remediation, part, step.id, self.outline.digest), attempt=1,
            fencing=self.found.fencing,
        )  # fmt: skip
        return order.model_copy(update=changes)

    async def attend(self, order: ActionOrder, uses: str = "") -> Receipt:
        """Let the guard attend to `order`, called as the activity that its step names."""
        steps = {step.id: step.uses for step in (*self.outline.actions, *self.outline.otherwise)}
        name = uses or steps.get(order.step, "test.keyed")

        async def act() -> ActionResult:
            planned = await self.plans.action(order, name)
            scene = self.performer.scene(order, "web", datetime.now(UTC))
            return await self.performer.perform(self.performer.registry[name], planned, scene)

        return await self.guard.attend(order, name, act)

    async def ask(self) -> GateRequest:
        """Ask about the plan."""
        assert self.outline.gate is not None
        return await self._ask("gate-1", self.outline.gate)

    async def ask_about_step(self) -> GateRequest:
        """Ask about the plan's action alone."""
        action = self.outline.actions[0]
        assert action.gate is not None
        step = GatedStep(key=self.order().key, step=action.id, name=action.name, uses=action.uses)
        return await self._ask("step-1", action.gate, step)

    async def _ask(self, name: str, terms: GateTerms, step: GatedStep | None = None) -> GateRequest:
        now = datetime.now(UTC)
        request = GateRequest(
            remediation=self.found.remediation, gate=f"{self.found.remediation}/{name}",
            plan_digest=self.outline.digest, terms=terms, opens_at=now, expires_at=now + terms.lasts, step=step,
        )  # fmt: skip
        await self.case.open_gate(request)
        return request

    def decision(self, request: GateRequest, **changes: Any) -> Decision:
        now = datetime.now(UTC)
        return Decision(
            id="click-1", gate=request.gate, remediation=request.remediation, plan_digest=request.plan_digest,
            answer=Answer.APPROVED, principal=Principal(key="slack:T/alice", name="alice", groups=("oncall",)), via="slack",
            about=request.step.key if request.step else "", decided_at=now, expires_at=request.expires_at,
        ).model_copy(update=changes)  # fmt: skip

    def forged(self, decision: Decision) -> SignedDecision:
        return (
            ListenerKey.of(Ed25519PrivateKey.generate())
            .sign(decision)
            .model_copy(update={"key_id": self.key.key_id})
        )

    async def records(self, kind: RecordKind | None = None) -> list[Record]:
        found = await self.ledger.read(lambda c: records.stream_of(c, self.found.remediation))
        return [record for record in found if kind is None or record.kind is kind]

    async def kinds(self) -> list[str]:
        return [str(record.kind) for record in await self.records()]
