"""The engine's rules, each on the real engine and a time-skipping Temporal server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from runbooks.engine.remediation import Remediation
from runbooks.model.action import ActionClass, Outcome
from runbooks.model.alert import AlertStatus
from runbooks.model.decision import Answer, Principal
from runbooks.model.plan import Part
from runbooks.model.remediation import Ending, Withheld
from runbooks.model.verdict import Verdict
from runbooks.policy.endings import action_key
from runbooks.ports.case import Reexamination
from tests.engine.house import House, action, answer, arrival, check_result, plan

pytestmark = pytest.mark.slow


async def outcome_of(house: House):
    async with house.running() as run:
        return await run.result()


async def test_acts_and_verifies_without_asking_where_standing_orders_allow_it(env):
    """A plan without a gate is carried out, verified and closed as mitigated."""
    house = House(env.client, plan(action("first"), action("second")))

    closing = await outcome_of(house)

    assert closing.ending is Ending.MITIGATED
    assert house.actions.done == ["first", "second"]
    assert [look.final for look in house.case.looks] == [False]
    assert house.case.closed == [closing]


async def test_gives_every_attempt_at_an_action_the_same_key(env):
    """The key depends on remediation, part, step and plan, never on the attempt or the run."""
    house = House(env.client, plan())
    house.actions.receipts["restart"] = [Outcome.NOT_SENT, Outcome.UNKNOWN, Outcome.OK]

    closing = await outcome_of(house)

    assert closing.ending is Ending.MITIGATED
    assert [order.attempt for order in house.actions.orders] == [1, 2, 3]
    assert {order.key for order in house.actions.orders} == {
        action_key("R-7F3K2Q", Part.DO, "restart", house.case.plan.digest)
    }


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (Verdict.FAILED, Ending.NOT_NEEDED),
        (Verdict.INCONCLUSIVE, Ending.WITHHELD),
        (Verdict.ERROR, Ending.WITHHELD),
    ],
)
async def test_does_nothing_unless_every_check_passed(env, verdict, ending):
    """Only a clear yes lets a remediation go on."""
    house = House(env.client, plan())
    house.case.before = (check_result(), check_result(verdict))

    closing = await outcome_of(house)

    assert closing.ending is ending
    assert house.actions.done == []


async def test_does_nothing_without_a_check(env):
    """A runbook whose checks were all left out measures nothing, so it may not act."""
    house = House(env.client, plan())
    house.case.before = ()

    assert (await outcome_of(house)).ending is Ending.WITHHELD
    assert house.actions.done == []


async def test_ends_where_admission_refuses(env):
    """What admission withholds is recorded with its reason, and nothing else happens."""
    house = House(env.client, plan())
    house.case.withheld = Withheld(reason="frozen", sentence="frozen by alice")

    closing = await outcome_of(house)

    assert (closing.ending, closing.reason) == (Ending.WITHHELD, "frozen")
    assert house.actions.done == []


async def test_only_observes_where_it_may_only_observe(env):
    """A runbook that observes ends with its plan on record."""
    house = House(env.client, plan())
    house.case.observe = True

    assert (await outcome_of(house)).reason == "observe"
    assert house.actions.done == []


async def test_opens_nothing_where_everything_was_handled_before(env):
    """An entry that was delivered twice does not make a second remediation."""
    house = House(env.client, plan())
    house.case.nothing_new = True

    assert await outcome_of(house) is None
    assert house.case.closed == []


async def test_examines_again_what_came_in_while_the_first_was_nothing_new(env):
    """An alert that arrives during a long examination is not dropped with the others."""
    house = House(env.client, plan())
    house.case.nothing_new = True
    house.case.examining.clear()

    async with house.running(task_timeout=timedelta(seconds=1)) as run:
        with env.auto_time_skipping_disabled():
            await house.case.called.wait()
            await run.signal(Remediation.arrive, arrival("e2"))
            while len(await tasks_of(run)) < 2:  # noqa: ASYNC110 - only the server knows; the long one gets the signal
                await asyncio.sleep(0.05)
            house.case.examining.set()
            await run.result()

    assert [call.entries for call in house.case.calls] == [("e1",), ("e1", "e2")]


async def tasks_of(run):
    events = (await run.fetch_history()).events
    return [each for each in events if each.HasField("workflow_task_completed_event_attributes")]


async def test_acts_on_an_alert_that_comes_by_signal_only(env):
    """A workflow that was started by hand waits a while for somebody to call in."""
    house = House(env.client, plan())

    async with house.running(start=False) as run:
        with env.auto_time_skipping_disabled():
            await run.signal(Remediation.arrive, arrival("e9"))
            assert (await run.result()).ending is Ending.MITIGATED

    assert [call.entries for call in house.case.calls] == [("e9",)]


async def test_takes_in_several_alerts_of_one_signal(env):
    """In a storm they come together, and none is left out."""
    house = House(env.client, plan())

    async with house.running(start=False) as run:
        with env.auto_time_skipping_disabled():
            await run.signal(Remediation.arrive_all, (arrival("e1"), arrival("e2")))
            await run.result()

    assert [call.entries for call in house.case.calls] == [("e1", "e2")]


async def test_does_nothing_when_started_by_hand_without_an_alert(env):
    """A workflow that nobody called in to ends by itself."""
    house = House(env.client, plan())

    async with house.running(start=False) as run:
        assert await run.result() is None

    assert house.case.calls == []


async def test_acts_after_one_approval_and_a_second_look(env):
    """A gated plan waits for a person, and carries the approval to the acting activity."""
    house = House(env.client, plan(gate=True))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            signed = answer(request)
            judgement = await run.execute_update(Remediation.decide, signed)
        closing = await run.result()

    assert judgement.objection is None
    assert closing.ending is Ending.MITIGATED
    assert house.actions.orders[0].decisions == (signed,)
    assert house.case.settled[0].outcome == "approved"


async def test_does_nothing_when_it_healed_while_people_thought(env):
    """The checks are measured again after the approval."""
    house = House(env.client, plan(gate=True))
    house.case.again = [Reexamination(checks=(check_result(Verdict.FAILED),))]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
        closing = await run.result()

    assert closing.ending is Ending.NOT_NEEDED
    assert house.actions.done == []


async def test_stops_when_frozen_while_people_thought(env):
    """A freeze reaches a remediation that waits at its gate."""
    house = House(env.client, plan(gate=True))
    house.case.again = [Reexamination(withheld=Withheld(reason="frozen", sentence="frozen by bob"))]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
        closing = await run.result()

    assert closing.ending is Ending.STOPPED
    assert house.actions.done == []


async def test_one_no_is_enough_and_its_reason_stays_with_the_decision(env):
    """The ending says who said no; why stands where it can be redacted."""
    house = House(env.client, plan(gate=True))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(
                Remediation.decide, answer(await house.case.asked.get(), says=Answer.DENIED, reason="not now")
            )
        closing = await run.result()

    assert closing.ending is Ending.DENIED
    assert closing.sentence == "U1 said no"
    assert house.case.judged[0].decision.reason == "not now"
    assert house.actions.done == []


async def test_expires_when_nobody_answers(env):
    """After its time a gate closes by itself, and nothing is done."""
    house = House(env.client, plan(gate=True))

    closing = await outcome_of(house)

    assert closing.ending is Ending.EXPIRED
    assert house.case.settled[0].outcome == "expired"
    assert house.actions.done == []


async def test_a_decision_that_the_ledger_objects_to_changes_nothing(env):
    """An update with a forged signature is refused by the ledger's keeper, and the gate stays open."""
    house = House(env.client, plan(gate=True))
    house.case.objection = "no listener signed this"

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            judgement = await run.execute_update(Remediation.decide, answer(request))
        closing = await run.result()

    assert judgement.objection == "no listener signed this"
    assert closing.ending is Ending.EXPIRED
    assert house.actions.done == []


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"gate": "R-OTHER0/gate-1"}, "another request"),
        ({"plan_digest": "0" * 64}, "the plan has changed"),
        ({"principal": Principal(key="slack:T/U9", groups=())}, "you are not in oncall"),
        ({"principal": Principal(key="slack:T/ASKED", groups=("oncall",))}, "asked for yourself"),
        ({"answer": Answer.DENIED, "reason": " "}, "say why"),
    ],
)
async def test_refuses_an_answer_that_cannot_count(env, changes, objection):
    """It is told why, and that it did not count is on record: nobody tries in secret."""
    house = House(env.client, plan(gate=True))
    house.case.requested_by = "slack:T/ASKED"

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            judgement = await run.execute_update(Remediation.decide, answer(request, **changes))
        await run.result()

    assert objection in judgement.objection
    assert house.case.judged == []
    assert [hearing.objection.sentence for hearing in house.case.refused] == [judgement.objection]


