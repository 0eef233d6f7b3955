"""Publishing: each destination gets every checkpoint, in order, however long it was away.

Destinations do not wait for one another.  How far one has come stands in a file of the sealer's
folder, so that a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from activities.ledger.checkpoints import seals_after
from activities.ledger.store import Ledger
from bot.sealer.destinations import Destination, NotPublishedError
from bot.sealer.files import replace_file
from runbooks.errors import LedgerError

AT_ONCE = 200  # checkpoints in one delivery
PAUSES = (1.0, 5.0, 30.0, 60.0)  # seconds until the next try, the last for all that follow

log = structlog.get_logger(__name__)


class Publisher:
    """Brings checkpoints to one destination.

    Args:
        folder: the sealer's.
        on_change: called when `published` or `problem` has changed.
        pauses: between tries while it is away.
    """

    def __init__(
        self,
        ledger: Ledger,
        destination: Destination,
        folder: Path,
        *,
        on_change: Callable[[], None],
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self.name = destination.name
        self.problem = ""
        self._ledger = ledger
        self._destination = destination
        self._file = folder / f"published-{destination.name}"
        self._on_change = on_change
        self._pauses = pauses
        self._news = asyncio.Event()
        self.published = self._read()

    def _read(self) -> int:
        """Return the number of the last checkpoint that was delivered; -1 for none, or if nobody knows any more."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._file.read_text(encoding="utf-8"))
        return -1

    def wake(self) -> None:
        """Say that there is a new checkpoint."""
        self._news.set()

    async def keep_publishing(self) -> None:
        """Deliver what is there, then what comes, until cancelled."""
        tries = 0
        while True:
            self._news.clear()
            try:
                more = await self.publish_some()
            except (NotPublishedError, LedgerError, OSError) as error:
                self._tell_problem(error)
                await asyncio.sleep(self._pauses[min(tries, len(self._pauses) - 1)])
                tries += 1
                continue
            tries = 0
            self._note("")
            if not more:
                await self._news.wait()

    async def publish_all(self) -> bool:
        """Deliver what there is; return whether the destination has taken it."""
        try:
            while await self.publish_some():
                pass
        except (NotPublishedError, LedgerError, OSError) as error:
            self._tell_problem(error)
            return False
        self._note("")
        return True

    async def publish_some(self) -> bool:
        """Deliver the next checkpoints; return whether there were any.

        Raises:
            NotPublishedError: the destination did not take them.
            LedgerError: they cannot be read.
        """
        seals = await self._ledger.read(lambda c: seals_after(c, self.published, AT_ONCE))
        if not seals:
            return False
        await self._destination.publish(seals)
        self.published = seals[-1].number
        replace_file(self._file, f"{self.published}\n")
        self._on_change()
        return True

    def _tell_problem(self, error: Exception) -> None:
        self._note(str(error))
        log.error("checkpoints are not published", destination=self.name, problem=str(error))

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._on_change()
