"""One transaction of the ledger: what a piece of work may do, all of it or nothing.

Records are staged: they get their place and their hash at once and are inserted together, before
anybody looks (`connection`) and before the commit, with the openings of what they commit to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from activities.ledger import openings, schema
from activities.ledger.bodies import COLUMNS, PRUNED, recordable, recordable_text, write_body
from activities.ledger.merkle import Frontier, leaf_hash
from activities.ledger.prepared import Prepared, PreparedForEach, PreparedInsert
from runbooks.errors import RefusedError
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind

Clock = Callable[[], datetime]

_record = schema.record.c
_READ_HEAD = Prepared(
    select(schema.head.c.n, schema.head.c.frontier).with_for_update()  # PostgreSQL's lock of those who write
)
_MOVE_HEAD = Prepared(update(schema.head).values(n=bindparam("size"), frontier=bindparam("roots")))
_COUNT_BARRIER = Prepared(update(schema.head).values(barriers=schema.head.c.barriers + 1))
_INSERT = PreparedInsert(schema.record)
_FIND = PreparedForEach(_record.event_id, lambda is_asked: select(_record.body).where(is_asked))
_FIND_PRUNED = PreparedForEach(
    _record.event_id,
    lambda is_asked: select(*(_record[name] for name in COLUMNS)).where(is_asked, _record.body == PRUNED),
)
_LAST_OF_STREAM = Prepared(
    select(_record.stream_seq, _record.leaf, _record.kind)
    .where(_record.stream == bindparam("stream"))
    .order_by(_record.stream_seq.desc())
    .limit(1)
)

STREAMS_REMEMBERED = 4096

_REPORTS = frozenset({RecordKind.ACTION_RECEIPT, RecordKind.ACTION_UNKNOWN, RecordKind.ACTION_REFUSED})
"""What became of an action: it allows nothing, so it may come again after its remediation was pruned."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Tail(NamedTuple):
    """Where a stream ends: how many records it has, the last one's leaf hash in hex, and whether that is an ending."""

    length: int
    leaf: str
    ended: bool


class Tails:
    """Where the streams end, remembered between the transactions of one writer.

    It is right for one content of the ledger only, which the tree's frontier stands for: another process
    may have written in between, and a crash of the server may have taken back what did not wait for the disk.
    """

    def __init__(self) -> None:
        self._frontier: bytes | None = None
        self._known: dict[str, Tail] = {}

    def at(self, frontier: bytes) -> dict[str, Tail]:
        """Return what is known of the ledger with this frontier.  Not to be changed."""
        if frontier != self._frontier or len(self._known) > STREAMS_REMEMBERED:
            self._known = {}
            self._frontier = frontier
        return self._known

    def move(self, frontier: bytes, moved: dict[str, Tail]) -> None:
        """Remember what a transaction, now committed, has appended, and the frontier that it led to."""
        self._known.update(moved)
        self._frontier = frontier


