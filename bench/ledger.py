"""The ledger alone: how many records a second it takes, and how fast it is verified, in each database.

    python -m bench.ledger

Each append is acknowledged only when it is on the disk.  One caller waits for its own disk; many share
a commit.  The numbers belong to this machine's disk, more than to its processor.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from activities.ledger.store import Ledger
from activities.ledger.verification import VerifiedState, verify
from runbooks.model.record import Entry, RecordKind
from tests.postgres import find_programs, postgres

CALLERS = (1, 64)
SECONDS = 1.5
COMMITS, RECORDS, PAUSE = 100, 2, 0.01  # of each kind; records in each; seconds between them


@dataclass(frozen=True)
class Rate:
    """Appends by so many callers at once, each with one record at a time."""

    callers: int
    a_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Measured:
    """One database."""

    database: str
    rates: tuple[Rate, ...]
    records: int
    verified_a_second: float


async def measure(database: str, url: str) -> Measured:
    """Append, then verify what was appended.

    Raises:
        RuntimeError: it does not verify.
    """
    ledger = Ledger.open(url)
    try:
        rates = tuple([await _append(ledger, callers) for callers in CALLERS])
        begun = time.perf_counter()
        report = await ledger.read(verify)
        took = time.perf_counter() - begun
    finally:
        ledger.close()
    if report.state is not VerifiedState.OK:
        raise RuntimeError(f"{database}: {report.problem}")
    return Measured(database, rates, report.size, report.size / took)


async def _append(ledger: Ledger, callers: int) -> Rate:
    took: list[float] = []
    begun = time.perf_counter()

    async def append_until_the_end(caller: int) -> None:
        number = 0
        while (now := time.perf_counter()) - begun < SECONDS:
            await ledger.append(_entry(f"{callers}/{caller}/{number}", f"R-{caller}"))
            took.append(time.perf_counter() - now)
            number += 1

    async with asyncio.TaskGroup() as group:
        for caller in range(callers):
            group.create_task(append_until_the_end(caller))
    elapsed = time.perf_counter() - begun
    percentiles = quantiles(took, n=100)
    return Rate(callers, len(took) / elapsed, percentiles[49] * 1000, percentiles[98] * 1000)


def _entry(event_id: str, stream: str) -> Entry:
    """Return a record as large as those of actions are."""
    return Entry(
        event_id=event_id,
        stream=stream,
        kind=RecordKind.PROCESS,
        actor="bot:worker",
        source="bench",
        object="web-1.example.net",
        outcome="ok",
        data={"what": "started", "note": "x" * 300},
    )


@dataclass(frozen=True)
class Share:
    """How long an alert waits for the ledger until its action begins, on its way through an idle installation.

    It waits five times: for its body and for the intent until they are on the disk; for the taking in, for
    the admission, and for the checks with the plan, until they are written.

    Attributes:
        waits_ms: twice the median of the first kind of commit and three times that of the second, in milliseconds.
        of_ms: from the alert to its action.
    """

    waits_ms: float
    of_ms: float


async def measure_share(alert_to_action_ms: float) -> Share:
    """Measure both kinds of commit on SQLite, with pauses as between the steps of a remediation."""
    with tempfile.TemporaryDirectory(prefix="paramedic-bench-") as folder:
        ledger = Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}")
        try:
            on_disk, written = [await _wait_for_commit(ledger, durable=durable) for durable in (True, False)]
        finally:
            ledger.close()
    return Share(2 * on_disk + 3 * written, alert_to_action_ms)


async def _wait_for_commit(ledger: Ledger, *, durable: bool) -> float:
    took: list[float] = []
    for number in range(COMMITS):
        entries = [_entry(f"share/{durable}/{number}/{each}", "R-SHARE1") for each in range(RECORDS)]
        begun = time.perf_counter()
        await ledger.write(lambda t: [t.append(each) for each in entries], durable=durable)  # noqa: B023 - awaited here
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(PAUSE)
    return median(took) * 1000


def render_share(share: Share) -> str:
    """Return the line for people."""
    percent = 100 * share.waits_ms / share.of_ms
    return f"The ledger's share of alert to action: {share.waits_ms:.1f} of {share.of_ms:.1f} ms ({percent:.0f} %)."


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Yield the URL of an empty ledger in each database that this machine has."""
    with tempfile.TemporaryDirectory(prefix="paramedic-bench-") as folder:
        urls = {"SQLite": f"sqlite:///{Path(folder) / 'ledger.db'}"}
        if find_programs() is None:
            yield urls
            return
        with postgres() as server:
            yield {**urls, "PostgreSQL": server.database()}


async def measure_all() -> list[Measured]:
    """Measure each database that this machine has."""
    with databases() as urls:
        return [await measure(name, url) for name, url in urls.items()]


def render(found: list[Measured]) -> Table:
    """Return the table for people."""
    table = Table(title="The ledger: durable appends", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for callers in CALLERS:
        who = "1 caller" if callers == 1 else f"{callers} callers"
        table.add_column(f"{who},\na second", justify="right")
        table.add_column("p50, p99\nms", justify="right")
    table.add_column("verified\na second", justify="right")
    for each in found:
        cells = [
            cell
            for rate in each.rates
            for cell in (f"{rate.a_second:,.0f}", f"{rate.p50_ms:.2f}, {rate.p99_ms:.1f}")
        ]
        table.add_row(each.database, *cells, f"{each.verified_a_second:,.0f}")
    return table


def main() -> int:
    console = Console()
    found = uvloop.run(measure_all())
    console.print(render(found))
    if len(found) == 1:
        console.print("PostgreSQL is missing, and was not measured: apt-get install postgresql")
    return 0


if __name__ == "__main__":
    sys.exit(main())
