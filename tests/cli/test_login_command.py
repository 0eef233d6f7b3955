"""`paramedic login` and what it is for: at the command line, people are whom they are in Slack."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest

from activities.freeze_file import FILE_NAME
from activities.ledger.logins import LoginEnding
from bot import desk
from bot.cli.login_file import FILE, StoredLogin
from bot.cli.reach import ToldError
from bot.cli.reach import there as reached
from bot.requests import AnswerRequest
from bot.settings import Settings
from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.cli.there import ANN, Port, There
from tests.components import free_port
from tests.records import Telling
from tests.waiting import as_entry


@pytest.fixture(scope="module")
def port():
    with Port() as port:
        yield port


@pytest.fixture
def there(tmp_path, port):
    with There(tmp_path, port) as there:
        yield there


@pytest.fixture
def ann(tmp_path, there):
    """How Ann's commands run on her laptop, where she is logged in and there is no ledger."""
    place = {"configuration": tmp_path / "laptop", "data": tmp_path / "nowhere", "local_people": "off"}
    logged_in = paramedic("login", "--url", there.url, **place)
    assert logged_in.exit_code == 0, logged_in.stderr
    return place


def kept(place) -> StoredLogin:
    return StoredLogin.model_validate_json((place["configuration"] / FILE).read_bytes())


def change(place, **changes) -> None:
    file = place["configuration"] / FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_shows_what_to_type_and_keeps_the_token_where_nobody_else_reads_it(there, tmp_path):
    """The token is printed nowhere, nor logged; the file and its folder are the person's alone."""
    place = {"configuration": tmp_path / "laptop", "data": tmp_path}

    result = paramedic("login", "--url", there.url, **place)

    file = tmp_path / "laptop" / FILE
    assert "Type this in Slack:  /runbook login " in result.stderr
    assert f"Logged in as {ANN} until " in result.stdout  # the log of what answers is there as well
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert kept(place).token.get_secret_value() not in result.stdout + result.stderr


def test_without_an_address_it_is_the_paramedic_of_these_settings(tmp_path):
    """Whoever is at the machine types two words."""
    nobody = free_port()

    result = paramedic("login", configuration=tmp_path, http_host="0.0.0.0", http_port=nobody)

    assert (result.exit_code, result.stdout) == (5, "")
    assert f"Paramedic does not answer at http://127.0.0.1:{nobody}" in result.stderr


def test_what_is_done_counts_as_theirs(there, ann):
    """No ledger, no settings: the person is whom Slack knows, and the login stands on record as the source."""
    login = kept(ann).login

    frozen = paramedic("freeze", "--reason", "migration", **ann)
    status = json.loads(paramedic("status", "--json", **ann).stdout)
    thawed = paramedic("thaw", "--yes", **ann)
    asked = paramedic("run", "host-slow", "-l", "instance=web-1", **ann)

    assert [each.exit_code for each in (frozen, thawed, asked)] == [0, 0, 0]
    assert [each["actor"] for each in status["frozen"]] == [ANN]
    acts = there.records(RecordKind.FREEZE, RecordKind.THAW, RecordKind.ALERT_RECEIVED)
    assert {(each.actor, each.source) for each in acts[:2]} == {(ANN, f"cli:{login}")}
    assert asked.stdout.startswith("Asked for host-slow on web-1.")
    rulings = there.records(RecordKind.RULING)
    assert {(each.actor, each.source, each.outcome) for each in rulings} == {(ANN, f"cli:{login}", "allowed")}


def test_the_policy_says_what_a_person_may_here_as_in_slack(there, ann):
    """A guest is refused with the reason and whom to ask, and a code of its own."""
    there.chat.guests.add(ANN)

    refused = paramedic("thaw", "--yes", "--json", **ann)

    told = json.loads(refused.stderr)
    assert (refused.exit_code, refused.stdout, told["code"]) == (4, "", "not_permitted")
    assert "no guests" in told["error"]
    assert "ask anybody of the workspace who is no guest" in told["error"]


def test_a_target_is_given_back_by_whoever_is_logged_in_here(there, ann):
    """That is a matter of the command line: the policy knows that they are at one."""
    result = paramedic("release", "web-1", "--reason", "looked", **ann)

    assert result.exit_code == 1
    assert "web-1 is not kept" in result.stderr


def test_the_brake_waits_for_neither_slack_nor_the_network(there, ann, tmp_path):
    """Slack that tells nothing holds up no freeze, and a Paramedic that is away is frozen by this machine's file."""
    there.chat.away = True
    with_slack_away = paramedic("freeze", "--reason", "fire", **ann)
    thaw = paramedic("thaw", "--yes", **ann)
    change(ann, url="http://127.0.0.1:1")
    from_afar = paramedic("freeze", "--reason", "fire", **ann)
    at_the_machine = paramedic("freeze", "--reason", "fire", **{**ann, "data": tmp_path})

    assert (with_slack_away.exit_code, thaw.exit_code) == (0, 5)
    assert [each.actor for each in there.records(RecordKind.FREEZE)] == [ANN]
    assert (from_afar.exit_code, from_afar.stdout) == (5, "")
    assert from_afar.stderr.startswith("NOT frozen: Paramedic does not answer at http://127.0.0.1:1")
    assert at_the_machine.exit_code == 0
    assert "it is pulled on this machine" in at_the_machine.stderr
    assert (tmp_path / FILE_NAME).exists()


