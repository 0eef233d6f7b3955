"""The rules of a gate: whose answer counts, and when it is decided.

The same rules are asked three times: by the engine when an answer arrives, by the ledger's
keeper when the decision is recorded, and by the guard before every gated action.

There are two questions: may this plan be carried out, and what became of this action?
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from runbooks.model.base import Value
from runbooks.model.decision import VERDICTS, Answer, Decision, SignedDecision
from runbooks.model.plan import GateTerms


class GateState(StrEnum):
    """Where a gate is."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    HAPPENED = "happened"  # the action in doubt was done
    AGAIN = "again"  # the action in doubt may be done once more
    STOPPED = "stopped"  # nothing more is to be done about the action in doubt
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"  # it is no longer needed


class Question(Value):
    """What people are asked, and who may answer.

    Attributes:
        requested_by: who asked for the remediation; empty for alerts.
        about: the key of the action whose outcome is not known; empty where a plan is to be approved.
    """

    terms: GateTerms
    plan_digest: str
    requested_by: str = ""
    about: str = ""

    @property
    def consent(self) -> Answer:
        """The answer that lets something be done, once enough people gave it."""
        return Answer.AGAIN if self.about else Answer.APPROVED


class Gate:
    """One open question to people.

    Attributes:
        id: `R-7F3K2Q/gate-1`, `R-7F3K2Q/verdict-1`.
        consents: the answers so far that let something be done.
    """

    def __init__(self, gate: str, question: Question, *, expires_at: datetime) -> None:
        self.id = gate
        self.question = question
        self.expires_at = expires_at
        self.state = GateState.OPEN
        self.consents: tuple[SignedDecision, ...] = ()
        self.sentence = ""

    def objection(self, decision: Decision, now: datetime) -> str | None:
        """Return why `decision` does not count, or None if it does."""
        if decision.gate != self.id:
            return "this answer belongs to another request"
        if self.state is not GateState.OPEN:
            return f"this request is already {self.state}: {self.sentence}"
        if now >= self.expires_at:
            return "this request has expired"
        if decision.principal.key in {each.decision.principal.key for each in self.consents}:
            return "you have already answered"
        return objection_to(decision, self.question)

    def record(self, signed: SignedDecision) -> None:
        """Count an answer that nobody objects to."""
        decision = signed.decision
        who, said = _name_of(decision), f": {decision.reason}" if decision.reason else ""
        match decision.answer:
            case Answer.DENIED:
                self._settle(GateState.DENIED, f"{who} said no{said}")
            case Answer.HAPPENED:
                self._settle(GateState.HAPPENED, f"{who} says that it happened{said}")
            case Answer.STOP:
                self._settle(GateState.STOPPED, f"{who} said to stop here{said}")
            case _:
                self.consents = (*self.consents, signed)
                self._settle_if_enough()

    def expire(self) -> None:
        """Close it because nobody answered in time; nothing if it is decided."""
        if self.state is GateState.OPEN:
            approvers = " or ".join(self.question.terms.approvers)
            self._settle(GateState.EXPIRED, f"nobody of {approvers} answered in time")

    def withdraw(self, why: str) -> None:
        """Close it because the question is no longer one; nothing if it is decided."""
        if self.state is GateState.OPEN:
            self._settle(GateState.WITHDRAWN, why)

    def _settle_if_enough(self) -> None:
        if len(self.consents) < self.question.terms.need:
            return
        names = ", ".join(_name_of(each.decision) for each in self.consents)
        if self.question.about:
            self._settle(GateState.AGAIN, f"to be done again, says {names}")
        else:
            self._settle(GateState.APPROVED, f"approved by {names}")

    def _settle(self, state: GateState, sentence: str) -> None:
        self.state = state
        self.sentence = sentence


def objection_to(decision: Decision, question: Question) -> str | None:
    """Return why `decision` could never count as an answer to `question`, or None if it could."""
    if decision.plan_digest != question.plan_digest:
        return "the plan has changed since this was shown"
    if (decision.answer in VERDICTS) != bool(question.about) or decision.about != question.about:
        return "this is an answer to another question"
    if not set(question.terms.approvers) & set(decision.principal.groups):
        return f"you are not in {' or '.join(question.terms.approvers)}"
    if decision.principal.key == question.requested_by:
        if decision.answer is Answer.APPROVED:
            return "you cannot approve what you asked for yourself"
        if decision.answer in {Answer.HAPPENED, Answer.AGAIN}:
            return "you cannot judge what you asked for yourself"
    if decision.answer is Answer.DENIED and not decision.reason.strip():
        return "please say why not"
    return None


def objection_to_acting(consents: Sequence[Decision], question: Question, *, remediation: str) -> str | None:
    """Return why these answers do not allow acting, or None if they do."""
    for decision in consents:
        if decision.remediation != remediation:
            return f"the approval {decision.id} belongs to {decision.remediation}"
        if decision.answer is not question.consent:
            return f"the decision {decision.id} is not an approval"
        if (objection := objection_to(decision, question)) is not None:
            return f"the approval {decision.id} does not count: {objection}"
    people = {decision.principal.key for decision in consents}
    if len(people) < question.terms.need:
        return f"{question.terms.need} people must approve, {len(people)} did"
    return None


def _name_of(decision: Decision) -> str:
    return decision.principal.name or decision.principal.key
