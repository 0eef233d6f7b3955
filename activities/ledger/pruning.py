"""Pruning: old remediations go into an export, and their hashes stay.

The body of a record makes way for nothing, and its leaf hash keeps its place in the tree: every root,
every checkpoint and every proof about the other records stays what it was.  With the bodies go the
values behind their commitments, and the messages that alerts came in by.  What is gone, and the digest of
the export in which it stands, is on record; a body that is gone without that was taken away.

Only whole remediations are pruned, that have ended, that hold no target any more, and that stand under a
checkpoint outside the database: so the export can be held against something that its owner cannot change.
The system's own records stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from activities.ledger import openings, schema
from activities.ledger.bodies import PRUNED, parse_body
from activities.ledger.showing import raw_of
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind

AT_ONCE = 200
"""Remediations, and messages, that go in one transaction: others who write wait for it."""

_record = schema.record.c
_remediation = schema.remediation.c
_lease = schema.lease.c
_blob = schema.blob.c
_inbox = schema.inbox.c


class Prunable(Value):
    """What may be pruned, and how many remediations of that time may not.

    Attributes:
        raws: SHA-256 of the messages that only records of that time name, hex; without those of what is open.
        unfinished: that have not ended, or still hold their target.
        unpublished: that stand under no checkpoint outside the database.
    """

    streams: tuple[str, ...]
    raws: tuple[str, ...]
    unfinished: int
    unpublished: int

    def batches(self) -> list[Prunable]:
        """Return the same in pieces, each for one transaction."""
        starts = range(0, max(len(self.streams), len(self.raws)), AT_ONCE)
        return [
            self.model_copy(
                update={
                    "streams": self.streams[start : start + AT_ONCE],
                    "raws": self.raws[start : start + AT_ONCE],
                }
            )
            for start in starts
        ]


class PruningOrder(Value):
    """Why and how something is pruned.

    Attributes:
        before: what ended earlier.
        export: SHA-256 of the export in which it stands, hex.
    """

    before: datetime
    export: str
    actor: str
    source: str


def find_prunable(connection: Connection, before: datetime, published: int) -> Prunable:
    """Return what ended before that time, and may be pruned.

    Args:
        published: how many records stand under a checkpoint outside the database.
    """
    query = select(_record.stream, _record.seq).where(
        _record.kind == RecordKind.ENDING.value,
        _record.at < schema.instant_text(before),
        _record.body != PRUNED,
    )
    ended = connection.execute(query.order_by(_record.seq)).all()
    held = set(connection.execute(select(_lease.remediation).where(_lease.remediation != "")).scalars())
    open_still = select(func.count()).where(_remediation.ended_at.is_(None), _remediation.opened_at < before)
    return Prunable(
        streams=tuple(row.stream for row in ended if row.seq < published and row.stream not in held),
        raws=_raws_of_old(connection, before, published),
        unfinished=int(connection.execute(open_still).scalar_one())
        + sum(row.stream in held for row in ended),
        unpublished=sum(row.seq >= published for row in ended),
    )


def _raws_of_old(connection: Connection, before: datetime, published: int) -> tuple[str, ...]:
    """Return the hashes of messages that are kept, and that nothing newer and nothing open came in by."""
    is_open = _open_entries(connection)
    query = select(_record.seq, _record.at, _record.body).where(
        _record.kind == RecordKind.ALERT_RECEIVED.value
    )
    old, staying = set[str](), set[str]()
    for row in connection.execute(query.execution_options(yield_per=1000)):
        is_old = row.at < schema.instant_text(before) and row.seq < published
        content = parse_body(bytes(row.body))
        goes = is_old and is_open.isdisjoint(_entries_in(content))
        (old if goes else staying).add(raw_of(content))
    kept = {bytes(sha256).hex() for sha256 in connection.execute(select(_blob.sha256)).scalars()}
    return tuple(sorted((old - staying) & kept))


def _open_entries(connection: Connection) -> set[str]:
    """Return the ids of the inbox's entries that wait, or that a remediation took in which is open or holds a target."""
    waiting = select(_inbox.entry).where(_inbox.done_at.is_(None))
    unended = select(_remediation.id).where(_remediation.ended_at.is_(None))
    holders = select(_lease.remediation).where(_lease.remediation != "")
    taken_in = select(_record.body).where(
        _record.kind.in_([RecordKind.ADMISSION.value, RecordKind.ALERT_JOINED.value]),
        _record.stream.in_(unended.union(holders)),
        _record.body != PRUNED,
    )
    bodies = connection.execute(taken_in).scalars()
    named = {entry for body in bodies for entry in _entries_in(parse_body(bytes(body)))}
    return named.union(connection.execute(waiting).scalars())


def _entries_in(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the inbox's entries that a body names."""
    data = content.get("data")
    if isinstance(data, dict):
        many = data.get("entries")
        named = [data.get("entry"), *(many if isinstance(many, list) else ())]
        yield from (each for each in named if isinstance(each, str))


def prune(transaction: Transaction, what: Prunable, order: PruningOrder) -> Record:
    """Let the bodies of these remediations go, with all that stands beside them, and return the record of it."""
    chosen = select(_record.seq, _record.body).where(_record.stream.in_(what.streams), _record.body != PRUNED)
    rows = transaction.connection.execute(chosen.order_by(_record.seq)).all()
    digests = [digest for row in rows for _, digest in openings.commitments_in(parse_body(bytes(row.body)))]
    openings.forget(transaction.tables, digests)
    raws = [bytes.fromhex(raw) for raw in what.raws]
    transaction.tables.execute(delete(schema.blob).where(_blob.sha256.in_(raws)))
    emptied = update(schema.record).where(_record.seq.in_([row.seq for row in rows])).values(body=PRUNED)
    transaction.tables.execute(emptied)
    return transaction.append(_entry(what, order, len(rows)))


def _entry(what: Prunable, order: PruningOrder, records: int) -> Entry:
    gone = "\n".join((order.export, *what.streams, *what.raws))
    return Entry(
        event_id=f"pruned/{hashlib.sha256(gone.encode()).hexdigest()[:16]}",
        stream=SYSTEM,
        kind=RecordKind.LEDGER_PRUNED,
        actor=order.actor,
        source=order.source,
        data={
            "before": schema.instant_text(order.before),
            "export": order.export,
            "streams": list(what.streams),
            "records": records,
            "blobs": len(what.raws),
        },
    )
