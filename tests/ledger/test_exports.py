"""Exports and bundles: verified with the public key alone, by the product and by a stranger; no mutation passes or crashes."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from activities.ledger import schema
from activities.ledger.bundles import bundle, verify_bundle
from activities.ledger.exports import export, verify_export
from activities.ledger.findings import Verification, VerifiedState
from activities.ledger.notes import PublicKey
from runbooks.errors import RefusedError
from runbooks.model.base import canonical
from tests.ledger.history import (
    KEY,
    NEXT_KEY,
    Content,
    History,
    anchors_of,
    bodies_of,
    content,
    decision,
    listener_key,
    signed,
)
from tests.ledger.stranger import STRANGER, stranger_says

NAME = "R-7F3K2Q"
SALT, SECRET = bytes(range(32)), canonical("what the command said: \u00e9")
COMMITMENT = hashlib.sha256(SALT + SECRET).hexdigest()


def ending(count: int) -> Content:
    return {**content(900, NAME), "kind": "ending", "outcome": "not_needed", "data": {"count": count}}


def contents() -> list[Content]:
    told = [content(number, NAME if number % 4 == 1 else "system") for number in range(14)]
    told[2] = listener_key(2)
    told[5]["data"] = {"output": {"$c": COMMITMENT}, "said": "caf\u00e9 \U0001f600"}
    told[9] = decision(9, NAME, reason={"$c": COMMITMENT}, name="Zo\u00eb")
    return [*told, ending(5), content(15), content(16)]


HISTORY = History.of(contents(), (9, 16, 17), hands_over=True)


def written(history: History = HISTORY, *, opened: bool = True) -> tuple[bytes, bytes]:
    """Return the export and the bundle."""
    engine = history.engine()
    with engine.connect() as connection:
        if opened:
            row = {"digest": bytes.fromhex(COMMITMENT), "salt": SALT, "value": SECRET}
            connection.execute(insert(schema.opening), [row])
        files = b"".join(export(connection, with_values=True)), bundle(connection, NAME)
    engine.dispose()
    return files


EXPORT, BUNDLE = written()


def check_export(file: bytes, **known: object) -> Verification:
    return verify_export(file.splitlines(keepends=True), **{"keys": [KEY], **known})


def check_bundle(file: bytes, **known: object) -> Verification:
    return verify_bundle(file, **{"keys": [KEY], **known})


def test_an_export_is_good_with_the_public_key_alone() -> None:
    """All records, all checkpoints, and how far they are sealed."""
    report = check_export(EXPORT, anchors=anchors_of(HISTORY.notes[:2]))

    assert (report.state, report.problem) == (VerifiedState.OK, "")
    assert (report.size, report.checkpoints, report.anchors, report.sealed) == (17, 3, 2, 17)
    assert (report.signatures, len(report.listeners)) == (1, 1)


def test_a_bundle_is_good_with_the_public_key_alone() -> None:
    """The remediation's records and what stands behind their commitments, under the first checkpoint that covers them."""
    report = check_bundle(BUNDLE, anchors=anchors_of(HISTORY.notes))
    shown = json.loads(BUNDLE)["openings"]

    assert (report.state, report.problem) == (VerifiedState.OK, "")
    assert (report.size, report.anchors, report.signatures) == (4 + 1, 1, 1)
    assert shown == [{"salt": SALT.hex(), "value": SECRET.decode()}]


def test_a_bundle_holds_without_what_was_redacted() -> None:
    """To redact a value takes no proof away."""
    _, redacted = written(opened=False)

    assert json.loads(redacted)["openings"] == []
    assert check_bundle(redacted).state is VerifiedState.OK


def test_without_a_key_nothing_is_called_good() -> None:
    """Anybody can make a tree; only a signature says whose it is."""
    assert check_export(EXPORT, keys=[]).state is VerifiedState.CANNOT_TELL
    assert check_bundle(BUNDLE, keys=[]).state is VerifiedState.CANNOT_TELL


def test_a_bundle_without_an_ending_does_not_claim_to_be_complete() -> None:
    """Records may have been left out at its end."""
    parsed = json.loads(BUNDLE)
    del parsed["records"][-1]

    report = check_bundle(canonical(parsed) + b"\n")

    assert report.state is VerifiedState.CANNOT_TELL
    assert "has no ending here" in report.problem


def test_a_bundle_that_leaves_a_record_out_is_found() -> None:
    """Each record that is shown is real, and names the one that is not."""
    for place in range(4):
        parsed = json.loads(BUNDLE)
        del parsed["records"][place]

        assert check_bundle(canonical(parsed) + b"\n").state is VerifiedState.TAMPERED


def test_an_anchor_that_knows_of_more_finds_that_the_end_was_cut() -> None:
    """The file fits together, and the outside knows better."""
    short = contents()[:12]
    shortened = History.of(short, (9, 12))
    with shortened.engine().connect() as connection:
        file = b"".join(export(connection))

    assert check_export(file).state is VerifiedState.OK
    assert check_export(file, anchors=anchors_of(HISTORY.notes)).state is VerifiedState.TAMPERED


