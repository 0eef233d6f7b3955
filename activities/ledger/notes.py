"""Checkpoints as signed notes: what the sealer says about the ledger, in a form that others can verify.

A checkpoint says: the ledger of this name had so many records, and this was the root of the tree
over them.  It names the checkpoint before it by its hash, so that none can be taken out of a row.  The
form is that of the Go checksum database and of C2SP (tlog-checkpoint, signed-note), so any tool for
such notes reads it:

    paramedic/4f1c...           the name of the ledger, which is also that of the key
    29                          records
    qL5Z...=                    root, base64
    time 2026-03-14T03:07:00.000000Z
    previous 9d03...            SHA-256 of the note before it, hex; `none` in the first
    successor paramedic/4f1c... the key that signs from the next one on; only where this one hands over
    anew 17                     the record that says why another key signs; only where one was lost

    \u2014 paramedic/4f1c... hxr9...   base64 of 4 bytes that tell the key, and 64 of the signature

What is read here may have been written by anybody: reading answers None and verifying no, and
neither raises.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from activities.lazily import lazily
from activities.ledger.schema import instant_text
from runbooks.errors import ParamedicError

if TYPE_CHECKING:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.asymmetric import ed25519
else:
    exceptions = lazily("cryptography.exceptions")
    ed25519 = lazily("cryptography.hazmat.primitives.asymmetric.ed25519")

FIRST = "none"
"""What the first checkpoint names as the one before it."""

_ED25519 = b"\x01"  # the kind of the key, in the words of signed-note
_HASH_BYTES = 4
_NOTE = re.compile(
    r"(?P<text>(?P<origin>[^\s+]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"time (?P<at>[0-9T:.-]{26}Z)\nprevious (?P<previous>none|[0-9a-f]{64})\n"
    r"(?:successor (?P<successor>[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44})\n)?"
    r"(?:anew (?P<anew>0|[1-9][0-9]{0,18})\n)?)"
    r"\n\u2014 (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+={0,2})\n"
)

_COUNT = re.compile(r"0|[1-9][0-9]{0,18}")

Sign = Callable[[bytes], bytes]


class KeyTextWrongError(ParamedicError):
    """What should be a sealer's public key is none."""

    code = "sealer_key_wrong"


class Checkpoint(NamedTuple):
    """What one checkpoint says.

    Attributes:
        previous: SHA-256 of the note before it, hex, or `FIRST`.
        successor: the text of the key that signs from the next checkpoint on; empty where it is the same.
        anew: the seq of the record that says why another key signs from this one on than should; None elsewhere.
    """

    origin: str
    size: int
    root: bytes
    at: datetime
    previous: str
    successor: str = ""
    anew: int | None = None

    @property
    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        lines = [
            self.origin,
            str(self.size),
            root,
            f"time {instant_text(self.at)}",
            f"previous {self.previous}",
        ]
        if self.successor:
            lines.append(f"successor {self.successor}")
        if self.anew is not None:
            lines.append(f"anew {self.anew}")
        return "".join(f"{line}\n" for line in lines)


class Note(NamedTuple):
    """A checkpoint with the signature that stands under it, which nobody has verified yet."""

    checkpoint: Checkpoint
    signer: str
    signature: bytes

    @property
    def key_hash(self) -> bytes:
        """The bytes that tell by which key it was signed."""
        return self.signature[:_HASH_BYTES]


