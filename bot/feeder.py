"""The feeder: brings what is in the inbox to Temporal, however long Temporal is away.

Each entry starts, or joins, the one workflow of its runbook and target.  It is done when Temporal
has accepted it, and not before; until then it stays in the inbox, whatever becomes of this
process.  So an entry may reach a workflow twice, and never not at all; the engine takes each in
once.

Entries for the same target go through the same lane, one after the other, in the order in which
they came.  Those that were just accepted are handed over in memory; a look into the inbox every
few seconds finds what a crash, a full lane or another process left there.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.ledger import inbox, remediations
from activities.ledger.backlog import backlog
from activities.ledger.inbox import InboxEntry
from activities.ledger.store import Ledger, Transaction
from runbooks.engine.remediation import TASK_QUEUE
from runbooks.errors import LedgerError
from runbooks.model.alert import AlertStatus, Arrival
from runbooks.model.remediation import Order, Turn, workflow_id

CALL_DEADLINE = 10.0  # seconds for one call to Temporal; the client's own limit is for each attempt
FIRST_PAUSE = 0.1  # seconds after the first failure; doubled after each further one
LONGEST_PAUSE = 5.0  # seconds
REFUSED_PAUSE = 30.0  # seconds until an entry is tried again that Temporal answered with no
LOOK_EVERY = 2.0  # seconds between two looks into the inbox
HOLD = timedelta(seconds=10)  # how long claimed entries are ours; after a crash they wait so long
GATHER = 0.05  # seconds until accepted entries are noted: together, and out of the way of those who wait
CLAIM_LIMIT = 200  # entries claimed at once
HELD_LIMIT = 5_000  # entries in memory; the others wait in the inbox

Failure = Literal["away", "refused"]

_NO = frozenset(
    {
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.UNIMPLEMENTED,
    }
)
"""What Temporal answers where asking again soon will not help."""

log = structlog.get_logger(__name__)


class Feeder:
    """Takes entries from the inbox to Temporal, from `start` to `stop`.

    Args:
        feeders: how many lanes, and so calls to Temporal at the same time.
        on_failure: is told of each attempt that failed.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        *,
        feeders: int = 8,
        on_failure: Callable[[Failure], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._on_failure = on_failure
        self._lanes: list[asyncio.Queue[InboxEntry | None]] = [asyncio.Queue() for _ in range(feeders)]
        self._accepted: asyncio.Queue[str | None] = asyncio.Queue()
        self._held: set[str] = set()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> int:
        """How many entries are in memory, those included that are about to be noted as done."""
        return len(self._held)

    def wake(self, entries: Sequence[InboxEntry]) -> None:
        """Take these entries, which are in the inbox already.  Never waits; what is too much is left there."""
        for entry in entries:
            if entry.entry not in self._held and len(self._held) < HELD_LIMIT:
                self._held.add(entry.entry)
                self._line_up(entry)

    async def run(self) -> None:
        """Feed until cancelled; then let calls in progress end."""
        await self.start()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            await self.stop()

    async def start(self) -> None:
        """Begin with what an earlier process left in the inbox."""
        self._tasks = [asyncio.create_task(self._run(lane), name="feeder") for lane in self._lanes]
        self._tasks.append(asyncio.create_task(self._look_for_leftovers(), name="feeder-leftovers"))
        self._tasks.append(asyncio.create_task(self._note_accepted(), name="feeder-done"))

    async def stop(self) -> None:
        """Let calls in progress end.  What is not accepted by then is left in the inbox."""
        self._stopping.set()
        if not self._tasks:
            return
        for lane in self._lanes:
            lane.put_nowait(None)
        *working, noting = self._tasks
        await asyncio.wait(working, timeout=CALL_DEADLINE)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        self._accepted.put_nowait(None)
        await asyncio.gather(noting, return_exceptions=True)

    # --- lanes ----------------------------------------------------------------------------------

    def _line_up(self, entry: InboxEntry) -> None:
        """Put the entry into its target's lane."""
        lane = zlib.crc32(workflow_id(entry.runbook, entry.target).encode()) % len(self._lanes)
        self._lanes[lane].put_nowait(entry)

    async def _run(self, lane: asyncio.Queue[InboxEntry | None]) -> None:
        while (entry := await lane.get()) is not None and not self._stopping.is_set():
            await self._feed(entry)

    async def _feed(self, entry: InboxEntry) -> None:
        """Try until Temporal has accepted the entry, or has said no to it."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            failure = await self._try(entry)
            if failure is None:
                return
            self._on_failure(failure)
            if failure == "refused":
                # It is tried for ever all the same, but does not keep its lane from others.
                asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._line_up, entry)
                return
            await self._wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the load, guards nothing
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _try(self, entry: InboxEntry) -> Failure | None:
        """Hand the entry over once.  Return None where that was accepted."""
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                await self._hand_over(entry)
        except (
            LedgerError,
            TimeoutError,
            RuntimeError,
        ) as error:  # a lazy client's RuntimeError: no connection
            return self._note_failure("away", entry, error)
        except RPCError as error:
            return self._note_failure("refused" if error.status in _NO else "away", entry, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the lane goes on and the entry is kept
            return self._note_failure("refused", entry, error)
        return None

    def _note_failure(self, failure: Failure, entry: InboxEntry, error: Exception) -> Failure:
        log.warning(
            "inbox entry not handed to Temporal yet",
            entry=entry.entry,
            runbook=entry.runbook,
            failure=failure,
            error=f"{type(error).__name__}: {error}",
        )
        return failure

    # --- one entry ------------------------------------------------------------------------------

    async def _hand_over(self, entry: InboxEntry) -> None:
        if not entry.target:
            # Without a target nobody knows what would be acted on.
            sentence = f"It cannot be said what {entry.runbook} would act on."
            await self._explain(entry, "target_not_rendered", sentence)
        elif entry.alert is not None and entry.alert.status is AlertStatus.RESOLVED:
            await self._tell_resolved(entry)
        else:
            await self._start_or_join(entry)

    async def _start_or_join(self, entry: InboxEntry) -> None:
        """Start the workflow with the entry, or signal it to the one in progress.

        Signal-with-start would do it in one call.  But the SDK gives no eager start with a signal, and
        with one a new alert, which is what somebody waits for, is acted on a third sooner.
        """
        order = Order(runbook=entry.runbook, runbook_digest=entry.runbook_digest, target=entry.target)
        arrival = Arrival(entry=entry.entry, status=AlertStatus.FIRING)
        name = workflow_id(entry.runbook, entry.target)
        while not (await self._is_started(name, order, arrival) or await self._is_joined(name, arrival)):
            pass  # one was in progress, and ended before it could be told: the next turn starts anew
        self._accepted.put_nowait(entry.entry)

    async def _is_started(self, name: str, order: Order, arrival: Arrival) -> bool:
        try:
            await self._client.start_workflow(
                "Remediation",
                Turn(order=order, arrivals=(arrival,)),
                id=name,
                task_queue=TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _is_joined(self, name: str, arrival: Arrival) -> bool:
        try:
            await self._client.get_workflow_handle(name).signal("arrive", arrival)
        except RPCError as error:
            if not _is_gone(error):
                raise
            return False
        return True

    async def _tell_resolved(self, entry: InboxEntry) -> None:
        """Tell the workflow in progress; where there is none, there is nothing to tell."""
        arrival = Arrival(entry=entry.entry, status=AlertStatus.RESOLVED)
        if await self._is_joined(workflow_id(entry.runbook, entry.target), arrival):
            self._accepted.put_nowait(entry.entry)
        else:
            await self._explain(entry, "resolved", "It is resolved, and nothing was in progress.")

    async def _explain(self, entry: InboxEntry, reason: str, sentence: str) -> None:
        """Put on record why nothing comes of the entry; with that it is done."""
        at = datetime.now(UTC)

        def work(transaction: Transaction) -> None:
            remediations.explain(transaction, entry, reason, sentence, at=at)
            inbox.done(transaction, [entry.entry], at=at)

        await self._ledger.write(work)
        self._held.discard(entry.entry)

    # --- the inbox ------------------------------------------------------------------------------

    async def _look_for_leftovers(self) -> None:
        while not self._stopping.is_set():
            try:
                more = await self._claim()
            except LedgerError as error:
                log.warning("the inbox cannot be looked into", error=str(error))
                more = False
            if not more:
                await self._wait(LOOK_EVERY)

    async def _claim(self) -> bool:
        """Claim what waits in the inbox.  Return whether there may be more.

        What is in memory already is claimed again, which keeps it from other processes.
        """
        room = HELD_LIMIT - len(self._held)
        if room <= 0 or not (await self._ledger.read(backlog)).entries:
            return False
        at = datetime.now(UTC)
        found = await self._ledger.write(lambda t: inbox.claim(t, CLAIM_LIMIT, at=at, hold=HOLD))
        self.wake(found)
        return len(found) == CLAIM_LIMIT

    async def _note_accepted(self) -> None:
        """Note what Temporal has accepted, all that there is at a time in one transaction."""
        last = False
        while not last:
            accepted = [await self._accepted.get()]
            await self._wait(GATHER)
            while not self._accepted.empty():
                accepted.append(self._accepted.get_nowait())
            last = None in accepted
            entries = [entry for entry in accepted if entry is not None]
            if entries:
                await self._note_done(entries)

    async def _note_done(self, entries: Sequence[str]) -> None:
        while True:
            at = datetime.now(UTC)
            try:
                # Not urgent: what is not noted is handed over once more, and taken in once.
                await self._ledger.write(
                    lambda t: inbox.done(t, entries, at=at),  # noqa: B023 - awaited here
                    durable=False,
                )
            except LedgerError as error:
                log.warning("accepted entries cannot be noted as done yet", error=str(error))
                if self._stopping.is_set():
                    return  # they are handed over once more after the next start; the engine takes each in once
                await self._wait(LOOK_EVERY)
            else:
                self._held.difference_update(entries)
                return

    async def _wait(self, seconds: float) -> None:
        """Wait, but not longer than until it is time to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _is_gone(error: RPCError) -> bool:
    """Return whether Temporal says that there is no such workflow (and not: no such namespace)."""
    return error.status is RPCStatusCode.NOT_FOUND and "namespace" not in str(error).lower()
