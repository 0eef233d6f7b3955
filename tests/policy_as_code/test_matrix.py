"""Who may do what where: identities, commands, runbooks and environments in one table, and what the refused are told.

Each row is asked of the doorkeeper, as every way into the product asks it: by key and source.  A
refusal counts only if it says why and whom to ask, and whoever it names is asked as well: they may.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from bot.answers import Answers
from bot.keys import ListenerKey
from bot.policy.doorkeeper import Doorkeeper
from bot.policy.policy import ANYBODY, AT_COMMAND_LINE, AT_MACHINE
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import ABOUT_RUNBOOKS, Person, Question, Ruling, RunbookFacts, TargetFacts, Verb
from bot.practice.residents import DEFAULT_PEOPLE
from bot.practice.residents import Person as Resident
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack.connection import SlackConnection
from bot.slack.people import SlackPeople
from runbooks.model.action import Effect
from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from tests.docs.pages import ROOT
from tests.waiting import FakeVoice, Waiting
from tests.way_in import WayIn

POLICIES = {
    "default": PolicyFile(None),
    "payments": PolicyFile(ROOT / "docs" / "policy" / "payments.cedar"),
}
THAWERS = "incident-commanders"


# --- who ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Somebody who comes one way.

    Attributes:
        source: where they ask: in a channel, at a command line, with a login.
        login_wanted: whether people at a terminal count only with one (`PARAMEDIC_LOCAL_PEOPLE=off`).
    """

    person: Person
    source: str = "slack:C1"
    login_wanted: bool = False


def slack(name: str, *groups: str, source: str = "slack:C1", **more: Any) -> Identity:
    return Identity(Person(key=f"slack:T1/{name}", groups=groups, **more), source)


IDENTITIES = {
    "member": slack("BOB"),
    "approver": slack("ALICE", "sre-oncall"),
    "owner": slack("OLGA", "payments-leads"),
    "owner-on-call": slack("PAULA", "payments-leads", "sre-oncall"),
    "commander": slack("CAROL", THAWERS, "sre-oncall"),
    "guest": slack("GUS", "sre-oncall", THAWERS, guest=True),
    "stranger": slack("SUE", "sre-oncall", THAWERS, external=True),
    "logged-in": slack("LEO", source="cli:L-7F3K2Q"),
    "approver-logged-in": slack("LISA", "sre-oncall", source="cli:L-7F3K2R"),
    "guest-logged-in": slack("GITA", "sre-oncall", source="cli:L-7F3K2S", guest=True),
    "stranger-logged-in": slack("STAN", "sre-oncall", source="cli:L-7F3K2T", external=True),
    "operator": Identity(Person(key="local:root"), "cli"),
    "approver-operator": Identity(Person(key="local:ann", groups=("sre-oncall",)), "cli"),
    "operator-without-login": Identity(Person(key="local:root"), "cli", login_wanted=True),
    "member-of-production": Identity(Person(key="slack:T1/BOB"), login_wanted=True),
}

# --- what, where --------------------------------------------------------------------------------

RUNBOOKS = {
    "disk-full": RunbookFacts(
        name="disk-full", owner="storage", effect=Effect.WRITE, approvers=("sre-oncall",)
    ),
    "ledger-stuck": RunbookFacts(
        name="ledger-stuck", owner="payments", effect=Effect.WRITE, approvers=("sre-oncall",)
    ),
    "drop-cache": RunbookFacts(
        name="drop-cache", owner="storage", effect=Effect.DESTRUCTIVE, approvers=("sre-oncall",)
    ),
    "look-around": RunbookFacts(name="look-around", owner="storage", effect=Effect.READ),
}
ENVIRONMENTS = ("prod", "staging", "")
FREEZES = ("*", "runbook=disk-full", "label:env=prod")

