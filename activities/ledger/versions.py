"""The texts of all runbook versions that ever matched: a remediation runs the one it started with."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Connection, insert, select

from activities.ledger.schema import runbook_version
from activities.ledger.transaction import Transaction


def keep(transaction: Transaction, name: str, text: str, *, at: datetime | None = None) -> str:
    """Keep the text of the runbook `name` and return its digest; what is kept already stays."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    if text_of(transaction.connection, digest) is None:
        row = {"digest": digest, "name": name, "text": text, "loaded_at": at or transaction.now}
        transaction.connection.execute(insert(runbook_version), row)
    return digest


def text_of(connection: Connection, digest: str) -> str | None:
    """Return the text with this SHA-256 (hex), or None."""
    query = select(runbook_version.c.text).where(runbook_version.c.digest == digest)
    return connection.execute(query).scalar()