async def test_takes_one_decision_of_many_at_once(env):
    """Ten people press at the same time: one approval counts, the others are told."""
    house = House(env.client, plan(gate=True))
    house.case.judging.clear()

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            presses = [
                asyncio.create_task(run.execute_update(Remediation.decide, answer(request, f"slack:T/U{n}")))
                for n in range(8)
            ]
            await asyncio.sleep(0)
            house.case.judging.set()
            answers = await asyncio.gather(*presses, return_exceptions=True)
        closing = await run.result()

    counted = [each for each in answers if not isinstance(each, Exception) and each.objection is None]
    assert len(counted) == 1
    assert len(house.case.judged) == 1
    assert closing.ending is Ending.MITIGATED
    assert len(house.actions.orders) == 1


async def test_an_answer_before_the_question_is_refused(env):
    """Nothing can be approved that was not asked."""
    house = House(env.client, plan())
    house.actions.receipts["restart"] = []
    signed_for_nothing = None

    async with house.running(start=False) as run:
        with env.auto_time_skipping_disabled():
            from tests.engine.house import NOW, GateRequest, GateTerms

            request = GateRequest(
                remediation="R-7F3K2Q", gate="g", plan_digest="d", opens_at=NOW, expires_at=NOW,
                terms=GateTerms(approvers=("oncall",), need=1, within=NOW - NOW),
            )  # fmt: skip
            signed_for_nothing = answer(request)
            with pytest.raises(WorkflowUpdateFailedError, match="Workflow update failed") as refusal:
                await run.execute_update(Remediation.decide, signed_for_nothing)

    assert "nothing has been asked" in str(refusal.value.cause)


