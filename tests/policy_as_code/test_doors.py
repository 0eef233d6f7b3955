"""The doors: wherever people act, the policy is asked, and what it said is on record."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from activities.connections import GroupConnection
from bot.answers import Answers
from bot.keys import ListenerKey
from bot.operations import Operations
from bot.policy.doorkeeper import Doorkeeper, LocalMembers, NotPermittedError, StrangerError
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import Question, Verb
from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from tests.braking import frozen_by_file
from tests.policy_as_code.people import PEOPLE
from tests.waiting import FakePeople, FakeVoice, Waiting
from tests.way_in import WayIn

BOB = {"actor": "slack:T1/BOB", "source": "slack:C1"}
ROOT = {"actor": "local:root", "source": "cli"}

LEADS_ONLY = """
@id("leads-act")
@reason("only leads do anything here")
permit (principal in Group::"leads", action, resource);

@id("not-in-production")
@reason("production is left alone")
forbid (principal, action in [Action::"approve", Action::"run"], resource)
when { context.target.environment == "prod" };
"""


class FakeKnower:
    """Knows people by what the tests say of them."""

    async def know(self, person, groups):
        known = next((each for each in PEOPLE.values() if each.key == person), None)
        assert known is not None, person
        return known.model_copy(update={"groups": tuple(set(known.groups) & set(groups))})


def doorkeeper(tmp_path, text="", **more):
    """Return one with the default policy, or the one that is given."""
    file = tmp_path / "policy.cedar"
    file.write_text(text)
    people = {"slack": FakeKnower(), "local": LocalMembers({})}
    return Doorkeeper(PolicyFile(file if text else None), people, **more)


async def until(holds):
    """Wait for what comes by itself."""
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


def operations(way, keeper):
    return Operations(way.ledger, way.intake, freeze_file=way.freeze_file, doorkeeper=keeper)


async def test_a_request_that_is_refused_begins_nothing_and_is_on_record(way, tmp_path):
    """The person hears why and whom to ask; the inbox stays empty; the ruling names its rule."""
    asked = operations(way, doorkeeper(tmp_path, LEADS_ONLY))

    with pytest.raises(NotPermittedError, match="you may not run host-slow on web-1: only leads") as caught:
        await asked.run("host-slow", {"instance": "web-1"}, **BOB)

    assert str(caught.value).endswith("(rule leads-act); ask somebody of leads")
    assert way.woken == []
    (record,) = way.records()
    assert (record.kind, record.actor, record.outcome) == (RecordKind.RULING, "slack:T1/BOB", "refused")
    assert record.data["words"] == "run host-slow on web-1"
    assert record.data["rules"] == ["leads-act"]


async def test_the_environment_comes_from_the_labels_of_the_request(way, tmp_path):
    """What a person says of the target is what the policy judges."""
    text = LEADS_ONLY.replace('principal in Group::"leads"', "principal")
    asked = operations(way, doorkeeper(tmp_path, text))

    await asked.run("host-slow", {"instance": "web-1", "env": "staging"}, **BOB)
    with pytest.raises(NotPermittedError, match="production is left alone"):
        await asked.run("host-slow", {"instance": "web-1", "env": "prod"}, **BOB)


async def test_what_is_permitted_is_on_record_with_its_rule(way, tmp_path):
    """An auditor can say which policy let somebody run a runbook."""
    await operations(way, doorkeeper(tmp_path)).run("host-slow", {"instance": "web-1"}, **BOB)

    (ruling,) = way.records(RecordKind.RULING)
    assert (ruling.outcome, ruling.data["rules"]) == ("allowed", ["workspace-acts"])
    assert ruling.data["policy"] == "the default policy"


async def test_a_freeze_is_lifted_by_the_group_that_is_named_for_it(way, tmp_path):
    """Everybody pulls the brake; to release it is for some."""
    asked = operations(way, doorkeeper(tmp_path, thaw_group="incident-commanders"))
    await asked.freeze("*", "migration", **BOB)

    with pytest.raises(NotPermittedError, match="ask somebody of incident-commanders"):
        await asked.thaw("*", "done", **BOB)
    assert frozen_by_file(way.freeze_file)
    assert await asked.thaw("*", "done", actor="slack:T1/CAROL", source="slack:C1")


async def test_a_freeze_may_be_forbidden(way, tmp_path):
    """Who may pull the brake is the policy's to say, too."""
    with pytest.raises(NotPermittedError, match="only leads"):
        await operations(way, doorkeeper(tmp_path, LEADS_ONLY)).freeze("*", "migration", **BOB)

    assert frozen_by_file(way.freeze_file) is None


async def test_a_target_is_given_back_at_the_command_line(way, tmp_path):
    """As it was before there was a policy."""
    asked = operations(way, doorkeeper(tmp_path))

    assert await asked.release("web-1", "looked", **ROOT) is None
    with pytest.raises(NotPermittedError, match="ask somebody at the command line"):
        await asked.release("web-1", "looked", **BOB)


