"""The plan: a runbook rendered for one alert.  A value with a digest; what was approved is what runs."""

from __future__ import annotations

from datetime import timedelta
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


class PlannedAction(Value):
    """An action with every parameter.

    Attributes:
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
    undo: PlannedAction | None = None
    timeout: timedelta
    attempts: int


class GateTerms(Value):
    """The gate, decided for this alert."""

    approvers: tuple[str, ...]
    need: int
    within: timedelta


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
