"""`paramedic policy show`, `check` and `explain`, and what other commands do when the policy refuses."""

from __future__ import annotations

import json
from getpass import getuser

import pytest

from activities.freeze_file import FILE_NAME
from activities.ledger.records import after
from activities.ledger.store import Ledger
from bot.policy.policy import DEFAULT, SCHEMA
from runbooks.model.record import RecordKind
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.ledgers import new_ledger

GATED = """gate:
  approvers: [sre-oncall]

do:"""

NO_THAW = """
@id("freezers")
@reason("people at a terminal only pull the brake")
permit (principal, action == Action::"freeze", resource);
"""


@pytest.fixture
def house(tmp_path):
    """The settings of an installation with an empty ledger and one runbook with a gate."""
    runbooks = tmp_path / "catalog"
    runbooks.mkdir()
    text = GOOD if "gate:" in GOOD else GOOD.replace("do:", GATED, 1)
    (runbooks / "disk-full.yaml").write_text(text)
    new_ledger(tmp_path / "ledger.db").close()
    return {"data": tmp_path, "runbooks": runbooks}


def policy_of(house, text):
    file = house["data"] / "policy.cedar"
    file.write_text(text)
    return {**house, "policy": file}


def test_what_is_shown_is_a_policy_that_checks(house, tmp_path):
    """`policy show > policy.cedar` is how one begins."""
    shown = paramedic("policy", "show", **house).stdout
    file = tmp_path / "copy.cedar"
    file.write_text(shown)

    assert shown == DEFAULT
    assert paramedic("policy", "check", file).stdout == "copy.cedar: 6 rules, nothing wrong\n"
    assert paramedic("policy", "show", "--schema").stdout == SCHEMA


def test_the_rules_for_programs(house):
    """Each with its id and its reason."""
    told = json.loads(paramedic("policy", "show", "--json", **policy_of(house, NO_THAW)).stdout)

    assert told["policy"] == "policy.cedar"
    assert told["rules"] == [
        {"id": "freezers", "reason": "people at a terminal only pull the brake", "permits": True}
    ]


def test_what_is_wrong_is_marked_in_its_line(house, tmp_path):
    """As `runbook lint` does."""
    file = tmp_path / "policy.cedar"
    file.write_text(NO_THAW.replace('Action::"freeze"', 'Action::"freze"'))

    result = paramedic("policy", "check", file)
    told = json.loads(paramedic("policy", "check", file, "--json").stdout)

    assert result.exit_code == 1
    assert f'{file}:4:38: unrecognized action `Action::"freze"`' in result.stdout
    assert "Perhaps you mean `freeze`." in result.stdout
    assert [(each["line"], each["column"]) for each in told["problems"]] == [(4, 38)]


def test_a_person_who_may_not_is_explained(house):
    """Who, what, the rule, why, and whom to ask; a script sees it by the exit code."""
    asked = ("policy", "explain", "slack:T1/U9", "approve", "disk-full", "-l", "env=prod")

    refused = paramedic(*asked, **house)
    allowed = paramedic(*asked, "-g", "sre-oncall", "--json", **house)

    assert refused.exit_code == 1
    rows = dict(line.split(maxsplit=1) for line in refused.stdout.splitlines())
    assert rows["answer"].strip() == "refused"
    assert rows["rule"].strip() == "approvers-answer"
    assert rows["why"].strip() == "only members of its approver groups may answer"
    assert rows["ask"].strip() == "somebody of sre-oncall"
    assert allowed.exit_code == 0
    assert json.loads(allowed.stdout)["rules"] == ["approvers-answer"]


def test_explain_knows_members_from_the_connections_file_and_the_group_that_thaws(house, tmp_path):
    """It answers as the running installation would."""
    connections = tmp_path / "connections.yaml"
    connections.write_text('groups: {leads: {members: ["slack:T1/U1"]}}')
    more = {**house, "connections": connections, "thaw_group": "leads"}

    assert paramedic("policy", "explain", "slack:T1/U1", "thaw", "target=db-1", **more).exit_code == 0
    refused = paramedic("policy", "explain", "slack:T1/U2", "thaw", **more)
    assert refused.exit_code == 1
    assert "somebody of leads or somebody at a terminal of the machine" in refused.stdout


def test_explain_knows_who_needs_a_login(house):
    """Where people at a terminal must log in, they are told so, and nobody is sent to them."""
    asked = ("policy", "explain")
    more = {**house, "local_people": "off"}

    alone = paramedic(*asked, "local:alice", "release", "web-1", **more)
    chatting = paramedic(*asked, "slack:T1/U1", "release", "web-1", **more)

    assert (alone.exit_code, "log in: paramedic login" in alone.stdout) == (1, True)
    assert (chatting.exit_code, "somebody at the command line" in chatting.stdout) == (1, True)
    assert paramedic(*asked, "slack:T1/U1", "release", "web-1", "--logged-in", **more).exit_code == 0
    assert paramedic(*asked, "local:alice", "release", "web-1", **house).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("approve", "disk-ful"), "Perhaps you mean `disk-full`"),
        (("thaw", "db-1"), "runbook=NAME"),
        (("run",), "Name a runbook"),
        (("heal", "disk-full"), "read"),
    ],
)
def test_a_question_that_makes_no_sense_is_explained(house, arguments, complaint):
    """It is no refusal: the exit code is another."""
    result = paramedic("policy", "explain", "slack:T1/U1", *arguments, **house)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr


def test_a_command_that_the_policy_refuses_says_why_and_is_on_record(house):
    """The person at the terminal is the one who is judged."""
    closed = policy_of(house, NO_THAW)

    run = paramedic("run", "disk-full", "-l", "instance=web-1", **closed)
    thaw = paramedic("thaw", "--yes", **closed)

    assert (run.exit_code, thaw.exit_code) == (4, 4)
    assert "you may not run disk-full on web-1: no rule of the policy lets anybody do that" in run.stderr
    assert "ask whoever keeps the policy (policy.cedar)" in thaw.stderr
    ledger = Ledger.open(f"sqlite:///{house['data'] / 'ledger.db'}", create=False)
    try:
        records = ledger.read_now(lambda c: after(c, -1, 10))
    finally:
        ledger.close()
    assert [(each.kind, each.actor, each.outcome) for each in records] == [
        (RecordKind.RULING, f"local:{getuser()}", "refused")
    ] * 2


def test_the_brake_waits_for_no_policy(house):
    """A policy that is wrong refuses all but a freeze."""
    wrong = policy_of(house, "permit (principal")

    frozen = paramedic("freeze", "--reason", "fire", **wrong)
    thawed = paramedic("thaw", "--yes", **wrong)

    assert (frozen.exit_code, frozen.stdout) == (0, "FROZEN: everything.\n")
    assert "The brake does not wait for that." in frozen.stderr
    assert (house["data"] / FILE_NAME).exists()
    assert thawed.exit_code == 2
    assert "the last rule has no end" in thawed.stderr
