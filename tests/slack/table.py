"""The table of what can go wrong at a gate in Slack: `python -m tests.slack.table`."""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.logs import configure_logs
from bot.slack.manifest import Mode
from tests.slack.cases import CASES, Case
from tests.slack.rig import Rig


async def run(each: Case, mode: Mode) -> tuple[bool, str]:
    """Run one case in one mode; return whether it went well, and what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            async with Rig.open(Path(folder), mode) as rig:
                return True, await each.story(rig)
        except Exception as error:  # noqa: BLE001 - one failed case must not hide the others
            return False, f"{type(error).__name__}: {error}"[:120]


async def print_table() -> int:
    """Run every case and print the table.  Return how many failed."""
    table = Table("case", "mode", "s", "result", box=None, pad_edge=False)
    failures = 0
    for each in CASES:
        for mode in each.modes:
            begin = time.monotonic()
            well, result = await run(each, mode)
            failures += not well
            took = f"{time.monotonic() - begin:.1f}"
            table.add_row(each.name, mode, took, result if well else f"[red]FAILED[/red] {result}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return failures


if __name__ == "__main__":
    configure_logs("text", io.StringIO())
    sys.exit(min(1, asyncio.run(print_table())))
