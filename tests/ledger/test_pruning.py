"""Pruning: old remediations go into an export, and the ledger still proves all that it proved; nothing goes unsaid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from activities.ledger import blobs, inbox, leases, records, remediations, schema
from activities.ledger.blobs import Blob
from activities.ledger.bundles import bundle
from activities.ledger.checkpoints import Seal, grown, keep
from activities.ledger.exports import export, verify_export
from activities.ledger.findings import Verification, VerifiedState
from activities.ledger.installation import installation_id
from activities.ledger.merkle import Frontier
from activities.ledger.notes import FIRST, Checkpoint, PublicKey, write_note
from activities.ledger.pruning import Prunable, PruningOrder, find_prunable, prune
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from activities.spool import append_late
from runbooks.errors import RefusedError
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.ledger.history import PRIVATE_KEY
from tests.ledger.material import (
    BOTH,
    NIGHT,
    WINDOW,
    admitted,
    call,
    closing,
    delivery,
    entry,
    received,
    tamper,
)

pytestmark = pytest.mark.slow

RAW = Blob("application/json", b'{"version":"4"}')
OUTPUT = {"stdout": "customer: unmistakable"}


def remediation(ledger: Ledger, target: str, *, ended: bool = True, days: int = 0) -> str:
    """Let one happen, with a value that may be redacted, and its alert's message kept."""
    at = NIGHT + timedelta(days=days)
    raw = RAW.sha256.hex() if not days else ""
    said = {"raw": raw, "alert": {}}
    ledger.write_now(lambda t: blobs.keep(t, RAW))
    ledger.write_now(
        lambda t: t.append(
            entry(f"{target}/alert", kind=RecordKind.ALERT_RECEIVED, outcome="matched", data=said, at=at)
        )
    )
    (inbox_entry,) = received(ledger, delivery(target), at=at)
    name = admitted(ledger, call(inbox_entry, run=target, target=target), at=at).remediation
    receipt = {"key": f"{name}/do/1", "output": OUTPUT}
    not_sent = entry(
        f"{name}/r", name, kind=RecordKind.ACTION_RECEIPT, outcome="not_sent", data=receipt, at=at
    )
    ledger.write_now(lambda t: t.append(not_sent))
    if ended:
        ledger.write_now(lambda t: remediations.close(t, closing(name, Ending.FAILED), at=at))
    return name


def sealed(ledger: Ledger) -> PublicKey:
    """Seal what there is, and return the key."""
    origin = f"paramedic/{ledger.read_now(installation_id)}"
    key = PublicKey(origin, PRIVATE_KEY.public_key().public_bytes_raw())
    tree = ledger.read_now(lambda c: grown(c, Frontier(), {}))
    note = write_note(Checkpoint(origin, tree.size, tree.root(), NIGHT, FIRST), key, PRIVATE_KEY.sign)
    ledger.write_now(lambda t: keep(t, Seal(number=0, size=tree.size, note=note)))
    return key


def prunable(ledger: Ledger, published: int = 10**6) -> Prunable:
    return ledger.read_now(lambda c: find_prunable(c, NIGHT + timedelta(days=1), published))


def pruned(ledger: Ledger, what: Prunable) -> Any:
    order = PruningOrder(before=NIGHT, export="ab" * 32, actor="local:alice", source="cli")
    return ledger.write_now(lambda t: prune(t, what, order))


def verified(ledger: Ledger, *keys: PublicKey) -> Verification:
    """Verify the ledger and its export, which must agree."""
    report = ledger.read_now(lambda c: verify(c, keys))
    if keys:
        told = ledger.read_now(lambda c: verify_export(list(export(c, with_values=True)), keys))
        assert (told.state, told.problem, told.pruned) == (report.state, report.problem, report.pruned)
    return report


