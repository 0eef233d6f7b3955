"""How an action is written, found and given what it needs.

An action is declared once, next to the function that carries it out:

    @action("patient.restart", "Restart the patient", effect=Effect.DESTRUCTIVE, kind=ActionClass.PROBED)
    async def restart(parameters: Restart, scene: Scene) -> ActionResult: ...

Packages offer theirs under the entry point group `paramedic.actions`, each entry a list of
`Action`.  This is how the product finds its own, and how others add theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar, cast, get_type_hints

from pydantic import BaseModel

from activities.connections import Connections
from runbooks.errors import EffectError, FailedError, NotSentError, ParamedicError
from runbooks.model.action import ActionClass, ActionResult, Declaration, Effect
from runbooks.model.base import Value

ENTRY_POINTS = "paramedic.actions"


class Closeable(Protocol):
    """A client that is closed when the process stops."""

    async def aclose(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closeable)


class Clients:
    """Clients of outside systems, opened at first use and shared, so that connections are reused."""

    def __init__(self) -> None:
        self._open: dict[str, Closeable] = {}

    def get(self, name: str, build: Callable[[], C]) -> C:
        """Return the client called `name`; `build` it where there is none yet."""
        if name not in self._open:
            self._open[name] = build()
        return cast("C", self._open[name])

    async def aclose(self) -> None:
        """Close all."""
        clients, self._open = list(self._open.values()), {}
        await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)


class Teller(Protocol):
    """Whoever can tell people something: Slack, where it is connected."""

    async def tell(self, *, to: str, text: str, remediation: str) -> str:
        """Tell the group `to` the escaped `text`.  Return where it was said, for the record."""


@dataclass(frozen=True)
class Scene:
    """What an action finds when it arrives.

    Attributes:
        remediation: its id; empty for a check, which may be measured before there is one.
        target: the thing acted on.
        key: the action's key, the same for every attempt; empty for checks.
        attempt: 1 for the first.
        begun_at: when the first attempt's intent was recorded (checks: now); for probes.
        teller: None where no chat is connected.
    """

    remediation: str
    target: str
    connections: Connections
    clients: Clients
    begun_at: datetime
    key: str = ""
    attempt: int = 1
    teller: Teller | None = None
    alert_labels: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, sentence: str) -> EffectError:
        """Return the error of an attempt that was turned away before it did anything.

        The first attempt has failed by that.  A later one says nothing about those before it, which may
        have been carried out.
        """
        return FailedError(sentence) if self.attempt <= 1 else NotSentError(sentence)


class Measurement(Value):
    """What a reading action saw.

    Attributes:
        sentence: for people ("disk_used_ratio is 0.93").
        result: what `expect` sees as `result`: JSON values.
        at: the measured system's own time where it tells one.
        decided: for actions that judge by themselves (no `expect`): whether it holds.
        inconclusive: it was measured and decides nothing (no data, stale, NaN).
    """

    sentence: str
    result: dict[str, Any] = {}
    at: datetime | None = None
    decided: bool | None = None
    inconclusive: bool = False


class Probe(StrEnum):
    """What the target says of an earlier attempt whose outcome is unknown."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"  # and, as far as the target can tell, it will not be
    RUNNING = "running"
    CANNOT_TELL = "cannot_tell"


class ProbeAnswer(Value):
    """A probe's answer and what it was seen from."""

    probe: Probe
    sentence: str
    output: dict[str, Any] = {}


P = TypeVar("P", bound=BaseModel)
Perform = Callable[[Any, Scene], Awaitable[ActionResult | Measurement]]
Ask = Callable[[Any, Scene, Mapping[str, Any]], Awaitable[ProbeAnswer]]
Prepare = Callable[[Any, Scene], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Action:
    """A declaration with the functions that carry it out.

    Attributes:
        perform: does it.  Raises `NotSentError`, `FailedError`, `UnknownOutcomeError`, or for a
            reading action `MeasureError`; anything else counts as unknown, for a reading one as error.
        prepare: read-only; what it returns goes into the intent, and the probe gets it back (a
            restart keeps the start time from before).  None: nothing to remember.
        probe: for `ActionClass.PROBED`: finds out whether an earlier attempt happened.
    """

    declaration: Declaration
    perform: Perform
    prepare: Prepare | None = None
    probe: Ask | None = None


def action(
    name: str,
    summary: str,
    *,
    effect: Effect,
    kind: ActionClass = ActionClass.OPAQUE,
    timeout: timedelta = timedelta(seconds=30),
    attempts: int = 3,
    samples: Mapping[str, Any] | None = None,
    prepare: Prepare | None = None,
    probe: Ask | None = None,
) -> Callable[[Perform], Action]:
    """Declare the decorated function as an action.  Its first parameter's type is the parameter model."""

    def declare(perform: Perform) -> Action:
        parameters = get_type_hints(perform)["parameters"]
        declaration = Declaration(
            name=name,
            summary=summary,
            parameters=parameters,
            effect=effect,
            kind=kind,
            timeout=timeout,
            attempts=attempts,
            samples=samples or {},
        )
        return Action(declaration, perform, prepare, probe)

    return declare


class ActionsConflictError(ParamedicError):
    """Two packages offer an action of the same name, or one is declared wrongly."""

    code = "actions_conflict"


class Registry(Mapping[str, Action]):
    """All actions of this installation, by name."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._actions: dict[str, Action] = {}
        for each in actions:
            name = each.declaration.name
            if name in self._actions:
                raise ActionsConflictError(f"the action {name} is declared twice")
            if (each.declaration.kind is ActionClass.PROBED) != (each.probe is not None):
                raise ActionsConflictError(f"{name}: an action of class probed has a probe, others have none")
            self._actions[name] = each

    @classmethod
    def installed(cls) -> Registry:
        """Return what all installed packages offer.

        Raises:
            ActionsConflictError: two offer the same name.
        """
        found = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
        return cls(each for point in found for each in point.load())

    @property
    def vocabulary(self) -> dict[str, Declaration]:
        """The declarations, by name: all that the runbook language needs to know."""
        return {name: each.declaration for name, each in self._actions.items()}

    def __getitem__(self, name: str) -> Action:
        return self._actions[name]

    def __iter__(self) -> Any:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)
