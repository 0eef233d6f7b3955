"""Admission: whether a remediation may begin, or go on, judged by facts that were read in one go.

It does not look at the world (that is what checks are for), only at what the house knows of
itself: is the brake pulled, did this runbook just run here, is somebody else at this target.

The first objection counts, the one that a person can do something about first: a freeze, then
another remediation at the same target, then the runbook's own rest.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

from runbooks.model.base import Value
from runbooks.model.freeze import Freeze
from runbooks.model.remediation import Ending, Withheld
from runbooks.model.runbook import Limits


class PastEnding(Value):
    """How the last remediation that was admitted for the same runbook and target ended."""

    remediation: str
    ending: Ending
    at: datetime


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


class AdmissionFacts(Value):
    """All that admission depends on, as it was at one moment.

    Attributes:
        frozen_by_file: what the brake outside the ledger says, one sentence; empty where it is not pulled.
        freezes: every brake in the ledger that is pulled, whatever its scope.
        last: None where this runbook never ran on this target.
        holder: None where the target is free, or this remediation holds it.
    """

    runbook: str
    target: str
    frozen_by_file: str = ""
    freezes: tuple[Freeze, ...] = ()
    last: PastEnding | None = None
    holder: LeaseHolder | None = None


def objection(facts: AdmissionFacts, limits: Limits, now: datetime) -> Withheld | None:
    """Return why the remediation is withheld, or None where nothing speaks against it."""
    return _frozen(facts, now) or _leased(facts, now) or _cooling_down(facts, limits, now)


def _frozen(facts: AdmissionFacts, now: datetime) -> Withheld | None:
    freeze = next((each for each in facts.freezes if each.covers(facts.runbook, facts.target)), None)
    if facts.frozen_by_file:
        said = facts.frozen_by_file.rstrip(".")
    elif freeze is not None:
        reason = freeze.reason or "no reason given"
        said = f"{freeze.actor} froze {freeze.what} at {_clock(freeze.at, now)}: {reason.rstrip('.')}"
    else:
        return None
    remedy = "Nothing is done until the freeze is lifted: lift it, or act by hand."
    return Withheld(reason="frozen", sentence=f"{said}. {remedy}")


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


def _cooling_down(facts: AdmissionFacts, limits: Limits, now: datetime) -> Withheld | None:
    last = facts.last
    if last is None or now >= last.at + limits.cooldown:
        return None
    ending = last.ending.value.replace("_", " ")
    return Withheld(
        reason="cooldown",
        sentence=(
            f"{last.remediation} ended {ending} at {_clock(last.at, now)}, and {facts.runbook} leaves {facts.target} "
            f"alone for {_span(limits.cooldown)} after that. It may run again from "
            f"{_clock(last.at + limits.cooldown, now)}; until then, look at {facts.target} yourself."
        ),
    )


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
