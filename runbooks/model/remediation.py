"""One run of one runbook for one target: how it is started, identified and ended."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from runbooks.model.alert import Arrival
from runbooks.model.base import Value
from runbooks.model.plan import Outline
from runbooks.model.verdict import CheckResult


class Ending(StrEnum):
    """How a remediation ended."""

    MITIGATED = "mitigated"  # acted, and verified that it helped
    NOT_NEEDED = "not_needed"  # a check says that there is nothing to do
    WITHHELD = "withheld"  # not allowed, or not known well enough, to act
    DENIED = "denied"  # a person said no
    EXPIRED = "expired"  # nobody answered in time
    UNVERIFIED = "unverified"  # acted, and could not verify that it helped
    FAILED = "failed"  # an action failed, or its outcome is not known
    ROLLED_BACK = "rolled_back"  # acted, it did not help, and was undone
    STOPPED = "stopped"  # a person stopped it, or a freeze


ACTED = frozenset({Ending.MITIGATED, Ending.UNVERIFIED, Ending.ROLLED_BACK})
"""The endings after which something was certainly done to the world."""

STOPPED_BY_PERSON = "stopped_by_person"
"""The reason that a person ended this one remediation, and no other."""

BRAKES = frozenset({"frozen", "maintenance", "windows_unreadable", STOPPED_BY_PERSON})
"""The reasons of which each means that a brake stops everybody in its scope, at whatever point they are."""

_PLAIN_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def workflow_id(runbook: str, target: str) -> str:
    """Return the id of the one workflow that may be open for this runbook and target.

    Ids stand in logs and metrics and are limited in length, so an odd or long target is hashed.
    """
    plain = _PLAIN_TARGET.fullmatch(target)
    name = target if plain else "sha256-" + hashlib.sha256(target.encode()).hexdigest()[:32]
    return f"remediation/{runbook}/{name}"


class Order(Value):
    """What starts a remediation.

    Attributes:
        runbook_digest: the version that matched; it runs to its end whatever happens to the file.
    """

    runbook: str
    runbook_digest: str
    target: str


class Turn(Value):
    """What a workflow begins with.

    Attributes:
        arrivals: the alerts that start it; more may come by signal.
        number: counts on where alerts came too late for the turn before, and get one of their own.
    """

    order: Order
    arrivals: tuple[Arrival, ...] = ()
    number: int = 0


class CallIn(Value):
    """What the engine tells of itself when it asks to be admitted.

    Attributes:
        first_run: Temporal's first run id of this execution and the turn's number: the same after a reset.
        entries: ids of the inbox entries that came in so far.
    """

    order: Order
    workflow_id: str
    first_run: str
    entries: tuple[str, ...]


class Stopping(Value):
    """A person's word that a remediation shall do nothing more.  It is on record already.

    Attributes:
        sentence: who said so, for people.
    """

    remediation: str
    sentence: str


class Withheld(Value):
    """Why a remediation may not go on.

    Attributes:
        reason: a stable word (`frozen`, `cooldown`, `leased`, `already_handled`, ...).
    """

    reason: str
    sentence: str


class Examination(Value):
    """What the first look found: admission, checks, and the plan that follows from them.

    Attributes:
        remediation: the id that a person can read out loud, R-7F3K2Q.  Empty where every entry was
            already handled by an earlier remediation and there is nothing to open.
        fencing: the lease's fencing number.
        withheld: set where admission refused, or the plan could not be rendered.
        checks: without what they measured: that stands in the ledger.
        plan: the outline of the plan; set where everything passed.
        observe: say what would be done, and end there.
        requested_by: the person who asked for it, who may therefore not approve it; empty for alerts.
    """

    remediation: str
    fencing: int = 0
    withheld: Withheld | None = None
    checks: tuple[CheckResult, ...] = ()
    plan: Outline | None = None
    observe: bool = False
    requested_by: str = ""


class Closing(Value):
    """How a remediation ended, and why, in one sentence.

    Attributes:
        reason: a stable word (`verified`, `denied`, `frozen`, `check_failed`, ...).
        keep_lease: the target is in a state that nobody knows: no other runbook may touch it.
    """

    remediation: str
    ending: Ending
    reason: str
    sentence: str
    keep_lease: bool = False
