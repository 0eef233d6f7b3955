"""Reconciliation: what the ledger holds open, and Temporal no longer knows, is brought to an end.

A remediation lives in two places: its workflow in Temporal, its records in the ledger.  Where Temporal
lost the workflow (its database was deleted, restored from a backup, or somebody ended it there), the
ledger would wait for ever, with the target taken and people asked in vain.  So every worker compares
the two, at its start and every minute.

While Temporal is merely away nothing is concluded.  And one look is not enough: a workflow counts as gone
only where two looks, some seconds apart, did not find it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import structlog
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.ledger import lost, remediations
from activities.ledger.store import Ledger
from bot.answers import AwayError
from runbooks.errors import LedgerError
from runbooks.model.remediation import workflow_id
from runbooks.policy.story import StoryError

LOOK_EVERY = 60.0  # seconds between two comparisons
LOOK_AGAIN = 5.0  # seconds until one is repeated that missed something
FIRST_SPAN = timedelta(days=7)  # how far back the first look asks for entries without an outcome
SPAN = timedelta(minutes=15)  # how far back the others do
GRACE = timedelta(seconds=30)  # an entry that Temporal has just accepted may still be on its way
DEADLINE = timedelta(seconds=10)  # for one question to Temporal

log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sight(Protocol):
    """The workflows, as far as they can be seen."""

    async def is_running(self, workflow: str, first_run: str = "") -> bool:
        """Return whether the workflow is open; where `first_run` is given, this very chain of runs of it.

        Raises:
            AwayError: nobody can tell now.
        """


class SeenWorkflows:
    """The workflows in one namespace of Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def is_running(self, workflow: str, first_run: str = "") -> bool:
        """Ask Temporal.  A namespace that is not there yet is no answer."""
        try:
            found = await self._describe(workflow)
        except (RPCError, RuntimeError) as error:  # the second where a lazy client cannot connect
            raise AwayError(f"Temporal: {error}") from error
        if found is None:
            return False
        chain = found.raw_description.workflow_execution_info.first_run_id
        ours = not first_run or not chain or first_run.partition("/")[0] == chain
        return found.status is WorkflowExecutionStatus.RUNNING and ours

    async def _describe(self, workflow: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(workflow).describe(rpc_timeout=DEADLINE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        await self._client.workflow_service.describe_namespace(request, timeout=DEADLINE)
        return None


class Reconciler:
    """Compares the ledger with Temporal, and ends what only the ledger knows.

    Args:
        clock: the time of day; tests set it.
    """

    def __init__(self, ledger: Ledger, workflows: Sight, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._ledger = ledger
        self._workflows = workflows
        self._clock = clock
        self._span = FIRST_SPAN
        self._missed: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            try:
                await self.look()
            except AwayError as error:
                log.info("temporal is away: nothing is concluded from that", error=str(error))
            except LedgerError as error:
                log.warning("the ledger cannot be compared with Temporal", error=str(error))
            await asyncio.sleep(LOOK_AGAIN if self._missed else LOOK_EVERY)

    async def look(self) -> None:
        """Compare once.  What is missed for the second time is brought to an end.

        Raises:
            AwayError: Temporal is; nothing was concluded.
            LedgerError: the ledger is.
        """
        before, self._missed = self._missed, frozenset()
        missed = await self._missed_remediations()
        entries = await self._missed_entries()
        self._missed = frozenset({*missed, *entries})
        await self._end(sorted(missed & before))
        await self._feed_again(sorted(entries & before))
        self._missed -= before
        self._span = FIRST_SPAN if self._missed else SPAN

    async def _missed_remediations(self) -> set[str]:
        """Return the open remediations that have no workflow."""
        rows = await self._ledger.read(remediations.open_remediations)
        return {
            row.id for row in rows if not await self._workflows.is_running(row.workflow_id, row.first_run)
        }

    async def _missed_entries(self) -> set[str]:
        """Return the entries that Temporal accepted and that no workflow will take in any more."""
        now = self._clock()
        found = await self._ledger.read(
            lambda c: lost.without_outcome(c, since=now - self._span, until=now - GRACE)
        )
        running = {
            name: await self._workflows.is_running(name)
            for name in {workflow_id(runbook, target) for _, runbook, target in found}
        }
        return {entry for entry, runbook, target in found if not running[workflow_id(runbook, target)]}

    async def _end(self, missed: Collection[str]) -> None:
        for remediation in missed:
            try:
                ended = await self._ledger.write(partial(lost.end_lost, lost=remediation, at=self._clock()))
            except StoryError as error:
                log.warning("a lost remediation cannot be ended", remediation=remediation, error=str(error))
                continue
            if ended is not None:
                log.warning(
                    "a workflow is gone",
                    remediation=remediation,
                    ending=ended.outcome,
                    why=ended.data["sentence"],
                )

    async def _feed_again(self, entries: Collection[str]) -> None:
        if entries:
            log.warning("temporal lost alerts that it had accepted; they are fed again", entries=len(entries))
            await self._ledger.write(lambda transaction: lost.feed_again(transaction, entries))
