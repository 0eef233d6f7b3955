"""Where the ledger stands: a file of SQLite, or a database of PostgreSQL.

What the two have in common is all that the rest of the ledger knows of them.  PostgreSQL's driver is
imported with the first connection to one, so that a ledger in a file does not pay for it.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from activities.ledger import postgresql, sqlite
from activities.ledger.postgresql import Postgresql
from activities.ledger.sqlite import READERS, Sqlite
from runbooks.errors import LedgerError

__all__ = ["READERS", "Database", "commit_to_disk", "database_of"]

_EXAMPLES = "sqlite:////path/to/ledger.db and postgresql+psycopg://user:password@host/database are some"


class Database(Protocol):
    """One of the two.  As text it says where it is, without a secret."""

    def make(self) -> None:
        """Make what the first connection needs.

        Raises:
            OSError: it cannot be made.
        """

    def must_be_there(self) -> None:
        """Refuse to go on where to connect would make a database.

        Raises:
            LedgerError: there is none.
        """

    def writing_engine(self) -> Engine:
        """Return the engine of the one connection that writes."""

    def reading_engine(self) -> Engine:
        """Return the engine of the connections that read: each transaction is a snapshot."""

    def explain(self, error: Exception) -> tuple[str, str]:
        """Return what is wrong, in the database's words, and what an operator can do about it."""

    def is_away(self, error: Exception) -> bool:
        """Return whether it does not answer now, so that the same may succeed later with nothing put right."""


def database_of(url: str) -> Database:
    """Return the database that `url` names.

    Raises:
        LedgerError: it is not the URL of one that can hold a ledger.
    """
    try:
        parsed: URL = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: the port is no number
        # What is no URL may be half of one, with the password in it.
        raise LedgerError(f"PARAMEDIC_LEDGER_URL is not a database URL; {_EXAMPLES}") from error
    match parsed.get_backend_name():
        case "sqlite":
            return Sqlite(parsed)
        case "postgresql":
            return Postgresql(parsed)
        case _:
            shown = parsed.set(query={}).render_as_string(hide_password=True)
            raise LedgerError(f"the ledger cannot be in {shown!r}; {_EXAMPLES}")


def commit_to_disk(connection: Connection, *, wait: bool) -> None:
    """Let the commits of this connection wait until they are on the disk, or not, from now on.

    One that does not wait is in the database, as everybody sees it: it survives the end of this
    process, and the next one that waits takes it along.  Only a power cut (with PostgreSQL: the end of
    the server too) can take it away.  Not to be called within a transaction.

    Raises:
        DBAPIError: the database refuses.
    """
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    kind.commit_to_disk(connection, wait=wait)
