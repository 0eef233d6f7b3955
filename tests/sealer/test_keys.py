"""The sealer's key: it hands over to another, or is lost; and who steals an old one signs nothing that is believed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import insert

from activities.ledger import schema
from activities.ledger.anchors import read_anchors
from activities.ledger.checkpoints import HistoryError, Seal, grown, keep, seals_after
from activities.ledger.exports import export, verify_export
from activities.ledger.findings import CannotTellError, Verification, VerifiedState
from activities.ledger.installation import installation_id
from activities.ledger.merkle import Frontier
from activities.ledger.notes import Checkpoint, KeyTextWrongError, PublicKey, hash_of, read_note, write_note
from activities.ledger.store import Ledger, Transaction
from activities.ledger.verification import verify
from bot.only_one import AlreadyRunningError, only_one
from bot.sealer.anew import Word, begin_anew
from bot.sealer.files import replace_file
from bot.sealer.memory import (
    KEY_FILE,
    MEMORY_FILE,
    NEXT_KEY_FILE,
    PUBLIC_FILE,
    ROTATION_FILE,
    Memory,
    MemoryWrongError,
    public_keys_in,
)
from bot.sealer.sealing import Sealer
from runbooks.errors import RefusedError
from runbooks.model.record import RecordKind
from tests.ledger.material import entry, tamper

pytestmark = pytest.mark.slow

WORD = Word(reason="the machine burnt down", actor="local:alice", source="cli")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sealer's own folder."""
    made = tmp_path / "sealer"
    made.mkdir()
    return made


async def sealed(ledger: Ledger, folder: Path, *names: str, rotate: bool = False) -> Seal:
    """Let a sealer that has just started seal these new records."""
    ledger.write_now(lambda t: [t.append(entry(name)) for name in names])
    if rotate:
        (folder / ROTATION_FILE).touch()
    sealer = Sealer(ledger, memory_in(folder, ledger))
    await sealer.begin()
    return await sealer.seal()


def memory_in(folder: Path, ledger: Ledger) -> Memory:
    return Memory(folder, f"paramedic/{ledger.read_now(installation_id)}")


def verified(ledger: Ledger, *keys: PublicKey) -> Verification:
    """Verify the ledger and its export, which must agree."""
    report = ledger.read_now(lambda c: verify(c, keys))
    told = ledger.read_now(lambda c: verify_export(list(export(c)), keys))
    assert told.state is report.state, told.problem
    assert told.problem == report.problem
    return report


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def notes(ledger: Ledger) -> list[str]:
    return [seal.note for seal in ledger.read_now(lambda c: seals_after(c, -1))]


def key_of(folder: Path) -> PublicKey:
    return PublicKey.parse((folder / PUBLIC_FILE).read_text().splitlines()[-1])


# --- handing over ---------------------------------------------------------------------------------


async def test_a_key_hands_over_and_both_are_verified(ledger: Ledger, folder: Path) -> None:
    """By whoever has the first key, and by whoever has the list; each key for its time."""
    await sealed(ledger, folder, "a")
    first = key_of(folder)
    await sealed(ledger, folder, "b", rotate=True)
    await sealed(ledger, folder, "c")

    keys = public_keys_in(folder)

    assert [str(key) for key in keys] == [f"{first} until 2", str(keys[1])]
    for known in ([first], keys, [first, keys[1]]):
        report = verified(ledger, *known)
        assert (report.state, report.problem, report.sealed) == (VerifiedState.OK, "", 3)
    assert verified(ledger, keys[1]).state is VerifiedState.TAMPERED


async def test_the_old_private_key_is_gone(ledger: Ledger, folder: Path) -> None:
    """It would be of use to nobody but a thief."""
    await sealed(ledger, folder, "a")
    before = (folder / KEY_FILE).read_bytes()

    await sealed(ledger, folder, rotate=True)

    assert (folder / KEY_FILE).read_bytes() != before
    assert names_in(folder) == sorted([KEY_FILE, PUBLIC_FILE, MEMORY_FILE])


