"""From a click to the action: how long a person who has decided waits for the bot.

    python -m bench.clicks

`paramedic up` and the practice workspace, which posts each click over HTTP, signed, as Slack does.
One question at a time on an idle machine; the click is a press on the card's button in the channel.
It ends with the `at` of the action's intent in the ledger: who clicked was looked up, the answer
was signed, judged and recorded, the checks were made again, and the action is about to begin.

The runbook's action changes something and interrupts nothing: what does has to be read first
(the press opens the plan), and how long people read is not the bot's business.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from bench.load import alert, notification
from bench.paramedic import CONNECTIONS as ENDPOINT
from bench.paramedic import RUNBOOK, TOKEN
from bench.processes import ContenderError, child, free_port, program
from bench.sink import Sink, sink
from bench.wire import answers, connected, render_request
from bot.http.application import SLACK
from bot.practice.hands import Button, Hands, Sight
from bot.practice.server import PracticeServer
from bot.slack.card import APPROVE

WARM_UP = 3  # clicks, not counted
CLICKS = 12
TARGET = 150.0  # ms, the median
WITHIN = 60.0  # seconds for each wait
LOOK_EVERY = 0.02  # seconds

ASKING_RUNBOOK = RUNBOOK.replace("autonomy: automatic", "autonomy: gated").replace(
    "\ndo:", "\ngate: {approvers: [sre-oncall], within: 15m}\n\ndo:", 1
)


@dataclass(frozen=True)
class Clicks:
    """What was measured, in milliseconds.

    Attributes:
        to_intent: from the press to the intent in the ledger.
        to_action: from the press to the action's arrival at its target.
        to_answer: from the press to the answer that Slack gets.
    """

    to_intent: tuple[float, ...]
    to_action: tuple[float, ...]
    to_answer: tuple[float, ...]


@dataclass(frozen=True)
class House:
    """The product, the workspace that it talks in, and what it acts on."""

    port: int
    sink: Sink
    hands: Hands
    ledger: Path

    async def click(self, target: str, seen: set[str]) -> tuple[float, float, float]:
        """Break `target`, press the button of its card, and return the three times, in milliseconds."""
        body = notification([alert(target)])
        async with connected(self.port) as connection:
            await connection.ask(render_request("POST", "/alerts/alertmanager", body, TOKEN))
        button = await self.hands.wait_for(lambda sight: _new_button(sight, seen), WITHIN)
        seen.add(button.value)
        await asyncio.sleep(1.0)  # the card's own messages are said by now, as when a person reads
        pressed = time.time()
        answer = await self.hands.press_button(button)
        answered = time.time()
        if answer != "acknowledged":
            raise ContenderError(f"the click on {target} was {answer}")
        intent = await self._at("action.intent", target)
        await self._at("ending", target)
        acted = (await self.sink.log())[target].acted[0]
        return 1000 * (intent - pressed), 1000 * (acted - pressed), 1000 * (answered - pressed)

    async def _at(self, kind: str, target: str) -> float:
        """Return when the first record of this kind about a target was made; unix seconds."""
        query = "SELECT at FROM record WHERE kind = ? AND object = ? ORDER BY seq LIMIT 1"
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as database:
                found = database.execute(query, (kind, target)).fetchone()
            if found:
                return datetime.fromisoformat(found[0]).timestamp()
            await asyncio.sleep(LOOK_EVERY)
        raise ContenderError(f"there is no {kind} of {target} after {WITHIN:.0f} s")


def _new_button(sight: Sight, seen: set[str]) -> Button | None:
    asked = (each for each in sight.buttons() if each.action_id == APPROVE and each.value not in seen)
    return next(asked, None)


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[House]:
    """Run everything for as long as the block lasts."""
    port = free_port()
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "service-broken.yaml").write_text(ASKING_RUNBOOK, encoding="utf-8")
    async with sink(folder) as target, PracticeServer() as practice, Hands(practice.page_url) as hands:
        connections = ENDPOINT.format(port=target.port) + "groups: {sre-oncall: {}}\n"
        (folder / "connections.yaml").write_text(connections, encoding="utf-8")
        await practice.call_over_http(f"http://127.0.0.1:{port}{SLACK}")
        environ = {
            "PARAMEDIC_DATA": str(folder / "data"),
            "PARAMEDIC_RUNBOOKS": str(folder / "runbooks"),
            "PARAMEDIC_CONNECTIONS": str(folder / "connections.yaml"),
            "PARAMEDIC_HTTP_PORT": str(port),
            "PARAMEDIC_TEMPORAL_PORT": str(free_port()),
            "PARAMEDIC_WEBHOOK_TOKENS": TOKEN,
            "PARAMEDIC_SLACK_BASE_URL": practice.base_url,
            "PARAMEDIC_SLACK_BOT_TOKEN": practice.bot_token,
            "PARAMEDIC_SLACK_MODE": "http",
            "PARAMEDIC_SLACK_SIGNING_SECRETS": practice.signing_secret,
        }
        async with child("paramedic", [program("paramedic"), "up"], folder / "paramedic.log", environ) as up:
            await up.wait_until(lambda: answers(port))
            yield House(port, target, hands, folder / "data" / "ledger.db")


async def measure() -> Clicks:
    """Press, again and again.

    Raises:
        ContenderError: a click was not taken, or nothing came of it.
    """
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="paramedic-bench-") as name:
        async with installed(Path(name)) as house:
            times = [await house.click(f"asked-{number:02}", seen) for number in range(WARM_UP + CLICKS)]
    intents, actions, acks = zip(*times[WARM_UP:], strict=True)
    return Clicks(intents, actions, acks)


def render(found: Clicks) -> Table:
    """Return the table for people."""
    table = Table(
        title="A click on a card, ms: median \\[min..max]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    for heading in ("paramedic", "target"):
        table.add_column(heading, justify="right")
    table.add_column("met")
    met = "[green]yes[/]" if median(found.to_intent) <= TARGET else "[red]no[/]"
    table.add_row("click to intent", _cell(found.to_intent), f"<= {TARGET:g} ms", met)
    table.add_row("click to action", _cell(found.to_action))
    table.add_row("click to answer", _cell(found.to_answer))
    return table


def _cell(values: tuple[float, ...]) -> str:
    return f"{median(values):.0f} \\[{min(values):.0f}..{max(values):.0f}]"


def main() -> int:
    console = Console()
    try:
        console.print(render(uvloop.run(measure())))
    except ContenderError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
