"""What a busy time left behind goes back when it is quiet, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from bot import trimming
from tests.components import leave_out


class Ring:
    """What only the garbage collector frees."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def by_hand():
    """The collector comes only when it is called, as it nearly is in the bot."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@contextlib.asynccontextmanager
async def trimming_while_in_here():
    if not trimming.can_trim():
        leave_out("this C library gives nothing back on demand")
    task = asyncio.create_task(trimming.keep_trimming())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def left_behind():
    """Return what is set when a ring that nobody holds any more is freed."""
    freed, ring = asyncio.Event(), Ring()
    weakref.finalize(ring, freed.set)
    return freed


async def test_what_the_start_left_behind_is_freed(by_hand, monkeypatch):
    monkeypatch.setattr(trimming, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(trimming, "BUSY", 1000.0)
    freed = left_behind()
    async with trimming_while_in_here():
        await asyncio.wait_for(freed.wait(), timeout=20)


async def test_after_each_busy_time_it_is_freed_once_it_is_quiet(by_hand, monkeypatch):
    monkeypatch.setattr(trimming, "LOOK_EVERY", 0.01)
    looks = Looks(monkeypatch)
    async with trimming_while_in_here():
        await looks.see(busy=False)
        freed = left_behind()
        await looks.see(busy=False)
        quiet_only = freed.is_set()
        await looks.see(busy=True)
        while_busy = freed.is_set()
        await looks.see(busy=False)

    assert (quiet_only, while_busy, freed.is_set()) == (False, False, True)


class Looks:
    """Says of each look whether the time since the last one was busy."""

    def __init__(self, monkeypatch):
        self._used = 0.0
        self._is_waiting = asyncio.Event()
        self._go_on = asyncio.Event()
        monkeypatch.setattr(trimming.time, "process_time", lambda: self._used)
        monkeypatch.setattr(trimming.asyncio, "sleep", self._sleep)

    async def _sleep(self, _seconds):
        self._is_waiting.set()
        await self._go_on.wait()
        self._go_on.clear()

    async def see(self, *, busy):
        """Let one look pass, until it waits for the next."""
        await self._is_waiting.wait()
        self._is_waiting.clear()
        self._used += 1.0 if busy else 0.0
        self._go_on.set()
        await self._is_waiting.wait()
