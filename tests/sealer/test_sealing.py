"""Sealing: what is signed is what the ledger was, is durable, and grew out of what was signed before; else nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.ledger.checkpoints import HistoryError, keep, look, seals_after
from activities.ledger.findings import VerifiedState
from activities.ledger.merkle import Frontier
from activities.ledger.notes import FIRST, hash_of, read_note
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from bot.sealer.cadence import SEAL_EVERY, SILENCE
from bot.sealer.memory import MEMORY_FILE, Memory, MemoryWrongError, public_key_in
from bot.sealer.sealing import Sealer
from runbooks.model.record import RecordKind
from tests.ledger.material import entry, tamper

ORIGIN = "paramedic/test"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def grow(ledger: Ledger, *names: str, kind: RecordKind = RecordKind.PROCESS) -> None:
    stream = "R-7F3K2Q" if kind is RecordKind.ENDING else "system"
    data = {"count": len(names)} if kind is RecordKind.ENDING else {}
    ledger.write_now(lambda t: [t.append(entry(name, stream, kind=kind, data=data)) for name in names])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sealer's own folder."""
    made = tmp_path / "sealer"
    made.mkdir()
    return made


async def test_a_checkpoint_is_in_the_database_and_verifies(ledger: Ledger, folder: Path) -> None:
    """With the key that the sealer shows."""
    sealer = Sealer(ledger, Memory(folder, ORIGIN))
    await sealer.begin()
    grow(ledger, "a", "b", "c")

    seal = await sealer.seal()
    key = public_key_in(folder)

    assert key is not None
    assert (seal.number, seal.size) == (0, 3)
    report = ledger.read_now(lambda c: verify(c, [key]))
    assert (report.state, report.checkpoints, report.sealed) == (VerifiedState.OK, 1, 3)


async def test_checkpoints_form_a_chain_over_restarts(ledger: Ledger, folder: Path) -> None:
    """Each names the one before it, with the same key."""
    for number in range(3):
        sealer = Sealer(ledger, Memory(folder, ORIGIN))
        await sealer.begin()
        grow(ledger, f"record-{number}")
        await sealer.seal()

    seals = ledger.read_now(lambda c: seals_after(c, -1))
    previous = [note.checkpoint.previous for seal in seals if (note := read_note(seal.note))]
    assert [seal.number for seal in seals] == [0, 1, 2]
    assert previous == [FIRST, hash_of(seals[0].note), hash_of(seals[1].note)]


async def test_it_is_due_at_once_after_an_ending_and_later_for_the_rest(ledger: Ledger, folder: Path) -> None:
    """A minute for what is not urgent, an hour for silence, never for an empty ledger."""
    clock = Clock()
    sealer = Sealer(ledger, Memory(folder, ORIGIN), monotonic=clock)
    await sealer.begin()
    assert not sealer.is_due(ledger.read_now(look))

    grow(ledger, "a")
    await sealer.seal()
    assert not sealer.is_due(ledger.read_now(look))
    grow(ledger, "b")
    assert not sealer.is_due(ledger.read_now(look))
    clock.now += SEAL_EVERY.total_seconds()
    assert sealer.is_due(ledger.read_now(look))

    await sealer.seal()
    grow(ledger, "R-7F3K2Q/ending", kind=RecordKind.ENDING)
    assert sealer.is_due(ledger.read_now(look))

    await sealer.seal()
    assert not sealer.is_due(ledger.read_now(look))
    clock.now += SILENCE.total_seconds()
    assert sealer.is_due(ledger.read_now(look))
    silence = await sealer.seal()
    assert silence.size == 3


async def test_a_checkpoint_that_the_sealer_died_over_is_taken_up_again(ledger: Ledger, folder: Path) -> None:
    """It stands in the database and not in the memory: that is no other history."""
    grow(ledger, "a")
    memory = Memory(folder, ORIGIN)
    first = await Sealer(ledger, memory).seal()
    kept = (folder / MEMORY_FILE).read_bytes()
    grow(ledger, "b")
    second = await Sealer(ledger, memory).seal()
    (folder / MEMORY_FILE).write_bytes(kept)
    grow(ledger, "c")

    again = Sealer(ledger, Memory(folder, ORIGIN))
    await again.begin()
    third = await again.seal()

    assert [first.number, second.number, third.number] == [0, 1, 2]
    assert ledger.read_now(verify).state is VerifiedState.OK


async def test_the_very_first_one_is_taken_up_too(ledger: Ledger, folder: Path) -> None:
    """Its key was there before it."""
    grow(ledger, "a")
    await Sealer(ledger, Memory(folder, ORIGIN)).seal()
    (folder / MEMORY_FILE).unlink()

    sealer = Sealer(ledger, Memory(folder, ORIGIN))
    await sealer.begin()

    assert (await sealer.seal()).number == 1