async def test_an_allowed_freeze_waits_for_no_ledger(way, tmp_path):
    """The brake holds by its file at once; no ruling is written before it."""
    way.ledger.write_now(lambda t: t.tables.exec_driver_sql("PRAGMA busy_timeout = 60000"))  # milliseconds
    lock = sqlite3.connect(way.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        asking = asyncio.create_task(operations(way, doorkeeper(tmp_path)).freeze("*", "fire", **BOB))
        await until(way.freeze_file.exists)
        assert not asking.done()
    finally:
        lock.execute("ROLLBACK")
        lock.close()
        await asking
    assert way.records(RecordKind.RULING) == []


async def test_the_owner_of_a_runbook_in_force_is_known(tmp_path):
    """An answer in Slack names a runbook; whose it is stands in the catalog."""
    text = """
    @id("all") @reason("all may") permit (principal, action, resource);
    @id("theirs") @reason("it is theirs") forbid (principal, action == Action::"run", resource)
    when { resource.owner == "payments" };
    """
    keeper = doorkeeper(tmp_path, text, owner_of={"ledger-stuck": "payments"}.__getitem__)
    runbook = {"name": "ledger-stuck"}

    ruling = await keeper.judge("slack:T1/BOB", Question(verb=Verb.RUN, runbook=runbook))

    assert ruling.rules == ("theirs",)


async def test_people_of_an_unknown_path_may_do_nothing(tmp_path):
    """A key that nobody can look up is nobody's."""
    with pytest.raises(StrangerError, match="nobody here knows irc:bob"):
        await doorkeeper(tmp_path).judge("irc:bob", Question(verb=Verb.READ))


async def test_groups_of_people_at_a_terminal_stand_in_the_connections_file():
    """By name, and only those that were asked for."""
    groups = {"leads": GroupConnection(members=("local:alice",)), "others": GroupConnection()}

    alice = await LocalMembers(groups).know("local:alice", ("leads", "others", "unknown"))
    bob = await LocalMembers(groups).know("local:bob", ("leads",))

    assert (alice.groups, bob.groups) == (("leads",), ())


# --- answers at a gate --------------------------------------------------------------------------


class PeopleAtTheGate(FakePeople):
    """The same people, for the policy."""

    async def know(self, person, groups):
        principal = await self.look_up(person, groups)
        return PEOPLE["bob"].model_copy(update={"key": person, "groups": principal.groups})


@contextlib.asynccontextmanager
async def gate(way, tmp_path, text):
    """A gate that waits, and answers that go through the policy."""
    house, people, voice = Waiting(way.ledger), PeopleAtTheGate(), FakeVoice()
    file = tmp_path / "policy.cedar"
    file.write_text(text)
    keeper = Doorkeeper(PolicyFile(file if text else None), {"slack": people})
    answers = Answers(
        way.ledger,
        key=ListenerKey.generate(),
        people=people,
        workflows=house,
        voice=voice,
        doorkeeper=keeper,
        clock=house.now,
    )
    await house.keep()
    task = asyncio.create_task(answers.run())
    try:
        yield house, answers, voice
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refused(way, voice):
    """Wait until somebody is told, and return that and the decisions that were refused."""
    async with asyncio.timeout(10):
        _, said = await voice.told.get()
    decisions = way.records(RecordKind.DECISION)
    return said, [each for each in decisions if each.outcome == "refused"]


@pytest.mark.parametrize("answer", [Answer.APPROVED, Answer.DENIED])
async def test_an_answer_is_refused_before_it_is_sealed(way, tmp_path, answer):
    """What the policy refuses never becomes a signed decision that somebody could send to Temporal."""
    anywhere = LEADS_ONLY.partition('@id("not-in-production")')[0]
    async with gate(way, tmp_path, anywhere) as (house, answers, voice):
        await answers.receive(house.click(answer=answer, reason="because"))
        said, (record,) = await refused(way, voice)

    assert house.heard == []
    assert "only leads do anything here (rule leads-act); ask somebody of leads" in said
    assert record.data["objection"] in said
    assert (record.data["signature"], record.data["key_id"]) == ("", "")


async def test_somebody_of_no_approver_group_is_told_whom_to_ask(way, tmp_path):
    """The default policy says what the gate's own rule says, and names the people who can help."""
    async with gate(way, tmp_path, "") as (house, answers, voice):
        await answers.receive(house.click("U9"))
        said, _ = await refused(way, voice)

    assert said.endswith("(rule approvers-answer); ask somebody of sre-oncall.")


async def test_an_approver_answers_as_before(way, tmp_path):
    """What the default policy permits goes on to the gate's own rules."""
    async with gate(way, tmp_path, "") as (house, answers, _):
        await answers.receive(house.click())
        await until(lambda: house.heard)

    assert house.heard[0].decision.principal.groups == ("sre-oncall",)
