"""The ledger in a file: everything about SQLite that is not a table.

One connection writes: it takes the write lock when a transaction begins, so that what it has read
is still true when it commits.  Others read, each from a snapshot.  WAL lets them not wait for one
another; `synchronous=FULL` is what makes a commit survive a power cut.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from activities.ledger.prepared import begin_with, carry_out
from runbooks.errors import LedgerError

LOCK_TIMEOUT_MS = 2000
"""How long a lock that another process holds is waited for."""

READERS = 2

_WAITS = "commits wait for the disk"

_PRAGMAS = (
    f"busy_timeout = {LOCK_TIMEOUT_MS}",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",  # what is redacted is overwritten; other deletions are few and small
    "cache_size = -512",  # KiB for each connection; more was measured and made nothing faster
)

_REMEDIES = {
    "locked": "another process holds its lock; end that process or wait for it",
    "full": "make room on its disk",
    "disk I/O": "look at its disk: it is broken, full, or a quota is used up",
    "readonly": "let this user write the file and its folder",
    "unable to open": "let this user read and write the file and its folder",
    "malformed": "restore it from a backup, then verify it",
    "not a database": "the path names another file",
}

_PRIMARY = 0xFF  # of SQLite's error codes, these bits are the code; the others say more of it


class Sqlite:
    """A file of SQLite."""

    def __init__(self, url: URL) -> None:
        """Use the file that `url` names.

        Raises:
            LedgerError: it names none.
        """
        if url.database in {None, "", ":memory:"}:
            raise LedgerError(
                f"the ledger needs a file of SQLite (sqlite:////path/to/ledger.db), not {str(url)!r}"
            )
        self._url = url
        self._file = Path(str(url.database))

    def __str__(self) -> str:
        return str(self._file)

    def make(self) -> None:
        """Make the file where there is none, for its owner's eyes only."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.touch(mode=0o600)

    def must_be_there(self) -> None:
        """Refuse to go on where there is no file, for to connect would make one.

        Raises:
            LedgerError: there is none.
        """
        if not self._file.is_file():
            raise LedgerError(f"there is no ledger at {self}; look at the path, or start Paramedic once")

    def writing_engine(self) -> Engine:
        """Return the engine of the one connection that writes."""
        return _engine(
            self._url, begin="BEGIN IMMEDIATE", pool_size=1, pragmas=(*_PRAGMAS, "journal_mode = WAL")
        )

    def reading_engine(self) -> Engine:
        """Return the engine of the connections that read: each transaction is a snapshot."""
        return _engine(self._url, begin="BEGIN", pool_size=READERS, pragmas=(*_PRAGMAS, "query_only = ON"))

    def explain(self, error: Exception) -> tuple[str, str]:
        """Return what is wrong, in SQLite's words, and what an operator can do about it."""
        cause = str(getattr(error, "orig", None) or error)
        remedy = next((text for sign, text in _REMEDIES.items() if sign in cause), None)
        return cause, remedy or "look at the file and its disk"

    def is_away(self, error: Exception) -> bool:
        """Return whether somebody else holds its lock."""
        original: Any = getattr(error, "orig", None) or error
        code: int = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return code & _PRIMARY in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def commit_to_disk(connection: Connection, *, wait: bool) -> None:
    """Let the commits of this connection wait until they are on the disk, or not, from now on.

    Raises:
        DBAPIError: the database refuses.
    """
    info = connection.info  # belongs to the driver's connection, as the setting does
    if info.get(_WAITS, True) != wait:
        carry_out(connection, f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
        info[_WAITS] = wait


def _engine(url: URL, *, begin: str, pool_size: int, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=0, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own: we say when
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    begin_with(engine, lambda _: begin)
    return engine
