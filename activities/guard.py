"""The guard: nothing acts on the world but through here.

It is a Temporal interceptor on every worker, so no activity can go around it.  An order names a
step; what that step is, with every argument, stands in the plan on record and nowhere else.  In one
transaction of the ledger and before anything happens the guard asks: does this remediation still
hold its lease?  Did the people whom the plan names approve this very plan, with a signature that
only a listener can make?  Is there a freeze?  Was it done already?  Only then it writes the intent;
then it acts; then it writes the receipt.  Any other activity that is not one of the case's own is
refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.action_records import Assignment, refusal, within_limit
from activities.actions import Probe, ProbeAnswer
from activities.freeze_file import frozen_by_file
from activities.ledger import approvals, freezes, records, remediations
from activities.ledger.store import Ledger, Transaction
from activities.performing import Performer, parameters_of
from activities.plans import Plans
from activities.signatures import TrustedKeys
from runbooks.errors import EffectError, FailedError, LedgerError, NotSentError, RefusedError
from runbooks.model.action import ActionClass, ActionResult, Outcome, Receipt
from runbooks.model.plan import GateTerms, Part
from runbooks.policy.gate import objection_to_acting
from runbooks.ports.case import ActionOrder, CasePort

HEARTBEAT_EVERY = 2.0  # seconds
RECEIPT_PAUSE = 0.5  # seconds between two tries at writing a receipt

_CASE_ACTIVITIES = frozenset(
    definition.name
    for method in vars(CasePort).values()
    if (definition := getattr(method, "__temporal_activity_definition", None)) is not None
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Commission:
    """What the ledger's transaction decided about one attempt.

    Attributes:
        receipt: set where nothing is to be done: done before, refused, or unknown for good.
        unresolved: an earlier attempt's outcome is unknown, and this one is made under the same key.
        probe: an earlier attempt's outcome is unknown, and the target is to be asked first.
        begun_at: when the first attempt's intent was recorded.
        prepared: what the first attempt had seen right before it acted.
    """

    receipt: Receipt | None = None
    unresolved: bool = False
    probe: bool = False
    begun_at: datetime | None = None
    prepared: dict[str, Any] | None = None


class Guard(Interceptor):
    """Stands before every activity of a worker."""

    def __init__(
        self, ledger: Ledger, performer: Performer, trusted: TrustedKeys, plans: Plans, *, freeze_file: Path
    ) -> None:
        self._ledger = ledger
        self._performer = performer
        self._trusted = trusted
        self._plans = plans
        self._freeze_file = freeze_file

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the name is Temporal's
        """Put the guard before `next`."""
        return _GuardedInbound(next, self)

    async def attend(
        self, order: ActionOrder, uses: str, act: Callable[[], Awaitable[ActionResult]]
    ) -> Receipt:
        """Decide, record the intent, act, record the receipt.

        Args:
            uses: the activity that was called; it must be the one that the plan names.

        Returns:
            What came of this attempt.  It is on record, but for a ledger that cannot be written:
            then nothing was done, and the receipt's reason is `ledger_unavailable`.
        """
        try:
            assignment = await self._assign(order, uses)
            if isinstance(assignment, Receipt):
                return assignment
            commission = await self._commission(assignment)
            if commission.probe:
                commission = await self._settle_by_probe(assignment, commission)
        except LedgerError as error:
            sentence = f"The ledger cannot be written: {error}"
            return _receipt(order, Outcome.NOT_SENT, sentence, "ledger_unavailable")
        if commission.receipt is not None:
            return commission.receipt
        receipt = await self._act(assignment, act)
        if commission.unresolved and receipt.outcome is Outcome.NOT_SENT:
            # That this attempt did not reach the target says nothing about the one before it.
            receipt = receipt.model_copy(update={"outcome": Outcome.UNKNOWN, "reason": "not_reached"})
        await self._write_until_written(assignment, receipt)
        return receipt

    # --- before -------------------------------------------------------------------------------

    async def _assign(self, order: ActionOrder, uses: str) -> Assignment | Receipt:
        """Return what the order names, or the refusal where the plan on record does not hold it."""
        try:
            plan = await self._plans.get(order.remediation, order.plan_digest)
            planned = await self._plans.action(order, uses)
        except RefusedError as error:
            receipt = _receipt(order, Outcome.REFUSED, str(error), error.reason)
            await self._ledger.append(refusal(order, receipt, name=order.step, uses=uses))
            return receipt
        return Assignment(order, plan, planned, self._performer.registry[uses])

    async def _commission(self, assignment: Assignment) -> Commission:
        plan, each = assignment.plan, assignment.each
        freeze = frozen_by_file(self._freeze_file, runbook=plan.runbook, target=plan.target)
        if freeze is not None and not assignment.tells:
            frozen = RefusedError("frozen", f"Frozen: {freeze}.")
            return await self._ledger.write(lambda t: _refuse(t, assignment, frozen))
        prepared: dict[str, Any] = {}
        now = datetime.now(UTC)
        if each.prepare is not None:
            scene = self._performer.scene(assignment.order, plan.target, now)
            try:
                prepared = await each.prepare(parameters_of(each, assignment.planned), scene)
            except EffectError as error:
                unprepared = assignment.receipt(Outcome.NOT_SENT, str(error), error.code)
                await self._ledger.append(assignment.outcome(unprepared))
                return Commission(receipt=unprepared)
        return await self._ledger.write(lambda t: self._decide(t, assignment, now, prepared))

    def _decide(
        self, transaction: Transaction, assignment: Assignment, now: datetime, prepared: dict[str, Any]
    ) -> Commission:
        """Decide about one attempt and record the intent, all in one transaction."""
        order = assignment.order
        if (done := transaction.find(f"{order.key}/receipt")) is not None:
            return Commission(receipt=assignment.recorded(done.data, done.outcome))
        try:
            self._object(transaction.connection, assignment)
        except RefusedError as error:
            return _refuse(transaction, assignment, error)
        if order.attempt > 1 and (earlier := _unresolved(transaction.connection, order)) is not None:
            return _inquire(transaction, assignment, earlier)
        if order.attempt > assignment.planned.attempts:
            used_up = assignment.receipt(Outcome.NOT_SENT, "All attempts are used up.", "exhausted")
            return Commission(receipt=used_up)
        transaction.append(assignment.intent(prepared))
        return Commission(begun_at=now)

    def _object(self, connection: Connection, assignment: Assignment) -> None:
        """Raise `RefusedError` where a rule forbids this action."""
        if assignment.tells:
            return  # telling people is always allowed
        order, plan = assignment.order, assignment.plan
        for freeze in freezes.current(connection):
            if freeze.covers(plan.runbook, plan.target):
                raise RefusedError("frozen", f"Frozen by {freeze.actor}: {freeze.reason}.")
        if not remediations.holds_lease(connection, order.remediation, order.fencing):
            raise RefusedError(
                "lease_lost", f"{order.remediation} no longer holds the lease on {plan.target}."
            )
        if order.part is not Part.OTHERWISE and plan.gate is not None:
            self._object_to_approvals(connection, order, plan.gate)

    def _object_to_approvals(self, connection: Connection, order: ActionOrder, terms: GateTerms) -> None:
        for signed in order.decisions:
            if not self._trusted.verify(signed):
                raise RefusedError("not_approved", "An approval does not carry a listener's signature.")
            if not approvals.counted(connection, signed.decision):
                raise RefusedError("not_approved", "An approval was never counted for this plan.")
        objection = objection_to_acting(
            [signed.decision for signed in order.decisions],
            terms,
            plan_digest=order.plan_digest,
            remediation=order.remediation,
            requested_by=remediations.requested_by(connection, order.remediation),
        )
        if objection is not None:
            raise RefusedError("not_approved", f"Not approved: {objection}.")

    # --- after a lost attempt -----------------------------------------------------------------

    async def _settle_by_probe(self, assignment: Assignment, commission: Commission) -> Commission:
        """Ask the target what became of the earlier attempt; act again only if it says: nothing."""
        async with _heartbeating():
            answer = await self._probe(assignment, commission)
            begun_at = commission.begun_at or datetime.now(UTC)
            late = begun_at + assignment.planned.timeout - datetime.now(UTC)
            if answer.probe is Probe.NOT_APPLIED and late.total_seconds() > 0:
                # Its worker may be frozen and not dead.  Until its time is over it may still act.
                await asyncio.sleep(late.total_seconds())
                answer = await self._probe(assignment, commission)
        if answer.probe is Probe.APPLIED:
            receipt = assignment.receipt(Outcome.OK, answer.sentence, output=answer.output, recovered=True)
            await self._write_until_written(assignment, receipt)
            return Commission(receipt=receipt)
        if answer.probe is Probe.NOT_APPLIED and assignment.order.attempt <= assignment.planned.attempts:
            await self._ledger.append(assignment.intent(commission.prepared or {}))
            return Commission(begun_at=commission.begun_at)
        reason = "running" if answer.probe is Probe.RUNNING else "needs_person"
        return Commission(receipt=assignment.receipt(Outcome.UNKNOWN, answer.sentence, reason))

    async def _probe(self, assignment: Assignment, commission: Commission) -> ProbeAnswer:
        each = assignment.each
        if each.probe is None:
            return ProbeAnswer(probe=Probe.CANNOT_TELL, sentence="This action has no probe.")
        begun_at = commission.begun_at or datetime.now(UTC)
        scene = self._performer.scene(assignment.order, assignment.plan.target, begun_at)
        try:
            return await each.probe(parameters_of(each, assignment.planned), scene, commission.prepared or {})
        except Exception as error:  # noqa: BLE001 - a probe that fails tells nothing, whatever it raised
            return ProbeAnswer(probe=Probe.CANNOT_TELL, sentence=f"The target could not be asked: {error}")

    # --- acting and after ---------------------------------------------------------------------

    async def _act(self, assignment: Assignment, act: Callable[[], Awaitable[ActionResult]]) -> Receipt:
        begun = time.monotonic()
        seconds = assignment.planned.timeout.total_seconds()
        try:
            async with _heartbeating(), asyncio.timeout(seconds):
                result = await act()
            receipt = assignment.receipt(Outcome.OK, result.sentence, output=within_limit(result.output))
        except NotSentError as error:
            receipt = assignment.receipt(Outcome.NOT_SENT, str(error), error.code)
        except FailedError as error:
            receipt = assignment.receipt(Outcome.FAILED, str(error), error.code)
        except TimeoutError:
            receipt = assignment.receipt(Outcome.UNKNOWN, f"No answer within {seconds:g} s.", "timeout")
        except asyncio.CancelledError:
            receipt = assignment.receipt(Outcome.UNKNOWN, "It was cancelled while it acted.", "cancelled")
        except EffectError as error:
            receipt = assignment.receipt(Outcome.UNKNOWN, str(error), error.code)
        except Exception as error:  # noqa: BLE001 - whatever was raised, it may have happened
            sentence = f"{type(error).__name__}: {error}"  # nobody wrote it for people: the class helps
            receipt = assignment.receipt(Outcome.UNKNOWN, sentence, "error")
        took = round((time.monotonic() - begun) * 1000)
        return receipt.model_copy(update={"took_ms": took})

    async def _write_until_written(self, assignment: Assignment, receipt: Receipt) -> None:
        """Write the receipt.  What happened has happened, so it is tried until the attempt's time is over."""
        entry = assignment.outcome(receipt)
        try:
            await self._ledger.append(entry)
        except LedgerError:
            async with _heartbeating():
                await self._keep_writing(entry.event_id, lambda: self._ledger.append(entry))

    async def _keep_writing(self, event: str, write: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(RECEIPT_PAUSE)
            try:
                await write()
            except LedgerError as error:
                log.warning("a receipt is not written yet", event_id=event, error=str(error))
            else:
                return


class _GuardedInbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, guard: Guard) -> None:  # noqa: A002 - the name is Temporal's
        super().__init__(next)
        self._guard = guard

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the name is Temporal's
        """Let the case's own activities through, guard declared actions, refuse the rest."""
        name = activity.info().activity_type
        if name in _CASE_ACTIVITIES:
            return await self.next.execute_activity(input)
        order = input.args[0]
        if not isinstance(order, ActionOrder):
            raise RefusedError("not_declared", f"{name} was called with something that is not an order")
        return await self._guard.attend(order, name, lambda: self.next.execute_activity(input))


