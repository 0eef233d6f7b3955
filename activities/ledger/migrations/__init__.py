"""How a database gets its tables, step by step; each step is kept for ever.

Alembic carries them out.  The folder is inside the package, so an installation needs no
`alembic.ini`, and a program that opens the ledger brings it up to date by itself.  Most starts find
nothing to do and do not import Alembic; a process that keeps running lets a child do it (`migrate_apart`),
whose 20 MiB are given back.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text

from activities.lazily import lazily
from activities.ledger.schema import REVISION
from runbooks.errors import LedgerError

if TYPE_CHECKING:
    from alembic import command, config
else:
    command, config = lazily("alembic.command"), lazily("alembic.config")


PATIENCE = 3600.0  # seconds

_LOCK = 0x9A7A3ED1C
"""The name of PostgreSQL's lock for those who migrate; any number that nobody else uses."""


def prepare_schema(reader: Engine, writer: Engine, *, migrate: bool) -> None:
    """See to it that the tables are those of this version of the product.

    To look takes no lock.  Two processes may migrate at once: the second waits, looks, and finds it done.

    Raises:
        LedgerError: they are not, and `migrate` is False, or they belong to a newer version.
    """
    with reader.begin() as connection:
        found = _revision(connection)
    if _is_current(found):
        return
    if not migrate:
        raise LedgerError(
            f"the ledger's tables are of revision {found or 'none'}, {REVISION} is needed: "
            "start Paramedic once, it brings them up to date"
        )
    with writer.begin() as connection, _patient(connection):
        _wait_for_others(connection)
        if not _is_current(_revision(connection)):
            command.upgrade(_configuration(connection), "head")


def _is_current(found: str | None) -> bool:
    if found is not None and found > REVISION:
        raise LedgerError(
            f"the ledger's tables are of revision {found}, this version of Paramedic knows {REVISION}: "
            "install the newer version again"
        )
    return found == REVISION


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Bear with a server that says nothing while it works on a large table."""
    driver: Any = connection.connection.driver_connection
    usual = getattr(driver, "patience", None)
    if usual is not None:
        driver.patience = PATIENCE
    try:
        yield
    finally:
        if usual is not None:
            driver.patience = usual


def _wait_for_others(connection: Connection) -> None:
    """Take the lock of those who migrate.  SQLite's transaction has it already: it is the write lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("set local lock_timeout = '60s'"))
        connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def migrate_apart(url: str) -> None:
    """Bring the ledger at `url` up to date in a process of its own.

    Raises:
        LedgerError: it cannot be; the message says why.
    """
    # The URL may hold a password, and a command line is everybody's to read.
    argv = [sys.executable, "-m", "activities.ledger.migrations"]
    done = subprocess.run(argv, input=url, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LedgerError(done.stderr.strip().rpartition("\n")[2])


def _revision(connection: Connection) -> str | None:
    """Return the revision that the database says it has; None for one without tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("select version_num from alembic_version")).scalar()
    return found


def _configuration(connection: Connection) -> config.Config:
    configuration = config.Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration
