"""Admission: whether a remediation may begin, or go on, in one transaction.

It reads the facts, lets `runbooks.policy.admission` judge them, and writes the verdict together with
the lease, so that nothing can change in between: of fifty that ask at the same moment no more are let
in than the limits allow.  It gives the remediation the id that people say out loud.  The id is derived
from Temporal's first run id, which a reset keeps, so asking again, after a crash or a reset, finds the
same remediation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, bindparam, func, select

from activities.ledger import freezes, records, schema, stops
from activities.ledger.inbox import InboxEntry
from activities.ledger.leases import holder_of, renew_lease, take_lease
from activities.ledger.prepared import Prepared, PreparedInsert
from activities.ledger.remediations import (
    ACTOR,
    RemediationRow,
    asks_for_help,
    close,
    explain,
    join,
    joined,
    known_row,
    not_taken_care_of,
    row,
    row_of_run,
    unknown,
)
from activities.ledger.schema import remediation as table
from activities.ledger.transaction import Transaction
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import Value
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.model.remediation import STOPPED_BY_PERSON, CallIn, Closing, Ending, Order, Withheld
from runbooks.model.runbook import AttemptLimit, RadiusLimit, Runbook
from runbooks.policy.admission import (
    ATTEMPTS_USED_UP,
    AdmissionFacts,
    Outside,
    PastAttempt,
    PastEnding,
    braked,
    objection,
    whom_to_tell,
)

__all__ = ["Admission", "Outside", "admit", "admit_again", "requested_by", "standing", "stopped"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: nobody misreads or mishears one
_ID_LENGTH = 6

_of_place = (table.c.runbook == bindparam("of_runbook")) & (table.c.target == bindparam("of_target"))
_in_progress = (table.c.admitted == 1) & table.c.ended_at.is_(None)
_INSERT = PreparedInsert(table)
_LAST_ENDING = Prepared(
    select(table.c.id, table.c.ending, table.c.ended_at)
    .where(_of_place, table.c.admitted == 1, table.c.ended_at.is_not(None))
    .order_by(table.c.ended_at.desc())
    .limit(1)
)
_ATTEMPTS = Prepared(
    select(table.c.id, table.c.opened_at, table.c.ending)
    .where(_of_place, table.c.admitted == 1, table.c.opened_at > bindparam("after", type_=schema.Instant()))
    .order_by(table.c.opened_at, table.c.id)
)
_SAID_BEFORE = Prepared(
    select(table.c.id)
    .where(
        _of_place,
        table.c.withheld == bindparam("why", type_=String()),
        table.c.opened_at >= bindparam("after", type_=schema.Instant()),
    )
    .order_by(table.c.opened_at, table.c.id)
    .limit(1)
)
_IN_PROGRESS = Prepared(select(func.count()).select_from(table).where(_in_progress))
# "Holds the text", byte for byte: LIKE overlooks case in SQLite, and `instr` is not known everywhere.
_without_label = func.replace(table.c.labels, bindparam("label", type_=String()), "")
_IN_PROGRESS_WITH = Prepared(
    select(func.count()).select_from(table).where(_in_progress, _without_label != table.c.labels)
)


NO_ALERT = Alert(status=AlertStatus.FIRING, labels={})
"""Stands for the alert where a person asked without one."""


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
    alert: Alert = NO_ALERT
    requested_by: str = ""
    withheld: Withheld | None = None


class _Opening(Value):
    """What a new remediation begins with."""

    call: CallIn
    runbook: Runbook
    entries: tuple[InboxEntry, ...]
    facts: AdmissionFacts
    withheld: Withheld | None
    said_before: str
    at: datetime

    @property
    def cause(self) -> InboxEntry:
        """The first entry that asks for help."""
        return next(entry for entry in self.entries if asks_for_help(entry))


# --- the question -----------------------------------------------------------------------------


def admit(
    transaction: Transaction,
    call: CallIn,
    runbook: Runbook,
    *,
    at: datetime,
    outside: Outside | None = None,
    decided: Callable[[Alert], None] = lambda _: None,
) -> Admission:
    """Open the remediation that calls in, or say why it is withheld; either is on record.

    The same call again returns the same remediation.  Where every entry was taken care of before,
    or only says that its alert has resolved, nothing is opened and the id is empty.

    Args:
        outside: what admission depends on and the database does not hold.
        decided: is told of its alert as soon as a new remediation may begin, before that is written.
    """
    known = row_of_run(transaction.tables, call)
    if known is not None:
        # The first answer was lost, and more may have come in since.
        join(transaction, known.id, call.entries, at=at)
        admission = _as_it_stands(transaction.connection, known)
        if known.ended_at is not None and any(not_taken_care_of(transaction, call.entries)):
            # Also where it was withheld: what fires needs a remediation of its own, and whoever asks is told so.
            return admission.model_copy(update={"withheld": _ended_already(known)})
        return admission
    fresh = tuple(not_taken_care_of(transaction, call.entries))
    cause = next(filter(asks_for_help, fresh), None)
    if cause is None:
        for entry in fresh:
            explain(transaction, entry, "resolved", "It had resolved before anything was begun.", at=at)
        return Admission(remediation="")
    facts = _Reading(transaction.tables, call.order, cause, outside or Outside()).facts(runbook, at)
    withheld = objection(facts, runbook.limits, at)
    if withheld is None:
        decided(cause.alert or NO_ALERT)
    said_before = _said_before(transaction.tables, facts, withheld)
    opening = _Opening(
        call=call,
        runbook=runbook,
        entries=fresh,
        facts=facts,
        withheld=withheld,
        said_before=said_before,
        at=at,
    )
    return _open(transaction, opening)


def admit_again(
    transaction: Transaction, remediation: str, fencing: int, *, at: datetime, outside: Outside | None = None
) -> Admission:
    """Say whether a remediation may go on, people having taken their time, and renew its lease if so.

    Its own lease, and what was limited when it began, were judged then: only brakes are asked again.

    Raises:
        RefusedError: there is no such remediation.
    """
    admission = _as_it_stands(transaction.connection, known_row(transaction.tables, remediation))
    if admission.withheld is not None:
        return admission
    withheld = stopped(transaction.tables, remediation, at=at, outside=outside)
    if withheld is None and not renew_lease(transaction, remediation, fencing, at=at):
        withheld = _lease_lost(admission)
    return admission.model_copy(update={"withheld": withheld})


def stopped(
    connection: Connection, remediation: str, *, at: datetime, outside: Outside | None = None
) -> Withheld | None:
    """Return which brake stops a remediation in progress, or None.

    Raises:
        RefusedError: there is no such remediation.
    """
    stopper = stops.stopper_of(connection, remediation)
    if stopper is not None:
        return Withheld(reason=STOPPED_BY_PERSON, sentence=stops.sentence_of(stopper))
    frozen, outside = tuple(freezes.current(connection)), outside or Outside()
    if not frozen and not outside.may_brake:
        return None
    found = known_row(connection, remediation)
    facts = AdmissionFacts(
        runbook=found.runbook,
        target=found.target,
        labels=json.loads(found.labels),
        freezes=frozen,
        outside=outside,
    )
    return braked(facts, at)


def standing(connection: Connection, remediation: str) -> Admission:
    """Return what `remediation` was admitted for.

    Raises:
        RefusedError: there is no such remediation.
    """
    record = records.find(connection, f"{remediation}/admission")
    if record is None:
        raise unknown(remediation)
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


# --- the facts --------------------------------------------------------------------------------


class _Reading:
    """Reads what admission depends on, and of that only what the runbook's limits ask for."""

    def __init__(self, connection: Connection, order: Order, cause: InboxEntry, outside: Outside) -> None:
        self._connection = connection
        self._order = order
        self._outside = outside
        known = outside.inventory.labels_of(order.target) if outside.inventory else {}
        said = cause.alert.labels if cause.alert else {}
        self._labels: Mapping[str, str] = {**known, **said}

    def facts(self, runbook: Runbook, at: datetime) -> AdmissionFacts:
        """Return the facts as they are now."""
        limits, order = runbook.limits, self._order
        return AdmissionFacts(
            runbook=order.runbook,
            target=order.target,
            labels=self._labels,
            freezes=tuple(freezes.current(self._connection)),
            outside=self._outside,
            last=self._last_ending() if limits.cooldown else None,
            holder=holder_of(self._connection, order.target),
            attempts=self._attempts(limits.attempts, at) if limits.attempts else (),
            under_repair=self._under_repair(limits.at_once) if limits.at_once else 0,
        )

    def _last_ending(self) -> PastEnding | None:
        """Return how the last one ended that was admitted: to be withheld is not to have run."""
        found = _LAST_ENDING.first(self._connection, **_place(self._order))
        if found is None:
            return None
        remediation, ending, at = found
        return PastEnding(remediation=remediation, ending=ending, at=at)

    def _attempts(self, limit: AttemptLimit, at: datetime) -> tuple[PastAttempt, ...]:
        rows = _ATTEMPTS.rows(self._connection, **_place(self._order), after=at - limit.per)
        return tuple(
            PastAttempt(remediation=remediation, at=opened_at, ending=ending or None)
            for remediation, opened_at, ending in rows
        )

    def _under_repair(self, limit: RadiusLimit) -> int:
        """Return how many are in progress that the limit counts together with this one."""
        if not limit.label:
            found = _IN_PROGRESS.first(self._connection)
        else:
            label = _label_text({limit.label: self._labels.get(limit.label, "")})
            found = _IN_PROGRESS_WITH.first(self._connection, label=label[1:-1])
        return int(found[0]) if found else 0


