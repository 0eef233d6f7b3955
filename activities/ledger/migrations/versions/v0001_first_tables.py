"""The first tables of the ledger, and the triggers that guard them against accidents."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEPT = (
    "seq",
    "event_id",
    "stream",
    "stream_seq",
    "kind",
    "actor",
    "source",
    "object",
    "outcome",
    "at",
    "leaf",
)
_BUT_FOR_PRUNING = "length(new.body) > 0 or ({}) <> ({})".format(
    ", ".join(f"new.{name}" for name in _KEPT), ", ".join(f"old.{name}" for name in _KEPT)
)
"""A body may make way for nothing, and nothing else may change."""

number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, the triggers, the head of an empty tree and this installation's name."""
    _make_ledger()
    _make_inbox()
    _make_remediations()
    _make_the_rest()
    _make_refusal()
    _guard("record", "update", "records are never changed", _BUT_FOR_PRUNING)
    _guard("record", "delete", "records are never deleted")
    _guard("head", "delete", "the ledger has one head")
    _guard("head", "update", "the ledger only grows", "new.n < old.n")
    _guard("checkpoint", "update", "checkpoints are never changed")
    _guard("checkpoint", "delete", "checkpoints are never deleted")
    _guard("approval_use", "update", "an approval is used once")
    _guard("approval_use", "delete", "an approval is used once")
    _guard("lease", "delete", "fencing numbers only grow")
    _guard("lease", "update", "fencing numbers only grow", "new.fencing < old.fencing")
    opened_at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    op.execute(
        sa.text(
            "insert into head (id, n, frontier, opened_at) values (1, 0, :frontier, :opened_at)"
        ).bindparams(frontier=b"", opened_at=opened_at)
    )
    op.execute(
        sa.text("insert into installation (row, id) values (1, :id)").bindparams(id=secrets.token_hex(16))
    )


def _text(name: str, *, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, unique=unique)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _make_ledger() -> None:
    op.create_table(
        "record",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        _text("event_id", unique=True),
        _text("stream"),
        sa.Column("stream_seq", number, nullable=False),
        *(_text(name) for name in ("kind", "actor", "source", "object", "outcome", "at")),
        _bytes("body"),
        _bytes("leaf"),
        sa.UniqueConstraint("stream", "stream_seq"),
        sqlite_strict=True,
    )
    op.create_index("record_by_kind", "record", ["kind", "seq"])
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("n", number, nullable=False),
        _bytes("frontier"),
        _text("opened_at"),
        sa.Column("barriers", number, nullable=False, server_default="0"),
        sqlite_strict=True,
    )
    op.create_table(
        "opening",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        _bytes("salt"),
        _bytes("value"),
        sqlite_strict=True,
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.LargeBinary, primary_key=True),
        _text("media"),
        _bytes("value"),
        sqlite_strict=True,
    )
    op.create_table(
        "checkpoint",
        sa.Column("number", number, primary_key=True, autoincrement=False),
        sa.Column("n", number, nullable=False),
        _text("note"),
        sqlite_strict=True,
    )


def _make_inbox() -> None:
    op.create_table(
        "notification",
        sa.Column("seq", number, sa.Identity(always=True), primary_key=True),
        *(_text(name) for name in ("id", "receiver", "sender", "received_at")),
        _bytes("body"),
        sqlite_strict=True,
    )
    op.create_table(
        "inbox",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        _text("entry", unique=True),
        sa.Column(
            "kind", sa.Text, sa.CheckConstraint("kind in ('alert', 'request', 'click')"), nullable=False
        ),
        *(
            _text(name)
            for name in (
                "delivery",
                "fingerprint",
                "runbook",
                "runbook_digest",
                "target",
                "sender",
                "requested_by",
            )
        ),
        _bytes("body"),
        _text("received_at"),
        sa.Column("claimed_until", sa.Text),
        sa.Column("done_at", sa.Text),
        sqlite_strict=True,
    )
    op.create_index("inbox_by_alert", "inbox", ["fingerprint", "received_at"])
    op.create_index("inbox_pending", "inbox", ["done_at", "seq"])


def _make_remediations() -> None:
    op.create_table(
        "remediation",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("workflow_id", "first_run", "runbook", "target")),
        sa.Column("admitted", sa.Integer, sa.CheckConstraint("admitted in (0, 1)"), nullable=False),
        _text("opened_at"),
        sa.Column("ended_at", sa.Text),
        _text("ending"),
        _text("labels"),
        _text("withheld"),
        sa.UniqueConstraint("workflow_id", "first_run"),
        sqlite_strict=True,
    )
    op.create_index("remediation_by_target", "remediation", ["runbook", "target", "ended_at"])
    op.create_index("remediation_by_end", "remediation", ["ended_at"])
    op.create_table(
        "lease",
        sa.Column("target", sa.Text, primary_key=True),
        _text("remediation"),
        sa.Column("fencing", number, nullable=False),
        sa.Column("expires_at", sa.Text),
        sqlite_strict=True,
    )


def _make_the_rest() -> None:
    op.create_table(
        "freeze",
        sa.Column("scope", sa.Text, primary_key=True),
        *(_text(name) for name in ("actor", "source", "reason", "at")),
        sqlite_strict=True,
    )
    op.create_table(
        "approval_use",
        sa.Column("decision", sa.Text, primary_key=True),
        *(_text(name) for name in ("gate", "principal", "remediation", "plan_digest", "used_at")),
        sa.UniqueConstraint("gate", "principal"),
        sqlite_strict=True,
    )
    op.create_table(
        "runbook_version",
        sa.Column("digest", sa.Text, primary_key=True),
        *(_text(name) for name in ("name", "text", "loaded_at")),
        sqlite_strict=True,
    )
    op.create_table(
        "card",
        sa.Column("remediation", sa.Text, primary_key=True),
        *(_text(name) for name in ("channel", "ts")),
        sa.Column("seq", number, nullable=False),
        *(_text(name) for name in ("state", "updated_at")),
        sqlite_strict=True,
    )
    op.create_index("card_by_place", "card", ["channel", "ts"])
    op.create_table(
        "duty",
        sa.Column("name", sa.Text, primary_key=True),
        _text("holder"),
        sa.Column("term", number, nullable=False),
        sa.Column("beats", number, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "login",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        *(_text(name) for name in ("label", "peer", "person", "opened_at", "expires_at")),
        sqlite_strict=True,
    )
    op.create_table(
        "installation",
        sa.Column("row", sa.Integer, sa.CheckConstraint("row = 1"), primary_key=True, autoincrement=False),
        _text("id"),
        sqlite_strict=True,
    )


def _guard(table: str, event: str, reason: str, condition: str = "true") -> None:
    """Refuse what would rewrite the past.  It stops accidents; checkpoints catch the owner of the database."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"create trigger {table}_{event} before {event} on {table} when {condition} "
            f"begin select raise(abort, '{reason}'); end"
        )
    else:
        op.execute(
            f"create trigger {table}_{event} before {event} on {table} for each row when ({condition}) "
            f"execute function refuse('{reason}')"
        )


def _make_refusal() -> None:
    """Make what PostgreSQL's triggers call.  SQLite's say it themselves, and it knows no truncate."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "create function refuse() returns trigger language plpgsql as "
            "$$ begin raise restrict_violation using message = tg_argv[0]; end $$"
        )
        for table in ("record", "head", "checkpoint", "approval_use", "lease"):
            op.execute(
                f"create trigger {table}_truncate before truncate on {table} "
                "for each statement execute function refuse('records are never deleted')"
            )
