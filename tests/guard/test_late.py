"""Attempts that come too late, and actions that cannot even be prepared: nothing is done by them."""

from __future__ import annotations

import asyncio
import time

import pytest

from activities.actions import Probe, ProbeAnswer
from runbooks.errors import FailedError, NotSentError
from runbooks.model.action import Outcome
from runbooks.model.plan import Part
from runbooks.model.record import RecordKind
from runbooks.policy.endings import action_key
from tests.guard.surgery import in_time


async def begin(surgery, uses="test.opaque", **changes):
    """Let an attempt come as far as its intent, and no further."""
    assignment = await surgery.guard._assign(surgery.order(**changes), uses)
    assert (await surgery.guard._commission(assignment)).receipt is None


async def lose_the_first(surgery, monkeypatch):
    """A first attempt has begun, nothing was applied, and its time is over."""
    await surgery.examine(uses="test.probed")
    surgery.world.probe = ProbeAnswer(probe=Probe.NOT_APPLIED, sentence="not applied")
    monkeypatch.setattr("activities.guard._time_left", lambda *_: 0)
    await begin(surgery, "test.probed")


def before_beginning_again(surgery, monkeypatch, attempt, meanwhile):
    """Let this attempt's worker stand still after its last probe, until `meanwhile` is over."""
    begin_again, stood = surgery.guard._begin_again, []

    async def stand_still(assignment, commission):
        if assignment.order.attempt == attempt and not stood:
            stood.append(attempt)
            await meanwhile()
        return await begin_again(assignment, commission)

    monkeypatch.setattr(surgery.guard, "_begin_again", stand_still)


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


async def test_an_attempt_that_stood_still_after_its_probe_finds_what_is_done(surgery, monkeypatch):
    """The target said that nothing was applied; by now the next attempt has applied it."""
    await lose_the_first(surgery, monkeypatch)
    before_beginning_again(surgery, monkeypatch, 2, lambda: surgery.attend(surgery.order(attempt=3)))

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert (receipt.outcome, receipt.attempt, receipt.recovered) == (Outcome.OK, 3, True)
    assert len(surgery.world.calls) == 1


async def test_an_attempt_that_stood_still_after_its_probe_gives_way_to_a_later_one(surgery, monkeypatch):
    """The next attempt has asked the target as well, has begun, and may be acting right now."""
    await lose_the_first(surgery, monkeypatch)

    async def the_third_begins():
        assignment = await surgery.guard._assign(surgery.order(attempt=3), "test.probed")
        commission = await surgery.guard._commission(assignment)
        assert (await surgery.guard._settle_by_probe(assignment, commission)).receipt is None

    before_beginning_again(surgery, monkeypatch, 2, the_third_begins)

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "too_late")
    assert surgery.world.calls == []


async def test_what_begins_after_the_probe_is_asked_about_as_well(surgery, monkeypatch):
    """The second attempt wakes up and begins between the third's probe and the third's intent."""
    await lose_the_first(surgery, monkeypatch)

    async def the_second_acts_and_is_lost():
        assignment = await surgery.guard._assign(surgery.order(attempt=2), "test.probed")
        commission = await surgery.guard._commission(assignment)
        assert (await surgery.guard._settle_by_probe(assignment, commission)).receipt is None
        surgery.world.probe = ProbeAnswer(probe=Probe.APPLIED, sentence="applied")

    before_beginning_again(surgery, monkeypatch, 3, the_second_acts_and_is_lost)

    receipt = await surgery.attend(surgery.order(attempt=3))

    assert (receipt.outcome, receipt.sentence) == (Outcome.OK, "applied")
    assert surgery.world.calls == []


async def test_an_attempt_acts_no_longer_than_its_time_after_the_intent(surgery):
    """Others wait for one such time and no more: what went by before it acts is not given twice."""
    await surgery.examine()
    assignment = in_time(await surgery.guard._assign(surgery.order(), "test.keyed"), 3600)

    async with asyncio.timeout(30):
        receipt = await surgery.guard._act(assignment, asyncio.Event().wait, time.monotonic() - 3599)

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "timeout")


@pytest.mark.parametrize("cause", ["freeze", "unprepared"])
async def test_what_is_on_record_as_done_stays_done(surgery, cause):
    """A brake or a target that cannot be seen says nothing about what has a receipt."""
    await surgery.examine(uses="test.probed")
    await surgery.attend(surgery.order())
    if cause == "freeze":
        surgery.freeze_file.touch()
    else:
        surgery.world.unprepared = NotSentError("connection refused")

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert (receipt.outcome, receipt.recovered) == (Outcome.OK, True)
    assert len(surgery.world.calls) == 1
    assert await surgery.records(RecordKind.ACTION_UNKNOWN) == []


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
    prepare = surgery.guard._prepare
    monkeypatch.setattr(surgery.guard, "_prepare", lambda each, now: prepare(in_time(each, 0.1), now))

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.NOT_SENT, "timeout")
