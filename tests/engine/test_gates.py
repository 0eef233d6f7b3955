"""Gates to the full, on the real engine: several people, others in turn, single steps, questions that lapse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.ledger.findings import VerifiedState
from activities.ledger.verification import verify
from runbooks.engine.remediation import Remediation
from runbooks.model.action import ActionClass, Effect
from runbooks.model.decision import Answer, Principal
from runbooks.model.plan import GateTerms, Link, Part, Plan
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending, Withheld
from runbooks.model.verdict import Verdict
from runbooks.policy.endings import action_key
from runbooks.policy.story import read_story
from runbooks.ports.case import Reexamination
from tests.engine.house import REMEDIATION, House, action, answer, check_result, plan
from tests.engine.ward import ward

pytestmark = pytest.mark.slow

QUARTER = timedelta(minutes=15)
ONCALL = GateTerms(approvers=("oncall",), need=1, within=QUARTER)
IN_TURN = GateTerms(
    approvers=("oncall",), need=2, within=QUARTER, otherwise=(Link(approvers=("chiefs",), within=QUARTER),)
)
CHIEF = Principal(key="slack:T/CHIEF", name="Chief", groups=("chiefs",))
HEALED = Reexamination(checks=(check_result(Verdict.FAILED),))
TELL = action("tell").model_copy(update={"effect": Effect.TELL, "attempts": 1})


def gated_by(terms: GateTerms) -> Plan:
    return plan().model_copy(update={"gate": terms})


def two_steps(**changes) -> Plan:
    """The first on standing orders, with an undo; the second asks."""
    first = action("first", undo=action("undo_first"))
    second = action("second", **changes).model_copy(update={"gate": ONCALL})
    return plan(first, second, otherwise=(TELL,))


async def test_a_gate_that_too_few_answered_goes_to_the_next_who_are_asked(env):
    """One of the first and one of the next are enough, and both approvals go with the action."""
    house = House(env.client, gated_by(IN_TURN))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            early = await run.execute_update(Remediation.decide, answer(request, principal=CHIEF))
            one = answer(request)
            await run.execute_update(Remediation.decide, one)
            twice = await run.execute_update(Remediation.decide, answer(request))
            await env.sleep(QUARTER + timedelta(seconds=1))
            escalation = await house.case.escalations.get()
            other = answer(request, principal=CHIEF)
            await run.execute_update(Remediation.decide, other)
        closing = await run.result()

    assert early.objection == "you are asked only when oncall did not answer in time"
    assert twice.objection == "you have already answered"
    assert (escalation.link, escalation.approvers) == (1, ("chiefs",))
    assert (request.expires_at - request.opens_at, escalation.asked_until) == (
        2 * QUARTER,
        request.expires_at,
    )
    assert closing.ending is Ending.MITIGATED
    assert house.actions.orders[0].decisions == (one, other)


async def test_a_chain_that_nobody_answers_comes_to_its_end(env):
    """The last word of the chain is that nothing is done."""
    house = House(env.client, gated_by(IN_TURN))

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.sentence) == (
        Ending.EXPIRED,
        "nobody of oncall or chiefs answered in time",
    )
    assert house.case.escalations.qsize() == 1
    assert house.actions.done == []


async def test_a_question_that_is_not_needed_any_more_is_withdrawn_without_being_told(env):
    """A resolved notification may be lost: it is measured again while people are asked."""
    house = House(env.client, plan(gate=True))
    house.case.again = [Reexamination(checks=(check_result(),)), HEALED]

    async with house.running() as run:
        closing = await run.result()

    assert closing.ending is Ending.NOT_NEEDED
    assert [each.outcome for each in house.case.settled] == ["withdrawn"]


async def test_a_step_with_a_gate_of_its_own_waits_for_it(env):
    """It is asked right before that step, and the approval is bound to the step's key."""
    house = House(env.client, two_steps())

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            done_before = list(house.actions.done)
            signed = answer(request)
            await run.execute_update(Remediation.decide, signed)
        closing = await run.result()

    key = action_key(REMEDIATION, Part.DO, "second", house.case.plan.digest)
    assert (request.gate, request.step.key, request.terms) == (f"{REMEDIATION}/step-2", key, ONCALL)
    assert done_before == ["first"]
    assert closing.ending is Ending.MITIGATED
    assert [order.step_decisions for order in house.actions.orders] == [(), (signed,)]
    assert [order.decisions for order in house.actions.orders] == [(), ()]


