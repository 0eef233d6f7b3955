"""Where the card of a remediation is, and how far into the ledger it has been brought."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from activities.ledger import schema
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value

SPOT = "spot"
"""The state of a row that is no remediation's: it names a message that others may join."""


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


def at(connection: Connection, channel: str, ts: str) -> list[Card]:
    """Return the cards of all remediations that one message shows."""
    query = select(*_COLUMNS).where(schema.card.c.channel == channel, schema.card.c.ts == ts)
    return [Card(**row) for row in connection.execute(query).mappings() if row["state"] != SPOT]


def spots(connection: Connection, since: datetime) -> list[Card]:
    """Return the messages that others could join since then; each under its key."""
    query = select(*_COLUMNS).where(schema.card.c.state == SPOT, schema.card.c.updated_at > since)
    return [Card(**row) for row in connection.execute(query).mappings()]


def move(transaction: Transaction, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Remember that a message is in another place now: channel and ts."""
    table = schema.card
    transaction.connection.execute(
        update(table).where(table.c.channel == old[0], table.c.ts == old[1]).values(channel=new[0], ts=new[1])
    )


def keep(transaction: Transaction, card: Card, *, at: datetime | None = None) -> None:
    """Remember where a card is, in the place of what was remembered of it before."""
    row = {**card.model_dump(), "updated_at": at or transaction.now}
    connection = transaction.connection
    changed = connection.execute(
        update(schema.card).where(schema.card.c.remediation == card.remediation).values(**row)
    )
    if changed.rowcount == 0:
        connection.execute(insert(schema.card), row)
