"""One remediation: admit, check, plan, ask, check again, act, verify, end.

The order stands here once, so that no runbook's author can forget it.  What the engine knows
comes from its ports; what it decides comes from `runbooks.policy`.  It holds no label, no
template and no secret: the ledger's keeper does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from runbooks.model.action import Outcome, Receipt
    from runbooks.model.alert import AlertStatus, Arrival
    from runbooks.model.decision import Doubt, GatedStep, SignedDecision
    from runbooks.model.plan import GateTerms, Outline, OutlinedAction, Part
    from runbooks.model.remediation import (
        BRAKES,
        STOPPED_BY_PERSON,
        CallIn,
        Closing,
        Ending,
        Examination,
        Stopping,
        Turn,
    )
    from runbooks.policy.endings import (
        action_key,
        ending_after_undo,
        ending_between_steps,
        ending_of_checks,
        ending_of_receipt,
        ending_of_verification,
        may_ask_again,
        receipt_of_verdict,
        still_unknown,
    )
    from runbooks.policy.gate import Gate, GateState, Question
    from runbooks.ports.case import (
        CASE_TIMEOUT,
        ActionOrder,
        CasePort,
        Escalation,
        GateRequest,
        GateSettlement,
        Hearing,
        Joining,
        Judgement,
        SecondLook,
        Verification,
    )

TASK_QUEUE = "paramedic"

CALL_IN_WITHIN = timedelta(minutes=1)
"""A workflow that nobody called in to, because it was started by hand, ends after this."""

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""How soon a worker that died or froze in the middle of an action is noticed."""

ATTEMPT_PAUSE = timedelta(seconds=2)
"""Between two attempts at one action."""

LOOK_EVERY = timedelta(minutes=5)
"""How often it is measured again whether what people are asked is still needed.

A resolved notification prompts a look at once, but it may be lost, or come hours late.  One look costs six
events of history and one query for each check: two looks for a gate of 15 minutes, and 33 a second in
all while 10,000 gates are open.  A question that nobody needs costs a person more than that.
"""

LEDGER_PATIENCE = timedelta(minutes=10)
"""How long an action is put off while the ledger cannot be written."""

_KEEP_TRYING = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=["RefusedError"],
)
_ONCE = RetryPolicy(maximum_attempts=1)

A = TypeVar("A")
R = TypeVar("R")