# `+` may, `.` may not.  Columns: each runbook in production, in staging, and where no label says.
ABOUT_A_RUNBOOK = """
                                          disk-full ledger-stuck drop-cache look-around
default  member                  run            +++          +++        +++         +++
default  member                  approve        ...          ...        ...         ...
default  member                  stop           ...          ...        ...         +++
default  member                  redact         ...          ...        ...         ...
default  approver                run            +++          +++        +++         +++
default  approver                approve        +++          +++        +++         ...
default  approver                stop           +++          +++        +++         +++
default  approver                redact         +++          +++        +++         ...
default  owner                   run            +++          +++        +++         +++
default  owner                   approve        ...          ...        ...         ...
default  owner                   stop           ...          ...        ...         +++
default  guest                   run            ...          ...        ...         ...
default  guest                   approve        ...          ...        ...         ...
default  guest                   stop           ...          ...        ...         ...
default  guest                   redact         ...          ...        ...         ...
default  stranger                run            ...          ...        ...         ...
default  stranger                approve        ...          ...        ...         ...
default  stranger                stop           ...          ...        ...         ...
default  stranger                redact         ...          ...        ...         ...
default  logged-in               run            +++          +++        +++         +++
default  logged-in               approve        ...          ...        ...         ...
default  logged-in               stop           ...          ...        ...         +++
default  logged-in               redact         ...          ...        ...         ...
default  approver-logged-in      run            +++          +++        +++         +++
default  approver-logged-in      approve        +++          +++        +++         ...
default  approver-logged-in      stop           +++          +++        +++         +++
default  approver-logged-in      redact         +++          +++        +++         ...
default  guest-logged-in         run            ...          ...        ...         ...
default  guest-logged-in         approve        ...          ...        ...         ...
default  operator                run            +++          +++        +++         +++
default  operator                approve        ...          ...        ...         ...
default  operator                stop           ...          ...        ...         +++
default  operator                redact         +++          +++        +++         +++
default  approver-operator       approve        +++          +++        +++         ...
default  approver-operator       stop           +++          +++        +++         +++
default  operator-without-login  run            ...          ...        ...         ...
default  operator-without-login  approve        ...          ...        ...         ...
default  operator-without-login  stop           ...          ...        ...         ...
default  operator-without-login  redact         ...          ...        ...         ...
default  member-of-production    run            +++          +++        +++         +++
default  member-of-production    approve        ...          ...        ...         ...
default  member-of-production    redact         ...          ...        ...         ...
payments member                  run            ...          ...        ...         ...
payments member                  approve        ...          ...        ...         ...
payments approver                run            +++          .++        +++         +++
payments approver                approve        +++          .++        .+.         ...
payments approver                stop           +++          +++        +++         ...
payments owner                   run            ...          ...        ...         ...
payments owner                   approve        ...          ...        ...         ...
payments owner-on-call           run            +++          +++        +++         +++
payments owner-on-call           approve        +++          +++        .+.         ...
payments commander               run            +++          .++        +++         +++
payments commander               approve        +++          .++        +++         ...
payments stranger                run            ...          ...        ...         ...
payments stranger                approve        ...          ...        ...         ...
payments stranger                stop           ...          ...        ...         ...
payments logged-in               run            ...          ...        ...         ...
payments approver-logged-in      approve        +++          .++        .+.         ...
payments operator                run            ...          ...        ...         ...
payments operator                redact         ...          ...        ...         ...
payments approver-operator       run            +++          .++        +++         +++
payments operator-without-login  run            ...          ...        ...         ...
"""

# Columns: read; freeze everything, one runbook, production; the same for thaw where anybody may lift
# freezes, and where a group may; release.
ABOUT_THE_HOUSE = """
                                 read freeze thaw group's-thaw release
default  member                     +    +++  +++          ...       .
default  approver                   +    +++  +++          ...       .
default  commander                  +    +++  +++          +++       .
default  guest                      .    ...  ...          ...       .
default  stranger                   .    ...  ...          ...       .
default  logged-in                  +    +++  +++          ...       +
default  guest-logged-in            .    ...  ...          ...       .
default  stranger-logged-in         .    ...  ...          ...       .
default  operator                   +    +++  +++          +++       +
default  operator-without-login     +    +++  ...          ...       .
default  member-of-production       +    +++  +++          ...       .
payments member                     +    +++  ...          ...       .
payments commander                  +    +++  +++          +++       +
payments guest                      +    +++  +++          +++       +
payments stranger                   .    ...  ...          ...       .
payments logged-in                  +    +++  ...          ...       .
payments operator                   +    +++  ...          ...       .
payments operator-without-login     +    +++  ...          ...       .
"""


@dataclass(frozen=True)
class Row:
    """One line of a table: what one identity may under one policy."""

    policy: str
    identity: str
    what: str
    questions: tuple[tuple[Question, bool], ...]
    expected: str

    def __str__(self) -> str:
        return f"{self.policy}-{self.identity}-{self.what}"


