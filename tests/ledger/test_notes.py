"""Notes: checkpoints are written in one way only, verify with the public key alone, and nothing else is taken for one."""

from __future__ import annotations

import base64
import random
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.ledger.notes import (
    FIRST,
    Checkpoint,
    KeyTextWrongError,
    PublicKey,
    hash_of,
    read_note,
    read_notes,
    signer_of,
    write_note,
)
from tests.ledger.history import KEY, NIGHT, ORIGIN, PRIVATE_KEY

CHECKPOINT = Checkpoint(ORIGIN, 29, bytes(range(32)), NIGHT, FIRST)
NOTE = write_note(CHECKPOINT, KEY, PRIVATE_KEY.sign)


def test_a_note_is_read_back_as_it_was_written() -> None:
    """And verifies under its key."""
    note = read_note(NOTE)

    assert note is not None
    assert note.checkpoint == CHECKPOINT
    assert KEY.signed(note)
    assert NOTE.splitlines()[:5] == [
        ORIGIN,
        "29",
        base64.b64encode(bytes(range(32))).decode(),
        "time 2026-03-14T03:07:00.000000Z",
        "previous none",
    ]


def test_the_key_hash_is_that_of_signed_note() -> None:
    """The published example of a verifier key has the hash that is worked out here."""
    example = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

    assert str(PublicKey.parse(example)) == example


def test_a_note_of_another_key_or_name_is_not_signed_by_this_one() -> None:
    """Neither the same name with another key, nor the same key under another name."""
    note = read_note(NOTE)
    stranger = PublicKey(ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    renamed = PublicKey("paramedic/other", KEY.raw)

    assert note is not None
    assert signer_of(note, [stranger, renamed]) is None
    assert signer_of(note, [stranger, KEY]) is KEY


@pytest.mark.parametrize(
    "change",
    [
        {"size": 30},
        {"root": bytes(32)},
        {"at": NIGHT + timedelta(seconds=1)},
        {"previous": "ab" * 32},
        {"origin": "paramedic/other"},
    ],
)
def test_a_signature_covers_every_line(change: dict[str, object]) -> None:
    """A line that was altered after signing does not verify."""
    note = read_note(NOTE)

    assert note is not None
    assert not KEY.signed(note._replace(checkpoint=CHECKPOINT._replace(**change)))


def test_no_altered_note_verifies() -> None:
    """2,000 changes of one byte: each is no note any more, or not signed."""
    dice = random.Random(1)
    for _ in range(2_000):
        changed = bytearray(NOTE.encode())
        changed[dice.randrange(len(changed))] = dice.randrange(256)
        if changed == NOTE.encode():
            continue
        note = read_note(changed.decode(errors="replace"))

        assert note is None or not KEY.signed(note)


def test_a_file_may_hold_many_notes_and_nothing_else() -> None:
    """As a machine that appends what it gets has them."""
    assert len(read_notes(f"{NOTE}\n{NOTE}\n") or []) == 2
    assert read_notes(f"{NOTE}and more") is None
    assert read_notes("") == []


@pytest.mark.parametrize("text", ["", "name", "name+00000000+AAAA", f"x{KEY}", str(KEY)[:-4]])
def test_a_public_key_that_is_none_is_refused(text: str) -> None:
    """With the form that it should have."""
    with pytest.raises(KeyTextWrongError, match=r"NAME\+HASH\+BASE64"):
        PublicKey.parse(text)


def test_a_note_is_named_by_its_sha_256() -> None:
    """The next one says so."""
    assert len(hash_of(NOTE)) == 64