def forge(ledger: Ledger, thief: Memory, before: str) -> None:
    """Add a checkpoint of today's ledger that a stolen key signed."""
    tree = ledger.read_now(lambda c: grown(c, Frontier(), {}))
    previous, note = hash_of(before), read_note(before)
    assert note is not None
    said = Checkpoint(thief.key.name, tree.size, tree.root(), note.checkpoint.at, previous)
    number = len(notes(ledger))
    forged = Seal(number=number, size=tree.size, note=write_note(said, thief.key, thief.sign))
    ledger.write_now(lambda t: keep(t, forged))


async def test_a_stolen_old_key_signs_nothing_that_is_believed(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """After the handover, whichever keys the verifier knows."""
    await sealed(ledger, folder, "a")
    shutil.copytree(folder, tmp_path / "stolen")
    first, thief = key_of(folder), memory_in(tmp_path / "stolen", ledger)
    await sealed(ledger, folder, "b", rotate=True)
    ledger.write_now(lambda t: t.append(entry("a lie")))

    forge(ledger, thief, notes(ledger)[-1])

    for known in ([first], public_keys_in(folder), [first, key_of(folder)]):
        assert verified(ledger, *known).problem == "checkpoint 2 is not signed by a key that was given"
    with pytest.raises(HistoryError, match="is not known to this sealer"):
        await Sealer(ledger, memory_in(folder, ledger)).begin()


async def test_a_handover_that_was_taken_away_is_missed(
    ledger: Ledger, url: str, folder: Path, tmp_path: Path
) -> None:
    """By those who have the list of keys, or the checkpoints from outside; for the old key's time is over."""
    await sealed(ledger, folder, "a")
    shutil.copytree(folder, tmp_path / "stolen")
    first, thief = key_of(folder), memory_in(tmp_path / "stolen", ledger)
    await sealed(ledger, folder, "b", rotate=True)
    (tmp_path / "outside.note").write_text("\n".join(notes(ledger)))
    ledger.write_now(lambda t: t.append(entry("a lie")))
    tamper(url, "delete from checkpoint where number = 1")
    forge(ledger, thief, notes(ledger)[-1])

    anchors = read_anchors(tmp_path / "outside.note", [first])

    problem = "checkpoint 1 is not signed by a key that was given"
    assert verified(ledger, *public_keys_in(folder)).problem == problem
    assert ledger.read_now(lambda c: verify(c, [first], anchors)).problem == problem
    assert verified(ledger, first).state is VerifiedState.OK  # nobody told them: give them the new list


async def test_a_stolen_old_key_hands_over_to_nobody_of_the_thief(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """Not in a history of his own from record 0 on, for whoever has the list of keys."""
    memory = memory_in(folder, ledger)
    shutil.copytree(folder, tmp_path / "stolen")
    true = Ledger.open(f"sqlite:///{tmp_path}/true.db")
    true.write_now(lambda t: [t.append(entry(name)) for name in ("a", "b", "c")])
    (folder / ROTATION_FILE).touch()
    await Sealer(true, memory).seal()
    true.close()

    await sealed(ledger, tmp_path / "stolen", "x", rotate=True)
    await sealed(ledger, tmp_path / "stolen", "y", "z", "a lie")

    report = verified(ledger, *public_keys_in(folder))
    assert (report.state, report.problem) == (
        VerifiedState.TAMPERED,
        "checkpoint 0 hands over at 1 records, and its key has done so at 3",
    )


async def test_anchors_may_be_signed_by_those_who_came_after(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """Who has the first key believes the second by the checkpoint that hands over, and believes no other."""
    await sealed(ledger, folder, "a", rotate=True)
    first = public_keys_in(folder)[0]
    await sealed(ledger, folder, "b", rotate=True)
    await sealed(ledger, folder, "c")
    outside = tmp_path / "outside"
    outside.mkdir()
    for number, note in enumerate(notes(ledger)):
        (outside / f"{2 - number}.note").write_text(note)  # in whatever order they are found

    anchors = read_anchors(outside, [PublicKey(first.name, first.raw)])
    (outside / "2.note").unlink()

    assert len(anchors) == 3
    with pytest.raises(CannotTellError, match="not signed by a key that was given"):
        read_anchors(outside, [PublicKey(first.name, first.raw)])


async def test_a_handover_is_finished_after_a_crash_at_any_point(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed and not remembered, remembered and not told, told and not in place: it goes on, once."""
    await sealed(ledger, folder, "a")
    for step in ("remember", "tell_keys", "_take_key"):
        (folder / ROTATION_FILE).touch()
        sealer = Sealer(ledger, memory_in(folder, ledger))
        await sealer.begin()
        before = key_of(folder).text
        with monkeypatch.context() as patch:

            def crash(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(Memory, step, crash)
            with pytest.raises(KeyboardInterrupt):
                await sealer.seal()

        seal = await sealed(ledger, folder)

        note = read_note(seal.note)
        assert note is not None
        assert (key_of(folder).text != before, key_of(folder).signed(note)) == (True, True), step
        assert not (folder / ROTATION_FILE).exists()
    assert len(public_keys_in(folder)) == 4
    assert verified(ledger, *public_keys_in(folder)).state is VerifiedState.OK


async def test_a_successor_that_is_lost_is_not_replaced_in_silence(ledger: Ledger, folder: Path) -> None:
    """The last checkpoint names it, so nobody else may sign."""
    await sealed(ledger, folder, "a")
    memory = memory_in(folder, ledger)
    (folder / ROTATION_FILE).touch()
    successor = memory.successor()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "_finish_handover", lambda _: None)
        await sealed(ledger, folder, "b")
    (folder / NEXT_KEY_FILE).unlink()

    with pytest.raises(MemoryWrongError, match="is not what this sealer has written"):
        memory_in(folder, ledger)
    assert successor.text not in (folder / PUBLIC_FILE).read_text()


async def test_an_asked_handover_is_due_at_once(ledger: Ledger, folder: Path) -> None:
    """It waits for no new record."""
    sealer = Sealer(ledger, memory_in(folder, ledger))
    await sealer.begin()
    seen = await sealer.look()
    assert not sealer.is_due(seen)

    (folder / ROTATION_FILE).touch()

    assert sealer.is_due(seen)


async def test_a_memory_that_is_lost_beside_its_keys_is_built_up_again(ledger: Ledger, folder: Path) -> None:
    """Over a handover as well: the list of keys says who signed what."""
    await sealed(ledger, folder, "a", rotate=True)
    await sealed(ledger, folder, "b")
    (folder / MEMORY_FILE).unlink()

    assert (await sealed(ledger, folder, "c")).number == 2
    (folder / MEMORY_FILE).unlink()
    replace_file(folder / PUBLIC_FILE, "no key\n")
    with pytest.raises(KeyTextWrongError):
        public_keys_in(folder)
    with pytest.raises(HistoryError, match="checkpoint 0 of the database is not known"):
        await sealed(ledger, folder)


# --- beginning anew -------------------------------------------------------------------------------


async def test_who_lost_everything_begins_anew_on_record(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """The old checkpoints verify under the old key, the new ones under the new, and the report says what happened."""
    await sealed(ledger, folder, "a")
    lost = key_of(folder)

    seal = await begin_anew(ledger, tmp_path / "new", WORD, [lost])
    await sealed(ledger, tmp_path / "new", "b")

    keys = public_keys_in(tmp_path / "new")
    assert [str(keys[0]), seal.number, seal.size] == [f"{lost} until 1", 1, 2]
    report = verified(ledger, *keys)
    assert (report.state, report.sealed) == (VerifiedState.OK, 3)
    assert report.warnings == (
        "the sealer lost its key and began anew with checkpoint 1: record 1 says who did it and why",
    )
    assert verified(ledger, lost).state is VerifiedState.TAMPERED


async def test_who_kept_only_the_first_key_begins_anew_with_all_that_came_after_it(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """The key had handed over before it was lost: each counts for its own time, and the ledger stays good."""
    await sealed(ledger, folder, "a")
    first = key_of(folder)
    await sealed(ledger, folder, "b", rotate=True)
    await sealed(ledger, folder, "c")

    await begin_anew(ledger, tmp_path / "new", WORD, [first])

    keys = public_keys_in(tmp_path / "new")
    assert [key.until for key in keys] == [2, 3, None]
    assert verified(ledger, *keys).state is VerifiedState.OK


async def test_without_the_lost_public_key_that_is_said_too(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """Nobody can verify signatures of a key that nobody has."""
    await sealed(ledger, folder, "a")
    await begin_anew(ledger, tmp_path / "new", WORD, [])

    report = verified(ledger, *public_keys_in(tmp_path / "new"))

    assert report.state is VerifiedState.OK
    assert "the signatures before it were not verified" in report.warnings[0]


async def test_what_is_not_lost_is_not_begun_anew(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    """Nor beside a sealer that runs, nor over a ledger that is not what was sealed."""
    await sealed(ledger, folder, "a")

    with pytest.raises(RefusedError, match="remembers the last checkpoint"):
        await begin_anew(ledger, folder, WORD, [])
    (folder / MEMORY_FILE).unlink()
    with pytest.raises(RefusedError, match="knows what is sealed; start it"):
        await begin_anew(ledger, folder, WORD, [])
    with only_one(folder, "sealer"), pytest.raises(AlreadyRunningError):
        await begin_anew(ledger, folder, WORD, [])
    assert len(notes(ledger)) == 1


async def test_a_ledger_that_was_changed_is_not_begun_anew(
    ledger: Ledger, url: str, folder: Path, tmp_path: Path
) -> None:
    """To lose the sealer's folder is no way to make another history true."""
    await sealed(ledger, folder, "a")
    tamper(url, "update record set body = x'5b315d'")

    with pytest.raises(HistoryError, match="does not have the hash"):
        await begin_anew(ledger, tmp_path / "new", WORD, [])
    tamper(url, "update checkpoint set note = 'x'")
    with pytest.raises(HistoryError, match="does not follow"):
        await begin_anew(ledger, tmp_path / "new", WORD, [])


async def test_a_beginning_that_died_half_way_is_repeated(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """One record of it, one key, and the chain goes on."""
    await sealed(ledger, folder, "a")
    lost = key_of(folder)
    with pytest.MonkeyPatch.context() as patch:

        async def crash(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Sealer, "seal_anew", crash)
        with pytest.raises(KeyboardInterrupt):
            await begin_anew(ledger, tmp_path / "new", WORD, [lost])

    seal = await begin_anew(ledger, tmp_path / "new", WORD, [lost])

    assert (seal.number, seal.size) == (1, 2)
    assert verified(ledger, *public_keys_in(tmp_path / "new")).state is VerifiedState.OK


async def test_a_beginning_that_no_record_announces_is_found(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    """With a key that the verifier was given, too; and a record about another key announces nothing."""
    await sealed(ledger, folder, "a")
    other = memory_in(tmp_path / "other", ledger)
    data = {"key": key_of(folder).text, "reason": "none"}
    ledger.write_now(lambda t: t.append(entry("anew", kind=RecordKind.SEALER_ANEW, data=data)))
    tree = ledger.read_now(lambda c: grown(c, Frontier(), {}))
    before = notes(ledger)[-1]
    for anew in (0, 1):
        first = read_note(before)
        assert first is not None
        said = first.checkpoint._replace(size=2, root=tree.root(), previous=hash_of(before), anew=anew)
        row = {"number": 1, "n": 2, "note": write_note(said, other.key, other.sign)}

        def look(transaction: Transaction, row: dict[str, object] = row) -> None:
            transaction.tables.execute(insert(schema.checkpoint), [row])
            raise AssertionError(verify(transaction.tables, [key_of(folder), other.key]).problem)

        with pytest.raises(AssertionError, match="begins anew under a key that no record announces"):
            ledger.write_now(look)
