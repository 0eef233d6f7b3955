"""What Temporal has lost: remediations without a workflow, and entries that no workflow took in.

Who calls this has found out that the workflow is gone, and that Temporal is not merely away.  Then
every remediation still gets an ending that explains it, every open question is closed, and an alert
that nothing was done about goes through the inbox once more, as a new entry with an outcome of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, bindparam, exists, literal, select, update

from activities.ledger import inbox, records, remediations
from activities.ledger.inbox import Delivery, InboxEntry
from activities.ledger.prepared import Prepared, PreparedForEach
from activities.ledger.schema import inbox as inbox_table
from activities.ledger.schema import record, remediation
from activities.ledger.transaction import Transaction
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.policy.endings import ending_of_lost
from runbooks.policy.story import ActionStory, Story, read_story

_ACTOR = "bot:worker"
_SOURCE = "reconciliation"
_AT_ONCE = 500

_entry = inbox_table.c
_traces = [
    exists().where(record.c.event_id == literal(f"{how}/", String) + _entry.entry)
    for how in ("joined", "explained")
]
_WITHOUT_OUTCOME = Prepared(
    select(_entry.entry, _entry.runbook, _entry.target)
    .where(
        _entry.kind != "click",
        _entry.runbook != "",
        _entry.done_at > bindparam("since"),
        _entry.done_at < bindparam("until"),
        *(~trace for trace in _traces),
    )
    .order_by(_entry.done_at)
    .limit(_AT_ONCE)
)
_FEED_AGAIN = PreparedForEach(
    _entry.entry,
    lambda is_asked: update(inbox_table).where(is_asked).values(done_at=None, claimed_until=None),
)
_DID_NOT_COUNT = Prepared(
    update(remediation).where(remediation.c.id == bindparam("remediation")).values(admitted=0)
)


def end_lost(transaction: Transaction, lost: str, *, at: datetime) -> Record | None:
    """End a remediation whose workflow is gone, and say what is known.  None: it has ended meanwhile.

    An attempt that had begun and has no outcome is unknown; then its target is kept until a person gives
    it back.  Where nothing was begun, the alerts are fed again, and nothing counts against them: neither
    cooldown nor attempts.

    Raises:
        StoryError: its records are no story.
    """
    row = remediations.row(transaction.connection, lost)
    if row is None or row.ended_at is not None:
        return None
    story = read_story(records.stream_of(transaction.connection, lost))
    _tell_unheard(transaction, story)
    closing = ending_of_lost(story)
    for gate in story.open_gates:
        transaction.append(_withdrawn(story, gate.gate))
    if closing.reason == "interrupted" and not story.actions and story.resolved_at is None:
        _DID_NOT_COUNT.run(transaction.tables, remediation=lost)
        _feed_copies(transaction, story, at)
    return remediations.close(transaction, closing, at=at)


def tell_unheard(transaction: Transaction, remediation: str) -> None:
    """Put on record, before the ending, which attempts began and were not heard of again.

    The engine knows that their worker was lost; what it gave up on would otherwise have no end on record.

    Raises:
        StoryError: its records are no story.
    """
    if transaction.find(f"{remediation}/ending") is None:
        _tell_unheard(transaction, read_story(records.stream_of(transaction.connection, remediation)))


def _tell_unheard(transaction: Transaction, story: Story) -> None:
    for action in story.actions:
        if action.state == "running":
            transaction.append(_nothing_heard(story, action))


def without_outcome(
    connection: Connection, *, since: datetime, until: datetime
) -> list[tuple[str, str, str]]:
    """Return entries that Temporal accepted in that time and that nothing is on record of since.

    Each with its runbook and target; a few hundred at most, the oldest first.
    """
    return [
        (entry, runbook, target)
        for entry, runbook, target in _WITHOUT_OUTCOME.rows(connection, since=since, until=until)
    ]


def feed_again(transaction: Transaction, entries: Iterable[str]) -> None:
    """Let these entries be taken to Temporal once more."""
    _FEED_AGAIN.rows(transaction.tables, entries)


def _feed_copies(transaction: Transaction, story: Story, at: datetime) -> None:
    """Put the alerts that asked for help into the inbox as new entries."""
    found = inbox.entries(transaction.tables, story.entries)
    copies = [_copy_of(entry, story.remediation) for entry in found if remediations.asks_for_help(entry)]
    inbox.accept(transaction, copies, at=at, duplicate_window=timedelta())


def _copy_of(entry: InboxEntry, lost: str) -> Delivery:
    facts: dict[str, Any] = {name: getattr(entry, name) for name in Delivery.model_fields}
    return Delivery.model_validate({**facts, "delivery": f"{entry.delivery}/after/{lost}"})


def _nothing_heard(story: Story, action: ActionStory) -> Entry:
    data = {
        **action.model_dump(include={"key", "step", "name", "uses"}),
        "attempt": action.attempts,
        "sentence": "The attempt began and nothing was heard of it again.",
        "reason": "lost",
    }
    return _told(story, RecordKind.ACTION_UNKNOWN, f"{action.key}/outcome/{action.attempts}", data, "unknown")


def _withdrawn(story: Story, gate: str) -> Entry:
    data = {"gate": gate, "sentence": "nobody waits for the answer any more: the workflow is gone"}
    return _told(story, RecordKind.GATE_CLOSED, f"{gate}/closed", data, "withdrawn")


def _told(story: Story, kind: RecordKind, event: str, data: dict[str, Any], outcome: str) -> Entry:
    return Entry(
        event_id=event,
        stream=story.remediation,
        kind=kind,
        actor=_ACTOR,
        source=_SOURCE,
        object=story.target or "-",
        outcome=outcome,
        data=data,
    )
