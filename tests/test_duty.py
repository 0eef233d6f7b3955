"""Being on duty: of several processes one does the work, and another goes on where it dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from activities.ledger.duties import beat, find_duty
from activities.ledger.store import Ledger
from bot.duty import OnDuty, Pace
from runbooks.errors import LedgerError
from tests.ledgers import new_ledger

PACE = Pace(beats_every=0.01, gives_up_after=60, takes_over_after=90, looks_every=0.01)
WITHIN = 30.0  # seconds that a test waits for something at most


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Process:
    """One process that would do the work, as far as the duty is concerned."""

    def __init__(self, ledger: Ledger, holder: str) -> None:
        self.clock = Clock()
        self.works = asyncio.Event()
        self.stopped = asyncio.Event()
        self.on_duty = OnDuty(ledger, "work", holder, pace=PACE, monotonic=self.clock)

    async def work(self) -> None:
        self.works.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.works.clear()
            self.stopped.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        task = asyncio.create_task(self.on_duty.run(self.work))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = new_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(WITHIN):
        await event.wait()


async def looks(ledger: Ledger, number: int = 3) -> None:
    """Wait until the database was asked so often that everybody has looked."""
    for _ in range(number):
        await ledger.read(lambda c: find_duty(c, "work"))
        await asyncio.sleep(PACE.looks_every)


async def beats_of(ledger: Ledger) -> int:
    found = await ledger.read(lambda c: find_duty(c, "work"))
    assert found is not None
    return found.beats


async def test_one_works_and_the_other_stands_by(ledger):
    """While the one beats, the other does nothing, however long that takes by its clock."""
    async with Process(ledger, "a").running() as first:
        await until(first.works)
        async with Process(ledger, "b").running() as second:
            for _ in range(5):
                before = await beats_of(ledger)
                while await beats_of(ledger) == before:  # noqa: ASYNC110 - only the database knows
                    await asyncio.sleep(0.005)
                second.clock.seconds += PACE.gives_up_after
                await looks(ledger)
            assert first.works.is_set()
            assert not second.works.is_set()


async def test_the_next_goes_on_at_once_after_an_orderly_stop(ledger):
    """Whoever stops in order gives the duty up, and nobody waits for a clock."""
    first, second = Process(ledger, "a"), Process(ledger, "b")
    async with first.running():
        await until(first.works)
        waiting = asyncio.create_task(second.on_duty.run(second.work))
        await looks(ledger)
        assert not second.works.is_set()
    await until(second.works)
    assert not first.works.is_set()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_next_goes_on_after_a_crash_and_not_before_its_time(ledger):
    """A holder that says nothing any more is replaced, after longer than it could itself have gone on."""
    dead = Process(ledger, "a")
    await dead.on_duty._wait_for_turn()  # and it never beats

    async with Process(ledger, "b").running() as second:
        await looks(ledger)
        second.clock.seconds += PACE.gives_up_after
        await looks(ledger)
        assert not second.works.is_set()
        second.clock.seconds += PACE.takes_over_after
        await until(second.works)


async def test_a_restart_goes_on_at_once(ledger):
    """The process that was killed, and is there again, need not wait for itself."""
    await Process(ledger, "a").on_duty._wait_for_turn()

    async with Process(ledger, "a").running() as again:
        await until(again.works)


async def test_a_last_beat_does_not_keep_a_restart_waiting(ledger, monkeypatch):
    """What the killed process had sent may arrive between the look and the taking: then it looks again."""
    held = await Process(ledger, "a").on_duty._wait_for_turn()
    again, last_beats = Process(ledger, "a"), 1
    take = again.on_duty._take

    async def overtaken(seen):
        nonlocal last_beats
        if last_beats:
            last_beats -= 1
            assert await ledger.write(lambda t: beat(t, held))
        return await take(seen)

    monkeypatch.setattr(again.on_duty, "_take", overtaken)
    async with again.running():
        await until(again.works)
    assert last_beats == 0


async def test_whoever_stood_still_has_lost_it(ledger):
    """A process that wakes up late stops, and does not take the duty back from the one that lives."""
    async with Process(ledger, "a").running() as frozen:
        await until(frozen.works)
        other = Process(ledger, "b")
        frozen.clock.seconds += PACE.gives_up_after
        await until(frozen.stopped)
        async with other.running():
            await looks(ledger)
            assert not (frozen.works.is_set() and other.works.is_set())


async def test_two_under_one_name_are_one_on_duty(ledger):
    """A copied name costs the first its duty, and not everybody theirs in turn."""
    async with Process(ledger, "a").running() as first:
        await until(first.works)
        async with Process(ledger, "a").running() as second:
            await until(second.works)
            await until(first.stopped)
            await looks(ledger)
            assert second.works.is_set()
            assert not first.works.is_set()


async def test_without_the_ledger_the_work_stops_before_others_begin(ledger, monkeypatch):
    """A beat that reaches nobody is none: after a while the holder stops by itself."""
    async with Process(ledger, "a").running() as process:
        await until(process.works)

        async def away(*_: object, **__: object) -> None:
            raise LedgerError("the ledger is away")

        monkeypatch.setattr(ledger, "write", away)
        await looks(ledger)
        assert process.works.is_set()
        process.clock.seconds += PACE.gives_up_after
        await until(process.stopped)


async def test_work_that_ends_is_a_fault(ledger):
    """A process with a dead part must not look alive."""

    async def ends() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await OnDuty(ledger, "work", "a", pace=PACE).run(ends)
