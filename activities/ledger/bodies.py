"""A record as bytes: what is hashed, and how it is read back.

The body is the RFC 8785 form of everything that the record says, its place in the ledger and the
hash of the record before it in its stream included.  What comes from outside may hold text that
has no such form (lone surrogates) or that a database refuses (NUL): it is written as an escape, so
that nobody can send an alert that cannot be recorded, and so, without a record, not acted upon.
"""

from __future__ import annotations

import json
from typing import Any

from runbooks.errors import LedgerError
from runbooks.model.base import as_body, canonical
from runbooks.model.record import Record

COLUMNS = ("seq", "event_id", "stream", "stream_seq", "kind", "actor", "source", "object", "outcome", "at")
"""The names that stand both in the body and as columns beside it."""


PRUNED = b""
"""What stands in the place of a body that was pruned.  No record is written so: an object has two bytes at least."""


def recordable_text(text: str) -> str:
    """Return `text` with lone surrogates and NUL written as `\\udXXX` and `\\x00`."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def recordable(value: Any) -> Any:
    """Return `value` as the ledger can keep it: what `as_body` leaves, with recordable texts."""
    # Every record goes through here with all that it holds: one pass, the common kinds first.
    kind = type(value)
    if kind is str:
        return value if value.isascii() and "\0" not in value else recordable_text(value)
    if kind is dict:
        if _holds_plain_texts(value):  # labels, for instance, and there are many of them
            return value.copy()
        return {
            recordable(key if type(key) is str else str(key)): recordable(item) for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [recordable(item) for item in value]
    return _with_recordable_texts(as_body(value))


def _holds_plain_texts(pairs: dict[Any, Any]) -> bool:
    """Return whether names and values are texts, and all can be kept as they are."""
    try:
        together = "".join((*pairs, *pairs.values()))
    except TypeError:
        return False
    return together.isascii() and "\0" not in together


def _with_recordable_texts(value: Any) -> Any:
    if isinstance(value, str):
        return recordable_text(value)
    if isinstance(value, dict):
        return {recordable_text(key): _with_recordable_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_recordable_texts(item) for item in value]
    return value


def write_body(columns: dict[str, Any], data: dict[str, Any], stream_prev: str) -> bytes:
    """Return the bytes that are hashed.  `stream_prev`: the previous record's leaf, hex, or empty."""
    return canonical({**columns, "data": data, "stream_prev": stream_prev})


def read_body(body: bytes) -> Record:
    """Return the record that `body` holds; commitments (`activities.ledger.openings`) stay closed.

    Raises:
        LedgerError: it holds none; somebody has changed it.
    """
    return record_of(parse_body(body))


def parse_body(body: bytes) -> dict[str, Any]:
    """Return what `body` says, unexamined.

    Raises:
        LedgerError: it is no object in JSON.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(body) from error
    if not isinstance(content, dict):
        raise _unreadable(body)
    return content


def record_of(content: dict[str, Any]) -> Record:
    """Return the record that a parsed body is, which is used up by it.

    Raises:
        LedgerError: it is none.
    """
    try:
        del content["stream_prev"]
        return Record.model_validate(content)
    except (ValueError, KeyError) as error:
        raise _unreadable(repr(content).encode()) from error


def _unreadable(body: bytes) -> LedgerError:
    return LedgerError(
        f"a record cannot be read: {body[:80]!r}... Verify the ledger: it was changed from outside."
    )
