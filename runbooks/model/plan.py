"""The plan: a runbook rendered for one alert.  A value with a digest; what was approved is what runs."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

from runbooks.model.action import ActionClass, Effect
from runbooks.model.base import Value, digest


class PlannedCheck(Value):
    """A check whose arguments are rendered.  `expect` stays an expression over its `result`."""

    id: str
    name: str
    uses: str
    arguments: dict[str, Any]
    expect: str | None = None
    within: timedelta = timedelta()
    every: timedelta = timedelta(seconds=2)
    timeout: timedelta = timedelta(seconds=10)


class Link(Value):
    """One link of a gate's chain: who is asked too where nobody before them answered, and how long."""

    approvers: tuple[str, ...]
    within: timedelta


class GateTerms(Value):
    """A gate, decided for this alert.

    Attributes:
        approvers: the groups that are asked first; a member of any of them may answer.
        need: how many distinct people must approve.
        within: how long the first ones are asked alone.
        otherwise: who is asked after that, one link after the other; whoever was asked may still answer.
            When the last one's time is over, the gate has expired and nothing is done.
    """

    approvers: tuple[str, ...]
    need: int
    within: timedelta
    otherwise: tuple[Link, ...] = ()

    @property
    def lasts(self) -> timedelta:
        """How long it stays open in all."""
        return sum((link.within for link in self.otherwise), self.within)

    @property
    def everybody(self) -> tuple[str, ...]:
        """All groups that are ever asked."""
        return self.asked(len(self.otherwise))

    def asked(self, links: int) -> tuple[str, ...]:
        """Return the groups that may answer when so many links of the chain were asked; 0: the first ones."""
        later = (group for link in self.otherwise[:links] for group in link.approvers)
        return tuple(dict.fromkeys((*self.approvers, *later)))


class PlannedAction(Value):
    """An action with every parameter.

    Attributes:
        gate: who must agree right before this very action; None: the plan's own gate is enough.
        undo: the action that takes it back, or None where there is none.
        timeout: how long one attempt may take.
        attempts: how many attempts the engine may make where the class allows more than one.
    """

    id: str
    name: str
    uses: str
    effect: Effect
    kind: ActionClass
    arguments: dict[str, Any]
    gate: GateTerms | None = None
    undo: PlannedAction | None = None
    timeout: timedelta
    attempts: int


VERDICT_WITHIN = timedelta(minutes=15)
"""How long people have to say what became of an action, where the plan has no gate that says so."""


class Part(StrEnum):
    """The part of a plan in which an action stands."""

    DO = "do"
    UNDO = "undo"
    OTHERWISE = "otherwise"


class Plan(Value):
    """Every action with every parameter, plus gate, verification and what happens otherwise.

    Attributes:
        gate: None where standing orders allow acting without asking.
        summary: the runbook's own sentence.
    """

    runbook: str
    runbook_digest: str
    summary: str
    target: str
    gate: GateTerms | None
    actions: tuple[PlannedAction, ...]
    verify: tuple[PlannedCheck, ...]
    otherwise: tuple[PlannedAction, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, hex."""
        return digest(self)

    @property
    def verdict(self) -> GateTerms | None:
        """Who may say what became of an action whose outcome is not known; None: nobody is named.

        Those who may approve the plan; where nobody needs to, those whom `otherwise` calls.  An action
        that has a gate of its own is judged by those who agreed to it.
        """
        if self.gate is not None:
            return self.gate
        called = [each.arguments.get("to") for each in self.otherwise if each.effect is Effect.TELL]
        groups = tuple(dict.fromkeys(group for group in called if isinstance(group, str)))
        return GateTerms(approvers=groups, need=1, within=VERDICT_WITHIN) if groups else None

    @property
    def longest_pause(self) -> timedelta:
        """How long it may go on without anything being recorded of an action: one attempt, and the verification."""
        attempts = (each.timeout for each in self.actions)
        undos = (each.undo.timeout for each in self.actions if each.undo is not None)
        looks = (each.within + each.timeout for each in self.verify)
        return max((*attempts, *undos), default=timedelta()) + max(looks, default=timedelta())

    def action(self, part: Part, step: str) -> PlannedAction | None:
        """Return the action of that part and step id, or None if the plan holds none."""
        undos = [each.undo for each in self.actions if each.undo is not None]
        actions = {Part.DO: self.actions, Part.UNDO: undos, Part.OTHERWISE: self.otherwise}[part]
        return next((each for each in actions if each.id == step), None)

    def outline(self) -> Outline:
        """Return what the engine needs to know of it."""
        return Outline(
            digest=self.digest,
            gate=self.gate,
            verdict=self.verdict,
            actions=tuple(_outlined(each) for each in self.actions),
            otherwise=tuple(_outlined(each) for each in self.otherwise),
            verify_within=max((each.within for each in self.verify), default=timedelta()),
            verify_every=min((each.every for each in self.verify), default=timedelta(seconds=1)),
        )


class OutlinedAction(Value):
    """What the engine needs to know of an action to ask for it and make attempts at it: no argument is in it."""

    id: str
    name: str
    uses: str
    kind: ActionClass
    timeout: timedelta
    attempts: int
    gate: GateTerms | None = None
    undo: OutlinedAction | None = None


class Outline(Value):
    """What the engine needs to know of a plan.

    The plan itself stays in the ledger, where the acting activity reads it.  So no argument enters
    Temporal's history, and nobody who can write there can change one.

    Attributes:
        digest: of the plan.
        verdict: who may say what became of an action whose outcome is not known; None: nobody is named.
        verify_within: how long verification may take to hold.
        verify_every: how long to wait between two looks.
    """

    digest: str
    gate: GateTerms | None
    verdict: GateTerms | None = None
    actions: tuple[OutlinedAction, ...]
    otherwise: tuple[OutlinedAction, ...] = ()
    verify_within: timedelta
    verify_every: timedelta


def _outlined(action: PlannedAction) -> OutlinedAction:
    return OutlinedAction(
        id=action.id,
        name=action.name,
        uses=action.uses,
        kind=action.kind,
        timeout=action.timeout,
        attempts=action.attempts,
        gate=action.gate,
        undo=_outlined(action.undo) if action.undo else None,
    )
