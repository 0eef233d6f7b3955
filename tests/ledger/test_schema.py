"""The tables: made by migrations, equal to what the queries believe, guarded against accidents."""

from __future__ import annotations

import logging
import sqlite3
import stat
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from activities.ledger import migrations, schema
from activities.ledger.installation import installation_id
from activities.ledger.store import Ledger
from runbooks.errors import LedgerError
from tests.ledger.material import BOTH, entry, tamper


@BOTH
def test_migrations_lead_to_the_tables_that_the_queries_believe_in(ledger: Ledger) -> None:
    """Two descriptions of the tables, and no difference between them."""
    differences = ledger.read_now(
        lambda c: compare_metadata(
            MigrationContext.configure(c, opts={"compare_type": True}), schema.metadata
        )
    )

    assert differences == []


def test_the_newest_migration_is_the_one_that_the_schema_names() -> None:
    """Opening compares one word only, so that word must be right."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))

    assert ScriptDirectory.from_config(configuration).get_heads() == [schema.REVISION]


def test_all_tables_are_strict(ledger: Ledger, url: str) -> None:
    """SQLite keeps text out of numbers only where it is told to."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = connection.execute("select name, sql from sqlite_master where type = 'table'").fetchall()
    connection.close()

    assert {name for name, sql in rows if not sql.rstrip().endswith("STRICT")} == {"alembic_version"}
    assert len(rows) == len(schema.metadata.tables) + 1


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("update record set outcome = 'ok'", "records are never changed"),
        ("delete from record", "records are never deleted"),
        ("update head set n = 0", "the ledger only grows"),
        ("delete from head", "the ledger has one head"),
        ("update checkpoint set note = ''", "checkpoints are never changed"),
        ("delete from checkpoint", "checkpoints are never deleted"),
        ("delete from lease", "fencing numbers only grow"),
        ("update lease set fencing = 1", "fencing numbers only grow"),
        ("delete from approval_use", "an approval is used once"),
        ("update approval_use set gate = ''", "an approval is used once"),
    ],
)
@BOTH
def test_the_past_cannot_be_changed_by_accident(
    ledger: Ledger, url: str, statement: str, reason: str
) -> None:
    """Triggers refuse it, whoever asks."""
    ledger.write_now(lambda t: t.append(entry("a")))
    tamper(
        url,
        "insert into checkpoint values (0, 1, 'note')",
        "insert into lease values ('web-1', '', 7, null)",
        "insert into approval_use values ('d', 'g', 'p', 'r', 'x', 't')",
        guards=True,
    )

    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match=reason):
        tamper(url, statement, guards=True)


def test_opening_again_is_silent(
    ledger: Ledger, url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command line tool opens the ledger for each question."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    for _ in range(2):
        Ledger.open(url).close()

    assert (list(root.handlers), root.level) == (handlers, level)
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_making_a_ledger_is_silent(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Migrations neither print nor touch the process's logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    Ledger.open(url).close()

    assert (list(root.handlers), root.level) == (handlers, level)
    assert tuple(capfd.readouterr()) == ("", "")


def test_only_its_owner_may_read_the_file(ledger: Ledger, url: str) -> None:
    """It holds what people said and what machines answered."""
    mode = Path(url.removeprefix("sqlite:///")).stat().st_mode

    assert stat.S_IMODE(mode) == 0o600


@BOTH
def test_many_may_make_it_at_the_same_time(url: str) -> None:
    """Bot and worker start together; one migrates, the others find it done."""
    opened: list[Ledger] = []
    threads = [threading.Thread(target=lambda: opened.append(Ledger.open(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 4
    assert len({each.read_now(installation_id) for each in opened}) == 1
    for each in opened:
        each.close()


def test_each_installation_has_its_own_name(tmp_path: Path) -> None:
    """Two ledgers can be told apart."""
    names = set()
    for number in range(2):
        ledger = Ledger.open(f"sqlite:///{tmp_path}/{number}/ledger.db")
        names.add(ledger.read_now(installation_id))
        ledger.close()

    assert len(names) == 2


def test_reading_does_not_make_a_ledger(url: str) -> None:
    """Where none is, a tool that only reads says so and leaves nothing behind."""
    with pytest.raises(LedgerError, match="there is no ledger at"):
        Ledger.open(url, create=False)

    assert not Path(url.removeprefix("sqlite:///")).exists()


def test_reading_does_not_migrate(url: str) -> None:
    """An older database is not changed by a tool that only reads."""
    Path(url.removeprefix("sqlite:///")).touch()

    with pytest.raises(LedgerError, match="revision none, 0001 is needed"):
        Ledger.open(url, create=False)


@BOTH
def test_a_newer_database_is_refused(ledger: Ledger, url: str) -> None:
    """An old version of the product does not guess at tables that it does not know."""
    tamper(url, "update alembic_version set version_num = '9999'", guards=True)

    with pytest.raises(LedgerError, match="install the newer version again"):
        Ledger.open(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "is not a database URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://ledger:secret@db/ledger", r"cannot be in 'mysql://ledger:\*\*\*@db/ledger'"),
        (
            "postgresql+asyncpg://ledger:secret@db/ledger",
            r"not 'postgresql\+asyncpg://ledger:\*\*\*@db/ledger'",
        ),
        ("postgresql+psycopg://ledger:secret@db?password=secret", r"needs a database of PostgreSQL"),
        ("postgresql://ledger:secret@db:port/ledger", "is not a database URL"),
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str, problem: str) -> None:
    """The error says what would be right, and does not repeat a password."""
    with pytest.raises(LedgerError, match=problem):
        Ledger.open(url)


def test_a_file_that_is_no_database_is_refused(url: str) -> None:
    """A wrong path does not overwrite what is there."""
    file = Path(url.removeprefix("sqlite:///"))
    file.write_text("somebody's notes, long enough to be no database at all " * 50)

    with pytest.raises(LedgerError, match="the path names another file"):
        Ledger.open(url)

    assert file.read_text().startswith("somebody's notes")
