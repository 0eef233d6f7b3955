"""Verifying the ledger in its database: was anything changed, lost or put in another order?

Three levels are checked in one pass over one snapshot:

- *bytes*: each body has the hash that is kept beside it and says what the columns say; the tree
  over all hashes is the one that the head, the checkpoints and the anchors know.
- *completeness*: no gap in the sequence, none in a stream; each record names the one before it in
  its stream; a stream has at most one ending, that counted what came before it, and nothing follows.
- *meaning*: what is on record could have happened by the rules of the house (`meaning`).

A body is hashed before it is parsed, for whoever changed it may have left anything there, and
nothing that stands there makes the verifier fail.

What this cannot find by itself: somebody who owns the database may cut the end off, or change a
record and recompute everything after it, the checkpoints taken away.  That is what anchors are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from activities.ledger import schema
from activities.ledger.bodies import COLUMNS, PRUNED
from activities.ledger.findings import CannotTellError, TamperedError, Verification, VerifiedState
from activities.ledger.merkle import HASH_BYTES, leaf_hash
from activities.ledger.notes import PublicKey
from activities.ledger.streams import parse_body
from activities.ledger.walking import Anchor, Walk

__all__ = ["Verification", "VerifiedState", "verify"]

ROWS_AT_A_TIME = 1000

_Row = Row[*tuple[Any, ...]]

_record = schema.record.c
_RECORDS = (
    select(*(_record[name] for name in (*COLUMNS, "body", "leaf")))
    .order_by(_record.seq)
    .execution_options(yield_per=ROWS_AT_A_TIME)
)
_CHECKPOINTS = (
    select(schema.checkpoint.c.number, schema.checkpoint.c.n, schema.checkpoint.c.note)
    .order_by(schema.checkpoint.c.number)
    .execution_options(yield_per=ROWS_AT_A_TIME)
)
_HEAD = select(schema.head.c.n, schema.head.c.frontier)


def verify(
    connection: Connection,
    keys: Sequence[PublicKey] = (),
    anchors: Iterable[Anchor] = (),
    listeners: Iterable[bytes] = (),
) -> Verification:
    """Verify the whole ledger as this connection sees it.  Never raises for what it finds there.

    Args:
        keys: the sealers' keys that are believed.  Without any, no signature is looked at.
        anchors: checkpoints from outside, their signatures verified already.
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """
    walk = Walk(keys, anchors, listeners)
    try:
        _go(connection, walk)
    except TamperedError as found:
        return walk.report(VerifiedState.TAMPERED, str(found), found.seq)
    except CannotTellError as doubt:
        return walk.report(VerifiedState.CANNOT_TELL, str(doubt))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        return walk.report(VerifiedState.CANNOT_TELL, f"the database cannot be read: {cause}")
    return walk.report(VerifiedState.OK)


def _go(connection: Connection, walk: Walk) -> None:
    execute = connection.execute
    with execute(_CHECKPOINTS) as checkpoints, execute(_RECORDS) as rows:  # PostgreSQL keeps what stays open
        _go_through(walk, rows, iter(checkpoints))
    walk.miss_nothing()
    _check_head(connection, walk)
    walk.judge_last()


def _go_through(walk: Walk, rows: Iterable[_Row], checkpoints: Iterator[_Row]) -> None:
    walk.begin()
    due = _compare(walk, next(checkpoints, None), checkpoints)
    for row in rows:
        _check(walk, row)
        due = _compare(walk, due, checkpoints)
    if due is not None:
        size = walk.tree.size
        raise TamperedError(f"a checkpoint was made at {due.n} records, there are only {size}", size)


def _check(walk: Walk, row: _Row) -> None:
    """Raise where this record is not as it should be."""
    seq = walk.tree.size
    if row.seq != seq:
        raise TamperedError(f"record {seq} is missing, the next one is {row.seq}", seq)
    if row.body == PRUNED:
        if len(row.leaf) != HASH_BYTES:
            raise TamperedError("a hash is none", seq)
        walk.pruned(row.stream, row.leaf)
        return
    leaf = leaf_hash(row.body)
    if leaf != row.leaf:
        raise TamperedError(f"the body of record {seq} does not have the hash that is kept beside it", seq)
    content = parse_body(row.body, seq)
    for name in COLUMNS:
        if content.get(name) != getattr(row, name):
            raise TamperedError(f"the column {name} of record {seq} does not say what its body says", seq)
    walk.record(content, leaf)


def _compare(walk: Walk, due: _Row | None, checkpoints: Iterator[_Row]) -> _Row | None:
    """Compare the tree with the checkpoints made at its size; return the next one that is due later."""
    while due is not None and due.n <= walk.tree.size:
        note = walk.checkpoint(due.note)
        if (due.number, due.n) != (walk.checkpoints - 1, note.checkpoint.size):
            raise TamperedError(f"checkpoint {walk.checkpoints - 1} is missing, or stands in another place")
        due = next(checkpoints, None)
    return due


def _check_head(connection: Connection, walk: Walk) -> None:
    head, tree = connection.execute(_HEAD).one_or_none(), walk.tree
    if head is None:
        raise TamperedError("the head of the ledger is missing")
    if head.n != tree.size:
        raise TamperedError(f"the head knows of {head.n} records, there are {tree.size}", tree.size)
    if head.frontier != tree.encode():
        raise TamperedError("the tree over the records is not the one that the head knows")
