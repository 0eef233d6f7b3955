"""`paramedic timeline` and `paramedic ledger`: reading and verifying the record."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest

from bot.cli.terminal import OUT
from runbooks.model.record import Entry
from tests.cli.terminal import paramedic
from tests.ledgers import new_ledger
from tests.records import PLAN, Telling, a_good_night


@pytest.fixture
def data(tmp_path):
    """A data folder whose ledger tells of one good night and one remediation that was withheld."""
    ledger = new_ledger(tmp_path / "ledger.db")
    withheld = Telling("R-W1THHE").admitted("withheld", reason="cooldown", sentence="It ended 4 minutes ago.")
    for told in (a_good_night(), withheld.ended("withheld", "It ended 4 minutes ago.", "cooldown")):
        ledger.write_now(
            lambda transaction, told=told: [transaction.append(_entry(each)) for each in told.records]
        )
    ledger.close()
    return tmp_path


def _entry(record):
    return Entry(**{name: getattr(record, name) for name in Entry.model_fields})


def test_tells_a_remediation_at_the_terminal(data):
    """The id may be typed in small letters, as a person says it."""
    result = paramedic("timeline", "r-7f3k2q", data=data)

    assert result.exit_code == 0
    assert result.stdout.startswith("R-7F3K2Q: service-errors on checkout\nMitigated: ")
    assert "Alice" in result.stdout


def test_on_a_narrow_terminal_no_word_of_it_is_broken(data):
    """A phone at 3am: one thing below the other, and the plan's digest can still be copied."""
    wide, narrow = (
        paramedic("timeline", "R-7F3K2Q", data=data, environment={"COLUMNS": str(columns)}).stdout.split()
        for columns in (200, 40)
    )

    assert PLAN.digest in narrow
    assert set(wide) <= {*narrow, "UTC", "since", "who", "what", "result"}


def test_writes_markdown_into_a_file(data):
    """--out writes the postmortem's page and prints nothing."""
    page = data / "postmortem.md"

    result = paramedic("timeline", "R-7F3K2Q", "--out", page, data=data)

    assert (result.exit_code, result.stdout) == (0, "")
    assert page.read_text().startswith("# R-7F3K2Q: service-errors on checkout\n")


@pytest.mark.parametrize("option", [["--format", "json"], ["--json"]], ids=" ".join)
def test_prints_json(data, option):
    """Programs get the rows."""
    told = json.loads(paramedic("timeline", "R-W1THHE", *option, data=data).stdout)

    assert [row["result"] for row in told["rows"]] == ["withheld", "withheld"]


def test_an_unknown_remediation_is_met_with_the_last_ones(data):
    """A typing error is answered with what there is."""
    result = paramedic("timeline", "R-ZZZZZZ", data=data)

    assert result.exit_code == 2
    assert result.stderr == "There is no remediation R-ZZZZZZ. The last ones: R-W1THHE, R-7F3K2Q.\n"


def test_a_file_that_cannot_be_written_is_one_sentence(data):
    """A wrong --out is no traceback."""
    result = paramedic("timeline", "R-W1THHE", "--out", data / "no" / "x.md", data=data)

    assert result.exit_code == 2
    assert "cannot be written: No such file or directory. Choose another file with --out." in result.stderr


def test_without_a_ledger_says_where_it_looked(tmp_path):
    """A wrong data folder is named, and no empty ledger is made in it."""
    result = paramedic("timeline", "R-W1THHE", data=tmp_path)

    assert result.exit_code == 2
    assert f"there is no ledger at {tmp_path / 'ledger.db'}" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_tail_is_the_last_records_in_order(data):
    """The newest record stands at the end, as in a log."""
    records = json.loads(paramedic("ledger", "tail", "-n", "3", "--json", data=data).stdout)
    people = paramedic("ledger", "tail", "-n", "3", data=data).stdout.splitlines()

    assert [(record["seq"], record["kind"]) for record in records] == [
        (12, "ending"),
        (13, "admission"),
        (14, "ending"),
    ]
    assert people[1].split() == [
        "12",
        "2026-03-14",
        "03:09:39",
        "UTC",
        "R-7F3K2Q",
        "ending",
        "mitigated",
        "bot:worker",
    ]


def test_a_tail_longer_than_the_ledger_is_the_whole_ledger(data):
    """Asking for more than there is gives all there is."""
    assert len(json.loads(paramedic("ledger", "tail", "-n", "99", "--json", data=data).stdout)) == 15


def test_a_good_ledger_is_verified(tmp_path):
    """Exit code 0, the words that scripts look for, and how much was found good."""
    told = Telling("R-W1THHE").admitted("withheld", reason="cooldown", sentence="It ended 4 minutes ago.")
    told.ended("withheld", "It ended 4 minutes ago.", "cooldown")
    ledger = new_ledger(tmp_path / "ledger.db")
    ledger.write_now(lambda transaction: [transaction.append(_entry(each)) for each in told.records])
    ledger.close()

    result = paramedic("ledger", "verify", data=tmp_path)

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "ledger verify: ok")
    assert "2 found good" in result.stdout


def test_a_decision_under_no_known_seal_is_not_called_good(data):
    """Exit code 1: the good night's approval was signed by nobody who is on record."""
    result = paramedic("ledger", "verify", data=data)

    assert (result.exit_code, result.stdout.partition(":")[0]) == (1, "ledger verify")
    assert "which is no listener that is believed" in " ".join(result.stdout.split())


def test_a_changed_record_is_named(data):
    """Exit code 1, and the first record that is not as it should be."""
    with sqlite3.connect(data / "ledger.db") as connection:
        for (trigger,) in connection.execute(
            "select name from sqlite_master where type = 'trigger'"
        ).fetchall():
            connection.execute(f"drop trigger {trigger}")
        connection.execute("update record set actor = 'slack:T1/U9' where seq = 4")
    connection.close()

    result = paramedic("ledger", "verify", data=data)
    report = json.loads(paramedic("ledger", "verify", "--json", data=data).stdout)

    assert result.exit_code == 1
    assert result.stdout.startswith("ledger verify: tampered: ")
    assert "first bad record  4" in result.stdout
    assert (report["state"], report["seq"], report["size"]) == ("tampered", 4, 4)


@pytest.mark.parametrize("content", [None, b"this is no database"], ids=["none", "another file"])
def test_a_ledger_that_cannot_be_read_is_not_called_good(tmp_path, content):
    """Exit code 2: it cannot be told."""
    if content is not None:
        (tmp_path / "ledger.db").write_bytes(content)

    result = paramedic("ledger", "verify", data=tmp_path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_what_is_copied_is_never_broken(data, monkeypatch):
    """The root and the times are whole also where the terminal has 80 columns."""
    monkeypatch.setattr(OUT, "_width", 80)
    root = json.loads(paramedic("ledger", "verify", "--json", data=data).stdout)["root"]
    verified = paramedic("ledger", "verify", data=data).stdout
    tail = paramedic("ledger", "tail", "-n", "1", data=data).stdout

    assert root in verified
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", tail)