@workflow.defn(name="Remediation")
class Remediation:
    """One run of one runbook for one target.  Its id is `remediation/<runbook>/<target>`."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._taken_in = 0  # how many of the arrivals are on record
        self._remediation = ""
        self._gate: Gate | None = None
        self._approvals: tuple[SignedDecision, ...] = ()  # of the plan
        self._step_approvals: dict[str, tuple[SignedDecision, ...]] = {}  # by the step's id
        self._verdicts = 0  # how often people were asked what became of an action
        self._deciding = asyncio.Lock()
        self._closing = False
        self._closed: Closing | None = None  # the ending that is on record already
        self._resolved = False
        self._stoppings: dict[str, Stopping] = {}  # by remediation: one may be meant for the turn before

    @workflow.run
    async def run(self, turn: Turn) -> Closing | None:
        """Carry out one turn.  None: there was nothing new to do."""
        self._arrivals = [*turn.arrivals, *self._arrivals]
        if not self._arrivals and not await self._called_in():
            return None
        found = await self._examine(turn)
        while not found.remediation:
            if self._taken_in == len(self._arrivals):
                return None
            found = await self._examine(turn)  # more came while the first were found to be nothing new
        self._remediation = found.remediation
        examined = self._taken_in if found.withheld is None or found.withheld.reason != "ended_already" else 0
        joining = asyncio.create_task(self._keep_joining())
        closing = await self._remediate(found)
        self._closing = True
        await joining
        if closing != self._closed:
            await _ask(CasePort.close, closing)
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._continue_with(self._arrivals[examined:], turn)
        return closing

    @workflow.signal
    def arrive(self, arrival: Arrival) -> None:
        """Take in one more alert for the same runbook and target."""
        self._arrivals.append(arrival)
        self._resolved = arrival.status is AlertStatus.RESOLVED

    @workflow.signal
    def arrive_all(self, arrivals: tuple[Arrival, ...]) -> None:
        """Take several alerts in: in a storm, one signal for each would cost more than all else."""
        for arrival in arrivals:
            self.arrive(arrival)

    @workflow.signal
    def stop(self, stopping: Stopping) -> None:
        """Hear that a person has stopped a remediation.

        It wakes a workflow that waits.  What acts asks the ledger, where the stop stood before.
        """
        self._stoppings[stopping.remediation] = stopping

    @workflow.update
    async def decide(self, signed: SignedDecision) -> Judgement:
        """Count one person's answer, or say why it does not count; both are on record."""
        # Several answers can be in here at once.  Whatever was true before an `await` must be
        # asked again after it; the lock makes that one question instead of a race.
        async with self._deciding:
            gate = self._open_gate()
            # After a crash it is heard before it was noticed that the time of those asked first is over.
            await self._ask_who_is_due(gate)
            hearing = Hearing(signed=signed, objection=gate.objection(signed.decision, workflow.now()))
            judgement = await _ask(CasePort.judge_decision, hearing)
            if judgement.objection is None:
                gate.record(signed)
            return judgement

    @decide.validator
    def refuse_decision(self, signed: SignedDecision) -> None:  # noqa: ARG002 - as the update has it
        """Refuse an answer to nothing.  Every other one is judged, because every judgement is on record."""
        self._open_gate()

    async def _remediate(self, found: Examination) -> Closing:
        """Judge the examination, ask, look again, act, verify."""
        if (closing := self._ending_of_examination(found)) is not None:
            return closing
        plan = found.plan
        assert plan is not None, "checks that passed come with a plan"

        if plan.gate is not None and (closing := await self._ask_about_plan(found, plan)) is not None:
            return closing

        for number, action in enumerate(plan.actions):
            if action.gate is not None:
                closing = await self._ask_about_step(found, plan, number)
                if closing is not None:
                    return await self._end_before(found, plan, number, closing)
            receipt = await self._carry_out(found, plan, action, Part.DO)
            if receipt.outcome is not Outcome.OK:
                return await self._recover(found, plan, number, receipt)
        return await self._verify(found, plan, plan.actions)

    def _continue_with(self, later: Sequence[Arrival], turn: Turn) -> None:
        """Give alerts that may have come too late for this turn a turn of their own.

        Most of them joined, and then the next turn finds nothing new.  But one that fires, and came in
        the moment of the ending, would otherwise wait until its sender repeats it, hours perhaps.
        """
        firing = tuple(arrival for arrival in later if arrival.status is AlertStatus.FIRING)
        if firing:
            workflow.continue_as_new(Turn(order=turn.order, arrivals=firing, number=turn.number + 1))

    # --- before acting ------------------------------------------------------------------------

    async def _called_in(self) -> bool:
        try:
            await workflow.wait_condition(lambda: bool(self._arrivals), timeout=CALL_IN_WITHIN)
        except TimeoutError:
            return False
        return True

    async def _examine(self, turn: Turn) -> Examination:
        entries = tuple(arrival.entry for arrival in self._arrivals)
        self._taken_in = len(entries)
        info = workflow.info()
        # The first run's id is kept by a reset, and also by the next turn, which is another remediation.
        run = f"{info.first_execution_run_id}/{turn.number}"
        call = CallIn(order=turn.order, workflow_id=info.workflow_id, first_run=run, entries=entries)
        return await _ask(CasePort.examine, call)

    async def _keep_joining(self) -> None:
        """Record alerts that arrive while the remediation is in progress, until it closes."""
        while True:
            await workflow.wait_condition(lambda: self._closing or self._taken_in < len(self._arrivals))
            if self._taken_in == len(self._arrivals):
                return
            new = tuple(arrival.entry for arrival in self._arrivals[self._taken_in :])
            self._taken_in = len(self._arrivals)
            await _ask(CasePort.join, Joining(remediation=self._remediation, entries=new))

    def _ending_of_examination(self, found: Examination) -> Closing | None:
        if found.withheld is not None:
            return self._close_as(Ending.WITHHELD, found.withheld.reason, found.withheld.sentence)
        if (closing := ending_of_checks(self._remediation, found.checks, "before acting")) is not None:
            return closing
        if found.observe:
            return self._close_as(
                Ending.WITHHELD, "observe", "This runbook only observes: the plan is on record."
            )
        return self._ending_of_stop()

    def _ending_of_stop(self) -> Closing | None:
        """Return the ending that a person's stop means; None where nobody has stopped this remediation."""
        if self._stopping is None:
            return None
        return self._close_as(Ending.STOPPED, STOPPED_BY_PERSON, self._stopping.sentence)

    @property
    def _stopping(self) -> Stopping | None:
        return self._stoppings.get(self._remediation)

    async def _look_again(self, found: Examination, when: str) -> Closing | None:
        look = SecondLook(remediation=self._remediation, fencing=found.fencing)
        again = await _ask(CasePort.examine_again, look)
        if again.withheld is not None:
            ending = Ending.STOPPED if again.withheld.reason in BRAKES else Ending.WITHHELD
            return self._close_as(ending, again.withheld.reason, again.withheld.sentence)
        return ending_of_checks(self._remediation, again.checks, when)

    # --- gates --------------------------------------------------------------------------------

    async def _ask_about_plan(self, found: Examination, plan: Outline) -> Closing | None:
        """Ask whether the plan may be carried out.  None: it may, and it is still needed."""
        terms = plan.gate
        assert terms is not None, "people are asked where the plan has a gate"
        question = Question(terms=terms, plan_digest=plan.digest, requested_by=found.requested_by)
        gate = await self._put_to_people("gate-1", question, found)
        self._approvals = gate.consents
        if (closing := self._ending_of_gate(gate)) is not None:
            return closing
        # People take minutes to answer.  What they approved may no longer be needed, or allowed.
        return await self._look_again(found, "after the gate")

    async def _ask_about_step(self, found: Examination, plan: Outline, number: int) -> Closing | None:
        """Ask whether one step may be done now, by what is known now.  None: it may, and it is still needed."""
        action = plan.actions[number]
        assert action.gate is not None, "people are asked where the step has a gate"
        key = action_key(self._remediation, Part.DO, action.id, plan.digest)
        question = Question(
            terms=action.gate, plan_digest=plan.digest, requested_by=found.requested_by, about=key
        )
        step = GatedStep(key=key, step=action.id, name=action.name, uses=action.uses)
        gate = await self._put_to_people(f"step-{number + 1}", question, found, step)
        self._step_approvals[action.id] = gate.consents
        if (closing := self._ending_of_gate(gate)) is not None:
            return closing
        return await self._look_again(found, f"after the gate of step {number + 1}")

    async def _put_to_people(
        self,
        name: str,
        question: Question,
        found: Examination | None = None,
        subject: Doubt | GatedStep | None = None,
    ) -> Gate:
        """Put a question to people and return its gate, decided one way or another.

        Args:
            found: with it, the question is withdrawn when it proves to be needed no longer.
        """
        gate = await self._open(name, question, subject)
        await self._settle(gate, found)
        settlement = GateSettlement(
            remediation=self._remediation, gate=gate.id, outcome=str(gate.state), sentence=gate.sentence
        )
        await _ask(CasePort.close_gate, settlement)
        return gate

    async def _open(self, name: str, question: Question, subject: Doubt | GatedStep | None) -> Gate:
        opens_at = workflow.now()
        gate = Gate(f"{self._remediation}/{name}", question, opens_at=opens_at)
        request = GateRequest(
            remediation=self._remediation,
            gate=gate.id,
            plan_digest=question.plan_digest,
            terms=question.terms,
            opens_at=opens_at,
            expires_at=gate.expires_at,
            doubt=subject if isinstance(subject, Doubt) else None,
            step=subject if isinstance(subject, GatedStep) else None,
        )
        self._gate = gate
        await _ask(CasePort.open_gate, request)
        return gate

    async def _settle(self, gate: Gate, found: Examination | None) -> None:
        """Wait until people decided or stopped it, nobody is left to be asked, or it is needed no longer."""
        look_at = workflow.now() + LOOK_EVERY
        while gate.state is GateState.OPEN:
            until = gate.asked_until if found is None else min(look_at, gate.asked_until)
            await self._wait_at(gate, until, looks=found is not None)
            if self._stopping is not None:
                async with self._deciding:
                    gate.withdraw(self._stopping.sentence)
            elif workflow.now() >= gate.asked_until:
                await self._go_on(gate)
            elif found is not None and gate.state is GateState.OPEN:
                await self._look_whether_needed(gate, found)
                look_at = workflow.now() + LOOK_EVERY

    async def _wait_at(self, gate: Gate, until: datetime, *, looks: bool) -> None:
        """Wait until the gate is decided, a person stops it, an alert resolves, or that time has come."""

        def has_news() -> bool:
            decided = gate.state is not GateState.OPEN
            return decided or self._stopping is not None or (looks and self._resolved)

        with contextlib.suppress(TimeoutError):
            remaining = max(until - workflow.now(), timedelta())
            await workflow.wait_condition(has_news, timeout=remaining)

    async def _go_on(self, gate: Gate) -> None:
        """Ask the next link of the chain as well; where there is none, the gate expires."""
        # Under the lock: whether an answer came before this or after it is decided once.
        async with self._deciding:
            await self._ask_who_is_due(gate)
            if workflow.now() >= gate.asked_until:
                gate.expire()

    async def _ask_who_is_due(self, gate: Gate) -> None:
        """Ask the links whose time has come; whoever calls this holds the lock."""
        while (link := gate.link_due(workflow.now())) is not None:
            escalation = Escalation(
                remediation=self._remediation,
                gate=gate.id,
                link=gate.question.links + 1,
                approvers=link.approvers,
                asked_until=gate.asked_until + link.within,
            )
            await _ask(CasePort.escalate_gate, escalation)
            gate.escalate(link)

    async def _look_whether_needed(self, gate: Gate, found: Examination) -> None:
        """Measure, and withdraw the question only where a check says that there is nothing to do.

        "Resolved" is a hint, not a proof, and its absence is none either.
        """
        self._resolved = False
        closing = await self._look_again(found, "while waiting at the gate")
        async with self._deciding:
            if closing is not None and closing.ending is Ending.NOT_NEEDED:
                gate.withdraw(closing.sentence)

    def _ending_of_gate(self, gate: Gate) -> Closing | None:
        match gate.state:
            case GateState.APPROVED:
                return None
            case GateState.DENIED:
                return self._close_as(Ending.DENIED, "denied", gate.sentence)
            case GateState.WITHDRAWN if self._stopping is not None:
                return self._ending_of_stop()
            case GateState.WITHDRAWN:
                return self._close_as(Ending.NOT_NEEDED, "check_failed", gate.sentence)
            case _:
                return self._close_as(Ending.EXPIRED, "expired", gate.sentence)

    async def _ask_what_happened(
        self, found: Examination, plan: Outline, terms: GateTerms, doubt: Doubt
    ) -> Gate:
        """Ask people what became of an action; the target stays ours meanwhile."""
        question = Question(
            terms=terms,
            plan_digest=plan.digest,
            requested_by=found.requested_by,
            about=doubt.key,
            in_doubt=True,
        )
        self._verdicts += 1
        return await self._put_to_people(f"verdict-{self._verdicts}", question, subject=doubt)

    def _open_gate(self) -> Gate:
        if self._gate is None:
            raise ApplicationError("nothing has been asked yet", type="DecisionRefused", non_retryable=True)
        return self._gate

    # --- acting -------------------------------------------------------------------------------

    async def _carry_out(
        self, found: Examination, plan: Outline, action: OutlinedAction, part: Part
    ) -> Receipt:
        """Carry out one action.  Where nobody can know whether it happened, people say."""
        order = ActionOrder(
            remediation=found.remediation,
            plan_digest=plan.digest,
            part=part,
            step=action.id,
            key=action_key(found.remediation, part, action.id, plan.digest),
            attempt=1,
            fencing=found.fencing,
            decisions=self._approvals,
            step_decisions=self._step_approvals.get(action.id, ()),
        )
        verdict = action.gate or plan.verdict
        receipt = await self._make_attempts(order, action)
        while receipt.outcome is Outcome.UNKNOWN and part is not Part.OTHERWISE and verdict is not None:
            doubt = _doubt_about(order, action, receipt)
            gate = await self._ask_what_happened(found, plan, verdict, doubt)
            if gate.state is not GateState.AGAIN:
                return receipt_of_verdict(receipt, gate.state, gate.sentence)
            order = _order_again(order, gate.consents)
            receipt = still_unknown(receipt, await self._make_attempts(order, action))
        return receipt

    async def _make_attempts(self, order: ActionOrder, action: OutlinedAction) -> Receipt:
        """Make attempts at one action under one key until its outcome is known, or may not be asked again.

        Temporal tries an action once.  The loop stands here, so that each repetition is probed,
        recorded and counted, and can be stopped by a freeze.
        """
        patience_ends = workflow.now() + LEDGER_PATIENCE
        before: Receipt | None = None
        while True:
            receipt = await self._attempt(order, action)
            if receipt.reason == "ledger_unavailable":
                # Without the ledger the guard cannot know of the attempts before.
                if workflow.now() < patience_ends:
                    await workflow.sleep(ATTEMPT_PAUSE)
                    continue
                return receipt if before is None else still_unknown(before, receipt)
            if not may_ask_again(action, receipt, order.attempt):
                return receipt
            before = receipt
            order = order.model_copy(update={"attempt": order.attempt + 1})
            await workflow.sleep(ATTEMPT_PAUSE)

    async def _attempt(self, order: ActionOrder, action: OutlinedAction) -> Receipt:
        try:
            receipt: Receipt = await workflow.execute_activity(
                action.uses,
                order,
                result_type=Receipt,
                activity_id=f"{order.key}/{order.attempt}",
                # A later attempt may have to wait until the time of the one before it is over.
                start_to_close_timeout=2 * action.timeout + 2 * HEARTBEAT_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=_ONCE,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except ActivityError as error:
            # "Timed out" is not "did not happen": the next attempt finds out before it does anything.
            sentence = f"The worker was lost while it acted ({error.cause or error})."
            lost = Receipt(key=order.key, outcome=Outcome.UNKNOWN, sentence=sentence, reason="lost")
            return lost.model_copy(update={"attempt": order.attempt})
        return receipt

    # --- after acting -------------------------------------------------------------------------

    async def _verify(self, found: Examination, plan: Outline, done: Sequence[OutlinedAction]) -> Closing:
        """Measure whether it helped; where it did not, undo what was done and tell people."""
        closing = await self._look_until_it_holds(plan)
        if closing.ending is Ending.MITIGATED:
            return closing
        if closing.ending is not Ending.STOPPED:  # to undo is to act, and nothing more is to be done
            closing = await self._undo(found, plan, done, closing)
        await self._otherwise(found, plan)
        return closing

    async def _look_until_it_holds(self, plan: Outline) -> Closing:
        """Measure until every check passes, which closes the case, or until the time is over."""
        begun = workflow.now()
        pause = plan.verify_every
        look = 0
        while True:
            look += 1
            final = workflow.now() - begun + pause > plan.verify_within
            asked = Verification(
                remediation=self._remediation, plan_digest=plan.digest, look=look, final=final
            )
            measured = await _ask(CasePort.verify, asked)
            self._closed = measured.closed
            if measured.closed is not None:
                return measured.closed
            if final:
                return ending_of_verification(self._remediation, measured.results)
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._stopping is not None, timeout=pause)
            if self._stopping is not None:
                said = (
                    f"{self._stopping.sentence} What was done stays, and nobody knows yet whether it helped."
                )
                return self._close_as(Ending.STOPPED, STOPPED_BY_PERSON, said)

    async def _recover(self, found: Examination, plan: Outline, number: int, receipt: Receipt) -> Closing:
        """An action was not ok: undo what was done before it where that is safe, and tell people."""
        closing = ending_of_receipt(self._remediation, receipt, plan.actions[number].name)
        if receipt.outcome in {Outcome.FAILED, Outcome.NOT_SENT}:
            closing = await self._undo(found, plan, plan.actions[:number], closing)
        await self._otherwise(found, plan)
        return closing

    async def _end_before(self, found: Examination, plan: Outline, number: int, closing: Closing) -> Closing:
        """A gate, a check or a brake ended it before this step: see to what was done until then."""
        done = plan.actions[:number]
        if not done:
            return closing
        if closing.ending is Ending.NOT_NEEDED:
            # What was done may be what helped: to undo it unseen could break the target again.
            return await self._verify(found, plan, done)
        closing = ending_between_steps(closing, [action.name for action in done])
        if closing.ending is not Ending.STOPPED:  # to undo is to act, and nothing more is to be done
            closing = await self._undo(found, plan, done, closing)
        await self._otherwise(found, plan)
        return closing

    async def _undo(
        self, found: Examination, plan: Outline, done: Sequence[OutlinedAction], closing: Closing
    ) -> Closing:
        """Take back what can be taken back, last first, and return what the ending is then.

        To undo is an action like any other.  Where nobody knows what came of it, nothing more is done.
        """
        taken_back: list[tuple[str, Receipt | None]] = []
        for action in reversed(done):
            receipt = None
            if action.undo is not None:
                receipt = await self._carry_out(found, plan, action.undo, Part.UNDO)
            taken_back.append((action.undo.name if action.undo else action.name, receipt))
            if receipt is not None and receipt.outcome is Outcome.UNKNOWN:
                break
        return ending_after_undo(closing, taken_back)

    async def _otherwise(self, found: Examination, plan: Outline) -> None:
        """Carry out what is to happen when it did not work.  One that fails does not stop the next."""
        for action in plan.otherwise:
            await self._carry_out(found, plan, action, Part.OTHERWISE)

    def _close_as(self, ending: Ending, reason: str, sentence: str) -> Closing:
        return Closing(remediation=self._remediation, ending=ending, reason=reason, sentence=sentence)


async def _ask(method: Callable[[Any, A], Awaitable[R]], argument: A) -> R:
    """Call one method of the case's port, as a local activity: short, repeatable, and cheap."""
    return await workflow.execute_local_activity_method(
        method, argument, start_to_close_timeout=CASE_TIMEOUT, retry_policy=_KEEP_TRYING
    )


def _doubt_about(order: ActionOrder, action: OutlinedAction, receipt: Receipt) -> Doubt:
    return Doubt(
        key=order.key,
        part=order.part.value,
        step=order.step,
        name=action.name,
        uses=action.uses,
        attempt=receipt.attempt,
        evidence=receipt.sentence,
    )


def _order_again(order: ActionOrder, verdicts: tuple[SignedDecision, ...]) -> ActionOrder:
    """Return the order to do it once more, under a key of its own: it is meant to happen again."""
    iteration = order.iteration + 1
    key = action_key(order.remediation, order.part, order.step, order.plan_digest, iteration)
    return order.model_copy(update={"iteration": iteration, "key": key, "attempt": 1, "verdicts": verdicts})
