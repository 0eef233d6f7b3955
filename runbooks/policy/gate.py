"""The rules of a gate: whose answer counts, and when it is decided.

The same rules are asked three times: by the engine when an answer arrives, by the ledger's
keeper when the decision is recorded, and by the guard before every gated action.

There are three questions: may this plan be carried out, may this very step be done now, and what
became of this action?  A question goes to its approvers; where they do not answer, to the next
link of its chain as well; and where nobody is left to ask, it has expired.  Silence is never a yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from runbooks.model.base import Value
from runbooks.model.decision import VERDICTS, Answer, Decision, Objection, Refusal, SignedDecision
from runbooks.model.plan import GateTerms, Link


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


HALTING = frozenset({Answer.DENIED, Answer.STOP})
"""The answers that are heard also from somebody who said yes before: nobody is held to a yes."""


APPROVAL_HOLDS = timedelta(hours=1)
"""How long what was approved may be begun, or gone on with: what people knew when they agreed grows old.

It counts from the last answer, and anew from each thing that was done on the strength of it, so that a
long plan is not cut off in its middle.
"""


class Question(Value):
    """What people are asked, and who may answer.

    Attributes:
        requested_by: who asked for the remediation; empty for alerts.
        about: the key of the action that is asked about; empty where a whole plan is to be approved.
        in_doubt: whether it is asked what became of that action, and not whether it may be done.
        links: how many links of the chain are asked by now.
    """

    terms: GateTerms
    plan_digest: str
    requested_by: str = ""
    about: str = ""
    in_doubt: bool = False
    links: int = 0

    @property
    def consent(self) -> Answer:
        """The answer that lets something be done, once enough people gave it."""
        return Answer.AGAIN if self.in_doubt else Answer.APPROVED

    @property
    def asked(self) -> tuple[str, ...]:
        """The groups that may answer by now."""
        return self.terms.asked(self.links)


class Gate:
    """One open question to people.

    Attributes:
        id: `R-7F3K2Q/gate-1`, `R-7F3K2Q/step-2`, `R-7F3K2Q/verdict-1`.
        asked_until: when the next link is asked, or it expires.  All times count from the opening: a
            worker that was away for a while does not make the gate stay open longer than was said.
        expires_at: when the last link's time is over.
        consents: the answers so far that let something be done.
    """

    def __init__(self, gate: str, question: Question, *, opens_at: datetime) -> None:
        self.id = gate
        self.question = question
        self.asked_until = opens_at + question.terms.within
        self.expires_at = opens_at + question.terms.lasts
        self.state = GateState.OPEN
        self.consents: tuple[SignedDecision, ...] = ()
        self.sentence = ""

    @property
    def next_link(self) -> Link | None:
        """Who is asked when the time of those who are asked now is over; None: nobody, or it is decided."""
        rest = self.question.terms.otherwise[self.question.links :]
        return rest[0] if rest and self.state is GateState.OPEN else None

    def link_due(self, now: datetime) -> Link | None:
        """Return who is to be asked as well by now; None: nobody."""
        return self.next_link if now >= self.asked_until else None

    def objection(self, decision: Decision, now: datetime) -> Objection | None:
        """Return why `decision` does not count, or None if it does."""
        if decision.gate != self.id:
            return _object(Refusal.OTHER_QUESTION, "this answer belongs to another request")
        if self.state is not GateState.OPEN:
            return _object(Refusal.CLOSED, f"this request is already {self.state}: {self.sentence}")
        if now >= self.expires_at:
            return _object(Refusal.EXPIRED, "this request has expired")
        repeated = objection_to_repeating(decision.answer, consented=self._has_consented(decision))
        return repeated or objection_to(decision, self.question)

    def record(self, signed: SignedDecision) -> None:
        """Count an answer that nobody objects to.

        No sentence repeats the person's reason: it stands in the record of the decision alone, where it can
        be redacted, and sentences go into endings, receipts and histories.
        """
        who = _name_of(signed.decision)
        match signed.decision.answer:
            case Answer.DENIED:
                self._settle(GateState.DENIED, f"{who} said no")
            case Answer.HAPPENED:
                self._settle(GateState.HAPPENED, f"{who} says that it happened")
            case Answer.STOP:
                self._settle(GateState.STOPPED, f"{who} said to stop here")
            case _:
                self.consents = (*self.consents, signed)
                self._settle_if_enough()

    def escalate(self, link: Link) -> None:
        """Ask the next link as well; whoever was asked before may still answer."""
        self.question = self.question.model_copy(update={"links": self.question.links + 1})
        self.asked_until += link.within

    def expire(self) -> None:
        """Close it because too few answered in time; nothing if it is decided."""
        if self.state is not GateState.OPEN:
            return
        groups, need = " or ".join(self.question.asked), self.question.terms.need
        if self.consents:
            names = ", ".join(_name_of(each.decision) for each in self.consents)
            sentence = f"only {names} approved in time, and {need} of {groups} must"
        else:
            sentence = f"nobody of {groups} answered in time"
        self._settle(GateState.EXPIRED, sentence)

    def withdraw(self, why: str) -> None:
        """Close it because the question is no longer one; nothing if it is decided."""
        if self.state is GateState.OPEN:
            self._settle(GateState.WITHDRAWN, why)

    def _has_consented(self, decision: Decision) -> bool:
        return any(each.decision.principal.key == decision.principal.key for each in self.consents)

    def _settle_if_enough(self) -> None:
        if len(self.consents) < self.question.terms.need:
            return
        names = ", ".join(_name_of(each.decision) for each in self.consents)
        if self.question.in_doubt:
            self._settle(GateState.AGAIN, f"to be done again, says {names}")
        else:
            self._settle(GateState.APPROVED, f"approved by {names}")

    def _settle(self, state: GateState, sentence: str) -> None:
        self.state = state
        self.sentence = sentence


def objection_to_repeating(answer: Answer, *, consented: bool) -> Objection | None:
    """Return why `answer` does not count from somebody who said yes before, where they did; None if it may."""
    if consented and answer not in HALTING:
        return _object(Refusal.ANSWERED_ALREADY, "you have already answered")
    return None


def objection_to(decision: Decision, question: Question) -> Objection | None:
    """Return why `decision` could never count as an answer to `question`, or None if it could."""
    if decision.plan_digest != question.plan_digest:
        return _object(Refusal.OTHER_PLAN, "the plan has changed since this was shown")
    if (decision.answer in VERDICTS) != question.in_doubt or decision.about != question.about:
        return _object(Refusal.OTHER_QUESTION, "this is an answer to another question")
    if (objection := _objection_to_membership(decision, question)) is not None:
        return objection
    if question.requested_by and decision.principal.is_known_as(question.requested_by):
        other = f"somebody else of {' or '.join(question.asked)} must"
        if decision.answer is Answer.APPROVED:
            return _object(Refusal.OWN_REQUEST, f"you cannot approve what you asked for yourself: {other}")
        if decision.answer in {Answer.HAPPENED, Answer.AGAIN}:
            return _object(Refusal.OWN_REQUEST, f"you cannot judge what you asked for yourself: {other}")
    if decision.answer is Answer.DENIED and not decision.reason.strip():
        return _object(Refusal.NO_REASON, "please say why not")
    return None


def _objection_to_membership(decision: Decision, question: Question) -> Objection | None:
    groups = set(decision.principal.groups)
    if groups & set(question.asked):
        return None
    asked = " or ".join(question.asked)
    if groups & set(question.terms.everybody):
        return _object(Refusal.NOT_ASKED_YET, f"you are asked only when {asked} did not answer in time")
    return _object(Refusal.NOT_A_MEMBER, f"you are not in {asked}")


def _object(refusal: Refusal, sentence: str) -> Objection:
    return Objection(refusal=refusal, sentence=sentence)


def objection_to_acting(consents: Sequence[Decision], question: Question, *, remediation: str) -> str | None:
    """Return why these answers do not allow acting, or None if they do."""
    for decision in consents:
        if decision.remediation != remediation:
            return f"the approval {decision.id} belongs to {decision.remediation}"
        if decision.answer is not question.consent:
            return f"the decision {decision.id} is not an approval"
        if (objection := objection_to(decision, question)) is not None:
            return f"the approval {decision.id} does not count: {objection.sentence}"
    if len({decision.gate for decision in consents}) > 1:
        return "the approvals are answers to different requests"
    people = {decision.principal.key for decision in consents}
    if len(people) < question.terms.need:
        return f"{question.terms.need} people must approve, {len(people)} did"
    return None


def holds_until(
    consents: Sequence[Decision], *, acted_at: datetime | None, pause: timedelta
) -> datetime | None:
    """Return until when what people agreed to may be begun, or gone on with; None: nobody had to agree.

    Args:
        consents: all answers that together allow what is to be done.
        acted_at: when it was last recorded that something is done, or was, on the strength of them.
        pause: how long the plan itself may go on without such a record.
    """
    if not consents:
        return None
    last = max(each.decided_at for each in consents)
    return max(last, acted_at or last) + pause + APPROVAL_HOLDS


def _name_of(decision: Decision) -> str:
    return decision.principal.name or decision.principal.key
