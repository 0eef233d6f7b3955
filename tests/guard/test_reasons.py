"""What a person said at a gate can be taken back: it stands in the record of the decision and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from activities.ledger.bundles import bundle
from activities.ledger.clicks import Click, accept_click, claim_clicks, click_done
from activities.ledger.exports import export
from activities.ledger.redactions import RedactionOrder, redact
from bot.sealer.memory import Memory
from bot.sealer.sealing import Sealer
from runbooks.model.action import Outcome, Receipt
from runbooks.model.decision import Answer
from runbooks.model.remediation import Closing, Ending
from runbooks.policy.endings import ending_of_receipt, receipt_of_verdict
from runbooks.policy.gate import Gate, Question
from runbooks.ports.case import GateSettlement, Hearing
from tests.guard.test_unknown import Clinic

SAID = "the unmistakable words of Alice"


async def click(surgery, request, answer: Answer) -> None:
    """The listener writes the answer down, and it is delivered."""
    now = datetime.now(UTC)
    clicked = Click(
        id=f"click-{answer}", gate=request.gate, answer=answer, person="slack:T/alice", reason=SAID, via="slack", at=now
    )  # fmt: skip
    await surgery.ledger.write(lambda t: accept_click(t, clicked))
    [waiting] = await surgery.ledger.write(
        lambda t: claim_clicks(t, 1, at=now + timedelta(1), hold=timedelta(1))
    )
    assert waiting.reason == SAID
    await surgery.ledger.write(lambda t: click_done(t, clicked.id, at=now))


async def settle(surgery, request, signed) -> Gate:
    """The answer is judged, counted, and closes the question, as the engine has it."""
    doubt = request.doubt
    question = Question(
        terms=request.terms, plan_digest=request.plan_digest, about=doubt.key if doubt else "", in_doubt=bool(doubt)
    )  # fmt: skip
    gate = Gate(request.gate, question, opens_at=request.opens_at)
    assert (await surgery.case.judge_decision(Hearing(signed=signed))).objection is None
    gate.record(signed)
    await surgery.case.close_gate(
        GateSettlement(
            remediation=request.remediation, gate=gate.id, outcome=str(gate.state), sentence=gate.sentence
        )
    )
    return gate


async def deny(surgery) -> Closing:
    """Alice says no to the plan, and why."""
    await surgery.examine(gated=True)
    request = await surgery.ask()
    await click(surgery, request, Answer.DENIED)
    said_no = surgery.key.sign(surgery.decision(request, answer=Answer.DENIED, reason=SAID))
    gate = await settle(surgery, request, said_no)
    return Closing(
        remediation=request.remediation, ending=Ending.DENIED, reason="denied", sentence=gate.sentence
    )


async def give_verdict(surgery, says: Answer) -> Closing:
    """Alice says what became of an action, and how she knows."""
    clinic = Clinic(surgery)
    await clinic.begin()
    await click(surgery, clinic.request, says)
    gate = await settle(surgery, clinic.request, clinic.signed(says, reason=SAID))
    unknown = Receipt(key=clinic.first.key, outcome=Outcome.UNKNOWN, sentence="no answer")
    receipt = receipt_of_verdict(unknown, gate.state, gate.sentence)
    return ending_of_receipt(clinic.request.remediation, receipt, "Mend it")


@pytest.mark.parametrize("answer", [Answer.DENIED, Answer.HAPPENED, Answer.STOP])
async def test_a_redacted_reason_stands_in_no_table_no_export_and_no_bundle(surgery, answer):
    """Sentences of gates, receipts and endings do not repeat it, and the inbox lets go of it."""
    closing = await (deny(surgery) if answer is Answer.DENIED else give_verdict(surgery, answer))
    await surgery.case.close(closing)
    memory = surgery.folder / "sealer"
    memory.mkdir()
    sealer = Sealer(surgery.ledger, Memory(memory, "paramedic/test"))
    await sealer.begin()
    await sealer.seal()

    before = await files_of(surgery, closing.remediation)
    order = RedactionOrder(
        remediation=closing.remediation, record=None, reason="names", actor="local:bob", source="test"
    )
    assert await surgery.ledger.write(lambda t: redact(t, order)) is not None
    after = await files_of(surgery, closing.remediation)
    surgery.ledger.close()

    assert [SAID.encode() in file for file in before] == [True, True]
    assert [SAID.encode() in file for file in after] == [False, False]
    assert SAID.encode() not in (surgery.folder / "ledger.db").read_bytes()


async def files_of(surgery, remediation: str) -> list[bytes]:
    """Return the export and the bundle, with every value that there is."""
    exported = await surgery.ledger.read(lambda c: b"".join(export(c, with_values=True)))
    return [exported, await surgery.ledger.read(lambda c: bundle(c, remediation))]
