"""Attempts that come too late, and actions that cannot even be prepared: nothing is done by them."""

from __future__ import annotations

import asyncio

import pytest

from runbooks.errors import FailedError, NotSentError
from runbooks.model.action import Outcome
from runbooks.model.plan import Part
from runbooks.model.record import RecordKind
from runbooks.policy.endings import action_key


async def begin(surgery, **changes):
    """Let an attempt come as far as its intent, and no further."""
    assignment = await surgery.guard._assign(surgery.order(**changes), "test.opaque")
    assert (await surgery.guard._commission(assignment)).receipt is None


async def test_an_attempt_does_nothing_once_a_later_one_has_begun(surgery):
    """A worker that stood still before its intent wakes up beside the one that took over."""
    await surgery.examine(uses="test.opaque")
    await begin(surgery, attempt=2)

    receipt = await surgery.attend(surgery.order(attempt=1))

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "too_late")
    assert surgery.world.calls == []
    assert len(await surgery.records(RecordKind.ACTION_INTENT)) == 1


async def test_an_attempt_does_nothing_once_people_had_it_done_again(surgery, monkeypatch):
    """What was done again under another key is not done once more by whoever was late the first time."""
    await surgery.examine(uses="test.opaque")
    monkeypatch.setattr(surgery.guard, "_object", lambda *_: None)  # who allowed it is not the question here
    again = action_key(surgery.found.remediation, Part.DO, surgery.order().step, surgery.outline.digest, 2)
    await begin(surgery, iteration=2, key=again)

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "too_late")
    assert surgery.world.calls == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotSentError("connection refused"), "not_sent"),
        (FailedError("no such process"), "failed"),
        (TimeoutError(), "timeout"),
        (KeyError("pid"), "error"),
    ],
)
async def test_what_cannot_be_prepared_was_not_done(surgery, error, reason):
    """To prepare is to look: whatever it raises, nothing has happened, and the record says so."""
    await surgery.examine(uses="test.probed")
    surgery.world.unprepared = error

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.NOT_SENT, reason)
    assert surgery.world.calls == []
    assert (await surgery.records())[-1].outcome == Outcome.NOT_SENT
    assert await surgery.records(RecordKind.ACTION_INTENT) == []


async def test_a_freeze_while_it_is_prepared_stops_it(surgery, monkeypatch):
    """To look may take as long as to act, and the brake is pulled meanwhile."""
    await surgery.examine(uses="test.probed")
    prepare = surgery.guard._prepare

    async def prepare_and_freeze(*arguments):
        surgery.freeze_file.touch()
        return await prepare(*arguments)

    monkeypatch.setattr(surgery.guard, "_prepare", prepare_and_freeze)

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "frozen")
    assert surgery.world.calls == []


async def test_to_prepare_takes_no_longer_than_to_act_may(surgery, monkeypatch):
    """A target that does not answer the question how it is does not hold the worker for ever."""
    await surgery.examine(uses="test.probed")
    assignment = await surgery.guard._assign(surgery.order(), "test.probed")

    async def never(*_):
        await asyncio.Event().wait()

    object.__setattr__(
        assignment.each, "prepare", never
    )  # a frozen dataclass; this registry is the test's own

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.NOT_SENT, "timeout")
