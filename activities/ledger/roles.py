"""Who may do what in a ledger that is in PostgreSQL.

Whoever breaks into the bot has what the bot's user may do, so that is little: it adds records, and
changes none.  Triggers refuse the same to everybody, but the owner of a table may drop its triggers;
the bot is not the owner.

- *owner*: has made the tables, brings them up to date, and prunes; nobody else needs it.
- *writer*: the bot.  It appends, and keeps its working memory.
- *reader*: looks and verifies.
- *sealer*: the same, and adds checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator

from activities.ledger import schema

WRITER, READER, SEALER = "ledger_writer", "ledger_reader", "ledger_sealer"

_GUARDED = {
    "record": "select, insert",
    "head": "select, update",
    "checkpoint": "select, insert",
    "blob": "select, insert",
    "opening": "select, insert, delete",  # to delete one is redaction
    "approval_use": "select, insert",
    "lease": "select, insert, update",  # the rows stay: fencing numbers only grow
    "runbook_version": "select, insert",
    "installation": "select",
}
"""What the writer may do with the tables that have a past; the others are its working memory."""

_WORKING_MEMORY = "select, insert, update, delete"

_MAKE = """\
do $$ begin
  if not exists (select from pg_roles where rolname = '{role}') then create role {role} nologin; end if;
end $$;"""


def render_roles() -> str:
    """Return the SQL that makes the roles and grants them what they need; it may be carried out again."""
    return "\n".join(_statements()) + "\n"


def _statements() -> Iterator[str]:
    for role in (WRITER, READER, SEALER):
        yield _MAKE.format(role=role)
    everybody = f"{WRITER}, {READER}, {SEALER}"
    yield f"grant usage on schema public to {everybody};"
    tables = {name: f'"{name}"' for name in sorted(schema.metadata.tables)}  # one of them is a word of SQL
    for table in ("alembic_version", *tables.values()):
        yield f"revoke all on {table} from public, {everybody};"
        yield f"grant select on {table} to {everybody};"
    for name, table in tables.items():
        yield f"grant {_GUARDED.get(name, _WORKING_MEMORY)} on {table} to {WRITER};"
    yield f"grant insert on checkpoint to {SEALER};"
    # To take a turn at the head's row needs the right to change something of it: its id, which can only be 1.
    yield f"grant update (id) on head to {SEALER};"
