"""A ledger as values, for attacks: rows, head and checkpoints that somebody who owns the file may change."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
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
from activities.signatures import key_id
from runbooks.model.base import canonical
from runbooks.model.decision import SIGNED_PREFIX, UNSIGNED

NIGHT = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)
ORIGIN = "paramedic/" + "4f" * 16
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = PublicKey(ORIGIN, PRIVATE_KEY.public_key().public_bytes_raw())
NEXT_PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
NEXT_KEY = PublicKey(ORIGIN, NEXT_PRIVATE_KEY.public_key().public_bytes_raw())
LISTENER = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))

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


def signed(bodies: Sequence[bytes], sizes: Sequence[int], *, hands_over: bool = False) -> list[str]:
    """Return the notes that a sealer signs of these records at these sizes; with the first its key may hand over."""
    notes, previous, key, sign = [], FIRST, KEY, PRIVATE_KEY.sign
    for size in sizes:
        successor = NEXT_KEY.text if hands_over and not notes else ""
        root = tree_of(bodies[:size]).root()
        notes.append(write_note(Checkpoint(ORIGIN, size, root, NIGHT, previous, successor), key, sign))
        previous = hash_of(notes[-1])
        if hands_over:
            key, sign = NEXT_KEY, NEXT_PRIVATE_KEY.sign
    return notes


def listener_key(number: int) -> Content:
    """The key under whose seal people decide."""
    raw = LISTENER.public_key().public_bytes_raw()
    data = {"key_id": key_id(raw), "key": base64.b64encode(raw).decode()}
    return {**content(number), "kind": "listener.key", "data": data}


def decision(number: int, stream: str, **said: Any) -> Content:
    """A person's answer that counted, under the listener's seal."""
    decision = {
        "id": "click-1",
        "gate": "gate-1",
        "answer": "approved",
        "via": "slack",
        "reason_digest": "",
        **said,
    }
    covered = {name: value for name, value in decision.items() if name not in UNSIGNED}
    signature = base64.b64encode(LISTENER.sign(SIGNED_PREFIX + canonical(covered))).decode()
    data = {**listener_key(0)["data"], "decision": decision, "signature": signature, "objection": ""}
    del data["key"]
    return {**content(number, stream), "kind": "decision", "outcome": "accepted", "data": data}


@dataclass(frozen=True)
class History:
    """What stands in the database."""

    rows: tuple[dict[str, Any], ...]
    head: Frontier
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, contents: Sequence[Content], sizes: Sequence[int] = (), *, hands_over: bool = False) -> Self:
        bodies = bodies_of(contents)
        notes = signed(bodies, sizes, hands_over=hands_over)
        return cls(tuple(map(row_of, bodies)), tree_of(bodies), tuple(notes))

    @property
    def bodies(self) -> list[bytes]:
        return [row["body"] for row in self.rows]

    def without_notes(self) -> History:
        return replace(self, notes=())

    def exported(self) -> bytes:
        """Return the export that somebody would forge of this."""
        lines: list[dict[str, Any]] = [{"format": "paramedic-export-1", "origin": ORIGIN}]
        notes = [(note.checkpoint.size if (note := read_note(text)) else 0, text) for text in self.notes]
        for number, body in enumerate([*self.bodies, b""]):
            lines += [{"checkpoint": text} for size, text in notes if size == number]
            lines += [{"record": body.decode()}] if body else []
        last = hash_of(notes[-1][1]) if notes else FIRST
        root = tree_of(self.bodies).root().hex()
        lines.append({"end": {"last_checkpoint": last, "records": len(self.rows), "root": root}})
        return b"".join(canonical(line) + b"\n" for line in lines)

    def engine(self) -> Engine:
        """Return a database that holds exactly this."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.deserialize(_empty_tables())
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        with engine.begin() as opened:
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


@cache
def _empty_tables() -> bytes:
    """Return a database without records, to be copied: quicker than to make it for each history."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.begin() as opened:
        schema.metadata.create_all(
            opened,
            tables=[
                schema.record,
                schema.head,
                schema.checkpoint,
                schema.opening,
                schema.installation,
                schema.blob,
            ],
        )
    made = connection.serialize()
    engine.dispose()
    return made


def anchors_of(notes: Sequence[str]) -> list[Anchor]:
    """Return notes as somebody outside has kept them."""
    return [
        Anchor(f"anchor {number}", note) for number, text in enumerate(notes) if (note := read_note(text))
    ]
