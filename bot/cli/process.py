"""The commands that keep running: `up`, `serve` and `worker`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from bot.cli.terminal import new_commands

MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the C library: its threads share what they freed, and give it back: 5 MiB, and no slower, when measured.
And it asks for large pages, of which the processor finds again more after it had been idle
(docs/adr/0011).  Where the machine gives none, nothing changes."""

app = new_commands("Run Paramedic.")


@app.command()
def up() -> None:
    """Run everything that one machine needs: Temporal, the worker, webhooks, Slack, the ledger.

    All state is in one folder (PARAMEDIC_DATA); a restart continues where it was.
    """
    _become("all")


@app.command()
def serve() -> None:
    """Run the webhooks, metrics and the conversation in Slack, beside a Temporal cluster."""
    _become("web")


@app.command()
def worker() -> None:
    """Run the worker, which carries out remediations, beside a Temporal cluster."""
    _become("worker")


def _become(parts: str) -> NoReturn:
    """Go on as `bot.process`."""
    go_on_as("bot.process", parts)


def go_on_as(module: str, *arguments: str) -> NoReturn:
    """Become another program under the same process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, command, {**MEMORY, **os.environ})  # noqa: S606 - no shell is wanted
