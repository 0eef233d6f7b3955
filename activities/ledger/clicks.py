"""Clicks: people's answers, durable before they are acknowledged, waiting for their workflow.

A click is written in one transaction with its `decision.received` record, into the same table in
which alerts wait.  Whoever delivers clicks claims them for a while; one whose deliverer died is
claimed again when that time is over.

A remediation's ending is the last record of its stream.  A click that comes after it is on record
too, in the system's stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, exists, insert, select, update

from activities.ledger import logins, records
from activities.ledger.bodies import recordable
from activities.ledger.claims import IS_FREE, moments
from activities.ledger.schema import inbox, record
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value, canonical
from runbooks.model.decision import Answer
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind

LATER_DECISIONS = 1_000
"""So many decisions after a click are searched for what became of it."""


class Click(Value):
    """One person's answer as a listener saw it.  It selects a gate and nothing else.

    Attributes:
        id: of this very click: a second delivery of it is the same click.
        gate: the gate's id, as the button carried it.
        person: their key, `slack:T0123/U0456`.
        reason: the person's own words.
        shown: digest of the plan that they were shown in full; empty where it was the card.
        via: `slack`, `cli`, or with a login `cli:L-7F3K2Q`.
        place: where the listener may answer the person; only the listener understands it.
        at: when the listener saw it, by which it is judged whether it came in time.
    """

    id: str
    gate: str
    answer: Answer
    person: str
    reason: str = ""
    shown: str = ""
    via: str
    place: dict[str, str] = {}
    at: datetime

    @property
    def remediation(self) -> str:
        """The remediation that the gate belongs to, by its id."""
        return self.gate.partition("/")[0]


class Reception(StrEnum):
    """What became of a click that was handed in."""

    RECORDED = "recorded"
    REPEATED = "repeated"  # this very click is on record already
    UNKNOWN = "unknown"  # there is no such remediation; nothing was written
    LOGIN_ENDED = "login_ended"  # the login that it came through counts no more; nothing was written


_INSERT = insert(inbox)
_PENDING = (
    select(inbox.c.entry, inbox.c.body)
    .where(
        inbox.c.kind == "click",
        inbox.c.done_at.is_(None),
        IS_FREE,
    )
    .order_by(inbox.c.seq)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)  # SQLite has one writer and needs no row locks
)
_CLAIM = (
    update(inbox)
    .where(inbox.c.entry.in_(bindparam("entries", expanding=True)))
    .values(claimed_until=bindparam("until"))
)
_DONE = (
    update(inbox)
    .where(inbox.c.entry == bindparam("click"), inbox.c.done_at.is_(None))
    .values(done_at=bindparam("at"), body=b"null")
)
_HAS_ENDED = select(
    exists().where(record.c.stream == bindparam("stream"), record.c.kind == RecordKind.ENDING.value)
)


def accept_click(transaction: Transaction, click: Click) -> Reception:
    """Put a click on record and into the inbox, unless it is there already."""
    if click.remediation == SYSTEM or transaction.length(click.remediation) == 0:
        return Reception.UNKNOWN
    entry = _received(transaction, click)
    if transaction.find(entry.event_id) is not None:
        return Reception.REPEATED
    if not _is_vouched_for(transaction, click):
        return Reception.LOGIN_ENDED
    kept = transaction.append(entry)
    transaction.connection.execute(_INSERT, [_row_of(click, kept.seq)])
    return Reception.RECORDED


def claim_clicks(transaction: Transaction, limit: int, *, at: datetime, hold: timedelta) -> list[Click]:
    """Take at most `limit` waiting clicks that nobody else has claimed, oldest first.

    They are the caller's for `hold`; what is not done by then is given to the next who asks.
    """
    rows = transaction.connection.execute(_PENDING, {**moments(at, hold), "limit": limit}).all()
    if rows:
        transaction.connection.execute(_CLAIM, {"entries": [row.entry for row in rows], "until": at + hold})
    return [Click.model_validate(json.loads(row.body)) for row in rows]


def click_done(transaction: Transaction, click: str, *, at: datetime) -> None:
    """Note that this click has been judged, or will never be.  It is not claimed again.

    What the person said stands in the record of the decision from here on, where it can be redacted.
    """
    transaction.connection.execute(_DONE, {"click": click, "at": at})


def judgement_of(connection: Connection, click: str, remediation: str) -> Record | None:
    """Return the record of what became of a click; None where nobody has judged it yet.

    One that was overtaken by the ending was judged elsewhere: in the system's stream, after it had come in.
    """
    found = judgement_in(records.stream_of(connection, remediation), click)
    if found is not None:
        return found
    received = records.find(connection, _event_id(click))
    if received is None:
        return None
    return judgement_in(
        records.after(connection, received.seq, LATER_DECISIONS, {RecordKind.DECISION}), click
    )


def judgement_in(stream: Iterable[Record], click: str) -> Record | None:
    """Return the record among `stream` that says what became of this very click, or None."""
    decisions = (each for each in stream if each.kind is RecordKind.DECISION)
    return next((each for each in decisions if each.data["decision"]["id"] == click), None)


def _event_id(click: str) -> str:
    return f"click/{click}"


def stream_for(transaction: Transaction, remediation: str) -> str:
    """Return the stream for a record about `remediation`: its own until its ending, then the system's."""
    ended = transaction.connection.execute(_HAS_ENDED, {"stream": remediation}).scalar_one()
    return SYSTEM if ended else remediation


def _is_vouched_for(transaction: Transaction, click: Click) -> bool:
    """Return whether the login that a click came through, if any, speaks for the person now and did at the click."""
    path, _, login = click.via.partition(":")
    if path != "cli" or not login:
        return True
    latest = max(click.at, transaction.now)
    return logins.counts(transaction.tables, login, click.person, latest)


def _received(transaction: Transaction, click: Click) -> Entry:
    return Entry(
        event_id=_event_id(click.id),
        stream=stream_for(transaction, click.remediation),
        kind=RecordKind.DECISION_RECEIVED,
        actor=click.person,
        source=click.via,
        object=click.gate,
        outcome=click.answer.value,
        at=click.at,
        data={
            "id": click.id,
            "gate": click.gate,
            "answer": click.answer.value,
            "principal": click.person,
            "via": click.via,
        },
    )


def _row_of(click: Click, seq: int) -> dict[str, Any]:
    return {
        "entry": click.id,
        "seq": seq,
        "kind": "click",
        "delivery": click.id,
        "fingerprint": "",
        "runbook": "",
        "runbook_digest": "",
        "target": click.remediation,
        "sender": click.via,
        "requested_by": click.person,
        "body": canonical(recordable(click.model_dump(mode="json"))),
        "received_at": click.at,
        "claimed_until": None,
        "done_at": None,
    }