def test_a_remediation_that_no_checkpoint_covers_gets_no_bundle() -> None:
    """There is nothing yet that could prove it."""
    engine = HISTORY.without_notes().engine()
    with engine.connect() as connection, pytest.raises(RefusedError, match="no checkpoint covers"):
        bundle(connection, NAME)
    with engine.connect() as connection, pytest.raises(RefusedError, match="there is no remediation"):
        bundle(connection, "R-000000")
    engine.dispose()


def mutated(file: bytes, dice: random.Random) -> bytes:
    """Return the file with something done to it that a disk, an editor or an attacker does."""
    changed, place = bytearray(file), dice.randrange(len(file))
    length = dice.choice((1, 1, 2, 8, 64, 400))
    lines = file.splitlines(keepends=True)
    match dice.randrange(8):
        case 0:
            changed[place] ^= 1 << dice.randrange(8)
        case 1:
            changed[place] = dice.randrange(256)
        case 2:
            del changed[place : place + length]
        case 3:
            changed[place:place] = dice.randbytes(length)
        case 4:
            changed[place:place] = changed[place : place + length]
        case 5:
            del changed[place:]
        case 6:
            one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            return b"".join(lines)
        case _:
            digits = b"0123456789abcdef"
            changed[place] = dice.choice(digits)
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "check"), [(EXPORT, check_export), (BUNDLE, check_bundle)], ids=["export", "bundle"]
)
def test_no_mutation_is_accepted_and_none_crashes(
    file: bytes, check: Callable[[bytes], Verification]
) -> None:
    """5,000 of each kind of file: whatever was done to it, the answer is no, or that it cannot be told."""
    dice, tried = random.Random(20260314), 0
    while tried < 5_000:
        changed = mutated(file, dice)
        if changed == file:
            continue
        tried += 1
        report = check(changed)

        assert report.state is not VerifiedState.OK, changed
        assert report.problem


def ask_stranger(tmp_path: Path, file: bytes, *listeners: str) -> subprocess.CompletedProcess[str]:
    """Run the script in an interpreter of its own that does not find the product."""
    (tmp_path / "file").write_bytes(file)
    (tmp_path / "sealer.pub").write_text(f"{KEY}\n")
    argv = [sys.executable, "-I", str(STRANGER), "file", "sealer.pub", *listeners]
    return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "words"),
    [
        (EXPORT, "17 records, the first 17 of them sealed, 1 decisions under a listener's seal"),
        (
            BUNDLE,
            "R-7F3K2Q: 5 records, complete, 1 decisions under a listener's seal, sealed when the ledger had 16",
        ),
    ],
    ids=["export", "bundle"],
)
def test_a_stranger_comes_to_the_same_conclusion(tmp_path: Path, file: bytes, words: str) -> None:
    """The script in docs shares no code with the product."""
    answer = ask_stranger(tmp_path, file)
    doubted = ask_stranger(tmp_path, file, base64.b64encode(bytes(32)).decode())

    assert (answer.returncode, words in answer.stdout) == (0, True), answer.stdout + answer.stderr
    assert doubted.returncode == 1, doubted.stdout + doubted.stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", [EXPORT, BUNDLE], ids=["export", "bundle"])
def test_a_stranger_accepts_no_mutation_either(file: bytes) -> None:
    """5,000 of each kind of file: none is called good, and none crashes."""
    dice, tried = random.Random(4711), 0
    while tried < 5_000:
        changed = mutated(file, dice)
        if changed == file:
            continue
        tried += 1

        assert stranger_says(changed) in {1, 2}, changed


def forged(file: bytes, old: bytes, new: bytes) -> bytes:
    """Change what a record says, and seal the ledger anew, as somebody does who has the sealer's key."""
    told = [json.loads(body) for body in HISTORY.bodies]
    history = History.of(
        [json.loads(json.dumps(each).replace(old.decode(), new.decode())) for each in told],
        (9, 16, 17),
        hands_over=True,
    )
    export_file, bundle_file = written(history)
    return export_file if file is EXPORT else bundle_file


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"approved"', b'"denied"'), (b'"click-1"', b'"click-2"'), (b"listener.key", b"process")],
)
@pytest.mark.parametrize("file", [EXPORT, BUNDLE], ids=["export", "bundle"])
def test_a_decision_that_no_listener_signed_is_found_under_the_sealers_own_key(
    file: bytes, old: bytes, new: bytes
) -> None:
    """Whoever has database and sealer can write what he likes, but not that the listener saw it."""
    changed = forged(file, old, new)
    check = check_export if file is EXPORT else check_bundle

    report = check(changed)

    assert (report.state, "listener" in report.problem) == (VerifiedState.TAMPERED, True), report.problem
    assert stranger_says(changed) == 1
    assert check(file, listeners=[bytes(32)]).state is VerifiedState.TAMPERED