async def sealed(url: str, folder: Path) -> None:
    ledger = Ledger.open(url)
    grow(ledger, *(f"record-{number}" for number in range(4)))
    sealer = Sealer(ledger, Memory(folder, ORIGIN))
    await sealer.begin()
    await sealer.seal()
    ledger.close()


def set_head(url: str, bodies: int) -> str:
    """Return the statement that makes the head fit the first records, as somebody would who understands the tree."""
    ledger = Ledger.open(url)
    leaves = ledger.read_now(
        lambda c: c.exec_driver_sql("select leaf from record order by seq").scalars().all()
    )
    ledger.close()
    tree = Frontier()
    for leaf in leaves[:bodies]:
        tree.append(leaf)
    return f"update head set n = {tree.size}, frontier = x'{tree.encode().hex()}'"


async def test_a_ledger_that_went_back_is_refused(url: str, folder: Path) -> None:
    """While it runs, at the next look; after a restart, before anything is signed."""
    await sealed(url, folder)
    tamper(url, "delete from record where seq >= 2", set_head(url, 2))
    ledger = Ledger.open(url)
    sealer = Sealer(ledger, Memory(folder, ORIGIN))

    with pytest.raises(HistoryError, match="had 4 records when it was last sealed, and has 2 now"):
        await sealer.look()
    with pytest.raises(HistoryError, match="had 4 records before and has 2 now"):
        await sealer.begin()
    ledger.close()


async def test_another_history_of_more_records_is_refused(url: str, folder: Path) -> None:
    """Rolled back, and written on otherwise beyond where it was."""
    await sealed(url, folder)
    tamper(url, "delete from record where seq >= 2", set_head(url, 2))
    ledger = Ledger.open(url)
    grow(ledger, "x", "y", "z", "w")
    sealer = Sealer(ledger, Memory(folder, ORIGIN))

    with pytest.raises(HistoryError, match="belongs to another tree"):
        await sealer.seal()
    with pytest.raises(HistoryError, match="the first 4 records are not those that were sealed"):
        await sealer.begin()
    assert len(ledger.read_now(lambda c: seals_after(c, -1))) == 1
    ledger.close()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update record set body = x'5b315d' where seq = 1", "body of record 1 does not have the hash"),
        ("delete from record where seq = 1", "record 1 is missing"),
        ("delete from checkpoint", "checkpoint 0 is not in the database"),
        ("update checkpoint set note = 'x'", "checkpoint 0 is not in the database"),
        ("update head set frontier = zeroblob(32)", "belongs to another tree"),
        ("insert into checkpoint values (1, 4, 'x')", "is not known to this sealer"),
    ],
)
async def test_what_was_changed_since_is_refused_at_the_start(
    url: str, folder: Path, statement: str, problem: str
) -> None:
    """A body, a record, a checkpoint, the head."""
    await sealed(url, folder)
    tamper(url, statement)
    ledger = Ledger.open(url)

    with pytest.raises(HistoryError, match=problem):
        await Sealer(ledger, Memory(folder, ORIGIN)).begin()
    ledger.close()


async def test_a_new_sealer_does_not_take_over_what_another_has_signed(ledger: Ledger, folder: Path) -> None:
    """Who lost the folder, or took the key away, does not get a fresh start in silence."""
    grow(ledger, "a")
    await Sealer(ledger, Memory(folder, ORIGIN)).seal()
    other = folder.parent / "other"
    other.mkdir()

    with pytest.raises(HistoryError, match="restore the sealer's folder"):
        await Sealer(ledger, Memory(other, ORIGIN)).begin()


async def test_a_memory_that_was_changed_is_refused(ledger: Ledger, folder: Path) -> None:
    """It is what everything is compared with."""
    grow(ledger, "a")
    seal = await Sealer(ledger, Memory(folder, ORIGIN)).seal()
    file = folder / MEMORY_FILE
    for text in (
        "",
        "{}",
        file.read_text().replace(f'"size": {seal.size}', '"size": 2'),
        file.read_text().replace("none", "nono"),
    ):
        file.write_text(text)

        with pytest.raises(MemoryWrongError, match="is not what this sealer has written"):
            Memory(folder, ORIGIN)


async def test_a_second_sealer_cannot_take_the_same_number(ledger: Ledger, folder: Path) -> None:
    """The database refuses it, whatever the two remember."""
    grow(ledger, "a")
    seal = await Sealer(ledger, Memory(folder, ORIGIN)).seal()

    with pytest.raises(Exception, match="UNIQUE"):
        ledger.write_now(lambda t: keep(t, seal))
