"""The ledger in PostgreSQL: everything about it that is not a table.

Who writes locks the one row of `head` first (`Transaction` does so), each for a moment.  So writers
of several processes take turns, what one has read is still true when it commits, and the sequence
has no holes.  Whoever would hold that row for long, stuck or stopped, is cut off by the server:
one of them could stop all.  Readers see a snapshot each and wait for nobody.

A server that stands still is given up after a few seconds (`impatient`), so that who waits for the ledger
hears of it in time.

A commit waits for the disk (`synchronous_commit`), but for work that said that it need not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from activities.lazily import lazily
from activities.ledger.prepared import begin_with
from runbooks.errors import LedgerError

if TYPE_CHECKING:
    from activities.ledger import impatient
else:
    impatient = lazily("activities.ledger.impatient")

READERS = 2

WRITER_PATIENCE = 2.5  # seconds of silence; longer than a lock is waited for, shorter than a sender waits
READER_PATIENCE = 10.0  # seconds of silence: who counts or sorts much says nothing for a while

_IN_A_COMMAND = 1  # libpq's PQTRANS_ACTIVE

_WAITS = "commits wait for the disk"

_WRITING = (
    "SET lock_timeout = '2s'",
    "SET idle_in_transaction_session_timeout = '5s'",
    # Whoever turned it off for all did not think of this; who chose more than `on` did.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)
_READING = ("SET default_transaction_read_only = on",)
_BEGIN_WITHOUT_THE_DISK = "BEGIN; SET LOCAL synchronous_commit TO off"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_CONNECTING = {
    "application_name": "paramedic",
    "connect_timeout": 2,  # seconds
    # A server that has gone without a word is noticed within about 10 s.
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,  # ms
}
"""What libpq is told; the URL may say otherwise (`?connect_timeout=10`)."""

_BY_STATE = {
    "55P03": "another process holds its lock; end that process or wait for it",
    "25P03": "this process had been stopped for too long; try again",
    "53100": "make room on its disk",
    "53300": "let the server take more connections: each process needs up to three",
    "42501": "let the owner run `paramedic ledger migrate`, and grant what `paramedic ledger roles` prints",
    "25006": "this server only reads; name the one that writes in PARAMEDIC_LEDGER_URL",
    "57P": "the server was stopped; see to it that it runs",
    "23": "look at the log of Paramedic; the database's rules refused what it wrote",
}
"""By the beginning of PostgreSQL's error code: its words may be in any language."""

_BY_WORD = {
    "password": "look at the user and the password in PARAMEDIC_LEDGER_URL",
    "pg_hba": "let pg_hba.conf admit this user and this machine",
    "does not exist": "look at the names in PARAMEDIC_LEDGER_URL; `createdb` makes a database",
    "resolve host": "look at the host in PARAMEDIC_LEDGER_URL, and whether names are resolved on this machine",
}
"""For what goes wrong while connecting: there is no code then."""

_AWAY_STATES = (
    "08",  # the connection failed
    "25P03",  # this process had stood still
    "40",  # what others did came in between
    "53300",  # too many connections
    "55P03",  # another process holds its lock
    "57P01",  # it stops
    "57P02",  # one of its processes crashed
    "57P03",  # it starts, or stops
    "57P05",  # it cut off who had been idle
)
"""The codes, by their beginning, of what passes with nothing put right."""

_AWAY_WORDS = (
    "failed to resolve host",
    "Is the server running",  # libpq asks so whenever nobody takes the connection
    "timeout expired",
    "closed the connection unexpectedly",
    "has said nothing for",  # ours
    "the database system is",  # starting up, shutting down, in recovery mode
    "too many clients",
    "too many connections",
    "connection slots are reserved",
    "terminating connection",
)
"""The same where there is no code.  A server that speaks another language than English is not understood
before it knows who connects: it is taken for wrong then, and not for away."""


