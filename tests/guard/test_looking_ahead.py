"""Looking ahead: what is admitted is measured while that is still being written, once, and nothing else is."""

from __future__ import annotations

import asyncio
import threading

import pytest

from activities.actions import Measurement
from activities.ledger import admission
from runbooks.model.record import RecordKind
from tests.guard.surgery import Surgery


@pytest.fixture
def measured(surgery: Surgery, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every measurement that is begun."""
    begun: list[object] = []
    measure = surgery.performer.measure

    def count(check, facts):
        begun.append(check)
        return measure(check, facts)

    monkeypatch.setattr(surgery.performer, "measure", count)
    return begun


async def test_measures_once(surgery, measured):
    """What was measured ahead is not measured again."""
    await surgery.examine()

    assert len(measured) == 1
    assert len(await surgery.records(RecordKind.CHECK)) == 1


async def test_leaves_the_target_alone_where_nothing_may_begin(surgery, measured):
    """While frozen nobody even looks: a storm behind a freeze costs the systems that are asked nothing."""
    surgery.freeze_file.touch()

    await surgery.examine()

    assert measured == []


async def test_a_measurement_ahead_ends_with_its_examination(surgery, monkeypatch):
    """Where the ledger refuses what was decided, nothing goes on measuring for nobody."""
    begun, ended = threading.Event(), asyncio.Event()

    async def hang(check, facts) -> Measurement:
        begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    def refuse(*_, decided, **__):
        decided(admission.NO_ALERT)
        assert begun.wait(20)
        raise RuntimeError("no")

    monkeypatch.setattr(surgery.performer, "measure", hang)
    monkeypatch.setattr(admission, "admit", refuse)

    with pytest.raises(RuntimeError):
        await surgery.examine()
    async with asyncio.timeout(20):
        await ended.wait()
