"""Remediations: how one is admitted, joined and ended, and which there are.

Admission is one transaction: it reads the facts, lets `runbooks.policy.admission` judge them, and
writes the verdict together with the lease, so that nothing can change in between.  It gives the
remediation the id that people say out loud.  The id is derived from Temporal's first run id, which
a reset keeps, so asking again, after a crash or a reset, finds the same remediation.

Every alert that comes in here leaves exactly one trace: it joined a remediation (an admitted or a
withheld one), or it is explained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from activities.ledger import freezes, inbox, records
from activities.ledger.inbox import InboxEntry
from activities.ledger.leases import (
    holder_of,
    holds_lease,
    keep_lease,
    last_fencing,
    release_lease,
    renew_lease,
    take_lease,
)
from activities.ledger.prepared import Prepared, PreparedInsert
from activities.ledger.schema import remediation as table
from activities.ledger.transaction import Transaction
from runbooks.errors import RefusedError
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind
from runbooks.model.remediation import CallIn, Closing, Ending, Withheld
from runbooks.model.runbook import Limits, Runbook
from runbooks.policy.admission import AdmissionFacts, PastEnding, objection

__all__ = [
    "Admission",
    "RemediationRow",
    "admit",
    "admit_again",
    "close",
    "explain",
    "foresee",
    "holds_lease",
    "join",
    "open_remediations",
    "release_lease",
    "renew_lease",
    "requested_by",
    "row",
    "standing",
]

_ACTOR = "bot:worker"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: nobody misreads or mishears one
_ID_LENGTH = 6

_of_id = table.c.id == bindparam("remediation")
_INSERT = PreparedInsert(table)
_ROW = Prepared(select(table).where(_of_id))
_ROW_OF_RUN = Prepared(
    select(table).where(table.c.workflow_id == bindparam("workflow"), table.c.first_run == bindparam("run"))
)
_OPEN = Prepared(select(table).where(table.c.ended_at.is_(None)).order_by(table.c.opened_at, table.c.id))
_LAST_ENDING = Prepared(
    select(table.c.id, table.c.ending, table.c.ended_at)
    .where(
        table.c.runbook == bindparam("of_runbook"),
        table.c.target == bindparam("of_target"),
        table.c.admitted == 1,
        table.c.ended_at.is_not(None),
    )
    .order_by(table.c.ended_at.desc())
    .limit(1)
)
_END = Prepared(update(table).where(_of_id).values(ended_at=bindparam("at"), ending=bindparam("how")))


class Admission(Value):
    """What a remediation was admitted for, and whether it may go on.

    Attributes:
        remediation: empty where every entry was taken care of before, and nothing was opened.
        fencing: the lease's number; a later holder's is larger.  0 where no lease was given.
        alert: the first that was firing; without labels where a person asked without an alert.
        requested_by: the person who asked for it, empty for alerts.
        withheld: why it may not go on, or None.
    """

    remediation: str
    runbook: str = ""
    runbook_digest: str = ""
    target: str = ""
    fencing: int = 0
    alert: Alert = Alert(status=AlertStatus.FIRING, labels={})
    requested_by: str = ""
    withheld: Withheld | None = None


class RemediationRow(Value):
    """One remediation in the table.

    Attributes:
        admitted: False where it was withheld at admission.
        ended_at, ending: None while it is open.
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


class _Opening(Value):
    """What a new remediation begins with."""

    call: CallIn
    runbook: Runbook
    entries: tuple[InboxEntry, ...]
    withheld: Withheld | None
    at: datetime

    @property
    def cause(self) -> InboxEntry:
        """The first entry that asks for help."""
        return next(entry for entry in self.entries if _asks_for_help(entry))


# --- admission --------------------------------------------------------------------------------


def admit(
    transaction: Transaction,
    call: CallIn,
    runbook: Runbook,
    *,
    at: datetime,
    frozen_by_file: str | None = None,
) -> Admission:
    """Open the remediation that calls in, or say why it is withheld; either is on record.

    The same call again returns the same remediation.  Where every entry was taken care of before,
    or only says that its alert has resolved, nothing is opened and the id is empty.

    `frozen_by_file`: what the brake outside the database says, one sentence.
    """
    known = _of_run(transaction.tables, call)
    if known is not None:
        if known.ended_at is None:  # the first answer was lost, and more has come in since
            join(transaction, known.id, call.entries, at=at)
        return _as_it_stands(transaction.connection, known)
    fresh = tuple(_not_taken_care_of(transaction, call.entries))
    if not any(map(_asks_for_help, fresh)):
        for entry in fresh:
            explain(transaction, entry, "resolved", "It had resolved before anything was begun.", at=at)
        return Admission(remediation="")
    facts = _facts(transaction.tables, call.order.runbook, call.order.target, frozen_by_file)
    withheld = objection(facts, runbook.limits, at)
    return _open(transaction, _Opening(call=call, runbook=runbook, entries=fresh, withheld=withheld, at=at))


