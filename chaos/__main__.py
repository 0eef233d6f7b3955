"""`python -m chaos`: all faults in all houses at the same time, then the table.

The houses stand side by side, because most of the time of a fault is waiting: for a lost worker to
be missed, for a server to be back.  Exit code 0: every promise held, and the program without safety
broke some; 1: something did not hold; 2: the suite could not be run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvloop
from rich.console import Console

from bench.processes import ContenderError
from chaos.bare_house import run_bare
from chaos.changes import CHANGES
from chaos.crashes import CRASHES
from chaos.fault import Fault
from chaos.house import HouseError, standing
from chaos.people import BRAKES, PEOPLE
from chaos.report import Row, as_json, p95, render
from chaos.run import Plan, Tell, run_faults
from chaos.sender import GaveUpError
from chaos.surroundings import SURROUNDINGS
from tests.components import sshd

TABLE_WIDTH = 160  # characters; a table without its numbers is none
LEAST_KILLS = 1_000
"""Of the long version in its full scale."""


class Suite:
    """What is run, and what came of it so far."""

    def __init__(self, folder: Path, plan: Plan, only: Sequence[str], tell: Tell) -> None:
        self._folder = folder
        self._plan = plan
        self._only = only
        self._tell = tell
        self.resumed: list[float] = []

    async def run(self) -> list[Row]:
        """Run everything, and return the rows: crashes, surroundings, changes, people, and the bare program."""
        parts: list[Callable[[], Awaitable[list[Row]]]] = [
            lambda: self._in_house("crashes", CRASHES),
            lambda: self._in_house("surroundings", (*SURROUNDINGS, *BRAKES)),
            lambda: self._in_house("changes", CHANGES),
            lambda: self._in_house("people", PEOPLE, embedded=True, chat=True),
        ]
        if not self._only:
            parts.append(lambda: run_bare(self._folder / "bare", self._plan, self._tell))
        return [row for rows in await asyncio.gather(*(part() for part in parts)) for row in rows]

    async def _in_house(
        self, name: str, faults: Sequence[Fault], *, embedded: bool = False, chat: bool = False
    ) -> list[Row]:
        wanted = [fault for fault in faults if not self._only or fault.name in self._only]
        if not wanted:
            return []
        async with (
            connections(self._folder / f"{name}-host", wanted) as connected,
            standing(self._folder / name, embedded=embedded, chat=chat, connections=connected) as house,
        ):
            rows = await run_faults(house, wanted, self._plan, self._tell)
            self.resumed += house.resumed[1:]  # the first one made the database
        return rows


@contextlib.asynccontextmanager
async def connections(folder: Path, faults: Sequence[Fault]) -> AsyncIterator[Mapping[str, Any]]:
    """Run the further systems that these faults need, and say where they are."""
    if not any(fault.runbook == "command" for fault in faults):
        yield {}
        return
    async with sshd(folder) as server:
        web = {
            "address": "127.0.0.1",
            "port": server.port,
            "user": server.user,
            "host_key": server.host_key,
            "private_key": f"file:{server.private_key}",
            "state_directory": str(folder / "state"),
        }
        yield {"hosts": {"web": web}}


def objections_to(rows: Sequence[Row], plan: Plan, *, complete: bool) -> list[str]:
    """Return, for people, what did not hold."""
    said = [
        f"{row.fault}: {problem}"
        for row in rows
        if row.safe and not row.holds
        for problem in (*row.objections, *row.findings.problems[:5])
    ]
    said += [
        f"{row.fault}, without safety: {word}" for row in rows if not row.safe for word in row.objections
    ]
    if not complete:
        return said
    if not sum(row.findings.duplicates for row in rows if not row.safe):
        said.append("the program without safety did nothing twice: this run proves nothing")
    kills = sum(row.kills for row in rows if row.safe)
    if plan.long and plan.scale >= 1 and kills < LEAST_KILLS:
        said.append(f"only {kills} kills")
    return said


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="The fault suite")
    parser.add_argument("--long", action="store_true", help="at least 1,000 kills; about half an hour")
    parser.add_argument("--tries", type=float, default=1.0, help="scale of the number of tries (1)")
    parser.add_argument("--seed", type=int, help="repeat the chances of an earlier run")
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", help="run this fault; may be repeated"
    )
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the houses' folders for looking at them")
    return parser.parse_args()


def main() -> int:
    """Run the suite; return the exit code."""
    arguments, console = parse_arguments(), Console()
    console.width = max(console.width, TABLE_WIDTH)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # the practice workspace's own words
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    plan = Plan(seed, long=arguments.long, scale=arguments.tries)
    folder = Path(tempfile.mkdtemp(prefix="paramedic-chaos-"))
    begun = time.monotonic()
    console.print(f"seed {seed}" + (f", houses in {folder}" if arguments.keep else ""))
    suite = Suite(
        folder, plan, arguments.only, lambda word: console.print(f"  {word}", style="dim", highlight=False)
    )
    try:
        rows = uvloop.run(suite.run())
    except (HouseError, ContenderError, GaveUpError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return conclude(rows, plan, suite, arguments, time.monotonic() - begun, console)


def conclude(
    rows: Sequence[Row],
    plan: Plan,
    suite: Suite,
    arguments: argparse.Namespace,
    seconds: float,
    console: Console,
) -> int:
    """Show the table, write the file, and return the exit code."""
    console.print(render(rows))
    console.print(
        f"{sum(row.kills for row in rows if row.safe)} kills; ready again within {p95(suite.resumed)} s (p95, "
        f"interpreter loaded); {seconds:.0f} s; again with: make chaos SEED={plan.seed}{' LONG=1' if plan.long else ''}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    objections = objections_to(rows, plan, complete=not arguments.only)
    for word in objections:
        console.print(word, style="red", markup=False, highlight=False, soft_wrap=True)
    if arguments.out:
        found = as_json(rows, seed=plan.seed, seconds=seconds, resumed=suite.resumed)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        console.print(f"written: {arguments.out}")
    return 1 if objections else 0


if __name__ == "__main__":
    sys.exit(main())
