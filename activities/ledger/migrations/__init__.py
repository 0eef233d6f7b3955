"""How a database gets its tables, step by step; each step is kept for ever.

Alembic carries them out.  The folder is inside the package, so an installation needs no
`alembic.ini`, and a program that opens the ledger brings it up to date by itself.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine

from activities.ledger.schema import REVISION
from runbooks.errors import LedgerError


def prepare_schema(engine: Engine, *, migrate: bool) -> None:
    """See to it that the tables are those of this version of the product.

    Two processes may do so at once: the transaction holds the write lock while it looks and migrates.

    Raises:
        LedgerError: they are not, and `migrate` is False, or they belong to a newer version.
    """
    with engine.connect() as connection, connection.begin():
        found = MigrationContext.configure(connection).get_current_revision()
        if found == REVISION:
            return
        if found is not None and found > REVISION:
            raise LedgerError(
                f"the ledger's tables are of revision {found}, this version of Paramedic knows {REVISION}: "
                "install the newer version again"
            )
        if not migrate:
            raise LedgerError(
                f"the ledger's tables are of revision {found or 'none'}, {REVISION} is needed: "
                "start Paramedic once, it brings them up to date"
            )
        command.upgrade(_configuration(connection), "head")


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration
