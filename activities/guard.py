"""The guard: nothing acts on the world but through here.

It is a Temporal interceptor on every worker, so no activity can go around it.  For each declared
action, in one transaction of the ledger and before anything happens, it asks: was this remediation
admitted, and does it still hold its lease?  Is this action, with these parameters, in the plan on
record?  Did the people whom the plan names approve this very plan, with a signature that only a
listener can make?  Is there a freeze?  Was it done already?  Only then it writes the intent; then
it acts; then it writes the receipt.  Any other activity that is not one of the case's own is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
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

from activities.actions import Action, Probe, ProbeAnswer
from activities.freeze_file import frozen_by_file
from activities.ledger import approvals, freezes, records, remediations
from activities.ledger.store import Ledger, Transaction
from activities.performing import Performer, parameters_of
from activities.signatures import TrustedKeys
from runbooks.errors import EffectError, FailedError, LedgerError, NotSentError, RefusedError
from runbooks.model.action import ActionClass, ActionResult, Effect, Outcome, Receipt
from runbooks.model.base import as_body
from runbooks.model.plan import GateTerms, PlannedAction
from runbooks.model.record import Entry, RecordKind
from runbooks.policy.gate import objection_to_acting
from runbooks.ports.case import ActionOrder, CasePort

OUTPUT_LIMIT = 32 * 1024  # bytes of JSON; Temporal would repeat an action whose result is too large
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
        self, ledger: Ledger, performer: Performer, trusted: TrustedKeys, *, freeze_file: Path
    ) -> None:
        self._ledger = ledger
        self._performer = performer
        self._trusted = trusted
        self._freeze_file = freeze_file

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the name is Temporal's
        """Put the guard before `next`."""
        return _GuardedInbound(next, self)

    async def attend(self, order: ActionOrder, act: Callable[[], Awaitable[ActionResult]]) -> Receipt:
        """Decide, record the intent, act, record the receipt.

        Returns:
            What came of this attempt.  It is on record, but for a ledger that cannot be written:
            then nothing was done, and the receipt's reason is `ledger_unavailable`.
        """
        each = self._performer.registry[order.action.uses]
        try:
            commission = await self._commission(order, each)
            if commission.probe:
                commission = await self._settle_by_probe(order, each, commission)
        except LedgerError as error:
            return _receipt(
                order, Outcome.NOT_SENT, f"The ledger cannot be written: {error}", "ledger_unavailable"
            )
        if commission.receipt is not None:
            return commission.receipt
        receipt = await self._act(order, act)
        if commission.unresolved and receipt.outcome is Outcome.NOT_SENT:
            # That this attempt did not reach the target says nothing about the one before it.
            receipt = receipt.model_copy(update={"outcome": Outcome.UNKNOWN, "reason": "not_reached"})
        await self._write_until_written(order, receipt)
        return receipt

    # --- before -------------------------------------------------------------------------------

    async def _commission(self, order: ActionOrder, each: Action) -> Commission:
        now = datetime.now(UTC)
        if (
            freeze := frozen_by_file(self._freeze_file)
        ) is not None and each.declaration.effect is not Effect.TELL:
            refusal = _receipt(order, Outcome.REFUSED, f"Frozen: {freeze}", "frozen")
            return await self._ledger.write(lambda t: _refused(t, order, refusal))
        prepared: dict[str, Any] = {}
        if each.prepare is not None:
            try:
                parameters = parameters_of(each, order.action)
                prepared = await each.prepare(parameters, self._performer.scene(order, now))
            except EffectError as error:
                refusal = _receipt(order, Outcome.NOT_SENT, str(error), error.code)
                return await self._ledger.write(lambda t: _not_begun(t, order, refusal))
        return await self._ledger.write(lambda t: self._decide(t, order, each, now, prepared))

    def _decide(
        self,
        transaction: Transaction,
        order: ActionOrder,
        each: Action,
        now: datetime,
        prepared: dict[str, Any],
    ) -> Commission:
        """Decide about one attempt and record the intent, all in one transaction."""
        connection = transaction.connection
        if (done := records.find(connection, f"{order.key}/receipt")) is not None:
            return Commission(receipt=_recovered(order, done.data, done.outcome))
        try:
            self._object(connection, order, each)
        except RefusedError as refusal:
            return _refused(
                transaction, order, _receipt(order, Outcome.REFUSED, str(refusal), refusal.reason)
            )
        if order.attempt > 1 and (earlier := _unresolved(connection, order)) is not None:
            return self._inquire(transaction, order, each, earlier)
        if order.attempt > order.action.attempts:
            return Commission(
                receipt=_receipt(order, Outcome.NOT_SENT, "All attempts are used up.", "exhausted")
            )
        _intend(transaction, order, prepared)
        return Commission(begun_at=now)

    def _object(self, connection: Connection, order: ActionOrder, each: Action) -> None:
        """Raise `RefusedError` where a rule forbids this action."""
        plan = _plan_on_record(connection, order)
        part = _part_of(plan, order.action)
        if each.declaration.effect is Effect.TELL:
            return  # telling people is always allowed
        for freeze in freezes.current(connection):
            if freeze.scope in {"*", f"runbook={order.runbook}", f"target={order.target}"}:
                raise RefusedError("frozen", f"Frozen by {freeze.actor}: {freeze.reason}")
        if not remediations.holds_lease(connection, order.remediation, order.fencing):
            raise RefusedError(
                "lease_lost", f"{order.remediation} no longer holds the lease on {order.target}."
            )
        if part != "otherwise" and plan["gate"] is not None:
            self._object_to_approvals(connection, order, GateTerms.model_validate(plan["gate"]))

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

    def _inquire(
        self, transaction: Transaction, order: ActionOrder, each: Action, earlier: _Earlier
    ) -> Commission:
        """An earlier attempt may have acted.  Record that, and decide by the action's class."""
        transaction.append(_unknown(order, earlier.attempt))
        kind = each.declaration.kind
        if kind is ActionClass.PROBED:
            return Commission(probe=True, begun_at=earlier.begun_at, prepared=earlier.prepared)
        if kind is ActionClass.OPAQUE or order.attempt > order.action.attempts:
            sentence = "Nobody can know whether an earlier attempt happened."
            return Commission(receipt=_receipt(order, Outcome.UNKNOWN, sentence, "needs_person"))
        _intend(transaction, order, earlier.prepared)
        return Commission(begun_at=earlier.begun_at, unresolved=True)

    async def _settle_by_probe(self, order: ActionOrder, each: Action, commission: Commission) -> Commission:
        """Ask the target what became of the earlier attempt; act again only if it says: nothing."""
        async with _heartbeating():
            answer = await self._probe(order, each, commission)
            late = (commission.begun_at or datetime.now(UTC)) + order.action.timeout - datetime.now(UTC)
            if answer.probe is Probe.NOT_APPLIED and late.total_seconds() > 0:
                # Its worker may be frozen and not dead.  Until its time is over it may still act.
                await asyncio.sleep(late.total_seconds())
                answer = await self._probe(order, each, commission)
        if answer.probe is Probe.APPLIED:
            receipt = _receipt(order, Outcome.OK, answer.sentence, output=answer.output, recovered=True)
            await self._write_until_written(order, receipt)
            return Commission(receipt=receipt)
        if answer.probe is Probe.NOT_APPLIED and order.attempt <= order.action.attempts:
            prepared = commission.prepared or {}
            await self._ledger.write(lambda t: _intend(t, order, prepared))
            return Commission(begun_at=commission.begun_at)
        reason = "running" if answer.probe is Probe.RUNNING else "needs_person"
        return Commission(receipt=_receipt(order, Outcome.UNKNOWN, answer.sentence, reason))

    async def _probe(self, order: ActionOrder, each: Action, commission: Commission) -> ProbeAnswer:
        if each.probe is None:
            return ProbeAnswer(probe=Probe.CANNOT_TELL, sentence="This action has no probe.")
        scene = self._performer.scene(order, commission.begun_at or datetime.now(UTC))
        try:
            return await each.probe(parameters_of(each, order.action), scene, commission.prepared or {})
        except Exception as error:  # noqa: BLE001 - a probe that fails tells nothing, whatever it raised
            return ProbeAnswer(probe=Probe.CANNOT_TELL, sentence=f"The target could not be asked: {error}")

    # --- acting and after ---------------------------------------------------------------------

    async def _act(self, order: ActionOrder, act: Callable[[], Awaitable[ActionResult]]) -> Receipt:
        begun = time.monotonic()
        try:
            async with _heartbeating(), asyncio.timeout(order.action.timeout.total_seconds()):
                result = await act()
            receipt = _receipt(order, Outcome.OK, result.sentence, output=_within_limit(result.output))
        except NotSentError as error:
            receipt = _receipt(order, Outcome.NOT_SENT, str(error), error.code)
        except FailedError as error:
            receipt = _receipt(order, Outcome.FAILED, str(error), error.code)
        except TimeoutError:
            seconds = order.action.timeout.total_seconds()
            receipt = _receipt(order, Outcome.UNKNOWN, f"No answer within {seconds:g} s.", "timeout")
        except asyncio.CancelledError:
            receipt = _receipt(order, Outcome.UNKNOWN, "It was cancelled while it acted.", "cancelled")
        except Exception as error:  # noqa: BLE001 - whatever was raised, it may have happened
            reason = error.code if isinstance(error, EffectError) else "error"
            receipt = _receipt(order, Outcome.UNKNOWN, f"{type(error).__name__}: {error}", reason)
        took = round((time.monotonic() - begun) * 1000)
        return receipt.model_copy(update={"took_ms": took})

    async def _write_until_written(self, order: ActionOrder, receipt: Receipt) -> None:
        """Write the receipt.  What happened has happened, so it is tried until the attempt's time is over."""
        async with _heartbeating():
            while True:
                try:
                    await self._ledger.append(_entry_of(order, receipt))
                except LedgerError as error:
                    log.warning("receipt not written yet", key=order.key, error=str(error))
                    await asyncio.sleep(RECEIPT_PAUSE)
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
        if not isinstance(order, ActionOrder) or order.action.uses != name:
            raise RefusedError(
                "not_declared", f"{name} was called with something that is not an order for it"
            )
        return await self._guard.attend(order, lambda: self.next.execute_activity(input))


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


