"""The tables: the ledger itself, and what stands beside it.

`record` is the ledger.  Its column `body` is the only thing hashed; the other columns repeat what
the body says, so that it can be searched, and verification compares the two.  `head` holds the
Merkle tree's frontier, so that the root is known at each append.  Rows of `opening` may be
deleted (that is redaction); rows of `record` never change, which a trigger guards against
accidents and checkpoints against owners.

The other tables are working memory: they can be searched quickly and are written in the same
transaction as the records that justify them.

These are the tables as the queries see them.  How a database gets them stands in `migrations/`;
a test keeps the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator

REVISION = "0001"
"""The newest migration.  A database that says so needs none."""


def instant_text(at: datetime) -> str:
    """Return `at` in RFC 3339, UTC, to the microsecond: of one width, so text order is time order.

    Raises:
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; times in the ledger have one")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Instant(TypeDecorator[datetime]):
    """An aware time, kept as the text that `instant_text` makes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn a time into text."""
        return None if value is None else instant_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn the text into a time."""
        return None if value is None else datetime.fromisoformat(value)


Number = BigInteger().with_variant(Integer, "sqlite")
"""64 bits.  SQLite's integers are that wide, and its strict tables know no other word."""

metadata = MetaData()


def _table(name: str, *parts: SchemaItem) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True)


record = _table(
    "record",
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("stream", Text, nullable=False),
    Column("stream_seq", Number, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("at", Text, nullable=False),  # as it stands in the body
    Column("body", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    UniqueConstraint("stream", "stream_seq"),
    Index("record_by_kind", "kind", "seq"),
)

head = _table(
    "head",
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("n", Number, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("barriers", Number, nullable=False, server_default="0"),  # counted, so that each writes something
)

opening = _table(
    "opening",
    Column("digest", LargeBinary, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

blob = _table(
    "blob",
    Column("sha256", LargeBinary, primary_key=True),
    Column("media", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

checkpoint = _table(
    "checkpoint",
    Column("number", Number, primary_key=True, autoincrement=False),  # from 0, without gaps
    Column("n", Number, nullable=False),  # of the records that it covers: two may cover the same
    Column("note", Text, nullable=False),
)

inbox = _table(
    "inbox",
    Column("seq", Number, primary_key=True, autoincrement=False),  # of its record: the order of arrival
    Column("entry", Text, nullable=False, unique=True),
    Column("kind", Text, CheckConstraint("kind in ('alert', 'request', 'click')"), nullable=False),
    Column("delivery", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the alert's labels; empty where there is no alert
    Column("runbook", Text, nullable=False),  # empty: nothing matched
    Column("runbook_digest", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON: the alert, or null
    Column("received_at", Instant, nullable=False),
    Column("claimed_until", Instant),
    Column("done_at", Instant),
    Index("inbox_by_alert", "fingerprint", "received_at"),
    Index("inbox_pending", "done_at", "seq"),
)

notification = _table(
    "notification",
    Column("seq", Number, Identity(always=True), primary_key=True),
    Column("id", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

remediation = _table(
    "remediation",
    Column("id", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("first_run", Text, nullable=False),
    Column("runbook", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("admitted", Integer, CheckConstraint("admitted in (0, 1)"), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ending", Text, nullable=False),  # empty while it is open
    Column("labels", Text, nullable=False),  # JSON: of its alert, and what the inventory knows of the target
    Column("withheld", Text, nullable=False),  # the reason, where it was not admitted, else empty
    UniqueConstraint("workflow_id", "first_run"),
    Index("remediation_by_target", "runbook", "target", "ended_at"),
    Index("remediation_by_end", "ended_at"),
)

lease = _table(
    "lease",
    Column("target", Text, primary_key=True),
    Column("remediation", Text, nullable=False),  # empty: free
    Column("fencing", Number, nullable=False),  # the row stays, so that this only grows
    Column("expires_at", Instant),  # null while held: until a person gives it back
)

freeze = _table(
    "freeze",
    Column("scope", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

approval_use = _table(
    "approval_use",
    Column("decision", Text, primary_key=True),
    Column("gate", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("remediation", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("used_at", Instant, nullable=False),
    UniqueConstraint("gate", "principal"),
)

runbook_version = _table(
    "runbook_version",
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("loaded_at", Instant, nullable=False),
)

card = _table(
    "card",
    Column("remediation", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("ts", Text, nullable=False),
    Column("seq", Number, nullable=False),
    Column("state", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("card_by_place", "channel", "ts"),
)

duty = _table(
    "duty",
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # empty: nobody
    Column("term", Number, nullable=False),  # grows each time somebody takes it
    Column("beats", Number, nullable=False),  # grows while the holder lives
)

login = _table(
    "login",
    Column("id", Text, primary_key=True),
    Column("token_hash", LargeBinary, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),  # empty once it is confirmed, or where there was none
    Column("label", Text, nullable=False),  # what the command line says of itself
    Column("peer", Text, nullable=False),  # the address that it came from
    Column("person", Text, nullable=False),  # empty until somebody has confirmed it
    Column("opened_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),  # until it is confirmed, of its code
)

installation = _table(
    "installation",
    Column("row", Integer, CheckConstraint("row = 1"), primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
)
