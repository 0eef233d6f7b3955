"""Remediations: how one takes in alerts and ends, and which there are.

Every alert that comes in leaves exactly one trace: it joined a remediation (an admitted or a withheld
one, see `admission`), or it is explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from activities.ledger import inbox
from activities.ledger.inbox import InboxEntry
from activities.ledger.leases import keep_lease, release_lease
from activities.ledger.prepared import Prepared
from activities.ledger.schema import remediation as table
from activities.ledger.transaction import Transaction
from runbooks.errors import RefusedError
from runbooks.model.alert import AlertStatus
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind
from runbooks.model.remediation import CallIn, Closing, Ending

ACTOR = "bot:worker"

_of_id = table.c.id == bindparam("remediation")
_ROW = Prepared(select(table).where(_of_id))
_ROW_OF_RUN = Prepared(
    select(table).where(table.c.workflow_id == bindparam("workflow"), table.c.first_run == bindparam("run"))
)
_OPEN = Prepared(select(table).where(table.c.ended_at.is_(None)).order_by(table.c.opened_at, table.c.id))
_END = Prepared(update(table).where(_of_id).values(ended_at=bindparam("at"), ending=bindparam("how")))


class RemediationRow(Value):
    """One remediation in the table.

    Attributes:
        admitted: False where it was withheld at admission.
        ended_at, ending: None while it is open.
        labels: of its alert, and what the inventory added about the target; JSON.
        withheld: the reason, where it was withheld at admission, else empty.
    """

    id: str
    workflow_id: str
    first_run: str
    runbook: str
    target: str
    admitted: bool
    opened_at: datetime
    ended_at: datetime | None
    ending: Ending | None
    labels: str
    withheld: str


# --- the alerts of a remediation --------------------------------------------------------------


def join(transaction: Transaction, remediation: str, entries: Iterable[str], *, at: datetime) -> None:
    """Record that these entries of the inbox are taken care of by a remediation in progress.

    What was taken care of before stays as it is.  Where the remediation has ended meanwhile, an alert
    that resolved is explained; one that fires is not touched, because it needs a remediation of its own.

    Raises:
        RefusedError: there is no such remediation.
    """
    ended = known_row(transaction.tables, remediation).ended_at is not None
    for entry in not_taken_care_of(transaction, entries):
        if not ended:
            transaction.append(joined(remediation, entry, at))
        elif not asks_for_help(entry):
            sentence = f"It resolved when {remediation} had just ended."
            explain(transaction, entry, "too_late", sentence, remediation, at=at)


def explain(
    transaction: Transaction,
    entry: InboxEntry,
    reason: str,
    sentence: str,
    remediation: str = "",
    *,
    at: datetime | None = None,
) -> Record:
    """Record why no remediation takes this entry in; return the record that says what became of it.

    An entry has one outcome: where it joined or was explained before, that stands.

    Args:
        reason: a stable word (`resolved`, `too_late`, `unknown_runbook`, ...).
        remediation: the one that has to do with it, if any.
    """
    taken_in = transaction.find(f"joined/{entry.entry}")
    if taken_in is not None:
        return taken_in
    return transaction.append(
        Entry(
            event_id=f"explained/{entry.entry}",
            stream=SYSTEM,
            kind=RecordKind.ALERT_EXPLAINED,
            actor=ACTOR,
            source="admission",
            object=entry.target or "-",
            at=at,
            data={
                "entry": entry.entry,
                "delivery": entry.delivery,
                "reason": reason,
                "sentence": sentence,
                "remediation": remediation,
            },
        )
    )


def not_taken_care_of(transaction: Transaction, ids: Iterable[str]) -> Iterator[InboxEntry]:
    """Yield the entries, of those that the inbox knows, that neither joined nor were explained."""
    found = inbox.entries(transaction.tables, ids)
    transaction.look_up(f"{how}/{entry.entry}" for entry in found for how in ("joined", "explained"))
    for entry in found:
        if not any(transaction.find(f"{how}/{entry.entry}") for how in ("joined", "explained")):
            yield entry


def asks_for_help(entry: InboxEntry) -> bool:
    """Return whether the entry is a reason to begin: its alert fires, or a person asks."""
    return entry.alert is None or entry.alert.status is AlertStatus.FIRING


def joined(remediation: str, entry: InboxEntry, at: datetime) -> Entry:
    """Return the record that a remediation takes this entry in."""
    alert = entry.alert
    return Entry(
        event_id=f"joined/{entry.entry}",
        stream=remediation,
        kind=RecordKind.ALERT_JOINED,
        actor=ACTOR,
        source="admission",
        object=entry.target,
        at=at,
        data={
            "entry": entry.entry,
            "delivery": entry.delivery,
            "status": (alert.status if alert else AlertStatus.FIRING).value,
            "alert": alert.model_dump(mode="json") if alert else None,
        },
    )


# --- the ending -------------------------------------------------------------------------------


def close(transaction: Transaction, closing: Closing, *, at: datetime) -> Record:
    """Record the ending and give the lease back, unless the target is in a state that nobody knows.

    The first ending wins: a second one changes nothing and returns the first.

    Raises:
        RefusedError: there is no such remediation.
    """
    remediation = closing.remediation
    found = known_row(transaction.tables, remediation)
    first = transaction.find(f"{remediation}/ending")
    if first is not None:
        return first
    if closing.keep_lease:
        keep_lease(transaction, remediation)
    else:
        release_lease(transaction, remediation)
    _END.run(transaction.tables, remediation=remediation, at=at, how=closing.ending.value)
    count = transaction.length(remediation) + 1
    return transaction.append(_ending_entry(closing, target=found.target, count=count, at=at))


def _ending_entry(closing: Closing, *, target: str, count: int, at: datetime) -> Entry:
    return Entry(
        event_id=f"{closing.remediation}/ending",
        stream=closing.remediation,
        kind=RecordKind.ENDING,
        actor=ACTOR,
        source="engine",
        object=target,
        outcome=closing.ending.value,
        at=at,
        data={
            "ending": closing.ending.value,
            "reason": closing.reason,
            "sentence": closing.sentence,
            "count": count,
        },
    )


# --- which there are --------------------------------------------------------------------------


def row(connection: Connection, remediation: str) -> RemediationRow | None:
    """Return the remediation with this id, or None."""
    found = _ROW.first(connection, remediation=remediation)
    return None if found is None else _read_row(found)


def open_remediations(connection: Connection) -> list[RemediationRow]:
    """Return all that have not ended, the oldest first."""
    return [_read_row(found) for found in _OPEN.rows(connection)]


def row_of_run(connection: Connection, call: CallIn) -> RemediationRow | None:
    """Return the remediation of the run that calls in, or None."""
    found = _ROW_OF_RUN.first(connection, workflow=call.workflow_id, run=call.first_run)
    return None if found is None else _read_row(found)


def known_row(connection: Connection, remediation: str) -> RemediationRow:
    """Return the remediation with this id.

    Raises:
        RefusedError: there is none.
    """
    found = row(connection, remediation)
    if found is None:
        raise unknown(remediation)
    return found


def unknown(remediation: str) -> RefusedError:
    """Return the error that there is no such remediation."""
    return RefusedError("unknown_remediation", f"there is no remediation {remediation!r}")


def _read_row(found: tuple[Any, ...]) -> RemediationRow:
    content = dict(zip(table.columns.keys(), found, strict=True))
    return RemediationRow.model_validate({**content, "ending": content["ending"] or None})
