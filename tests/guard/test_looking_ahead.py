"""Looking ahead: what is measured while the admission is written counts only where nobody was at the target meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from activities.actions import Measurement
from activities.ledger import admission, leases
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


async def test_measures_again_where_somebody_took_the_target_meanwhile(surgery, measured, monkeypatch):
    """Another remediation that came and went may have changed what was measured ahead."""
    write = surgery.ledger.write

    async def slowly(work, **more):
        def after_another(transaction):
            leases.take_lease(transaction, "web", "R-OTHER1", at=datetime.now(UTC))
            leases.release_lease(transaction, "R-OTHER1")
            return work(transaction)

        return await write(after_another, **more)

    receive = surgery.receive

    async def received(*arguments, **more):
        entry = await receive(*arguments, **more)
        monkeypatch.setattr(surgery.ledger, "write", slowly)
        return entry

    monkeypatch.setattr(surgery, "receive", received)

    found = await surgery.examine()

    assert found.fencing == 2
    assert len(measured) == 2
    assert len(await surgery.records(RecordKind.CHECK)) == 1


async def test_a_measurement_ahead_ends_with_its_examination(surgery, monkeypatch):
    """Where the ledger refuses the admission, nothing goes on measuring for nobody."""
    ended = asyncio.Event()

    async def hang(check, facts) -> Measurement:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    def refuse(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(surgery.performer, "measure", hang)
    monkeypatch.setattr(admission, "admit", refuse)

    with pytest.raises(RuntimeError):
        await surgery.examine()
    async with asyncio.timeout(5):
        await ended.wait()
