"""The ledger as a file that is verified without the database: lines of JSON, in the order of the ledger.

    {"format":"paramedic-export-1","origin":"paramedic/4f1c..."}
    {"record":"<a body, as text>"}            each record, from the first on
    {"opening":{"salt":"<hex>","value":"<RFC 8785, as text>"}}   with values: after the record that commits to it
    {"raw":"<base64>"}                        with values: the message that the record before it names by its hash
    {"pruned":{"leaf":"<hex>","stream":"R-7F3K2Q"}}    in the place of a record that stands in an earlier export only
    {"checkpoint":"<a note>"}                 right after the records that it covers
    {"end":{"last_checkpoint":"9d03...","records":29,"root":"4b1e..."}}

Each line is written in the one way of RFC 8785, so no bit of the file can change without a line or
a hash being another.  The last line makes a file that was cut by accident known as such; who cuts it
on purpose can rewrite it, and that is found by the checkpoints, those in the file or from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from activities.ledger import blobs, schema
from activities.ledger.bodies import PRUNED
from activities.ledger.checkpoints import seals_after
from activities.ledger.findings import CannotTellError, TamperedError, Verification, VerifiedState
from activities.ledger.installation import installation_id
from activities.ledger.merkle import Frontier, leaf_hash
from activities.ledger.notes import FIRST, PublicKey, hash_of
from activities.ledger.showing import commitments, hash_in, opened, openings_of, raw_of
from activities.ledger.streams import parse_body
from activities.ledger.walking import Anchor, Walk
from runbooks.errors import LedgerError
from runbooks.model.base import canonical

FORMAT = "paramedic-export-1"
ROWS_AT_A_TIME = 1000

_record = schema.record.c


def export(connection: Connection, *, with_values: bool = False) -> Iterator[bytes]:
    """Yield the lines of an export of the whole ledger.

    Args:
        with_values: also what stands behind the commitments and was not redacted, and bodies as they came in.

    Raises:
        LedgerError: a body is no text: somebody has changed it.
    """
    tree, last = Frontier(), FIRST
    yield _line({"format": FORMAT, "origin": f"paramedic/{installation_id(connection)}"})
    seals, values = deque(seals_after(connection, -1)), _Values(connection) if with_values else None
    for row in _rows(connection):
        while seals and seals[0].size <= tree.size:
            last = hash_of(seals[0].note)
            yield _line({"checkpoint": seals.popleft().note})
        if row is None:
            break
        body, leaf = bytes(row.body), bytes(row.leaf)
        if body == PRUNED:
            tree.append(leaf)
            yield _line({"pruned": {"leaf": leaf.hex(), "stream": row.stream}})
            continue
        tree.append(leaf_hash(body))
        yield _line({"record": _text_of(body, tree.size - 1)})
        if values is not None:
            yield from map(_line, values.of(body))
    yield _line({"end": {"last_checkpoint": last, "records": tree.size, "root": tree.root().hex()}})


def _rows(connection: Connection) -> Iterator[Any]:
    """Yield each record's row, and None after the last."""
    query = select(_record.body, _record.leaf, _record.stream).order_by(_record.seq)
    yield from connection.execute(query.execution_options(yield_per=ROWS_AT_A_TIME))
    yield None


class _Values:
    """What stands beside the records: each value once, after the first record that names it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shown: set[str] = set()

    def of(self, body: bytes) -> Iterator[dict[str, Any]]:
        """Yield what lines say of what this body names."""
        content = json.loads(body)
        for opening in openings_of(self._connection, content):
            yield {"opening": opening}
        raw = raw_of(content)
        if raw and raw not in self._shown:
            self._shown.add(raw)
            blob = blobs.find(self._connection, raw)
            if blob is not None:
                yield {"raw": base64.b64encode(blob.value).decode()}


def _text_of(body: bytes, seq: int) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise LedgerError(f"record {seq} is no text: somebody has changed it; verify the ledger") from error


def _line(content: dict[str, Any]) -> bytes:
    return canonical(content) + b"\n"


def _decoded(text: str) -> bytes | None:
    """Return what base64 holds; None where it is none, or not as it is written."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return content if base64.b64encode(content).decode() == text else None


