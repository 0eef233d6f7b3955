"""Completion: what the shell offers when a person presses Tab."""

from __future__ import annotations

import json

import pytest

from activities.ledger import remediations
from bot.cli import completing
from runbooks.model.remediation import Ending
from tests.cli.terminal import paramedic
from tests.ledger.material import NIGHT, admitted, call, closing, delivery, received
from tests.ledgers import new_ledger


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_the_script_of_each_shell(shell):
    """It is put where the shell looks for it; as JSON it is the same."""
    script = paramedic("completion", shell).stdout

    assert "_PARAMEDIC_COMPLETE" in script
    assert json.loads(paramedic("completion", shell, "--json").stdout)["script"] == script.rstrip("\n")


def test_another_shell_is_refused_with_those_that_there_are():
    """Nobody waits for a completion that never comes."""
    refused = paramedic("completion", "tcsh")

    assert refused.exit_code == 2
    assert "fish" in refused.stderr


def test_runbooks_are_offered_by_their_names(tmp_path, monkeypatch):
    """Only runbooks, and only those that begin so; a folder that is not there offers none."""
    for name in ("disk-full.yaml", "disk-slow.yml", "host-down.yaml", "notes.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.setenv("PARAMEDIC_RUNBOOKS", str(tmp_path))

    assert completing.runbook_names("disk") == ["disk-full", "disk-slow"]
    monkeypatch.setenv("PARAMEDIC_RUNBOOKS", str(tmp_path / "nowhere"))
    assert completing.runbook_names("") == []


def test_remediations_are_offered_by_their_ids(tmp_path, monkeypatch):
    """Those in progress where something can still be done, the newest ones where one looks back; in small letters too."""
    monkeypatch.setenv("PARAMEDIC_DATA", str(tmp_path))
    assert (completing.open_ids(""), completing.recent_ids("")) == ([], [])
    ledger = new_ledger(tmp_path / "ledger.db")
    over = admitted(ledger, call(*received(ledger, delivery("web-1")))).remediation
    ledger.write_now(lambda t: remediations.close(t, closing(over, Ending.MITIGATED), at=NIGHT))
    going = admitted(ledger, call(*received(ledger, delivery("web-2")), run="run-2")).remediation
    ledger.close()

    assert completing.open_ids("") == [going]
    assert completing.open_ids(going[:4].lower()) == [going]
    assert set(completing.recent_ids("R-")) == {over, going}


def test_the_shell_is_answered_in_its_own_words(tmp_path):
    """Commands, sub-commands and names, as bash asks for them."""
    (tmp_path / "disk-full.yaml").write_text("")

    def offered(line):
        words = line.split(" ")
        asked = {
            "_PARAMEDIC_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        return paramedic(environment=asked, runbooks=tmp_path).stdout.split()

    assert offered("paramedic time") == ["timeline"]
    assert "verify" in offered("paramedic ledger v")
    assert offered("paramedic run disk") == ["disk-full"]