class Postgresql:
    """A database of PostgreSQL."""

    def __init__(self, url: URL) -> None:
        """Use the database that `url` names.

        Raises:
            LedgerError: it names none, or another driver.
        """
        if url.drivername not in {"postgresql", "postgresql+psycopg"} or not url.database:
            raise LedgerError(
                "the ledger needs a database of PostgreSQL (postgresql+psycopg://user:password@host/database), "
                f"not {url.set(query={}).render_as_string(hide_password=True)!r}"
            )
        self._url = url.set(drivername="postgresql+psycopg")

    def __str__(self) -> str:
        """Say which it is, without the user, and without the query, which may hold a password."""
        port = f":{self._url.port}" if self._url.port else ""
        return f"postgresql://{self._url.host or ''}{port}/{self._url.database}"

    def make(self) -> None:
        """Do nothing: an administrator makes databases (`createdb`)."""

    def must_be_there(self) -> None:
        """Do nothing: who connects learns it."""

    def writing_engine(self) -> Engine:
        """Return the engine of the one connection that writes."""
        engine = self._engine(pool_size=1, settings=_WRITING, patience=WRITER_PATIENCE)
        begin_with(engine, lambda info: "BEGIN" if info.get(_WAITS, True) else _BEGIN_WITHOUT_THE_DISK)
        return engine

    def reading_engine(self) -> Engine:
        """Return the engine of the connections that read: each transaction is a snapshot."""
        engine = self._engine(pool_size=READERS, settings=_READING, patience=READER_PATIENCE)
        begin_with(engine, lambda _: _SNAPSHOT)
        return engine

    def explain(self, error: Exception) -> tuple[str, str]:
        """Return what is wrong, in PostgreSQL's words, and what an operator can do about it.

        Its details are left out: they would repeat what stands in the rows.
        """
        state, cause = _told(error)
        by_state = (remedy for sign, remedy in _BY_STATE.items() if state.startswith(sign))
        by_word = (remedy for sign, remedy in _BY_WORD.items() if not state and sign in cause)
        unknown = (
            "look at the log of PostgreSQL" if state else "see to it that PostgreSQL runs and can be reached"
        )
        return cause, next(by_state, None) or next(by_word, unknown)

    def is_away(self, error: Exception) -> bool:
        """Return whether it does not answer now; what is not known to pass is wrong."""
        state, cause = _told(error)
        if state:
            return state.startswith(_AWAY_STATES)
        is_lost: bool = getattr(error, "connection_invalidated", False)
        return is_lost or any(sign in cause for sign in _AWAY_WORDS)

    def _engine(self, *, pool_size: int, settings: tuple[str, ...], patience: float) -> Engine:
        engine = create_engine(
            self._url,
            pool_size=pool_size,
            max_overflow=0,
            connect_args={name: value for name, value in _CONNECTING.items() if name not in self._url.query},
            use_native_hstore=False,  # nobody needs them, and to look for them costs a question
        )

        known = engine.dialect.is_disconnect

        def is_disconnect(error: Any, connection: Any, cursor: Any) -> bool:
            return known(error, connection, cursor) or _is_stuck(connection)

        engine.dialect.is_disconnect = is_disconnect  # type: ignore[method-assign, assignment]

        @event.listens_for(engine, "do_connect")
        def connect(_: object, __: object, arguments: Any, named: Any) -> Any:
            connection = impatient.ImpatientConnection.connect(*arguments, **named)
            connection.patience = patience
            return connection

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            connection.autocommit = True  # the driver begins no transactions of its own: we say when
            for setting in settings:
                connection.execute(setting)

        return engine


def _told(error: Exception) -> tuple[str, str]:
    """Return PostgreSQL's code, empty where there is none, and its words on one line."""
    original: Any = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None) or ""
    said = getattr(getattr(original, "diag", None), "message_primary", None) or str(original)
    return state, " ".join(said.split())


def _is_stuck(connection: Any) -> bool:
    """Return whether a connection that has raised an error is still in the middle of a command.

    A server that stops at the wrong moment was seen to leave one so: every later command was refused
    because another one was in progress, for ever.
    """
    driver = getattr(connection, "pgconn", None)
    return driver is not None and driver.transaction_status == _IN_A_COMMAND


def commit_to_disk(connection: Connection, *, wait: bool) -> None:
    """Let the commits of this connection wait until they are on the disk, or not, from now on."""
    connection.info[_WAITS] = wait  # the next transaction begins accordingly
