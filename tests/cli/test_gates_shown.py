"""Gates at the terminal: what lint finds, what `show`, `plan` and `status` say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.cli.operations import show_status
from bot.operations import GateLine, Status, StatusLine
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.records import NOON

CHAIN = "  approvers: [sre-oncall, dba]\n  need: 2\n  otherwise: [chiefs, within 30m, stop]\n"
STEP = "    undo: none\n    gate: {approvers: [dba], within: 5m, if: labels.env == 'prod'}\n"
FULL = GOOD.replace("  approvers: [sre-oncall]\n", CHAIN).replace("    undo: none\n", STEP)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "disk-full.yaml").write_text(FULL)
    return tmp_path


@pytest.mark.parametrize(
    ("members", "slack", "found"),
    [
        ("[local:a, local:b]", "off", False),
        ("[local:a]", "off", True),
        ("[local:a]", "on", False),
    ],
)
def test_lint_finds_a_gate_that_nobody_could_pass(folder, members, slack, found):
    """Without Slack the connections file says who everybody is; with it, that is asked at the click."""
    connections = folder / "connections.txt"
    connections.write_text(f"groups:\n  sre-oncall: {{members: {members}}}\n  dba: {{members: [local:a]}}\n")

    result = paramedic("runbook", "lint", runbooks=folder, connections=connections, slack=slack)

    assert (
        "2 must approve, and `sre-oncall` and `dba` and `chiefs` have 1 members" in result.output
    ) is found
    assert result.exit_code == int(found)


def test_a_gate_is_shown_with_its_chain_and_a_step_with_its_own(folder):
    """As it is written, conditions included."""
    shown = " ".join(paramedic("runbook", "show", "disk-full", runbooks=folder).stdout.split())

    assert "2 of sre-oncall or dba must approve within 15m" in shown
    assert "otherwise chiefs too, within 30m, then stop" in shown
    assert "gate: 1 of dba must approve within 5m, if labels.env == 'prod'" in shown


def test_a_plan_says_who_is_asked_for_this_alert(folder):
    """Conditions are decided in it: what stands there is what people will be asked."""
    arguments = ("runbook", "plan", "disk-full", "-l", "instance=web-1", "--result", "disk.value=0.95")
    prod = " ".join(paramedic(*arguments, "-l", "env=prod", runbooks=folder).stdout.split())
    staging = " ".join(paramedic(*arguments, "-l", "env=staging", runbooks=folder).stdout.split())

    assert "otherwise chiefs too, within 30m, then stop" in prod
    assert "gate: 1 of dba must approve within 5m" in prod
    assert "nobody is asked" in staging
    assert "gate: 1 of dba" not in staging


def test_the_status_says_what_a_gate_still_waits_for(capsys, monkeypatch):
    """Who is asked now and how long, how many are missing, who is next, and before which step."""
    monkeypatch.setenv("COLUMNS", "160")
    place = {"remediation": "R-7F3K2Q", "runbook": "disk-full", "target": "web-1"}
    gate = GateLine(
        **place, approvers=("sre-oncall",), need=3, given=1, expires_at=NOON + timedelta(minutes=30),
        asked_until=NOON + timedelta(minutes=15), then=("chiefs",), step="Restart it",
    )  # fmt: skip

    line = StatusLine(**place, phase="asking", since=NOON)
    show_status(Status(frozen=(), running=(line,), gates=(gate,)), NOON + timedelta(seconds=97))

    said = "2 more of sre-oncall until 03:22 UTC, then chiefs too (Restart it)"
    assert said in " ".join(capsys.readouterr().out.split())


def test_the_status_names_the_gates_where_several_wait(capsys, monkeypatch):
    """None of them hides another."""
    monkeypatch.setenv("COLUMNS", "160")
    place = {"remediation": "R-7F3K2Q", "runbook": "disk-full", "target": "web-1"}
    gates = tuple(
        GateLine(**place, gate=name, approvers=(group,), expires_at=NOON)
        for name, group in (("gate-1", "sre-oncall"), ("step-2", "dba"))
    )

    show_status(
        Status(frozen=(), running=(StatusLine(**place, phase="asking", since=NOON),), gates=gates), NOON
    )

    said = "gate-1: sre-oncall until 03:07 UTC; step-2: dba until 03:07 UTC"
    assert said in " ".join(capsys.readouterr().out.split())
