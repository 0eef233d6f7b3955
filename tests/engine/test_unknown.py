"""What the engine does when nobody can know whether an action happened: a person says."""

from __future__ import annotations

import pytest

from runbooks.engine.remediation import Remediation
from runbooks.model.action import ActionClass, Effect, Outcome
from runbooks.model.decision import Answer, Principal
from runbooks.model.plan import Part
from runbooks.model.remediation import Ending
from runbooks.model.verdict import Verdict
from runbooks.policy.endings import action_key
from tests.engine.house import House, action, answer, plan

pytestmark = pytest.mark.slow

CALL_PEOPLE = action("escalate").model_copy(update={"effect": Effect.TELL, "arguments": {"to": "oncall"}})


def opaque(step: str = "restart", **more):
    return action(step, kind=ActionClass.OPAQUE, attempts=1, **more)


def house_in_doubt(env, *actions, gate: bool = False, **receipts) -> House:
    house = House(env.client, plan(*(actions or (opaque(),)), gate=gate, otherwise=(CALL_PEOPLE,)))
    house.actions.receipts = {step: list(each) for step, each in receipts.items()}
    return house


def verdict(request, says: Answer, person: str = "slack:T/U1", **changes):
    return answer(request, person, says=says, **{"about": request.doubt.key, **changes})


async def outcome_after(env, house: House, *says: Answer):
    """Answer one question after the other, and return the ending."""
    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            for each in says:
                await run.execute_update(Remediation.decide, verdict(await house.case.asked.get(), each))
        return await run.result()


async def test_asks_those_whom_otherwise_calls_with_what_is_known(env):
    """Without a gate, those are asked who would be called; they see what was found out, for this one key."""
    house = house_in_doubt(env, restart=["unknown:needs_person"])

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            await run.execute_update(Remediation.decide, verdict(request, Answer.STOP))

    assert (request.gate, request.terms.approvers, request.terms.need) == (
        "R-7F3K2Q/verdict-1",
        ("oncall",),
        1,
    )
    assert (request.doubt.name, request.doubt.evidence) == ("restart", "so it went")
    assert request.doubt.key == action_key("R-7F3K2Q", Part.DO, "restart", house.case.plan.digest)


async def test_goes_on_where_a_person_says_that_it_happened(env):
    """What is attested counts as done: the next action follows, and it is verified."""
    house = house_in_doubt(env, opaque("a"), action("b"), a=["unknown:needs_person"])

    closing = await outcome_after(env, house, Answer.HAPPENED)

    assert (closing.ending, closing.keep_lease) == (Ending.MITIGATED, False)
    assert house.actions.done == ["a", "b"]
    assert [each.outcome for each in house.case.settled] == ["happened"]


async def test_does_it_again_under_a_new_key_with_the_verdict_beside_it(env):
    """Doing it again is meant to happen again: another key, the first attempt, and the signed answer."""
    house = house_in_doubt(env, gate=True, restart=["unknown:needs_person", "ok"])

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
            said = verdict(await house.case.asked.get(), Answer.AGAIN)
            await run.execute_update(Remediation.decide, said)
        closing = await run.result()

    first, second = house.actions.orders
    digest = house.case.plan.digest
    assert closing.ending is Ending.MITIGATED
    assert (second.iteration, second.attempt, second.verdicts) == (2, 1, (said,))
    assert second.key == action_key("R-7F3K2Q", Part.DO, "restart", digest, 2) != first.key
    assert second.decisions == first.decisions != ()


async def test_asks_once_more_where_the_second_time_is_unknown_as_well(env):
    """Each time has a question of its own, about its own key."""
    house = house_in_doubt(env, restart=["unknown:needs_person", "unknown:timeout", "ok"])

    closing = await outcome_after(env, house, Answer.AGAIN, Answer.AGAIN)

    assert closing.ending is Ending.MITIGATED
    assert [order.iteration for order in house.actions.orders] == [1, 2, 3]
    assert [each.gate for each in house.case.settled] == ["R-7F3K2Q/verdict-1", "R-7F3K2Q/verdict-2"]


@pytest.mark.parametrize("later", ["refused:frozen", "not_sent:not_sent"])
async def test_what_was_not_done_again_is_as_unknown_as_before(env, later):
    """A refusal of the second time says nothing about the first, so people are asked again."""
    house = house_in_doubt(env, restart=["unknown:needs_person", later])

    closing = await outcome_after(env, house, Answer.AGAIN, Answer.STOP)

    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, True)
    assert "Then it was not done" in closing.sentence


