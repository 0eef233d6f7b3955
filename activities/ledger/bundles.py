"""One remediation as a file that proves itself: for a postmortem, an auditor, a customer.

It holds the remediation's records, for each the hashes that lead from it to the root of one signed
checkpoint, and the values behind the commitments that may be shown.  Inclusion proves that each record is
real; that each names the one before it, and the ending their number, that none was left out.

    {"checkpoint": "<a note>",
     "format": "paramedic-bundle-1",
     "openings": [{"salt": "<hex>", "value": "<RFC 8785, as text>"}, ...],
     "records": [{"body": "<as text>", "proof": ["<hex>", ...], "seq": 17}, ...],
     "remediation": "R-7F3K2Q"}

One line, written in the one way of RFC 8785.  Freezes stand in the system's stream and so not in a
bundle: that no action went against one is told by an export only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from activities.ledger import schema
from activities.ledger.checkpoints import seal_covering
from activities.ledger.findings import CannotTellError, TamperedError, Verification, VerifiedState
from activities.ledger.merkle import HASH_BYTES, includes, inclusion_proof, leaf_hash
from activities.ledger.notes import Note, PublicKey, read_note, signer_of
from activities.ledger.streams import Streams, parse_body
from activities.ledger.walking import Anchor
from runbooks.errors import LedgerError, RefusedError
from runbooks.model.base import canonical

FORMAT = "paramedic-bundle-1"
COMMITMENT = "$c"

_record = schema.record.c
_opening = schema.opening.c


def bundle(connection: Connection, remediation: str, *, with_values: bool = True) -> bytes:
    """Return the bundle of one remediation.

    Args:
        with_values: show what stands behind the commitments, where it was not redacted.

    Raises:
        RefusedError: there is no such remediation, or no checkpoint covers it yet.
        LedgerError: a body is no text: somebody has changed it.
    """
    query = select(_record.seq, _record.body).where(_record.stream == remediation)
    rows = connection.execute(query.order_by(_record.stream_seq)).all()
    if not rows:
        raise RefusedError("unknown_remediation", f"there is no remediation {remediation!r}")
    seal = seal_covering(connection, rows[-1].seq)
    if seal is None:
        raise RefusedError(
            "not_sealed", f"no checkpoint covers {remediation} yet: is the sealer running? Wait a minute"
        )
    leaves = connection.execute(select(_record.leaf).where(_record.seq < seal.size).order_by(_record.seq))
    hashes = [bytes(leaf) for leaf in leaves.scalars()]
    bodies = [_text_of(bytes(row.body)) for row in rows]
    content = {
        "checkpoint": seal.note,
        "format": FORMAT,
        "openings": _openings(connection, bodies) if with_values else [],
        "records": [
            {
                "body": body,
                "proof": [node.hex() for node in inclusion_proof(hashes, row.seq)],
                "seq": row.seq,
            }
            for row, body in zip(rows, bodies, strict=True)
        ],
        "remediation": remediation,
    }
    return canonical(content) + b"\n"


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise LedgerError("a record is no text: somebody has changed it; verify the ledger") from error


def _openings(connection: Connection, bodies: Iterable[str]) -> list[dict[str, str]]:
    """Return the values that can still be shown, in the order in which the records commit to them."""
    openings = []
    for digest in dict.fromkeys(each for body in bodies for each in _commitments(json.loads(body))):
        query = select(_opening.salt, _opening.value).where(_opening.digest == bytes.fromhex(digest))
        row = connection.execute(query).one_or_none()
        if row is not None:
            openings.append({"salt": bytes(row.salt).hex(), "value": bytes(row.value).decode()})
    return openings


def _commitments(value: Any) -> Iterable[str]:
    """Yield the digests that a body commits to."""
    waiting = [value]  # and no recursion: a body may be nested as deep as somebody likes
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        elif isinstance(each, dict):
            if each.keys() == {COMMITMENT} and isinstance(each[COMMITMENT], str):
                yield each[COMMITMENT]
            waiting.extend(reversed(each.values()))


def verify_bundle(
    content: bytes, keys: Sequence[PublicKey] = (), anchors: Iterable[Anchor] = ()
) -> Verification:
    """Verify a bundle.  Never raises for what it finds there.

    Args:
        keys: the sealers' keys that are believed.  Without any, nothing says who made the file.
        anchors: checkpoints from outside, their signatures verified already.
    """
    reading = _Reading(keys, list(anchors))
    try:
        reading.go(content)
    except TamperedError as found:
        return reading.report(VerifiedState.TAMPERED, str(found), found.seq)
    except CannotTellError as doubt:
        return reading.report(VerifiedState.CANNOT_TELL, str(doubt))
    return reading.report(VerifiedState.OK)


class _Reading:
    """One bundle, and how far it was found good."""

    def __init__(self, keys: Sequence[PublicKey], anchors: list[Anchor]) -> None:
        self._keys = keys
        self._anchors = anchors
        self._note: Note | None = None
        self._good = 0
        self._compared = 0

    def report(self, state: VerifiedState, problem: str = "", seq: int | None = None) -> Verification:
        checkpoint = self._note.checkpoint if self._note else None
        return Verification(
            state=state,
            size=self._good,
            root=checkpoint.root.hex() if checkpoint else "",
            seq=seq,
            problem=problem,
            checkpoints=int(checkpoint is not None),
            anchors=self._compared,
            sealed=self._good if checkpoint else 0,
        )

    def go(self, content: bytes) -> None:
        match _parse(content):
            case {
                "checkpoint": str(note), "format": "paramedic-bundle-1", "openings": list(openings),
                "records": list(records), "remediation": str(remediation), **rest,
            } if not rest:  # fmt: skip
                pass
            case _:
                raise CannotTellError("this is no bundle of a remediation")
        self._note = self._signed(note)
        committed, ended = self._read_records(self._note, records, remediation)
        _check_openings(openings, committed)
        self._compare_anchors(self._note)
        if not ended:
            raise CannotTellError(
                f"{remediation} has no ending here: whether records are missing after these cannot be told"
            )

    def _signed(self, text: str) -> Note:
        note = read_note(text)
        if note is None:
            raise TamperedError("the checkpoint is none")
        if not self._keys:
            raise CannotTellError("no public key was given, so nothing says who made this")
        if signer_of(note, self._keys) is None:
            raise TamperedError("the checkpoint is not signed by a key that was given")
        return note

    def _read_records(self, note: Note, records: list[Any], remediation: str) -> tuple[set[str], bool]:
        streams, size, root = Streams(), note.checkpoint.size, note.checkpoint.root
        committed: set[str] = set()
        for number, record in enumerate(records):
            match record:
                case {"body": str(body), "proof": list(proof), "seq": int(seq), **rest} if not rest:
                    pass
                case _:
                    raise TamperedError(f"record {number} of the bundle is none")
            leaf, path = leaf_hash(body.encode()), [_hash_in(node) for node in proof]
            if not includes(root, size, index=seq, leaf=leaf, proof=path):
                raise TamperedError(f"record {seq} is not among those that were sealed", seq)
            content = parse_body(body.encode(), seq)
            if (content.get("seq"), content.get("stream")) != (seq, remediation):
                raise TamperedError(f"record {seq} belongs to another remediation or place", seq)
            streams.take(content, leaf, seq)
            committed.update(_commitments(content))
            self._good += 1
        return committed, streams.has_ended(remediation)

    def _compare_anchors(self, note: Note) -> None:
        if not self._anchors:
            return
        size = note.checkpoint.size
        same = [anchor for anchor in self._anchors if anchor.note.checkpoint.size == size]
        for anchor in same:
            if anchor.note.checkpoint.root != note.checkpoint.root:
                raise TamperedError(f"{anchor.name} was made of other records than the bundle's checkpoint")
        if not same:
            raise CannotTellError(f"none of the anchors was made at {size} records, as the bundle's was")
        self._compared = len(same)


def _parse(content: bytes) -> Any:
    """Return what the file says; only the one way to write it is understood."""
    with suppress(ValueError, RecursionError):  # no JSON, no text, or no text that has this form
        parsed = json.loads(content)
        if isinstance(parsed, dict) and canonical(parsed) + b"\n" == content:
            return parsed
        if isinstance(parsed, dict) and parsed.get("format") == FORMAT:
            raise TamperedError("the bundle is not as it was written")
    return None


def _hash_in(node: Any) -> bytes:
    if not isinstance(node, str) or len(node) != 2 * HASH_BYTES or node != node.lower():
        raise TamperedError("a proof holds something that is no hash")
    try:
        return bytes.fromhex(node)
    except ValueError as error:
        raise TamperedError("a proof holds something that is no hash") from error


def _check_openings(openings: list[Any], committed: set[str]) -> None:
    for opening in openings:
        match opening:
            case {"salt": str(salt), "value": str(value), **rest} if not rest:
                pass
            case _:
                raise TamperedError("an opening is none")
        try:
            digest = hashlib.sha256(bytes.fromhex(salt) + value.encode()).hexdigest()
        except ValueError as error:
            raise TamperedError("an opening is none") from error
        if digest not in committed or salt != salt.lower():
            raise TamperedError("an opening shows what no record commits to")
