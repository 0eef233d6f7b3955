"""The feeder: what is in the inbox reaches Temporal, however long Temporal is away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.ledger import inbox
from activities.ledger.backlog import backlog
from bot import feeder as feeder_module
from bot.feeder import Feeder
from bot.temporal_client import DATA_CONVERTER
from runbooks.engine.remediation import TASK_QUEUE
from runbooks.model.alert import AlertStatus, Arrival
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Order, Turn
from tests.components import require, wait_until
from tests.way_in import WayIn, alert, notification, runbook


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses that a test need not wait for."""
    monkeypatch.setattr(feeder_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(feeder_module, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(feeder_module, "LOOK_EVERY", 0.02)


def rpc_error(status: RPCStatusCode, words: str = "no") -> RPCError:
    return RPCError(words, status, b"")


@dataclass
class FakeTemporal:
    """Temporal's client as far as the feeder uses it.

    Attributes:
        fail: raises what a call should fail with.
        open: the workflows in progress, with the signals that each got.
    """

    fail: Callable[[str], None] = lambda _: None
    open: dict[str, list[Arrival]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    async def start_workflow(self, name: str, turn: Turn, **options: Any) -> None:
        workflow_id = options["id"]
        assert name == "Remediation"
        assert options["task_queue"] == TASK_QUEUE
        assert options["id_conflict_policy"] is WorkflowIDConflictPolicy.FAIL
        await asyncio.sleep(0)
        if workflow_id in self.open:
            raise WorkflowAlreadyStartedError(workflow_id, name)
        self.calls.append(workflow_id)
        self.fail(workflow_id)
        self.orders.append(turn.order)
        self.open[workflow_id] = list(turn.arrivals)

    def get_workflow_handle(self, workflow_id: str) -> FakeHandle:
        return FakeHandle(self, workflow_id)

    @property
    def entries(self) -> list[str]:
        """Ids of all entries that were accepted."""
        return [arrival.entry for arrivals in self.open.values() for arrival in arrivals]


@dataclass
class FakeHandle:
    temporal: FakeTemporal
    workflow_id: str

    async def signal(self, name: str, said: Any) -> None:
        arrivals = {"arrive": lambda: [said], "arrive_all": lambda: list(said)}[name]()
        self.temporal.calls.append(self.workflow_id)
        self.temporal.fail(self.workflow_id)
        if self.workflow_id not in self.temporal.open:
            raise rpc_error(RPCStatusCode.NOT_FOUND, "workflow not found for ID: x")
        self.temporal.open[self.workflow_id] += arrivals


class Failing:
    """Fails the first calls, each with the next of the errors."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def __call__(self, _: str) -> None:
        if self._errors:
            raise self._errors.pop(0)


class Feeding:
    """A feeder at work, woken by the intake of `way`."""

    def __init__(self, way: WayIn, temporal: FakeTemporal, **more: Any) -> None:
        self.way = way
        self.failures: list[str] = []
        self.feeder = Feeder(way.ledger, temporal, on_failure=self.failures.append, **more)
        way.intake.wake = self.feeder.wake

    async def __aenter__(self) -> Feeding:
        await self.feeder.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.feeder.stop()

    async def all_done(self) -> None:
        """Wait until nothing is left in the inbox."""
        await wait_until(lambda: waiting(self.way) == 0 and self.feeder.held == 0)


def waiting(way: WayIn) -> int:
    return way.ledger.read_now(backlog).entries


async def deliver(way: WayIn, *alerts: dict[str, Any]) -> None:
    async with way.sender() as sender:
        answer = await sender.post(notification(*alerts))
    assert answer.status_code == 200


async def test_starts_one_workflow_for_each_runbook_and_target(way):
    """Its id says which, its order carries the version that matched, and the entry is done."""
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1"), alert(instance="web-2"), alert(instance="web-1", job="b"))
        await feeding.all_done()

    assert {name: len(arrivals) for name, arrivals in temporal.open.items()} == {
        "remediation/host-slow/web-1": 2,
        "remediation/host-slow/web-2": 1,
    }
    assert {order.runbook_digest for order in temporal.orders} == {way.catalog.runbooks["host-slow"].digest}
    assert len(set(temporal.entries)) == 3


async def test_what_waits_for_one_workflow_is_taken_along_at_once(way):
    """In a storm each further alert of a service costs no call of its own."""
    temporal = FakeTemporal()
    await deliver(way, *(alert(instance="web-1", job=f"{n}") for n in range(30)))
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    assert temporal.calls == ["remediation/host-slow/web-1"]
    assert len(set(temporal.entries)) == 30


async def test_several_that_join_are_one_signal(way):
    """Nor does each further alert of a service whose remediation is in progress."""
    temporal = FakeTemporal()
    temporal.open["remediation/host-slow/web-1"] = []
    await deliver(way, *(alert(instance="web-1", job=f"{n}") for n in range(30)))
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    assert temporal.calls == ["remediation/host-slow/web-1"]
    assert len(set(temporal.entries)) == 30


async def test_a_resolved_alert_keeps_its_place_among_those_that_fire(way):
    """What a workflow is told comes in the order in which it was received."""
    temporal = FakeTemporal()
    told = [("firing", "a"), ("firing", "b"), ("resolved", "a"), ("firing", "a")]
    for status, job in told:
        await deliver(way, alert(instance="web-1", job=job, status=status))
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    [arrivals] = temporal.open.values()
    assert [arrival.status.value for arrival in arrivals] == [status for status, _ in told]


async def test_one_service_does_not_wait_behind_the_storm_of_another(way, monkeypatch):
    """Workflows take turns: the one that came last is next as soon as each other had one."""
    monkeypatch.setattr(feeder_module, "TOGETHER", 5)
    temporal = FakeTemporal()
    await deliver(way, *(alert(instance="web-1", job=f"{n}") for n in range(40)))
    await deliver(way, alert(instance="web-2"))
    async with Feeding(way, temporal, feeders=1) as feeding:
        await feeding.all_done()

    assert temporal.calls.index("remediation/host-slow/web-2") == 1
    assert len(set(temporal.entries)) == 41


async def test_versions_of_a_runbook_are_not_mixed(way):
    """An alert is examined by the version that matched it, unless it joins."""
    temporal = FakeTemporal()
    await deliver(way, alert(instance="web-1", job="a"))
    way.write_runbook("host-slow", runbook("host-slow", "HostSlow").replace("summary: ", "summary: New. "))
    way.intake.catalog = way.catalog.reloaded()
    await deliver(way, alert(instance="web-1", job="b"))
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    assert [order.runbook_digest for order in temporal.orders] == [way.catalog.runbooks["host-slow"].digest]
    assert len(temporal.calls) == 2


AWAY = {
    "unavailable": rpc_error(RPCStatusCode.UNAVAILABLE),
    "too slow": rpc_error(RPCStatusCode.DEADLINE_EXCEEDED),
    "overloaded": rpc_error(RPCStatusCode.RESOURCE_EXHAUSTED),
    "never connected": RuntimeError("Failed client connect: connection refused"),
}


@pytest.mark.parametrize("error", AWAY.values(), ids=AWAY.keys())
async def test_tries_until_temporal_is_back(way, error):
    """However often it fails, the entry arrives, once, and each failure was counted."""
    temporal = FakeTemporal(Failing(*[error] * 20))
    async with Feeding(way, temporal, feeders=2) as feeding:
        await deliver(way, *(alert(instance=f"web-{number}") for number in range(5)))
        await feeding.all_done()

    assert len(temporal.entries) == len(set(temporal.entries)) == 5
    assert feeding.failures == ["away"] * 20


async def test_gives_up_a_call_that_hangs(way, monkeypatch):
    """A call has a deadline of its own, and is made again."""
    monkeypatch.setattr(feeder_module, "CALL_DEADLINE", 0.02)
    temporal = FakeTemporal()
    hung = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        temporal.start_workflow = FakeTemporal.start_workflow.__get__(temporal)
        hung.set()
        await asyncio.Event().wait()

    temporal.start_workflow = hang
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1"))
        await feeding.all_done()

    assert hung.is_set()
    assert len(temporal.entries) == 1


async def test_a_refused_entry_does_not_keep_its_lane_from_others(way, monkeypatch):
    """What Temporal says no to is tried again later; the next target in the lane is not kept waiting."""
    monkeypatch.setattr(feeder_module, "REFUSED_PAUSE", 0.05)
    refusals = 3

    def refuse(workflow_id: str) -> None:
        nonlocal refusals
        if workflow_id.endswith("/poison") and refusals:
            refusals -= 1
            raise rpc_error(RPCStatusCode.INVALID_ARGUMENT)

    temporal = FakeTemporal(refuse)
    async with Feeding(way, temporal, feeders=1) as feeding:
        await deliver(way, alert(instance="poison"), alert(instance="web-1"))
        await wait_until(lambda: "remediation/host-slow/web-1" in temporal.open)
        assert "remediation/host-slow/poison" not in temporal.open
        await feeding.all_done()

    assert feeding.failures == ["refused"] * 3
    assert len(temporal.entries) == 2


async def test_an_unforeseen_error_stops_nothing(way, monkeypatch):
    """Whatever is raised, the lane goes on and the entry is kept."""
    monkeypatch.setattr(feeder_module, "REFUSED_PAUSE", 0.01)
    temporal = FakeTemporal(Failing(TypeError("cannot be encoded")))
    async with Feeding(way, temporal, feeders=1) as feeding:
        await deliver(way, alert(instance="web-1"))
        await feeding.all_done()

    assert len(temporal.entries) == 1


@pytest.mark.parametrize("step", ["claim", "done"])
async def test_an_odd_row_does_not_end_the_look_into_the_inbox(way, monkeypatch, step):
    """A later version may have written it.  The process would feed nothing more, and look alive."""
    real, odd = getattr(inbox, step), Failing(ValueError("an extra column"))

    def once(*args: Any, **more: Any) -> Any:
        odd("")
        return real(*args, **more)

    monkeypatch.setattr(inbox, step, once)
    way.intake.wake = lambda _: None
    await deliver(way, alert(instance="web-1"))
    temporal = FakeTemporal()
    feeder = Feeder(way.ledger, temporal, on_failure=lambda _: None)
    await feeder.start()
    await wait_until(lambda: waiting(way) == 0 and feeder.held == 0)
    await feeder.stop()

    assert len(temporal.entries) == 1


async def test_tells_a_workflow_in_progress_that_its_alert_is_resolved(way):
    """Resolved joins, after the firing one before it, and starts nothing."""
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1"))
        await deliver(way, alert(instance="web-1", status="resolved"))
        await feeding.all_done()

    [arrivals] = temporal.open.values()
    assert [arrival.status for arrival in arrivals] == [AlertStatus.FIRING, AlertStatus.RESOLVED]
    assert len(temporal.orders) == 1


async def test_explains_a_resolved_alert_when_nothing_was_in_progress(way):
    """Resolved first, or for something that ended long ago: explained, and no workflow is started."""
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1", status="resolved"))
        await feeding.all_done()

    assert temporal.open == {}
    [explained] = way.records(RecordKind.ALERT_EXPLAINED)
    assert "nothing was in progress" in explained.data["sentence"]


async def test_a_missing_namespace_is_not_a_missing_workflow(way, monkeypatch):
    """Temporal says NOT_FOUND for both, and only one of them means that nothing was in progress."""
    monkeypatch.setattr(feeder_module, "REFUSED_PAUSE", 0.01)
    temporal = FakeTemporal(Failing(rpc_error(RPCStatusCode.NOT_FOUND, "Namespace paramedic is not found.")))
    temporal.open["remediation/host-slow/web-1"] = []
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1", status="resolved"))
        await feeding.all_done()

    assert way.records(RecordKind.ALERT_EXPLAINED) == []
    assert len(temporal.entries) == 1


async def test_begins_with_what_an_earlier_process_left(way):
    """Accepted before the crash, or while no feeder ran: found in the inbox."""
    await deliver(way, *(alert(instance=f"web-{number}") for number in range(450)))
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    assert len(temporal.entries) == len(set(temporal.entries)) == 450


async def test_takes_what_another_process_put_into_the_inbox(way):
    """A request from the command line wakes nobody and is found all the same."""
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        way.intake.wake = lambda _: None
        await deliver(way, alert(instance="web-1"))
        await feeding.all_done()

    assert len(temporal.entries) == 1


async def test_what_does_not_fit_into_memory_waits_in_the_inbox(way, monkeypatch):
    """The memory is limited, the inbox is not, and nobody waits for either."""
    monkeypatch.setattr(feeder_module, "HELD_LIMIT", 5)
    monkeypatch.setattr(feeder_module, "CLAIM_LIMIT", 3)
    monkeypatch.setattr(feeder_module, "HOLD", timedelta(milliseconds=50))
    away = True

    def fail(_: str) -> None:
        if away:
            raise rpc_error(RPCStatusCode.UNAVAILABLE)

    temporal = FakeTemporal(fail)
    async with Feeding(way, temporal) as feeding:
        await deliver(way, *(alert(instance=f"web-{number}") for number in range(40)))
        assert feeding.feeder.held == 5
        away = False
        await feeding.all_done()

    assert set(temporal.entries) == {record.data["entry"] for record in way.records()}


async def test_stops_while_temporal_is_away_and_loses_nothing(way, monkeypatch):
    """What was not accepted is still in the inbox, for the next process."""
    monkeypatch.setattr(feeder_module, "HOLD", timedelta(milliseconds=50))
    absent = FakeTemporal(Failing(*[rpc_error(RPCStatusCode.UNAVAILABLE)] * 10_000))
    async with Feeding(way, absent):
        await deliver(way, *(alert(instance=f"web-{number}") for number in range(20)))
        await wait_until(lambda: len(absent.calls) > 20)
    assert waiting(way) == 20

    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await feeding.all_done()

    assert len(set(temporal.entries)) == 20


async def test_never_starts_anything_without_a_target(way):
    """An entry without a target, whoever put it there, is explained."""
    temporal = FakeTemporal()
    async with Feeding(way, temporal) as feeding:
        await deliver(way, alert(instance="web-1"))
        await feeding.all_done()
        [entry] = way.ledger.read_now(lambda c: feeder_module.inbox.entries(c, temporal.entries))
        feeding.feeder.wake([entry.model_copy(update={"target": "", "entry": "another"})])
        await wait_until(lambda: len(way.records(RecordKind.ALERT_EXPLAINED)) == 1)

    assert len(temporal.calls) == 1
    assert way.records(RecordKind.ALERT_EXPLAINED)[0].data["reason"] == "target_not_rendered"


async def test_run_ends_when_it_is_cancelled(way):
    """A process may run it as one task."""
    temporal = FakeTemporal()
    feeder = Feeder(way.ledger, temporal)
    way.intake.wake = feeder.wake
    running = asyncio.create_task(feeder.run())
    await deliver(way, alert(instance="web-1"))
    await wait_until(lambda: waiting(way) == 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert len(temporal.entries) == 1


@workflow.defn(name="Remediation")
class Collecting:
    """Stands in for the engine: keeps what arrives, until it is told that it is resolved."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []

    @workflow.run
    async def run(self, turn: Turn) -> list[str]:
        """Return the entries that arrived, resolved being the last."""
        self._arrivals = [*turn.arrivals, *self._arrivals]
        await workflow.wait_condition(
            lambda: any(each.status is AlertStatus.RESOLVED for each in self._arrivals)
        )
        return [turn.order.runbook, *(each.entry for each in self._arrivals)]

    @workflow.signal
    def arrive(self, arrival: Arrival) -> None:
        """Take one in."""
        self._arrivals.append(arrival)

    @workflow.signal
    def arrive_all(self, arrivals: tuple[Arrival, ...]) -> None:
        """Take in what the feeder found waiting together."""
        self._arrivals += arrivals


@pytest.mark.slow
async def test_feeds_a_real_server(way):
    """Start, join and resolve, with the server that the product ships with."""
    require("temporal")
    program = str(Path(sys.executable).with_name("temporal"))
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program,
        dev_server_startup_timeout=timedelta(seconds=60),
        data_converter=DATA_CONVERTER,
    ) as environment:
        client: Client = environment.client
        worker = Worker(
            client, task_queue=TASK_QUEUE, workflows=[Collecting], workflow_runner=UnsandboxedWorkflowRunner()
        )
        async with worker, Feeding(way, client) as feeding:
            await deliver(way, alert(instance="web-9", status="resolved"))
            await deliver(way, alert(instance="web-1", job="a"))
            await deliver(way, alert(instance="web-1", job="b"), alert(instance="web-1", job="c"))
            await deliver(way, alert(instance="web-1", job="a", status="resolved"))
            await feeding.all_done()
            collecting = client.get_workflow_handle("remediation/host-slow/web-1")
            arrived = await asyncio.wait_for(collecting.result(), 20)

    entries = {
        record.data["entry"]: record.data["target"] for record in way.records(RecordKind.ALERT_RECEIVED)
    }
    assert arrived[0] == "host-slow"
    assert set(arrived[1:]) == {entry for entry, target in entries.items() if target == "web-1"}
    [explained] = way.records(RecordKind.ALERT_EXPLAINED)
    assert entries[explained.data["entry"]] == "web-9"