async def test_stops_where_a_person_says_so_and_keeps_the_target(env):
    """To stop is not to say that the target is fine: it is kept until somebody gives it back."""
    house = house_in_doubt(env, opaque("a"), action("b"), a=["unknown:needs_person"])

    closing = await outcome_after(env, house, Answer.STOP)

    assert (closing.ending, closing.reason, closing.keep_lease) == (Ending.FAILED, "verdict_stopped", True)
    assert "U1 said to stop here" in closing.sentence
    assert house.actions.done == ["a", "escalate"]


async def test_calls_people_where_nobody_answers(env):
    """The question expires; people are called, and the target is kept."""
    house = house_in_doubt(env, restart=["unknown:needs_person"])

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.reason, closing.keep_lease) == (Ending.FAILED, "verdict_expired", True)
    assert house.actions.done == ["restart", "escalate"]
    assert [each.outcome for each in house.case.settled] == ["expired"]


async def test_asks_nobody_about_a_message_to_people(env):
    """That nobody knows whether people were told is no reason to ask them."""
    house = house_in_doubt(env, restart=["failed"], escalate=["unknown:timeout"] * 9)

    async with house.running() as run:
        closing = await run.result()

    assert closing.ending is Ending.FAILED
    assert house.case.asked.empty()


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"about": "another key"}, "another question"),
        ({"answer": Answer.APPROVED}, "another question"),
        ({"principal": Principal(key="slack:T/eve")}, "not in oncall"),
    ],
)
async def test_refuses_answers_that_are_no_verdict_about_this_action(env, changes, objection):
    """A refused answer is on record, and the question stays open."""
    house = house_in_doubt(env, restart=["unknown:needs_person"])

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            said = verdict(request, Answer.HAPPENED, **changes)
            judgement = await run.execute_update(Remediation.decide, said)
            await run.execute_update(Remediation.decide, verdict(request, Answer.STOP))

    assert objection in judgement.objection
    assert [hearing.signed for hearing in house.case.refused] == [said]
    assert len(house.case.judged) == 1


async def test_keeps_the_target_where_nobody_knows_whether_it_was_undone(env):
    """Undo is an action like any other: people are asked, and what is before it is left alone."""
    first, second = action("a", undo=opaque("undo_a")), action("b", undo=opaque("undo_b"))
    house = house_in_doubt(env, first, second, undo_b=["unknown:needs_person"])
    house.case.verifications = [Verdict.FAILED] * 999

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.reason, closing.keep_lease) == (Ending.FAILED, "undo_unknown", True)
    assert house.actions.done == ["a", "b", "undo_b", "escalate"]


async def test_an_undo_that_a_person_attests_counts_as_done(env):
    """The verdict about an undo is bound to the undo's own key."""
    first = action("a", undo=opaque("undo_a"))
    house = house_in_doubt(env, first, action("b"), b=["failed"], undo_a=["unknown:needs_person"])

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            await run.execute_update(Remediation.decide, verdict(request, Answer.HAPPENED))
        closing = await run.result()

    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, False)
    assert "What was done before it is undone." in closing.sentence
    assert request.doubt.part == Part.UNDO


async def test_what_was_unknown_stays_so_when_the_ledger_goes_away(env):
    """An attempt that could not be looked into says nothing about the one before it."""
    house = house_in_doubt(env, action(), restart=[Outcome.UNKNOWN, *["not_sent:ledger_unavailable"] * 999])

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, True)


async def test_what_was_never_tried_ends_so_when_the_ledger_stays_away(env):
    """Without the ledger nothing was done, and that is known."""
    house = house_in_doubt(env, restart=["not_sent:ledger_unavailable"] * 999)

    async with house.running() as run:
        closing = await run.result()

    assert (closing.ending, closing.reason) == (Ending.FAILED, "ledger_unavailable")
    assert not closing.keep_lease


async def test_survives_being_replayed_with_a_verdict(env):
    """Without a cache every workflow task replays the whole history, and nothing is decided differently."""
    house = house_in_doubt(env, restart=["unknown:needs_person", "ok"])

    async with house.running(cache=0) as run:
        with env.auto_time_skipping_disabled():
            said = verdict(await house.case.asked.get(), Answer.AGAIN)
            await run.execute_update(Remediation.decide, said)
        closing = await run.result()

    assert closing.ending is Ending.MITIGATED
