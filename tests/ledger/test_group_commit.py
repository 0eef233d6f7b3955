"""Group commit: what is answered is durable, and only the guilty fail."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from activities.ledger import records, sqlite
from activities.ledger.database import database_of
from activities.ledger.store import Ledger, Transaction
from activities.ledger.verification import VerifiedState, verify
from runbooks.errors import LedgerAwayError, LedgerError, RefusedError
from tests.ledger.material import BOTH, SQLITE, entry

pytestmark = BOTH


@contextmanager
def busy_writer(ledger: Ledger) -> Iterator[None]:
    """Keep the writer busy, so that all that is handed in meanwhile shares one commit."""
    entered, may_go = threading.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        entered.set()
        may_go.wait(10)

    thread = threading.Thread(target=ledger.write_now, args=(wait,))
    thread.start()
    entered.wait(10)
    yield
    may_go.set()
    thread.join()


async def handed_in(ledger: Ledger, *works: Callable[[Transaction], object]) -> list[object]:
    """Hand in all works while the writer is busy and return what they came to, errors included."""
    with busy_writer(ledger):
        tasks = [asyncio.create_task(ledger.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_queued_up_shares_one_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred appends that waited for the disk do not wait for it a hundred times."""
    groups: list[int] = []
    commit = ledger._commit
    monkeypatch.setattr(ledger, "_commit", lambda jobs: groups.append(len(jobs)) or commit(jobs))

    await handed_in(ledger, *(lambda t, n=n: t.append(entry(f"e{n}")) for n in range(100)))

    assert groups[-1] == 100
    assert await ledger.read(records.size) == 100


async def test_only_the_guilty_one_fails(ledger: Ledger) -> None:
    """Work that raises has no effect, and the others of its group all do."""

    def guilty(transaction: Transaction) -> None:
        transaction.append(entry("guilty"))
        raise RefusedError("frozen", "no")

    outcomes = await handed_in(
        ledger, lambda t: t.append(entry("a")).event_id, guilty, lambda t: t.append(entry("b")).event_id
    )

    assert (outcomes[0], outcomes[2]) == ("a", "b")
    assert isinstance(outcomes[1], RefusedError)
    assert [each.event_id for each in await ledger.read(lambda c: records.after(c, -1, 9))] == ["a", "b"]
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_nothing_that_work_raises_stops_the_writer(ledger: Ledger) -> None:
    """Not even what would end a thread."""
    with pytest.raises(SystemExit):
        await asyncio.to_thread(ledger.write_now, lambda _: sys.exit(1))

    assert (await ledger.append(entry("a")))[0].seq == 0


async def test_a_query_that_is_wrong_fails_only_its_caller(ledger: Ledger) -> None:
    """An error of the database in one work is a ledger error for that one."""
    outcomes = await handed_in(
        ledger,
        lambda t: t.connection.execute(text("select * from nowhere")),
        lambda t: t.append(entry("a")).event_id,
    )

    assert isinstance(outcomes[0], LedgerError)
    assert "nowhere" in str(outcomes[0])
    assert outcomes[1] == "a"


async def test_work_sees_what_others_of_its_group_appended(ledger: Ledger) -> None:
    """Work that asks the database sees all that was appended before it, committed or not."""
    outcomes = await handed_in(
        ledger,
        lambda t: t.append(entry("a", "R-1")),
        lambda t: len(records.stream_of(t.connection, "R-1")),
        lambda t: (t.find("a") is not None, t.length("R-1"), t.size),
    )

    assert outcomes[1:] == [1, (True, 1, 1)]


async def test_the_same_event_in_two_works_of_a_group_is_one_record(ledger: Ledger) -> None:
    """Idempotence holds among those who wait for the same commit."""
    first, second = await handed_in(ledger, lambda t: t.append(entry("a")), lambda t: t.append(entry("a")))

    assert first == second
    assert await ledger.read(records.size) == 1


