"""`paramedic status`, `run`, `freeze`, `thaw`: none of them needs Temporal."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from activities.freeze_file import FILE_NAME
from activities.ledger import inbox, remediations, versions
from activities.ledger.records import after
from activities.ledger.store import Ledger
from bot.cli.operations import show_status
from bot.operations import GateLine, Status, StatusLine
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.ledger.material import NIGHT, admitted, call, closing, delivery, received
from tests.ledgers import new_ledger
from tests.records import NOON

ASK = ("run", "disk-full", "-l", "instance=web-1", "-l", "env=prod")


@pytest.fixture
def house(tmp_path):
    """The settings of an installation with an empty ledger and one runbook."""
    runbooks = tmp_path / "catalog"
    runbooks.mkdir()
    (runbooks / "disk-full.yaml").write_text(GOOD)
    new_ledger(tmp_path / "ledger.db").close()
    return {"data": tmp_path, "runbooks": runbooks}


def read(house, query):
    """Ask the ledger."""
    ledger = Ledger.open(f"sqlite:///{house['data'] / 'ledger.db'}", create=False)
    try:
        return ledger.read_now(query)
    finally:
        ledger.close()


def test_nothing_in_progress_is_said(house):
    """An idle installation says so, in words and as JSON."""
    assert paramedic("status", **house).stdout == "Nothing is in progress.\n"
    assert json.loads(paramedic("status", "--json", **house).stdout) == {
        "frozen": [],
        "running": [],
        "gates": [],
        "kept": [],
        "windows": [],
        "windows_problem": "",
    }


def test_a_request_waits_in_the_inbox_with_its_person(house):
    """Who asked is on record, so that they cannot approve it themselves."""
    result = paramedic(*ASK, **house)

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "Asked for disk-full on web-1.")
    (entry,) = read(house, lambda c: after(c, -1, 10, {RecordKind.ALERT_RECEIVED}))
    assert (entry.data["runbook"], entry.data["target"]) == ("disk-full", "web-1")


def test_the_version_that_was_asked_for_is_kept(house):
    """The worker runs the text that this person's folder has."""
    requested = json.loads(paramedic(*ASK, "--json", **house).stdout)

    (entry,) = read(house, lambda c: inbox.entries(c, [requested["entry"]]))
    assert entry.requested_by.startswith("local:")
    assert read(house, lambda c: versions.text_of(c, entry.runbook_digest)) == GOOD


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", "disk-ful"), "disk-full"),
        (("run", "disk-full"), "instance"),
        (("run", "disk-full", "-l", "instance"), "NAME=VALUE"),
    ],
    ids=["another name", "a label is missing", "no value"],
)
def test_a_request_that_cannot_be_begun_is_explained(house, arguments, complaint):
    """Nothing is written where the runbook or a label is wrong."""
    result = paramedic(*arguments, **house)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert read(house, lambda c: after(c, -1, 10, {RecordKind.ALERT_RECEIVED})) == []


def test_the_brake_is_seen_in_the_status_until_it_is_lifted(house):
    """Freeze, status, thaw: the scope, the person and the reason."""
    frozen = paramedic("freeze", "--scope", "target=db-1", "--reason", "migration", **house)
    status = paramedic("status", **house).stdout
    thawed = paramedic("thaw", "--yes", "--scope", "target=db-1", **house)

    assert frozen.stdout == "FROZEN: the target db-1.\n"
    assert status.startswith("FROZEN: the target db-1, since ")
    assert ": migration\n" in status
    assert (thawed.exit_code, thawed.stdout) == (0, "No longer frozen: the target db-1.\n")
    assert "FROZEN" not in paramedic("status", **house).stdout


def test_a_freeze_is_lifted_only_where_that_is_meant(house):
    """To freeze asks for nothing; to thaw asks, and whoever says nothing has not said yes."""
    paramedic("freeze", "--scope", "label:team=payments", "--reason", "migration", **house)

    result = paramedic("thaw", "--scope", "label:team=payments", **house)

    assert (result.exit_code, result.stdout.strip()) == (1, "")
    assert "Let all with team=payments act again?" in result.stderr
    assert "FROZEN: all with team=payments" in paramedic("status", **house).stdout


def test_the_brake_works_without_a_ledger(tmp_path):
    """With the ledger gone, the file is written and the command says so."""
    result = paramedic("freeze", "--reason", "everything is on fire", data=tmp_path)

    assert result.exit_code == 0
    assert "FROZEN: everything." in result.stdout
    assert "The brake holds by its file" in result.stderr
    assert "everything is on fire" in (tmp_path / FILE_NAME).read_text()


