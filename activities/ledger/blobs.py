"""Blobs: bodies as they came in, kept once under their hash.

A record says what was understood; the blob, what was sent.  Records name it by its SHA-256, so a
blob that is there can be checked, and one that was let go takes nothing away from the ledger.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection, bindparam, exists, insert, select

from activities.ledger.prepared import Prepared
from activities.ledger.schema import blob
from activities.ledger.transaction import Transaction

KEPT_LIMIT = 1024 * 1024  # bytes; of a larger one only the hash is kept

_is_it = blob.c.sha256 == bindparam("sha256")
_FIND = Prepared(select(blob.c.media, blob.c.value).where(_is_it))
_KEEP = Prepared(
    insert(blob).from_select(
        blob.columns.keys(),
        select(*(bindparam(each.key, type_=each.type) for each in blob.columns)).where(
            ~exists().where(_is_it)
        ),
    )
)


@dataclass(frozen=True)
class Blob:
    """Bytes, and what they are (`application/json`)."""

    media: str
    value: bytes

    @cached_property
    def sha256(self) -> bytes:
        """What it is kept under."""
        return hashlib.sha256(self.value).digest()


def keep(transaction: Transaction, new: Blob) -> None:
    """Keep a blob, unless it is there already or larger than 1 MiB."""
    if len(new.value) <= KEPT_LIMIT:
        _KEEP.run(transaction.tables, sha256=new.sha256, media=new.media, value=new.value)


def find(connection: Connection, sha256: str) -> Blob | None:
    """Return the blob with this hash, in hex; None where it was too large, or was let go."""
    found = _FIND.first(connection, sha256=bytes.fromhex(sha256))
    return None if found is None else Blob(media=str(found[0]), value=bytes(found[1]))
