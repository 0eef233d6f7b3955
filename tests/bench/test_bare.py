"""The bare program is a fair measure only if it does its work."""

from __future__ import annotations

import asyncio

import pytest

from bench.bare import Inbox
from bench.contenders import run_bare
from bench.load import Driver
from bench.sink import sink
from bench.wire import connected


@pytest.mark.slow
async def test_the_bare_program_looks_acts_and_looks_again(tmp_path):
    """
    An alert that is sent twice is acted on once and verified, and its workflow closes.
    """
    async with sink(tmp_path) as target, run_bare(tmp_path, target.port) as bare:
        post = Driver(bare, target).post(["checkout-1"])
        async with connected(bare.port) as connection:
            first = await connection.ask(post.request)
            again = await connection.ask(post.request)
        await target.wait_for_verified(1)
        while not (endings := await bare.endings()):  # noqa: ASYNC110 - Temporal tells only when asked
            await asyncio.sleep(0.02)
        log = await target.log()

    assert (first.status, again.status) == (200, 200)
    acted, verified = log["checkout-1"].acted, log["checkout-1"].verified
    assert len(acted) == 1
    assert acted[0] < verified
    assert endings.keys() == {"checkout-1"}


async def test_what_the_inbox_has_not_handed_on_survives_a_restart(tmp_path):
    """
    The inbox tells new from known, and an entry that Temporal never got is there after a restart.
    """
    loop, path = asyncio.get_running_loop(), str(tmp_path / "inbox.db")
    inbox = Inbox(path, loop)
    first = await inbox.add([("a", "node-1"), ("b", "node-2")])
    second = await inbox.add([("b", "node-2"), ("c", "node-3")])
    inbox.finish("b")
    inbox.close()

    reopened = Inbox(path, loop)
    left = reopened.unfinished()
    reopened.close()

    assert first == [("a", "node-1"), ("b", "node-2")]
    assert second == [("c", "node-3")]
    assert sorted(left) == [("a", "node-1"), ("c", "node-3")]
