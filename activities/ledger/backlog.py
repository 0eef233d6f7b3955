"""How much waits in the inbox: what an operator looks at when Temporal is away."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, union_all

from activities.ledger.schema import inbox, notification
from runbooks.model.base import Value

_WAITING = union_all(
    select(inbox.c.received_at).where(inbox.c.done_at.is_(None), inbox.c.kind != "click"),
    select(notification.c.received_at),
).subquery()
_LOOK = select(func.count(), func.min(_WAITING.c.received_at))


class Backlog(Value):
    """Entries that Temporal has not accepted yet, and notifications that are not taken in.

    Attributes:
        oldest: when the oldest of them was received; None where there is none.
    """

    entries: int
    oldest: datetime | None


def backlog(connection: Connection) -> Backlog:
    """Return what waits."""
    entries, oldest = connection.execute(_LOOK).one()
    return Backlog(entries=entries, oldest=oldest)