def about_a_runbook() -> Iterator[Row]:
    for line in ABOUT_A_RUNBOOK.strip().splitlines()[1:]:
        policy, identity, verb, *cells = line.split()
        questions = tuple(
            (Question(verb=Verb(verb), runbook=runbook, target=_web(environment)), False)
            for runbook, environment in product(RUNBOOKS.values(), ENVIRONMENTS)
        )
        yield Row(policy, identity, verb, questions, "".join(cells))


def about_the_house() -> Iterator[Row]:
    freezes, thaws = (
        [Question(verb=verb, scope=scope) for scope in FREEZES] for verb in (Verb.FREEZE, Verb.THAW)
    )
    questions = (
        (Question(verb=Verb.READ), False),
        *((each, False) for each in (*freezes, *thaws)),
        *((each, True) for each in thaws),
        (Question(verb=Verb.RELEASE, target=_web("prod")), False),
    )
    for line in ABOUT_THE_HOUSE.strip().splitlines()[1:]:
        policy, identity, *cells = line.split()
        yield Row(policy, identity, "the-house", questions, "".join(cells))


def _web(environment: str) -> TargetFacts:
    return TargetFacts(name="web-1", labels={"env": environment} if environment else {})


ROWS = [*about_a_runbook(), *about_the_house()]


# --- asked --------------------------------------------------------------------------------------