def _plan_on_record(connection: Connection, order: ActionOrder) -> dict[str, Any]:
    record = records.find(connection, f"{order.remediation}/plan/{order.plan_digest}")
    if record is None:
        raise RefusedError("not_planned", f"No plan with this digest is on record for {order.remediation}.")
    plan: dict[str, Any] = record.data["plan"]
    if (plan["runbook"], plan["target"]) != (order.runbook, order.target):
        raise RefusedError("not_planned", f"The plan on record is for {plan['runbook']} on {plan['target']}.")
    return plan


def _part_of(plan: dict[str, Any], action: PlannedAction) -> str:
    """Return the part of the plan in which this very action stands."""
    asked = as_body(action.model_dump(mode="json"))
    if asked in plan["actions"]:
        return "do"
    if asked in [each["undo"] for each in plan["actions"]]:
        return "undo"
    if asked in plan["otherwise"]:
        return "otherwise"
    raise RefusedError("not_planned", f"The plan on record does not hold this action: {action.name}.")


def _receipt(
    order: ActionOrder,
    outcome: Outcome,
    sentence: str,
    reason: str = "",
    *,
    output: dict[str, Any] | None = None,
    recovered: bool = False,
) -> Receipt:
    return Receipt(
        key=order.key,
        outcome=outcome,
        sentence=sentence,
        reason=reason,
        output=output or {},
        attempt=order.attempt,
        recovered=recovered,
    )


