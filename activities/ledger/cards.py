"""Where the card of a remediation is, and how far into the ledger it has been brought."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from activities.ledger import schema
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value


class Card(Value):
    """The message that shows a remediation to people.

    Attributes:
        channel: id of the channel that it is in.
        ts: the message's id in that channel, which is Slack's word for it.
        seq: the last record that it shows.
        state: what its writer wants to remember of it.
    """

    remediation: str
    channel: str
    ts: str
    seq: int
    state: str = ""


_COLUMNS = [schema.card.c[name] for name in Card.model_fields]


def card(connection: Connection, remediation: str) -> Card | None:
    """Return the card of `remediation`, or None where it has none yet."""
    query = select(*_COLUMNS).where(schema.card.c.remediation == remediation)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Card(**row)


def keep(transaction: Transaction, card: Card, *, at: datetime | None = None) -> None:
    """Remember where a card is, in the place of what was remembered of it before."""
    row = {**card.model_dump(), "updated_at": at or transaction.now}
    connection = transaction.connection
    changed = connection.execute(
        update(schema.card).where(schema.card.c.remediation == card.remediation).values(**row)
    )
    if changed.rowcount == 0:
        connection.execute(insert(schema.card), row)
