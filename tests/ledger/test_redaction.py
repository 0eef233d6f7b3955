"""Commitments and redaction: values that can be taken back, in a ledger that does not change."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from activities.ledger import openings, records, redactions, schema
from activities.ledger.openings import COMMITMENT, COMMITTED, REDACTED
from activities.ledger.redactions import RedactionOrder
from activities.ledger.store import Ledger
from activities.ledger.verification import VerifiedState, verify
from runbooks.model.base import canonical
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind
from tests.ledger.material import entry

CASE = "R-7F3K2Q"
OUTPUT = {"stdout": "customer: alice", "exit": 0}


def receipt(number: int = 1, output: Any = OUTPUT, stream: str = CASE) -> Entry:
    data = {"key": f"{CASE}/do/1", "sentence": "Done.", "output": output}
    return entry(
        f"{CASE}/do/{number}/receipt", stream=stream, kind=RecordKind.ACTION_RECEIPT, outcome="ok", data=data
    )


def check(result: Any) -> Entry:
    return entry(
        f"{CASE}/check", stream=CASE, kind=RecordKind.CHECK, outcome="passed", data={"result": result}
    )


def keep(ledger: Ledger, *entries: Entry) -> list[Record]:
    return ledger.write_now(lambda t: [t.append(each) for each in entries])


def body_of(ledger: Ledger, seq: int = 0) -> dict[str, Any]:
    query = select(schema.record.c.body).where(schema.record.c.seq == seq)
    return dict(json.loads(ledger.read_now(lambda c: c.execute(query).scalar_one())))


def opened(ledger: Ledger) -> int:
    return int(
        ledger.read_now(lambda c: c.execute(select(func.count()).select_from(schema.opening)).scalar_one())
    )


def redact(ledger: Ledger, record: int | None = None, remediation: str = CASE) -> Record | None:
    order = RedactionOrder(
        remediation=remediation, record=record, reason="a name", actor="local:alice", source="cli"
    )
    return ledger.write_now(lambda t: redactions.redact(t, order))


def test_a_body_holds_a_commitment_and_readers_get_the_value(ledger: Ledger) -> None:
    """The output of a command is not hashed itself, and nobody who reads records notices."""
    (kept,) = keep(ledger, receipt())

    commitment = body_of(ledger)["data"]["output"]

    assert list(commitment) == [COMMITMENT]
    assert "alice" not in json.dumps(body_of(ledger))
    assert kept.data["output"] == OUTPUT
    assert ledger.read_now(lambda c: records.stream_of(c, CASE)) == [kept]
    assert ledger.read_now(lambda c: records.find(c, kept.event_id)) == kept
    assert ledger.read_now(lambda c: records.after(c, -1, 9)) == [kept]


def test_a_commitment_is_the_hash_of_salt_and_canonical_value(ledger: Ledger) -> None:
    """Whoever is given an opening can check it, with nothing but SHA-256 and RFC 8785."""
    keep(ledger, receipt())

    ((digest, salt, value),) = ledger.read_now(lambda c: c.execute(select(schema.opening)).all())

    assert (len(salt), bytes(value)) == (32, canonical(OUTPUT))
    assert hashlib.sha256(bytes(salt) + bytes(value)).digest() == bytes(digest)
    assert body_of(ledger)["data"]["output"] == {COMMITMENT: bytes(digest).hex()}


def test_equal_values_have_different_commitments(ledger: Ledger) -> None:
    """Else one could be guessed by the other."""
    keep(ledger, receipt(1), receipt(2))

    assert body_of(ledger, 0)["data"]["output"] != body_of(ledger, 1)["data"]["output"]


def test_the_same_event_again_is_the_same_record(ledger: Ledger) -> None:
    """A fresh salt does not make an event another one, and leaves no opening behind."""
    (first,) = keep(ledger, receipt())

    assert keep(ledger, receipt(), receipt()) == [first, first]
    assert (opened(ledger), ledger.read_now(records.size)) == (1, 1)


def test_redacted_is_what_readers_are_told(ledger: Ledger) -> None:
    """The value is gone, the record is there, the ledger verifies, and who did it and why is on record."""
    (kept,) = keep(ledger, check({"text": "alice"}))
    before = body_of(ledger)

    done = redact(ledger)

    (read,) = ledger.read_now(lambda c: records.stream_of(c, CASE))
    assert read.data == {**kept.data, "result": {REDACTED: True}}
    assert (body_of(ledger), opened(ledger)) == (before, 0)
    assert ledger.read_now(verify).state is VerifiedState.OK
    assert done is not None
    assert (done.kind, done.stream, done.actor, done.object) == (
        RecordKind.REDACTION,
        SYSTEM,
        "local:alice",
        CASE,
    )
    assert done.data == {
        "remediation": CASE,
        "records": [0],
        "digests": [before["data"]["result"][COMMITMENT]],
        "reason": "a name",
    }


def test_what_is_redacted_is_not_in_the_file_any_more(ledger: Ledger, url: str) -> None:
    """Not even on the pages that the database has no use for, once its log is folded into it."""
    keep(ledger, receipt(output={"stdout": "customer: unmistakable"}))
    redact(ledger)
    ledger.close()

    assert b"unmistakable" not in Path(url.removeprefix("sqlite:///")).read_bytes()


def test_a_text_is_redacted_to_a_text(ledger: Ledger) -> None:
    """What people wrote is committed to as well; nothing stands there that readers do not expect."""
    said = {"decision": {"id": "d", "reason": "Bob is drunk"}, "key_id": "k"}
    keep(ledger, entry("d", stream=CASE, kind=RecordKind.DECISION, data=said))
    redact(ledger)

    (read,) = ledger.read_now(lambda c: records.stream_of(c, CASE))

    assert "Bob" not in json.dumps(body_of(ledger))
    assert read.data == {"decision": {"id": "d", "reason": REDACTED}, "key_id": "k"}


def test_one_record_alone_can_be_redacted(ledger: Ledger) -> None:
    """The others of the remediation stay readable."""
    keep(ledger, receipt(1), receipt(2))

    redact(ledger, record=1)

    outputs = [each.data["output"] for each in ledger.read_now(lambda c: records.stream_of(c, CASE))]
    assert outputs == [OUTPUT, {REDACTED: True}]


def test_what_came_after_the_ending_is_redacted_too(ledger: Ledger) -> None:
    """A late receipt stands in the system's stream, under the remediation's events."""
    keep(ledger, receipt(1, stream=SYSTEM), entry("R-OTHER1/do/1/receipt", kind=RecordKind.ACTION_RECEIPT, data={"output": OUTPUT}))  # fmt: skip

    done = redact(ledger)

    assert done is not None
    assert (done.data["records"], opened(ledger)) == ([0], 1)


@pytest.mark.parametrize("remediation", ["R-UNKNOWN", "%", CASE])
def test_nothing_to_redact_is_no_redaction(ledger: Ledger, remediation: str) -> None:
    """Of an unknown remediation, or a second time, nothing is done and nothing recorded."""
    keep(ledger, receipt())
    redact(ledger)
    size = ledger.read_now(records.size)

    assert redact(ledger, remediation=remediation) is None
    assert ledger.read_now(records.size) == size


@pytest.mark.parametrize(
    "result", [{"value": 0.93}, {"value": "12", "up": True, "series": [1, 2.5, None]}, {}]
)
def test_mere_numbers_stay(ledger: Ledger, result: Any) -> None:
    """What a check measured is what the audit is about, and numbers are no secret."""
    keep(ledger, check(result))

    assert COMMITMENT not in json.dumps(body_of(ledger))
    assert opened(ledger) == 0


@pytest.mark.parametrize("result", [{"text": "alice"}, {"values": list(range(200))}, {"token": "1" * 33}])
def test_texts_and_many_numbers_do_not_stay(ledger: Ledger, result: Any) -> None:
    """They may be anybody's."""
    (kept,) = keep(ledger, check(result))

    assert list(body_of(ledger)["data"]["result"]) == [COMMITMENT]
    assert kept.data["result"] == result


