"""The ledger as a file that is verified without the database: lines of JSON, in the order of the ledger.

    {"format":"paramedic-export-1","origin":"paramedic/4f1c..."}
    {"record":"<a body, as text>"}            each record, from the first on
    {"checkpoint":"<a note>"}                 right after the records that it covers
    {"end":{"last_checkpoint":"9d03...","records":29,"root":"4b1e..."}}

Each line is written in the one way of RFC 8785, so no bit of the file can change without a line or
a hash being another.  The last line makes a file that was cut by accident known as such; who cuts it
on purpose can rewrite it, and that is found by the checkpoints, those in the file or from elsewhere.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from activities.ledger import schema
from activities.ledger.checkpoints import seals_after
from activities.ledger.findings import CannotTellError, TamperedError, Verification, VerifiedState
from activities.ledger.installation import installation_id
from activities.ledger.merkle import Frontier, leaf_hash
from activities.ledger.notes import FIRST, PublicKey, hash_of
from activities.ledger.streams import parse_body
from activities.ledger.walking import Anchor, Walk
from runbooks.errors import LedgerError
from runbooks.model.base import canonical

FORMAT = "paramedic-export-1"
ROWS_AT_A_TIME = 1000

_record = schema.record.c


def export(connection: Connection) -> Iterator[bytes]:
    """Yield the lines of an export of the whole ledger.

    Raises:
        LedgerError: a body is no text: somebody has changed it.
    """
    tree, last = Frontier(), FIRST
    yield _line({"format": FORMAT, "origin": f"paramedic/{installation_id(connection)}"})
    seals = deque(seals_after(connection, -1))
    for body in _bodies(connection):
        while seals and seals[0].size <= tree.size:
            last = hash_of(seals[0].note)
            yield _line({"checkpoint": seals.popleft().note})
        if body is not None:
            tree.append(leaf_hash(body))
            yield _line({"record": _text_of(body, tree.size - 1)})
    yield _line({"end": {"last_checkpoint": last, "records": tree.size, "root": tree.root().hex()}})


def _bodies(connection: Connection) -> Iterator[bytes | None]:
    """Yield each body, and None after the last."""
    query = select(_record.body).order_by(_record.seq).execution_options(yield_per=ROWS_AT_A_TIME)
    yield from map(bytes, connection.execute(query).scalars())
    yield None


def _text_of(body: bytes, seq: int) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise LedgerError(f"record {seq} is no text: somebody has changed it; verify the ledger") from error


def _line(content: dict[str, Any]) -> bytes:
    return canonical(content) + b"\n"


def verify_export(
    lines: Iterable[bytes], keys: Sequence[PublicKey] = (), anchors: Iterable[Anchor] = ()
) -> Verification:
    """Verify an export, line by line.  Never raises for what it finds there.

    Args:
        lines: of the file, each with its line feed.
        keys: the sealers' keys that are believed.  Without any, nothing says who made the file.
        anchors: checkpoints from outside, their signatures verified already.
    """
    walk = Walk(keys, anchors)
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
        self._walk.record(parse_body(body, self._walk.tree.size), leaf_hash(body))

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
