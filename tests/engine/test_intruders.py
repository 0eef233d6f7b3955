"""Answers that must change nothing, each sent all the way: through Temporal, engine, ledger and guard."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError

from activities.ledger.clicks import Reception
from bot.keys import ListenerKey
from runbooks.engine.remediation import Remediation
from runbooks.model.decision import Answer, Decision, Principal
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.engine.ward import ward

pytestmark = pytest.mark.slow

ASKER = "slack:T/alice"


def decision(asked, name, **changes):
    """An approval of what was asked, as anybody could write it who reads the ledger."""
    said = {
        "id": f"{asked.stream}/{name}", "gate": asked.data["gate"], "remediation": asked.stream,
        "plan_digest": asked.data["plan_digest"], "answer": Answer.APPROVED, "via": "slack",
        "principal": Principal(key="slack:T/bob", name="bob", groups=("oncall",)),
        "decided_at": asked.at, "expires_at": asked.data["expires_at"],
    }  # fmt: skip
    return Decision.model_validate({**said, **changes})


async def test_an_answer_straight_to_temporal_counts_only_as_its_listener_sealed_it(env, tmp_path):
    """
    All fields right but the seal; true seals of another plan, of a stranger, of who asked for it, over two paths.
    """
    own = Principal(key=ASKER, groups=("oncall",))
    at_a_terminal = Principal(key="local:alice", also=(ASKER,), groups=("oncall",))
    async with ward(tmp_path, env.client) as home:
        seal, forger = home.surgery.key.sign, ListenerKey.generate()
        with env.auto_time_skipping_disabled():
            workflow = await home.admit("web-1", requested_by=ASKER)
            [asked] = await home.recorded(RecordKind.GATE_ASKED)
            forged = forger.sign(decision(asked, "forged"))
            sent = [
                forged.model_copy(update={"key_id": home.surgery.key.key_id}),
                seal(decision(asked, "older", plan_digest="0" * 64)),
                seal(decision(asked, "stranger", principal=Principal(key="slack:T/eve"))),
                seal(decision(asked, "own", principal=own)),
                seal(decision(asked, "terminal", principal=at_a_terminal, via="cli")),
            ]
            said = [(await workflow.execute_update(Remediation.decide, each)).objection for each in sent]
        judged = await home.records(RecordKind.DECISION)
        intents = await home.records(RecordKind.ACTION_INTENT)

    assert [each.split(" ", 1)[0] for each in said] == ["no", "the", "you", "you", "you"]
    assert [each.outcome for each in judged] == ["refused"] * len(sent)
    assert [each.data["objection"] for each in judged] == said
    assert [each.data["decision"]["id"] for each in judged] == [each.decision.id for each in sent]
    assert home.effects == {}
    assert intents == []


async def test_who_asked_for_it_cannot_approve_it_and_a_replayed_click_is_one(env, tmp_path):
    """
    Through the listener: the asker's click does not count, another's does, once, however often it comes.
    """
    async with ward(tmp_path, env.client) as home:
        with env.auto_time_skipping_disabled():
            workflow = await home.admit("web-1", requested_by=ASKER)
            [asked] = await home.recorded(RecordKind.GATE_ASKED)
            await home.answers.receive(home.click(asked.data["gate"], "alice"))
            await home.recorded(RecordKind.DECISION)
            click = home.click(asked.data["gate"], "bob")
            first = await home.answers.receive(click)
            again = [await home.answers.receive(click) for _ in range(5)]
            [ending] = await home.recorded(RecordKind.ENDING)
            late = await home.answers.receive(click)
            await workflow.result()
            counted = (await home.records(RecordKind.DECISION))[-1]
            with pytest.raises(RPCError):
                await workflow.execute_update(
                    Remediation.decide, home.surgery.key.sign(decision(asked, "late"))
                )
        judged = await home.records(RecordKind.DECISION)

    assert (first, {*again, late}) == (Reception.RECORDED, {Reception.REPEATED})
    assert [(each.actor, each.outcome) for each in judged] == [
        (ASKER, "refused"),
        ("slack:T/bob", "accepted"),
    ]
    assert judged[-1] == counted
    assert ending.outcome == Ending.MITIGATED
    assert home.effects == {"web-1": 1}
