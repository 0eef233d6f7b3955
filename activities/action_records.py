"""The records of one attempt at one action: intent, receipt, unknown, refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from activities.actions import Action
from runbooks.model.action import Effect, Outcome, Receipt
from runbooks.model.plan import Plan, PlannedAction
from runbooks.model.record import Entry, RecordKind
from runbooks.ports.case import ActionOrder

OUTPUT_LIMIT = 32 * 1024  # bytes of JSON; Temporal would repeat an action whose result is too large


@dataclass(frozen=True)
class Assignment:
    """An order, with what it names: the plan on record, the action in it, and the function that does it."""

    order: ActionOrder
    plan: Plan
    planned: PlannedAction
    each: Action

    @property
    def tells(self) -> bool:
        """Whether it only tells people something, which is always allowed."""
        return self.each.declaration.effect is Effect.TELL

    def receipt(self, outcome: Outcome, sentence: str, reason: str = "", **more: Any) -> Receipt:
        """Return what came of this attempt."""
        order = self.order
        return Receipt(
            key=order.key, outcome=outcome, sentence=sentence, reason=reason, attempt=order.attempt, **more
        )

    def recorded(self, data: dict[str, Any], outcome: str) -> Receipt:
        """Return the receipt that is on record: it was done, and is not done again."""
        names = ("sentence", "reason", "output", "took_ms", "attempt")
        known = {name: data[name] for name in names}
        return Receipt(key=self.order.key, outcome=Outcome(outcome), recovered=True, **known)

    def intent(self, prepared: dict[str, Any]) -> Entry:
        """Return the record that stands before anything is done."""
        data = {
            "effect": str(self.planned.effect),
            "kind": str(self.planned.kind),
            "arguments": self.planned.arguments,
            "plan_digest": self.order.plan_digest,
            "decisions": [each.decision.id for each in self.order.consents],
            "iteration": self.order.iteration,
            "prepared": prepared,
        }
        return self._entry(RecordKind.ACTION_INTENT, f"intent/{self.order.attempt}", data)

    def outcome(self, receipt: Receipt) -> Entry:
        """Return the record of what came of the attempt.  Only a final outcome is the action's receipt."""
        data = {
            "sentence": receipt.sentence,
            "reason": receipt.reason,
            "output": within_limit(receipt.output),
            "recovered": receipt.recovered,
            "took_ms": receipt.took_ms,
        }
        final = receipt.outcome in {Outcome.OK, Outcome.FAILED}
        kind = RecordKind.ACTION_UNKNOWN if receipt.outcome is Outcome.UNKNOWN else RecordKind.ACTION_RECEIPT
        event = "receipt" if final else f"outcome/{self.order.attempt}"
        return self._entry(kind, event, data, str(receipt.outcome))

    def lost(self, attempt: int) -> Entry:
        """Return the record that nothing was heard of an earlier attempt after its intent."""
        data = {
            "attempt": attempt,
            "sentence": "The attempt began and nothing was heard of it again.",
            "reason": "lost",
        }
        return self._entry(RecordKind.ACTION_UNKNOWN, f"outcome/{attempt}", data, str(Outcome.UNKNOWN))

    def refusal(self, receipt: Receipt) -> Entry:
        """Return the record that a rule forbade it."""
        return refusal(
            self.order, receipt, name=self.planned.name, uses=self.planned.uses, target=self.plan.target
        )

    def _entry(self, kind: RecordKind, event: str, data: dict[str, Any], outcome: str = "-") -> Entry:
        identity = _identity(self.order, self.planned.name, self.planned.uses)
        return _entry(self.order, kind, event, {**identity, **data}, outcome, self.plan.target)


def refusal(order: ActionOrder, receipt: Receipt, *, name: str, uses: str, target: str = "-") -> Entry:
    """Return the record of a refusal, also of an order for something that no plan holds."""
    data = {**_identity(order, name, uses), "sentence": receipt.sentence, "reason": receipt.reason}
    event = f"refused/{order.attempt}/{receipt.reason}"
    return _entry(order, RecordKind.ACTION_REFUSED, event, data, str(receipt.outcome), target)


def within_limit(output: dict[str, Any]) -> dict[str, Any]:
    """Return `output`, or a note in its place where it is too large for history and record."""
    size = len(json.dumps(output, default=str))
    return output if size <= OUTPUT_LIMIT else {"left_out": f"{size} bytes of output are over the limit"}


def _identity(order: ActionOrder, name: str, uses: str) -> dict[str, Any]:
    return {"key": order.key, "step": order.step, "name": name, "uses": uses, "attempt": order.attempt}


def _entry(
    order: ActionOrder, kind: RecordKind, event: str, data: dict[str, Any], outcome: str, target: str
) -> Entry:
    return Entry(
        event_id=f"{order.key}/{event}",
        stream=order.remediation,
        kind=kind,
        actor="bot:worker",
        source="guard",
        object=target,
        outcome=outcome,
        data=data,
    )
