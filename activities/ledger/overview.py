"""Looking back: which remediations there were, for a target and in all, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from activities.ledger import schema
from activities.ledger.openings import read_records
from activities.ledger.prepared import Prepared
from activities.ledger.schema import remediation as table
from runbooks.model.base import Value
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import ACTED, Ending

_PAST = (table.c.id, table.c.runbook, table.c.target, table.c.opened_at, table.c.ended_at, table.c.ending)
_limit = bindparam("limit", type_=table.c.admitted.type)
_OF_TARGET = Prepared(
    select(*_PAST)
    .where(table.c.target == bindparam("of_target"))
    .order_by(table.c.opened_at.desc())
    .limit(_limit)
)
_ENDED = Prepared(
    select(*_PAST).where(table.c.ended_at.is_not(None)).order_by(table.c.ended_at.desc()).limit(_limit)
)
_TALLY = Prepared(
    select(table.c.runbook, table.c.ending, func.count())
    .where(table.c.ended_at >= bindparam("since", type_=schema.Instant()))
    .group_by(table.c.runbook, table.c.ending)
    .order_by(table.c.runbook)
)
_EXPLAINED = Prepared(
    select(schema.record.c.body)
    .where(
        schema.record.c.kind == RecordKind.ALERT_EXPLAINED.value,
        schema.record.c.object == bindparam("of_target"),
    )
    .order_by(schema.record.c.seq.desc())
    .limit(_limit)
)

_ACTED = ACTED | {Ending.FAILED}


class PastRemediation(Value):
    """One remediation, as short as it can be told.

    Attributes:
        ended_at, ending: None while it is open.
    """

    id: str
    runbook: str
    target: str
    opened_at: datetime
    ended_at: datetime | None
    ending: Ending | None


class Success(Value):
    """How often a runbook that acted helped.

    Attributes:
        acted: remediations that acted, or tried to; those that were denied, expired or withheld are
            none of them, for to count them would reward a bot that never acts.
        helped: those of them that were verified.
    """

    runbook: str
    acted: int
    helped: int


def recent_of_target(connection: Connection, target: str, limit: int) -> list[PastRemediation]:
    """Return the remediations of this target, the newest first."""
    return [_read(row) for row in _OF_TARGET.rows(connection, of_target=target, limit=limit)]


def recent_endings(connection: Connection, limit: int) -> list[PastRemediation]:
    """Return the remediations that have ended, the newest first."""
    return [_read(row) for row in _ENDED.rows(connection, limit=limit)]


def explained_of_target(connection: Connection, target: str, limit: int) -> list[Record]:
    """Return the records of alerts for this target that no remediation took in, the newest first."""
    rows = _EXPLAINED.rows(connection, of_target=target, limit=limit)
    return read_records(connection, (body for (body,) in rows))


def success(connection: Connection, since: datetime) -> list[Success]:
    """Return how often each runbook that acted since then helped, by name."""
    counted: dict[str, dict[Ending, int]] = {}
    for runbook, ending, count in _TALLY.rows(connection, since=since):
        counted.setdefault(runbook, {})[Ending(ending)] = count
    tallies = [_success(runbook, endings) for runbook, endings in counted.items()]
    return [each for each in tallies if each.acted]


def _success(runbook: str, endings: Mapping[Ending, int]) -> Success:
    acted = sum(count for ending, count in endings.items() if ending in _ACTED)
    return Success(runbook=runbook, acted=acted, helped=endings.get(Ending.MITIGATED, 0))


def _read(row: tuple[object, ...]) -> PastRemediation:
    content = dict(zip(PastRemediation.model_fields, row, strict=True))
    return PastRemediation.model_validate({**content, "ending": content["ending"] or None})
