"""One remediation as a file that proves itself: for a postmortem, an auditor, a customer.

It holds the remediation's records, for each the hashes that lead from it to the root of one signed
checkpoint, and the values behind the commitments that may be shown.  Inclusion proves that each record is
real; that each names the one before it, and the ending their number, that none was left out.

    {"checkpoint": "<a note>",
     "format": "paramedic-bundle-1",
     "handovers": ["<a note>", ...],
     "listeners": [{"body": "<as text>", "proof": ["<hex>", ...], "seq": 5}, ...],
     "openings": [{"salt": "<hex>", "value": "<RFC 8785, as text>"}, ...],
     "records": [{"body": "<as text>", "proof": ["<hex>", ...], "seq": 17}, ...],
     "remediation": "R-7F3K2Q"}

One line, written in the one way of RFC 8785.  `handovers` are the checkpoints before this one with which one
key of the sealer handed over to the next, and `listeners` the records with the keys under whose seals people
decided.  Freezes stand in the system's stream and so not in a
bundle: that no action went against one is told by an export only.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from activities.ledger import listeners, schema
from activities.ledger.bodies import PRUNED
from activities.ledger.checkpoints import handovers_before, seal_covering
from activities.ledger.findings import CannotTellError, TamperedError, Verification, VerifiedState
from activities.ledger.merkle import includes, inclusion_proof, leaf_hash
from activities.ledger.notes import (
    Checkpoint,
    Note,
    PublicKey,
    handover_problem,
    heirs,
    read_note,
    signer_of,
)
from activities.ledger.offices import HEIR, REMEDY, RETIRED
from activities.ledger.showing import commitments, hash_in, opened, openings_of
from activities.ledger.streams import Content, Streams, parse_body
from activities.ledger.walking import Anchor
from runbooks.errors import LedgerError, RefusedError
from runbooks.model.base import canonical
from runbooks.model.record import RecordKind

FORMAT = "paramedic-bundle-1"

_record = schema.record.c


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
    if any(bytes(row.body) == PRUNED for row in rows):
        raise RefusedError(
            "pruned",
            f"the records of {remediation} were pruned: they stand in the export that was made of them",
        )
    seal = seal_covering(connection, rows[-1].seq)
    if seal is None:
        raise RefusedError(
            "not_sealed", f"no checkpoint covers {remediation} yet: is the sealer running? Wait a minute"
        )
    prove = _Prover(connection, seal.size)
    bodies = [_text_of(bytes(row.body)) for row in rows]
    content = {
        "checkpoint": seal.note,
        "format": FORMAT,
        "handovers": [each.note for each in handovers_before(connection, seal.number)],
        "listeners": [prove(row) for row in listeners.rows_before(connection, rows[-1].seq)],
        "openings": list(openings_of(connection, *map(json.loads, bodies))) if with_values else [],
        "records": [prove(row) for row in rows],
        "remediation": remediation,
    }
    return canonical(content) + b"\n"


class _Prover:
    """Shows records with the hashes that lead from them to the root of the tree of this size."""

    def __init__(self, connection: Connection, size: int) -> None:
        leaves = connection.execute(select(_record.leaf).where(_record.seq < size).order_by(_record.seq))
        self._hashes = [bytes(leaf) for leaf in leaves.scalars()]

    def __call__(self, row: Any) -> dict[str, Any]:
        proof = [node.hex() for node in inclusion_proof(self._hashes, row.seq)]
        return {"body": _text_of(bytes(row.body)), "proof": proof, "seq": row.seq}


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise LedgerError("a record is no text: somebody has changed it; verify the ledger") from error


def verify_bundle(
    content: bytes,
    keys: Sequence[PublicKey] = (),
    anchors: Iterable[Anchor] = (),
    listeners: Iterable[bytes] = (),
) -> Verification:
    """Verify a bundle.  Never raises for what it finds there.

    Args:
        keys: the sealers' keys that are believed.  Without any, nothing says who made the file.
        anchors: checkpoints from outside, their signatures verified already.
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """
    reading = _Reading(keys, list(anchors), listeners)
    try:
        reading.go(content)
    except TamperedError as found:
        return reading.report(VerifiedState.TAMPERED, str(found), found.seq)
    except CannotTellError as doubt:
        return reading.report(VerifiedState.CANNOT_TELL, str(doubt))
    return reading.report(VerifiedState.OK)


class _Reading:
    """One bundle, and how far it was found good."""

    def __init__(self, keys: Sequence[PublicKey], anchors: list[Anchor], listeners: Iterable[bytes]) -> None:
        self._keys = heirs(keys, (anchor.note for anchor in anchors))
        self._anchors = anchors
        self._streams = Streams(listeners)
        self._note: Note | None = None
        self._signer: PublicKey | None = None
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
            signatures=self._streams.meaning.signatures,
            listeners=tuple(sorted(self._streams.meaning.signers)),
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        if self._signer is None or self._compared:
            return ()
        if self._signer.until is not None:
            return (f"{RETIRED}: {REMEDY}",)
        return () if any(key.raw == self._signer.raw for key in self._keys) else (HEIR,)

    def go(self, content: bytes) -> None:
        match _parse(content):
            case {
                "checkpoint": str(text), "format": "paramedic-bundle-1", "handovers": list(handovers),
                "listeners": list(listeners), "openings": list(openings), "records": list(records),
                "remediation": str(remediation), **rest,
            } if not rest:  # fmt: skip
                pass
            case _:
                raise CannotTellError("this is no bundle of a remediation")
        self._note = note = self._signed(text, handovers)
        known = _listeners_in(note.checkpoint, listeners)
        committed = self._read_records(note.checkpoint, records, remediation, known)
        _check_openings(openings, committed)
        self._compare_anchors(note)
        if not self._streams.has_ended(remediation):
            raise CannotTellError(
                f"{remediation} has no ending here: whether records are missing after these cannot be told"
            )

    def _signed(self, text: str, handovers: list[Any]) -> Note:
        note, earlier = read_note(text), [read_note(each) for each in handovers if isinstance(each, str)]
        if note is None or None in earlier or len(earlier) != len(handovers):
            raise TamperedError("a checkpoint is none")
        if not self._keys:
            raise CannotTellError("no public key was given, so nothing says who made this")
        believed = self._keys
        for handover in earlier:
            signer = None if handover is None else signer_of(handover, believed)
            if handover is None or signer is None or not handover.checkpoint.successor:
                raise TamperedError("a key hands over that is not in office")
            problem = handover_problem(signer, handover, believed)
            if problem:
                raise TamperedError(f"a checkpoint {problem}")
            believed = heirs(believed, [handover])
        self._signer = signer_of(note, believed)
        if self._signer is None:
            raise TamperedError("the checkpoint is not signed by a key that was given")
        return note

    def _read_records(
        self, sealed: Checkpoint, items: list[Any], remediation: str, known: dict[int, Content]
    ) -> set[str]:
        """Read the records, each after the listeners' keys that were on record before it."""
        committed: set[str] = set()
        waiting = deque(sorted(known))
        for number, item in enumerate(items):
            content, leaf, seq = _proven(sealed, item, number)
            if (content.get("seq"), content.get("stream")) != (seq, remediation):
                raise TamperedError(f"record {seq} belongs to another remediation or place", seq)
            while waiting and waiting[0] < seq:
                place = waiting.popleft()
                self._streams.meaning.read(known[place], place)
            self._streams.take(content, leaf, seq)
            committed.update(commitments(content))
            self._good += 1
        return committed

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