def _label_text(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), sort_keys=True)


def _place(order: Order) -> dict[str, str]:
    return {"of_runbook": order.runbook, "of_target": order.target}


def _said_before(connection: Connection, facts: AdmissionFacts, withheld: Withheld | None) -> str:
    """Return which remediation has told people before that the attempts are used up, since the last of them."""
    if withheld is None or withheld.reason != ATTEMPTS_USED_UP:
        return ""
    after = facts.attempts[-1].at
    found = _SAID_BEFORE.first(
        connection, of_runbook=facts.runbook, of_target=facts.target, why=ATTEMPTS_USED_UP, after=after
    )
    return str(found[0]) if found else ""


# --- the answer -------------------------------------------------------------------------------


def _open(transaction: Transaction, opening: _Opening) -> Admission:
    call, withheld, at = opening.call, opening.withheld, opening.at
    remediation = next(each for each in _ids(call) if row(transaction.tables, each) is None)
    _INSERT.run(transaction.tables, [_row_of(remediation, opening)])
    fencing = 0
    if withheld is None:
        fencing = take_lease(transaction, call.order.target, remediation, at=at)
    record = transaction.append(_admission_entry(remediation, fencing, opening))
    for entry in opening.entries:
        transaction.append(joined(remediation, entry, at))
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
        "labels": _label_text(opening.facts.labels),
        "withheld": opening.withheld.reason if opening.withheld else "",
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
        actor=ACTOR,
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
            **_alarm(opening),
        },
    )


def _alarm(opening: _Opening) -> dict[str, Any]:
    """Return what people must hear where the attempts are used up: the pattern, and who is to be told."""
    if opening.withheld is None or opening.withheld.reason != ATTEMPTS_USED_UP:
        return {}
    return {
        "earlier": [each.model_dump(mode="json") for each in opening.facts.attempts],
        "tell": [] if opening.said_before else list(whom_to_tell(opening.runbook)),
        "said_before": opening.said_before,
    }


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
