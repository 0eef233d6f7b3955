"""What the sealer asks of the ledger's database: how it has grown, and to keep what was signed.

To grow is to add leaves to a tree whose frontier is known.  So whoever remembers the frontier of
the last checkpoint need only read what came after it to know the new root, and that root belongs to
the old one by construction: there is nothing to prove separately.  Whether the database still tells
the old story as well is seen from its head, which must come to the same frontier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select

from activities.ledger import schema
from activities.ledger.bodies import PRUNED
from activities.ledger.merkle import Frontier, leaf_hash
from activities.ledger.transaction import Transaction
from runbooks.errors import ParamedicError
from runbooks.model.base import Value
from runbooks.model.record import RecordKind

ROWS_AT_A_TIME = 1000
URGENT = (RecordKind.DECISION, RecordKind.ENDING)
"""What must not wait: what a person has allowed, and what came of it."""

_record = schema.record.c
_checkpoint = schema.checkpoint.c


class HistoryError(ParamedicError):
    """The ledger does not tell what it told before."""

    code = "history_changed"


class Seal(Value):
    """One checkpoint as the database keeps it.

    Attributes:
        number: from 0, without gaps.
        size: how many records it covers.
    """

    number: int
    size: int
    note: str


class Look(Value):
    """What decides whether it is time for a checkpoint.

    Attributes:
        size: the number of records.
        urgent: the seq of the newest record that must not wait; -1 where there is none.
    """

    size: int
    urgent: int


def look(connection: Connection) -> Look:
    """Return how far the ledger is."""
    size = connection.execute(select(schema.head.c.n)).scalar_one()
    newest = select(func.max(_record.seq)).where(_record.kind.in_([kind.value for kind in URGENT]))
    urgent = connection.execute(newest).scalar_one()
    return Look(size=size, urgent=-1 if urgent is None else urgent)


def seals_after(connection: Connection, number: int, limit: int | None = None) -> list[Seal]:
    """Return the checkpoints after this number (-1: all), oldest first."""
    query = select(_checkpoint.number, _checkpoint.n, _checkpoint.note).where(_checkpoint.number > number)
    rows = connection.execute(query.order_by(_checkpoint.number).limit(limit))
    return [Seal(number=row.number, size=row.n, note=row.note) for row in rows]


def seal_at(connection: Connection, number: int) -> Seal | None:
    """Return the checkpoint with this number, or None."""
    found = seals_after(connection, number - 1, 1)
    return found[0] if found and found[0].number == number else None


def handovers_before(connection: Connection, number: int) -> list[Seal]:
    """Return the checkpoints before this number with which keys hand over to others, oldest first.

    Those are left out that came before a sealer began anew: nobody handed over to that one.
    """
    query = select(_checkpoint.number, _checkpoint.n, _checkpoint.note).where(
        _checkpoint.number < number,
        or_(_checkpoint.note.contains("\nsuccessor "), _checkpoint.note.contains("\nanew ")),
    )
    found: list[Seal] = []
    for row in connection.execute(query.order_by(_checkpoint.number)):
        if "\nanew " in row.note:
            found.clear()
        else:
            found.append(Seal(number=row.number, size=row.n, note=row.note))
    return found


def seal_covering(connection: Connection, seq: int) -> Seal | None:
    """Return the first checkpoint that covers record `seq`, or None."""
    query = select(_checkpoint.number, _checkpoint.n, _checkpoint.note).where(_checkpoint.n > seq)
    row = connection.execute(query.order_by(_checkpoint.number).limit(1)).first()
    return None if row is None else Seal(number=row.number, size=row.n, note=row.note)


def keep(transaction: Transaction, seal: Seal) -> None:
    """Keep a checkpoint."""
    row = {"number": seal.number, "n": seal.size, "note": seal.note}
    transaction.tables.execute(insert(schema.checkpoint), [row])


def grown(
    connection: Connection, start: Frontier, roots: Mapping[int, bytes], *, until: int | None = None
) -> Frontier:
    """Return the tree of today, grown from `start` by the records that came since.

    Args:
        roots: what the root must have been, by number of records.
        until: stop at so many records.

    Raises:
        HistoryError: a record is missing or does not have its hash, the tree was another one at one
            of `roots`, or the ledger's head knows of another tree.

    Records that were sealed before may have been pruned: then their hashes are what is left of them.
    """
    sealed = max(roots, default=start.size)
    tree = Frontier.parse(start.size, start.encode())
    _compare(tree, roots)
    query = select(_record.seq, _record.body, _record.leaf).where(_record.seq >= start.size)
    if until is not None:
        query = query.where(_record.seq < until)
    for row in connection.execute(query.order_by(_record.seq).execution_options(yield_per=ROWS_AT_A_TIME)):
        _grow(tree, row, sealed)
        _compare(tree, roots)
    if roots and max(roots) > tree.size:
        raise HistoryError(f"the ledger had {max(roots)} records before and has {tree.size} now")
    if until is not None:
        return tree
    head = connection.execute(select(schema.head.c.n, schema.head.c.frontier)).one_or_none()
    if head is None or (head.n, bytes(head.frontier)) != (tree.size, tree.encode()):
        raise HistoryError("the ledger's head belongs to another tree than its records")
    return tree


def _grow(tree: Frontier, row: Any, sealed: int) -> None:
    if row.seq != tree.size:
        raise HistoryError(f"record {tree.size} is missing, the next one is {row.seq}")
    is_pruned = bytes(row.body) == PRUNED and row.seq < sealed
    leaf = bytes(row.leaf) if is_pruned else leaf_hash(bytes(row.body))
    if leaf != bytes(row.leaf):
        raise HistoryError(f"the body of record {row.seq} does not have the hash that is kept beside it")
    tree.append(leaf)


def _compare(tree: Frontier, roots: Mapping[int, bytes]) -> None:
    if tree.size in roots and roots[tree.size] != tree.root():
        raise HistoryError(f"the first {tree.size} records are not those that were sealed")
