"""Verifying the ledger: was anything changed, lost or put in another order?

Two levels are checked here, in one pass over one snapshot, with memory that does not grow:

- *bytes*: each body has the hash that is kept beside it and says what the columns say; the tree
  over all hashes is the one that the head and the checkpoints know.
- *completeness*: no gap in the sequence, none in a stream; each record names the one before it in
  its stream; a stream has at most one ending, and that counted what came before it.

A body is hashed before it is parsed, for whoever changed it may have left anything there, and
nothing that stands there makes the verifier fail.

What this cannot find by itself: somebody who owns the database may cut the end off, or change a
record and recompute everything after it.  That is what checkpoints outside the database are for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

from activities.ledger import schema
from activities.ledger.bodies import COLUMNS
from activities.ledger.merkle import Frontier, leaf_hash
from runbooks.model.base import Value
from runbooks.model.record import RecordKind

ROWS_AT_A_TIME = 1000


class VerifiedState(StrEnum):
    """What verification concluded."""

    OK = "ok"
    TAMPERED = "tampered"  # certainly changed
    CANNOT_TELL = "cannot_tell"  # the database could not be read


class Verification(Value):
    """The report.

    Attributes:
        size: how many records were found good, from the first on.
        root: the tree's root over them, hex.
        seq: the first record that is not as it should be; None where it is none in particular.
        problem: what is wrong, one sentence; empty where nothing is.
        checkpoints: how many checkpoints of the database were compared.
    """

    state: VerifiedState
    size: int
    root: str
    seq: int | None = None
    problem: str = ""
    checkpoints: int = 0

    @property
    def exit_code(self) -> int:
        """0 good, 1 tampered, 2 cannot tell."""
        return tuple(VerifiedState).index(self.state)


_Row = Row[*tuple[Any, ...]]


class _TamperedError(Exception):
    def __init__(self, problem: str, seq: int | None = None) -> None:
        super().__init__(problem)
        self.seq = seq


_record = schema.record
_before = schema.record.alias("before")
_RECORDS = (
    select(
        *(_record.c[name] for name in (*COLUMNS, "body", "leaf")),
        _before.c.leaf.label("leaf_before"),
        _before.c.seq.label("seq_before"),
    )
    .outerjoin(
        _before, (_before.c.stream == _record.c.stream) & (_before.c.stream_seq == _record.c.stream_seq - 1)
    )
    .order_by(_record.c.seq)
    .execution_options(yield_per=ROWS_AT_A_TIME)
)
_CHECKPOINTS = (
    select(schema.checkpoint.c.n, schema.checkpoint.c.note)
    .order_by(schema.checkpoint.c.n)
    .execution_options(yield_per=ROWS_AT_A_TIME)
)
_OTHER_ENDINGS = select(func.count()).where(
    _record.c.stream == bindparam("stream"),
    _record.c.kind == RecordKind.ENDING.value,
    _record.c.seq < bindparam("seq"),
)
_HEAD = select(schema.head.c.n, schema.head.c.frontier)


def verify(connection: Connection) -> Verification:
    """Verify the whole ledger as this connection sees it.  Never raises for what it finds there."""
    walk = _Walk(connection)
    try:
        walk.go()
    except _TamperedError as found:
        return walk.report(VerifiedState.TAMPERED, str(found), found.seq)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        return walk.report(VerifiedState.CANNOT_TELL, f"the database cannot be read: {cause}")
    return walk.report(VerifiedState.OK)


class _Walk:
    """One pass over the ledger, and how far it came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tree = Frontier()
        self._checkpoints = 0

    def report(self, state: VerifiedState, problem: str = "", seq: int | None = None) -> Verification:
        return Verification(
            state=state,
            size=self._tree.size,
            root=self._tree.root().hex(),
            seq=seq,
            problem=problem,
            checkpoints=self._checkpoints,
        )

    def go(self) -> None:
        checkpoints = iter(self._connection.execute(_CHECKPOINTS))
        due = self._compare(next(checkpoints, None), checkpoints)
        for row in self._connection.execute(_RECORDS):
            self._check(row)
            self._tree.append(row.leaf)
            due = self._compare(due, checkpoints)
        if due is not None:
            raise _TamperedError(
                f"a checkpoint was made at {due.n} records, there are only {self._tree.size}", self._tree.size
            )
        self._check_head()

    def _check(self, row: _Row) -> None:
        """Raise where this record is not as it should be."""
        seq = self._tree.size
        if row.seq != seq:
            raise _TamperedError(f"record {seq} is missing, the next one is {row.seq}", seq)
        if leaf_hash(row.body) != row.leaf:
            raise _TamperedError(
                f"the body of record {seq} does not have the hash that is kept beside it", seq
            )
        content = _parse(row.body, seq)
        for name in COLUMNS:
            if content.get(name) != getattr(row, name):
                raise _TamperedError(
                    f"the column {name} of record {seq} does not say what its body says", seq
                )
        self._check_place_in_stream(row, content)
        if row.kind == RecordKind.ENDING.value:
            self._check_ending(row, content)

    def _check_place_in_stream(self, row: _Row, content: dict[str, Any]) -> None:
        first = row.stream_seq == 0
        if not first and (row.seq_before is None or row.seq_before >= row.seq):
            raise _TamperedError(
                f"record {row.stream_seq - 1} of {row.stream}, before record {row.seq}, is missing", row.seq
            )
        if content.get("stream_prev") != ("" if first else row.leaf_before.hex()):
            raise _TamperedError(
                f"record {row.seq} names another record before it in {row.stream} than there is", row.seq
            )

    def _check_ending(self, row: _Row, content: dict[str, Any]) -> None:
        data = content.get("data")
        if not isinstance(data, dict) or data.get("count") != row.stream_seq + 1:
            raise _TamperedError(f"the ending of {row.stream} counted other records than there are", row.seq)
        if self._connection.execute(_OTHER_ENDINGS, {"stream": row.stream, "seq": row.seq}).scalar_one():
            raise _TamperedError(f"{row.stream} has a second ending", row.seq)

    def _compare(self, due: _Row | None, checkpoints: Iterator[_Row]) -> _Row | None:
        """Compare the tree with the checkpoints made at its size; return the next one that is due later."""
        while due is not None and due.n <= self._tree.size:
            if _size_and_root(due.note) != (due.n, self._tree.root()) or due.n != self._tree.size:
                raise _TamperedError(
                    f"the first {due.n} records are not those of the checkpoint made then", None
                )
            self._checkpoints += 1
            due = next(checkpoints, None)
        return due

    def _check_head(self) -> None:
        head = self._connection.execute(_HEAD).one_or_none()
        if head is None:
            raise _TamperedError("the head of the ledger is missing")
        if head.n != self._tree.size:
            raise _TamperedError(
                f"the head knows of {head.n} records, there are {self._tree.size}", self._tree.size
            )
        if head.frontier != self._tree.encode():
            raise _TamperedError("the tree over the records is not the one that the head knows")


def _parse(body: bytes, seq: int) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _TamperedError(f"the body of record {seq} is no record", seq)
    return content


def _size_and_root(note: str) -> tuple[int, bytes] | None:
    """Return what a checkpoint says (origin, size, root in base64, a line each), or None."""
    with suppress(ValueError, IndexError):
        lines = note.split("\n")
        return int(lines[1]), base64.b64decode(lines[2], validate=True)
    return None