@pytest.mark.parametrize("says_no", [True, False], ids=["denied", "expired"])
async def test_a_step_that_nobody_agrees_to_ends_it_and_undoes_what_was_done(env, says_no):
    """What was done before it is taken back, and people are told."""
    house = House(env.client, two_steps())

    async with house.running() as run:
        if says_no:
            with env.auto_time_skipping_disabled():
                request = await house.case.asked.get()
                await run.execute_update(Remediation.decide, answer(request, says=Answer.DENIED))
        closing = await run.result()

    assert closing.ending is (Ending.DENIED if says_no else Ending.EXPIRED)
    assert closing.sentence.endswith("Done before that: first. What was done before it is undone.")
    assert house.actions.done == ["first", "undo_first", "tell"]


async def test_a_first_step_that_nobody_agrees_to_is_as_if_the_plan_was_refused(env):
    """Nothing was done, so there is nothing to undo and nobody is called."""
    house = House(env.client, plan(action().model_copy(update={"gate": ONCALL}), otherwise=(TELL,)))

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, house.actions.done) == (Ending.EXPIRED, [])


@pytest.mark.parametrize("helped", [True, False])
async def test_a_step_that_is_not_needed_any_more_is_left_out(env, helped):
    """What was done until then may have helped: that is measured, and undone only if it did not."""
    house = House(env.client, two_steps())
    house.case.again = [HEALED]
    house.case.verifications = [] if helped else [Verdict.FAILED] * 999

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
        closing = await run.result()

    assert closing.ending is (Ending.MITIGATED if helped else Ending.ROLLED_BACK)
    assert house.actions.done == (["first"] if helped else ["first", "undo_first", "tell"])


async def test_a_freeze_at_a_steps_gate_undoes_nothing(env):
    """To undo is to act: what was done before stays, and people are told."""
    house = House(env.client, two_steps())
    house.case.again = [Reexamination(withheld=Withheld(reason="frozen", sentence="frozen by bob"))]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
        closing = await run.result()

    assert (closing.ending, closing.sentence) == (Ending.STOPPED, "frozen by bob. Done before that: first.")
    assert house.actions.done == ["first", "tell"]


async def test_who_agreed_to_a_step_is_asked_what_became_of_it(env):
    """Where nobody can know whether a gated step happened, its own approvers judge that."""
    house = House(env.client, two_steps(kind=ActionClass.OPAQUE))
    house.actions.receipts["second"] = ["unknown:needs_person"]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
            doubt = await house.case.asked.get()
            verdict = answer(doubt, says=Answer.HAPPENED, about=doubt.doubt.key)
            await run.execute_update(Remediation.decide, verdict)
        closing = await run.result()

    assert doubt.terms == ONCALL
    assert closing.ending is Ending.MITIGATED


async def test_a_gate_in_turn_and_a_steps_gate_with_everything_real_but_the_people(env, tmp_path):
    """From the alert to the ending, through ledger, listener and guard, and the record can be verified."""
    gate = "gate: {approvers: [oncall], need: 2, within: 15m, otherwise: [chiefs, within 15m, stop]}"
    async with ward(tmp_path, env.client) as real:
        real.people.groups["slack:T/chief"] = ("chiefs",)
        run = await real.admit("web-1", gate=gate, step_gate="gate: {approvers: [oncall], within: 15m}")
        (asked,) = await real.recorded(RecordKind.GATE_ASKED)
        await real.answers.receive(real.click(asked.data["gate"], "alice"))
        await real.recorded(RecordKind.DECISION)
        await env.sleep(QUARTER + timedelta(seconds=1))
        await real.recorded(RecordKind.GATE_ESCALATED)
        await real.answers.receive(real.click(asked.data["gate"], "chief"))
        _, step = await real.recorded(RecordKind.GATE_ASKED, 2)
        acted_before = sum(real.effects.values())
        await real.answers.receive(real.click(step.data["gate"], "bob"))
        # To wait for the result lets time pass, and the gate's could be over before this answer is there.
        await real.recorded(RecordKind.DECISION, 3)
        await run.result()
        story = read_story((await real.streams())[asked.stream])
        found = await real.surgery.ledger.read(verify)

    assert (acted_before, real.effects["web-1"]) == (0, 1)
    assert [each.outcome for each in story.gates] == ["approved", "approved"]
    assert story.ending is Ending.MITIGATED
    assert (found.state, found.problem) == (VerifiedState.OK, "")
