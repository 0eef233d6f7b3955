"""Gates to the full, at the guard: enough people, each once, for this gate; and a step's own gate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.ledger.findings import VerifiedState
from activities.ledger.verification import verify
from runbooks.errors import NotSentError
from runbooks.model.action import Outcome
from runbooks.model.decision import Answer, Principal, SignedDecision
from runbooks.model.record import RecordKind
from runbooks.policy import gate
from runbooks.ports.case import Escalation, GateRequest, Hearing
from tests.guard.surgery import Surgery

TWO = "gate: {approvers: [oncall], need: 2, within: 15m, otherwise: [chiefs, within 15m, stop]}"
STEP = "gate: {approvers: [oncall], within: 15m}"


def person(name: str, *groups: str, **more: Any) -> Principal:
    return Principal(key=f"slack:T/{name}", name=name, groups=groups or ("oncall",), **more)


async def say(
    surgery: Surgery, request: GateRequest, who: Principal, **changes: Any
) -> tuple[SignedDecision, str | None]:
    """Let a person answer; return the sealed answer and what the ledger's keeper objects to it."""
    facts = {"id": f"click-{who.name}-{request.gate[-6:]}", "principal": who, **changes}
    decision = surgery.decision(request, **facts)
    signed = surgery.key.sign(decision)
    return signed, (await surgery.case.judge_decision(Hearing(signed=signed))).objection


async def escalate(surgery: Surgery, request: GateRequest) -> None:
    await surgery.case.escalate_gate(
        Escalation(
            remediation=request.remediation, gate=request.gate, link=1, approvers=("chiefs",),
            asked_until=request.expires_at,
        )
    )  # fmt: skip


async def verified(surgery: Surgery) -> tuple[VerifiedState, str]:
    found = await surgery.ledger.read(verify)
    return found.state, found.problem


async def refused(surgery: Surgery, **changes: Any) -> str:
    receipt = await surgery.attend(surgery.order(**changes))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "not_approved")
    assert surgery.world.calls == []
    return receipt.sentence


async def test_two_people_are_two_answers(surgery):
    """One approval, or one person's twice, is not enough; two people's are, and the record can be verified."""
    await surgery.examine(gated=True, gate=TWO)
    request = await surgery.ask()
    alice, _ = await say(surgery, request, person("alice"))
    bob, _ = await say(surgery, request, person("bob"))
    assert "2 people must approve, 1 did" in await refused(surgery, decisions=(alice,))
    assert "2 people must approve, 1 did" in await refused(surgery, decisions=(alice, alice))

    receipt = await surgery.attend(surgery.order(decisions=(alice, bob)))

    assert receipt.outcome is Outcome.OK
    assert await verified(surgery) == (VerifiedState.OK, "")


async def test_the_ledgers_keeper_knows_whose_turn_it_is(surgery):
    """A later group counts only when it is on record that it was asked; then both groups do."""
    await surgery.examine(gated=True, gate=TWO)
    request = await surgery.ask()
    _, too_early = await say(surgery, request, person("early", "chiefs"))
    await escalate(surgery, request)
    chief, objection = await say(surgery, request, person("chief", "chiefs"))
    alice, _ = await say(surgery, request, person("alice"))

    assert too_early == "you are asked only when oncall did not answer in time"
    assert objection is None
    receipt = await surgery.attend(surgery.order(decisions=(chief, alice)))
    assert receipt.outcome is Outcome.OK
    assert await verified(surgery) == (VerifiedState.OK, "")


async def test_the_chain_is_on_record_with_its_times(surgery):
    """What a card says of who is next is in the record of the question."""
    await surgery.examine(gated=True, gate=TWO)
    request = await surgery.ask()

    (asked,) = await surgery.records(RecordKind.GATE_ASKED)
    assert asked.data["asked_until"] == (request.opens_at + timedelta(minutes=15)).isoformat()
    assert asked.data["otherwise"] == [{"approvers": ["chiefs"], "until": request.expires_at.isoformat()}]


