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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.action_records import Assignment, refusal, within_limit
from activities.actions import Probe, ProbeAnswer
from activities.ledger import admission, approvals, leases, records, remediations
from activities.ledger.store import Ledger, Transaction
from activities.performing import Performer, parameters_of
from activities.plans import Plans
from activities.signatures import TrustedKeys
from activities.spool import FOLDER, Spool, write_late
from activities.surroundings import Surroundings
from runbooks.errors import EffectError, FailedError, LedgerError, NotSentError, RefusedError
from runbooks.model.action import ActionClass, ActionResult, Outcome, Receipt
from runbooks.model.decision import Decision, SignedDecision
from runbooks.model.plan import GateTerms, Part
from runbooks.model.record import Entry, RecordKind
from runbooks.policy.endings import action_key
from runbooks.policy.gate import Question, holds_until, objection_to_acting
from runbooks.ports.case import ActionOrder, CasePort

HEARTBEAT_EVERY = 2.0  # seconds
RECEIPT_PAUSE = 0.5  # seconds between two tries at writing a receipt

_CASE_ACTIVITIES = frozenset(
    definition.name
    for method in vars(CasePort).values()
    if (definition := getattr(method, "__temporal_activity_definition", None)) is not None
)

_ACTED = frozenset({RecordKind.ACTION_INTENT, RecordKind.ACTION_RECEIPT, RecordKind.ACTION_UNKNOWN})

log = structlog.get_logger()


@dataclass(frozen=True)
class Commission:
    """What the ledger's transaction decided about one attempt.

    Attributes:
        receipt: set where nothing is to be done: done before, refused, or unknown for good.
        unresolved: an earlier attempt's outcome is unknown, and this one is made under the same key.
        probe: an earlier attempt's outcome is unknown, and the target is to be asked first.
        asks_about: the number of that attempt.
        begun_at: when the first attempt's intent was recorded.
        prepared: what the first attempt had seen right before it acted.
        decided_at: by the monotonic clock, in seconds; it is about to be too late when the attempt's
            time has gone by since.
    """

    receipt: Receipt | None = None
    unresolved: bool = False
    probe: bool = False
    asks_about: int = 0
    begun_at: datetime | None = None
    prepared: dict[str, Any] | None = None
    decided_at: float = field(default_factory=time.monotonic)


