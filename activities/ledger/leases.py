"""Leases: the exclusive right to act on a target, with an expiry and a fencing number.

The fencing number grows with each new holder and never goes back, so whoever acts can be asked
for the number that it was given, and one who slept through its expiry is found out.  A lease that
has expired is still its holder's until somebody else takes it; who acts renews it first.

After an action whose outcome nobody knows the lease is kept, until a person has looked and gives the
target back.  That is on record, in the stream `system`: a remediation's own stream ends with its ending.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from activities.ledger.bodies import recordable_text
from activities.ledger.prepared import Prepared, PreparedInsert
from activities.ledger.schema import lease, remediation
from activities.ledger.transaction import Transaction
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, RecordKind
from runbooks.policy.admission import LeaseHolder

LEASE_SPAN = timedelta(hours=1)
"""How long a lease lasts that nobody renews: after a crash of everything, the target is free again."""

FREE = ""

_of_target = lease.c.target == bindparam("of_target")
_of_holder = lease.c.remediation == bindparam("holder")
_mine = _of_holder & (lease.c.fencing == bindparam("number"))
_GRANT = PreparedInsert(lease)
_PASS_ON = Prepared(
    update(lease)
    .where(_of_target)
    .values(remediation=bindparam("new_holder"), fencing=lease.c.fencing + 1, expires_at=bindparam("until"))
    .returning(lease.c.fencing)
)
_RENEW = Prepared(update(lease).where(_mine).values(expires_at=bindparam("until")))
_PROLONG = Prepared(
    update(lease).where(_mine, lease.c.expires_at < bindparam("until")).values(expires_at=bindparam("until"))
)
_KEEP = Prepared(update(lease).where(_of_holder).values(expires_at=None))
_RESUME = Prepared(update(lease).where(_of_holder).values(expires_at=bindparam("until")))
_RELEASE = Prepared(update(lease).where(_of_holder).values(remediation=FREE, expires_at=None))
_HOLDS = Prepared(select(lease.c.target).where(_mine))
_HOLDER = Prepared(
    select(lease.c.remediation, remediation.c.runbook, lease.c.expires_at)
    .join_from(lease, remediation, remediation.c.id == lease.c.remediation)
    .where(_of_target)
)
_KEPT = Prepared(
    select(
        lease.c.target, lease.c.remediation, remediation.c.runbook, remediation.c.ended_at, lease.c.fencing
    )
    .join_from(lease, remediation, remediation.c.id == lease.c.remediation)
    .where(lease.c.expires_at.is_(None), remediation.c.ended_at.is_not(None))
    .order_by(remediation.c.ended_at, lease.c.target)
)


class KeptTarget(Value):
    """A target that nobody may act on, because what became of an action there is not known.

    Attributes:
        remediation: the one whose action it was.
        since: when that one ended.
    """

    target: str
    remediation: str
    runbook: str
    since: datetime
    fencing: int


def take_lease(transaction: Transaction, target: str, holder: str, *, at: datetime) -> int:
    """Give the target to `holder` and return its fencing number.  Whether that is allowed is admission's question."""
    until = at + LEASE_SPAN
    passed_on = _PASS_ON.first(transaction.tables, of_target=target, new_holder=holder, until=until)
    if passed_on is not None:
        return int(passed_on[0])
    row = {"target": target, "remediation": holder, "fencing": 1, "expires_at": until}
    _GRANT.run(transaction.tables, [row])
    return 1


def renew_lease(transaction: Transaction, holder: str, fencing: int, *, at: datetime) -> bool:
    """Lengthen the holder's lease from now on.  False: it is no longer its own."""
    return _RENEW.run(transaction.tables, holder=holder, number=fencing, until=at + LEASE_SPAN) == 1


def prolong_lease(transaction: Transaction, holder: str, fencing: int, *, until: datetime) -> None:
    """Let the holder's own lease last until then at least; one that is kept for ever stays so."""
    _PROLONG.run(transaction.tables, holder=holder, number=fencing, until=until)


def holds_lease(connection: Connection, holder: str, fencing: int) -> bool:
    """Return whether nobody has taken the target since `holder` was given this number."""
    return _HOLDS.first(connection, holder=holder, number=fencing) is not None


def keep_lease(transaction: Transaction, holder: str) -> None:
    """Let the holder's lease last until a person gives it back: what it did to the target is not known."""
    _KEEP.run(transaction.tables, holder=holder)


def resume_lease(transaction: Transaction, holder: str, *, at: datetime) -> None:
    """Let a kept lease expire again: what the holder did to the target is known, and it goes on."""
    _RESUME.run(transaction.tables, holder=holder, until=at + LEASE_SPAN)


def release_lease(transaction: Transaction, holder: str) -> bool:
    """Give the holder's target back.  False: it held none."""
    return _RELEASE.run(transaction.tables, holder=holder) > 0


def holder_of(connection: Connection, target: str) -> LeaseHolder | None:
    """Return who holds the target, expired or not; None where nobody does."""
    found = _HOLDER.first(connection, of_target=target)
    if found is None:
        return None
    holder, runbook, until = found
    return LeaseHolder(remediation=holder, runbook=runbook, until=until)


def kept_targets(connection: Connection) -> list[KeptTarget]:
    """Return the targets that wait for a person to give them back, the longest kept first."""
    rows = _KEPT.rows(connection)
    return [
        KeptTarget(target=target, remediation=holder, runbook=runbook, since=since, fencing=fencing)
        for target, holder, runbook, since, fencing in rows
    ]


def give_back(
    transaction: Transaction, target: str, *, actor: str, source: str, reason: str
) -> KeptTarget | None:
    """Give back a target that was kept, and record who did so and why.  None: it was not kept.

    A lease that is at work is not given back: it expires by itself.
    """
    asked = recordable_text(target)
    kept = next((each for each in kept_targets(transaction.tables) if each.target == asked), None)
    if kept is None:
        return None
    release_lease(transaction, kept.remediation)
    transaction.append(
        Entry(
            event_id=f"{kept.remediation}/lease/{kept.fencing}/released",
            stream=SYSTEM,
            kind=RecordKind.LEASE_RELEASED,
            actor=actor,
            source=source,
            object=kept.target,
            data={"target": kept.target, "remediation": kept.remediation, "reason": reason},
        )
    )
    return kept
