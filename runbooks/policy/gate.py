"""The rules of a gate: whose answer counts, and when it is decided.

The same rules are asked three times: by the engine when an answer arrives, by the ledger's
keeper when the decision is recorded, and by the guard before every gated action.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from runbooks.model.decision import Answer, Decision, SignedDecision
from runbooks.model.plan import GateTerms


class GateState(StrEnum):
    """Where a gate is."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"  # it is no longer needed


class Gate:
    """One open question to people.

    Attributes:
        id: `R-7F3K2Q/gate-1`.
        requested_by: who asked for the remediation; empty for alerts.
    """

    def __init__(
        self, gate: str, *, terms: GateTerms, plan_digest: str, requested_by: str, expires_at: datetime
    ) -> None:
        self.id = gate
        self.terms = terms
        self.plan_digest = plan_digest
        self.requested_by = requested_by
        self.expires_at = expires_at
        self.state = GateState.OPEN
        self.approvals: tuple[SignedDecision, ...] = ()
        self.sentence = ""

    def objection(self, decision: Decision, now: datetime) -> str | None:
        """Return why `decision` does not count, or None if it does."""
        if decision.gate != self.id:
            return "this answer belongs to another request"
        if self.state is not GateState.OPEN:
            return f"this request is already {self.state}: {self.sentence}"
        if now >= self.expires_at:
            return "this request has expired"
        if decision.principal.key in {each.decision.principal.key for each in self.approvals}:
            return "you have already answered"
        return objection_to(decision, self.terms, self.plan_digest, self.requested_by)

    def record(self, signed: SignedDecision) -> None:
        """Count an answer that nobody objects to."""
        decision = signed.decision
        who = decision.principal.name or decision.principal.key
        if decision.answer is Answer.DENIED:
            self._settle(GateState.DENIED, f"{who} said no: {decision.reason}")
            return
        self.approvals = (*self.approvals, signed)
        if len(self.approvals) >= self.terms.need:
            names = ", ".join(
                each.decision.principal.name or each.decision.principal.key for each in self.approvals
            )
            self._settle(GateState.APPROVED, f"approved by {names}")

    def expire(self) -> None:
        """Close it because nobody answered in time; nothing if it is decided."""
        if self.state is GateState.OPEN:
            self._settle(GateState.EXPIRED, f"nobody of {' or '.join(self.terms.approvers)} answered in time")

    def withdraw(self, why: str) -> None:
        """Close it because the question is no longer one; nothing if it is decided."""
        if self.state is GateState.OPEN:
            self._settle(GateState.WITHDRAWN, why)

    def _settle(self, state: GateState, sentence: str) -> None:
        self.state = state
        self.sentence = sentence


def objection_to(decision: Decision, terms: GateTerms, plan_digest: str, requested_by: str) -> str | None:
    """Return why `decision` could never count for this plan, or None if it could."""
    if decision.plan_digest != plan_digest:
        return "the plan has changed since this was shown"
    if not set(terms.approvers) & set(decision.principal.groups):
        return f"you are not in {' or '.join(terms.approvers)}"
    if decision.answer is Answer.APPROVED and decision.principal.key == requested_by:
        return "you cannot approve what you asked for yourself"
    if decision.answer is Answer.DENIED and not decision.reason.strip():
        return "please say why not"
    return None


def objection_to_acting(
    approvals: Sequence[Decision], terms: GateTerms, *, plan_digest: str, remediation: str, requested_by: str
) -> str | None:
    """Return why these approvals do not allow acting, or None if they do."""
    for decision in approvals:
        if decision.remediation != remediation:
            return f"the approval {decision.id} belongs to {decision.remediation}"
        if decision.answer is not Answer.APPROVED:
            return f"the decision {decision.id} is not an approval"
        if (objection := objection_to(decision, terms, plan_digest, requested_by)) is not None:
            return f"the approval {decision.id} does not count: {objection}"
    people = {decision.principal.key for decision in approvals}
    if len(people) < terms.need:
        return f"{terms.need} people must approve, {len(people)} did"
    return None