class Guard(Interceptor):
    """Stands before every activity of a worker."""

    def __init__(
        self,
        ledger: Ledger,
        performer: Performer,
        trusted: TrustedKeys,
        plans: Plans,
        surroundings: Surroundings,
    ) -> None:
        self._ledger = ledger
        self._performer = performer
        self._trusted = trusted
        self._plans = plans
        self._surroundings = surroundings
        self._spool = Spool(surroundings.freeze_file.parent / FOLDER)

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
            if order.iteration > 1:
                await self._wait_for_earlier(assignment)
            commission = await self._commission(assignment)
            while commission.probe:
                commission = await self._settle_by_probe(assignment, commission)
        except LedgerError as error:
            sentence = f"The ledger cannot be written: {error}"
            return _receipt(order, Outcome.NOT_SENT, sentence, "ledger_unavailable")
        if commission.receipt is not None:
            return commission.receipt
        receipt = await self._act(assignment, act, commission.decided_at)
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
            _refuse_foreign_key(order)
        except RefusedError as error:
            receipt = _receipt(order, Outcome.REFUSED, str(error), error.reason)
            await self._ledger.append(refusal(order, receipt, name=order.step, uses=uses))
            return receipt
        return Assignment(order, plan, planned, self._performer.registry[uses])

    async def _commission(self, assignment: Assignment) -> Commission:
        now = datetime.now(UTC)
        braked = await self._braked(assignment, now)
        prepared: dict[str, Any] | Receipt = {}
        if braked is None and assignment.each.prepare is not None:
            prepared = await self._prepare(assignment, now)
            braked = await self._braked(assignment, datetime.now(UTC))  # it may have taken its time
        if braked is not None:
            return await self._ledger.write(
                lambda t: _overtaken(t, assignment) or _refuse(t, assignment, braked)
            )
        if isinstance(prepared, Receipt):
            return await self._ledger.write(
                lambda t: _overtaken(t, assignment) or _leave_undone(t, assignment, prepared)
            )
        return await self._ledger.write(lambda t: self._decide(t, assignment, now, prepared))

    async def _prepare(self, assignment: Assignment, now: datetime) -> dict[str, Any] | Receipt:
        """Return what the action wants to remember; that nothing was done, where it could not be seen."""
        each, planned = assignment.each, assignment.planned
        assert each.prepare is not None, "called where there is something to prepare"
        scene = self._performer.scene(assignment.order, assignment.plan.target, now)
        try:
            async with _heartbeating(), asyncio.timeout(planned.timeout.total_seconds()):
                return await each.prepare(parameters_of(each, planned), scene)
        except EffectError as error:
            return assignment.receipt(Outcome.NOT_SENT, str(error), error.code)
        except TimeoutError:
            sentence = "It could not be seen in time how it is before anything is done."
            return assignment.receipt(Outcome.NOT_SENT, sentence, "timeout")
        except Exception as error:  # noqa: BLE001 - it only reads: whatever it raised, nothing was done
            return assignment.receipt(Outcome.NOT_SENT, f"{type(error).__name__}: {error}", "error")

    async def _braked(self, assignment: Assignment, now: datetime) -> RefusedError | None:
        """Return which brake outside of the ledger stops this: a freeze file, a maintenance window."""
        brakes = self._surroundings.brakes()
        if assignment.tells or not brakes.may_brake:
            return None
        remediation = assignment.order.remediation
        stopped = await self._ledger.read(lambda c: admission.stopped(c, remediation, at=now, outside=brakes))
        return None if stopped is None else RefusedError(stopped.reason, stopped.sentence)

    def _decide(
        self, transaction: Transaction, assignment: Assignment, now: datetime, prepared: dict[str, Any]
    ) -> Commission:
        """Decide about one attempt and record the intent, all in one transaction."""
        order = assignment.order
        if (overtaken := _overtaken(transaction, assignment)) is not None:
            return overtaken
        try:
            self._object(transaction.connection, assignment)
        except RefusedError as error:
            return _refuse(transaction, assignment, error)
        if (earlier := _unresolved(transaction, order)) is not None:
            return _inquire(transaction, assignment, earlier)
        if order.attempt > assignment.planned.attempts:
            used_up = assignment.receipt(Outcome.NOT_SENT, "All attempts are used up.", "exhausted")
            return Commission(receipt=used_up)
        _begin(transaction, assignment, prepared, at=now)
        return Commission(begun_at=now)

    def _object(self, connection: Connection, assignment: Assignment) -> None:
        """Raise `RefusedError` where a rule forbids this action."""
        if assignment.tells:
            return  # telling people is always allowed
        order, plan = assignment.order, assignment.plan
        stopped = admission.stopped(connection, order.remediation, at=datetime.now(UTC))
        if stopped is not None:
            raise RefusedError(stopped.reason, stopped.sentence)
        if not leases.holds_lease(connection, order.remediation, order.fencing):
            raise RefusedError(
                "lease_lost", f"{order.remediation} no longer holds the lease on {plan.target}."
            )
        if _has_ended(connection, order.remediation):
            raise RefusedError("ended_already", f"{order.remediation} has ended: nothing more is done.")
        given: list[Decision] = []
        for question, consents in _questions(assignment):
            self._object_to_consents(connection, order, question, consents)
            given += [signed.decision for signed in consents]
        _object_to_age(connection, assignment, given)

    def _object_to_consents(
        self,
        connection: Connection,
        order: ActionOrder,
        question: Question,
        consents: Sequence[SignedDecision],
    ) -> None:
        for signed in consents:
            if not self._trusted.verify(signed):
                raise RefusedError("not_approved", "An approval does not carry a listener's signature.")
            if not approvals.counted(connection, signed.decision):
                raise RefusedError("not_approved", "An approval was never counted for this plan.")
        decisions = [signed.decision for signed in consents]
        asker = admission.requested_by(connection, order.remediation)
        question = question.model_copy(update={"requested_by": asker})
        objection = objection_to_acting(decisions, question, remediation=order.remediation)
        if objection is not None:
            raise RefusedError("not_approved", f"Not approved: {objection}.")

    # --- after a lost attempt -----------------------------------------------------------------

    async def _wait_for_earlier(self, assignment: Assignment) -> None:
        """Wait until the time of what is to be done again is over: its worker may be frozen and not dead."""
        begun_at = await self._ledger.read(lambda c: _last_begun(c, assignment))
        if begun_at is None:
            return
        async with _heartbeating():
            await asyncio.sleep(_time_left(assignment, begun_at))

    async def _settle_by_probe(self, assignment: Assignment, commission: Commission) -> Commission:
        """Ask the target what became of the earlier attempt; act again only if it says: nothing."""
        async with _heartbeating():
            answer = await self._probe(assignment, commission)
            begun_at = commission.begun_at or datetime.now(UTC)
            late = _time_left(assignment, begun_at)
            if answer.probe is Probe.NOT_APPLIED and late > 0:
                # Its worker may be frozen and not dead.  Until its time is over it may still act.
                await asyncio.sleep(late)
                answer = await self._probe(assignment, commission)
        if answer.probe is Probe.APPLIED:
            receipt = assignment.receipt(Outcome.OK, answer.sentence, output=answer.output, recovered=True)
            await self._write_until_written(assignment, receipt)
            return Commission(receipt=receipt)
        if answer.probe is Probe.NOT_APPLIED and assignment.order.attempt <= assignment.planned.attempts:
            return await self._begin_again(assignment, commission)
        reason = "running" if answer.probe is Probe.RUNNING else "needs_person"
        return Commission(receipt=assignment.receipt(Outcome.UNKNOWN, answer.sentence, reason))

    async def _begin_again(self, assignment: Assignment, commission: Commission) -> Commission:
        """Record the intent of an attempt after one that was not applied, if nothing forbids it by now.

        This worker may have stood still since it asked the target: what others began meanwhile counts.
        """
        braked = await self._braked(assignment, datetime.now(UTC))

        def begin(transaction: Transaction) -> Commission:
            if (overtaken := _overtaken(transaction, assignment)) is not None:
                return overtaken
            earlier = _unresolved(transaction, assignment.order)
            if earlier is not None and earlier.attempt != commission.asks_about:
                return _inquire(transaction, assignment, earlier)
            try:
                if braked is not None:
                    raise braked
                self._object(transaction.connection, assignment)
            except RefusedError as error:
                receipt = assignment.receipt(Outcome.REFUSED, str(error), error.reason)
                transaction.append(assignment.refusal(receipt))
                return Commission(receipt=receipt)
            _begin(transaction, assignment, commission.prepared or {}, at=datetime.now(UTC))
            return Commission(begun_at=commission.begun_at)

        return await self._ledger.write(begin)

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

    async def _act(
        self, assignment: Assignment, act: Callable[[], Awaitable[ActionResult]], decided_at: float
    ) -> Receipt:
        begun = time.monotonic()
        seconds = assignment.planned.timeout.total_seconds()
        left = seconds - (begun - decided_at)  # others wait for as long as it may act after its intent
        if left <= 0:
            # This process stood still.  Somebody else may have concluded by now that it is dead.
            return assignment.receipt(Outcome.NOT_SENT, "It came to this too late.", "too_late")
        try:
            async with _heartbeating(), asyncio.timeout(left):
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
        """Write the receipt.  What happened has happened, so it is tried until the attempt's time is over.

        Meanwhile, and after that, it lies in the spool: the next start of a worker puts it on record.
        """
        entry = assignment.outcome(receipt)
        try:
            await write_late(self._ledger, entry)
        except LedgerError:
            async with _heartbeating():
                await self._keep_writing(entry)

    async def _keep_writing(self, entry: Entry) -> None:
        try:
            await self._spool.keep(entry)
        except OSError as error:
            log.exception("a receipt can be written nowhere", event_id=entry.event_id, error=error.strerror)
        while True:
            await asyncio.sleep(RECEIPT_PAUSE)
            try:
                await write_late(self._ledger, entry)
            except LedgerError as error:
                log.warning("a receipt is not written yet", event_id=entry.event_id, error=str(error))
            else:
                await self._spool.drop(entry)
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


def _begin(
    transaction: Transaction, assignment: Assignment, prepared: dict[str, Any], *, at: datetime
) -> None:
    """Record the intent, and keep the target for as long as the action and the look at its result may take."""
    order = assignment.order
    transaction.append(assignment.intent(prepared))
    looks = max((each.within for each in assignment.plan.verify), default=timedelta())
    until = at + assignment.planned.timeout + looks + leases.LEASE_SPAN
    leases.prolong_lease(transaction, order.remediation, order.fencing, until=until)


def _overtaken(transaction: Transaction, assignment: Assignment) -> Commission | None:
    """Return what an attempt comes to that is not to be made: it is done, or others have gone on after it."""
    order, later = assignment.order, _later_intents(assignment)
    transaction.look_up((f"{order.key}/receipt", f"{order.key}/intent/{order.attempt}", *later))
    for key in _keys_up_to(order):
        # Also where people said that it is to be done again: they did not know of this receipt.
        if (done := transaction.find(f"{key}/receipt")) is not None:
            return Commission(receipt=assignment.recorded(done.data, done.outcome))
    if any(transaction.find(event) is not None for event in later):
        # This worker stood still before it came here, and somebody else has gone on meanwhile.
        sentence = "A later attempt has begun; what became of it is on record."
        return Commission(receipt=assignment.receipt(Outcome.UNKNOWN, sentence, "too_late"))
    return None


