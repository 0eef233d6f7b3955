"""On duty: of several processes that could do the same work, one does it, and the others stand by.

Alerts and clicks are claimed one by one, so any number of processes may take them in.  The cards in
Slack are one whole: two processes that followed the same records would post everything twice.  So a
process keeps them only while it holds the duty to (`activities.ledger.duties`).

Whoever holds it stops by itself before anybody else may begin: others wait for longer without a
beat than the holder goes on without one that has reached the database.  A process that stood still
wakes up as one that has lost it; a call to Slack that was under way just then may still arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from activities.ledger.duties import NOBODY, Duty, beat, find_duty, give_up, take_duty
from activities.ledger.store import Ledger
from runbooks.errors import LedgerError

log = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Pace:
    """How fast it all goes, in seconds.

    Attributes:
        beats_every: between two beats of whoever is on duty.
        gives_up_after: without a beat that has reached the ledger it stops.
        takes_over_after: without a beat of somebody else the duty is free; more than `gives_up_after`.
        looks_every: between two looks of those who stand by.
        says_so_within: how long the ledger may take to hear that the duty is given up.
    """

    beats_every: float = 3.0
    gives_up_after: float = 9.0
    takes_over_after: float = 15.0
    looks_every: float = 2.0
    says_so_within: float = 2.0


class OnDuty:
    """Does a piece of work while it is this process's turn.

    Args:
        name: of the duty, one for the whole installation.
        holder: who this process is: the same after a restart, so that it goes on at once.
        monotonic: seconds that only grow; tests set it.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        holder: str,
        *,
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._holder = holder
        self._pace = pace or Pace()
        self._monotonic = monotonic
        self._has_begun = False

    async def run(self, work: Work) -> None:
        """Do `work` whenever it is this process's turn, until cancelled.

        Raises:
            Exception: what `work` raised.
            RuntimeError: it ended by itself.
        """
        while True:
            held = await self._wait_for_turn()
            log.info("on duty", duty=self._name)
            try:
                await self._do(work, held)
            finally:
                await self._give_up(held)
            log.warning("not on duty any more", duty=self._name)

    # --- standing by ----------------------------------------------------------------------------

    async def _wait_for_turn(self) -> Duty:
        """Return when the duty is ours."""
        seen: Duty | None = None
        since = self._monotonic()
        while True:
            try:
                found = await self._ledger.read(lambda c: find_duty(c, self._name))
                if found != seen:
                    seen, since = found, self._monotonic()
                if not self._is_free(seen, since):
                    self._has_begun = True
                elif (taken := await self._take(seen)) is not None:
                    return taken
            except LedgerError as error:
                log.warning("it cannot be seen who is on duty", duty=self._name, error=str(error))
                since = self._monotonic()  # nobody could say that they live
            await asyncio.sleep(self._pace.looks_every)

    def _is_free(self, seen: Duty | None, since: float) -> bool:
        if seen is None or seen.holder == NOBODY:
            return True
        if seen.holder == self._holder and not self._has_begun:
            return True  # it was this process's before it was started again
        return self._monotonic() - since > self._pace.takes_over_after

    async def _take(self, seen: Duty | None) -> Duty | None:
        taken = await self._ledger.write(lambda t: take_duty(t, self._name, self._holder, seen))
        if taken is not None:
            self._has_begun = True
        return taken

    # --- on duty --------------------------------------------------------------------------------

    async def _do(self, work: Work, held: Duty) -> None:
        """Do the work until the duty is somebody else's, or may be."""
        task = asyncio.create_task(work(), name=self._name)
        try:
            last = self._monotonic()
            while self._monotonic() - last < self._pace.gives_up_after:
                if (await asyncio.wait({task}, timeout=self._pace.beats_every))[0]:
                    task.result()
                    raise RuntimeError(f"{self._name} ended by itself")
                began = self._monotonic()
                said = await self._beat(held, began - last)
                if said is False:
                    return
                last = began if said else last
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beat(self, held: Duty, silent_for: float) -> bool | None:
        """Return whether it is still ours; None: nobody can tell now."""
        try:
            async with asyncio.timeout(self._pace.gives_up_after - silent_for):
                return await self._ledger.write(lambda t: beat(t, held), durable=False)
        except (LedgerError, TimeoutError) as error:
            log.warning("the ledger does not hear who is on duty", duty=self._name, error=str(error))
            return None

    async def _give_up(self, held: Duty) -> None:
        """Say that it is given up, where that can be said.  Others find out by themselves as well."""
        with contextlib.suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(self._pace.says_so_within):
                await self._ledger.write(lambda t: give_up(t, held), durable=False)
