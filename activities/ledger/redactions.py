"""Redaction: values are taken back for good, and who did it, why, and to which commitments, is on record.

Nothing in the record of a remediation changes by it, so everything that was proven stays proven.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, or_, select

from activities.ledger import openings
from activities.ledger.bodies import PRUNED, parse_body
from activities.ledger.schema import record
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind


class RedactionOrder(Value):
    """What is to be redacted, and for what reason.

    Attributes:
        record: the seq of the one record; None: everything of the remediation.
        actor: the person who redacts.
    """

    remediation: str
    record: int | None
    reason: str
    actor: str
    source: str


def redact(transaction: Transaction, order: RedactionOrder) -> Record | None:
    """Delete the openings of a remediation's values, and return the record of it; None where there are none.

    What is redacted comes never back.
    """
    found: list[bytes] = []
    records: list[int] = []
    for seq, digests in _commitments(transaction.connection, order):
        gone = openings.forget(transaction.tables, digests)
        if gone:
            found += gone
            records.append(seq)
    if not found:
        return None
    named = hashlib.sha256(b"".join(found)).hexdigest()[:16]  # once gone, no other redaction has them
    data = {
        "remediation": order.remediation,
        "records": records,
        "digests": [digest.hex() for digest in found],
        "reason": order.reason,
    }
    return transaction.append(
        Entry(
            event_id=f"redaction/{named}",
            stream=SYSTEM,
            kind=RecordKind.REDACTION,
            actor=order.actor,
            source=order.source,
            object=order.remediation,
            data=data,
        )
    )


def _commitments(connection: Connection, order: RedactionOrder) -> Sequence[tuple[int, list[bytes]]]:
    """Return the seq of each record about the remediation and what it commits to."""
    # What came after the ending stands in the system's stream, under the remediation's own events.
    late = (record.c.stream == SYSTEM) & record.c.event_id.startswith(
        f"{order.remediation}/", autoescape=True
    )
    query = (
        select(record.c.seq, record.c.body)
        .where(
            record.c.kind.in_([kind.value for kind in openings.COMMITTED]),
            or_(record.c.stream == order.remediation, late),
            record.c.body != PRUNED,
        )
        .order_by(record.c.seq)
    )
    if order.record is not None:
        query = query.where(record.c.seq == order.record)
    rows = [(int(seq), parse_body(bytes(body))) for seq, body in connection.execute(query)]
    return [(seq, [digest for _, digest in openings.commitments_in(content)]) for seq, content in rows]
