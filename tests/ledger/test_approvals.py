"""Approvals: what counts, counts once, for one plan; all of it is on record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.ledger import approvals, records, remediations
from activities.ledger.store import Ledger
from runbooks.model.decision import Answer, Decision, Objection, Principal, Refusal, SignedDecision
from runbooks.model.record import Record, RecordKind
from runbooks.ports.case import Hearing
from tests.ledger.material import BOTH, NIGHT, admitted, call, closing, delivery, entry, received

pytestmark = BOTH

LISTENER = bytes(32)
ALICE = Principal(key="slack:T1/U1", name="Alice", groups=("sre-oncall",))


@pytest.fixture
def asked(ledger: Ledger) -> str:
    """A remediation, requested by Bob, that waits at its gate."""
    (inbox_entry,) = received(ledger, delivery(requested_by="slack:T1/U2"))
    name = admitted(ledger, call(inbox_entry)).remediation
    data = {
        "gate": f"{name}/gate-1",
        "approvers": ["sre-oncall"],
        "need": 2,
        "opens_at": NIGHT.isoformat(),
        "expires_at": (NIGHT + timedelta(minutes=15)).isoformat(),
        "plan_digest": "p1",
    }
    ledger.write_now(
        lambda t: t.append(entry(f"{name}/gate-1/asked", name, kind=RecordKind.GATE_ASKED, data=data))
    )
    return name


def decision(remediation: str, **more: Any) -> Decision:
    defaults: dict[str, Any] = {
        "id": "click-1",
        "gate": f"{remediation}/gate-1",
        "remediation": remediation,
        "plan_digest": "p1",
        "answer": Answer.APPROVED,
        "principal": ALICE,
        "via": "slack",
        "decided_at": NIGHT,
        "expires_at": NIGHT + timedelta(minutes=15),
    }
    return Decision(**{**defaults, **more})


def judge(
    ledger: Ledger,
    said: Decision,
    *,
    genuine: bool = True,
    at: datetime = NIGHT,
    signature: str = "c2ln",
    objection: Objection | None = None,
) -> str | None:
    signed = SignedDecision(decision=said, key_id="k1", signature=signature)
    return ledger.write_now(
        lambda t: approvals.judge(
            t, Hearing(signed=signed, objection=objection), listener=LISTENER if genuine else None, at=at
        )
    )


def counted(ledger: Ledger, said: Decision) -> bool:
    return ledger.read_now(lambda c: approvals.counted(c, said))


def decisions(ledger: Ledger) -> list[Record]:
    return ledger.read_now(lambda c: records.after(c, -1, 99, {RecordKind.DECISION}))


def test_an_approval_counts_and_is_on_record(ledger: Ledger, asked: str) -> None:
    """With all that somebody needs to check it later."""
    said = decision(asked)

    assert judge(ledger, said) is None

    assert counted(ledger, said)
    (record,) = decisions(ledger)
    assert (record.stream, record.outcome, record.actor) == (asked, "accepted", "slack:T1/U1")
    assert record.data == {
        "decision": said.model_dump(mode="json"),
        "key_id": "k1",
        "signature": "c2ln",
        "objection": "",
        "refusal": "",
    }


def test_the_same_answer_again_is_the_same_answer(ledger: Ledger, asked: str) -> None:
    """An activity that is tried again judges again, and nothing changes, even when the gate has closed."""
    judge(ledger, decision(asked))
    ledger.write_now(lambda t: t.append(entry(f"{asked}/gate-1/closed", asked, outcome="approved")))

    assert judge(ledger, decision(asked), at=NIGHT + timedelta(hours=1)) is None
    assert len(decisions(ledger)) == 1


def test_one_person_counts_once_per_gate(ledger: Ledger, asked: str) -> None:
    """Whatever the path: a second click, or the command line."""
    judge(ledger, decision(asked))
    second = decision(asked, id="click-2", via="cli")

    assert judge(ledger, second) == "you have already answered"
    assert not counted(ledger, second)
    other = decision(asked, id="click-3", principal=ALICE.model_copy(update={"key": "slack:T1/U3"}))
    assert judge(ledger, other) is None


@pytest.mark.parametrize(
    "change", [{"plan_digest": "p2"}, {"gate": "R-000000/gate-1"}, {"remediation": "R-000000"}]
)
def test_an_approval_is_for_its_own_plan_gate_and_remediation_only(
    ledger: Ledger, asked: str, change: dict[str, str]
) -> None:
    """What was counted for one thing is not counted for another."""
    said = decision(asked)
    judge(ledger, said)

    other = said.model_copy(update=change)

    assert not counted(ledger, other)
    assert judge(ledger, other) is not None
    assert counted(ledger, said)


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"plan_digest": "p2"}, "the plan has changed since this was shown"),
        ({"principal": ALICE.model_copy(update={"groups": ()})}, "you are not in sre-oncall"),
        (
            {"principal": ALICE.model_copy(update={"key": "slack:T1/U2"})},
            "you cannot approve what you asked for yourself: somebody else of sre-oncall must",
        ),
        ({"answer": Answer.DENIED}, "please say why not"),
        ({"expires_at": NIGHT}, "this answer came after the request had expired"),
    ],
)
def test_what_does_not_count_is_on_record_with_the_reason(
    ledger: Ledger, asked: str, change: dict[str, Any], objection: str
) -> None:
    """The rules of the gate hold here too."""
    said = decision(asked, **change)

    assert judge(ledger, said) == objection

    assert not counted(ledger, said)
    (record,) = decisions(ledger)
    assert (record.stream, record.outcome, record.data["objection"]) == (asked, "refused", objection)


def test_a_denial_counts_and_allows_nothing(ledger: Ledger, asked: str) -> None:
    """It is accepted as an answer, and is no approval."""
    said = decision(asked, answer=Answer.DENIED, reason="not during the sale")

    assert judge(ledger, said) is None
    assert not counted(ledger, said)


def test_an_answer_after_the_gate_has_expired_does_not_count(ledger: Ledger, asked: str) -> None:
    """Whatever expiry the answer itself claims."""
    said = decision(asked, expires_at=NIGHT + timedelta(days=1))

    assert (
        judge(ledger, said, at=NIGHT + timedelta(minutes=15))
        == "this answer came after the request had expired"
    )


def test_an_answer_after_the_gate_was_closed_does_not_count(ledger: Ledger, asked: str) -> None:
    """The question is settled."""
    ledger.write_now(lambda t: t.append(entry(f"{asked}/gate-1/closed", asked, outcome="denied")))

    assert judge(ledger, decision(asked)) == "this request is already denied"


def test_a_forged_answer_does_not_count_and_takes_no_ones_place(ledger: Ledger, asked: str) -> None:
    """It is on record outside the remediation's stream, and the real one with its id still counts."""
    said = decision(asked)

    assert (
        judge(ledger, said, genuine=False, signature="Zm9yZ2Vk")
        == "no trusted listener has signed this answer"
    )
    assert judge(ledger, said) is None

    forged, real = decisions(ledger)
    assert (forged.stream, forged.outcome) == ("system", "refused")
    assert (real.stream, real.outcome) == (asked, "accepted")


