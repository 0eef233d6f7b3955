"""Commitments: values that can be taken back, in a ledger that cannot be changed.

What may turn out to be nobody's business (the output of a command, what a query returned, a
person's own words) does not stand in a record's body.  There stands a commitment to it,

    {"$c": hex of SHA-256(salt, 32 random bytes, followed by the RFC 8785 form of the value)}

and salt and value stand in the table `opening`.  To redact is to delete that row: the hashes, the
tree and every proof stay as they are, and without the salt nobody can find the value by guessing.
Whoever reads records gets the values in their places, or is told that they are redacted.

What is committed to is declared in `COMMITTED` and nowhere else.  Only these places are opened:
an object that looks like a commitment and came from outside stands somewhere else, or is itself
committed to.  The plan is not among them, for what people approved must stay provable.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from activities.ledger.bodies import PRUNED, parse_body, record_of
from activities.ledger.prepared import PreparedForEach, PreparedInsert
from activities.ledger.schema import opening
from runbooks.model.base import canonical
from runbooks.model.record import Record, RecordKind

COMMITMENT = "$c"
SALT_BYTES = 32
REDACTED = "redacted"
"""What a reader finds in the place of a text that was redacted; of an object, as its only name."""

MEASURED_LIMIT = 256  # bytes; what holds more is not taken for a mere measurement
NUMBER_LIMIT = 32  # characters of a decimal, which bodies hold as text

Row = Mapping[str, bytes]


@dataclass(frozen=True)
class Field:
    """One place in a record's data.

    Attributes:
        path: the names that lead there.
        instead: what stands there for readers once it is redacted, of the type that they expect.
        numbers_stay: numbers alone are no secret, and stay in the body.
    """

    path: tuple[str, ...]
    instead: Any
    numbers_stay: bool = False

    def value_in(self, data: Any) -> Any:
        """Return what stands there; None where nothing does."""
        for name in self.path:
            data = data.get(name) if isinstance(data, dict) else None
        return data

    def hides(self, value: Any) -> bool:
        """Return whether `value`, as a body would hold it, is committed to.  What is empty never is."""
        return bool(value) and not (self.numbers_stay and _is_measurement(value))

    def put(self, data: dict[str, Any], value: Any) -> dict[str, Any]:
        """Return `data` with `value` in this place."""
        return _put(data, self.path, value)


_A_TEXT = REDACTED
_AN_OBJECT = {REDACTED: True}

COMMITTED: Mapping[RecordKind, Sequence[Field]] = {
    RecordKind.CHECK: (Field(("result",), _AN_OBJECT, numbers_stay=True),),
    RecordKind.ACTION_RECEIPT: (Field(("output",), _AN_OBJECT),),
    RecordKind.ACTION_UNKNOWN: (Field(("output",), _AN_OBJECT),),
    RecordKind.DECISION: (
        Field(("decision", "reason"), _A_TEXT),
        # With it, short words could be guessed from their digest.
        Field(("decision", "reason_salt"), _A_TEXT),
    ),
    RecordKind.FREEZE: (Field(("reason",), _A_TEXT),),
    RecordKind.THAW: (Field(("reason",), _A_TEXT),),
    RecordKind.LEASE_RELEASED: (Field(("reason",), _A_TEXT),),
    RecordKind.STOP_ASKED: (Field(("reason",), _A_TEXT),),
}

_FIELDS: Mapping[Any, Sequence[Field]] = COMMITTED  # asked with whatever a body says
_INSERT = PreparedInsert(opening)
_FIND = PreparedForEach(
    opening.c.digest, lambda is_asked: select(opening.c.digest, opening.c.value).where(is_asked)
)
_DELETE = PreparedForEach(opening.c.digest, lambda is_asked: delete(opening).where(is_asked))


def seal(kind: RecordKind, data: dict[str, Any]) -> tuple[dict[str, Any], list[Row]]:
    """Return `data` as its body holds it, and the openings of the commitments in it."""
    rows: list[Row] = []
    for field in COMMITTED.get(kind, ()):
        value = field.value_in(data)
        if field.hides(value):
            row = _commit(value)
            rows.append(row)
            data = field.put(data, {COMMITMENT: row["digest"].hex()})
    return data, rows


def keep(connection: Connection, rows: Sequence[Row]) -> None:
    """Write openings."""
    if rows:
        _INSERT.run(connection, rows)


def read_records(connection: Connection, bodies: Iterable[bytes]) -> list[Record]:
    """Return the records that these bodies hold, with every value that is not redacted.  Pruned ones are left out.

    Raises:
        LedgerError: one of them holds none; somebody has changed it.
    """
    contents = [parse_body(body) for body in bodies if body != PRUNED]
    closed = [(content, *each) for content in contents for each in commitments_in(content)]
    if closed:
        values = _values(connection, (digest for _, _, digest in closed))
        for content, field, digest in closed:
            content["data"] = field.put(content["data"], values.get(digest, field.instead))
    return [record_of(content) for content in contents]


def commitments_in(content: Mapping[str, Any]) -> Iterator[tuple[Field, bytes]]:
    """Yield each commitment of a body and its place."""
    for field in _FIELDS.get(content.get("kind"), ()):
        value = field.value_in(content.get("data"))
        if isinstance(value, dict) and value.keys() == {COMMITMENT}:
            try:
                yield field, bytes.fromhex(value[COMMITMENT])
            except (TypeError, ValueError):
                continue  # it was changed: verification says so


def forget(connection: Connection, digests: Sequence[bytes]) -> list[bytes]:
    """Delete the openings of these commitments.  Return those that there were."""
    there = list(_values(connection, digests))
    _DELETE.rows(connection, there)
    return there


def _commit(value: Any) -> Row:
    salt, form = secrets.token_bytes(SALT_BYTES), canonical(value)
    return {"digest": hashlib.sha256(salt + form).digest(), "salt": salt, "value": form}


def _values(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, Any]:
    found = _FIND.rows(connection, dict.fromkeys(digests))
    return {bytes(digest): json.loads(value) for digest, value in found}


def _put(data: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**data, name: _put(data[name], rest, value) if rest else value}


def _is_measurement(value: Any) -> bool:
    return _holds_numbers_only(value) and len(canonical(value)) <= MEASURED_LIMIT


def _holds_numbers_only(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_holds_numbers_only, value.values()))
    if isinstance(value, list):
        return all(map(_holds_numbers_only, value))
    return not isinstance(value, str) or _is_number(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) <= NUMBER_LIMIT