@pytest.mark.parametrize(
    ("keys", "export_is", "bundle_is"),
    [
        ([KEY], VerifiedState.OK, VerifiedState.OK),
        ([KEY, NEXT_KEY], VerifiedState.OK, VerifiedState.OK),
        ([KEY.retired(9), NEXT_KEY], VerifiedState.OK, VerifiedState.OK),
        ([KEY.retired(8), NEXT_KEY], VerifiedState.TAMPERED, VerifiedState.TAMPERED),
        ([NEXT_KEY], VerifiedState.TAMPERED, VerifiedState.TAMPERED),
    ],
)
def test_files_of_a_ledger_whose_key_handed_over(
    keys: list[PublicKey], export_is: VerifiedState, bundle_is: VerifiedState
) -> None:
    """The first key suffices, for it says who comes after it; and each counts for its time only."""
    assert check_export(EXPORT, keys=keys).state is export_is
    assert check_bundle(BUNDLE, keys=keys).state is bundle_is
    for file, state in ((EXPORT, export_is), (BUNDLE, bundle_is)):
        assert stranger_says(file, *map(str, keys)) == (0 if state is VerifiedState.OK else 1)


STRANGERS_KEY = PublicKey(KEY.name, bytes(32))


@pytest.mark.parametrize(
    "keys",
    [
        [KEY.retired(12), NEXT_KEY],
        [KEY.retired(9)],
        [KEY.retired(9), STRANGERS_KEY],
        [KEY, KEY.retired(12), NEXT_KEY],
    ],
    ids=["another time", "no heir", "another heir", "an older list as well"],
)
def test_a_retired_key_hands_over_at_its_time_and_to_a_key_that_was_given(keys: list[PublicKey]) -> None:
    """Else who has stolen it makes another history from record 0, and hands over to a key of his own."""
    for report in (HISTORY.verified(keys), check_export(EXPORT, keys=keys), check_bundle(BUNDLE, keys=keys)):
        assert (report.state, "hands over" in report.problem) == (VerifiedState.TAMPERED, True), report
    for file in (EXPORT, BUNDLE):
        assert stranger_says(file, *map(str, keys)) == 1


def test_a_retired_key_does_not_vouch_for_records_after_its_time() -> None:
    """Whoever has stolen it can sign the beginning; its successor, or the outside, knows what came then."""
    keys, history = [KEY.retired(9), NEXT_KEY], History.of(contents(), (9,))
    engine = history.engine()
    with engine.connect() as connection:
        file = b"".join(export(connection))
    engine.dispose()

    for report in (history.verified(keys), check_export(file, keys=keys)):
        assert (report.state, "its successor has sealed none" in report.problem) == (
            VerifiedState.CANNOT_TELL,
            True,
        )
    assert stranger_says(file, *map(str, keys)) == 2
    known = anchors_of(history.notes)
    for report in (history.verified(keys, known), check_export(file, keys=keys, anchors=known)):
        assert (report.state, report.warnings) == (VerifiedState.OK, ())


def test_what_a_retired_key_signed_last_is_good_with_a_warning() -> None:
    """An old export stays good for ever, and no more than that key says so."""
    keys, history = [KEY.retired(20), NEXT_KEY], History.of(contents(), (17,))
    for file, check in zip(written(history), (check_export, check_bundle), strict=True):
        report = check(file, keys=keys)

        assert (report.state, len(report.warnings)) == (VerifiedState.OK, 1)
        assert "has handed over" in report.warnings[0]
        assert check(file, keys=keys, anchors=anchors_of(history.notes)).warnings == ()
        assert stranger_says(file, *map(str, keys)) == 0


@pytest.mark.parametrize(("keys", "count"), [([KEY], 1), ([KEY, NEXT_KEY], 0)])
def test_an_heir_that_was_not_given_is_believed_with_a_warning(keys: list[PublicKey], count: int) -> None:
    """Who has the first key can verify; who has the list knows more."""
    for report in (check_export(EXPORT, keys=keys), check_bundle(BUNDLE, keys=keys)):
        assert (report.state, len(report.warnings)) == (VerifiedState.OK, count)
        assert all("was not given" in warning for warning in report.warnings)


def test_a_listeners_key_counts_for_decisions_after_it_only() -> None:
    """A bundle shows all keys before its last record, and what was put on record too late proves nothing."""
    told = contents()
    told[2], told[12] = content(2), listener_key(12)
    for file, check in zip(written(History.of(told, (17,))), (check_export, check_bundle), strict=True):
        report = check(file)

        assert (report.state, report.seq) == (VerifiedState.TAMPERED, 9), report.problem
        assert stranger_says(file) == 1


def test_the_last_checkpoints_note_follows_the_ones_before() -> None:
    """What the material itself claims: three checkpoints, each naming the one before it."""
    assert list(HISTORY.notes) == signed(bodies_of(contents()), (9, 16, 17), hands_over=True)
