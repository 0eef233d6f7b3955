"""A house for one remediation: a fake case, fake actions, and the real engine on a real Temporal test server."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from bot.sandbox import workflow_runner
from bot.temporal_client import DATA_CONVERTER
from runbooks.engine.remediation import TASK_QUEUE, Remediation
from runbooks.model.action import ActionClass, Effect, Outcome, Receipt
from runbooks.model.alert import AlertStatus, Arrival
from runbooks.model.decision import Answer, Decision, Principal, SignedDecision
from runbooks.model.plan import GateTerms, Plan, PlannedAction, PlannedCheck
from runbooks.model.remediation import CallIn, Closing, Examination, Order, Turn, Withheld
from runbooks.model.verdict import CheckResult, Verdict
from runbooks.policy.endings import ending_of_verification
from runbooks.ports.case import (
    ActionOrder,
    CasePort,
    Escalation,
    GateRequest,
    GateSettlement,
    Hearing,
    Joining,
    Judgement,
    Measurements,
    Reexamination,
    SecondLook,
    Verification,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REMEDIATION = "R-7F3K2Q"


def check_result(verdict: Verdict = Verdict.PASSED, name: str = "It is broken") -> CheckResult:
    return CheckResult(id="broken", name=name, verdict=verdict, sentence=f"measured {verdict}", at=NOW)


def action(
    step: str = "restart",
    *,
    undo: PlannedAction | None = None,
    kind: ActionClass = ActionClass.KEYED,
    attempts: int = 3,
    uses: str = "test.act",
) -> PlannedAction:
    return PlannedAction(
        id=step, name=step, uses=uses, effect=Effect.WRITE, kind=kind, arguments={"step": step}, undo=undo,
        timeout=timedelta(seconds=5), attempts=attempts,
    )  # fmt: skip


def plan(*actions: PlannedAction, gate: bool = False, otherwise: tuple[PlannedAction, ...] = ()) -> Plan:
    verify = PlannedCheck(
        id="healthy", name="It is healthy", uses="test.look", arguments={}, within=timedelta(minutes=5),
        every=timedelta(seconds=2),
    )  # fmt: skip
    return Plan(
        runbook="test", runbook_digest="d", summary="s", target="web-1", actions=actions or (action(),), verify=(verify,),
        gate=GateTerms(approvers=("oncall",), need=1, within=timedelta(minutes=15)) if gate else None,
        otherwise=otherwise,
    )  # fmt: skip


class FakeCase(CasePort):
    """Answers from what the test laid out, and remembers what it was asked."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.before: Sequence[CheckResult] = (check_result(),)
        self.again: list[Reexamination] = []
        self.verifications: list[Verdict] = []
        self.withheld: Withheld | None = None
        self.withheld_once: Withheld | None = None
        self.looked = asyncio.Event()
        self.verifying = asyncio.Event()
        self.verifying.set()
        self.observe = False
        self.nothing_new = False
        self.requested_by = ""
        self.objection: str | None = None
        self.judging = asyncio.Event()
        self.judging.set()
        self.examining = asyncio.Event()
        self.examining.set()
        self.called = asyncio.Event()
        self.asked: asyncio.Queue[GateRequest] = asyncio.Queue()
        self.calls: list[CallIn] = []
        self.joined: list[str] = []
        self.joins: asyncio.Queue[Joining] = asyncio.Queue()
        self.judged: list[SignedDecision] = []
        self.refused: list[Hearing] = []
        self.escalations: asyncio.Queue[Escalation] = asyncio.Queue()
        self.settled: list[GateSettlement] = []
        self.looks: list[Verification] = []
        self.closed: list[Closing] = []

    @activity.defn(name="examine")
    async def examine(self, call: CallIn) -> Examination:
        self.calls.append(call)
        self.called.set()
        await self.examining.wait()
        if self.nothing_new:
            return Examination(remediation="")
        withheld, self.withheld_once = self.withheld_once or self.withheld, None
        return Examination(
            remediation=REMEDIATION, fencing=1, withheld=withheld, checks=tuple(self.before),
            plan=self.plan.outline(), observe=self.observe, requested_by=self.requested_by,
        )  # fmt: skip

    @activity.defn(name="examine_again")
    async def examine_again(self, look: SecondLook) -> Reexamination:
        return self.again.pop(0) if self.again else Reexamination(checks=(check_result(),))

    @activity.defn(name="join")
    async def join(self, joining: Joining) -> None:
        self.joined += joining.entries
        self.joins.put_nowait(joining)

    @activity.defn(name="open_gate")
    async def open_gate(self, request: GateRequest) -> None:
        self.asked.put_nowait(request)

    @activity.defn(name="escalate_gate")
    async def escalate_gate(self, escalation: Escalation) -> None:
        self.escalations.put_nowait(escalation)

    @activity.defn(name="judge_decision")
    async def judge_decision(self, hearing: Hearing) -> Judgement:
        await self.judging.wait()
        if hearing.objection is not None:
            self.refused.append(hearing)
            return Judgement(objection=hearing.objection.sentence)
        self.judged.append(hearing.signed)
        return Judgement(objection=self.objection)

    @activity.defn(name="close_gate")
    async def close_gate(self, settlement: GateSettlement) -> None:
        self.settled.append(settlement)

    @activity.defn(name="verify")
    async def verify(self, verification: Verification) -> Measurements:
        self.looks.append(verification)
        self.looked.set()
        await self.verifying.wait()
        verdict = self.verifications.pop(0) if self.verifications else Verdict.PASSED
        results = (check_result(verdict, "It is healthy"),)
        if verdict is not Verdict.PASSED:
            return Measurements(results=results)
        self.closed.append(ending_of_verification(verification.remediation, results))
        return Measurements(results=results, closed=self.closed[-1])

    @activity.defn(name="close")
    async def close(self, closing: Closing) -> None:
        self.closed.append(closing)


