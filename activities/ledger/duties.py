"""Duties: what one process does for all of its kind, while the others stand by.

Two processes may do the same work where each piece of it can be claimed, as alerts and clicks are.
Work that is one whole, such as keeping the cards in Slack, has one holder at a time.  Its row says
who that is.  A holder that lives says so by a beat; whoever stands by takes over where the beats
have stopped.  Nothing in here is a time: machines disagree about the clock, so each measures with its
own how long a row has not changed.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from activities.ledger.schema import duty
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value

NOBODY = ""


class Duty(Value):
    """One duty as it stands.

    Attributes:
        holder: who has it; empty where somebody gave it up.
        term: grows each time somebody takes it, so that a former holder knows that it is one.
        beats: grows while the holder lives.
    """

    name: str
    holder: str
    term: int
    beats: int


_COLUMNS = [duty.c[name] for name in Duty.model_fields]


def find_duty(connection: Connection, name: str) -> Duty | None:
    """Return how the duty stands; None where nobody ever had it."""
    row = connection.execute(select(*_COLUMNS).where(duty.c.name == name)).mappings().one_or_none()
    return None if row is None else Duty(**row)


def take_duty(transaction: Transaction, name: str, holder: str, seen: Duty | None) -> Duty | None:
    """Take the duty, if it stands as it was `seen`.  Return None where somebody else was faster, or lives."""
    tables = transaction.tables
    if find_duty(tables, name) != seen:
        return None
    taken = Duty(name=name, holder=holder, term=seen.term + 1 if seen else 1, beats=0)
    tables.execute(delete(duty).where(duty.c.name == name))
    tables.execute(insert(duty), taken.model_dump())
    return taken


def beat(transaction: Transaction, held: Duty) -> bool:
    """Say that the holder lives.  Return whether it is the holder still."""
    mine = (duty.c.name == held.name) & (duty.c.term == held.term)
    return transaction.tables.execute(update(duty).where(mine).values(beats=duty.c.beats + 1)).rowcount == 1


def give_up(transaction: Transaction, held: Duty) -> None:
    """Let whoever stands by have it at once; nothing where somebody else has it already."""
    mine = (duty.c.name == held.name) & (duty.c.term == held.term)
    transaction.tables.execute(update(duty).where(mine).values(holder=NOBODY))