def _proven(sealed: Checkpoint, item: Any, number: int) -> tuple[Content, bytes, int]:
    """Return what a record of the bundle says, its hash and its place.

    Raises:
        TamperedError: it is none, or not among those that were sealed.
    """
    match item:
        case {"body": str(body), "proof": list(proof), "seq": int(seq), **rest} if not rest:
            pass
        case _:
            raise TamperedError(f"record {number} of the bundle is none")
    leaf, path = leaf_hash(body.encode()), [hash_in(node) for node in proof]
    if not includes(sealed.root, sealed.size, index=seq, leaf=leaf, proof=path):
        raise TamperedError(f"record {seq} is not among those that were sealed", seq)
    return parse_body(body.encode(), seq), leaf, seq


def _listeners_in(sealed: Checkpoint, items: list[Any]) -> dict[int, Content]:
    """Return the records of the bundle that hold listeners' keys, each under its place.

    Raises:
        TamperedError: one is none, or not among those that were sealed.
    """
    found: dict[int, Content] = {}
    for number, item in enumerate(items):
        content, _, seq = _proven(sealed, item, number)
        if (content.get("kind"), content.get("seq")) != (RecordKind.LISTENER_KEY.value, seq):
            raise TamperedError(f"record {seq} is no listener's key", seq)
        found[seq] = content
    return found


def _check_openings(openings: list[Any], committed: set[str]) -> None:
    for opening in openings:
        match opening:
            case {"salt": str(salt), "value": str(value), **rest} if not rest:
                pass
            case _:
                raise TamperedError("an opening is none")
        content = opened(salt, value)
        if content is None or hashlib.sha256(content).hexdigest() not in committed:
            raise TamperedError("an opening shows what no record commits to")
