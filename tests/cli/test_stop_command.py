"""`paramedic stop`: one remediation does nothing more, from a terminal too."""

from __future__ import annotations

import json

import pytest

from activities.ledger import stops
from activities.ledger.store import Ledger
from tests.cli.terminal import paramedic
from tests.ledger.material import admitted, call, delivery, received
from tests.ledgers import new_ledger
from tests.records import Telling
from tests.waiting import as_entry

MINE = """\
groups:
  sre-oncall: {{members: ["{who}"]}}
"""


@pytest.fixture
def house(tmp_path):
    """An installation with one remediation in progress, and a person who may stop it."""
    (tmp_path / "catalog").mkdir()
    ledger = new_ledger(tmp_path / "ledger.db")
    (entry,) = received(ledger, delivery())
    remediation = admitted(ledger, call(entry)).remediation
    told = Telling(remediation).admitted().planned().asked().records[1:]
    ledger.write_now(lambda t: [t.append(as_entry(each)) for each in told])
    ledger.close()
    return remediation, {"data": tmp_path, "runbooks": tmp_path / "catalog"}


def test_an_approver_stops_it_and_anybody_else_is_told_whom_to_ask(house, tmp_path, monkeypatch):
    """The same rule and the same record as from Slack."""
    remediation, settings = house
    monkeypatch.setattr("bot.cli.reach.who", lambda: "local:alice")
    refused = paramedic("stop", remediation, "--reason", "by hand", **settings)
    connections = tmp_path / "connections.yaml"
    connections.write_text(MINE.format(who="local:alice"))

    taken = paramedic(
        "stop", remediation, "--reason", "by hand", "--json", **settings, connections=connections
    )

    assert refused.exit_code != 0
    assert "ask somebody of sre-oncall" in refused.stderr
    assert json.loads(taken.stdout)["remediation"] == remediation
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", create=False)
    try:
        assert ledger.read_now(lambda c: stops.stopper_of(c, remediation)) == "local:alice"
    finally:
        ledger.close()