@pytest.mark.parametrize(("command", "said"), [("freeze", "NOT frozen"), ("thaw", "NOT thawed")])
def test_nobody_believes_that_the_brake_moved_where_no_paramedic_is(tmp_path, command, said):
    """On a laptop without a login there is nothing to freeze: it says so, and leaves no file that nobody reads."""
    more = ("--reason", "fire") if command == "freeze" else ("--yes",)

    result = paramedic(command, *more, data=tmp_path / "nowhere")

    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith(
        f"{said}: nobody is logged in here, and no Paramedic runs on this machine"
    )
    assert f"paramedic login --url https://paramedic.example.net. Or say it in Slack: /runbook {command}" in (
        result.stderr
    )
    assert not (tmp_path / "nowhere").exists()


def test_a_freeze_needs_a_reason(house):
    """Those who find it frozen are told why."""
    assert paramedic("freeze", **house).exit_code == 2


def test_an_unknown_scope_is_explained(house):
    """A scope that would stop nothing is refused."""
    result = paramedic("freeze", "--scope", "db-1", "--reason", "x", **house)

    assert result.exit_code == 2
    assert "runbook=NAME, target=NAME or label:NAME=VALUE" in result.stderr


def test_thawing_what_is_not_frozen_says_so(house):
    """A script can tell that nothing was lifted."""
    result = paramedic("thaw", "--yes", "--scope", "target=db-1", **house)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "the target db-1 was not frozen" in result.stderr


@pytest.fixture
def kept(house):
    """The remediation that left web-1 in a state that nobody knows."""
    ledger = Ledger.open(f"sqlite:///{house['data'] / 'ledger.db'}", create=False)
    try:
        name = admitted(ledger, call(*received(ledger, delivery()))).remediation
        unknown = closing(name, Ending.FAILED, keep_lease=True)
        ledger.write_now(lambda t: remediations.close(t, unknown, at=NIGHT))
        return name
    finally:
        ledger.close()


def test_a_target_that_is_kept_is_seen_until_it_is_given_back(house, kept):
    """Status says what to do, `release` does it, with the person and the reason on record."""
    status = paramedic("status", **house).stdout
    (listed,) = json.loads(paramedic("status", "--json", **house).stdout)["kept"]
    released = paramedic("release", "web-1", "--reason", "it had restarted", **house)

    assert status.startswith(f"KEPT: web-1, since 2026-03-14 03:07:00 UTC: {kept} (disk-full) left an action")
    assert 'paramedic release web-1 --reason "..."' in status
    assert (listed["target"], listed["remediation"]) == ("web-1", kept)
    assert (released.exit_code, released.stdout) == (0, f"Given back: web-1, which {kept} had left.\n")
    (record,) = read(house, lambda c: after(c, -1, 10, {RecordKind.LEASE_RELEASED}))
    assert record.actor.startswith("local:")
    assert record.data == {"target": "web-1", "remediation": kept, "reason": "it had restarted"}
    assert paramedic("status", **house).stdout == "Nothing is in progress.\n"


def test_releasing_what_is_not_kept_says_so(house, kept):
    """A script can tell that nothing was given back, and a reason must be given."""
    result = paramedic("release", "web-2", "--reason", "x", **house)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "web-2 is not kept because of an unknown outcome" in result.stderr
    assert paramedic("release", "web-1", **house).exit_code == 2


def test_people_see_what_waits_for_whom(capsys, monkeypatch):
    """Each remediation in progress has a line; a gate says who is asked, and until when."""
    monkeypatch.setenv("COLUMNS", "100")
    place = {"remediation": "R-7F3K2Q", "runbook": "disk-full", "target": "web-1"}
    running = StatusLine(**place, phase="asking", since=NOON)
    gate = GateLine(**place, approvers=("sre-oncall",), expires_at=NOON + timedelta(minutes=15))

    show_status(Status(frozen=(), running=(running,), gates=(gate,)), NOON + timedelta(seconds=97))

    line = capsys.readouterr().out.splitlines()[1]
    assert line.split(maxsplit=6) == [
        *("R-7F3K2Q", "disk-full", "web-1", "asking", "1m", "37s"),
        "sre-oncall until 03:22 UTC",
    ]


def test_a_window_that_is_open_is_seen_in_the_status(house, tmp_path):
    """Whoever wonders why nothing is done sees it; a file that cannot be read is told as well."""
    windows = tmp_path / "windows.yaml"
    windows.write_text(
        "windows:\n"
        "  - {name: always, scope: 'label:team=payments', every: day, at: '00:00', for: 7d, zone: UTC, reason: The network moves.}\n"
        "  - {name: long ago, from: '2020-01-01T00:00:00Z', until: '2020-01-02T00:00:00Z', reason: x}\n"
    )

    seen = paramedic("status", windows=windows, **house).stdout
    windows.write_text("windows: 7\n")
    broken = paramedic("status", windows=windows, **house).stdout

    assert seen.startswith("MAINTENANCE: all with team=payments, until ")
    assert "(always): The network moves." in " ".join(seen.split())
    assert "long ago" not in seen
    assert broken.startswith("NOBODY ACTS: the maintenance windows cannot be read.")
    assert "windows.yaml:1:10: `windows` is a list" in "".join(broken.split("\n"))
