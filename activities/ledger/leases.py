"""Leases: the exclusive right to act on a target, with an expiry and a fencing number.

The fencing number grows with each new holder and never goes back, so whoever acts can be asked
for the number that it was given, and one who slept through its expiry is found out.  A lease that
has expired is still its holder's until somebody else takes it; who acts renews it first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from activities.ledger.schema import lease, remediation
from activities.ledger.transaction import Transaction
from runbooks.policy.admission import LeaseHolder

LEASE_SPAN = timedelta(hours=1)
"""How long a lease lasts that nobody renews: after a crash of everything, the target is free again."""

FREE = ""


def take_lease(transaction: Transaction, target: str, holder: str, *, at: datetime) -> int:
    """Give the target to `holder` and return its fencing number.  Whether that is allowed is admission's question."""
    connection = transaction.connection
    fencing = connection.execute(select(lease.c.fencing).where(lease.c.target == target)).scalar()
    next_fencing = int(fencing or 0) + 1
    row = {"remediation": holder, "fencing": next_fencing, "expires_at": at + LEASE_SPAN}
    if fencing is None:
        connection.execute(insert(lease), {"target": target, **row})
    else:
        connection.execute(update(lease).where(lease.c.target == target).values(**row))
    return next_fencing


def renew_lease(transaction: Transaction, holder: str, fencing: int, *, at: datetime) -> bool:
    """Lengthen the holder's lease from now on.  False: it is no longer its own."""
    mine = (lease.c.remediation == holder) & (lease.c.fencing == fencing)
    renewed = transaction.connection.execute(update(lease).where(mine).values(expires_at=at + LEASE_SPAN))
    return renewed.rowcount == 1


def holds_lease(connection: Connection, holder: str, fencing: int) -> bool:
    """Return whether nobody has taken the target since `holder` was given this number."""
    mine = (lease.c.remediation == holder) & (lease.c.fencing == fencing)
    return connection.execute(select(lease.c.target).where(mine)).first() is not None


def keep_lease(transaction: Transaction, holder: str) -> None:
    """Let the holder's lease last until a person gives it back: what it did to the target is not known."""
    transaction.connection.execute(update(lease).where(lease.c.remediation == holder).values(expires_at=None))


def release_lease(transaction: Transaction, holder: str) -> bool:
    """Give the holder's target back.  False: it held none."""
    freed = update(lease).where(lease.c.remediation == holder).values(remediation=FREE, expires_at=None)
    return transaction.connection.execute(freed).rowcount > 0


def holder_of(connection: Connection, target: str) -> LeaseHolder | None:
    """Return who holds the target, expired or not; None where nobody does."""
    query = (
        select(lease.c.remediation, remediation.c.runbook, lease.c.expires_at)
        .join_from(lease, remediation, remediation.c.id == lease.c.remediation)
        .where(lease.c.target == target)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return LeaseHolder(remediation=row.remediation, runbook=row.runbook, until=row.expires_at)
