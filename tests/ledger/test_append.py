"""Appending: each record gets its place, once, and whatever comes from outside can be recorded."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.ledger import records
from activities.ledger.store import Ledger, Transaction
from activities.ledger.verification import VerifiedState, verify
from runbooks.errors import LedgerError
from runbooks.model.record import Record, RecordKind
from tests.ledger.material import BOTH, NIGHT, SQLITE, entry

pytestmark = BOTH

WILD = st.text(st.characters(codec=None), max_size=20)  # lone surrogates and NUL included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WILD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WILD, inner, max_size=3),
    max_leaves=8,
)


async def test_gives_each_record_the_next_place_in_ledger_and_stream(ledger: Ledger) -> None:
    """Both sequences start at 0 and have no gaps."""
    kept = await ledger.append(entry("a", "R-1"), entry("b", "R-2"), entry("c", "R-1"))

    assert [(each.seq, each.stream, each.stream_seq) for each in kept] == [
        (0, "R-1", 0),
        (1, "R-2", 0),
        (2, "R-1", 1),
    ]


async def test_returns_what_a_reader_will_find(ledger: Ledger) -> None:
    """What the writer was told and what stands in the database are equal."""
    kept = await ledger.append(entry("a", "R-1", data={"ratio": 0.5, "at": [1, None, True]}))

    assert await ledger.read(lambda c: records.stream_of(c, "R-1")) == kept
    assert kept[0].data == {"ratio": "0.5", "at": [1, None, True]}


async def test_appending_an_event_again_returns_its_first_record(ledger: Ledger) -> None:
    """A retry keeps one record: the first."""
    first = await ledger.append(entry("a", data={"what": "first"}))

    again = await ledger.append(entry("a", data={"what": "second"}))

    assert again == first
    assert await ledger.read(records.size) == 1


async def test_what_was_taken_for_new_and_is_not_is_refused(ledger: Ledger) -> None:
    """It is not looked for, so the database says so; nothing of that work is kept."""
    await ledger.append(entry("a"))

    with pytest.raises(LedgerError, match="cannot be written"):
        await ledger.write(lambda t: [t.append(entry("b"), new=True), t.append(entry("a"), new=True)])

    assert await ledger.read(records.size) == 1
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_an_event_twice_in_one_call_is_one_record(ledger: Ledger) -> None:
    """Idempotence does not wait for the commit."""
    first, second, third = await ledger.append(entry("a"), entry("b"), entry("a"))

    assert first == third
    assert (second.seq, await ledger.read(records.size)) == (1, 2)


@SQLITE
async def test_the_body_is_canonical_and_names_the_record_before(ledger: Ledger, url: str) -> None:
    """What is hashed is RFC 8785, holds all columns, and chains the stream."""
    await ledger.append(entry("a", "R-1"), entry("b", "R-1", object="wéb-1"))

    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        (first_leaf,), (leaf,) = connection.execute("select leaf from record order by seq").fetchall()
        (body,) = connection.execute("select body from record where seq = 1").fetchone()
    connection.close()

    content = json.loads(body)
    assert body == json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert leaf == hashlib.sha256(b"\0" + body).digest()
    assert content == {
        "seq": 1,
        "event_id": "b",
        "stream": "R-1",
        "stream_seq": 1,
        "stream_prev": first_leaf.hex(),
        "kind": "process",
        "actor": "bot:worker",
        "source": "test",
        "object": "wéb-1",
        "outcome": "-",
        "at": "2026-03-14T03:07:00.000000Z",
        "data": {"what": "started", "pid": 4711},
    }


async def test_keeps_times_in_utc(ledger: Ledger) -> None:
    """A time of another zone is the same moment, in UTC."""
    there = datetime(2026, 3, 14, 5, 7, tzinfo=timezone(timedelta(hours=2)))

    (kept,) = await ledger.append(entry("a", at=there))

    assert (kept.at, kept.at.utcoffset()) == (NIGHT, timedelta())


async def test_the_ledger_dates_what_has_no_date(ledger: Ledger) -> None:
    """An entry without a time gets that of the append."""
    before = datetime.now(UTC)

    (kept,) = await ledger.append(entry("a", at=None))

    assert before <= kept.at <= datetime.now(UTC)


async def test_refuses_a_time_without_a_zone(ledger: Ledger) -> None:
    """Nobody can say which moment it was; nothing is kept."""
    with pytest.raises(ValueError, match="has no time zone"):
        await ledger.append(entry("a"), entry("b", at=datetime(2026, 3, 14)))  # noqa: DTZ001 - the mistake

    assert await ledger.read(records.size) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(event=WILD, stream=WILD, actor=WILD, data=st.dictionaries(WILD, JSON, max_size=4))
def test_nothing_from_outside_is_unrecordable(
    ledger: Ledger, event: str, stream: str, actor: str, data: dict[str, object]
) -> None:
    """Whatever text and numbers an alert holds, it is recorded, read back, and verified."""

    def append(transaction: Transaction) -> Record:
        return transaction.append(entry(event, stream, actor=actor, data=data))

    kept = ledger.write_now(append)

    assert ledger.read_now(lambda c: records.find(c, kept.event_id)) == kept
    assert ledger.write_now(append) == kept
    assert ledger.read_now(verify).state is VerifiedState.OK


async def test_a_lone_surrogate_stays_recognisable(ledger: Ledger) -> None:
    """What has no bytes of its own is written as an escape, in keys too, and two stay two."""
    lone = [chr(number) for number in (0xD800, 0xDFFE, 0xDFFF)]

    (kept,) = await ledger.append(entry("a", actor=lone[0], data={lone[1]: "😀", lone[2]: "x\0y"}))

    assert kept.actor == "\\ud800"
    assert kept.data == {"\\udffe": "😀", "\\udfff": "x\\x00y"}


async def test_two_processes_share_one_sequence(ledger: Ledger, url: str) -> None:
    """What another process has written in between is seen: no place is given twice."""
    other = Ledger.open(url)
    try:
        for number in range(5):
            await ledger.append(entry(f"a{number}", "R-1"))
            await other.append(entry(f"b{number}", "R-1"))
    finally:
        other.close()

    stream = await ledger.read(lambda c: records.stream_of(c, "R-1"))
    assert [each.stream_seq for each in stream] == list(range(10))
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_finds_streams_and_what_came_after(ledger: Ledger) -> None:
    """The questions that timelines, cards and metrics ask."""
    for number, name in enumerate(("R-1", "R-2", "R-3")):
        await ledger.append(
            entry(f"{name}/admission", name, kind=RecordKind.ADMISSION), entry(f"{name}/p{number}", name)
        )

    def ask(connection: object) -> tuple[object, ...]:
        return (
            records.streams_recent(connection, 2),
            [each.seq for each in records.after(connection, 1, 2)],
            [each.seq for each in records.after(connection, -1, 9, {RecordKind.ADMISSION})],
            records.find(connection, "nothing"),
            records.stream_of(connection, "R-9"),
        )

    assert await ledger.read(ask) == (["R-3", "R-2"], [2, 3], [0, 2, 4], None, [])


@SQLITE
async def test_a_body_that_was_destroyed_is_a_ledger_error(ledger: Ledger, url: str) -> None:
    """A reader says what is wrong, and what to do."""
    await ledger.append(entry("a"))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("drop trigger record_update")
        connection.execute("update record set body = x'ff00'")
    connection.close()

    with pytest.raises(LedgerError, match="Verify the ledger"):
        await ledger.read(lambda c: records.find(c, "a"))