def test_an_answer_is_a_click_of_that_person(there, ann):
    """The plan is shown first; what is handed in names person and login, and is judged like any click."""
    told = Telling().admitted().planned().asked()
    there.way.ledger.write_now(lambda t: [t.append(as_entry(each)) for each in told.records])

    result = paramedic("approve", "r-7f3k2q", "--wait", "0", stdin="y\n", **ann)

    (click,) = there.clicks
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Restart checkout" in result.stderr
    assert "Approve this plan on checkout?" in result.stderr
    assert (click.person, click.via, click.gate) == (ANN, f"cli:{kept(ann).login}", told.gate)


@pytest.mark.parametrize(
    ("outcome", "objection", "refusal", "code"),
    [
        ("refused", "you have already answered", "answered_already", 1),
        ("accepted", "", "", 0),
    ],
)
def test_what_became_of_an_answer_is_told_as_at_the_machine(
    there, ann, monkeypatch, outcome, objection, refusal, code
):
    """In the words of the record, and in the one word of its refusal."""
    monkeypatch.setattr(desk.secrets, "token_hex", lambda _: "1")
    told = Telling().admitted().planned().asked()
    told.answered("approved", outcome, id="cli-1", objection=objection, refusal=refusal)
    there.way.ledger.write_now(lambda t: [t.append(as_entry(each)) for each in told.records])

    result = paramedic("approve", "r-7f3k2q", "--yes", "--json", "--wait", "0", **ann)

    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["counts"]) == (code, outcome == "accepted")
    assert (shown["objection"], shown["refusal"]) == (objection, refusal)
    assert "paramedic login who" not in result.stderr


def test_an_answer_whose_login_ends_while_slack_is_asked_is_not_taken(there, ann, monkeypatch):
    """It would stand on record for ever as one that nobody could have given."""
    told = Telling().admitted().planned().asked()
    there.way.ledger.write_now(lambda t: [t.append(as_entry(each)) for each in told.records])
    login, know = kept(ann).login, there.chat.know

    async def take_back_meanwhile(person, groups):
        await there.logins.end([login], LoginEnding.REVOKED, actor=ANN, source="slack:C1")
        return await know(person, groups)

    asked = AnswerRequest(gate=told.gate, plan_digest=told.plan.digest, answer=Answer.APPROVED)
    monkeypatch.setattr(there.chat, "know", take_back_meanwhile)
    with pytest.raises(ToldError, match="log in again: paramedic login") as refusal:
        reached(kept(ann)).ask(asked)

    assert refusal.value.told == "login_wrong"
    assert there.records(RecordKind.DECISION_RECEIVED) == []


def test_says_who_one_is(ann, tmp_path):
    """With a login and without."""
    here = {**ann, "configuration": tmp_path / "elsewhere"}

    assert paramedic("login", "who", **ann).stdout.startswith(f"{ANN} (L-")
    assert json.loads(paramedic("login", "who", "--json", **ann).stdout)["person"] == ANN
    assert (
        "nobody is logged in. To do more than look and freeze: paramedic login"
        in paramedic("login", "who", **here).stdout
    )


def test_people_see_and_take_back_their_own_logins(there, ann, tmp_path):
    """And nobody else's, unless they are at the machine."""
    there.logins.person = "slack:T1/UBOB"
    bob = {**ann, "configuration": tmp_path / "bobs"}
    paramedic("login", "--url", there.url, **bob)
    mine, other = kept(ann).login, kept(bob).login

    listed = json.loads(paramedic("login", "list", "--json", **ann).stdout)
    not_mine = paramedic("login", "revoke", other, **ann)
    revoked = paramedic("login", "revoke", mine, "--reason", "lost", **ann)
    after = paramedic("status", **ann)

    assert [each["id"] for each in listed] == [mine]
    assert (not_mine.exit_code, revoked.exit_code) == (1, 0)
    assert (after.exit_code, after.stdout) == (4, "")
    assert "log in again: paramedic login" in after.stderr
    (ended,) = there.records(RecordKind.LOGIN_ENDED)
    assert (ended.data["login"], ended.data["reason"], ended.outcome) == (mine, "lost", "revoked")


def test_a_login_is_given_back(there, ann):
    """Here and there; without one there is nothing to give back."""
    first = paramedic("logout", **ann)
    second = paramedic("logout", **ann)

    assert (first.exit_code, second.exit_code) == (0, 1)
    assert not (ann["configuration"] / FILE).exists()
    (ended,) = there.records(RecordKind.LOGIN_ENDED)
    assert (ended.actor, ended.outcome) == (ANN, "logged_out")