async def test_joins_alerts_that_arrive_meanwhile(env):
    """Re-sent and further alerts for the same target join the remediation in progress."""
    house = House(env.client, plan(gate=True))

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = await house.case.asked.get()
            await run.signal(Remediation.arrive, arrival("e2"))
            await house.case.joins.get()
            await run.execute_update(Remediation.decide, answer(request))
        await run.result()

    assert house.case.calls[0].entries == ("e1",)
    assert house.case.joined == ["e2"]


async def test_an_alert_that_comes_at_the_very_end_gets_a_turn_of_its_own(env):
    """What fires when the ending is being written is examined again, as another remediation."""
    house = House(env.client, plan())
    house.case.verifying.clear()

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await house.case.looked.wait()
            await run.signal(Remediation.arrive, arrival("e2"))
            await run.signal(Remediation.arrive, arrival("r3", AlertStatus.RESOLVED))
            house.case.verifying.set()
            await run.result()

    turns = {call.first_run: call.entries for call in house.case.calls}
    assert list(turns.values()) == [("e1",), ("e2",)]
    assert len(turns) == 2


async def test_goes_on_with_all_alerts_after_a_run_that_had_ended_already(env):
    """A last task that is repeated, or a reset, finds its ending on record; nothing is forgotten over that."""
    house = House(env.client, plan())
    house.case.withheld_once = Withheld(reason="ended_already", sentence="it ended")

    async with house.running() as run:
        await run.result()

    assert [call.entries for call in house.case.calls] == [("e1",), ("e1",)]


async def test_withdraws_the_question_when_the_alert_resolved_and_it_is_true(env):
    """Resolved is a hint: the checks are asked, and the gate closes only if they agree."""
    house = House(env.client, plan(gate=True))
    house.case.again = [
        Reexamination(checks=(check_result(),)),  # a false one first
        Reexamination(checks=(check_result(Verdict.FAILED),)),
    ]

    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await house.case.asked.get()
            for entry in ("r1", "r2"):
                await run.signal(Remediation.arrive, arrival(entry, AlertStatus.RESOLVED))
                await house.case.joins.get()
        closing = await run.result()

    assert closing.ending is Ending.NOT_NEEDED
    assert house.case.settled[0].outcome == "withdrawn"


async def test_looks_until_it_holds(env):
    """Verification is patient: it looks again until every check passes."""
    house = House(env.client, plan())
    house.case.verifications = [Verdict.FAILED, Verdict.ERROR, Verdict.PASSED]

    assert (await outcome_of(house)).ending is Ending.MITIGATED
    assert [look.look for look in house.case.looks] == [1, 2, 3]


