"""Approvals: which answers count, each on record, and each used for one plan only.

The engine judges an answer too, but its state may be reset and its messages forged.  What counts
here is what the ledger knows: the gate that was asked, the plan on record, who asked for the
remediation, and a unique row for each approval that was counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, insert, select

from activities.ledger import listeners
from activities.ledger.admission import requested_by
from activities.ledger.schema import approval_use
from activities.ledger.transaction import Transaction
from runbooks.model.action import Outcome
from runbooks.model.base import as_body
from runbooks.model.decision import Answer, Decision, Doubt, Objection, Refusal, SignedDecision
from runbooks.model.plan import GateTerms, Link
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind
from runbooks.policy.endings import whole
from runbooks.policy.gate import Question, objection_to, objection_to_repeating
from runbooks.ports.case import Hearing

_COLUMNS = ("decision", "gate", "principal", "remediation", "plan_digest")


def judge(transaction: Transaction, hearing: Hearing, *, listener: bytes | None, at: datetime) -> str | None:
    """Record an answer, and return why it does not count, or None if it does.

    An approval that counts is used up by that: for its gate, its remediation and its plan.  The
    same answer again counts again, as the same one.

    Args:
        listener: the raw key of the trusted listener that signed exactly this decision; None: none did.
    """
    signed, decision = hearing.signed, hearing.signed.decision
    if listener is None:
        unsigned = Objection(refusal=Refusal.FORGED, sentence="no trusted listener has signed this answer")
        return _record(transaction, signed, unsigned, at)
    if hearing.objection is not None:
        known = _asked(transaction, decision) is not None
        return _record(transaction, signed, hearing.objection, at, decision.remediation if known else SYSTEM)
    accepted = transaction.find(_event_id(decision))
    if accepted is not None:
        if accepted.data["decision"] == _body_of(decision):
            return None
        other = Objection(refusal=Refusal.FORGED, sentence="another answer came under this id before")
        return _record(transaction, signed, other, at)
    asked = _asked(transaction, decision)
    if asked is None:
        unasked = Objection(refusal=Refusal.NEVER_ASKED, sentence="nobody was asked this")
        return _record(transaction, signed, unasked, at)
    # An ending counted the records before it: what comes later stands elsewhere.
    ended = transaction.find(f"{decision.remediation}/ending") is not None
    stream = SYSTEM if ended else decision.remediation
    objection = _objection(transaction, decision, asked, at)
    if objection is None:
        listeners.keep(transaction, listener)
    if (
        objection is None
        and decision.answer is not Answer.DENIED
        and not _has_answered(transaction.connection, decision)
    ):
        row = {**_purpose(decision), "used_at": at}
        transaction.connection.execute(insert(approval_use), row)
    told = _record(transaction, signed, objection, at, stream)
    if objection is None and decision.answer is Answer.HAPPENED:
        transaction.append(_attested(decision, Doubt.model_validate(asked.data["doubt"]), asked.object, at))
    return told


def escalated_event(gate: str, link: int) -> str:
    """Return the event id of the record that a gate went on to this link of its chain; 1 for the first."""
    return f"{gate}/escalated/{link}"


def counted(connection: Connection, decision: Decision) -> bool:
    """Return whether this approval was counted, for exactly this gate, remediation and plan."""
    columns = [approval_use.c[name] for name in _COLUMNS]
    query = select(*columns).where(approval_use.c.decision == decision.id)
    row = connection.execute(query).mappings().one_or_none()
    return row is not None and dict(row) == _purpose(decision)


def _asked(transaction: Transaction, decision: Decision) -> Record | None:
    """Return the record of the gate being asked, if it was, by this very remediation."""
    record = transaction.find(f"{decision.gate}/asked")
    is_asked = (
        record is not None and record.kind is RecordKind.GATE_ASKED and record.stream == decision.remediation
    )
    return record if is_asked else None


def _objection(transaction: Transaction, decision: Decision, asked: Record, at: datetime) -> Objection | None:
    closed = transaction.find(f"{decision.gate}/closed")
    if closed is not None:
        return Objection(refusal=Refusal.CLOSED, sentence=f"this request is already {closed.outcome}")
    if at >= min(decision.expires_at, datetime.fromisoformat(asked.data["expires_at"])):
        return Objection(refusal=Refusal.EXPIRED, sentence="this answer came after the request had expired")
    consented = _has_answered(transaction.connection, decision)
    if (repeated := objection_to_repeating(decision.answer, consented=consented)) is not None:
        return repeated
    question = _question(transaction, decision.remediation, asked)
    if question.in_doubt and (objection := _objection_to_verdict(transaction, decision)) is not None:
        return objection
    return objection_to(decision, question)


def _question(transaction: Transaction, remediation: str, asked: Record) -> Question:
    """Return the question as the record of its being asked, and those of its going on to others, have it."""
    doubt, gated = asked.data.get("doubt"), asked.data.get("gated")
    terms = _terms_of(asked.data)
    reached = (
        transaction.find(escalated_event(asked.data["gate"], link))
        for link in range(1, len(terms.otherwise) + 1)
    )
    return Question(
        terms=terms,
        plan_digest=asked.data["plan_digest"],
        requested_by=requested_by(transaction.connection, remediation),
        about=(doubt or gated or {}).get("key", ""),
        in_doubt=doubt is not None,
        links=sum(record is not None for record in reached),
    )


def _terms_of(data: Mapping[str, Any]) -> GateTerms:
    chain = data.get("otherwise", ())
    times = [
        data["opens_at"],
        data.get("asked_until", data["expires_at"]),
        *(link["until"] for link in chain),
    ]
    within, *spans = (later - earlier for earlier, later in pairwise(map(datetime.fromisoformat, times)))
    links = tuple(
        Link(approvers=link["approvers"], within=span) for link, span in zip(chain, spans, strict=True)
    )
    return GateTerms(approvers=data["approvers"], need=data["need"], within=within, otherwise=links)


def _objection_to_verdict(transaction: Transaction, decision: Decision) -> Objection | None:
    """What became of the action may have come to light; and what has ended is not judged any more."""
    if transaction.find(f"{decision.remediation}/ending") is not None:
        return Objection(refusal=Refusal.CLOSED, sentence="this remediation has ended")
    known = transaction.find(f"{decision.about}/receipt")
    if known is None or (decision.answer is Answer.HAPPENED and known.outcome == Outcome.OK):
        return None
    sentence = f"what became of it is known now ({known.outcome}): {known.data['sentence']}"
    return Objection(refusal=Refusal.OUTCOME_KNOWN, sentence=sentence)


def _attested(decision: Decision, doubt: Doubt, target: str, at: datetime) -> Entry:
    """Return the receipt of an action of which a person says that it happened; why, their decision says."""
    who = decision.principal.name or decision.principal.key
    data = {
        **doubt.model_dump(include={"key", "step", "name", "uses", "attempt"}),
        "sentence": whole(f"{who} says that it happened"),
        "reason": "attested",
        "output": {},
        "recovered": False,
        "took_ms": 0,
    }
    return Entry(
        event_id=f"{doubt.key}/receipt",
        stream=decision.remediation,
        kind=RecordKind.ACTION_RECEIPT,
        actor=decision.principal.key,
        source=decision.via,
        object=target,
        outcome=str(Outcome.OK),
        at=at,
        data=data,
    )


def _has_answered(connection: Connection, decision: Decision) -> bool:
    taken = (approval_use.c.decision == decision.id) | (
        (approval_use.c.gate == decision.gate) & (approval_use.c.principal == decision.principal.key)
    )
    return connection.execute(select(approval_use.c.decision).where(taken)).first() is not None


def _purpose(decision: Decision) -> dict[str, str]:
    values = (
        decision.id,
        decision.gate,
        decision.principal.key,
        decision.remediation,
        decision.plan_digest,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _record(
    transaction: Transaction,
    signed: SignedDecision,
    objection: Objection | None,
    at: datetime,
    stream: str = SYSTEM,
) -> str | None:
    """Record the answer and return the sentence of `objection`.  One about no known gate must not enter a remediation's stream."""
    decision = signed.decision
    event_id = _event_id(decision)
    if (
        objection is not None
    ):  # under a name of its own, so that a forgery cannot take the real answer's place
        said = hashlib.sha256(decision.signed_bytes() + signed.signature.encode()).hexdigest()[:16]
        event_id = f"{event_id}/refused/{said}"
    transaction.append(
        Entry(
            event_id=event_id,
            stream=stream,
            kind=RecordKind.DECISION,
            actor=decision.principal.key,
            source=decision.via,
            object=decision.gate,
            outcome="accepted" if objection is None else "refused",
            at=at,
            data={
                "decision": _body_of(decision),
                "key_id": signed.key_id,
                "signature": signed.signature,
                "objection": objection.sentence if objection else "",
                "refusal": objection.refusal.value if objection else "",
            },
        )
    )
    return objection.sentence if objection else None


def _event_id(decision: Decision) -> str:
    return f"{decision.gate}/decision/{decision.id}"


def _body_of(decision: Decision) -> Any:
    return as_body(decision.model_dump(mode="json"))
