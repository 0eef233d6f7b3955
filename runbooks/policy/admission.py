"""Admission: whether a remediation may begin, or go on, judged by facts that were read in one go.

It does not look at the world (that is what checks are for), only at what the house knows of
itself: is a brake pulled, is the target one of ours, did this runbook just run here, is somebody
else at this target, is too much under repair already.

The first objection counts, the one that a person can do something about first: a brake, a target
that nobody knows, another remediation there, attempts that are used up, the runbook's own rest,
and last what time alone will solve: that others are at work.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from runbooks.model.base import Value
from runbooks.model.freeze import Freeze
from runbooks.model.inventory import Inventory
from runbooks.model.remediation import Ending, Withheld
from runbooks.model.runbook import AttemptLimit, Limits, RadiusLimit, Runbook
from runbooks.model.window import Window

ATTEMPTS_USED_UP = "attempts_used_up"
"""The reason that calls people: what was tried again and again does not help."""


class PastEnding(Value):
    """How the last remediation that was admitted for the same runbook and target ended."""

    remediation: str
    ending: Ending
    at: datetime


class PastAttempt(Value):
    """One remediation that was admitted for the same runbook and target.

    Attributes:
        at: when it was admitted.
        ending: None where it has none yet.
    """

    remediation: str
    at: datetime
    ending: Ending | None


class LeaseHolder(Value):
    """The other remediation that has the exclusive right to act on the target.

    Attributes:
        runbook: the runbook that it runs.
        until: when its right expires unless renewed; None: it is kept until a person gives it back,
            because what the remediation did to the target is not known.
    """

    remediation: str
    runbook: str
    until: datetime | None


class Outside(Value):
    """What admission depends on and the ledger's database does not hold, as it was at one moment.

    Attributes:
        freezes: what the brake outside the ledger says.
        windows: all maintenance windows, open or not.
        problem: what makes a file of brakes unreadable, one sentence; whatever it says, it may say stop.
        inventory: None where the installation has none.
        inventory_problem: why the inventory, which there is, cannot be asked.
    """

    freezes: tuple[Freeze, ...] = ()
    windows: tuple[Window, ...] = ()
    problem: str = ""
    inventory: Inventory | None = None
    inventory_problem: str = ""

    @property
    def may_brake(self) -> bool:
        """Whether there is anything that could stop somebody."""
        return bool(self.freezes or self.windows or self.problem)


class AdmissionFacts(Value):
    """All that admission depends on, as it was at one moment.

    Attributes:
        labels: of the alert, and what the inventory adds about the target.
        freezes: every brake in the ledger that is pulled, whatever its scope.
        outside: what is not in the ledger.
        last: None where this runbook never ran on this target.
        holder: None where the target is free, or this remediation holds it.
        attempts: those that the runbook's limit counts, the oldest first.
        under_repair: how many remediations in progress the runbook's limit counts.
    """

    runbook: str
    target: str
    labels: Mapping[str, str] = {}
    freezes: tuple[Freeze, ...] = ()
    outside: Outside = Outside()
    last: PastEnding | None = None
    holder: LeaseHolder | None = None
    attempts: tuple[PastAttempt, ...] = ()
    under_repair: int = 0


def objection(facts: AdmissionFacts, limits: Limits, now: datetime) -> Withheld | None:
    """Return why the remediation is withheld, or None where nothing speaks against it."""
    return next(_objections(facts, limits, now), None)


def _objections(facts: AdmissionFacts, limits: Limits, now: datetime) -> Iterator[Withheld]:
    judged = (
        braked(facts, now),
        _not_ours(facts),
        _leased(facts, now),
        _tried_enough(facts, limits.attempts, now),
        _cooling_down(facts, limits, now),
        _too_much_at_once(facts, limits.at_once),
    )
    return (withheld for withheld in judged if withheld is not None)


def braked(facts: AdmissionFacts, now: datetime) -> Withheld | None:
    """Return which brake stops the remediation, one that has begun as well; None where none does."""
    return _frozen(facts, now) or _in_maintenance(facts, now) or _unreadable(facts)


def whom_to_tell(runbook: Runbook) -> tuple[str, ...]:
    """Return the groups that should hear that this runbook does not help: who approves it, whom it tells.

    A group that is a template is left out: no alert chooses who is woken.
    """
    told = [
        str(step.arguments["to"]) for step in runbook.otherwise if isinstance(step.arguments.get("to"), str)
    ]
    asked = runbook.gate.approvers if runbook.gate else ()
    return tuple(dict.fromkeys(group for group in (*asked, *told) if "{{" not in group))


# --- brakes -----------------------------------------------------------------------------------


def _frozen(facts: AdmissionFacts, now: datetime) -> Withheld | None:
    pulled = (*facts.outside.freezes, *facts.freezes)
    freeze = next((each for each in pulled if each.covers(facts.runbook, facts.target, facts.labels)), None)
    if freeze is None:
        return None
    reason = (freeze.reason or "no reason given").rstrip(".")
    said = f"{freeze.actor} froze {freeze.what} at {_clock(freeze.at, now)}: {reason}"
    remedy = "Nothing is done until the freeze is lifted: lift it, or act by hand."
    return Withheld(reason="frozen", sentence=f"{said}. {remedy}")


def _in_maintenance(facts: AdmissionFacts, now: datetime) -> Withheld | None:
    open_now = [
        (ends, window)
        for window in facts.outside.windows
        if window.covers(facts.runbook, facts.target, facts.labels) and (ends := window.end_at(now))
    ]
    if not open_now:
        return None
    ends, window = max(open_now, key=lambda each: each[0])
    sentence = (
        f"The maintenance window {window.name} ({window.reason.rstrip('.')}) holds for {window.what} until "
        f"{_clock(ends, now)}. Nothing is done until then: wait, or act by hand."
    )
    return Withheld(reason="maintenance", sentence=sentence)


def _unreadable(facts: AdmissionFacts) -> Withheld | None:
    if not facts.outside.problem:
        return None
    sentence = f"{facts.outside.problem.rstrip('.')}. Nothing is done until it can be read: it may say so."
    return Withheld(reason="windows_unreadable", sentence=sentence)


# --- the target -------------------------------------------------------------------------------


def _not_ours(facts: AdmissionFacts) -> Withheld | None:
    outside = facts.outside
    if outside.inventory_problem:
        sentence = (
            f"{outside.inventory_problem.rstrip('.')}. So nobody knows whether {facts.target} is one of ours."
        )
        return Withheld(reason="inventory_unavailable", sentence=sentence)
    if outside.inventory is None or facts.target in outside.inventory.targets:
        return None
    sentence = (
        f"The inventory knows no target {facts.target}: add it there if it is one of ours, "
        f"or look at the `target:` of {facts.runbook}."
    )
    return Withheld(reason="unknown_target", sentence=sentence)


def _leased(facts: AdmissionFacts, now: datetime) -> Withheld | None:
    holder = facts.holder
    if holder is None:
        return None
    if holder.until is None:
        sentence = (
            f"{holder.remediation} ({holder.runbook}) left an action on {facts.target} whose outcome is not known. "
            "Nothing more is done there until a person has looked and given it back "
            f'(paramedic release {shlex.quote(facts.target)} --reason "...").'
        )
    elif holder.until <= now:
        return None
    else:
        sentence = (
            f"{holder.remediation} ({holder.runbook}) is at work on {facts.target} and has it until "
            f"{_clock(holder.until, now)} at the latest. Only one may act at a time: see how that one ends."
        )
    return Withheld(reason="leased", sentence=sentence)


# --- limits of the runbook --------------------------------------------------------------------


def _tried_enough(facts: AdmissionFacts, limit: AttemptLimit | None, now: datetime) -> Withheld | None:
    if limit is None or len(facts.attempts) < limit.most:
        return None
    tried = "; ".join(
        f"{each.remediation} at {_clock(each.at, now)}: {_ended(each.ending)}" for each in facts.attempts
    )
    free_at = facts.attempts[-limit.most].at + limit.per
    times = "once" if len(facts.attempts) == 1 else f"{len(facts.attempts)} times"
    return Withheld(
        reason=ATTEMPTS_USED_UP,
        sentence=(
            f"{facts.runbook} was tried {times} on {facts.target} within {_span(limit.per)}, and the alert is back: "
            f"it is not helping, somebody has to look ({tried}). It may try again from {_clock(free_at, now)}."
        ),
    )


def _too_much_at_once(facts: AdmissionFacts, limit: RadiusLimit | None) -> Withheld | None:
    if limit is None:
        return None
    if not limit.label:
        return _too_large_a_share(facts, limit)
    value = facts.labels.get(limit.label, "")
    if not value:
        sentence = (
            f"{facts.runbook} is limited to {limit.most} at once per {limit.label}, and the alert of {facts.target} has no "
            f"label {limit.label}: give it one, in the alert's rule or in the inventory."
        )
        return Withheld(reason="label_missing", sentence=sentence)
    return _too_many(facts, limit.most, f"with {limit.label}={value}")


def _too_large_a_share(facts: AdmissionFacts, limit: RadiusLimit) -> Withheld | None:
    inventory = facts.outside.inventory
    if inventory is None:
        sentence = (
            f"{facts.runbook} is limited to {limit.most}% of targets at once, and there is no inventory that says how "
            "many there are: name one with PARAMEDIC_INVENTORY, or limit it by a label."
        )
        return Withheld(reason="inventory_missing", sentence=sentence)
    known = len(inventory.targets)
    return _too_many(facts, limit.allowed(known), f"({limit.most}% of {known} known targets)")


def _too_many(facts: AdmissionFacts, allowed: int, among: str) -> Withheld | None:
    if facts.under_repair < allowed:
        return None
    sentence = (
        f"{facts.under_repair} remediations are in progress {among}, and {facts.runbook} begins only where there are "
        f"fewer than {allowed}. It is tried again when the alert is sent again; until then, look at {facts.target} yourself."
    )
    return Withheld(reason="at_once", sentence=sentence)


def _cooling_down(facts: AdmissionFacts, limits: Limits, now: datetime) -> Withheld | None:
    last = facts.last
    if last is None or now >= last.at + limits.cooldown:
        return None
    return Withheld(
        reason="cooldown",
        sentence=(
            f"{last.remediation} ended {_ended(last.ending)} at {_clock(last.at, now)}, and {facts.runbook} leaves {facts.target} "
            f"alone for {_span(limits.cooldown)} after that. It may run again from "
            f"{_clock(last.at + limits.cooldown, now)}; until then, look at {facts.target} yourself."
        ),
    )


def _ended(ending: Ending | None) -> str:
    return ending.value.replace("_", " ") if ending else "still in progress"


def _clock(at: datetime, now: datetime) -> str:
    """Return the time of day, with the date where it is not today's."""
    form = "%H:%M UTC" if at.date() == now.date() else "%Y-%m-%d %H:%M UTC"
    return at.strftime(form)


def _span(span: timedelta) -> str:
    """Return a span as people write it: 30 min, 1 h 30 min, 45 s."""
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
