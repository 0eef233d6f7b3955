"""Plans on record: where acting and verifying activities get what they carry out.

A plan is named by the remediation and its digest.  Since records never change, one that was read
once is kept in memory, until its remediation has ended.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from activities.ledger import records
from activities.ledger.store import Ledger
from runbooks.errors import RefusedError
from runbooks.model.base import as_body
from runbooks.model.plan import Plan, PlannedAction
from runbooks.model.record import Record
from runbooks.ports.case import ActionOrder

REMEMBERED = 2_000


class Plans:
    """The plans of this ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: OrderedDict[str, tuple[str, Plan]] = OrderedDict()

    def remember(self, remediation: str, digest: str, plan: Plan) -> None:
        """Keep a plan that has just been put on record."""
        self._known[remediation] = (digest, plan)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, remediation: str) -> None:
        """Let go of the plan of a remediation that has ended."""
        self._known.pop(remediation, None)

    async def get(self, remediation: str, digest: str) -> Plan:
        """Return the plan with this digest.

        Raises:
            RefusedError: none is on record for this remediation.
        """
        known = self._known.get(remediation)
        if known is not None and known[0] == digest:
            return known[1]
        record = await self._ledger.read(lambda c: records.find(c, event_of(remediation, digest)))
        if record is None:
            raise RefusedError("not_planned", f"No plan with this digest is on record for {remediation}.")
        plan = _plan_of(record)
        self.remember(remediation, digest, plan)
        return plan

    async def action(self, order: ActionOrder, uses: str) -> PlannedAction:
        """Return the action that `order` names, which is to be done by `uses`.

        Raises:
            RefusedError: the plan on record does not hold it.
        """
        plan = await self.get(order.remediation, order.plan_digest)
        action = plan.action(order.part, order.step)
        if action is None:
            raise RefusedError(
                "not_planned", f"The plan on record has no step {order.step} under {order.part}."
            )
        if action.uses != uses:
            raise RefusedError("not_planned", f"The plan on record has {action.uses} there, not {uses}.")
        return action


def event_of(remediation: str, digest: str) -> str:
    """Return the event id of the plan's record."""
    return f"{remediation}/plan/{digest}"


def data_of(plan: Plan) -> dict[str, Any]:
    """Return what a plan's record holds of it.

    A body holds decimals as text.  Where that changes the plan, its exact JSON stands beside it:
    what was approved is what runs, to the last digit.
    """
    exact = plan.model_dump(mode="json")
    return {"plan": exact} if as_body(exact) == exact else {"plan": exact, "exact": json.dumps(exact)}


def _plan_of(record: Record) -> Plan:
    exact = record.data.get("exact")
    return Plan.model_validate_json(exact) if exact else Plan.model_validate(record.data["plan"])