async def test_nobody_is_held_to_a_yes(surgery):
    """Who approved may still say no; a second yes is told that they have answered."""
    await surgery.examine(gated=True, gate=TWO)
    request = await surgery.ask()
    await say(surgery, request, person("alice"))
    _, twice = await say(surgery, request, person("alice"), id="another-click")
    _, no = await say(surgery, request, person("alice"), id="a-no", answer=Answer.DENIED, reason="wait")

    assert (twice, no) == ("you have already answered", None)


async def test_one_person_under_two_names_is_one_person(surgery):
    """Who is known in Slack and at the terminal cannot be both of the two who must approve."""
    await surgery.examine(gated=True, gate=TWO)
    request = await surgery.ask()
    in_slack = person("alice", also=("local:alice",))
    await say(surgery, request, in_slack)
    _, again = await say(surgery, request, in_slack, id="at-the-terminal", via="cli")

    assert again == "you have already answered"


async def test_a_step_with_a_gate_needs_its_own_approval(surgery):
    """The plan's approval does not open the step's gate, nor the step's the plan's."""
    await surgery.examine(gated=True, step_gate=STEP)
    plans, _ = await say(surgery, await surgery.ask(), person("alice"))
    request = await surgery.ask_about_step()
    steps, objection = await say(surgery, request, person("bob"))
    assert objection is None
    assert "1 people must approve, 0 did" in await refused(surgery, decisions=(plans,))
    assert "another question" in await refused(surgery, decisions=(plans,), step_decisions=(plans,))
    assert "another question" in await refused(surgery, decisions=(steps,), step_decisions=(steps,))

    receipt = await surgery.attend(surgery.order(decisions=(plans,), step_decisions=(steps,)))

    assert receipt.outcome is Outcome.OK
    assert (await surgery.records(RecordKind.ACTION_INTENT))[0].data["decisions"] == [
        plans.decision.id,
        steps.decision.id,
    ]
    assert await verified(surgery) == (VerifiedState.OK, "")


async def test_the_approval_of_a_step_is_bound_to_its_key(surgery):
    """An answer about another step, or about the whole plan, is none to this question."""
    await surgery.examine(step_gate=STEP)
    request = await surgery.ask_about_step()

    for about in ("", "another-key"):
        _, objection = await say(surgery, request, person("alice"), id=f"about-{about}", about=about)
        assert objection == "this is an answer to another question"
    assert "0 did" in await refused(surgery)


@pytest.mark.parametrize("late", [False, True])
async def test_every_judged_answer_is_on_record_with_what_they_were_told(surgery, late):
    """Also one that came too late: who tried what, and why it changed nothing."""
    await surgery.examine(gated=True)
    request = await surgery.ask()
    moment = {"expires_at": datetime.now(UTC)} if late else {"plan_digest": "0" * 64}

    _, objection = await say(surgery, request, person("alice"), **moment)

    (record,) = await surgery.records(RecordKind.DECISION)
    assert (record.outcome, record.data["objection"]) == ("refused", objection)
    assert ("expired" if late else "the plan has changed") in objection


async def test_an_old_approval_lets_nothing_be_done(surgery):
    """Whoever should have carried it out was away: after more than an hour people are asked again, not surprised."""
    await surgery.examine(gated=True)
    request = await surgery.ask()
    old, objection = await say(
        surgery, request, person("alice"), decided_at=datetime.now(UTC) - timedelta(hours=2)
    )

    receipt = await surgery.attend(surgery.order(decisions=(old,)))

    assert objection is None
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "approval_too_old")
    assert "What was approved had to be done by" in receipt.sentence
    assert surgery.world.calls == []


async def test_what_goes_on_does_not_grow_old(surgery, monkeypatch):
    """An attempt that is made again belongs to what was begun in time, however long ago that was approved."""
    await surgery.examine(gated=True)
    request = await surgery.ask()
    old, _ = await say(surgery, request, person("alice"), decided_at=datetime.now(UTC) - timedelta(hours=2))
    surgery.world.raises = NotSentError("refused by the network")
    with monkeypatch.context() as in_time:
        in_time.setattr(gate, "APPROVAL_HOLDS", timedelta(hours=3))
        assert (await surgery.attend(surgery.order(decisions=(old,)))).outcome is Outcome.NOT_SENT
    surgery.world.raises = None

    receipt = await surgery.attend(surgery.order(decisions=(old,), attempt=2))

    assert receipt.outcome is Outcome.OK
