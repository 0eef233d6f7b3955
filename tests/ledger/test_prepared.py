"""Prepared statements do what SQLAlchemy's own way does: same rows, same types, same errors."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql

from activities.ledger import freezes, inbox, leases, records, remediations, schema, transaction
from activities.ledger.prepared import AT_ONCE, Prepared, PreparedForEach, PreparedInsert, _compile
from activities.ledger.store import Ledger
from runbooks.errors import LedgerError
from tests.ledger.material import BOTH, NIGHT

pytestmark = BOTH

_freeze = schema.freeze.c
INSERT = PreparedInsert(schema.freeze)
EACH = PreparedForEach(_freeze.scope, lambda is_asked: select(_freeze.scope, _freeze.at).where(is_asked))


def a_freeze(number: int) -> dict[str, object]:
    at = NIGHT + timedelta(minutes=number)
    return {"scope": f"target={number}", "actor": "alice", "source": "cli", "reason": "", "at": at}


def freeze_many(ledger: Ledger, many: int) -> None:
    ledger.write_now(lambda t: INSERT.run(t.tables, [a_freeze(number) for number in range(many)]))


def test_rows_have_the_types_of_their_columns(ledger: Ledger) -> None:
    """A time goes in as a time and comes out as one, as it does through SQLAlchemy."""
    freeze_many(ledger, 3)
    since = select(_freeze.scope, _freeze.at).where(_freeze.at > bindparam("since"))

    prepared = ledger.read_now(lambda c: Prepared(since).rows(c, since=NIGHT))

    assert prepared == [("target=1", a_freeze(1)["at"]), ("target=2", a_freeze(2)["at"])]
    assert prepared == ledger.read_now(lambda c: [tuple(row) for row in c.execute(since, {"since": NIGHT})])


def test_values_that_stand_in_the_statement_are_kept(ledger: Ledger) -> None:
    """A constant and a limit need not be given, and no row is None."""
    freeze_many(ledger, 3)
    later = Prepared(
        select(_freeze.scope)
        .where(_freeze.at > NIGHT, _freeze.actor == bindparam("who"))
        .order_by(_freeze.at.desc())
        .limit(1)
    )

    assert ledger.read_now(lambda c: later.first(c, who="alice")) == ("target=2",)
    assert ledger.read_now(lambda c: later.first(c, who="bob")) is None


def test_a_change_says_how_many_rows_it_changed(ledger: Ledger) -> None:
    """Whoever renews a lease learns from that whether it was still its own."""
    freeze_many(ledger, 3)
    explain = Prepared(update(schema.freeze).where(_freeze.at > NIGHT).values(reason=bindparam("why")))

    assert ledger.write_now(lambda t: explain.run(t.tables, why="release")) == 2


@pytest.mark.parametrize("many", [0, 1, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 7])
def test_a_list_may_be_as_long_as_it_likes(ledger: Ledger, many: int) -> None:
    """Long lists are inserted and asked for in pieces, and nothing is lost between them."""
    freeze_many(ledger, many)
    wanted = [f"target={number}" for number in range(many)]

    found = ledger.read_now(lambda c: EACH.rows(c, [*wanted, "target=nowhere"]))

    assert sorted(found) == sorted((f"target={number}", a_freeze(number)["at"]) for number in range(many))


def test_what_the_database_refuses_is_a_ledger_error(ledger: Ledger) -> None:
    """The driver's own errors reach callers as the ledger's, and the transaction has had no effect."""
    with pytest.raises(LedgerError, match=r"UNIQUE constraint failed|violates unique constraint"):
        ledger.write_now(lambda t: INSERT.run(t.tables, [a_freeze(1), a_freeze(1)]))

    assert ledger.read_now(freezes.current) == []


@pytest.mark.parametrize("module", [freezes, inbox, leases, records, remediations, transaction])
def test_the_statements_can_be_said_to_postgresql(module: object) -> None:
    """None of them is written for SQLite alone."""
    dialect = postgresql.dialect()
    for prepared in vars(module).values():
        if isinstance(prepared, PreparedForEach | PreparedInsert):
            prepared = prepared._prepare(2)  # noqa: PLW2901 - a list of two stands for all
        if isinstance(prepared, Prepared):
            text = _compile(prepared._statement, dialect)
            assert "?" not in text.sql
            assert text.names == ()  # PostgreSQL's drivers take parameters by name


def test_a_parameter_without_a_type_is_refused(ledger: Ledger) -> None:
    """SQLAlchemy would let the driver write a time in its own form, which is not the ledger's."""
    untyped = Prepared(select(bindparam("at")))

    with pytest.raises(TypeError, match="give at a type"):
        ledger.read_now(lambda c: untyped.rows(c, at=NIGHT))
