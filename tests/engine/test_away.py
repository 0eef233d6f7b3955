"""The worker is away while time passes at a gate: what it finds when it is back comes all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from bot.temporal_client import DATA_CONVERTER
from bot.temporal_server import TemporalServer
from runbooks.engine.remediation import Remediation
from runbooks.model.decision import Principal
from runbooks.model.plan import GateTerms, Link
from runbooks.model.remediation import Ending
from runbooks.ports.case import Escalation
from tests.components import free_port
from tests.engine.house import House, answer, plan
from tests.engine.ward import until

pytestmark = pytest.mark.slow

IN_TURN = GateTerms(
    approvers=("oncall",),
    need=1,
    within=timedelta(seconds=1),
    otherwise=(Link(approvers=("chiefs",), within=timedelta(hours=1)),),
)
CHIEF = Principal(key="slack:T/CHIEF", name="Chief", groups=("chiefs",))
NAMESPACE = "away"


@pytest.fixture
async def client(tmp_path) -> AsyncIterator[Client]:
    """A client of a whole server: the one that skips time takes no update while there is no worker."""
    server = TemporalServer(tmp_path, port=free_port(), namespace=NAMESPACE)
    await server.start()
    yield await Client.connect(server.address, namespace=NAMESPACE, data_converter=DATA_CONVERTER)
    await server.stop()


async def test_whoever_is_due_is_asked_before_they_are_heard(client):
    """
    Their turn came, and they answered, while nobody worked.

    Both stand in one task of the workflow then, and the answer comes first: it counts all the same.
    """
    house = House(client, plan().model_copy(update={"gate": IN_TURN}))
    async with house.worker(cache=0):
        run = await house.begin()
        request = await house.case.asked.get()
        await happened(run, EventType.EVENT_TYPE_TIMER_STARTED)
    await happened(run, EventType.EVENT_TYPE_TIMER_FIRED)
    said = answer(request, principal=CHIEF)
    told = asyncio.create_task(run.execute_update(Remediation.decide, said, id=said.decision.id))
    await arrived(client, run, said.decision.id)
    async with house.worker():
        assert (await told).objection is None
        closing = await run.result()

    assert [each.approvers for each in escalations(house)] == [("chiefs",)]
    assert closing.ending is Ending.MITIGATED


async def happened(run: WorkflowHandle, what: EventType.ValueType) -> None:
    """Wait until the server has noted that in the workflow's history."""

    async def noted() -> bool:
        return what in [each.event_type async for each in run.fetch_history_events()]

    await until(noted)


async def arrived(client: Client, run: WorkflowHandle, update: str) -> None:
    """Wait until the server has an update, which nobody has taken from it yet."""
    asked = PollWorkflowExecutionUpdateRequest(namespace=NAMESPACE, update_ref=UpdateRef(update_id=update))
    asked.update_ref.workflow_execution.workflow_id = run.id

    async def known() -> bool:
        try:
            await client.workflow_service.poll_workflow_execution_update(asked)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    await until(known)


def escalations(house: House) -> list[Escalation]:
    return [house.case.escalations.get_nowait() for _ in range(house.case.escalations.qsize())]
