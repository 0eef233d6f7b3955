"""`python -m bench.storm`: a night on which everything breaks at once.

10,000 distinct alerts and 100,000 repetitions of them within a minute, fifty a POST, against
`paramedic up` with its embedded Temporal server.  The runbook that they are for may act once on
each service.  In the middle of it another service breaks, whose runbook asks people, and somebody
answers on the card in the practice workspace.

What must hold, whatever the machine (exit code 1 where it does not): every POST is answered 200;
every alert is on record, and explained there, within the minute and a bounded time after it; no
service is acted on more often than allowed; every repetition is counted as one; the gate of the
other service is asked, answered and acted upon; the ledger verifies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from activities.ledger.store import Ledger
from activities.ledger.verification import VerifiedState, verify
from bench.load import alert, notification, percentile
from bench.paramedic import CONNECTIONS as ENDPOINT
from bench.paramedic import RUNBOOK, TOKEN
from bench.processes import ContenderError, child, free_port, program
from bench.sink import Sink, sink
from bench.wire import Connection, answers, connected, render_request
from bot.practice.hands import Hands, NotSeenError
from bot.practice.server import PracticeServer
from bot.slack.card import APPROVE

SEED = 20
GROUP = 50  # alerts in a POST
SENDERS = 16  # connections
ASKED_AT, ANSWERED_AT = 0.2, 0.5  # of the storm: when the other service breaks, and when somebody answers
PATIENCE = 120.0  # seconds for a card to appear, and for an answer to be acted upon
LOOK_EVERY = 0.5  # seconds
ASKING = "ledger-db-1"

# One action for each service, however many of its alerts fire.
STORM_RUNBOOK = RUNBOOK.replace("{{ labels.instance }}", "{{ labels.service }}").replace(
    "\ncheck:", "\nlimits: {cooldown: 1h}\n\ncheck:", 1
)
ASKING_RUNBOOK = (
    RUNBOOK.replace("service-broken", "database-broken")
    .replace("ServiceBroken", "DatabaseBroken")
    .replace("autonomy: automatic", "autonomy: gated")
    .replace("\ndo:", "\ngate: {approvers: [sre-oncall], within: 15m}\n\ndo:", 1)
)


@dataclass(frozen=True)
class Plan:
    """How much of a storm.  `within`: seconds; `drain`: how long it may take after that until all is explained."""

    distinct: int
    repeated: int
    services: int
    within: float
    drain: float


@dataclass
class Found:
    """What the storm showed; seconds and MiB."""

    answers: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    late: float = 0.0  # how far behind its time the last POST was sent
    asked_after: float = 0.0
    acted_after: float = 0.0
    memory: dict[str, list[float]] = field(default_factory=dict)
    explained_after: float | None = None
    received: int = 0
    explained: int = 0
    suppressed: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    verified: str = ""


def broken(name: str, service: str) -> dict[str, Any]:
    """Return an alert of its own of a service."""
    told = alert(name)
    told["labels"]["service"] = service
    return told


def posts(plan: Plan) -> Iterator[tuple[float, bytes]]:
    """Yield when each POST is due, seconds, and its bytes: new alerts, and repetitions of those told before."""
    order = random.Random(SEED)
    told: list[dict[str, Any]] = []
    total = (plan.distinct + plan.repeated) // GROUP
    new_every = total / (plan.distinct / GROUP)
    number_new = 0
    for number in range(total):
        if number >= number_new * new_every:
            first = number_new * GROUP
            group = [
                broken(f"pod-{n:05}", f"service-{n % plan.services:05}") for n in range(first, first + GROUP)
            ]
            told += group
            number_new += 1
        else:
            group = order.sample(told, GROUP)
        yield number * plan.within / total, _request(group)


def _request(group: Sequence[Mapping[str, Any]]) -> bytes:
    return render_request("POST", "/alerts/alertmanager", notification([dict(each) for each in group]), TOKEN)


class Storm:
    """One storm on one installation."""

    def __init__(self, plan: Plan, port: int, target: Sink, hands: Hands, ledger: Path, pid: int) -> None:
        self.plan = plan
        self.found = Found()
        self._port = port
        self._sink = target
        self._hands = hands
        self._ledger = ledger
        self._pid = pid
        self._watched = Explained(ledger)

    async def run(self) -> Found:
        """Let it rage, wait until all is explained, and say what was seen."""
        rendered = list(posts(self.plan))
        self._note_memory()
        watching = asyncio.create_task(self._watch_memory())
        begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_all(rendered))
                group.create_task(self._gate(begun))
                group.create_task(self._until_explained(begun + self.plan.within))
        finally:
            watching.cancel()
        self._note_memory()
        await self._count()
        return self.found

    async def _send_all(self, rendered: Sequence[tuple[float, bytes]]) -> None:
        begun, waiting = time.monotonic(), iter(rendered)

        async def send(connection: Connection) -> None:
            for due, request in waiting:  # shared: each connection takes the next
                await asyncio.sleep(max(0.0, begun + due - time.monotonic()))
                self.found.late = time.monotonic() - begun - due
                await self._send(connection, request)

        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(connected(self._port)) for _ in range(SENDERS)]
            await asyncio.gather(*map(send, opened))

    async def _send(self, connection: Connection, request: bytes) -> None:
        at = time.monotonic()
        answer = await connection.ask(request)
        self.found.waits.append(time.monotonic() - at)
        self.found.answers[answer.status] += 1

    async def _gate(self, begun: float) -> None:
        """Break another service, wait for its card, answer in the middle of the storm, wait for the action."""
        await asyncio.sleep(self.plan.within * ASKED_AT)
        asked = broken(ASKING, ASKING)
        asked["labels"]["alertname"] = "DatabaseBroken"
        at = time.monotonic()
        async with connected(self._port) as connection:
            await self._send(connection, _request([asked]))
        try:
            button = await self._hands.wait_for_button(APPROVE, timeout=PATIENCE, as_person="alice")
        except NotSeenError:
            return  # the rule that it is acted upon is broken
        self.found.asked_after = time.monotonic() - at
        await asyncio.sleep(max(0.0, begun + self.plan.within * ANSWERED_AT - time.monotonic()))
        at = time.monotonic()
        await self._hands.press_button(button)
        while not await self._acted_on_asking() and time.monotonic() - at < PATIENCE:  # noqa: ASYNC110 - the sink is another process
            await asyncio.sleep(0.05)
        self.found.acted_after = time.monotonic() - at

    async def _acted_on_asking(self) -> bool:
        log = await self._sink.log()
        return ASKING in log and bool(log[ASKING].acted)

    async def _until_explained(self, end: float) -> None:
        """Wait until every alert is explained, or the time for that is over."""
        while time.monotonic() < end + self.plan.drain:
            await asyncio.to_thread(self._watched.look)
            if self._watched.complete(self.plan.distinct + 1):
                self.found.explained_after = max(0.0, time.monotonic() - end)
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _count(self) -> None:
        found = self.found
        found.received, found.explained = len(self._watched.received), self._watched.explained
        found.actions = Counter(
            {name: len(log.acted) for name, log in (await self._sink.log()).items() if log.acted}
        )
        async with connected(self._port) as connection:
            page = (await connection.ask(render_request("GET", "/metrics", token=TOKEN))).body.decode()
        counted = [
            line for line in page.splitlines() if line.startswith("paramedic_duplicates_suppressed_total{")
        ]
        found.suppressed = sum(round(float(line.split()[-1])) for line in counted)
        found.verified = await asyncio.to_thread(_verify, self._ledger)

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._note_memory()

    def _note_memory(self) -> None:
        root = psutil.Process(self._pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                name = "paramedic" if process.pid == self._pid else process.name()
                self.found.memory.setdefault(name, []).append(process.memory_info().rss / 2**20)


class Explained:
    """Which alerts are on record, and which of them are explained: admitted, joined, or explained in words."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._seq = -1
        self.received: set[str] = set()
        self._settled: set[str] = set()

    @property
    def explained(self) -> int:
        """How many of those received are."""
        return len(self.received & self._settled)

    def complete(self, number: int) -> bool:
        """Return whether so many were received, and each is explained."""
        return len(self.received) >= number and self.received <= self._settled

    def look(self) -> None:
        """Read on."""
        kinds = "('alert.received', 'alert.joined', 'alert.explained', 'admission')"
        query = f"SELECT seq, kind, outcome, body FROM record WHERE seq > ? AND kind IN {kinds} ORDER BY seq"
        with closing(sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True)) as database:
            for seq, kind, outcome, body in database.execute(query, (self._seq,)):
                self._seq = seq
                data = json.loads(body)["data"]
                if kind == "alert.received":
                    self.received.add(data["entry"])
                if kind == "admission":
                    self._settled.update(data["entries"])
                elif kind != "alert.received" or outcome == "unmatched":
                    self._settled.add(data["entry"])