@dataclass(frozen=True)
class _Earlier:
    """An attempt with an intent and nothing after it."""

    attempt: int
    begun_at: datetime
    prepared: dict[str, Any]


def _unresolved(connection: Connection, order: ActionOrder) -> _Earlier | None:
    """Return the newest earlier attempt whose outcome nobody recorded, or recorded as unknown."""
    for attempt in range(order.attempt - 1, 0, -1):
        intent = records.find(connection, f"{order.key}/intent/{attempt}")
        if intent is None:
            continue
        outcome = records.find(connection, f"{order.key}/outcome/{attempt}")
        if outcome is not None and outcome.outcome != str(Outcome.UNKNOWN):
            return None
        return _Earlier(attempt, intent.at, intent.data.get("prepared", {}))
    return None


def _inquire(transaction: Transaction, assignment: Assignment, earlier: _Earlier) -> Commission:
    """An earlier attempt may have acted.  Record that, and decide by the action's class."""
    transaction.append(assignment.lost(earlier.attempt))
    kind = assignment.each.declaration.kind
    if kind is ActionClass.PROBED:
        return Commission(probe=True, begun_at=earlier.begun_at, prepared=earlier.prepared)
    if kind is ActionClass.OPAQUE or assignment.order.attempt > assignment.planned.attempts:
        sentence = "Nobody can know whether an earlier attempt happened."
        return Commission(receipt=assignment.receipt(Outcome.UNKNOWN, sentence, "needs_person"))
    transaction.append(assignment.intent(earlier.prepared))
    return Commission(begun_at=earlier.begun_at, unresolved=True)


def _refuse(transaction: Transaction, assignment: Assignment, error: RefusedError) -> Commission:
    receipt = assignment.receipt(Outcome.REFUSED, str(error), error.reason)
    transaction.append(assignment.refusal(receipt))
    return Commission(receipt=receipt)


def _receipt(order: ActionOrder, outcome: Outcome, sentence: str, reason: str) -> Receipt:
    return Receipt(key=order.key, outcome=outcome, sentence=sentence, reason=reason, attempt=order.attempt)


@contextlib.asynccontextmanager
async def _heartbeating() -> AsyncIterator[None]:
    """Tell Temporal that this worker lives, for as long as the block runs."""
    loop = asyncio.get_running_loop()
    beating: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal beating
        activity.heartbeat()
        beating = loop.call_later(HEARTBEAT_EVERY, beat)

    beating = loop.call_later(HEARTBEAT_EVERY, beat)
    try:
        yield
    finally:
        beating.cancel()