def count(ledger: Ledger, table: Any) -> int:
    return int(ledger.read_now(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


@BOTH
def test_what_was_pruned_is_gone_and_everything_still_verifies(ledger: Ledger) -> None:
    """Bodies, values and messages of the old one; the tree, the checkpoint and the newer one are what they were."""
    old, new = remediation(ledger, "web-1"), remediation(ledger, "web-2", days=100)
    key = sealed(ledger)
    root = verified(ledger, key).root

    what = prunable(ledger)
    record = pruned(ledger, what)

    report = verified(ledger, key)
    assert (what.streams, what.raws) == ((old,), (RAW.sha256.hex(),))
    assert (report.state, report.problem, report.pruned) == (VerifiedState.OK, "", record.data["records"])
    assert record.data == {
        "before": "2026-03-14T03:07:00.000000Z", "export": "ab" * 32, "streams": [old], "records": 4, "blobs": 1,
    }  # fmt: skip
    assert (
        ledger.read_now(lambda c: grown(c, Frontier(), {record.seq: bytes.fromhex(root)})).size
        == record.seq + 1
    )
    assert ledger.read_now(lambda c: records.stream_of(c, old)) == []
    assert ledger.read_now(lambda c: records.streams_recent(c, 9)) == [new]
    assert (count(ledger, schema.opening), count(ledger, schema.blob)) == (1, 0)
    assert new.encode() in ledger.read_now(lambda c: bundle(c, new))
    with pytest.raises(RefusedError, match="stand in the export"):
        ledger.read_now(lambda c: bundle(c, old))


def test_readers_read_past_what_was_pruned(ledger: Ledger) -> None:
    """Who follows in batches misses nothing behind it."""
    remediation(ledger, "web-1")
    before = ledger.read_now(lambda c: records.after(c, -1, 99))
    pruned(ledger, prunable(ledger))
    ledger.write_now(lambda t: t.append(entry("late")))

    read = ledger.read_now(lambda c: records.after(c, -1, 4))

    assert [each.seq for each in before] == [0, 1, 2, 3, 4, 5]
    assert [each.seq for each in read] == [0, 1, 6, 7]
    assert read[-1].event_id == "late"


def test_the_export_that_was_made_before_holds_it_all(ledger: Ledger) -> None:
    """With the values behind the commitments, and the messages; it verifies for ever."""
    remediation(ledger, "web-1")
    key = sealed(ledger)

    lines = ledger.read_now(lambda c: list(export(c, with_values=True)))
    pruned(ledger, prunable(ledger))

    report = verify_export(lines, [key])
    assert (report.state, report.problem) == (VerifiedState.OK, "")
    assert sum(b"unmistakable" in line for line in lines) == 1
    assert sum(line.startswith(b'{"raw":') for line in lines) == 1


def test_only_what_is_finished_old_and_sealed_outside_may_be_pruned(ledger: Ledger) -> None:
    """The rest stays, and is counted."""
    old, held = remediation(ledger, "web-1"), remediation(ledger, "web-2", ended=False)
    ledger.write_now(lambda t: leases.keep_lease(t, held))
    ledger.write_now(lambda t: remediations.close(t, closing(held, Ending.FAILED, keep_lease=True), at=NIGHT))
    remediation(ledger, "web-3", ended=False)
    remediation(ledger, "web-4", days=100)

    found, unsealed = prunable(ledger), prunable(ledger, 3)

    assert (found.streams, found.unfinished, found.unpublished) == ((old,), 2, 0)
    assert (unsealed.streams, unsealed.raws, unsealed.unfinished, unsealed.unpublished) == ((), (), 2, 2)


@BOTH
def test_the_message_of_what_is_open_stays(ledger: Ledger) -> None:
    """While its entry waits, its remediation has not ended, or a target is held; then it goes."""
    offered = [delivery("web-1")]
    taken = ledger.write_now(
        lambda t: inbox.accept(t, offered, at=NIGHT, duplicate_window=WINDOW, raw=RAW)
    ).entries
    ids = [each.entry for each in taken]
    found = {"waiting": prunable(ledger).raws}
    name = admitted(ledger, call(*ids)).remediation
    ledger.write_now(lambda t: inbox.done(t, ids, at=NIGHT))
    found["open"] = prunable(ledger).raws
    ledger.write_now(lambda t: remediations.close(t, closing(name, Ending.FAILED, keep_lease=True), at=NIGHT))
    found["held"] = prunable(ledger).raws
    ledger.write_now(lambda t: leases.release_lease(t, name))
    found["ended"] = prunable(ledger).raws

    assert found == {"waiting": (), "open": (), "held": (), "ended": (RAW.sha256.hex(),)}


@BOTH
def test_a_report_that_was_pruned_is_not_recorded_again(ledger: Ledger) -> None:
    """Its place is returned; only what says that something else became of the action is kept, and once."""
    name = remediation(ledger, "web-1")
    key = sealed(ledger)
    pruned(ledger, prunable(ledger))
    size = ledger.read_now(records.size)
    data = {"key": f"{name}/do/1", "output": OUTPUT}
    receipt = entry(f"{name}/r", name, kind=RecordKind.ACTION_RECEIPT, outcome="not_sent", data=data)

    again = ledger.write_now(lambda t: append_late(t, receipt))
    unchanged = ledger.read_now(records.size)
    failed = receipt.model_copy(update={"outcome": "failed"})
    late = [ledger.write_now(lambda t: append_late(t, failed)) for _ in range(2)]

    assert (again.event_id, again.stream, again.outcome, again.data) == (f"{name}/r", name, "not_sent", {})
    assert unchanged == size
    assert {(each.event_id, each.stream, each.seq) for each in late} == {(f"{name}/r/late", "system", size)}
    assert verified(ledger, key).state is VerifiedState.OK


def test_nothing_is_begun_because_of_what_was_pruned(ledger: Ledger) -> None:
    """An alert that a pruned remediation took in does not open another, and an action is not begun again."""
    (inbox_entry,) = received(ledger, delivery("web-1"))
    name = admitted(ledger, call(inbox_entry)).remediation
    intent = entry(f"{name}/do/1/intent/1", name, kind=RecordKind.ACTION_INTENT, data={})
    ledger.write_now(lambda t: t.append(intent))
    ledger.write_now(lambda t: remediations.close(t, closing(name, Ending.FAILED), at=NIGHT))
    pruned(ledger, prunable(ledger))

    with pytest.raises(RefusedError, match="was recorded and pruned"):
        admitted(ledger, call(inbox_entry, run="run-2"))
    with pytest.raises(RefusedError, match="was recorded and pruned"):
        ledger.write_now(lambda t: t.append(intent))
    assert count(ledger, schema.remediation) == 1


def test_a_body_that_is_gone_without_a_record_of_it_is_found(ledger: Ledger, url: str) -> None:
    """Whoever owns the database can do what pruning does, but not in silence."""
    name = remediation(ledger, "web-1")
    key = sealed(ledger)
    tamper(url, f"update record set body = x'' where stream = '{name}'")

    report = verified(ledger, key)

    assert (report.state, report.problem) == (
        VerifiedState.TAMPERED,
        f"bodies of {name} are gone, and no record says that they were pruned",
    )


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["update record set body = x'' where seq = 0"], "the body of record 0 is missing"),
        (["update record set stream = 'R-OTHER' where seq = 3"], "records were pruned, but 3 were"),
        (["update record set body = x'' where stream <> 'system'"], "no record says"),
        (["update record set leaf = x'00' where seq = 3"], "a hash is none"),
        (
            ["update record set leaf = zeroblob(32) where seq = 3"],
            "are not those that checkpoint 0 was made of",
        ),
        (["update record set body = x'' where kind = 'ending'"], "and others of"),
        (["update record set body = x'' where kind = 'admission'"], "of which records were taken away"),
    ],
)
def test_what_is_done_to_the_rest_of_it_is_found(
    ledger: Ledger, url: str, statements: Sequence[str], problem: str
) -> None:
    """A system's record, another stream, more than is on record, another hash."""
    remediation(ledger, "web-1")
    remediation(ledger, "web-2", days=100)
    key = sealed(ledger)
    if "kind" not in statements[0]:
        pruned(ledger, prunable(ledger))
    tamper(url, *statements)

    report = verified(ledger, key)

    assert (report.state, problem in report.problem) == (VerifiedState.TAMPERED, True), report.problem