def _verify(file: Path) -> str:
    ledger = Ledger.open(f"sqlite:///{file}", create=False)
    try:
        report = ledger.read_now(verify)
    finally:
        ledger.close()
    return "ok" if report.state is VerifiedState.OK else f"{report.state}: {report.problem}"


@asynccontextmanager
async def installed(folder: Path, plan: Plan) -> AsyncIterator[Storm]:
    """Run the product, the services that break and the workspace for as long as the block lasts."""
    port = free_port()
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "service-broken.yaml").write_text(STORM_RUNBOOK, encoding="utf-8")
    (folder / "runbooks" / "database-broken.yaml").write_text(ASKING_RUNBOOK, encoding="utf-8")
    async with sink(folder) as target, PracticeServer() as practice, Hands(practice.page_url) as hands:
        connections = ENDPOINT.format(port=target.port) + "groups: {sre-oncall: {}}\n"
        (folder / "connections.yaml").write_text(connections, encoding="utf-8")
        environ = {
            "PARAMEDIC_DATA": str(folder / "data"),
            "PARAMEDIC_RUNBOOKS": str(folder / "runbooks"),
            "PARAMEDIC_CONNECTIONS": str(folder / "connections.yaml"),
            "PARAMEDIC_HTTP_PORT": str(port),
            "PARAMEDIC_TEMPORAL_PORT": str(free_port()),
            "PARAMEDIC_WEBHOOK_TOKENS": TOKEN,
            "PARAMEDIC_SLACK_BASE_URL": practice.base_url,
            "PARAMEDIC_SLACK_BOT_TOKEN": practice.bot_token,
            "PARAMEDIC_SLACK_APP_TOKEN": practice.app_token,
        }
        async with child("paramedic", [program("paramedic"), "up"], folder / "paramedic.log", environ) as up:
            await up.wait_until(lambda: answers(port))
            yield Storm(plan, port, target, hands, folder / "data" / "ledger.db", up.pid)


