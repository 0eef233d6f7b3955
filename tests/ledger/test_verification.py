"""Verification: whatever somebody does to the records, it is found, named, and nothing crashes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.ledger import remediations
from activities.ledger.merkle import Frontier
from activities.ledger.store import Ledger
from activities.ledger.verification import Verification, VerifiedState, verify
from tests.ledger.material import NIGHT, admitted, call, closing, delivery, entry, received, tamper

Change = Callable[[sqlite3.Connection], None]


@pytest.fixture
def told(ledger: Ledger, url: str) -> str:
    """A ledger of 12 records: the system's, and one remediation's from 2 to 6; its URL, nobody using it."""
    (inbox_entry,) = received(ledger, delivery())
    ledger.write_now(lambda t: t.append(entry("system-1")))
    name = admitted(ledger, call(inbox_entry)).remediation
    ledger.write_now(lambda t: [t.append(entry(f"{name}/{number}", name)) for number in range(2)])
    ledger.write_now(lambda t: remediations.close(t, closing(name), at=NIGHT))
    ledger.write_now(lambda t: [t.append(entry(f"late-{number}")) for number in range(5)])
    ledger.close()
    return url


def change(url: str, work: Change) -> None:
    """Do something to the database that no trigger stops."""
    tamper(url)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    work(connection)
    connection.commit()
    connection.close()


def verified(url: str) -> Verification:
    ledger = Ledger.open(url, create=False)
    try:
        return ledger.read_now(verify)
    finally:
        ledger.close()


def rebuild(connection: sqlite3.Connection) -> None:
    """Recompute the hashes and the head as somebody would who understands the tree, but not the chains."""
    tree = Frontier()
    for seq, body in connection.execute("select seq, body from record order by seq").fetchall():
        leaf = hashlib.sha256(b"\0" + body).digest()
        connection.execute("update record set leaf = ? where seq = ?", (leaf, seq))
        tree.append(leaf)
    connection.execute("update head set n = ?, frontier = ?", (tree.size, tree.encode()))


def edit(connection: sqlite3.Connection, place: int, **content: object) -> None:
    """Change what the record at `place` says, body and columns."""
    (body,) = connection.execute("select body from record where seq = ?", (place,)).fetchone()
    said = {**json.loads(body), **content}
    columns = {name: said[name] for name in content.keys() - {"data", "stream_prev"}}
    columns["body"] = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    connection.execute(f"update record set {assignments} where seq = :place", {**columns, "place": place})


def test_a_ledger_that_nobody_touched_is_good(told: str) -> None:
    """All records, and the root that stands for them."""
    report = verified(told)

    assert (report.state, report.size, report.seq, report.problem) == (VerifiedState.OK, 12, None, "")
    assert (len(report.root), report.exit_code) == (64, 0)


def test_an_empty_ledger_is_good(ledger: Ledger) -> None:
    """There is nothing to be wrong."""
    report = ledger.read_now(verify)

    assert (report.state, report.size) == (VerifiedState.OK, 0)


def flip(connection: sqlite3.Connection) -> None:
    (body,) = connection.execute("select body from record where seq = 5").fetchone()
    changed = body[:40] + bytes([body[40] ^ 0x80]) + body[41:]  # no longer UTF-8
    connection.execute("update record set body = ? where seq = 5", (changed,))


def edit_one(connection: sqlite3.Connection) -> None:
    edit(connection, 5, outcome="failed")


def edit_with_its_hash(connection: sqlite3.Connection) -> None:
    edit(connection, 5, outcome="failed")
    (body,) = connection.execute("select body from record where seq = 5").fetchone()
    leaf = hashlib.sha256(b"\0" + body).digest()
    connection.execute("update record set leaf = ? where seq = 5", (leaf,))


def edit_and_rebuild(connection: sqlite3.Connection) -> None:
    edit(connection, 5, outcome="failed")
    rebuild(connection)


def edit_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("update record set actor = 'slack:T1/U9' where seq = 5")


def destroy_and_rebuild(connection: sqlite3.Connection) -> None:
    connection.execute("update record set body = x'5b315d' where seq = 5")  # [1]
    rebuild(connection)


def nest_and_rebuild(connection: sqlite3.Connection) -> None:
    connection.execute("update record set body = ? where seq = 5", (b"[" * 200_000,))
    rebuild(connection)


def delete(connection: sqlite3.Connection) -> None:
    connection.execute("delete from record where seq = 5")


def delete_and_close_the_gap(connection: sqlite3.Connection) -> None:
    connection.execute("delete from record where seq = 5")
    for seq in range(6, 12):
        edit(connection, seq, seq=seq - 1)
    rebuild(connection)


def delete_a_stream_s_first(connection: sqlite3.Connection) -> None:
    connection.execute("delete from record where seq = 2")
    for seq in range(3, 12):
        edit(connection, seq, seq=seq - 1)
    rebuild(connection)


def swap(connection: sqlite3.Connection) -> None:
    connection.execute("update record set seq = 99 where seq = 5")
    connection.execute("update record set seq = 5 where seq = 4")
    connection.execute("update record set seq = 4 where seq = 99")


def swap_and_rebuild(connection: sqlite3.Connection) -> None:
    swap(connection)
    edit(connection, 4, seq=4)
    edit(connection, 5, seq=5)
    rebuild(connection)


def insert(connection: sqlite3.Connection) -> None:
    columns = "event_id, stream, stream_seq, kind, actor, source, object, outcome, at, body, leaf"
    connection.execute(
        f"insert into record (seq, {columns}) select 12, 'new', {columns.split(', ', 1)[1].replace('stream_seq', '99')} "
        "from record where seq = 5"
    )
    edit(connection, 12, seq=12, event_id="new", stream_seq=99)
    rebuild(connection)


def cut(connection: sqlite3.Connection) -> None:
    connection.execute("delete from record where seq >= 9")


def forget_the_head(connection: sqlite3.Connection) -> None:
    connection.execute("delete from head")


def change_the_tree(connection: sqlite3.Connection) -> None:
    connection.execute("update head set frontier = zeroblob(length(frontier))")


def end_twice(connection: sqlite3.Connection) -> None:
    name, leaf = connection.execute("select stream, leaf from record where seq = 6").fetchone()
    place = {"stream": name, "stream_seq": 5, "stream_prev": leaf.hex()}
    edit(connection, 11, kind="ending", data={"count": 6}, **place)
    rebuild(connection)


def miscount(connection: sqlite3.Connection) -> None:
    edit(connection, 6, data={"count": 4})
    rebuild(connection)


def end_without_a_count(connection: sqlite3.Connection) -> None:
    edit(connection, 6, data=["count", 5])
    rebuild(connection)


@pytest.mark.parametrize(
    ("attack", "seq", "problem"),
    [
        (flip, 5, "does not have the hash that is kept beside it"),
        (edit_one, 5, "does not have the hash that is kept beside it"),
        (edit_with_its_hash, 6, "names another record before it"),
        (edit_and_rebuild, 6, "names another record before it"),
        (edit_a_column, 5, "the column actor of record 5 does not say what its body says"),
        (destroy_and_rebuild, 5, "the body of record 5 is no record"),
        (nest_and_rebuild, 5, "the body of record 5 is no record"),
        (delete, 5, "record 5 is missing, the next one is 6"),
        (delete_and_close_the_gap, 5, "is missing"),
        (delete_a_stream_s_first, 2, "is missing"),
        (swap, 4, "the column seq of record 4 does not say what its body says"),
        (swap_and_rebuild, 4, "before record 4, is missing"),
        (insert, 12, "before record 12, is missing"),
        (cut, 9, "the head knows of 12 records, there are 9"),
        (forget_the_head, None, "the head of the ledger is missing"),
        (change_the_tree, None, "is not the one that the head knows"),
        (end_twice, 11, "has a second ending"),
        (miscount, 6, "counted other records than there are"),
        (end_without_a_count, 6, "counted other records than there are"),
    ],
)
def test_finds_what_was_done_and_names_the_first_record(
    told: str, attack: Change, seq: int | None, problem: str
) -> None:
    """Flip, edit, delete, swap, insert, cut, with and without mending the hashes."""
    change(told, attack)

    report = verified(told)

    assert (report.state, report.exit_code) == (VerifiedState.TAMPERED, 1)
    assert (report.seq, problem in report.problem) == (seq, True), report.problem


def test_the_last_of_a_stream_edited_with_its_hash_is_found_by_the_head(told: str) -> None:
    """Where no later record of the stream tells, the tree does."""

    def attack(connection: sqlite3.Connection) -> None:
        edit(connection, 11, outcome="failed")
        (body,) = connection.execute("select body from record where seq = 11").fetchone()
        leaf = hashlib.sha256(b"\0" + body).digest()
        connection.execute("update record set leaf = ? where seq = 11", (leaf,))

    change(told, attack)

    assert "not the one that the head knows" in verified(told).problem


def cut_and_rebuild(connection: sqlite3.Connection) -> None:
    connection.execute("delete from record where seq >= 9")
    rebuild(connection)


def edit_the_last_and_rebuild(connection: sqlite3.Connection) -> None:
    edit(connection, 11, outcome="failed")
    rebuild(connection)


@pytest.mark.parametrize("attack", [cut_and_rebuild, edit_the_last_and_rebuild])
def test_what_only_a_checkpoint_finds_is_not_found_without_one(told: str, attack: Change) -> None:
    """Who owns the database can recompute everything; test_tampering says what checkpoints find."""
    change(told, attack)

    assert verified(told).state is VerifiedState.OK


@pytest.mark.parametrize("note", ["", "paramedic\nmany\nAAAA\n", "paramedic\n5\n*\n", "paramedic\n5\nAAAA\n"])
def test_a_checkpoint_that_says_nothing_is_found(told: str, note: str) -> None:
    """It cannot be understood, so it is none of the sealer's."""
    tamper(told, f"insert into checkpoint values (0, 5, '{note}')")

    report = verified(told)

    assert (report.state, report.problem) == (VerifiedState.TAMPERED, "checkpoint 0 is no checkpoint")