def verify_export(
    lines: Iterable[bytes],
    keys: Sequence[PublicKey] = (),
    anchors: Iterable[Anchor] = (),
    listeners: Iterable[bytes] = (),
) -> Verification:
    """Verify an export, line by line.  Never raises for what it finds there.

    Args:
        lines: of the file, each with its line feed.
        keys: the sealers' keys that are believed.  Without any, nothing says who made the file.
        anchors: checkpoints from outside, their signatures verified already.
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """
    walk = Walk(keys, anchors, listeners)
    try:
        _Reading(walk).go(iter(lines))
    except TamperedError as found:
        return walk.report(VerifiedState.TAMPERED, str(found), found.seq)
    except CannotTellError as doubt:
        return walk.report(VerifiedState.CANNOT_TELL, str(doubt))
    return walk.report(VerifiedState.OK)


class _Reading:
    """The lines of one export, on their way through a walk."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._number = 0
        self._named: set[str] = set()  # what the last record names by its hash

    def go(self, lines: Iterator[bytes]) -> None:
        origin = self._origin(next(lines, b""))
        self._walk.begin()
        for line in lines:
            match self._parse(line):
                case {"record": str(text), **rest} if not rest:
                    self._take_record(text)
                case {"checkpoint": str(text), **rest} if not rest:
                    if self._walk.checkpoint(text).checkpoint.origin != origin:
                        raise TamperedError(f"line {self._number} is a checkpoint of another ledger")
                case {"pruned": {"leaf": str(leaf), "stream": str(stream), **more}, **rest} if (
                    not rest | more
                ):
                    self._take_pruned(stream, leaf)
                case {"opening": {"salt": str(salt), "value": str(value), **more}, **rest} if not rest | more:
                    self._take_value(opened(salt, value))
                case {"raw": str(value), **rest} if not rest:
                    self._take_value(_decoded(value))
                case {"end": end, **rest} if not rest:
                    self._end(end, lines)
                    return
                case _:
                    raise TamperedError(f"line {self._number} is none that an export has")
        raise TamperedError("the last line is missing: the file was cut")

    def _origin(self, line: bytes) -> str:
        try:
            head = self._parse(line)
        except TamperedError:
            head = {}
        match head:
            case {"format": "paramedic-export-1", "origin": str(origin), **rest} if not rest:
                return origin
        raise CannotTellError("this is no export of a ledger")

    def _parse(self, line: bytes) -> dict[str, Any]:
        """Return what a line says; only the one way to write it is understood."""
        self._number += 1
        with suppress(ValueError, RecursionError):  # no JSON, no text, or no text that has this form
            content = json.loads(line)
            if isinstance(content, dict) and _line(content) == line:
                return content
        raise TamperedError(f"line {self._number} is not as an export writes it", self._walk.tree.size)

    def _take_record(self, text: str) -> None:
        body = text.encode()
        content = parse_body(body, self._walk.tree.size)
        self._walk.record(content, leaf_hash(body))
        self._named = {*commitments(content), raw_of(content)}

    def _take_pruned(self, stream: str, leaf: str) -> None:
        self._walk.pruned(stream, hash_in(leaf))
        self._named = set()

    def _take_value(self, content: bytes | None) -> None:
        """Compare a value with the hashes that the record before it names."""
        if content is None or hashlib.sha256(content).hexdigest() not in self._named:
            raise TamperedError(f"line {self._number} shows what the record before it does not name")

    def _end(self, end: Any, lines: Iterator[bytes]) -> None:
        tree = self._walk.tree
        said = {"last_checkpoint": self._walk.previous, "records": tree.size, "root": tree.root().hex()}
        if end != said:
            raise TamperedError("the last line says that there were other records", tree.size)
        if next(lines, None) is not None:
            raise TamperedError("something follows the last line")
        self._walk.finish()
        if not self._walk.sealed:
            raise CannotTellError("no checkpoint in it is signed by a key that was given")