def _recovered(order: ActionOrder, data: dict[str, Any], outcome: str) -> Receipt:
    """Return the receipt that is on record: it was done, and is not done again."""
    receipt = _receipt(
        order, Outcome(outcome), data["sentence"], data["reason"], output=data["output"], recovered=True
    )
    return receipt.model_copy(update={"took_ms": data["took_ms"], "attempt": data["attempt"]})


def _intend(transaction: Transaction, order: ActionOrder, prepared: dict[str, Any]) -> None:
    data = {
        **_identity(order),
        "effect": str(order.action.effect),
        "kind": str(order.action.kind),
        "arguments": order.action.arguments,
        "plan_digest": order.plan_digest,
        "decisions": [signed.decision.id for signed in order.decisions],
        "prepared": prepared,
    }
    transaction.append(_entry(order, RecordKind.ACTION_INTENT, f"intent/{order.attempt}", data))


def _entry_of(order: ActionOrder, receipt: Receipt) -> Entry:
    """Return the record of what came of an attempt.  Only a final outcome is the action's receipt."""
    data = {
        **_identity(order),
        "sentence": receipt.sentence,
        "reason": receipt.reason,
        "output": receipt.output,
        "recovered": receipt.recovered,
        "took_ms": receipt.took_ms,
    }
    final = receipt.outcome in {Outcome.OK, Outcome.FAILED}
    kind = RecordKind.ACTION_UNKNOWN if receipt.outcome is Outcome.UNKNOWN else RecordKind.ACTION_RECEIPT
    event = "receipt" if final else f"outcome/{order.attempt}"
    return _entry(order, kind, event, data, outcome=str(receipt.outcome))


def _unknown(order: ActionOrder, attempt: int) -> Entry:
    data = {
        **_identity(order),
        "attempt": attempt,
        "sentence": "The attempt began and nothing was heard of it again.",
        "reason": "lost",
    }
    return _entry(order, RecordKind.ACTION_UNKNOWN, f"outcome/{attempt}", data, outcome=str(Outcome.UNKNOWN))


def _refused(transaction: Transaction, order: ActionOrder, receipt: Receipt) -> Commission:
    data = {**_identity(order), "sentence": receipt.sentence, "reason": receipt.reason}
    event = f"refused/{order.attempt}/{receipt.reason}"
    transaction.append(_entry(order, RecordKind.ACTION_REFUSED, event, data, outcome=str(receipt.outcome)))
    return Commission(receipt=receipt)


def _not_begun(transaction: Transaction, order: ActionOrder, receipt: Receipt) -> Commission:
    transaction.append(_entry_of(order, receipt))
    return Commission(receipt=receipt)


def _identity(order: ActionOrder) -> dict[str, Any]:
    action = order.action
    return {
        "key": order.key,
        "step": action.id,
        "name": action.name,
        "uses": action.uses,
        "attempt": order.attempt,
    }


def _entry(
    order: ActionOrder, kind: RecordKind, event: str, data: dict[str, Any], *, outcome: str = "-"
) -> Entry:
    return Entry(
        event_id=f"{order.key}/{event}",
        stream=order.remediation,
        kind=kind,
        actor="bot:worker",
        source="guard",
        object=order.target,
        outcome=outcome,
        data=data,
    )


def _within_limit(output: dict[str, Any]) -> dict[str, Any]:
    """Return `output`, or a note in its place where it is too large for history and record."""
    size = len(json.dumps(output, default=str))
    return output if size <= OUTPUT_LIMIT else {"left_out": f"{size} bytes of output are over the limit"}


@contextlib.asynccontextmanager
async def _heartbeating() -> AsyncIterator[None]:
    """Tell Temporal that this worker lives, for as long as the block runs."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_EVERY)
            activity.heartbeat()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
