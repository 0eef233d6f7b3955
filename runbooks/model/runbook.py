"""A runbook as it was read from its file: checked, not yet rendered for an alert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from runbooks.model.base import Value
from runbooks.model.plan import Link


class Autonomy(StrEnum):
    """How far a runbook may go on its own, from least to most."""

    OBSERVE = "observe"  # say what I would do
    GATED = "gated"  # ask
    AUTOMATIC = "automatic"  # standing orders


class Place(Value):
    """Where something stands in its file.  First line and column are 1."""

    line: int
    column: int


class MatchOperator(StrEnum):
    """Alertmanager's four."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"  # the whole value must match
    NOT_REGEX = "!~"


class Matcher(Value):
    """One label matcher.  A label that is missing counts as empty, as in Alertmanager."""

    label: str
    operator: MatchOperator
    value: str


class Trigger(Value):
    """One item under `when`: an alert's name and further matchers, all of which must hold."""

    alert: str
    matchers: tuple[Matcher, ...] = ()


class AttemptLimit(Value):
    """How often it may be tried for one target: `3 per 6h`.  An admitted remediation is an attempt."""

    most: int
    per: timedelta


class RadiusLimit(Value):
    """How many remediations may be in progress at the same time, whatever their runbooks.

    Attributes:
        most: how many; where `label` is empty, how many in a hundred of all known targets.
        label: those whose alert has the same value of this label are counted together: `2 per cluster`.
    """

    most: int
    label: str = ""

    def allowed(self, targets: int) -> int:
        """Return how many that are, where so many targets are known: rounded down, but never none."""
        return self.most if self.label else max(1, targets * self.most // 100)


class Limits(Value):
    """The brakes of one runbook.

    Attributes:
        cooldown: after an ending, for this long nothing more for the same target.
        attempts: when they are used up, people are called instead.
        at_once: how much of the world may be under repair at the same time.
    """

    cooldown: timedelta = timedelta()
    attempts: AttemptLimit | None = None
    at_once: RadiusLimit | None = None


class Step(Value):
    """One item under `check`, `do`, `verify` or `otherwise`.

    Attributes:
        id: the name as a slug, unique in the runbook; templates use it (`checks.<id>.result`).
        uses: the declared action's name.
        arguments: what stands under `with:`; strings are templates.
        condition: what stands under `if:`, a bare expression; None: always.
    """

    id: str
    name: str
    uses: str
    arguments: Mapping[str, Any] = {}
    condition: str | None = None
    place: Place


class CheckStep(Step):
    """A read-only measurement with an expectation.

    Attributes:
        expect: a bare expression over `result`; None where the action itself decides.
        within: in `verify`, how long it may take to hold.
        every: in `verify`, how long to wait between two looks.
    """

    expect: str | None = None
    within: timedelta | None = None
    every: timedelta | None = None


class GateRule(Value):
    """Who must agree before anything is done, or before one step.

    Attributes:
        approvers: names of approver groups; a member of any of them may answer.
        need: how many distinct people must approve.
        within: how long they are asked alone.
        otherwise: who is asked in turn where they do not answer; after the last one nothing is done.
        condition: what stands under `if:`; the gate is asked only where it holds.
        place: where `gate:` stands.
    """

    approvers: tuple[str, ...]
    need: int = 1
    within: timedelta = timedelta(minutes=15)
    otherwise: tuple[Link, ...] = ()
    condition: str | None = None
    place: Place


class ActionStep(Step):
    """One step that changes the world.

    Attributes:
        gate: who must agree right before it; None: nobody beyond those who agree to the plan.
        undo: the step that takes it back; None where the author said `undo: none`.
    """

    gate: GateRule | None = None
    undo: Step | None = None


class Runbook(Value):
    """What to do about an alert.

    Attributes:
        name: the same word as the file's name, the label and the metric.
        digest: SHA-256 of the file's text, hex: what ran is what was reviewed.
        target: template of the thing acted on: key of lock, dedupe and blast radius.
        target_place: where that template stands.
    """

    name: str
    summary: str
    owner: str = ""
    digest: str
    autonomy: Autonomy
    when: tuple[Trigger, ...]
    target: str
    target_place: Place | None = None
    limits: Limits = Limits()
    checks: tuple[CheckStep, ...] = ()
    gate: GateRule | None = None
    actions: tuple[ActionStep, ...]
    verify: tuple[CheckStep, ...] = ()
    otherwise: tuple[Step, ...] = ()