def test_a_forged_commitment_opens_nothing(ledger: Ledger) -> None:
    """An output that looks like a commitment to another value shows itself, and not that value."""
    keep(ledger, receipt(1))
    forged = {COMMITMENT: body_of(ledger)["data"]["output"][COMMITMENT]}

    keep(ledger, receipt(2, output=forged), entry("e", stream=CASE, data={"output": forged}))

    shown = [each.data["output"] for each in ledger.read_now(lambda c: records.stream_of(c, CASE))]
    assert shown == [OUTPUT, forged, forged]


def test_openings_are_written_with_their_records_or_not_at_all(ledger: Ledger) -> None:
    """A transaction that fails leaves neither."""

    def fail(transaction: Any) -> None:
        transaction.append(receipt())
        transaction.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ledger.write_now(fail)

    assert (opened(ledger), ledger.read_now(records.size)) == (0, 0)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", COMMITMENT, "result", "output"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(kind=st.sampled_from(sorted(COMMITTED)), place=st.data(), value=TREES)
def test_what_is_sealed_is_found_again(kind: RecordKind, place: st.DataObject, value: Any) -> None:
    """Every value in a declared place either stands there, or its commitment is found there."""
    field = place.draw(st.sampled_from(COMMITTED[kind]))
    data = value
    for name in reversed(field.path):
        data = {name: data}

    sealed, rows = openings.seal(kind, data)

    found = list(openings.commitments_in({"kind": kind.value, "data": sealed}))
    assert [digest for _, digest in found] == [row["digest"] for row in rows]
    assert field.value_in(sealed) == (value if not rows else {COMMITMENT: rows[0]["digest"].hex()})
