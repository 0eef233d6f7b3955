"""The inbox: durable before it is answered, on record, and given to one feeder at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Text, select, type_coerce

from activities.ledger import blobs, inbox, records, schema
from activities.ledger.blobs import Blob
from activities.ledger.inbox import Acceptance, Delivery, InboxEntry
from activities.ledger.last_words import NOTHING
from activities.ledger.store import Ledger
from runbooks.model.alert import AlertStatus
from runbooks.model.record import RecordKind
from tests.ledger.material import BOTH, NIGHT, WINDOW, alert, delivery, received

pytestmark = BOTH

HOLD = timedelta(seconds=30)


def accept(ledger: Ledger, *deliveries: Delivery, after: timedelta = timedelta()) -> Acceptance:
    return ledger.write_now(lambda t: inbox.accept(t, deliveries, at=NIGHT + after, duplicate_window=WINDOW))


def claim(ledger: Ledger, limit: int = 10, *, after: timedelta = timedelta()) -> list[InboxEntry]:
    return ledger.write_now(lambda t: inbox.claim(t, limit, at=NIGHT + after, hold=HOLD))


def test_an_accepted_alert_waits_and_is_on_record(ledger: Ledger) -> None:
    """Both are written in one transaction, and say the same."""
    (entry,) = accept(ledger, delivery()).entries

    (record,) = ledger.read_now(lambda c: records.after(c, -1, 9))

    assert claim(ledger) == [entry]
    assert (record.kind, record.outcome, record.actor) == (
        RecordKind.ALERT_RECEIVED,
        "matched",
        "alertmanager",
    )
    assert record.data == {
        "delivery": entry.delivery,
        "entry": entry.entry,
        "alert": {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": "web-1"},
            "annotations": {},
            "starts_at": "2026-03-14T03:07:00Z",
            "ends_at": None,
            "generator_url": "",
            "group_key": "",
        },
        "runbook": "disk-full",
        "target": "web-1",
        "sender": "alertmanager",
        "raw": "",
    }


def test_what_no_runbook_matched_is_on_record_and_waits_for_nobody(ledger: Ledger) -> None:
    """Its outcome is explained by being received: unmatched."""
    accept(ledger, delivery(runbook=""))

    (record,) = ledger.read_now(lambda c: records.after(c, -1, 9))
    assert (record.outcome, claim(ledger)) == ("unmatched", [])


def test_an_alert_that_resolved_and_fires_again_is_news(ledger: Ledger) -> None:
    """Alertmanager says the same words again, but they are not the last that were said of this alert."""
    resolved = delivery(alert=alert(status=AlertStatus.RESOLVED, instance="web-1"))
    minute = timedelta(minutes=1)

    accepted = [len(accept(ledger, each, after=n * minute).entries) for n, each in enumerate([delivery(), resolved, delivery(), delivery()])]  # fmt: skip

    assert accepted == [1, 1, 1, 0]


def test_the_same_words_within_the_window_are_a_duplicate(ledger: Ledger) -> None:
    """A notification that is sent again, or by the other of a pair, goes no further."""
    accept(ledger, delivery())

    again = accept(ledger, delivery(), after=WINDOW - timedelta(seconds=1))

    assert (again.entries, again.duplicates) == ((), 1)
    assert ledger.read_now(records.size) == 1


def test_the_same_words_after_the_window_are_news(ledger: Ledger) -> None:
    """An alert that still fires is repeated for a reason."""
    first = accept(ledger, delivery())

    again = accept(ledger, delivery(), after=WINDOW)

    assert (len(again.entries), again.duplicates) == (1, 0)
    assert again.entries[0].entry != first.entries[0].entry


def test_duplicates_within_one_notification_are_counted(ledger: Ledger) -> None:
    """It is enough to be told once."""
    acceptance = accept(ledger, delivery(), delivery(), delivery())

    assert (len(acceptance.entries), acceptance.duplicates) == (1, 2)


@pytest.mark.parametrize(
    "other",
    [
        delivery(target="web-2"),
        delivery(runbook="other"),
        delivery(alert=alert(instance="web-1", status=AlertStatus.RESOLVED)),
    ],
)
def test_another_target_runbook_or_status_is_no_duplicate(ledger: Ledger, other: Delivery) -> None:
    """Only the same words for the same runbook and target are."""
    acceptance = accept(ledger, delivery(), other)

    assert (len(acceptance.entries), acceptance.duplicates) == (2, 0)


def test_a_request_names_the_person_who_asked(ledger: Ledger) -> None:
    """Who asked may not approve, so it is kept."""
    (entry,) = accept(ledger, delivery(alert=None, requested_by="local:alice", sender="cli")).entries

    (record,) = ledger.read_now(lambda c: records.after(c, -1, 9))
    assert (entry.kind, entry.requested_by, entry.alert) == ("request", "local:alice", None)
    assert (record.actor, record.source) == ("local:alice", "cli")


def test_what_is_claimed_is_not_given_to_another(ledger: Ledger) -> None:
    """Two feeders never carry the same entry at the same time, and the oldest goes first."""
    entries = received(ledger, *(delivery(f"web-{number}") for number in range(5)))

    first, second, third = claim(ledger, 2), claim(ledger, 2), claim(ledger, 2)

    assert [each.entry for each in (*first, *second, *third)] == entries
    assert claim(ledger) == []


def test_what_its_feeder_did_not_finish_is_claimed_again(ledger: Ledger) -> None:
    """A feeder that died does not take its entries with it."""
    entries = received(ledger, delivery("web-1"), delivery("web-2"))
    claim(ledger)
    ledger.write_now(lambda t: inbox.done(t, entries[:1], at=NIGHT))

    again = claim(ledger, after=HOLD + timedelta(microseconds=1))

    assert [each.entry for each in again] == entries[1:]


@pytest.mark.parametrize(("back", "is_free"), [(timedelta(hours=3), True), (HOLD, False)])
def test_a_claim_from_before_the_clock_was_put_back_is_void(
    ledger: Ledger, back: timedelta, is_free: bool
) -> None:
    """Nothing waits until a wrong clock has become right; a clock that is wrong by seconds takes nothing from others."""
    entries = received(ledger, delivery("web-1"))
    claim(ledger)

    again = claim(ledger, after=-back)

    assert [each.entry for each in again] == (entries if is_free else [])


def test_entries_are_found_by_their_ids(ledger: Ledger) -> None:
    """In the order asked for, each once; ids that nobody knows are no entries."""
    first, second = received(ledger, delivery("web-1"), delivery("web-2"))

    found = ledger.read_now(lambda c: inbox.entries(c, [second, "forged", first, second]))

    assert [each.target for each in found] == ["web-2", "web-1"]


def test_an_alert_with_impossible_text_is_accepted(ledger: Ledger) -> None:
    """Nobody can send an alert that cannot be recorded, and so not be acted upon."""
    lone = chr(0xD800)
    strange = alert(instance=lone).model_copy(update={"annotations": {lone: f"a\0{lone}"}})

    (entry,) = accept(ledger, delivery(target=lone, alert=strange, delivery="d")).entries

    assert claim(ledger) == [entry]
    assert (entry.target, entry.alert.labels["instance"]) == ("\\ud800", "\\ud800")
    assert entry.alert.annotations == {"\\ud800": "a\\x00\\ud800"}


def test_the_raw_body_is_kept_once_where_something_is_new(ledger: Ledger) -> None:
    """The record names it by its hash; a repetition keeps nothing."""
    body, repetition = Blob("application/json", b"{}"), Blob("application/json", b"{ }")

    def take(raw: Blob, *deliveries: Delivery) -> None:
        ledger.write_now(lambda t: inbox.accept(t, deliveries, at=NIGHT, duplicate_window=WINDOW, raw=raw))

    take(body, delivery("web-1"))
    take(body, delivery("web-2"))
    take(repetition, delivery("web-1"))

    kept = ledger.read_now(lambda c: records.after(c, -1, 9))
    assert {record.data["raw"] for record in kept} == {body.sha256.hex()}
    assert ledger.read_now(lambda c: blobs.find(c, body.sha256.hex())) == body
    assert ledger.read_now(lambda c: blobs.find(c, repetition.sha256.hex())) is None


def test_of_a_huge_body_only_the_hash_is_kept(ledger: Ledger) -> None:
    """Nobody can fill the disk with bodies by telling one alert in each."""
    huge = Blob("application/json", b" " * (blobs.KEPT_LIMIT + 1))

    ledger.write_now(lambda t: inbox.accept(t, [delivery()], at=NIGHT, duplicate_window=WINDOW, raw=huge))

    (record,) = ledger.read_now(lambda c: records.after(c, -1, 9))
    assert record.data["raw"] == huge.sha256.hex()
    assert ledger.read_now(lambda c: blobs.find(c, huge.sha256.hex())) is None


def test_each_delivery_is_told_since_when_it_is_the_last_word(ledger: Ledger) -> None:
    """A repetition is as old as what it repeats."""
    minute = timedelta(minutes=1)
    accept(ledger, delivery("web-1"))

    said = accept(ledger, delivery("web-1"), delivery("web-2"), after=minute).said

    assert [each.since for each in said] == [NIGHT, NIGHT + minute]


def test_the_newest_alert_is_known(ledger: Ledger) -> None:
    """Whoever remembers the inbox notices by it that somebody else has written."""
    assert ledger.read_now(inbox.newest) == NOTHING
    accept(ledger, delivery("web-1"), delivery("web-2"))

    assert ledger.read_now(inbox.newest) == 1


def test_a_batch_that_fails_leaves_nothing(ledger: Ledger) -> None:
    """Then it is not answered 2xx, and the sender tries again."""

    def fail(transaction: object) -> None:
        inbox.accept(transaction, [delivery()], at=NIGHT, duplicate_window=WINDOW)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ledger.write_now(fail)

    assert (claim(ledger), ledger.read_now(records.size)) == ([], 0)
    assert len(accept(ledger, delivery()).entries) == 1


def test_every_alert_of_a_notification_has_its_time(ledger: Ledger) -> None:
    """Each of them, not only the first, is found again by when it came in."""
    many = [delivery(f"web-{number}") for number in range(5)]

    accept(ledger, *many)

    assert accept(ledger, *many, after=WINDOW / 2).duplicates == 5
    written = ledger.read_now(
        lambda c: set(c.execute(select(type_coerce(schema.inbox.c.received_at, Text))).scalars())
    )
    assert written == {schema.instant_text(NIGHT)}
