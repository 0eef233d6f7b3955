"""`paramedic ledger roles` and `paramedic ledger migrate`."""

from __future__ import annotations

from pathlib import Path

from activities.ledger.roles import render_roles
from activities.ledger.store import Ledger
from tests.cli.terminal import paramedic


def test_roles_prints_sql_and_nothing_else(tmp_path: Path) -> None:
    """It is piped into psql; it needs no ledger."""
    result = paramedic("ledger", "roles", data=tmp_path)

    assert result.exit_code == 0
    assert result.stdout == render_roles()
    assert 'grant select, insert on "record" to ledger_writer;' in result.stdout


def test_migrate_makes_the_tables_and_may_be_said_again(tmp_path: Path) -> None:
    """For who runs the bot as a user that owns none of them."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    for _ in range(2):
        result = paramedic("ledger", "migrate", ledger_url=url)
        assert (result.exit_code, result.stdout) == (0, "The ledger's tables are up to date.\n")

    Ledger.open(url, create=False).close()
