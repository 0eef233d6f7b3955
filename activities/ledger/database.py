"""The database engines: everything about SQLite that is not a table.

One connection writes: it takes the write lock when a transaction begins, so that what it has read
is still true when it commits.  Others read, each from a snapshot.  WAL lets them not wait for one
another; `synchronous=FULL` is what makes a commit survive a power cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from activities.ledger.prepared import carry_out
from runbooks.errors import LedgerError

LOCK_TIMEOUT_MS = 2000
"""How long a lock that another process holds is waited for."""

READERS = 2

_WAITS = "commits wait for the disk"

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {LOCK_TIMEOUT_MS}",
    "cache_size = -512",  # KiB for each connection; more was measured and made nothing faster
)


def file_of(url: str) -> Path:
    """Return the file that `url` names.

    Raises:
        LedgerError: it is not the URL of an SQLite file.
    """
    try:
        parsed: URL = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"{url!r} is not a database URL; sqlite:////path/to/ledger.db is one") from error
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        shown = parsed.render_as_string(hide_password=True)
        raise LedgerError(f"the ledger needs a file of SQLite (sqlite:////path/to/ledger.db), not {shown!r}")
    return Path(str(parsed.database))


def writing_engine(url: str) -> Engine:
    """Return the engine of the one connection that writes."""
    return _engine(url, begin="BEGIN IMMEDIATE", pool_size=1, pragmas=_PRAGMAS)


def reading_engine(url: str) -> Engine:
    """Return the engine of the connections that read: each transaction is a snapshot."""
    return _engine(url, begin="BEGIN", pool_size=READERS, pragmas=(*_PRAGMAS, "query_only = ON"))


def commit_to_disk(connection: Connection, *, wait: bool) -> None:
    """Let the commits of this connection wait until they are on the disk, or not, from now on.

    One that does not wait is in the log, as the system sees it: it survives the end of the process,
    and the next one that waits takes it along.  Not to be called within a transaction.

    Raises:
        DBAPIError: the database refuses.
    """
    info = connection.info  # belongs to the driver's connection, as the setting does
    if info.get(_WAITS, True) != wait:
        carry_out(connection, f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
        info[_WAITS] = wait


def _engine(url: str, *, begin: str, pool_size: int, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=0, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own: we say when
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        carry_out(connection, begin)

    return engine
