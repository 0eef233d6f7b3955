"""The brake's table: who froze what, when and why; each pull and each release is on record.

The brake also exists outside the database, for when the database is what is broken; whoever asks
admission adds that one to `current`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from activities.ledger import schema
from activities.ledger.bodies import recordable_text
from activities.ledger.prepared import Prepared
from activities.ledger.transaction import Transaction
from runbooks.errors import RefusedError
from runbooks.model.freeze import SCOPES, Freeze, is_scope
from runbooks.model.record import SYSTEM, Entry, RecordKind

__all__ = ["Freeze", "current", "freeze", "released_at", "thaw"]

_freeze = schema.freeze.c
_CURRENT = Prepared(
    select(_freeze.scope, _freeze.actor, _freeze.reason, _freeze.at).order_by(_freeze.at, _freeze.scope)
)

_LAST_THAW = Prepared(
    select(schema.record.c.at)
    .where(schema.record.c.kind == RecordKind.THAW.value, schema.record.c.object == bindparam("scope"))
    .order_by(schema.record.c.seq.desc())
    .limit(1)
)


def freeze(
    transaction: Transaction, scope: str, *, actor: str, source: str, reason: str, at: datetime | None = None
) -> Freeze:
    """Pull the brake and return it; where it is pulled already, return the one that stands.

    Raises:
        RefusedError: there is no such scope.
    """
    scope = _checked(scope)
    standing = _find(transaction.connection, scope)
    if standing is not None:
        return standing
    pulled = Freeze(
        scope=scope, actor=recordable_text(actor), reason=recordable_text(reason), at=at or transaction.now
    )
    if transaction.find(_event_id(RecordKind.FREEZE, pulled)) is not None:
        # This very pull was released since.  That it holds again needs a record of its own.
        pulled = pulled.model_copy(update={"at": transaction.now})
    transaction.append(_entry(RecordKind.FREEZE, pulled, source))
    row = {**pulled.model_dump(), "source": recordable_text(source)}
    transaction.connection.execute(insert(schema.freeze), row)
    return pulled


def thaw(
    transaction: Transaction, scope: str, *, actor: str, source: str, reason: str, at: datetime | None = None
) -> Freeze | None:
    """Release the brake and return what was released; None where it was not pulled.

    Raises:
        RefusedError: there is no such scope.
    """
    scope = _checked(scope)
    standing = _find(transaction.connection, scope)
    if standing is None:
        return None
    release = Freeze(scope=scope, actor=actor, reason=reason, at=at or transaction.now)
    transaction.append(_entry(RecordKind.THAW, release, source))
    transaction.connection.execute(delete(schema.freeze).where(schema.freeze.c.scope == scope))
    return standing


def current(connection: Connection) -> list[Freeze]:
    """Return all brakes that are pulled, the oldest first."""
    rows = _CURRENT.rows(connection)
    return [Freeze(scope=scope, actor=actor, reason=reason, at=at) for scope, actor, reason, at in rows]


def released_at(connection: Connection, scope: str) -> datetime | None:
    """Return when the brake on `scope` was last released; None where it never was."""
    row = _LAST_THAW.first(connection, scope=recordable_text(scope))
    return None if row is None else datetime.fromisoformat(row[0])


def _checked(scope: str) -> str:
    if not is_scope(scope):
        raise RefusedError("unknown_scope", f"a freeze is on {SCOPES}, not on {scope!r}")
    return recordable_text(scope)


def _find(connection: Connection, scope: str) -> Freeze | None:
    return next((each for each in current(connection) if each.scope == scope), None)


def _entry(kind: RecordKind, change: Freeze, source: str) -> Entry:
    return Entry(
        event_id=_event_id(kind, change),
        stream=SYSTEM,
        kind=kind,
        actor=change.actor,
        source=source,
        object=change.scope,
        at=change.at,
        data={"scope": change.scope, "reason": change.reason},
    )


def _event_id(kind: RecordKind, change: Freeze) -> str:
    return f"{kind.value}/{change.scope}/{schema.instant_text(change.at)}"
