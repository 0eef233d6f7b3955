"""One installation in which every command has something to do: a night, open gates, a kept target, old records, logins.

    installation = Installation(folder)
    paramedic("status", **installation.places["here"])

It is made once for many tests, so each command has a remediation, a target or a scope of its own, and
none takes from another what it needs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from activities.ledger import remediations
from activities.ledger.store import Ledger
from bot.sealer.process import seal_once
from bot.settings import Settings
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.cli.there import ANN, Port, There
from tests.components import free_port
from tests.docs.pages import ROOT
from tests.ledger.material import NIGHT, admitted, call, closing, delivery, entry, received
from tests.ledger.test_pruning import remediation
from tests.ledgers import new_ledger
from tests.records import Telling, a_good_night
from tests.waiting import as_entry

CONNECTIONS = """\
groups:
  sre-oncall: {members: ["local:ann"]}
"""

WHO = "local:ann"


class Installation:
    """Its folders, made as long as they are needed.

    Attributes:
        places: settings for commands, by the place where they are given.
        names: what stands in this installation, for arguments: `{stopped}`.
    """

    def __init__(self, folder: Path, port: Port) -> None:
        self._folder = folder
        catalog = folder / "catalog"
        catalog.mkdir(parents=True)
        (catalog / "disk-full.yaml").write_text(GOOD)
        connections = folder / "connections.yaml"
        connections.write_text(CONNECTIONS)
        said = {"runbooks": catalog, "connections": connections}
        self.there = There(folder, port)
        self.places: dict[str, dict[str, object]] = {
            "here": {"data": folder / "here", **said},
            "sealed": {"data": folder / "sealed", "checkpoint_folder": folder / "outside", **said},
            "lost": {"data": folder / "lost", "sealer_folder": folder / "another", **said},
            "laptop": {"configuration": folder / "laptop", "data": folder / "nowhere", "local_people": "off"},
            "guests": {"configuration": folder / "guests", "data": folder / "nowhere", "local_people": "off"},
            "nowhere": {"data": folder / "nowhere", "runbooks": folder / "nowhere"},
            "broken": {"configuration": self._broken_login(), "policy": folder / "nofile", "dtaa": "x"},
        }
        self.names: dict[str, object] = {
            **self._happenings(),
            "folder": folder,
            "root": ROOT,
            "url": self.there.url,
            "nobody": f"http://127.0.0.1:{free_port()}",
        }
        self._seal()
        for place in ("laptop", "guests"):
            self._do("login", "--url", self.there.url, place=place)
        issued = self._do("login", "issue", ANN, "--for", "1h", "--reason", "x", "--json")
        self.names["login"] = json.loads(issued)["id"]
        self._do("freeze", "--scope", "target=frozen", "--reason", "x")

    def close(self) -> None:
        """Nobody answers any more."""
        self.there.__exit__()

    def _do(self, *arguments: str, place: str = "here") -> str:
        result = paramedic(*arguments, **self.places[place])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def _broken_login(self) -> Path:
        file = self._folder / "broken" / "paramedic" / "login.json"
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        file.chmod(0o600)
        return self._folder / "broken"

    def _happenings(self) -> Mapping[str, str]:
        """Let things happen, and return what they are called."""
        ledger = new_ledger(self._folder / "here" / "ledger.db")
        stories = [
            a_good_night(),
            Telling("R-APPROVE").admitted().planned().asked(),
            Telling("R-DENY").admitted().planned().asked(),
            Telling("R-VERDICT").admitted().planned().intent().unknown().in_doubt(),
        ]
        for told in stories:
            asyncio.run(ledger.append(*map(as_entry, told.records)))
        seen = {"kind": RecordKind.CHECK, "outcome": "passed", "data": {"result": {"text": "bob"}}}
        ledger.write_now(lambda t: t.append(entry("R-REDACT/check/1", "R-REDACT", **seen)))
        stopped, kept = (_begun(ledger, target) for target in ("stopped", "kept"))
        asked = Telling(stopped).admitted().planned().asked().records[1:]
        ledger.write_now(lambda t: [t.append(as_entry(each)) for each in asked])
        unknown = closing(kept, Ending.FAILED, keep_lease=True)
        ledger.write_now(lambda t: remediations.close(t, unknown, at=NIGHT))
        ledger.close()
        return {"stopped": stopped}

    def _seal(self) -> None:
        """Let old remediations be sealed, and lose the sealer of a copy."""
        sealed, outside = self._folder / "sealed", self._folder / "outside"
        outside.mkdir()
        ledger = new_ledger(sealed / "ledger.db")
        old = remediation(ledger, "web-1", days=-400)
        remediation(ledger, "web-2")
        ledger.close()
        self.names["old"] = old
        places = {name: value for name, value in self.places["sealed"].items() if name != "connections"}
        variables = {f"PARAMEDIC_{name.upper()}": str(value) for name, value in places.items()}
        assert asyncio.run(seal_once(Settings.from_env(variables), everything=True))
        shutil.copytree(sealed, self._folder / "lost", ignore=shutil.ignore_patterns("sealer"))


def _begun(ledger: Ledger, target: str) -> str:
    (alert,) = received(ledger, delivery(target))
    return admitted(ledger, call(alert, run=target, target=target)).remediation
