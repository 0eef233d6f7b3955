"""How much waits in the inbox: what an operator looks at when Temporal is away."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from activities.ledger.schema import inbox
from runbooks.model.base import Value

_WAITING = select(inbox.c.received_at).where(inbox.c.done_at.is_(None), inbox.c.kind != "click")
_COUNT = select(func.count()).select_from(_WAITING.subquery())
_OLDEST = _WAITING.order_by(inbox.c.seq).limit(1)


class Backlog(Value):
    """Entries that Temporal has not accepted yet.

    Attributes:
        oldest: when the oldest of them was received; None where there is none.
    """

    entries: int
    oldest: datetime | None


def backlog(connection: Connection) -> Backlog:
    """Return what waits."""
    return Backlog(
        entries=int(connection.execute(_COUNT).scalar_one()), oldest=connection.execute(_OLDEST).scalar()
    )
