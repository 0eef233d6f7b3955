"""`paramedic ledger export`, `bundle` and `keys`: what is handed to somebody who has no database."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from sqlalchemy import insert, select, update

from activities.ledger import schema
from activities.ledger.store import Transaction
from bot.sealer.memory import PUBLIC_FILE
from tests.cli.terminal import paramedic
from tests.ledger.history import KEY, ORIGIN, signed
from tests.ledgers import new_ledger
from tests.records import Telling
from tests.waiting import as_entry

NAME = "R-7F3K2Q"


@pytest.fixture
def home(tmp_path):
    """The settings of an installation whose ledger holds one remediation that was withheld, under a checkpoint."""
    ledger = new_ledger(tmp_path / "ledger.db")
    told = Telling(NAME).admitted("withheld", reason="cooldown", sentence="It ended 4 minutes ago.")
    told.ended("withheld", "It ended 4 minutes ago.", "cooldown")
    asyncio.run(ledger.append(*map(as_entry, told.records)))
    ledger.write_now(seal)
    ledger.close()
    return {"data": tmp_path}


def seal(transaction: Transaction) -> None:
    """Sign what the ledger is, as the sealer does."""
    rows = transaction.connection.execute(select(schema.record.c.body).order_by(schema.record.c.seq))
    bodies = [bytes(body) for (body,) in rows]
    name = ORIGIN.rpartition("/")[2]
    transaction.connection.execute(update(schema.installation).values(id=name))
    (note,) = signed(bodies, (len(bodies),))
    row = {"number": 0, "n": len(bodies), "note": note}
    transaction.connection.execute(insert(schema.checkpoint), row)


@pytest.mark.parametrize(
    "command", [("export", "{file}"), ("bundle", NAME.lower(), "-o", "{file}")], ids=lambda c: c[0]
)
def test_what_is_written_is_told_with_its_hash_and_is_the_same_on_stdout(home, command, tmp_path):
    """Whoever hands it over can say which file it was; a pipe gets the bytes and nothing else."""
    file = tmp_path / "out"

    def run(where, *more):
        return paramedic("ledger", *(word.format(file=where) for word in command), *more, **home)

    written, told, piped = run(file), run(file, "--json"), run("-")

    content = file.read_bytes()
    assert (written.exit_code, written.stdout) == (0, "")
    assert f"Written: {file}, {len(content)} bytes" in "".join(written.stderr.split("\n"))
    assert json.loads(told.stdout) == {
        "file": str(file),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert piped.stdout_bytes == content
    assert run("-", "--json").exit_code == 2
    key = tmp_path / "sealer.pub"
    key.write_text(f"{KEY}\n")
    verified = paramedic("ledger", "verify", file, "--key", key, data=tmp_path / "elsewhere")
    assert verified.exit_code == 0, verified.stdout


def test_a_file_that_cannot_be_written_leaves_what_was_there(home, tmp_path):
    """Half an export is none, and no draft is left behind."""
    before = sorted(tmp_path.iterdir())

    result = paramedic("ledger", "export", tmp_path / "no" / "export", **home)

    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in "".join(result.stderr.split("\n"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_bundle_of_nothing_is_refused(home, tmp_path):
    """There is no proof of what never was."""
    result = paramedic("ledger", "bundle", "R-000000", "-o", tmp_path / "out", **home)

    assert (result.exit_code, (tmp_path / "out").exists()) == (2, False)
    assert "R-000000" in result.stderr


def test_the_sealers_public_key_is_printed_as_verify_takes_it(home):
    """For people on one line, for programs as JSON; without a key it is said when there will be one."""
    none = paramedic("ledger", "keys", **home)
    folder = home["data"] / "sealer"
    folder.mkdir()
    (folder / PUBLIC_FILE).write_text(f"{KEY}\n")

    printed = paramedic("ledger", "keys", **home)

    assert none.exit_code == 2
    assert "it is made when the sealer runs first" in none.stderr
    assert printed.stdout == f"{KEY}\n"
    assert json.loads(paramedic("ledger", "keys", "--json", **home).stdout)["key"] == str(KEY)
