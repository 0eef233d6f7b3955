"""The tray's table: what is durable there, whose it is, and that it is taken in once, in both databases."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection

from activities.ledger import inbox, notifications, records
from activities.ledger.backlog import backlog
from activities.ledger.notifications import Kept, Waiting
from activities.ledger.store import Ledger, Transaction
from tests.ledger.material import BOTH, NIGHT, WINDOW, delivery, entry

pytestmark = BOTH

HOLD = timedelta(seconds=10)


def kept(name: str, receiver: str = "here", *, after: timedelta = timedelta()) -> Kept:
    return Kept(name, receiver, "am@10.0.0.1", NIGHT + after, b'{"n": "\xc3\xa9"}' + name.encode())


async def keep(ledger: Ledger, *many: Kept) -> None:
    for each in many:
        await ledger.write_beside(lambda tables: notifications.keep(tables, each))  # noqa: B023 - awaited here


def waiting(ledger: Ledger, receiver: str, at: datetime, limit: int = 10) -> list[Waiting]:
    return ledger.read_now(
        lambda tables: notifications.waiting(tables, receiver, old=at - HOLD, ahead=at + HOLD, limit=limit)
    )


async def test_what_is_kept_comes_back_as_it_was(ledger: Ledger) -> None:
    """In its order, each with its body, its sender and its time."""
    many = [kept(name, after=timedelta(microseconds=number)) for number, name in enumerate("abc")]
    await keep(ledger, *many)

    rows = waiting(ledger, "here", NIGHT)

    assert [row.id for row in rows] == ["a", "b", "c"]
    assert [ledger.read_now(lambda c: notifications.find(c, row.seq)) for row in rows] == many  # noqa: B023
    assert [row.id for row in waiting(ledger, "here", NIGHT, limit=2)] == ["a", "b"]


async def test_one_receivers_is_everybody_s_after_a_while(ledger: Ledger) -> None:
    """Or when the clock was put back since: else it would wait for as long as the clock was ahead."""
    await keep(ledger, kept("a", "there"))

    seconds = (0, 9, 11, -9, -11)
    found = [bool(waiting(ledger, "here", NIGHT + timedelta(seconds=each))) for each in seconds]

    assert found == [False, False, True, False, True]
    assert ledger.read_now(lambda c: notifications.of_others(c, "here", 2)) == ["a"]
    assert ledger.read_now(lambda c: notifications.of_others(c, "there", 2)) == []


async def test_what_is_forgotten_is_gone_with_its_transaction(ledger: Ledger) -> None:
    """Rolled back, it still waits."""
    await keep(ledger, kept("a"), kept("b"))
    seqs = [row.seq for row in waiting(ledger, "here", NIGHT)]

    def forget_and_fail(transaction: Transaction) -> None:
        notifications.forget(transaction, seqs)
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        await ledger.write(forget_and_fail)
    assert len(waiting(ledger, "here", NIGHT)) == 2

    await ledger.write(lambda t: notifications.forget(t, seqs[:1]))
    assert [row.id for row in waiting(ledger, "here", NIGHT)] == ["b"]
    assert ledger.read_now(lambda c: notifications.find(c, seqs[0])) is None


async def test_the_backlog_counts_what_waits_in_both_places(ledger: Ledger) -> None:
    """The oldest of all is the oldest."""
    assert ledger.read_now(backlog).model_dump() == {"entries": 0, "notifications": 0, "oldest": None}

    await keep(ledger, kept("a", after=timedelta(seconds=1)))
    assert ledger.read_now(backlog).oldest == NIGHT + timedelta(seconds=1)

    await ledger.write(lambda t: inbox.accept(t, [delivery()], at=NIGHT, duplicate_window=WINDOW))
    assert ledger.read_now(backlog).model_dump() == {
        "entries": 1,
        "notifications": 1,
        "oldest": NIGHT,
    }


async def test_it_shares_a_commit_with_records(ledger: Ledger) -> None:
    """What is written beside and what is appended at the same time is all there, and a failure is its own."""

    def fail(_: Connection) -> None:
        raise KeyError("this one")

    done = await asyncio.gather(
        ledger.append(entry("one")),
        keep(ledger, kept("a")),
        ledger.write_beside(fail),
        keep(ledger, kept("b")),
        ledger.append(entry("two")),
        return_exceptions=True,
    )

    assert [type(each) for each in done if isinstance(each, BaseException)] == [KeyError]
    assert {row.id for row in waiting(ledger, "here", NIGHT)} == {"a", "b"}
    assert [each.event_id for each in ledger.read_now(lambda c: records.after(c, -1, 9))] == ["one", "two"]


async def test_two_who_take_in_the_same_take_turns(ledger: Ledger, url: str) -> None:
    """The second finds it gone: two processes never take in one notification twice."""
    await keep(ledger, *(kept(f"n{number}") for number in range(40)))

    def take(transaction: Transaction) -> list[str]:
        rows = notifications.waiting(transaction.tables, "here", old=NIGHT, ahead=NIGHT, limit=3)
        notifications.forget(transaction, [row.seq for row in rows])
        return [row.id for row in rows]

    other = Ledger.open(url)
    try:
        found = await asyncio.gather(*((ledger, other)[number % 2].write(take) for number in range(40)))
    finally:
        other.close()

    taken = [name for names in found for name in names]
    assert sorted(taken) == sorted(f"n{number}" for number in range(40))