def _unresolved(transaction: Transaction, order: ActionOrder) -> _Earlier | None:
    """Return the newest attempt so far whose outcome nobody recorded, or recorded as unknown.

    An attempt of this very number is one of them: a workflow that was reset begins to count anew.
    """
    for attempt in range(order.attempt, 0, -1):
        intent = transaction.find(f"{order.key}/intent/{attempt}")
        if intent is None:
            continue
        outcome = transaction.find(f"{order.key}/outcome/{attempt}")
        if outcome is not None and outcome.outcome != str(Outcome.UNKNOWN):
            return None
        return _Earlier(attempt, intent.at, intent.data.get("prepared", {}))
    return None


def _inquire(transaction: Transaction, assignment: Assignment, earlier: _Earlier) -> Commission:
    """An earlier attempt may have acted.  Record that, and decide by the action's class."""
    transaction.append(assignment.lost(earlier.attempt))
    kind = assignment.each.declaration.kind
    if kind is ActionClass.PROBED:
        return Commission(
            probe=True, asks_about=earlier.attempt, begun_at=earlier.begun_at, prepared=earlier.prepared
        )
    if kind is ActionClass.OPAQUE or assignment.order.attempt > assignment.planned.attempts:
        sentence = "Nobody can know whether an earlier attempt happened."
        return Commission(receipt=assignment.receipt(Outcome.UNKNOWN, sentence, "needs_person"))
    transaction.append(assignment.intent(earlier.prepared))
    return Commission(begun_at=earlier.begun_at, unresolved=True)


def _refuse(transaction: Transaction, assignment: Assignment, error: RefusedError) -> Commission:
    receipt = assignment.receipt(Outcome.REFUSED, str(error), error.reason)
    transaction.append(assignment.refusal(receipt))
    return Commission(receipt=_doubted(transaction, assignment, receipt))


def _leave_undone(transaction: Transaction, assignment: Assignment, receipt: Receipt) -> Commission:
    """It could not even be prepared."""
    known = _doubted(transaction, assignment, receipt)
    transaction.append(assignment.outcome(known))
    return Commission(receipt=known)


def _doubted(transaction: Transaction, assignment: Assignment, receipt: Receipt) -> Receipt:
    """Return `receipt`; as unknown where an earlier attempt may have acted, of which it says nothing."""
    earlier = _unresolved(transaction, assignment.order)
    if earlier is None:
        return receipt
    transaction.append(assignment.lost(earlier.attempt))
    sentence = (
        f"Nobody can know whether an earlier attempt happened. This one was not made: {receipt.sentence}"
    )
    return receipt.model_copy(update={"outcome": Outcome.UNKNOWN, "sentence": sentence})


