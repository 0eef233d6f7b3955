"""Following the ledger: every record, once, in order, soon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from activities.ledger import store
from activities.ledger.store import Ledger
from runbooks.model.record import Record, RecordKind
from tests.ledger.material import BOTH, entry

pytestmark = BOTH


async def take(stream: AsyncIterator[list[Record]], count: int) -> list[str]:
    """Return the event ids of the next records, `count` of them at least."""
    seen: list[str] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            seen += [record.event_id for record in await anext(stream)]
    return seen


async def test_begins_with_what_exists_after_the_given_record(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that was away catches up, in several batches where there is much."""
    monkeypatch.setattr(store, "FOLLOW_BATCH", 3)
    await ledger.append(*(entry(f"e{number}") for number in range(8)))

    assert await take(ledger.follow(1), 6) == [f"e{number}" for number in range(2, 8)]


async def test_sees_what_this_process_writes_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is woken by the commit and does not wait for the next look."""
    monkeypatch.setattr(store, "FOLLOW_SECONDS", 60.0)
    stream = ledger.follow(-1)
    waiting = asyncio.create_task(take(stream, 2))
    await ledger.append(entry("a"))
    await ledger.append(entry("b"))

    assert await waiting == ["a", "b"]
    await stream.aclose()


async def test_sees_what_another_process_writes(ledger: Ledger, url: str) -> None:
    """Nobody wakes it then: it looks."""
    stream = ledger.follow(-1)
    waiting = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0)
    other = Ledger.open(url)
    await other.append(entry("a"))
    other.close()

    assert await waiting == ["a"]
    await stream.aclose()


async def test_skips_other_kinds_without_losing_its_place(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower of one kind gets all of that kind, however many others lie between."""
    monkeypatch.setattr(store, "FOLLOW_BATCH", 2)
    stream = ledger.follow(-1, kinds=frozenset({RecordKind.FREEZE}))
    for number in range(9):
        kind = RecordKind.FREEZE if number % 3 == 0 else RecordKind.PROCESS
        await ledger.append(entry(f"e{number}", kind=kind))

    assert await take(stream, 3) == ["e0", "e3", "e6"]
    await stream.aclose()


async def test_followers_in_other_event_loops_are_woken_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door may be used from several threads, each with its own loop."""
    monkeypatch.setattr(store, "FOLLOW_SECONDS", 60.0)
    seen: list[str] = []
    follows = threading.Event()

    async def follow() -> None:
        stream = ledger.follow(-1)
        waiting = asyncio.create_task(take(stream, 1))
        await asyncio.sleep(0)
        follows.set()
        seen.extend(await waiting)
        await stream.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(follow()))
    thread.start()
    await asyncio.to_thread(follows.wait)
    await ledger.append(entry("a"))
    await asyncio.to_thread(thread.join)

    assert seen == ["a"]


async def test_ends_when_the_ledger_is_closed(ledger: Ledger) -> None:
    """A follower that waits does not keep the process from stopping."""

    async def follow() -> list[list[Record]]:
        return [batch async for batch in ledger.follow(-1)]

    waiting = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await asyncio.to_thread(ledger.close)

    async with asyncio.timeout(30):
        assert await waiting == []


async def test_a_follower_that_left_is_forgotten(ledger: Ledger) -> None:
    """Whoever no longer follows costs nothing."""
    await ledger.append(entry("a"))
    stream = ledger.follow(-1)
    await take(stream, 1)

    await stream.aclose()

    assert ledger._followers == set()
