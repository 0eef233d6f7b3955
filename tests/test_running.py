"""The tasks of a process: how they end."""

from __future__ import annotations

import asyncio

import pytest

from bot.running import Running


@pytest.mark.parametrize("heeds", [True, False])
async def test_one_that_was_told_to_end_is_waited_for_and_then_cancelled(heeds):
    """Work that ends by itself ends in order; what does not is cancelled after a while."""
    running, told, end = Running(), asyncio.Event(), []

    async def work():
        try:
            await told.wait()
            end.append("in order")
        except asyncio.CancelledError:
            end.append("cancelled")
            raise

    running.add("work", work())
    await asyncio.sleep(0)
    if heeds:
        told.set()
    await running.end("work", within=20 if heeds else 0.01)

    assert end == ["in order" if heeds else "cancelled"]
