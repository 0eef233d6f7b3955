"""The name of this installation, given when its ledger was made.

A backup restored beside the original, or a Temporal namespace that belongs to another ledger, is
found out by comparing it.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from activities.ledger import schema


def installation_id(connection: Connection) -> str:
    """Return the installation's name, 32 hex digits."""
    return str(connection.execute(select(schema.installation.c.id)).scalar_one())
