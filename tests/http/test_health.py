"""Health and the other answers."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from temporalio.client import Client

from activities.ledger.sqlite import LOCK_TIMEOUT_MS
from bot.http import health as health_module
from bot.http.health import Health, NotReadyError, temporal_is_reachable
from tests.components import free_port


class Part:
    """A part whose check can be told what to find, and counts how often it was asked."""

    def __init__(self):
        self.asked = 0
        self.problem = ""

    async def __call__(self):
        self.asked += 1
        if self.problem:
            raise NotReadyError(self.problem)


async def test_is_ready_when_every_part_is(way):
    """Ready, with the word of each part."""
    async with way.sender(token=None) as visitor:
        answer = await visitor.request("GET", "/readyz")

    assert (answer.status_code, answer.json()) == (200, {"ready": True, "ledger": "writable"})


@pytest.mark.slow
async def test_is_alive_and_not_ready_while_the_ledger_is_locked(way, monkeypatch):
    """Readiness names the part that cannot work; being alive does not depend on it."""
    assert health_module.PATIENCE > LOCK_TIMEOUT_MS / 1000  # else nobody hears what is wrong
    monkeypatch.setattr(health_module, "PATIENCE", 20.0)
    lock = sqlite3.connect(way.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    async with way.sender(token=None) as visitor:
        ready, alive = await visitor.request("GET", "/readyz"), await visitor.request("GET", "/healthz")
    lock.close()

    assert ready.status_code == 503
    assert "locked" in ready.json()["ledger"]
    assert alive.status_code == 200


async def test_asks_the_parts_at_most_once_a_second():
    """However often readiness is asked for, the parts are asked once a second."""
    now, part = 100.0, Part()
    health = Health({"part": ("well", part)}, clock=lambda: now)
    await asyncio.gather(*(health.words() for _ in range(50)))
    assert part.asked == 1

    now, part.problem = 101.0, "broken"
    assert await health.words() == (False, {"part": "broken"})
    assert part.asked == 2


async def test_a_part_that_does_not_answer_is_not_ready(monkeypatch):
    """A check has a deadline of its own."""
    monkeypatch.setattr(health_module, "PATIENCE", 0.01)

    async def hang():
        await asyncio.Event().wait()

    assert await Health({"part": ("well", hang)}).words() == (False, {"part": "no answer within 0.01 s"})


async def test_says_that_temporal_is_not_reachable():
    """A Temporal that is away is a word in the answer, not an error."""
    client = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)
    ready, words = await Health({"temporal": temporal_is_reachable(client)}).words()

    assert not ready
    assert words["temporal"].startswith(("not reachable", "no answer"))


async def test_a_broken_answer_says_nothing_of_its_cause(way, monkeypatch):
    """A fault of ours is a 500 in JSON that shows no inside, and is counted."""

    def broken(*_):
        raise ValueError("secret inside")

    monkeypatch.setattr(way.intake, "read", broken)
    async with way.sender() as sender:
        answer = await sender.post({"version": "4", "alerts": []})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert way.counted("paramedic_receiver_answers_total", code="500") == 1
