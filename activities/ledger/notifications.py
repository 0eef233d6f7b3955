"""Notifications that were acknowledged and are not taken in yet: the inbox's outer tray.

A body is durable here before its sender is answered, and a moment later it is taken in: its alerts
become entries of the inbox and records, and its row is deleted, in one transaction.  So there is no
moment at which it is in neither place, and none at which it is in both.

Each row names the receiver, one run of one process, which takes in what it has received.  What is
left of one that was killed is taken in by another, or by itself when it is back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, delete, insert, or_, select

from activities.ledger.prepared import Prepared, PreparedForEach
from activities.ledger.schema import notification
from activities.ledger.transaction import Transaction

_row = notification.c


class Kept(NamedTuple):
    """A body as it came in.

    Attributes:
        id: unique among all that were ever kept.
        receiver: who will take it in.
        sender: who delivered it, as authenticated.
    """

    id: str
    receiver: str
    sender: str
    received_at: datetime
    body: bytes


class Waiting(NamedTuple):
    """The row of a notification, without its body.  `seq` is its place: the lower, the earlier."""

    seq: int
    id: str


_KEEP = Prepared(
    insert(notification).values({name: bindparam(name, type_=_row[name].type) for name in Kept._fields})
)
_WAITING = Prepared(
    select(*(_row[name] for name in Waiting._fields))
    .where(
        or_(
            _row.receiver == bindparam("receiver"),
            _row.received_at < bindparam("old"),
            _row.received_at > bindparam("ahead"),
        )
    )
    .order_by(_row.seq)
    .limit(bindparam("limit", type_=Integer))
)
_OF_OTHERS = Prepared(
    select(_row.id).where(_row.receiver != bindparam("receiver")).limit(bindparam("limit", type_=Integer))
)
_FIND = Prepared(select(*(_row[name] for name in Kept._fields)).where(_row.seq == bindparam("seq")))
_FORGET = PreparedForEach(_row.seq, lambda is_asked: delete(notification).where(is_asked))


def keep(connection: Connection, new: Kept) -> None:
    """Write a notification down."""
    _KEEP.run(connection, **new._asdict())


def waiting(
    connection: Connection, receiver: str, *, old: datetime, ahead: datetime, limit: int
) -> list[Waiting]:
    """Return what waits for this receiver, the earliest first: its own, and what anybody received before `old`.

    What somebody received later than `ahead` is everybody's too: the clock was put back since.
    """
    rows = _WAITING.rows(connection, receiver=receiver, old=old, ahead=ahead, limit=limit)
    return [Waiting(*row) for row in rows]


def of_others(connection: Connection, receiver: str, limit: int) -> list[str]:
    """Return the ids of at most `limit` notifications that somebody else has received."""
    return [str(row[0]) for row in _OF_OTHERS.rows(connection, receiver=receiver, limit=limit)]


def find(connection: Connection, seq: int) -> Kept | None:
    """Return a notification with its body; None where it has been taken in."""
    found = _FIND.first(connection, seq=seq)
    return None if found is None else Kept(*found)


def forget(transaction: Transaction, seqs: Iterable[int]) -> None:
    """Delete notifications, in the transaction that takes them in."""
    _FORGET.rows(transaction.tables, seqs)
