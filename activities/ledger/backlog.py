"""How much waits in the inbox: what an operator looks at when Temporal is away."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from activities.ledger.schema import inbox, notification
from runbooks.model.base import Value

_IN_THE_INBOX = select(func.count(), func.min(inbox.c.received_at)).where(
    inbox.c.done_at.is_(None), inbox.c.kind != "click"
)
_IN_THE_TRAY = select(func.count(), func.min(notification.c.received_at))


class Backlog(Value):
    """What was acknowledged and has not reached Temporal.

    Attributes:
        entries: that Temporal has not accepted yet.
        notifications: that are not taken in.
        oldest: when the oldest of all was received; None where there is none.
    """

    entries: int
    notifications: int
    oldest: datetime | None


def backlog(connection: Connection) -> Backlog:
    """Return what waits."""
    (entries, entry), (kept, notice) = (
        connection.execute(each).one() for each in (_IN_THE_INBOX, _IN_THE_TRAY)
    )
    oldest = min((at for at in (entry, notice) if at is not None), default=None)
    return Backlog(entries=entries, notifications=kept, oldest=oldest)
