"""The feeder: brings what is in the inbox to Temporal, however long Temporal is away.

Each entry starts, or joins, the one workflow of its runbook and target.  It is done when Temporal
has accepted it, and not before; until then it stays in the inbox, whatever becomes of this
process.  So an entry may reach a workflow twice, and never not at all; the engine takes each in
once.

Entries for the same workflow go through the same lane, in the order in which they came, and all
that wait are taken along at once.  Workflows take turns.  So in a storm the hundredth alert of one
service costs next to nothing, and the first of another does not wait behind it.  Those that were
just accepted are handed over in memory; a look into the inbox every few seconds finds what a crash,
a full lane or another process left there.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import OrderedDict
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
TOGETHER = 100  # entries for one workflow taken along at once
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


class _Lane:
    """Entries that wait, by workflow; the workflow that has waited longest is next."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, list[InboxEntry]] = OrderedDict()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, name: str, entry: InboxEntry) -> None:
        """Put an entry for the workflow `name` behind the others for it."""
        self._waiting.setdefault(name, []).append(entry)
        self._news.set()

    def close(self) -> None:
        """Let whoever takes find nothing any more."""
        self._closed = True
        self._news.set()

    async def take(self) -> Sequence[InboxEntry]:
        """Wait for entries, and return some for one workflow that can go together; none when closed."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        if self._closed:
            return ()
        name, entries = self._waiting.popitem(last=False)
        together = _together(entries)
        if rest := entries[together:]:
            self._waiting[name] = rest  # behind the other workflows
        return entries[:together]


def _together(entries: Sequence[InboxEntry]) -> int:
    """Return how many of the first entries can begin one workflow: alerts that fire, for the same version."""
    first = entries[0]
    if not first.target or _is_resolved(first):
        return 1
    number = 1
    for entry in entries[1:TOGETHER]:
        if _is_resolved(entry) or entry.runbook_digest != first.runbook_digest:
            break
        number += 1
    return number


def _is_resolved(entry: InboxEntry) -> bool:
    return entry.alert is not None and entry.alert.status is AlertStatus.RESOLVED


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
        self._lanes = [_Lane() for _ in range(feeders)]
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
            lane.close()
        *working, noting = self._tasks
        await asyncio.wait(working, timeout=CALL_DEADLINE)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        self._accepted.put_nowait(None)
        await asyncio.gather(noting, return_exceptions=True)

    # --- lanes ----------------------------------------------------------------------------------

    def _line_up(self, entry: InboxEntry) -> None:
        """Put the entry into its workflow's lane."""
        name = workflow_id(entry.runbook, entry.target)
        self._lanes[zlib.crc32(name.encode()) % len(self._lanes)].put(name, entry)

    async def _run(self, lane: _Lane) -> None:
        while (entries := await lane.take()) and not self._stopping.is_set():
            await self._feed(entries)

    async def _feed(self, entries: Sequence[InboxEntry]) -> None:
        """Try until Temporal has accepted these entries, for one workflow, or has said no to them."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            failure = await self._try(entries)
            if failure is None:
                return
            self._on_failure(failure)
            if failure == "refused":
                # They are tried for ever all the same, but do not keep their lane from others.
                for entry in entries:
                    asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._line_up, entry)
                return
            await self._wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the load, guards nothing
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _try(self, entries: Sequence[InboxEntry]) -> Failure | None:
        """Hand the entries over once.  Return None where that was accepted."""
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                await self._hand_over(entries)
        except (
            LedgerError,
            TimeoutError,
            RuntimeError,
        ) as error:  # a lazy client's RuntimeError: no connection
            return self._note_failure("away", entries[0], error)
        except RPCError as error:
            return self._note_failure("refused" if error.status in _NO else "away", entries[0], error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the lane goes on and the entries are kept
            return self._note_failure("refused", entries[0], error)
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

    # --- one workflow ---------------------------------------------------------------------------

    async def _hand_over(self, entries: Sequence[InboxEntry]) -> None:
        entry = entries[0]
        if not entry.target:
            # Without a target nobody knows what would be acted on.
            sentence = f"It cannot be said what {entry.runbook} would act on."
            await self._explain(entry, "target_not_rendered", sentence)
        elif _is_resolved(entry):
            await self._tell_resolved(entry)
        else:
            await self._start_or_join(entries)

    async def _start_or_join(self, entries: Sequence[InboxEntry]) -> None:
        """Start the workflow with the entries, or signal them to the one in progress.

        Signal-with-start would do it in one call.  But the SDK gives no eager start with a signal, and
        with one a new alert, which is what somebody waits for, is acted on a third sooner.
        """
        first = entries[0]
        order = Order(runbook=first.runbook, runbook_digest=first.runbook_digest, target=first.target)
        name = workflow_id(first.runbook, first.target)
        arrivals = tuple(Arrival(entry=each.entry, status=AlertStatus.FIRING) for each in entries)
        while not (await self._is_started(name, order, arrivals) or await self._is_joined(name, arrivals)):
            pass  # one was in progress, and ended before it could be told: the next turn starts anew
        for each in entries:
            self._accepted.put_nowait(each.entry)

    async def _is_started(self, name: str, order: Order, arrivals: tuple[Arrival, ...]) -> bool:
        try:
            await self._client.start_workflow(
                "Remediation",
                Turn(order=order, arrivals=arrivals),
                id=name,
                task_queue=TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _is_joined(self, name: str, arrivals: tuple[Arrival, ...]) -> bool:
        signal, said = ("arrive", arrivals[0]) if len(arrivals) == 1 else ("arrive_all", arrivals)
        try:
            await self._client.get_workflow_handle(name).signal(signal, said)
        except RPCError as error:
            if not _is_gone(error):
                raise
            return False
        return True

    async def _tell_resolved(self, entry: InboxEntry) -> None:
        """Tell the workflow in progress; where there is none, there is nothing to tell."""
        arrival = Arrival(entry=entry.entry, status=AlertStatus.RESOLVED)
        if await self._is_joined(workflow_id(entry.runbook, entry.target), (arrival,)):
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
            except Exception as error:  # noqa: BLE001 - entries wait: one odd row must not end the look for all
                log.warning("the inbox cannot be looked into", error=f"{type(error).__name__}: {error}")
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
            except Exception as error:  # noqa: BLE001 - what is not noted is held, and at last nothing is fed
                problem = f"{type(error).__name__}: {error}"
                log.warning("accepted entries cannot be noted as done yet", error=problem)
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