class Known:
    """Knows one person, as Slack and the connections file would tell it."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def know(self, person: str, groups: Any) -> Person:
        mine = tuple(each for each in groups if each in self._person.groups)
        return self._person.model_copy(update={"groups": mine})


async def judge(policy: str, identity: Identity, question: Question, *, group_thaws: bool = False) -> Ruling:
    """Return what the doorkeeper of an installation with this policy says."""
    keeper = Doorkeeper(
        POLICIES[policy],
        {identity.person.path: Known(identity.person)},
        thaw_group=THAWERS if group_thaws else None,
        local_people=not identity.login_wanted,
    )
    return await keeper.judge(identity.person.key, question, source=identity.source)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_who_may_do_what_where(row):
    """Each line of the tables above; and whoever is refused is told why, and whom to ask, truly."""
    identity = IDENTITIES[row.identity]
    rulings = [await judge(row.policy, identity, each, group_thaws=group) for each, group in row.questions]

    assert "".join("+" if each.allowed else "." for each in rulings) == row.expected
    for (question, group), ruling in zip(row.questions, rulings, strict=True):
        if not ruling.allowed:
            await _tells_why_and_whom(row, ruling, question, group)


async def _tells_why_and_whom(row: Row, ruling: Ruling, question: Question, group: bool) -> None:
    assert ruling.why
    assert ruling.sentence.startswith(f"you may not {question.words}: {ruling.why}")
    if ruling.remedy:
        assert IDENTITIES[row.identity].login_wanted
        assert ruling.sentence.endswith("; log in: paramedic login")
    elif nobody_may(row.policy, question, login_wanted=IDENTITIES[row.identity].login_wanted):
        assert ruling.sentence.endswith(f"; ask whoever keeps the policy ({ruling.policy})")
    else:
        assert ruling.ask, ruling.sentence
        assert re.search(rf"\(rule [\w, -]+\); ask {re.escape(' or '.join(ruling.ask))}$", ruling.sentence)
    for words in ruling.ask:
        named = _meant(words, IDENTITIES[row.identity])
        assert (await judge(row.policy, named, question, group_thaws=group)).allowed, words


def nobody_may(policy: str, question: Question, *, login_wanted: bool) -> bool:
    """Whether nobody at all may do that: what is for approvers where there are none, or what the example leaves out."""
    without_approvers = question.verb in ABOUT_RUNBOOKS and not question.runbook.approvers
    asks_approvers = question.verb is Verb.APPROVE or (policy, question.verb) == ("payments", Verb.STOP)
    asks_approvers = asks_approvers or (login_wanted and question.verb is Verb.REDACT)
    return (policy, question.verb) == ("payments", Verb.REDACT) or (without_approvers and asks_approvers)


def _meant(words: str, asker: Identity) -> Identity:
    """Return the person whom a refusal names, where they would ask, in the same installation."""
    if words == AT_COMMAND_LINE:
        return slack("X", source="cli:L-7F3K2X")
    if words == AT_MACHINE:
        return Identity(Person(key="local:x"), "cli", login_wanted=asker.login_wanted)
    named = (
        () if words == ANYBODY else words.removeprefix("somebody of ").removeprefix("both ").split(" and ")
    )
    path = asker.person.path
    person = Person(key=f"{path}:{'T1/X' if path == 'slack' else 'x'}", groups=tuple(named))
    return replace(asker, person=person)


def test_the_tables_have_both_answers_for_every_command():
    """They would find a policy that lets everybody, or nobody, and each identity is asked about."""
    answers: dict[Verb, set[str]] = {}
    for row in ROWS:
        for (question, _), cell in zip(row.questions, row.expected, strict=True):
            answers.setdefault(question.verb, set()).add(cell)

    assert answers == {verb: {"+", "."} for verb in Verb}
    assert {row.identity for row in ROWS} == set(IDENTITIES)


# --- at a gate ----------------------------------------------------------------------------------

GONE = Resident(id="U0GONE", name="gone", real_name="Gil Gone", deleted=True)
POLICY_SAYS = "only members of its approver groups may answer (rule approvers-answer)"

AT_A_GATE = {
    "mallory": f"you may not {{verb}} {{what}}: {POLICY_SAYS}; ask somebody of sre-oncall",
    "guest": "guests may not answer; ask somebody of sre-oncall",
    "stranger": "people of other workspaces may not answer here; ask somebody of sre-oncall",
    "deploybot": "bots may not answer; ask somebody of sre-oncall",
    "gone": "this account is deactivated; ask somebody of sre-oncall",
    "nobody": "Slack does not know you in this workspace; ask somebody of sre-oncall",
    "bob": "you cannot approve what you asked for yourself: somebody else of sre-oncall must",
}
"""What people are told whose answer does not count.  Bob is in the group; it was he who asked for the remediation."""


@contextlib.asynccontextmanager
async def gate(way, server):
    """A gate of a remediation that Bob asked for, and answers by people of the practice workspace."""
    connection = SlackConnection(bot_token=server.bot_token, app_token=None, base_url=server.base_url)
    people, house, voice = SlackPeople(connection.client, {}), Waiting(way.ledger), FakeVoice()
    house.gate.question = house.gate.question.model_copy(update={"requested_by": _key("bob")})
    answers = Answers(
        way.ledger,
        key=ListenerKey.generate(),
        people=people,
        workflows=house,
        voice=voice,
        doorkeeper=Doorkeeper(POLICIES["default"], {"slack": people}),
        clock=house.now,
    )
    await house.keep()
    task = asyncio.create_task(answers.run())
    try:
        yield house, answers, voice
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _key(name: str) -> str:
    resident = next((each for each in (*DEFAULT_PEOPLE, GONE) if each.name == name), None)
    return f"slack:{resident.team_id}/{resident.id}" if resident else "slack:T0PRACTICE/U0NOBODY"


@pytest.mark.parametrize("answer", [Answer.APPROVED, Answer.DENIED])
async def test_whoever_may_not_answer_at_a_gate_is_told_why_and_whom_to_ask(tmp_path, answer):
    """Each of them alone, in one sentence, which stands on record; then somebody else answers, and that counts."""
    async with PracticeServer(Workspace(people=(*DEFAULT_PEOPLE, GONE))) as server:
        with WayIn(tmp_path) as way:
            async with gate(way, server) as (house, answers, voice):
                told = {
                    name: await _told(house, answers, voice, name, answer)
                    for name in AT_A_GATE
                    if name != "bob" or answer is Answer.APPROVED  # he may always say no to it
                }
                house.answered.clear()  # Bob's answer came that far
                await answers.receive(house.click(person=_key("alice"), answer=answer, reason="because"))
                async with asyncio.timeout(30):
                    await house.answered.wait()
                refused = [
                    each.data["objection"]
                    for each in way.records(RecordKind.DECISION)
                    if each.outcome == "refused"
                ]

    verb = "approve" if answer is Answer.APPROVED else "stop"
    what = f"{house.told.plan.runbook} on {house.told.plan.target}"
    expected = {name: AT_A_GATE[name].format(verb=verb, what=what) for name in told}
    assert told == {name: f"Your answer does not count: {text}." for name, text in expected.items()}
    assert refused == list(expected.values())
    assert house.gate.state in {"approved", "denied"}


async def _told(house, answers, voice, name: str, answer: Answer) -> str:
    await answers.receive(house.click(name, person=_key(name), answer=answer, reason="because"))
    async with asyncio.timeout(30):
        person, said = await voice.told.get()
    assert person == _key(name)
    return said
