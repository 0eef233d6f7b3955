"""A ledger as values, for attacks: rows, head and checkpoints that somebody who owns the file may change."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.pool import StaticPool

from activities.ledger import schema
from activities.ledger.bodies import COLUMNS
from activities.ledger.findings import Verification
from activities.ledger.merkle import Frontier, leaf_hash
from activities.ledger.notes import FIRST, Checkpoint, PublicKey, hash_of, read_note, write_note
from activities.ledger.verification import verify
from activities.ledger.walking import Anchor
from runbooks.model.base import canonical

NIGHT = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)
ORIGIN = "paramedic/" + "4f" * 16
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = PublicKey(ORIGIN, PRIVATE_KEY.public_key().public_bytes_raw())

Content = dict[str, Any]


def content(number: int, stream: str = "system") -> Content:
    """Something that happened, without a place yet."""
    return {
        "event_id": f"event-{number}",
        "stream": stream,
        "kind": "process",
        "actor": "bot:process",
        "source": "app",
        "object": "-",
        "outcome": "-",
        "at": "2026-03-14T03:07:00.000000Z",
        "data": {"what": "started", "pid": number},
    }


def bodies_of(contents: Sequence[Content]) -> list[bytes]:
    """Give each its place, as the ledger does, or somebody who understands how it does."""
    tails: dict[str, tuple[int, str]] = {}
    bodies = []
    for seq, each in enumerate(contents):
        length, previous = tails.get(each["stream"], (0, ""))
        body = canonical({**each, "seq": seq, "stream_seq": length, "stream_prev": previous})
        tails[each["stream"]] = length + 1, leaf_hash(body).hex()
        bodies.append(body)
    return bodies


def row_of(body: bytes) -> dict[str, Any]:
    said = json.loads(body)
    return {**{name: said[name] for name in COLUMNS}, "body": body, "leaf": leaf_hash(body)}


def tree_of(bodies: Sequence[bytes]) -> Frontier:
    tree = Frontier()
    for body in bodies:
        tree.append(leaf_hash(body))
    return tree


def signed(bodies: Sequence[bytes], sizes: Sequence[int]) -> list[str]:
    """Return the notes that a sealer signs of these records at these sizes."""
    notes, previous = [], FIRST
    for size in sizes:
        root = tree_of(bodies[:size]).root()
        notes.append(write_note(Checkpoint(ORIGIN, size, root, NIGHT, previous), KEY, PRIVATE_KEY.sign))
        previous = hash_of(notes[-1])
    return notes


@dataclass(frozen=True)
class History:
    """What stands in the database."""

    rows: tuple[dict[str, Any], ...]
    head: Frontier
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, contents: Sequence[Content], sizes: Sequence[int] = ()) -> Self:
        bodies = bodies_of(contents)
        return cls(tuple(map(row_of, bodies)), tree_of(bodies), tuple(signed(bodies, sizes)))

    @property
    def bodies(self) -> list[bytes]:
        return [row["body"] for row in self.rows]

    def without_notes(self) -> History:
        return replace(self, notes=())

    def engine(self) -> Engine:
        """Return a database that holds exactly this."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        with engine.begin() as opened:
            schema.metadata.create_all(
                opened,
                tables=[schema.record, schema.head, schema.checkpoint, schema.opening, schema.installation],
            )
            if self.rows:
                opened.execute(insert(schema.record), list(self.rows))
            head = {"id": 1, "n": self.head.size, "frontier": self.head.encode(), "opened_at": NIGHT}
            opened.execute(insert(schema.head), [head])
            opened.execute(insert(schema.installation), [{"row": 1, "id": ORIGIN.removeprefix("paramedic/")}])
            for number, note in enumerate(self.notes):
                read = read_note(note)
                size = read.checkpoint.size if read else 0
                opened.execute(insert(schema.checkpoint), [{"number": number, "n": size, "note": note}])
        return engine

    def verified(self, keys: Sequence[PublicKey] = (), anchors: Sequence[Anchor] = ()) -> Verification:
        engine = self.engine()
        try:
            with engine.connect() as connection:
                return verify(connection, keys, anchors)
        finally:
            engine.dispose()


def anchors_of(notes: Sequence[str]) -> list[Anchor]:
    """Return notes as somebody outside has kept them."""
    return [
        Anchor(f"anchor {number}", note) for number, text in enumerate(notes) if (note := read_note(text))
    ]
