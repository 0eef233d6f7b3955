"""The keys of the listeners, on record: so that a stranger can check what people decided.

A decision that counted was signed by the listener that saw it.  The public key of that listener stands
in the ledger before the first decision that counted under it, so whoever verifies the ledger can verify
the signature too.  That the key is the right one is for people to compare: who owns the bot can put
another on record, and then it stands there.
"""

from __future__ import annotations

import base64

from sqlalchemy import Connection, Row, select

from activities.ledger import schema
from activities.ledger.transaction import Transaction
from activities.signatures import key_id
from runbooks.model.record import SYSTEM, Entry, RecordKind

_record = schema.record.c


def keep(transaction: Transaction, public_key: bytes) -> None:
    """Put a listener's raw public key on record, unless it is there already."""
    name = key_id(public_key)
    transaction.append(
        Entry(
            event_id=f"listener/{name}",
            stream=SYSTEM,
            kind=RecordKind.LISTENER_KEY,
            actor="bot:worker",
            source="case",
            object=name,
            data={"key_id": name, "key": base64.b64encode(public_key).decode()},
        )
    )


def rows_before(connection: Connection, seq: int) -> list[Row[int, bytes]]:
    """Return seq and body of each listener's key that was on record before `seq`."""
    query = select(_record.seq, _record.body).where(
        _record.kind == RecordKind.LISTENER_KEY.value, _record.seq < seq
    )
    return list(connection.execute(query.order_by(_record.seq)))
