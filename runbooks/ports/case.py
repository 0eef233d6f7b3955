"""What the engine needs of the world, apart from the actions themselves.

Each method is one Temporal activity.  Reading and record keeping run as local activities: they
are short and repeatable.  Actions are regular activities, one type for each declared action,
because a record must stand in the history before and after them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta

from temporalio import activity

from runbooks.model.base import Value
from runbooks.model.decision import Doubt, GatedStep, Objection, SignedDecision
from runbooks.model.plan import GateTerms, Part
from runbooks.model.remediation import CallIn, Closing, Examination, Withheld
from runbooks.model.verdict import CheckResult


class Joining(Value):
    """Inbox entries that join a remediation in progress."""

    remediation: str
    entries: tuple[str, ...]


class GateRequest(Value):
    """A gate to be opened: the plan that it is about is on record already.

    Attributes:
        expires_at: when the last link of its chain has had its time.
        doubt: the action, where the question is what became of it.
        step: the step, where it is about that one alone.  Neither: the whole plan is to be approved.
    """

    remediation: str
    gate: str
    plan_digest: str
    terms: GateTerms
    opens_at: datetime
    expires_at: datetime
    doubt: Doubt | None = None
    step: GatedStep | None = None


class Escalation(Value):
    """A gate that nobody has decided in time goes to the next link of its chain.

    Attributes:
        link: 1 for the first link.
        approvers: who is asked too from now on.
    """

    remediation: str
    gate: str
    link: int
    approvers: tuple[str, ...]
    asked_until: datetime


class GateSettlement(Value):
    """How a gate closed.  `outcome` is its state's word: approved, denied, happened, expired, ..."""

    remediation: str
    gate: str
    outcome: str
    sentence: str


class SecondLook(Value):
    """Admission and checks once more, right before acting."""

    remediation: str
    fencing: int


class Reexamination(Value):
    """What the second look found."""

    withheld: Withheld | None = None
    checks: tuple[CheckResult, ...] = ()


class Hearing(Value):
    """An answer as it came to the workflow.

    Attributes:
        objection: what the engine, which knows where the gate stands now, has against it; None: nothing.
    """

    signed: SignedDecision
    objection: Objection | None = None


class Judgement(Value):
    """What the ledger says of a signed decision: None, or why it does not count."""

    objection: str | None = None


class Verification(Value):
    """One look at whether it helped, by the checks of the plan on record.

    Attributes:
        look: 1 for the first.
        final: no further look will follow if this one does not pass.
    """

    remediation: str
    plan_digest: str
    look: int
    final: bool


class Measurements(Value):
    """What one look measured, in the order of the checks.

    Attributes:
        closed: set where everything passed: the ending, which is on record already.
    """

    results: tuple[CheckResult, ...]
    closed: Closing | None = None


class ActionOrder(Value):
    """What an acting activity gets: the name of a step, whose arguments stand in the plan on record.

    Attributes:
        key: the same for every attempt, across crash and reset.
        decisions: the approvals of the plan, as the listeners signed them.
        step_decisions: the approvals of this very step, where it has a gate of its own.
        iteration: 2 where people said that it is to be done again, which gives it a new key; and so on.
        verdicts: what they said so, as the listeners signed it.
    """

    remediation: str
    plan_digest: str
    part: Part
    step: str
    key: str
    attempt: int
    fencing: int
    decisions: tuple[SignedDecision, ...] = ()
    step_decisions: tuple[SignedDecision, ...] = ()
    iteration: int = 1
    verdicts: tuple[SignedDecision, ...] = ()

    @property
    def consents(self) -> tuple[SignedDecision, ...]:
        """All answers that together allow the action."""
        return (*self.decisions, *self.step_decisions, *self.verdicts)


class CasePort(ABC):
    """The keeping of one remediation's case: admission, measurements, gate, ending."""

    @activity.defn(name="examine")
    @abstractmethod
    async def examine(self, call: CallIn) -> Examination:
        """Admit, measure the checks, render the plan; each on record before this returns."""

    @activity.defn(name="examine_again")
    @abstractmethod
    async def examine_again(self, look: SecondLook) -> Reexamination:
        """Ask admission and the checks again: people take minutes to answer."""

    @activity.defn(name="join")
    @abstractmethod
    async def join(self, joining: Joining) -> None:
        """Record that these alerts are taken care of by the remediation in progress."""

    @activity.defn(name="open_gate")
    @abstractmethod
    async def open_gate(self, request: GateRequest) -> None:
        """Record that people are asked; whoever shows gates to people reads the record."""

    @activity.defn(name="escalate_gate")
    @abstractmethod
    async def escalate_gate(self, escalation: Escalation) -> None:
        """Record that further people are asked; from then on their answers count."""

    @activity.defn(name="judge_decision")
    @abstractmethod
    async def judge_decision(self, hearing: Hearing) -> Judgement:
        """Verify signature, digest and single use, and record the decision with the result, whatever it is."""

    @activity.defn(name="close_gate")
    @abstractmethod
    async def close_gate(self, settlement: GateSettlement) -> None:
        """Record how the gate closed."""

    @activity.defn(name="verify")
    @abstractmethod
    async def verify(self, verification: Verification) -> Measurements:
        """Measure whether it helped; where it did, close the case in the same transaction.

        The first and the deciding look are on record.
        """

    @activity.defn(name="close")
    @abstractmethod
    async def close(self, closing: Closing) -> None:
        """Record the ending and give the lease back."""


CASE_TIMEOUT = timedelta(seconds=60)
"""How long one call may take, its checks and a slow disk included."""