def foresee(
    connection: Connection,
    call: CallIn,
    runbook: Runbook,
    *,
    at: datetime,
    frozen_by_file: str | None = None,
) -> Admission | None:
    """Return what `admit` would say now, without an id; None where it would withhold, or open nothing new.

    Nothing is taken or written.  It holds as long as nobody else takes the target, which the fencing
    number tells.
    """
    if _of_run(connection, call) is not None:
        return None
    cause = next(filter(_asks_for_help, inbox.entries(connection, call.entries)), None)
    facts = _facts(connection, call.order.runbook, call.order.target, frozen_by_file)
    if cause is None or objection(facts, runbook.limits, at) is not None:
        return None
    fencing = last_fencing(connection, call.order.target) + 1
    alert = {} if cause.alert is None else {"alert": cause.alert}
    return Admission(remediation="", target=call.order.target, fencing=fencing, **alert)


def admit_again(
    transaction: Transaction,
    remediation: str,
    fencing: int,
    *,
    at: datetime,
    frozen_by_file: str | None = None,
) -> Admission:
    """Say whether a remediation may go on, people having taken their time, and renew its lease if so.

    Raises:
        RefusedError: there is no such remediation.
    """
    connection = transaction.connection
    admission = _as_it_stands(connection, _known_row(connection, remediation))
    if admission.withheld is not None:
        return admission
    facts = _facts(connection, admission.runbook, admission.target, frozen_by_file)
    # Its own lease and the endings before it were judged when it began.
    brakes = facts.model_copy(update={"holder": None, "last": None})
    withheld = objection(brakes, Limits(), at)
    if withheld is None and not renew_lease(transaction, remediation, fencing, at=at):
        withheld = _lease_lost(admission)
    return admission.model_copy(update={"withheld": withheld})


def standing(connection: Connection, remediation: str) -> Admission:
    """Return what `remediation` was admitted for.

    Raises:
        RefusedError: there is no such remediation.
    """
    record = records.find(connection, f"{remediation}/admission")
    if record is None:
        raise _unknown(remediation)
    return _read_admission(record)


def requested_by(connection: Connection, remediation: str) -> str:
    """Return the person who asked for the remediation, or an empty string.

    Raises:
        RefusedError: there is no such remediation.
    """
    return standing(connection, remediation).requested_by


def _as_it_stands(connection: Connection, found: RemediationRow) -> Admission:
    admission = standing(connection, found.id)
    if admission.withheld is None and found.ended_at is not None:
        return admission.model_copy(update={"withheld": _ended_already(found)})
    return admission


def _facts(connection: Connection, runbook: str, target: str, frozen_by_file: str | None) -> AdmissionFacts:
    return AdmissionFacts(
        runbook=runbook,
        target=target,
        frozen_by_file=frozen_by_file or "",
        freezes=tuple(freezes.current(connection)),
        last=_last_ending(connection, runbook, target),
        holder=holder_of(connection, target),
    )


def _last_ending(connection: Connection, runbook: str, target: str) -> PastEnding | None:
    """Return how the last one ended that was admitted: to be withheld is not to have run."""
    found = _LAST_ENDING.first(connection, of_runbook=runbook, of_target=target)
    if found is None:
        return None
    remediation, ending, at = found
    return PastEnding(remediation=remediation, ending=ending, at=at)


def _open(transaction: Transaction, opening: _Opening) -> Admission:
    call, withheld, at = opening.call, opening.withheld, opening.at
    remediation = next(
        each for each in _ids(call) if _ROW.first(transaction.tables, remediation=each) is None
    )
    _INSERT.run(transaction.tables, [_row_of(remediation, opening)])
    fencing = 0
    if withheld is None:
        fencing = take_lease(transaction, call.order.target, remediation, at=at)
    record = transaction.append(_admission_entry(remediation, fencing, opening))
    for entry in opening.entries:
        transaction.append(_joined(remediation, entry, at))
    if withheld is not None:
        words = withheld.model_dump()
        close(transaction, Closing(remediation=remediation, ending=Ending.WITHHELD, **words), at=at)
    return _read_admission(record)


def _row_of(remediation: str, opening: _Opening) -> dict[str, Any]:
    return {
        "id": remediation,
        "workflow_id": opening.call.workflow_id,
        "first_run": opening.call.first_run,
        "runbook": opening.call.order.runbook,
        "target": opening.call.order.target,
        "admitted": int(opening.withheld is None),
        "opened_at": opening.at,
        "ended_at": None,
        "ending": "",
    }


def _ids(call: CallIn) -> Iterator[str]:
    """Yield ids for this run, always the same ones: the first, and others for where it is taken."""
    counter = 0
    while True:
        seed = "\0".join((call.workflow_id, call.first_run, str(counter)))
        number = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "backslashreplace")).digest())
        yield "R-" + "".join(_CROCKFORD[number >> 5 * place & 31] for place in range(_ID_LENGTH))
        counter += 1


