"""The spool: what happened in the world and could not be put on record yet, in files that survive a crash.

An action's receipt comes after the action, so it cannot be refused: what happened has happened.  While
the ledger cannot be written, each receipt lies in a file of its own, written to the disk before anybody
waits.  It is put on record as soon as that is possible, by this process or by the next one at its start,
before an attempt is made that would have to guess.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import structlog
from pydantic import ValidationError

from activities.ledger.bodies import recordable
from activities.ledger.store import Ledger
from activities.ledger.transaction import Transaction
from runbooks.model.record import Entry, Record

FOLDER = "unwritten"
"""The spool's folder in the data folder."""

log = structlog.get_logger()


class Spool:
    """Entries for the ledger that wait in files.

    Args:
        folder: made at first use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, entry: Entry) -> None:
        """Write the entry to the disk.

        Raises:
            OSError: the disk does not take it either.
        """
        await asyncio.to_thread(self._write, entry)

    async def drop(self, entry: Entry) -> None:
        """Forget an entry that is on record now."""
        await asyncio.to_thread(self._file_of(entry).unlink, missing_ok=True)

    async def settle(self, ledger: Ledger) -> int:
        """Put on record what an earlier process left here.  Return how many entries that were.

        A file that cannot be read stays where it is, for a person.

        Raises:
            LedgerError: it still cannot be written; what is left stays here.
        """
        settled = 0
        for file in await asyncio.to_thread(lambda: sorted(self._folder.glob("*.json"))):
            try:
                entry = Entry.model_validate_json(await asyncio.to_thread(file.read_bytes))
            except ValidationError as error:
                log.warning("a receipt in the spool cannot be read", file=str(file), error=str(error))
                continue
            await write_late(ledger, entry)
            await asyncio.to_thread(file.unlink, missing_ok=True)
            log.info("a receipt from before is on record now", event_id=entry.event_id)
            settled += 1
        return settled

    def _file_of(self, entry: Entry) -> Path:
        return self._folder / f"{hashlib.sha256(entry.event_id.encode()).hexdigest()}.json"

    def _write(self, entry: Entry) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file_of(entry)
        draft = file.with_suffix(".draft")
        with draft.open("wb") as output:
            output.write(entry.model_dump_json().encode())
            output.flush()
            os.fsync(output.fileno())
        draft.replace(file)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def write_late(ledger: Ledger, entry: Entry) -> Record:
    """Put on record what may come after its time: see `append_late`.

    Raises:
        LedgerError: it cannot be written.
    """
    return await ledger.write(lambda transaction: append_late(transaction, entry))


def append_late(transaction: Transaction, entry: Entry) -> Record:
    """Append the entry, and lose nothing where others were faster.

    Where something else is on record of this event, what a person said of it for instance, both are kept.
    """
    known = transaction.find(entry.event_id)
    if known is not None and (known.outcome, known.data) != (entry.outcome, recordable(entry.data)):
        return transaction.append(entry.model_copy(update={"event_id": f"{entry.event_id}/late"}))
    return transaction.append(entry)
