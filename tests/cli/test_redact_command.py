"""`paramedic redact`: values go, and that they went stays on record."""

from __future__ import annotations

import json

import pytest

from activities.ledger.records import after
from activities.ledger.store import Ledger
from runbooks.model.record import RecordKind
from tests.cli.terminal import paramedic
from tests.ledger.material import entry
from tests.ledgers import new_ledger

CASE = "R-7F3K2Q"


@pytest.fixture
def house(tmp_path):
    """The settings of an installation whose ledger holds two results of checks."""
    ledger = new_ledger(tmp_path / "ledger.db")
    for number in (1, 2):
        told = entry(
            f"{CASE}/check/{number}",
            CASE,
            kind=RecordKind.CHECK,
            outcome="passed",
            data={"result": {"text": "bob"}},
        )
        ledger.write_now(lambda transaction, told=told: transaction.append(told))
    ledger.close()
    return {"data": tmp_path}


def kept(house):
    """Return all records but what the policy said."""
    ledger = Ledger.open(f"sqlite:///{house['data'] / 'ledger.db'}", create=False)
    try:
        records = ledger.read_now(lambda connection: after(connection, -1, 99))
        return [each for each in records if each.kind is not RecordKind.RULING]
    finally:
        ledger.close()


def test_what_was_redacted_is_said_and_on_record(house):
    """Person and reason stand in the ledger, and the values are gone."""
    result = paramedic("redact", CASE, "--reason", "a name", **house)

    *checks, redaction = kept(house)
    assert (result.exit_code, result.stdout) == (
        0,
        f"Redacted: 2 values of {CASE} (records 0, 1), on record as 3.\n",
    )
    assert [check.data["result"] for check in checks] == [{"redacted": True}] * 2
    assert redaction.kind is RecordKind.REDACTION
    assert (redaction.actor.partition(":")[0], redaction.data["reason"]) == ("local", "a name")


def test_one_record_can_be_named(house):
    """The other keeps its value; programs get the record of it."""
    result = paramedic("redact", CASE, "--record", "1", "--reason", "a name", "--json", **house)

    assert json.loads(result.stdout)["data"]["records"] == [1]
    assert [each.data.get("result") for each in kept(house)[:2]] == [{"text": "bob"}, {"redacted": True}]


@pytest.mark.parametrize("arguments", [("R-UNKNOWN",), (CASE, "--record", "7")])
def test_nothing_to_redact_is_an_error_that_says_so(house, arguments):
    """Nobody believes that something is gone which is not."""
    result = paramedic("redact", *arguments, "--reason", "a name", **house)

    assert result.exit_code == 1
    assert "can be redacted" in result.stderr
    assert len(kept(house)) == 2