async def test_is_unverified_when_it_did_not_help_and_tells_people(env):
    """After its time verification gives up, and `otherwise` is carried out."""
    house = House(env.client, plan(action(), otherwise=(action("escalate"),)))
    house.case.verifications = [Verdict.FAILED] * 1000

    closing = await outcome_of(house)

    assert closing.ending is Ending.UNVERIFIED
    assert house.case.looks[-1].final
    assert house.actions.done == ["restart", "escalate"]


async def test_undoes_what_did_not_help_last_first(env):
    """What can be undone is undone in reverse order, and the ending says so."""
    house = House(env.client, plan(action("a", undo=action("undo_a")), action("b", undo=action("undo_b"))))
    house.case.verifications = [Verdict.FAILED] * 1000

    assert (await outcome_of(house)).ending is Ending.ROLLED_BACK
    assert house.actions.done == ["a", "b", "undo_b", "undo_a"]


async def test_is_not_rolled_back_where_one_action_has_no_undo(env):
    """Partly undone is not undone."""
    house = House(env.client, plan(action("a", undo=action("undo_a")), action("b")))
    house.case.verifications = [Verdict.FAILED] * 1000

    assert (await outcome_of(house)).ending is Ending.UNVERIFIED
    assert house.actions.done == ["a", "b", "undo_a"]


async def test_undoes_the_actions_before_one_that_failed(env):
    """A failed action ends the plan; what was done before it is taken back."""
    house = House(
        env.client,
        plan(action("a", undo=action("undo_a")), action("b"), action("c"), otherwise=(action("escalate"),)),
    )
    house.actions.receipts["b"] = [Outcome.FAILED]

    closing = await outcome_of(house)

    assert closing.ending is Ending.FAILED
    assert house.actions.done == ["a", "b", "undo_a", "escalate"]
    assert not closing.keep_lease


async def test_leaves_a_target_alone_whose_state_nobody_knows(env):
    """After an unknown outcome nothing more is done to the target, and its lease is kept."""
    house = House(env.client, plan(action("a", undo=action("undo_a")), action("b", kind=ActionClass.OPAQUE)))
    house.actions.receipts["b"] = [Outcome.UNKNOWN]

    closing = await outcome_of(house)

    assert closing.ending is Ending.FAILED
    assert closing.keep_lease
    assert house.actions.done == ["a", "b"]


async def test_asks_what_became_of_an_action_whose_worker_died(env):
    """A lost attempt is followed by one under the same key, whatever the class: the guard finds out."""
    house = House(env.client, plan(action(kind=ActionClass.OPAQUE, attempts=1)))
    house.actions.receipts["restart"] = ["dies", "unknown:needs_person"]

    closing = await outcome_of(house)

    assert [order.attempt for order in house.actions.orders] == [1, 2]
    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, True)


async def test_gives_up_when_the_worker_dies_at_every_attempt(env):
    """There is an end to attempts."""
    house = House(env.client, plan(action(attempts=2)))
    house.actions.receipts["restart"] = ["dies"] * 9

    closing = await outcome_of(house)

    assert [order.attempt for order in house.actions.orders] == [1, 2, 3]
    assert (closing.ending, closing.keep_lease) == (Ending.FAILED, True)


async def test_stops_at_a_freeze_before_the_next_action(env):
    """A refusal because of a freeze ends as stopped, without a second try."""
    house = House(env.client, plan(action("a"), action("b")))
    house.actions.receipts["b"] = ["refused:frozen"]

    assert (await outcome_of(house)).ending is Ending.STOPPED
    assert house.actions.done == ["a", "b"]


async def test_puts_an_action_off_while_the_ledger_is_away(env):
    """No record, no action: the same attempt waits until the ledger can be written."""
    house = House(env.client, plan())
    house.actions.receipts["restart"] = ["not_sent:ledger_unavailable"] * 5 + ["ok"]

    assert (await outcome_of(house)).ending is Ending.MITIGATED
    assert [order.attempt for order in house.actions.orders] == [1] * 6


async def test_survives_being_replayed_at_every_step(env):
    """Without a cache every workflow task replays the whole history, and nothing is decided differently."""
    house = House(env.client, plan(action("a"), action("b"), gate=True))

    async with house.running(cache=0) as run:
        with env.auto_time_skipping_disabled():
            await run.execute_update(Remediation.decide, answer(await house.case.asked.get()))
        closing = await run.result()

    assert closing.ending is Ending.MITIGATED
    assert house.actions.done == ["a", "b"]
