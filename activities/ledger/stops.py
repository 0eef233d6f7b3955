"""Stops: a person's word that one remediation shall do nothing more.

The record is the stop.  The guard reads it before every action and admission at every further look, so
it holds from the moment when it is on record, also where nobody can reach the workflow.  To tell the
workflow, which may be waiting for people or for a target to recover, is somebody else's work, and
`untold` is the list for it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from activities.ledger.prepared import Prepared
from activities.ledger.remediations import known_row
from activities.ledger.schema import record
from activities.ledger.schema import remediation as table
from activities.ledger.transaction import Transaction
from runbooks.errors import RefusedError
from runbooks.model.base import Value
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.model.remediation import Stopping

_SUFFIX = "/stop"
_STOPPER = Prepared(select(record.c.actor).where(record.c.event_id == bindparam("event")))
_UNTOLD = Prepared(
    select(table.c.id, table.c.workflow_id, record.c.actor)
    .join_from(table, record, record.c.event_id == table.c.id + _SUFFIX)
    .where(table.c.ended_at.is_(None))
    .order_by(table.c.opened_at, table.c.id)
)


class Untold(Value):
    """A remediation that was stopped and has not ended yet."""

    workflow_id: str
    stopping: Stopping


def ask_to_stop(
    transaction: Transaction,
    remediation: str,
    *,
    actor: str,
    source: str,
    reason: str,
    at: datetime | None = None,
) -> Record:
    """Put on record that a person stops this remediation, and return the record; the first word stands.

    Raises:
        RefusedError: there is no such remediation, or it has ended.
    """
    found = known_row(transaction.tables, remediation)
    if found.ended_at is not None:
        ending = found.ending.value.replace("_", " ") if found.ending else "long ago"
        raise RefusedError("ended_already", f"{remediation} has ended ({ending}): there is nothing to stop")
    return transaction.append(
        Entry(
            event_id=f"{remediation}{_SUFFIX}",
            stream=remediation,
            kind=RecordKind.STOP_ASKED,
            actor=actor,
            source=source,
            object=found.target,
            at=at,
            data={"reason": reason},
        )
    )


def stopper_of(connection: Connection, remediation: str) -> str | None:
    """Return who has stopped the remediation, or None where nobody has."""
    found = _STOPPER.first(connection, event=f"{remediation}{_SUFFIX}")
    return None if found is None else str(found[0])


def sentence_of(stopper: str) -> str:
    """Return what is said of a remediation that this person has stopped.

    Their reason is not in it: it stands in the record, where it can be taken back.
    """
    return f"It was stopped by {stopper}: nothing more is done."


def untold(connection: Connection) -> list[Untold]:
    """Return the remediations that were stopped and have not ended, the oldest first."""
    return [
        Untold(
            workflow_id=workflow_id,
            stopping=Stopping(remediation=remediation, sentence=sentence_of(stopper)),
        )
        for remediation, workflow_id, stopper in _UNTOLD.rows(connection)
    ]
