"""The inbox: where alerts and requests wait for Temporal.

An entry is written in the same transaction as its `alert.received` record, so what is on record is
waiting, and what waits is on record.  Alerts come from the tray (`activities.ledger.notifications`),
where they were durable before they were answered.  Feeders claim entries for a while; an entry whose
feeder died is claimed again when that time is over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection, Integer, bindparam, select, update

from activities.ledger import blobs
from activities.ledger.blobs import Blob
from activities.ledger.bodies import recordable, recordable_text
from activities.ledger.claims import IS_FREE, moments
from activities.ledger.last_words import NOTHING
from activities.ledger.prepared import Prepared, PreparedForEach, PreparedInsert
from activities.ledger.schema import inbox
from activities.ledger.transaction import Transaction
from runbooks.model.alert import Alert
from runbooks.model.base import Value, canonical
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind

V = TypeVar("V", bound=Value)


class Delivery(Value):
    """One alert, or one person's request, on its way to one runbook and target.

    Attributes:
        delivery: the identity of what was said: the same words twice have the same one.
        runbook: empty where no runbook matched.
        runbook_digest: the version that matched.
        alert: None for a request without one.
        sender: who delivered it, as authenticated.
        requested_by: the person who asked for it; empty for an alert.
    """

    delivery: str
    runbook: str
    target: str
    alert: Alert | None
    sender: str
    requested_by: str = ""
    runbook_digest: str = ""


class InboxEntry(Value):
    """A delivery that was accepted.  Attributes as in `Delivery`, and its id and time."""

    entry: str
    kind: Literal["alert", "request"]
    delivery: str
    runbook: str
    runbook_digest: str
    target: str
    alert: Alert | None
    sender: str
    requested_by: str
    received_at: datetime


class Said(NamedTuple):
    """What the inbox knows of a delivery now: the alert it is about, and since when it is the last word."""

    fingerprint: str
    since: datetime


class Acceptance(Value):
    """What became of deliveries.

    Attributes:
        entries: the new ones, in the same order.
        duplicates: how many were not new.
        said: for each delivery, new or not, in the same order.
        newest: the seq of the last new one; `NOTHING` where none is new.
    """

    entries: tuple[InboxEntry, ...]
    duplicates: int
    said: tuple[Said, ...]
    newest: int


class _Offer(NamedTuple):
    """A delivery with only text that can be kept, and its alert as it is kept."""

    delivery: Delivery
    fingerprint: str
    alert: dict[str, Any] | None

    @property
    def address(self) -> tuple[str, str, str]:
        return self.fingerprint, self.delivery.runbook, self.delivery.target


_INSERT = PreparedInsert(inbox)
_SAID_LAST = PreparedForEach(
    inbox.c.fingerprint,
    lambda is_asked: (
        select(inbox.c.fingerprint, inbox.c.runbook, inbox.c.target, inbox.c.delivery, inbox.c.received_at)
        .where(is_asked, inbox.c.received_at > bindparam("since"))
        .order_by(inbox.c.seq)
    ),
)
_NEWEST = Prepared(select(inbox.c.seq).where(inbox.c.kind != "click").order_by(inbox.c.seq.desc()).limit(1))
_PLAIN = tuple(name for name in InboxEntry.model_fields if name != "alert")
_COLUMNS = (*(inbox.c[name] for name in _PLAIN), inbox.c.body)
_PENDING = Prepared(
    select(*_COLUMNS)
    .where(
        inbox.c.kind != "click",  # those have their own deliverer: activities.ledger.clicks
        inbox.c.done_at.is_(None),
        IS_FREE,
    )
    .order_by(inbox.c.seq)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)  # SQLite has one writer and needs no row locks
)
_CLAIM = PreparedForEach(
    inbox.c.entry, lambda is_asked: update(inbox).where(is_asked).values(claimed_until=bindparam("until"))
)
_DONE = PreparedForEach(
    inbox.c.entry,
    lambda is_asked: update(inbox).where(is_asked, inbox.c.done_at.is_(None)).values(done_at=bindparam("at")),
)
_ENTRIES = PreparedForEach(
    inbox.c.entry, lambda is_asked: select(*_COLUMNS).where(is_asked, inbox.c.kind != "click")
)


def accept(
    transaction: Transaction,
    deliveries: Iterable[Delivery],
    *,
    at: datetime,
    duplicate_window: timedelta,
    raw: Blob | None = None,
) -> Acceptance:
    """Put what is new into the inbox and on record.

    A delivery is a duplicate where it is the last that was said of its alert, for the same runbook
    and target, and less than `duplicate_window` ago: it is counted, and nothing is written.  One that
    was said before, but with something else in between (it resolved, and fires again), is news.

    Args:
        raw: the body that they came in.  It is kept where one of them is new.
    """
    offered = [_offer(delivery) for delivery in deliveries]
    known = _SAID_LAST.rows(
        transaction.tables, {offer.fingerprint for offer in offered}, since=at - duplicate_window
    )
    last = {tuple(address): (delivery, since) for *address, delivery, since in known}
    said: list[Said] = []
    taken: list[tuple[InboxEntry, _Offer]] = []
    for number, offer in enumerate(offered):
        before, since = last.get(offer.address, ("", at))
        if before != offer.delivery.delivery:
            since = at
            last[offer.address] = offer.delivery.delivery, at
            taken.append((_entry_of(offer.delivery, at, number), offer))
        said.append(Said(offer.fingerprint, since))
    newest = _write(transaction, taken, raw) if taken else NOTHING
    entries = tuple(entry for entry, _ in taken)
    duplicates = len(offered) - len(taken)
    return Acceptance(entries=entries, duplicates=duplicates, said=tuple(said), newest=newest)


def newest(connection: Connection) -> int:
    """Return the seq of the newest alert or request; `NOTHING` where there is none."""
    found = _NEWEST.first(connection)
    return NOTHING if found is None else int(found[0])


def _write(transaction: Transaction, taken: Sequence[tuple[InboxEntry, _Offer]], raw: Blob | None) -> int:
    """Write the rows and the records of new entries, and the body that they came in.  Return the last one's seq."""
    if raw is not None:
        blobs.keep(transaction, raw)
    received = [_received(entry, offer, raw) for entry, offer in taken]
    records = [transaction.append(each, new=True) for each in received]  # the id tells the moment, too
    rows = [_row_of(entry, offer, record) for (entry, offer), record in zip(taken, records, strict=True)]
    _INSERT.run(transaction.tables, rows)
    return records[-1].seq


