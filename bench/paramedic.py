"""The product as a contender: `paramedic up` with one automatic runbook that looks, acts, looks again.

It runs as people run it: its own embedded Temporal server, its ledger, its policy.  Only Slack is
off, because the bare program talks to nobody either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path

from bench.contenders import Contender
from bench.processes import child, free_port, program
from bench.wire import answers

TOKEN = "bench-token"

RUNBOOK = """\
runbook: service-broken
summary: Mends a service that says that it is broken.
owner: bench
autonomy: automatic

when:
  - alert: ServiceBroken
target: "{{ labels.instance }}"

check:
  - name: The service is broken
    uses: http.check
    with: {endpoint: service, path: "/state/{{ target }}"}
    expect: result.json.broken

do:
  - name: Mend the service
    uses: http.request
    with: {endpoint: service, path: "/act/{{ target }}", method: POST, body: {}}
    undo: none

verify:
  - name: The service is whole
    uses: http.check
    with: {endpoint: service, path: "/state/{{ target }}"}
    expect: not result.json.broken
    within: 10s
"""

CONNECTIONS = """\
endpoints:
  service: {{url: "http://127.0.0.1:{port}"}}
"""


@asynccontextmanager
async def run_paramedic(folder: Path, sink_port: int) -> AsyncIterator[Contender]:
    """Run the product for as long as the block lasts."""
    port, temporal_port = free_port(), free_port()
    data, runbooks, connections = folder / "data", folder / "runbooks", folder / "connections.yaml"
    runbooks.mkdir()
    (runbooks / "service-broken.yaml").write_text(RUNBOOK, encoding="utf-8")
    connections.write_text(CONNECTIONS.format(port=sink_port), encoding="utf-8")
    environ = {
        "PARAMEDIC_DATA": str(data),
        "PARAMEDIC_RUNBOOKS": str(runbooks),
        "PARAMEDIC_CONNECTIONS": str(connections),
        "PARAMEDIC_HTTP_PORT": str(port),
        "PARAMEDIC_SLACK": "off",
        "PARAMEDIC_TEMPORAL_PORT": str(temporal_port),
        "PARAMEDIC_WEBHOOK_TOKENS": TOKEN,
    }
    async with child("paramedic", [program("paramedic"), "up"], folder / "paramedic.log", environ) as up:
        await up.wait_until(lambda: answers(port))

        async def endings() -> Mapping[str, float]:
            return read_endings(data / "ledger.db")

        yield Contender("paramedic", port, temporal_port, (up.pid,), endings, TOKEN)


def read_endings(ledger: Path) -> dict[str, float]:
    """Return when the ending of each target's remediation was recorded; unix seconds."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT object, at FROM record WHERE kind = 'ending'").fetchall()
    return {target: datetime.fromisoformat(at).timestamp() for target, at in rows}
