"""Rulings on record: what the policy said to whom, and by which rules."""

from __future__ import annotations

from uuid import uuid4

import structlog

from activities.ledger.store import Ledger
from bot.policy.doorkeeper import Doorkeeper, NotPermittedError
from bot.policy.questions import Question, Ruling, Verb
from runbooks.errors import LedgerError
from runbooks.model.record import SYSTEM, Entry, RecordKind

LOG = structlog.get_logger("paramedic.policy")


async def admit_on_record(
    doorkeeper: Doorkeeper, question: Question, *, ledger: Ledger | None, actor: str, source: str
) -> None:
    """Return if the policy lets `actor` do that.  What it said is on record either way.

    But for a freeze that is allowed: the brake waits for no ledger, and has a record of its own.

    Raises:
        NotPermittedError: it does not.
        ParamedicError: it is not known who that is, or what the policy is.
    """
    ruling = await doorkeeper.judge(actor, question, source=source)
    if not (ruling.allowed and question.verb is Verb.FREEZE):
        await _record(ledger, ruling, actor=actor, source=source)
    if not ruling.allowed:
        raise NotPermittedError(ruling)


async def _record(ledger: Ledger | None, ruling: Ruling, *, actor: str, source: str) -> None:
    """Put a ruling on record.

    Never raises: what was permitted has a record of its own and is not done without it, and what was
    refused is refused.
    """
    outcome = "allowed" if ruling.allowed else "refused"
    if ledger is None:
        LOG.warning("a ruling is not on record", actor=actor, outcome=outcome, wanted=ruling.words)
        return
    entry = Entry(
        event_id=f"ruling/{uuid4().hex}",
        stream=SYSTEM,
        kind=RecordKind.RULING,
        actor=actor,
        source=source,
        outcome=outcome,
        data=ruling.model_dump(mode="json", include={"words", "rules", "why", "policy"}),
    )
    try:
        await ledger.append(entry)
    except LedgerError as error:
        LOG.warning("a ruling could not be recorded", error=str(error))
