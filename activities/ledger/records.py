"""Reading the ledger: the records of one remediation, and what came after a given one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, literal, select

from activities.ledger import schema
from activities.ledger.bodies import PRUNED
from activities.ledger.openings import read_records
from activities.ledger.prepared import Prepared
from runbooks.model.record import SYSTEM, Record, RecordKind

_record = schema.record.c

_SIZE = Prepared(select(schema.head.c.n))
_FIND = Prepared(select(_record.body).where(_record.event_id == bindparam("event_id")))
_STREAM = Prepared(
    select(_record.body).where(_record.stream == bindparam("stream")).order_by(_record.stream_seq)
)
_after = (
    select(_record.body)
    .where(_record.seq > bindparam("seq"), _record.body != PRUNED)  # or a batch would be short before the end
    .order_by(_record.seq)
    .limit(bindparam("limit", type_=Integer))
)
_AFTER = Prepared(_after)
_STREAMS_RECENT = (
    select(_record.stream)
    .where(_record.kind == RecordKind.ADMISSION.value, _record.stream != SYSTEM, _record.body != PRUNED)
    .order_by(_record.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)


def size(connection: Connection) -> int:
    """Return the number of records in the ledger, which is the next one's `seq`."""
    [(records,)] = _SIZE.rows(connection)
    return int(records)


def find(connection: Connection, event_id: str) -> Record | None:
    """Return the record of this event, or None."""
    found = _read(connection, _FIND.rows(connection, event_id=event_id))
    return found[0] if found else None


def stream_of(connection: Connection, stream: str) -> list[Record]:
    """Return all records of `stream`, oldest first; none where there is no such stream."""
    return _read(connection, _STREAM.rows(connection, stream=stream))


def last_at(connection: Connection, stream: str, kinds: Collection[RecordKind]) -> datetime | None:
    """Return the time of the newest record of these kinds in `stream`; None where there is none."""
    of_kinds = select(_record.at).where(_record.stream == stream, _record.kind.in_(sorted(kinds)))
    newest = connection.execute(of_kinds.order_by(_record.stream_seq.desc()).limit(1)).scalar()
    return None if newest is None else datetime.fromisoformat(newest)


def after(
    connection: Connection, seq: int, limit: int, kinds: Collection[RecordKind] | None = None
) -> list[Record]:
    """Return at most `limit` records that follow `seq` (-1: from the first on), oldest first."""
    query = _AFTER if kinds is None else _after_of(frozenset(kinds))
    return _read(connection, query.rows(connection, seq=seq, limit=limit))


@cache
def _after_of(kinds: frozenset[RecordKind]) -> Prepared:
    """Return the query for these kinds: those who follow the ledger ask for few combinations, again and again."""
    wanted = [literal(kind.value) for kind in sorted(kinds)]
    return Prepared(_after.where(_record.kind.in_(wanted)))


def _read(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> list[Record]:
    return read_records(connection, (body for (body,) in rows))


def streams_recent(connection: Connection, limit: int) -> list[str]:
    """Return the ids of at most `limit` remediations, the one opened last first."""
    return list(connection.execute(_STREAMS_RECENT, {"limit": limit}).scalars())