def test_an_administrator_issues_one_without_slack(there, tmp_path):
    """The token is printed once, alone; the person takes it from stdin, never from an argument."""
    machine = {"data": there.way.database.parent, "local_people": "off"}
    laptop = {"configuration": tmp_path / "laptop", "data": tmp_path / "nowhere"}

    issued = paramedic("login", "issue", ANN, "--for", "1h", "--reason", "Slack is down", **machine)
    taken = paramedic("login", "--token", "--url", there.url, stdin=issued.stdout, **laptop)

    (record,) = there.records(RecordKind.LOGIN_ISSUED)
    assert len(issued.stdout.split()) == 1
    assert record.actor.startswith("local:")
    assert (record.object, record.data["reason"]) == (ANN, "Slack is down")
    assert issued.stdout.strip() not in taken.stdout + taken.stderr
    assert f"Logged in as {ANN} until " in taken.stdout
    assert paramedic("status", **laptop).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("ann", "--for", "1h"), "looks like slack:T0123/U0456"),
        ((ANN, "--for", "soon"), "write 30m, 1h or 2d"),
        ((ANN, "--for", "8d"), "at most 7 days"),
    ],
)
def test_what_cannot_be_issued_is_explained(there, arguments, complaint):
    """A person that nobody knows, and a time without end."""
    result = paramedic("login", "issue", *arguments, "--reason", "x", data=there.way.database.parent)

    assert result.exit_code in {2, 4}
    assert complaint in " ".join(result.stderr.replace("│", " ").split())
    assert there.records(RecordKind.LOGIN_ISSUED) == []


def test_a_login_that_cannot_be_used_is_not_passed_over(ann):
    """Nobody acts as somebody else than they believe: it is said, and what to do."""
    file = ann["configuration"] / FILE
    change(ann, expires_at=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    over = paramedic("status", **ann)
    file.chmod(0o644)
    open_to_all = paramedic("status", **ann)
    file.unlink()
    file.write_text("{}")
    file.chmod(0o600)
    broken = paramedic("status", **ann)

    assert [each.exit_code for each in (over, open_to_all, broken)] == [4, 4, 4]
    assert "your login has ended at" in over.stderr
    assert "others can read your login" in open_to_all.stderr
    assert "is no login; delete it" in broken.stderr


@pytest.mark.parametrize("url", ["http://paramedic.example.net", "paramedic.example.net", "https://a:b@x"])
def test_a_token_is_sent_to_no_place_where_others_read_it(url, tmp_path):
    """Over http only to this machine; a proxy with TLS, or a tunnel, is the remedy."""
    result = paramedic("login", "--url", url, configuration=tmp_path, data=tmp_path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert url in result.stderr


DECIDING = {
    ("on", None): False,
    ("off", None): True,
    ("on", "on"): True,
    ("off", "off"): False,
}

LOCKED = [
    ("run", "disk-full", "-l", "instance=web-1", "-l", "env=prod"),
    ("thaw", "--yes"),
    ("release", "web-1", "--reason", "x"),
    ("redact", "R-7F3K2Q", "--reason", "x"),
    ("approve", "R-7F3K2Q", "--yes"),
    ("deny", "R-7F3K2Q", "--reason", "x"),
]


@pytest.mark.parametrize("arguments", LOCKED, ids=lambda arguments: arguments[0])
def test_without_a_login_one_may_look_and_freeze_and_no_more(there, arguments):
    """Where PARAMEDIC_LOCAL_PEOPLE is off, or not set beside Slack; the refusal says what to do."""
    told = Telling().admitted().planned().asked()
    there.way.ledger.write_now(lambda t: [t.append(as_entry(each)) for each in told.records])
    (there.way.catalog_folder / "disk-full.yaml").write_text(GOOD)
    machine = {"data": there.way.database.parent, "runbooks": there.way.catalog_folder, "local_people": "off"}

    refused = paramedic(*arguments, **machine)

    assert (refused.exit_code, refused.stdout) == (4, "")
    assert "nobody is logged in at this terminal (PARAMEDIC_LOCAL_PEOPLE); log in: paramedic login" in (
        " ".join(refused.stderr.split())
    )
    assert there.records(RecordKind.DECISION_RECEIVED, RecordKind.ALERT_RECEIVED, RecordKind.REDACTION) == []


def test_to_look_and_to_freeze_needs_no_login(there):
    """The brake is for everybody, whatever is down or not set up."""
    machine = {"data": there.way.database.parent, "local_people": "off"}

    assert paramedic("status", **machine).exit_code == 0
    assert paramedic("freeze", "--reason", "fire", **machine).exit_code == 0


def test_local_people_decide_where_there_is_no_slack_unless_it_is_said_otherwise():
    """What holds where nobody has said anything is the safe thing beside Slack."""
    told = {
        (slack, said): Settings(slack=slack, local_people=said).local_people_decide
        for slack, said in DECIDING
    }

    assert told == DECIDING