def test_a_database_that_cannot_be_read_is_not_called_good(told: str) -> None:
    """Nor is it called tampered with: the disk may have done it."""
    tamper(told, "drop table checkpoint")

    report = verified(told)

    assert (report.state, report.exit_code) == (VerifiedState.CANNOT_TELL, 2)
    assert "no such table" in report.problem


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(data=st.data())
def test_no_flipped_bit_of_a_record_goes_unseen(told: str, data: st.DataObject) -> None:
    """Any bit of any body or hash; and the verifier never crashes."""
    file = told.removeprefix("sqlite:///")
    tamper(told)
    connection = sqlite3.connect(file)
    seq, column = data.draw(st.integers(0, 11)), data.draw(st.sampled_from(("body", "leaf")))
    query, update = (
        f"select {column} from record where seq = ?",
        f"update record set {column} = ? where seq = ?",
    )
    (before,) = connection.execute(query, (seq,)).fetchone()
    place = data.draw(st.integers(0, len(before) * 8 - 1))
    flipped = bytearray(before)
    flipped[place // 8] ^= 1 << place % 8

    connection.execute(update, (bytes(flipped), seq))
    connection.commit()
    report = verified(told)
    connection.execute(update, (before, seq))
    connection.commit()
    connection.close()

    assert (report.state, report.seq) == (VerifiedState.TAMPERED, seq)
