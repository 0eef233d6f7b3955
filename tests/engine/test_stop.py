"""A person stops a remediation: whatever it waits for, it ends before its next action."""

from __future__ import annotations

import pytest

from runbooks.engine.remediation import Remediation
from runbooks.model.action import ActionClass, Outcome
from runbooks.model.remediation import Ending, Stopping, Withheld
from runbooks.model.verdict import Verdict
from runbooks.ports.case import Reexamination
from tests.engine.house import REMEDIATION, House, action, answer, arrival, plan

pytestmark = pytest.mark.slow

STOP = Stopping(remediation=REMEDIATION, sentence="It was stopped by alice: nothing more is done.")


async def test_a_stop_at_the_gate_withdraws_the_question(env):
    """Whoever would answer is not asked any more, and the ending says who stopped it."""
    house = House(env.client, plan(gate=True))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await house.case.asked.get()
            await run.signal(Remediation.stop, STOP)
            closing = await run.result()

    assert (closing.ending, closing.reason) == (Ending.STOPPED, "stopped_by_person")
    assert closing.sentence == STOP.sentence
    assert [each.outcome for each in house.case.settled] == ["withdrawn"]
    assert house.actions.done == []


async def test_a_stop_during_the_checks_asks_nobody(env):
    """What was stopped before there was a question ends without one."""
    house = House(env.client, plan(gate=True))

    async with house.running(start=False) as run:
        with env.auto_time_skipping_disabled():
            await run.signal(Remediation.stop, STOP)
            await run.signal(Remediation.arrive, arrival("e1"))
            closing = await run.result()

    assert closing.ending is Ending.STOPPED
    assert house.case.asked.empty()
    assert house.actions.done == []


async def test_a_stop_after_the_approval_lets_nothing_begin(env):
    """The second look finds it on record, whether or not the workflow was told."""
    house = House(env.client, plan(gate=True))
    withheld = Withheld(reason="stopped_by_person", sentence=STOP.sentence)
    house.case.again = [Reexamination(withheld=withheld)]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
            closing = await run.result()

    assert (closing.ending, closing.reason) == (Ending.STOPPED, "stopped_by_person")
    assert house.actions.done == []


async def test_an_action_that_the_guard_refuses_for_it_ends_the_rest(env):
    """Between two actions the guard knows first; what was done stays done, and people are told."""
    house = House(
        env.client, plan(action("a", undo=action("undo_a")), action("b"), otherwise=(action("tell"),))
    )
    house.actions.receipts["b"] = [f"{Outcome.REFUSED}:stopped_by_person"]

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.reason) == (Ending.STOPPED, "stopped_by_person")
    assert house.actions.done == ["a", "b", "tell"]


async def test_a_stop_during_verification_undoes_nothing(env):
    """To undo is to act: it ends as it is, and says that nobody knows whether it helped."""
    house = House(env.client, plan(action(undo=action("undo")), otherwise=(action("tell"),)))
    house.case.verifications = [Verdict.FAILED] * 1000

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await house.case.looked.wait()
            await run.signal(Remediation.stop, STOP)
            closing = await run.result()

    assert (closing.ending, closing.reason) == (Ending.STOPPED, "stopped_by_person")
    assert "nobody knows yet whether it helped" in closing.sentence
    assert house.actions.done == ["restart", "tell"]


async def test_a_stop_hides_no_unknown_outcome(env):
    """Where people are asked what became of an action, the question goes, and the target stays kept."""
    house = House(env.client, plan(action(kind=ActionClass.OPAQUE), gate=True))
    house.actions.receipts["restart"] = [Outcome.UNKNOWN]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
            await house.case.asked.get()
            await run.signal(Remediation.stop, STOP)
            closing = await run.result()

    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, True)
    assert "stopped by alice" in closing.sentence


async def test_a_stop_that_was_meant_for_another_turn_stops_nothing(env):
    """The workflow's name is used again for the next remediation; a late word about the one before is no word about it."""
    house = House(env.client, plan(gate=True))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            await run.signal(Remediation.stop, STOP.model_copy(update={"remediation": "R-BEFORE"}))
            await run.execute_update(Remediation.decide, answer(request))
            closing = await run.result()

    assert closing.ending is Ending.MITIGATED