class PublicKey:
    """A sealer's public key and its name: what a stranger needs to verify a checkpoint.

    Its text is that of signed-note: `<name>+<hash>+<base64 of 0x01 and the key>`, and, once it has handed
    over to another key, ` until <records>`.

    Args:
        raw: the Ed25519 key, 32 bytes.
        until: it counts for checkpoints of at most so many records; None: it is in office.
    """

    def __init__(self, name: str, raw: bytes, until: int | None = None) -> None:
        self.name = name
        self.raw = raw
        self.until = until
        self.hash = hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:_HASH_BYTES]

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read the text form.

        Raises:
            KeyTextWrongError: it is none, or its hash does not belong to it.
        """
        words, _, until = text.strip().partition(" until ")
        name, _, rest = words.partition("+")
        told, _, encoded = rest.partition("+")
        try:
            kind_and_raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            kind_and_raw = b""
        key = cls(name, kind_and_raw[1:], int(until) if _COUNT.fullmatch(until) else None)
        wrong = len(kind_and_raw) != 33 or kind_and_raw[:1] != _ED25519 or key.hash.hex() != told
        if wrong or str(key) != text.strip():
            raise KeyTextWrongError(
                f"{text.strip()[:60]!r} is not a sealer's public key: it has the form NAME+HASH+BASE64, "
                "with ` until RECORDS` behind it if it has handed over; "
                "`paramedic ledger keys` shows it"
            )
        return key

    def __str__(self) -> str:
        """Return the text form."""
        return self.text if self.until is None else f"{self.text} until {self.until}"

    @property
    def text(self) -> str:
        """The text form without a word on its time."""
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(_ED25519 + self.raw).decode()}"

    def retired(self, until: int) -> PublicKey:
        """Return this key, counting for checkpoints of at most so many records."""
        return PublicKey(self.name, self.raw, until if self.until is None else min(until, self.until))

    def signed(self, note: Note) -> bool:
        """Return whether this key signed exactly this note, and while it was in office.  Never raises."""
        if note.signer != self.name or note.key_hash != self.hash or note.checkpoint.origin != self.name:
            return False
        if self.until is not None and note.checkpoint.size > self.until:
            return False
        try:
            key = ed25519.Ed25519PublicKey.from_public_bytes(self.raw)
            key.verify(note.signature[_HASH_BYTES:], note.checkpoint.text.encode())
        except (exceptions.InvalidSignature, ValueError):
            return False
        return True


def write_note(checkpoint: Checkpoint, key: PublicKey, sign: Sign) -> str:
    """Return the checkpoint as a note, signed."""
    text = checkpoint.text
    signature = base64.b64encode(key.hash + sign(text.encode())).decode()
    return f"{text}\n\u2014 {key.name} {signature}\n"


def read_note(text: str) -> Note | None:
    """Return what a note says, or None where it is none.  Only the one way to write it is understood."""
    found = _NOTE.fullmatch(text)
    if found is None:
        return None
    try:
        checkpoint = Checkpoint(
            origin=found["origin"],
            size=int(found["size"]),
            root=base64.b64decode(found["root"], validate=True),
            at=datetime.fromisoformat(found["at"]).astimezone(UTC),
            previous=found["previous"],
            successor=found["successor"] or "",
            anew=None if found["anew"] is None else int(found["anew"]),
        )
        signature = base64.b64decode(found["signature"], validate=True)
    except (ValueError, OverflowError):
        return None
    if checkpoint.text != found["text"] or base64.b64encode(signature).decode() != found["signature"]:
        return None
    return Note(checkpoint, found["name"], signature)


def read_notes(text: str) -> list[Note] | None:
    """Return the notes of a file that holds one or, with empty lines in between, many; None where it holds anything else."""
    notes, end = [], 0
    while end < len(text):
        found = _NOTE.match(text, end)
        note = None if found is None else read_note(found[0])
        if found is None or note is None:
            return None
        notes.append(note)
        end = found.end() + text.startswith("\n", found.end())
    return notes


def hash_of(note: str) -> str:
    """Return what the next checkpoint names this one by."""
    return hashlib.sha256(note.encode("utf-8", "backslashreplace")).hexdigest()


def signer_of(note: Note, keys: Iterable[PublicKey]) -> PublicKey | None:
    """Return the key, of these, that signed the note; None where none did."""
    return next((key for key in keys if key.signed(note)), None)


def heirs(keys: Iterable[PublicKey], notes: Iterable[Note]) -> list[PublicKey]:
    """Return these keys and those that they have handed over to in `notes`, each for its time.

    What is signed by none of them hands nothing over, nor does what a key signed that had handed over otherwise.
    """
    known = _each_once(keys)
    for note in sorted(notes, key=_in_order):
        signer = signer_of(note, known) if note.checkpoint.successor else None
        if signer is not None and not handover_problem(signer, note, known):
            known[known.index(signer)] = signer.retired(note.checkpoint.size)
            known += _successor(note, known)
    return known


def handover_problem(signer: PublicKey, note: Note, known: Iterable[PublicKey]) -> str:
    """Return why this key, which signed the note, does not hand over with it; empty where it does.

    Where the end of a key's time is known, so is when it handed over, and its successor has to be known as
    well: else whoever has stolen it since would hand over to a key of his own.
    """
    if signer.until is None:
        return ""
    if note.checkpoint.size != signer.until:
        return f"hands over at {note.checkpoint.size} records, and its key has done so at {signer.until}"
    if all(key.text != note.checkpoint.successor for key in known):
        return "hands over to a key that was not given: give all that `paramedic ledger keys` shows"
    return ""


def _each_once(keys: Iterable[PublicKey]) -> list[PublicKey]:
    """Return these keys, each for the shortest time that it is there with."""
    found: dict[str, PublicKey] = {}
    for key in keys:
        before = found.get(key.text, key)
        found[key.text] = before if key.until is None else before.retired(key.until)
    return list(found.values())


def _in_order(note: Note) -> tuple[int, bool]:
    """Who hands over has signed before the successor does, also at the same number of records."""
    return note.checkpoint.size, not note.checkpoint.successor


def _successor(note: Note, known: Iterable[PublicKey]) -> list[PublicKey]:
    try:
        successor = PublicKey.parse(note.checkpoint.successor)
    except KeyTextWrongError:
        return []
    return [] if any(key.raw == successor.raw for key in known) else [successor]
