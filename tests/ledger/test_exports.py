"""Exports and bundles: verified with the public key alone, by the product and by a stranger; no mutation passes or crashes."""

from __future__ import annotations

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
from runbooks.errors import RefusedError
from runbooks.model.base import canonical
from tests.ledger.history import KEY, Content, History, anchors_of, bodies_of, content, signed

STRANGER = Path(__file__).parents[2] / "docs" / "verify_bundle.py"
NAME = "R-7F3K2Q"
SALT, SECRET = bytes(range(32)), canonical("what the command said: \u00e9")
COMMITMENT = hashlib.sha256(SALT + SECRET).hexdigest()


def ending(count: int) -> Content:
    return {**content(900, NAME), "kind": "ending", "outcome": "not_needed", "data": {"count": count}}


def contents() -> list[Content]:
    told = [content(number, NAME if number % 4 == 1 else "system") for number in range(14)]
    told[5]["data"] = {"output": {"$c": COMMITMENT}, "said": "caf\u00e9 \U0001f600"}
    return [*told, ending(5), content(15), content(16)]


HISTORY = History.of(contents(), (9, 16, 17))


def written(history: History = HISTORY, *, opened: bool = True) -> tuple[bytes, bytes]:
    """Return the export and the bundle."""
    engine = history.engine()
    with engine.connect() as connection:
        if opened:
            row = {"digest": bytes.fromhex(COMMITMENT), "salt": SALT, "value": SECRET}
            connection.execute(insert(schema.opening), [row])
        files = b"".join(export(connection)), bundle(connection, NAME)
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


def test_a_bundle_is_good_with_the_public_key_alone() -> None:
    """The remediation's records and what stands behind their commitments, under the first checkpoint that covers them."""
    report = check_bundle(BUNDLE, anchors=anchors_of(HISTORY.notes))
    shown = json.loads(BUNDLE)["openings"]

    assert (report.state, report.problem) == (VerifiedState.OK, "")
    assert (report.size, report.anchors) == (4 + 1, 1)
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


def ask_stranger(tmp_path: Path, file: bytes) -> subprocess.CompletedProcess[str]:
    """Run the script in an interpreter of its own that does not find the product."""
    (tmp_path / "file").write_bytes(file)
    (tmp_path / "sealer.pub").write_text(f"{KEY}\n")
    argv = [sys.executable, "-I", str(STRANGER), "file", "sealer.pub"]
    return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "words"),
    [
        (EXPORT, "17 records, the first 17 of them sealed"),
        (BUNDLE, "R-7F3K2Q: 5 records, complete, sealed when the ledger had 16"),
    ],
    ids=["export", "bundle"],
)
def test_a_stranger_comes_to_the_same_conclusion(tmp_path: Path, file: bytes, words: str) -> None:
    """The script in docs shares no code with the product."""
    answer = ask_stranger(tmp_path, file)

    assert (answer.returncode, words in answer.stdout) == (0, True), answer.stdout + answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", [EXPORT, BUNDLE], ids=["export", "bundle"])
def test_a_stranger_accepts_no_mutation_either(tmp_path: Path, file: bytes) -> None:
    """2,000 of them, in one process: none is called good, and none crashes."""
    script = tmp_path / "try.py"
    script.write_text(
        "import contextlib, io, runpy, sys\n"
        f"module = runpy.run_path({str(STRANGER)!r})\n"
        "for name in sys.stdin.read().split():\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        code = module['main'](name, 'sealer.pub')\n"
        "    if code not in (1, 2): print(name, said.getvalue())\n"
    )
    dice, names = random.Random(4711), []
    (tmp_path / "sealer.pub").write_text(f"{KEY}\n")
    while len(names) < 2_000:
        changed = mutated(file, dice)
        if changed != file:
            names.append(f"m{len(names)}")
            (tmp_path / names[-1]).write_bytes(changed)
    answer = subprocess.run(
        [sys.executable, "-I", str(script)], cwd=tmp_path, input=" ".join(names), capture_output=True, text=True, check=False
    )  # fmt: skip

    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr


def test_the_last_checkpoints_note_follows_the_ones_before() -> None:
    """What the material itself claims: three checkpoints, each naming the one before it."""
    assert list(HISTORY.notes) == signed(bodies_of(contents()), (9, 16, 17))