def claim(transaction: Transaction, limit: int, *, at: datetime, hold: timedelta) -> list[InboxEntry]:
    """Take at most `limit` pending entries that nobody else has claimed, oldest first.

    They are the caller's for `hold`; what is not done by then is given to the next who asks.
    """
    claimed = [_read_row(row) for row in _PENDING.rows(transaction.tables, **moments(at, hold), limit=limit)]
    _CLAIM.rows(transaction.tables, (entry.entry for entry in claimed), until=at + hold)
    return claimed


def done(transaction: Transaction, entries: Sequence[str], *, at: datetime) -> None:
    """Note that Temporal has accepted these entries.  They are not claimed again."""
    _DONE.rows(transaction.tables, entries, at=at)


def entries(connection: Connection, ids: Iterable[str]) -> list[InboxEntry]:
    """Return the entries with these ids, in this order; ids that nobody knows are left out."""
    wanted = list(dict.fromkeys(recordable_text(each) for each in ids))
    found = {entry.entry: entry for entry in map(_read_row, _ENTRIES.rows(connection, wanted))}
    return [found[each] for each in wanted if each in found]


def _offer(delivery: Delivery) -> _Offer:
    """Return the delivery as it can be kept; a request without an alert identifies itself."""
    kept = _with_recordable_texts(delivery)
    if kept.alert is None:
        return _Offer(kept, kept.delivery, None)
    alert = _with_recordable_texts(kept.alert)
    if alert is not kept.alert:
        kept = kept.model_copy(update={"alert": alert})
    return _Offer(kept, alert.fingerprint, alert.model_dump(mode="json"))


def _with_recordable_texts(value: V) -> V:
    texts = {name: each for name, each in vars(value).items() if isinstance(each, str | dict)}
    kept = recordable(texts)
    return value if kept == texts else value.model_copy(update=kept)


def _entry_of(delivery: Delivery, at: datetime, number: int) -> InboxEntry:
    address = [delivery.delivery, delivery.runbook, delivery.target, at.isoformat(), number]
    return InboxEntry(
        entry=hashlib.sha256(canonical(address)).hexdigest()[:24],
        kind="request" if delivery.requested_by else "alert",
        received_at=at,
        **vars(delivery),
    )


def _received(entry: InboxEntry, offer: _Offer, raw: Blob | None) -> Entry:
    return Entry(
        event_id=f"received/{entry.entry}",
        stream=SYSTEM,
        kind=RecordKind.ALERT_RECEIVED,
        actor=entry.requested_by or entry.sender,
        source=entry.sender,
        object=entry.target or "-",
        outcome="matched" if entry.runbook else "unmatched",
        at=entry.received_at,
        data={
            "delivery": entry.delivery,
            "entry": entry.entry,
            "alert": offer.alert,
            "runbook": entry.runbook,
            "target": entry.target,
            "sender": entry.sender,
            "raw": raw.sha256.hex() if raw is not None else "",
        },
    )


def _row_of(entry: InboxEntry, offer: _Offer, record: Record) -> dict[str, Any]:
    return {
        **vars(entry),
        "fingerprint": offer.fingerprint,
        "seq": record.seq,
        "body": canonical(offer.alert),
        "done_at": None if entry.runbook else entry.received_at,  # nothing will come of what nothing matched
    }


def _read_row(row: tuple[Any, ...]) -> InboxEntry:
    *plain, body = row
    return InboxEntry(alert=json.loads(body), **dict(zip(_PLAIN, plain, strict=True)))