def _object_to_age(connection: Connection, assignment: Assignment, consents: Sequence[Decision]) -> None:
    """Refuse what people agreed to long ago: whoever should have carried it out may have been away since."""
    if not consents:
        return  # standing orders do not grow old, and are not made slower by the question
    acted_at = records.last_at(connection, assignment.order.remediation, _ACTED)
    until = holds_until(consents, acted_at=acted_at, pause=assignment.plan.longest_pause)
    if until is not None and datetime.now(UTC) > until:
        raise RefusedError(
            "approval_too_old",
            f"What was approved had to be done by {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC: ask people again.",
        )


def _has_ended(connection: Connection, remediation: str) -> bool:
    row = remediations.row(connection, remediation)
    return row is not None and row.ended_at is not None


def _questions(assignment: Assignment) -> Iterator[tuple[Question, Sequence[SignedDecision]]]:
    """Yield each question that people must have answered with yes before this action, and their answers.

    Raises:
        RefusedError: somebody would have to be asked, and the plan names nobody.
    """
    order, plan, gate = assignment.order, assignment.plan, assignment.planned.gate
    if order.part is not Part.OTHERWISE and plan.gate is not None:
        yield _question(order, plan.gate), order.decisions
    if gate is not None:
        yield _question(order, gate, about=_key_of(order, 1)), order.step_decisions
    if order.iteration > 1:
        judges = gate or plan.verdict
        if judges is None:
            raise RefusedError("not_approved", "The plan names nobody who could approve this.")
        about = _key_of(order, order.iteration - 1)
        yield _question(order, judges, about=about, in_doubt=True), order.verdicts


def _question(order: ActionOrder, terms: GateTerms, *, about: str = "", in_doubt: bool = False) -> Question:
    """Return a question.  Whose turn it was is on record with each answer that was counted."""
    return Question(
        terms=terms,
        plan_digest=order.plan_digest,
        about=about,
        in_doubt=in_doubt,
        links=len(terms.otherwise),
    )


def _refuse_foreign_key(order: ActionOrder) -> None:
    """Refuse a key that is not the step's own: under another one it would be done a second time."""
    if order.key != _key_of(order, order.iteration):
        raise RefusedError("not_planned", f"This is not the key of step {order.step}.")


def _key_of(order: ActionOrder, iteration: int) -> str:
    return action_key(order.remediation, order.part, order.step, order.plan_digest, iteration)


def _keys_up_to(order: ActionOrder) -> Iterator[str]:
    """Yield the keys under which the step was ordered so far, this order's included."""
    return (_key_of(order, iteration) for iteration in range(1, order.iteration + 1))


def _later_intents(assignment: Assignment) -> list[str]:
    """Return the events that say: somebody has gone on after this attempt."""
    order, attempts = assignment.order, range(1, assignment.planned.attempts + 1)
    later = [f"{order.key}/intent/{attempt}" for attempt in attempts if attempt > order.attempt]
    once_more = _key_of(order, order.iteration + 1)
    return [*later, *(f"{once_more}/intent/{attempt}" for attempt in attempts)]


def _time_left(assignment: Assignment, begun_at: datetime) -> float:
    """Return how many seconds an attempt that began then may still act.

    However far the clock has been put back since, that is never more than it may take in all.
    """
    left = begun_at + assignment.planned.timeout - datetime.now(UTC)
    return min(max(left, timedelta()), assignment.planned.timeout).total_seconds()


def _last_begun(connection: Connection, assignment: Assignment) -> datetime | None:
    """Return when the last attempt began at what is to be done again; None: none ever did."""
    attempts = range(1, assignment.planned.attempts + 1)
    events = [f"{key}/intent/{attempt}" for key in _keys_up_to(assignment.order) for attempt in attempts]
    intents = [records.find(connection, event) for event in events]
    return max((intent.at for intent in intents if intent is not None), default=None)


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
