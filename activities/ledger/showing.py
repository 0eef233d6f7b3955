"""What a file about the ledger shows beside the records: what they name only by its hash.

A body names a value that may be redacted by a commitment to it, and the message that an alert came in by
its SHA-256.  Whoever is shown the thing itself can check that it is the one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from activities.ledger import schema
from activities.ledger.findings import TamperedError
from activities.ledger.merkle import HASH_BYTES

COMMITMENT = "$c"

_opening = schema.opening.c


def commitments(value: Any) -> Iterator[str]:
    """Yield the digests that a body commits to, in its order."""
    waiting = [value]  # and no recursion: a body may be nested as deep as somebody likes
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        elif isinstance(each, dict):
            if each.keys() == {COMMITMENT} and isinstance(each[COMMITMENT], str):
                yield each[COMMITMENT]
            waiting.extend(reversed(each.values()))


def openings_of(connection: Connection, *contents: Any) -> Iterator[dict[str, str]]:
    """Yield the values that can still be shown, in the order in which these bodies commit to them."""
    for digest in dict.fromkeys(each for content in contents for each in commitments(content)):
        query = select(_opening.salt, _opening.value).where(_opening.digest == _bytes_of(digest))
        row = connection.execute(query).one_or_none()
        if row is not None:
            yield {"salt": bytes(row.salt).hex(), "value": bytes(row.value).decode()}


def raw_of(content: Any) -> str:
    """Return the SHA-256 (hex) of the message that an alert came in; empty where a body names none."""
    data = content.get("data") if isinstance(content, dict) else None
    raw = data.get("raw") if isinstance(data, dict) else None
    return raw if isinstance(raw, str) and len(_bytes_of(raw)) == HASH_BYTES else ""


def opened(salt: str, value: str) -> bytes | None:
    """Return what a commitment is the SHA-256 of, given its opening; None where that is not as it is written."""
    raw = _bytes_of(salt)
    return raw + value.encode() if raw.hex() == salt else None


def hash_in(text: Any) -> bytes:
    """Return the hash that a file holds as hex.

    Raises:
        TamperedError: it is none, or not as it is written.
    """
    found = _bytes_of(text) if isinstance(text, str) else b""
    if len(found) != HASH_BYTES or found.hex() != text:
        raise TamperedError("a hash is none")
    return found


def _bytes_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