def broken_rules(plan: Plan, found: Found) -> list[str]:
    """Return what did not hold, a sentence each."""
    others = found.actions.keys() - {ASKING}
    asked = plan.distinct + 1
    rules = {
        f"answers other than 200: {dict(found.answers)}": set(found.answers) == {200},
        f"on record are {found.received} of {asked} alerts": found.received == asked,
        f"explained are {found.explained} of {asked} alerts": found.explained == asked,
        f"{found.suppressed} of {plan.repeated} repetitions were counted": found.suppressed == plan.repeated,
        "a service was acted on more than once": all(found.actions[name] == 1 for name in others),
        f"acted on were {len(others)} of {plan.services} services": len(others) == plan.services,
        "the approved action was not done once": found.actions[ASKING] == 1,
        f"the ledger does not verify: {found.verified}": found.verified == "ok",
    }
    return [sentence for sentence, holds in rules.items() if not holds]


def render(plan: Plan, found: Found) -> Table:
    """Return the numbers as a table."""
    table = Table("storm", f"{plan.distinct} alerts and {plan.repeated} repetitions in {plan.within:g} s")
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.answers.items()))
    waits = [1000 * wait for wait in found.waits]
    table.add_row("answers", statuses)
    table.add_row(
        "time to answer",
        f"p50 {percentile(waits, 50):.0f} ms, p99 {percentile(waits, 99):.0f} ms, slowest {max(waits):.0f} ms",
    )
    table.add_row("last POST sent late by", f"{found.late:.1f} s")
    table.add_row("explained in the ledger", f"{found.explained} of {plan.distinct + 1}")
    drained = "not in time" if found.explained_after is None else f"{found.explained_after:.1f} s"
    table.add_row("all explained, after the minute", drained)
    table.add_row("repetitions counted", str(found.suppressed))
    acted = sum(found.actions.values())
    table.add_row("actions", f"{acted} on {len(found.actions)} targets, allowed {plan.services + 1}")
    table.add_row(
        "gate of another service",
        f"card after {found.asked_after:.1f} s, answer to action {found.acted_after:.1f} s",
    )
    for name, seen in found.memory.items():
        table.add_row(
            f"memory of {name}", f"{seen[0]:.0f} MiB before, {max(seen):.0f} peak, {seen[-1]:.0f} after"
        )
    table.add_row("ledger verify", found.verified)
    return table


async def run(plan: Plan, console: Console) -> bool:
    """Return whether every rule held."""
    with tempfile.TemporaryDirectory(prefix="paramedic-storm-") as name:
        async with installed(Path(name), plan) as storm:
            found = await storm.run()
    console.print(render(plan, found))
    problems = broken_rules(plan, found)
    for problem in problems:
        console.print(f"[red]broken: {problem}[/]")
    return not problems


def parse_arguments() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description="A storm of alerts")
    parser.add_argument("--distinct", type=int, default=10_000, help="distinct alerts (10000)")
    parser.add_argument("--repeated", type=int, default=100_000, help="repetitions of them (100000)")
    parser.add_argument(
        "--services", type=int, default=100, help="what they are about; each may be acted on once (100)"
    )
    parser.add_argument("--within", type=float, default=60.0, help="seconds (60)")
    parser.add_argument(
        "--drain", type=float, default=120.0, help="seconds after that until all is explained (120)"
    )
    return Plan(**vars(parser.parse_args()))


def main() -> int:
    console = Console()
    try:
        return 0 if uvloop.run(run(parse_arguments(), console)) else 1
    except ContenderError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
