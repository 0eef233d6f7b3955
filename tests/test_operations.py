"""What people can ask for, from Slack and from the command line alike."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest

from activities.freeze_file import add_freeze, read_freezes
from activities.ledger import admission as door
from activities.ledger import freezes
from bot.brake import Brake, BrakeError
from bot.operations import RequestError
from runbooks.model.freeze import Freeze
from runbooks.model.record import Entry, RecordKind
from runbooks.model.remediation import CallIn, Order, workflow_id
from runbooks.model.runbook import Autonomy
from tests.braking import frozen_by_file
from tests.records import PLAN
from tests.way_in import WayIn, runbook

ALICE = {"actor": "local:alice", "source": "cli"}


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


# --- runbooks -----------------------------------------------------------------------------------


async def test_lists_what_works_and_what_does_not(way):
    """A refused file stands in the list with what is wrong with it."""
    way.write_runbook("wrong", "runbook: [")
    way.intake.catalog = way.catalog.reloaded()

    works, wrong = await way.operations.list_runbooks()

    assert (works.name, works.autonomy, works.error) == ("host-slow", Autonomy.AUTOMATIC, "")
    assert "HostSlow" in works.summary
    assert (wrong.name, wrong.autonomy) == ("wrong", None)
    assert "wrong.yaml:1" in wrong.error


async def test_a_request_goes_through_the_inbox(way):
    """It is an entry like an alert's, with the name of who asked, on record and handed to the feeder."""
    asked = await way.operations.run("host-slow", {"instance": "web-1"}, **ALICE)

    assert (asked.runbook, asked.target) == ("host-slow", "web-1")
    [entry] = way.woken
    assert (entry.entry, entry.kind, entry.requested_by) == (asked.entry, "request", "local:alice")
    assert entry.alert.name == "HostSlow"
    [record] = way.records(RecordKind.ALERT_RECEIVED)
    assert (record.actor, record.source) == ("local:alice", "cli")


async def test_asking_twice_is_two_requests(way):
    """A person who asks again means it."""
    first = await way.operations.run("host-slow", {"instance": "web-1"}, **ALICE)
    second = await way.operations.run("host-slow", {"instance": "web-1"}, **ALICE)

    assert first.entry != second.entry


async def test_an_unknown_runbook_is_answered_with_the_nearest(way):
    """A misspelt name is no dead end."""
    with pytest.raises(RequestError, match="did you mean host-slow"):
        await way.operations.run("host-slwo", {}, **ALICE)
    with pytest.raises(RequestError, match="there are: host-slow"):
        await way.operations.run("zzz", {}, **ALICE)


async def test_a_wrong_runbook_is_answered_with_what_is_wrong(way):
    """A file that was refused is known by name."""
    way.write_runbook("wrong", "runbook: [")
    way.intake.catalog = way.catalog.reloaded()

    with pytest.raises(RequestError, match=r"wrong\.yaml:1"):
        await way.operations.run("wrong", {}, **ALICE)


async def test_labels_that_name_no_target_are_refused_at_once(way):
    """A person is told what is missing, and nothing is begun."""
    with pytest.raises(RequestError, match="instance"):
        await way.operations.run("host-slow", {"host": "web-1"}, **ALICE)

    assert way.records() == []


# --- status -------------------------------------------------------------------------------------


async def test_shows_what_is_running_and_which_gates_wait(way):
    """Each remediation with its phase, each open gate with who may answer and until when."""
    asked = await way.operations.run("host-slow", {"instance": "web-1"}, **ALICE)
    admitted = await admit(way, asked.entry)
    await way.ledger.append(plan(admitted), gate(admitted))
    status = await way.operations.status()

    [line], [open_gate] = status.running, status.gates
    assert (line.remediation, line.runbook, line.target) == (admitted, "host-slow", "web-1")
    assert line.since <= datetime.now(UTC)
    assert (open_gate.remediation, open_gate.approvers) == (admitted, ("sre-oncall",))
    assert open_gate.expires_at == datetime(2026, 3, 14, 3, 30, tzinfo=UTC)
    assert status.frozen == ()


async def test_nothing_going_on_is_said_too(way):
    """An empty status is a status."""
    status = await way.operations.status()

    assert (status.frozen, status.running, status.gates) == ((), (), ())


async def admit(way: WayIn, entry: str) -> str:
    """Admit the remediation that an entry asks for, as the engine would."""
    book = way.catalog.runbooks["host-slow"]
    order = Order(runbook=book.name, runbook_digest=book.digest, target="web-1")
    call = CallIn(
        order=order, workflow_id=workflow_id("host-slow", "web-1"), first_run="run-1", entries=(entry,)
    )
    at = datetime.now(UTC)
    admission = await way.ledger.write(lambda t: door.admit(t, call, book, at=at))
    return admission.remediation


def plan(remediation: str) -> Entry:
    told = {"digest": PLAN.digest, "plan": PLAN.model_dump(mode="json"), "observe": False}
    return entry(remediation, RecordKind.PLAN, told)


