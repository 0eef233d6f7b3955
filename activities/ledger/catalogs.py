"""The catalogs on record: which runbooks were in force, from when on."""

from __future__ import annotations

from sqlalchemy import Connection, select

from activities.ledger import schema
from activities.ledger.bodies import read_body
from runbooks.model.record import Record, RecordKind

_record = schema.record.c
_LAST = (
    select(_record.body).where(_record.kind == RecordKind.CATALOG.value).order_by(_record.seq.desc()).limit(1)
)


def last_catalog(connection: Connection) -> Record | None:
    """Return the newest `catalog` record, or None where there is none yet."""
    body = connection.execute(_LAST).scalar()
    return None if body is None else read_body(body)
