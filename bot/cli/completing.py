"""What the shell offers when a person presses Tab: the names that there are.

A shell waits for it, and a person types meanwhile, so what cannot be found out is not offered, and
nothing is complained about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from activities.lazily import lazily
from bot.cli.runbook_files import SUFFIXES
from bot.cli.terminal import settings
from runbooks.errors import ParamedicError

if TYPE_CHECKING:
    from activities.ledger import records, remediations, store
else:  # `paramedic runbook lint` completes names as well, and has no ledger
    records = lazily("activities.ledger.records")
    remediations = lazily("activities.ledger.remediations")
    store = lazily("activities.ledger.store")

OFFERED = 20  # remediations, the newest ones


def runbook_names(incomplete: str) -> list[str]:
    """Return the runbooks of these settings that begin like that."""
    try:
        files = sorted(settings().runbooks.iterdir())
    except (ParamedicError, OSError):
        return []
    return [each.stem for each in files if each.suffix in SUFFIXES and each.stem.startswith(incomplete)]


def open_ids(incomplete: str) -> list[str]:
    """Return the remediations in progress that begin like that, by the ledger of this machine."""
    return _ids(incomplete, lambda connection: [row.id for row in remediations.open_remediations(connection)])


def recent_ids(incomplete: str) -> list[str]:
    """Return the newest remediations that begin like that, by the ledger of this machine."""
    return _ids(incomplete, lambda connection: records.streams_recent(connection, OFFERED))


def _ids(incomplete: str, query: Callable[[Any], list[str]]) -> list[str]:
    try:
        ledger = store.Ledger.open(settings().ledger, create=False)
    except ParamedicError:
        return []
    try:
        return [each for each in ledger.read_now(query) if each.startswith(incomplete.upper())]
    except ParamedicError:
        return []
    finally:
        ledger.close()