def gate(remediation: str) -> Entry:
    told = {
        "gate": f"{remediation}/gate-1",
        "approvers": ["sre-oncall"],
        "need": 1,
        "opens_at": "2026-03-14T03:15:00Z",
        "expires_at": "2026-03-14T03:30:00Z",
        "plan_digest": "ab" * 32,
    }
    return entry(remediation, RecordKind.GATE_ASKED, told)


def entry(remediation: str, kind: RecordKind, data: dict[str, object]) -> Entry:
    event = f"{remediation}/{kind}"
    return Entry(event_id=event, stream=remediation, kind=kind, actor="bot", source="test", data=data)


# --- the brake ----------------------------------------------------------------------------------


async def test_a_freeze_stands_in_the_file_and_in_the_ledger(way):
    """Both say the same, and it is on record."""
    assert await way.operations.freeze("*", "migration", **ALICE) is True

    assert frozen_by_file(way.freeze_file) == "local:alice froze everything: migration"
    assert way.ledger.read_now(freezes.current) == list(read_freezes(way.freeze_file))
    assert [each.scope for each in (await way.operations.status()).frozen] == ["*"]
    assert len(way.records(RecordKind.FREEZE)) == 1


async def test_a_thaw_takes_both_away(way):
    """After it everybody may act, and that is on record."""
    await way.operations.freeze("target=web-1", "migration", **ALICE)

    assert await way.operations.thaw("target=web-1", "done", **ALICE) is True
    assert await way.operations.thaw("target=web-1", "done", **ALICE) is False
    assert frozen_by_file(way.freeze_file, target="web-1") is None
    assert (await way.operations.status()).frozen == ()
    assert len(way.records(RecordKind.THAW)) == 1


@pytest.mark.slow
async def test_freezing_works_while_the_ledger_is_locked(way):
    """The file stands at once; the record follows when the ledger is back."""
    lock = sqlite3.connect(way.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    recorded = await way.operations.freeze("*", "migration", **ALICE)
    lock.execute("ROLLBACK")
    lock.close()

    assert recorded is False
    assert frozen_by_file(way.freeze_file)
    assert way.records(RecordKind.FREEZE) == []
    await way.operations.brake.settle()
    await way.operations.brake.settle()
    [record] = way.records(RecordKind.FREEZE)
    assert (record.actor, record.data["reason"]) == ("local:alice", "migration")


async def test_freezing_works_without_a_ledger(way):
    """From the command line, when the database cannot even be opened."""
    brake = Brake(None, freeze_file=way.freeze_file)

    assert await brake.freeze("*", "migration", **ALICE) is False
    assert frozen_by_file(way.freeze_file)


async def test_a_thaw_that_cannot_be_recorded_leaves_the_freeze(way):
    """Nobody acts again before it is on record that they may."""
    await way.operations.freeze("*", "migration", **ALICE)

    with pytest.raises(BrakeError, match="still frozen"):
        await Brake(None, freeze_file=way.freeze_file).thaw("*", "done", **ALICE)
    assert frozen_by_file(way.freeze_file) == "local:alice froze everything: migration"


async def test_a_file_made_by_hand_is_recorded_and_can_be_thawed(way):
    """`touch FREEZE` is a freeze like any other."""
    way.freeze_file.touch()
    await way.operations.brake.settle()

    [frozen] = (await way.operations.status()).frozen
    assert (frozen.scope, frozen.actor) == ("*", "somebody")
    assert await way.operations.thaw("*", "done", **ALICE) is True
    assert not way.freeze_file.exists()


async def test_settling_does_not_bring_back_what_was_thawed(way):
    """A thaw is final: what is not in the file any more is not recorded again."""
    await way.operations.freeze("*", "migration", **ALICE)
    await way.operations.thaw("*", "done", **ALICE)
    await way.operations.brake.settle()

    assert way.ledger.read_now(freezes.current) == []


async def test_says_when_it_could_not_freeze_at_all(way):
    """Neither file nor ledger: the person must know that nothing is frozen."""
    way.freeze_file.mkdir()
    (way.freeze_file / "something").touch()

    with pytest.raises(BrakeError, match="NOT frozen"):
        await Brake(None, freeze_file=way.freeze_file).freeze("*", "migration", **ALICE)


@pytest.mark.parametrize("scope", ["", "host=web-1", "runbook=", "everything"])
async def test_refuses_a_scope_that_does_not_exist(way, scope):
    """A misspelt scope must not look like a brake."""
    with pytest.raises(BrakeError, match="runbook=NAME"):
        await way.operations.freeze(scope, "migration", **ALICE)
    with pytest.raises(BrakeError, match="runbook=NAME"):
        await way.operations.thaw(scope, "done", **ALICE)
    assert not way.freeze_file.exists()


async def test_shows_a_freeze_that_only_the_file_knows(way):
    """Status tells of every brake, wherever it stands."""
    at = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)
    add_freeze(way.freeze_file, Freeze(scope="runbook=x", actor="local:bob", reason="test", at=at))

    assert [each.scope for each in (await way.operations.status()).frozen] == ["runbook=x"]


def test_the_catalog_in_force_is_the_intakes(way):
    """A reload is seen by requests too: there is one place that holds the catalog."""
    way.write_runbook("new", runbook("new", "New"))
    way.intake.catalog = way.catalog.reloaded()

    assert way.operations.find("new").name == "new"
