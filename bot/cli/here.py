"""This machine: who is at its terminal, and what is needed to carry a request out in this process.

None of it needs Temporal or a running Paramedic: a request waits in the ledger until one takes it up.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterable

from activities.actions import Registry
from activities.freeze_file import FILE_NAME
from activities.ledger import versions
from activities.ledger.store import Ledger
from activities.windows import WindowsFile
from bot.catalog import Catalog
from bot.cli.terminal import settings, speaks_json
from bot.connections_file import read_connections
from bot.desk import Desk
from bot.intake import Intake
from bot.logins import Logins
from bot.logs import configure_logs
from bot.operations import Operations
from bot.policy.doorkeeper import TERMINAL, Doorkeeper, LocalMembers
from bot.policy.policy_file import PolicyFile

SOURCE = TERMINAL


def who() -> str:
    """Return the person at this terminal, as records name them: by the user id, which no variable can change."""
    uid = os.getuid()
    try:
        return f"local:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local:{uid}"


def log_quietly(level: int = logging.ERROR) -> None:
    """Log only what a command does not tell itself, in the way in which it speaks."""
    configure_logs("json" if speaks_json() else "text", level=level, for_good=False)


def load_catalog() -> Catalog:
    """Return the runbooks of these settings."""
    return Catalog.load(settings().runbooks, Registry.installed().vocabulary)


def operations_here(ledger: Ledger, catalog: Catalog) -> Operations:
    """Wire them for this process, which has no feeder: the running one finds new entries by itself."""
    log_quietly()
    intake = Intake(ledger, catalog, duplicate_window=settings().duplicate_window, wake=_nobody)
    return Operations(
        ledger,
        intake,
        freeze_file=settings().data / FILE_NAME,
        doorkeeper=doorkeeper(catalog),
        windows=WindowsFile(settings().windows),
    )


def desk_here(ledger: Ledger, catalog: Catalog) -> Desk:
    """Return a desk in this process."""
    logins = Logins(ledger, lifetime=settings().login_lifetime)
    return Desk(ledger, operations_here(ledger, catalog), logins)


def doorkeeper(catalog: Catalog | None = None) -> Doorkeeper:
    """Return one for the people of this machine.

    Raises:
        ParamedicError: the policy or the connections file is wrong.
    """
    members = LocalMembers(read_connections(settings().connections).groups)
    return Doorkeeper(
        PolicyFile(settings().policy),
        {"local": members},
        thaw_group=settings().thaw_group,
        owner_of=catalog.owner_of if catalog else _nobodys,
        local_people=settings().local_people_decide,
    )


def keep_version(ledger: Ledger, catalog: Catalog, name: str) -> None:
    """The worker runs the version that was asked for, also where its own folder has another."""
    runbook = catalog.runbooks.get(name)
    if runbook is not None:
        text = catalog.texts[runbook.digest]
        ledger.write_now(lambda transaction: versions.keep(transaction, name, text))


def _nobodys(_runbook: str) -> str:
    """Tell no owner, where no runbook is asked about."""
    return ""


def _nobody(_entries: Iterable[object]) -> None:
    """Wake nobody."""
