"""Reading the ledger: the records of one remediation, and what came after a given one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from activities.ledger import schema
from activities.ledger.bodies import read_body
from runbooks.model.record import SYSTEM, Record, RecordKind

_record = schema.record.c

# Prepared once: building a statement costs more than carrying it out.
_SIZE = select(schema.head.c.n)
_FIND = select(_record.body).where(_record.event_id == bindparam("event_id"))
_STREAM = select(_record.body).where(_record.stream == bindparam("stream")).order_by(_record.stream_seq)
_AFTER = (
    select(_record.body).where(_record.seq > bindparam("seq")).order_by(_record.seq).limit(bindparam("limit"))
)
_AFTER_OF_KINDS = _AFTER.where(_record.kind.in_(bindparam("kinds", expanding=True)))
_STREAMS_RECENT = (
    select(_record.stream)
    .where(_record.kind == RecordKind.ADMISSION.value, _record.stream != SYSTEM)
    .order_by(_record.seq.desc())
    .limit(bindparam("limit"))
)


def size(connection: Connection) -> int:
    """Return the number of records in the ledger, which is the next one's `seq`."""
    return int(connection.execute(_SIZE).scalar_one())


def find(connection: Connection, event_id: str) -> Record | None:
    """Return the record of this event, or None."""
    body = connection.execute(_FIND, {"event_id": event_id}).scalar()
    return None if body is None else read_body(body)


def stream_of(connection: Connection, stream: str) -> list[Record]:
    """Return all records of `stream`, oldest first; none where there is no such stream."""
    return [read_body(body) for body in connection.execute(_STREAM, {"stream": stream}).scalars()]


def after(
    connection: Connection, seq: int, limit: int, kinds: Collection[RecordKind] | None = None
) -> list[Record]:
    """Return at most `limit` records that follow `seq` (-1: from the first on), oldest first."""
    parameters: dict[str, object] = {"seq": seq, "limit": limit}
    if kinds is None:
        rows = connection.execute(_AFTER, parameters)
    else:
        rows = connection.execute(_AFTER_OF_KINDS, {**parameters, "kinds": [kind.value for kind in kinds]})
    return [read_body(body) for body in rows.scalars()]


def streams_recent(connection: Connection, limit: int) -> list[str]:
    """Return the ids of at most `limit` remediations, the one opened last first."""
    return list(connection.execute(_STREAMS_RECENT, {"limit": limit}).scalars())