def test_a_record_that_says_too_much_or_nothing_is_found(ledger: Ledger) -> None:
    """What was pruned is known by its number."""
    remediation(ledger, "web-1")
    for number, data in enumerate(
        ({"streams": ["R-000000"], "records": 3}, {"streams": 7, "records": 0}, {})
    ):

        def look(transaction: Any, number: int = number, data: dict[str, Any] = data) -> None:
            transaction.append(entry(f"p{number}", kind=RecordKind.LEDGER_PRUNED, data=data))
            raise AssertionError(verify(transaction.connection).problem)

        with pytest.raises(AssertionError, match=r"were pruned, but 0 were|does not hold what its kind must"):
            ledger.write_now(look)


@BOTH
def test_the_guard_lets_a_body_go_and_nothing_else(ledger: Ledger) -> None:
    """By accident nobody changes a record, nor a hash while its body goes."""
    ledger.write_now(lambda t: t.append(entry("a")))
    for change in (
        {"outcome": "ok"},
        {"body": b"[]"},
        {"body": b"", "leaf": bytes(32)},
        {"body": b"", "seq": 7},
    ):

        def spoil(transaction: Any, change: dict[str, Any] = change) -> None:
            with pytest.raises(DBAPIError, match="records are never changed"):
                transaction.tables.execute(schema.record.update().values(change))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            ledger.write_now(spoil)


def test_many_are_pruned_in_pieces() -> None:
    """Others who write wait for each piece only."""
    what = Prunable(
        streams=tuple(f"R-{number}" for number in range(450)), raws=("ab",) * 10, unfinished=0, unpublished=0
    )

    pieces = what.batches()

    assert [(len(each.streams), len(each.raws)) for each in pieces] == [(200, 10), (200, 0), (50, 0)]


def test_values_that_nothing_names_are_no_part_of_an_export(ledger: Ledger) -> None:
    """Each stands right after the record that names its hash, as it was hashed."""
    remediation(ledger, "web-1")
    key = sealed(ledger)
    lines = ledger.read_now(lambda c: list(export(c, with_values=True)))
    place = next(number for number, line in enumerate(lines) if line.startswith(b'{"opening"'))
    raw = next(number for number, line in enumerate(lines) if line.startswith(b'{"raw"'))
    salt = lines[place].split(b'"')[5]
    for forged in (
        [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]],
        [*lines[:place], lines[place].replace(b"unmistakable", b"mistakable!!"), *lines[place + 1 :]],
        [*lines[:place], lines[place].replace(salt, salt.upper()), *lines[place + 1 :]],
        [*lines[:place], lines[place].replace(salt, b"zz"), *lines[place + 1 :]],
        [*lines[:raw], b'{"raw":"%s"}\n' % hashlib.sha256(b"").hexdigest().encode(), *lines[raw + 1 :]],
        [*lines[:raw], b'{"raw":"?"}\n', *lines[raw + 1 :]],
        [*lines[:raw], b'{"pruned":{"leaf":"zz","stream":"R-1"}}\n', *lines[raw + 1 :]],
    ):
        assert verify_export(forged, [key]).state is VerifiedState.TAMPERED
