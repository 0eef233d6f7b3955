"""`paramedic verdict`: what a person at a terminal says goes the way of a click in Slack."""

from __future__ import annotations

import asyncio

import pytest

from activities.connections import GroupConnection
from activities.ledger.clicks import claim_clicks
from activities.ledger.records import stream_of
from activities.ledger.store import Ledger
from bot.answers import Answers, PersonRefusedError, Silence
from bot.cli.operations import show_status
from bot.keys import ListenerKey
from bot.operations import GateLine, Status, StatusLine
from bot.people import LocalPeople, PeopleEverywhere
from runbooks.model.decision import Answer, Principal
from runbooks.model.record import RecordKind
from runbooks.policy.gate import Question
from tests.cli.terminal import paramedic
from tests.ledgers import new_ledger
from tests.records import NOON, Telling
from tests.waiting import FakePeople, Waiting, as_entry


@pytest.fixture
def told():
    """A remediation that asks what became of its action, an hour from now at the latest."""
    told = Telling().admitted().planned()
    return told.intent().unknown().in_doubt()


@pytest.fixture
def home(tmp_path, told):
    """The settings of an installation whose ledger holds `told`."""
    ledger = new_ledger(tmp_path / "ledger.db")
    asyncio.run(ledger.append(*map(as_entry, told.records)))
    ledger.close()
    return {"data": tmp_path}


def stream(home, remediation="R-7F3K2Q"):
    ledger = Ledger.open(f"sqlite:///{home['data'] / 'ledger.db'}", create=False)
    try:
        return ledger.read_now(lambda c: stream_of(c, remediation))
    finally:
        ledger.close()


def test_is_durable_before_anybody_judges_it(home):
    """The answer waits in the inbox for a running Paramedic, with the person's own words."""
    result = paramedic("verdict", "r-7f3k2q", "happened", "--reason", "it is up", "--wait", "0", **home)

    received = stream(home)[-1]
    assert result.exit_code == 3
    assert "not judged yet" in result.stderr
    assert (received.kind, received.outcome) == (RecordKind.DECISION_RECEIVED, "happened")
    assert received.actor.startswith("local:")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("R-000000", "stop"), 2, "there is no remediation R-000000"),
        (("R-7F3K2Q", "perhaps"), 2, "perhaps"),
    ],
)
def test_names_what_is_wrong(home, arguments, code, complaint):
    """A typo is found before anything is written."""
    result = paramedic("verdict", *arguments, "--reason", "x", **home)

    assert result.exit_code == code
    assert complaint in result.stderr


def test_answers_no_question_about_a_plan(home, told):
    """What is not in doubt cannot be judged: to approve is something else."""
    ledger = new_ledger(home["data"] / "ledger.db")
    told.gate_closed("stopped")
    asyncio.run(ledger.append(as_entry(told.records[-1])))
    ledger.close()

    result = paramedic("verdict", "R-7F3K2Q", "stop", "--reason", "x", **home)

    assert result.exit_code == 1
    assert "does not ask what became of an action" in result.stderr


async def judged(tmp_path, told, groups, answer: Answer):
    """Let the person's click be delivered as the running process does it."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'other.db'}")
    house = Waiting(ledger, told)
    house.gate.id = told.gate
    house.gate.question = Question(
        terms=told.plan.gate, plan_digest=told.plan.digest, about=told.key, in_doubt=True
    )
    await house.keep()
    answers = Answers(
        ledger, key=ListenerKey.generate(), people=LocalPeople(groups), workflows=house, voice=Silence(), clock=house.now
    )  # fmt: skip
    click = house.click(answer=answer).model_copy(update={"person": "local:carol", "via": "cli"})
    await answers.receive(click)
    [waiting] = await ledger.write(lambda t: claim_clicks(t, 9, at=NOON, hold=told.plan.gate.within))
    await answers._deliver(waiting)
    story = await house.story()
    ledger.close()
    return story.verdicts[0].decisions


async def test_counts_where_the_connections_file_lists_the_person(tmp_path, told):
    """A person of this machine is in a group whose members name them, and is judged by the gate's own rules."""
    groups = {"sre-oncall": GroupConnection(members=("local:carol",))}

    [decision] = await judged(tmp_path, told, groups, Answer.HAPPENED)

    assert (decision.accepted, decision.key, decision.via) == (True, "local:carol", "cli")


async def test_does_not_count_for_anybody_else(tmp_path, told):
    """To be at the terminal is not to be on call."""
    [decision] = await judged(tmp_path, told, {}, Answer.HAPPENED)

    assert (decision.accepted, decision.objection) == (False, "you are not in sre-oncall")


async def test_people_are_looked_up_where_they_are_known():
    """A key of this machine never reaches the chat, and one of the chat is none of this machine's."""
    chat = FakePeople()
    everywhere = PeopleEverywhere(LocalPeople({}), chat)

    await everywhere.look_up("slack:T1/U1", ("sre-oncall",))
    here = await everywhere.look_up("local:carol", ("sre-oncall",))

    assert chat.asked == ["slack:T1/U1"]
    assert here == Principal(key="local:carol", name="carol")
    with pytest.raises(PersonRefusedError, match="Slack is off"):
        await LocalPeople({}).look_up("slack:T1/U1", ())


def test_status_says_what_is_asked_and_how_to_answer(capsys):
    """The command to type stands on a line of its own, so that it can be copied."""
    place = {"remediation": "R-7F3K2Q", "runbook": "heal", "target": "web-1"}
    gate = GateLine(**place, approvers=("sre-oncall",), expires_at=NOON, doubt="Restart it")
    running = StatusLine(**place, phase="asking", since=NOON)

    show_status(Status(frozen=(), running=(running,), gates=(gate,)), NOON)

    first = capsys.readouterr().out.splitlines()[0]
    assert "did this happen on web-1? Restart it." in first
    assert first.endswith(
        'sre-oncall must say by 03:07 UTC: paramedic verdict R-7F3K2Q happened|again|stop --reason "..."'
    )
