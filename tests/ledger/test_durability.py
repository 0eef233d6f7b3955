"""Durability: who waits for the disk, and who need not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from activities.ledger import records
from activities.ledger.store import Ledger, Transaction
from activities.ledger.verification import VerifiedState, verify
from tests.ledger.material import entry


@pytest.fixture
def waits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each commit, whether it waited for the disk."""
    seen: list[bool] = []
    committed = Transaction.committed

    def note(transaction: Transaction) -> bool:
        [(level,)] = transaction.tables.connection.cursor().execute("PRAGMA synchronous").fetchall()
        seen.append(level == 2)  # FULL
        return committed(transaction)

    monkeypatch.setattr(Transaction, "committed", note)
    return seen


def log_of(url: str) -> bytes:
    """Return the write-ahead log of the database."""
    return Path(url.removeprefix("sqlite:///") + "-wal").read_bytes()


def leave_log(database: Path, log: bytes) -> None:
    """Put a write-ahead log beside a database, as a power cut leaves it."""
    Path(f"{database}-wal").write_bytes(log)


async def test_waits_unless_told_otherwise(ledger: Ledger, waits: list[bool]) -> None:
    """What is appended or written is on the disk before anybody hears of it."""
    await ledger.append(entry("a"))
    await ledger.write(lambda t: t.append(entry("b")), durable=False)
    await ledger.write(lambda t: t.append(entry("c")))

    assert waits == [True, False, True]


async def test_what_need_not_wait_is_seen_at_once(ledger: Ledger) -> None:
    """Everybody reads it, this process may end, and it is there: only a power cut could take it."""
    await ledger.write(lambda t: t.append(entry("a")), durable=False)

    assert await ledger.read(records.size) == 1


async def test_a_barrier_waits_for_what_was_written_before(
    ledger: Ledger, waits: list[bool], url: str
) -> None:
    """It writes, because a commit that changes nothing would not reach the disk."""
    await ledger.write(lambda t: t.append(entry("a")), durable=False)
    before = len(log_of(url))

    await ledger.barrier()

    assert waits == [False, True]
    assert len(log_of(url)) > before
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_a_power_cut_takes_the_end_and_never_the_middle(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    """The log is cut where the disk had it: what is left is a whole ledger, with all that was waited for."""
    await ledger.append(entry("kept"))
    on_disk = log_of(url)
    await ledger.write(lambda t: t.append(entry("lost")), durable=False)
    after = tmp_path / "after.db"
    shutil.copy(url.removeprefix("sqlite:///"), after)
    leave_log(after, log_of(url)[: len(on_disk)])

    survived = Ledger.open(f"sqlite:///{after}")

    assert [each.event_id for each in await survived.read(lambda c: records.after(c, -1, 9))] == ["kept"]
    assert (await survived.read(verify)).state is VerifiedState.OK
    survived.close()