def test_what_the_engine_refuses_is_on_record(ledger: Ledger, asked: str) -> None:
    """Also a true approval pressed a second time: it is refused under a name of its own, and stays counted."""
    said = decision(asked)
    assert judge(ledger, said) is None
    closed = Objection(refusal=Refusal.CLOSED, sentence="this request is already approved")

    assert judge(ledger, said, objection=closed) == closed.sentence

    found = [(each.outcome, each.data["refusal"]) for each in decisions(ledger)]
    assert found == [("accepted", ""), ("refused", "closed")]
    assert counted(ledger, said)


def test_an_answer_that_nobody_asked_for_does_not_count(ledger: Ledger, asked: str) -> None:
    """Nor one for a gate of another remediation."""
    assert judge(ledger, decision(asked, gate=f"{asked}/gate-9")) == "nobody was asked this"
    assert judge(ledger, decision("R-000000", gate=f"{asked}/gate-1")) == "nobody was asked this"

    assert {record.stream for record in decisions(ledger)} == {"system"}


def test_nothing_is_added_to_a_stream_that_has_ended(ledger: Ledger, asked: str) -> None:
    """An ending counted the records before it; a late answer is on record elsewhere."""
    ledger.write_now(lambda t: t.append(entry(f"{asked}/gate-1/closed", asked, outcome="expired")))
    ledger.write_now(lambda t: remediations.close(t, closing(asked), at=NIGHT))

    assert judge(ledger, decision(asked)) == "this request is already expired"

    assert decisions(ledger)[0].stream == "system"