class FakeActions:
    """One activity type that answers with the receipts that the test laid out, by step."""

    def __init__(self) -> None:
        self.orders: list[ActionOrder] = []
        self.receipts: dict[str, list[Outcome | str]] = {}

    @property
    def done(self) -> list[str]:
        return [order.step for order in self.orders]

    @activity.defn(name="test.act")
    async def act(self, order: ActionOrder) -> Receipt:
        self.orders.append(order)
        laid_out = self.receipts.get(order.step) or [Outcome.OK]
        said = laid_out.pop(0)
        if said == "dies":
            raise ApplicationError("the worker is gone")
        outcome, _, reason = said.partition(":")
        return Receipt(
            key=order.key,
            outcome=Outcome(outcome),
            sentence="so it went",
            reason=reason,
            attempt=order.attempt,
        )


class House:
    """Everything that one engine test needs."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self.case = FakeCase(plan)
        self.actions = FakeActions()
        self._client = client
        self._queue = f"{TASK_QUEUE}-{uuid.uuid4()}"

    @contextlib.asynccontextmanager
    async def running(
        self, *, start: bool = True, cache: int = 1000, task_timeout: timedelta | None = None
    ) -> AsyncIterator[WorkflowHandle]:
        """A worker, and a workflow that it carries out."""
        async with self.worker(cache):
            yield await self.begin(start=start, task_timeout=task_timeout)

    def worker(self, cache: int = 1000) -> Worker:
        """One worker; it begins and ends as a context does."""
        case = self.case
        activities: list[Callable] = [
            case.examine, case.examine_again, case.join, case.open_gate, case.escalate_gate, case.judge_decision, case.close_gate,
            case.verify, case.close, self.actions.act,
        ]  # fmt: skip
        return Worker(
            self._client, task_queue=self._queue, workflows=[Remediation], activities=activities,
            workflow_runner=workflow_runner(), max_cached_workflows=cache,
        )  # fmt: skip

    async def begin(self, *, start: bool = True, task_timeout: timedelta | None = None) -> WorkflowHandle:
        """Start a workflow, for whatever worker there will be."""
        order = Order(runbook="test", runbook_digest="d", target="web-1")
        turn = Turn(order=order, arrivals=(arrival("e1"),) if start else ())
        return await self._client.start_workflow(
            "Remediation",
            arg=turn,
            id=f"remediation/{uuid.uuid4()}",
            task_queue=self._queue,
            result_type=Closing,
            task_timeout=task_timeout,
        )


def arrival(entry: str, status: AlertStatus = AlertStatus.FIRING) -> Arrival:
    return Arrival(entry=entry, status=status)


def answer(
    request: GateRequest, person: str = "slack:T/U1", *, says: Answer = Answer.APPROVED, **changes
) -> SignedDecision:
    decision = Decision(
        id=f"click-{uuid.uuid4()}", gate=request.gate, remediation=request.remediation, plan_digest=request.plan_digest,
        answer=says, principal=Principal(key=person, name=person[-2:], groups=("oncall",)), via="slack", reason="because",
        about=request.step.key if request.step else "", decided_at=NOW, expires_at=request.expires_at,
    ).model_copy(update=changes)  # fmt: skip
    return SignedDecision(decision=decision, key_id="k", signature="c2ln")


@contextlib.asynccontextmanager
async def test_server(path: str) -> AsyncIterator[WorkflowEnvironment]:
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=path,
        test_server_startup_timeout=timedelta(seconds=60),
        data_converter=DATA_CONVERTER,
    )
    async with environment:
        yield environment