def _admission_entry(remediation: str, fencing: int, opening: _Opening) -> Entry:
    order, withheld, cause = opening.call.order, opening.withheld, opening.cause
    return Entry(
        event_id=f"{remediation}/admission",
        stream=remediation,
        kind=RecordKind.ADMISSION,
        actor=_ACTOR,
        source="admission",
        object=order.target,
        outcome="admitted" if withheld is None else "withheld",
        at=opening.at,
        data={
            "runbook": order.runbook,
            "runbook_digest": order.runbook_digest,
            "target": order.target,
            "summary": opening.runbook.summary,
            "workflow_id": opening.call.workflow_id,
            "first_run": opening.call.first_run,
            "entries": [entry.entry for entry in opening.entries],
            "alert": cause.alert.model_dump(mode="json") if cause.alert else None,
            "requested_by": cause.requested_by,
            "fencing": fencing,
            "reason": withheld.reason if withheld else "",
            "sentence": withheld.sentence if withheld else "",
        },
    )


def _read_admission(record: Record) -> Admission:
    data = record.data
    withheld = None
    if record.outcome == "withheld":
        withheld = Withheld(reason=data["reason"], sentence=data["sentence"])
    alert = {} if data["alert"] is None else {"alert": Alert.model_validate(data["alert"])}
    names = ("runbook", "runbook_digest", "target", "fencing", "requested_by")
    return Admission(
        remediation=record.stream, withheld=withheld, **alert, **{name: data[name] for name in names}
    )


# --- the alerts of a remediation --------------------------------------------------------------


def join(transaction: Transaction, remediation: str, entries: Iterable[str], *, at: datetime) -> None:
    """Record that these entries of the inbox are taken care of by a remediation in progress.

    What was taken care of before stays as it is.  Where the remediation has ended meanwhile, an alert
    that resolved is explained; one that fires is not touched, because it needs a remediation of its own.

    Raises:
        RefusedError: there is no such remediation.
    """
    ended = _known_row(transaction.tables, remediation).ended_at is not None
    for entry in _not_taken_care_of(transaction, entries):
        if not ended:
            transaction.append(_joined(remediation, entry, at))
        elif not _asks_for_help(entry):
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
    joined = transaction.find(f"joined/{entry.entry}")
    if joined is not None:
        return joined
    return transaction.append(
        Entry(
            event_id=f"explained/{entry.entry}",
            stream=SYSTEM,
            kind=RecordKind.ALERT_EXPLAINED,
            actor=_ACTOR,
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


def _not_taken_care_of(transaction: Transaction, ids: Iterable[str]) -> Iterator[InboxEntry]:
    """Yield the entries, of those that the inbox knows, that neither joined nor were explained."""
    found = inbox.entries(transaction.tables, ids)
    transaction.look_up(f"{how}/{entry.entry}" for entry in found for how in ("joined", "explained"))
    for entry in found:
        if not any(transaction.find(f"{how}/{entry.entry}") for how in ("joined", "explained")):
            yield entry


def _asks_for_help(entry: InboxEntry) -> bool:
    return entry.alert is None or entry.alert.status is AlertStatus.FIRING


def _joined(remediation: str, entry: InboxEntry, at: datetime) -> Entry:
    alert = entry.alert
    return Entry(
        event_id=f"joined/{entry.entry}",
        stream=remediation,
        kind=RecordKind.ALERT_JOINED,
        actor=_ACTOR,
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
    found = _known_row(transaction.tables, remediation)
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
        actor=_ACTOR,
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


def _ended_already(found: RemediationRow) -> Withheld:
    ending = found.ending.value.replace("_", " ") if found.ending else "long ago"
    return Withheld(
        reason="ended_already",
        sentence=f"{found.id} ended {ending}; what has ended is not carried out again.",
    )


def _lease_lost(admission: Admission) -> Withheld:
    return Withheld(
        reason="lease_lost",
        sentence=f"{admission.remediation} no longer holds {admission.target}: another remediation has taken over.",
    )


# --- which there are --------------------------------------------------------------------------


def row(connection: Connection, remediation: str) -> RemediationRow | None:
    """Return the remediation with this id, or None."""
    found = _ROW.first(connection, remediation=remediation)
    return None if found is None else _read_row(found)


def open_remediations(connection: Connection) -> list[RemediationRow]:
    """Return all that have not ended, the oldest first."""
    return [_read_row(found) for found in _OPEN.rows(connection)]


def _of_run(connection: Connection, call: CallIn) -> RemediationRow | None:
    found = _ROW_OF_RUN.first(connection, workflow=call.workflow_id, run=call.first_run)
    return None if found is None else _read_row(found)


def _known_row(connection: Connection, remediation: str) -> RemediationRow:
    found = row(connection, remediation)
    if found is None:
        raise _unknown(remediation)
    return found


def _unknown(remediation: str) -> RefusedError:
    return RefusedError("unknown_remediation", f"there is no remediation {remediation!r}")


def _read_row(found: tuple[Any, ...]) -> RemediationRow:
    content = dict(zip(table.columns.keys(), found, strict=True))
    return RemediationRow.model_validate({**content, "ending": content["ending"] or None})
