"""Stops on their way: what a person has stopped is told to its workflow, until it has ended.

A stop holds from the moment when it is on record, for the guard reads it there.  But a workflow that
waits for people, or for a target to recover, would go on waiting; so it is woken, and where Temporal is
away, it is woken later.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.ledger import stops
from activities.ledger.stops import Untold
from activities.ledger.store import Ledger
from bot.answers import AwayError
from runbooks.errors import LedgerError
from runbooks.model.remediation import Stopping

LOOK_EVERY = 0.5  # seconds between two looks for stops that nobody has passed on
LOOK_AFTER_TROUBLE = 5.0  # seconds

LOG = structlog.get_logger("paramedic.stops")


class Stoppable(Protocol):
    """The workflows, as far as they can be stopped."""

    async def stop(self, workflow_id: str, stopping: Stopping) -> None:
        """Tell the workflow; nothing where it is not there any more.

        Raises:
            AwayError: it could not be told now.
        """


class StoppableWorkflows:
    """The workflows, reached through Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def stop(self, workflow_id: str, stopping: Stopping) -> None:
        """Signal the workflow.  To do so twice is harmless: it knows which remediation is meant."""
        try:
            await self._client.get_workflow_handle(workflow_id).signal("stop", stopping)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # what is gone is ended by reconciliation
                raise AwayError(f"Temporal: {error.message}") from error
        except RuntimeError as error:  # a lazy client that cannot connect
            raise AwayError(f"Temporal: {error}") from error


class Stops:
    """Passes stops on.  Several processes may do so at once."""

    def __init__(self, ledger: Ledger, workflows: Stoppable) -> None:
        self._ledger = ledger
        self._workflows = workflows
        self._told: frozenset[str] = frozenset()  # remediations that have heard it and not ended yet

    async def run(self) -> None:
        """Pass stops on until cancelled."""
        while True:
            pause = LOOK_EVERY
            try:
                await self.look()
            except* (AwayError, LedgerError) as trouble:
                for error in trouble.exceptions:
                    LOG.warning("a stop is on record and not passed on yet", error=str(error))
                pause = LOOK_AFTER_TROUBLE
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Tell every workflow that was stopped and has not heard it from here.

        Raises:
            ExceptionGroup: of `AwayError`: some could not be told now; the guard knows all the same.
            LedgerError: the ledger cannot be read.
        """
        waiting = {each.stopping.remediation: each for each in await self._ledger.read(stops.untold)}
        self._told &= waiting.keys()
        untold = [each for remediation, each in waiting.items() if remediation not in self._told]
        heard = await asyncio.gather(*map(self._tell, untold), return_exceptions=True)
        if trouble := [error for error in heard if isinstance(error, Exception)]:
            raise ExceptionGroup("stops that were not passed on", trouble)

    async def _tell(self, untold: Untold) -> None:
        await self._workflows.stop(untold.workflow_id, untold.stopping)
        self._told |= {untold.stopping.remediation}