class Transaction:
    """What a piece of work that was handed to `Ledger.write` may do.

    The work may be carried out twice, with the first time rolled back, so it has no effect but
    on the transaction.
    """

    def __init__(self, connection: Connection, tails: Tails, clock: Clock = _utc_now) -> None:
        self._connection = connection
        self._clock = clock
        [(size, roots)] = _READ_HEAD.rows(connection)
        self._frontier = Frontier.parse(size, roots)
        self._tails = tails
        self._known_tails = tails.at(roots)
        self._moved_tails: dict[str, Tail] = {}
        self._seen: dict[str, Record | None] = {}
        self._pruned: dict[str, Record] = {}
        self._staged: list[dict[str, Any]] = []
        self._openings: list[openings.Row] = []
        self._afterwards: list[Callable[[], None]] = []

    @property
    def connection(self) -> Connection:
        """The database, in which all that was appended so far can be seen.

        Ask for it anew after appending: a connection that was kept does not see the newest records.
        """
        self.flush()
        return self._connection

    @property
    def tables(self) -> Connection:
        """The database, for the tables beside the ledger: the newest records are not to be seen in it."""
        return self._connection

    @property
    def now(self) -> datetime:
        """The time by the ledger's clock, UTC."""
        return self._clock()

    @property
    def size(self) -> int:
        """The number of records in the ledger, those of this transaction included."""
        return self._frontier.size

    def length(self, stream: str) -> int:
        """Return the number of records in `stream`, those of this transaction included."""
        return self._tail(stream).length

    def find(self, event_id: str) -> Record | None:
        """Return the record of this event, or None; what was pruned cannot be read here any more."""
        if event_id not in self._seen:
            self.look_up((event_id,))
        return self._seen[event_id]

    def look_up(self, event_ids: Iterable[str]) -> None:
        """Learn in one query which of these events are recorded already, for `find` and `append`."""
        unknown = [each for each in map(recordable_text, event_ids) if each not in self._seen]
        if not unknown:
            return
        self._seen.update(dict.fromkeys(unknown))
        bodies = [body for (body,) in _FIND.rows(self._connection, unknown)]
        if PRUNED in bodies:
            self._look_up_pruned(unknown)
        for record in openings.read_records(self._connection, bodies):
            self._seen[record.event_id] = record

    def _look_up_pruned(self, event_ids: Iterable[str]) -> None:
        """Learn what still stands beside the bodies of those that were pruned."""
        for row in _FIND_PRUNED.rows(self._connection, event_ids):
            left = Record(**dict(zip(COLUMNS, row, strict=True)), data={})
            self._pruned[left.event_id] = left

    def append(self, entry: Entry, *, new: bool = False) -> Record:
        """Stage one record and return it with its place.

        An event that is recorded already is not recorded again: what stands there is returned.  An
        ending has counted the records before it and stays the last of its stream: what comes later,
        the receipt of an attempt that was given up for instance, stands in the system's.

        Where it was recorded and pruned, what became of an action is not recorded again either: what is
        left of the record is returned, without `data`.

        Args:
            new: this event cannot have been recorded, so it is not looked for.  If it was, the database
                refuses the transaction.

        Raises:
            RefusedError: it was pruned, and is more than a report of what became of an action.
            ValueError: `at` has no time zone, or `data` holds what JSON cannot.
        """
        event_id = recordable_text(entry.event_id)
        known = None if new else self.find(event_id)
        if known is not None:
            return known
        if event_id in self._pruned:
            return self._append_again(entry, self._pruned[event_id])
        stream = recordable_text(entry.stream)
        tail = self._tail(stream)
        if tail.ended and stream != SYSTEM:
            stream, tail = SYSTEM, self._tail(SYSTEM)
        columns = {
            "seq": self._frontier.size,
            "event_id": event_id,
            "stream": stream,
            "stream_seq": tail.length,
            "kind": entry.kind.value,
            "actor": recordable_text(entry.actor),
            "source": recordable_text(entry.source),
            "object": recordable_text(entry.object),
            "outcome": recordable_text(entry.outcome),
            "at": schema.instant_text(entry.at or self.now),
        }
        return self._stage(columns, recordable(entry.data), tail)

    def _append_again(self, entry: Entry, left: Record) -> Record:
        """Return what is left of this event's record, which was pruned; one with another outcome is kept beside it.

        Raises:
            RefusedError: something would be done because of it.
        """
        if entry.kind not in _REPORTS:
            raise RefusedError(
                "pruned",
                f"{left.event_id} was recorded and pruned: it stands in the export that was made of it. "
                "What is needed again needs a remediation of its own: send the alert anew",
            )
        if left.outcome == recordable_text(entry.outcome):
            return left
        return self.append(entry.model_copy(update={"event_id": f"{entry.event_id}/late"}))

    def _stage(self, columns: dict[str, Any], data: dict[str, Any], tail: Tail) -> Record:
        staged = Record(**columns, data=data)
        sealed, opened = openings.seal(staged.kind, data)
        body = write_body(columns, sealed, tail.leaf)
        leaf = leaf_hash(body)
        self._frontier.append(leaf)
        ends = staged.kind is RecordKind.ENDING
        self._moved_tails[staged.stream] = Tail(tail.length + 1, leaf.hex(), ends)
        self._staged.append({**columns, "body": body, "leaf": leaf})
        self._openings += opened
        self._seen[staged.event_id] = staged
        return staged

    def _tail(self, stream: str) -> Tail:
        tail = self._moved_tails.get(stream) or self._known_tails.get(stream)
        if tail is None:
            row = _LAST_OF_STREAM.first(self._connection, stream=stream)
            ended = row is not None and row[2] == RecordKind.ENDING.value
            tail = Tail(0, "", ended) if row is None else Tail(row[0] + 1, row[1].hex(), ended)
            self._known_tails[stream] = tail
        return tail

    def flush(self) -> None:
        """Write what was staged, and the tree that it led to."""
        if not self._staged:
            return
        staged, self._staged = self._staged, []
        opened, self._openings = self._openings, []
        _INSERT.run(self._connection, staged)
        openings.keep(self._connection, opened)
        _MOVE_HEAD.run(self._connection, size=self._frontier.size, roots=self._frontier.encode())

    def touch(self) -> None:
        """Write something that means nothing: a commit without a change need not reach the disk."""
        _COUNT_BARRIER.run(self.tables)

    def when_committed(self, call: Callable[[], None]) -> None:
        """Let `call` be made right after the commit, in the writer's thread, in the order of the commits.

        It is for what is remembered of the database.  It must be quick, and must not raise.
        """
        self._afterwards.append(call)

    def committed(self) -> bool:
        """Take note that the commit has succeeded.  Return whether there are new records."""
        self._tails.move(self._frontier.encode(), self._moved_tails)
        for call in self._afterwards:
            call()
        return bool(self._moved_tails)