async def test_a_caller_who_gave_up_does_not_harm_the_others(ledger: Ledger) -> None:
    """The answer to a cancelled caller is dropped; the work is done all the same."""
    with busy_writer(ledger):
        gave_up = asyncio.create_task(ledger.append(entry("a")))
        waits = asyncio.create_task(ledger.append(entry("b")))
        await asyncio.sleep(0)
        gave_up.cancel()
        await asyncio.sleep(0)

    assert (await waits)[0].seq == 1


def test_a_loop_that_is_gone_does_not_harm_the_writer(ledger: Ledger) -> None:
    """Whoever waited in an event loop that was closed is not answered, and nobody else notices."""

    async def leave() -> None:
        asyncio.ensure_future(ledger.append(entry("a")))  # noqa: RUF006 - it is left on purpose
        await asyncio.sleep(0)

    with busy_writer(ledger):
        asyncio.run(leave())

    assert ledger.write_now(lambda t: t.append(entry("b"))).seq == 1


@SQLITE
async def test_a_lock_held_by_another_process_is_an_error_after_a_while(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever; the error says what is wrong; and afterwards it goes on."""
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, "busy_timeout = 50"))
    ledger = Ledger.open(url)
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("begin immediate")
    try:
        with pytest.raises(LedgerAwayError, match="another process holds its lock"):
            await ledger.append(entry("a"))
        holder.execute("rollback")
        assert (await ledger.append(entry("a")))[0].seq == 0
    finally:
        holder.close()
        ledger.close()


@pytest.mark.parametrize(
    ("code", "is_away"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_RECOVERY, True),  # somebody mends what a crash left
        (sqlite3.SQLITE_LOCKED, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_NOTADB, False),
    ],
)
def test_what_passes_is_known_by_sqlite_s_code(code: int, is_away: bool) -> None:
    """Not by its words, in which a file may be called `database is locked.db`."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code

    assert database_of("sqlite:////ledger.db").is_away(error) is is_away


@SQLITE
async def test_a_full_disk_is_an_error_and_not_a_loss(ledger: Ledger) -> None:
    """SQLite has rolled back by itself then: the error is the disk's, and the ledger goes on."""
    await ledger.append(entry("a"))
    await ledger.write(lambda t: t.connection.exec_driver_sql("pragma max_page_count = 1").scalar())

    with pytest.raises(LedgerError, match="make room on its disk"):
        await ledger.append(entry("b", data={"text": "x" * 200_000}))

    await ledger.write(lambda t: t.connection.exec_driver_sql("pragma max_page_count = 1073741823").scalar())
    assert (await ledger.append(entry("c")))[0].seq == 1
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_closing_carries_out_what_is_queued(ledger: Ledger, url: str) -> None:
    """What was handed in before the end is answered and durable; what comes after is refused."""
    with busy_writer(ledger):
        tasks = [asyncio.create_task(ledger.append(entry(f"e{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        closing = threading.Thread(target=ledger.close)
        closing.start()
    assert len(await asyncio.gather(*tasks)) == 20
    await asyncio.to_thread(closing.join)

    with pytest.raises(LedgerError, match="closed"):
        await ledger.append(entry("late"))
    with pytest.raises(LedgerError, match="closed"):
        await ledger.read(records.size)
    ledger.close()
    again = Ledger.open(url)
    assert again.read_now(records.size) == 20
    again.close()


def test_a_reader_sees_one_moment(ledger: Ledger) -> None:
    """What is committed while a query runs is not seen by it, and does not wait for it."""

    def look_twice(connection: object) -> tuple[int, int]:
        before = records.size(connection)
        ledger.write_now(lambda t: t.append(entry("meanwhile")))
        return before, records.size(connection)

    assert ledger.read_now(look_twice) == (0, 0)
    assert ledger.read_now(records.size) == 1


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    """Only the writer's connection writes."""
    with pytest.raises(LedgerError, match=r"let this user write|this server only reads"):
        ledger.read_now(lambda c: c.execute(text("delete from inbox")))
