"""A contender, running: what the driver must know of it, and how the bare one is started."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import child, free_port
from bench.server import closing_times, temporal_server
from bench.wire import answers


@dataclass(frozen=True)
class Contender:
    """A running contender.

    Attributes:
        port: where it receives `POST /alerts/alertmanager`, on 127.0.0.1.
        token: bearer token of the webhook; empty where it asks for none.
        temporal_port: of its Temporal server.
        roots: process ids of the trees that are counted, its Temporal server included.
        endings: returns when each target's remediation ended by its own record; unix seconds.
    """

    name: str
    port: int
    temporal_port: int
    roots: tuple[int, ...]
    endings: Callable[[], Awaitable[Mapping[str, float]]]
    token: str = ""


@asynccontextmanager
async def run_bare(folder: Path, sink_port: int) -> AsyncIterator[Contender]:
    """Run the bare Temporal program and its server for as long as the block lasts."""
    port, temporal_port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "bench.bare", "--port", str(port)),
        *("--temporal", f"127.0.0.1:{temporal_port}"),
        *("--service", f"http://127.0.0.1:{sink_port}"),
        *("--inbox", str(folder / "inbox.db")),
    ]
    async with (
        temporal_server(temporal_port, folder) as server,
        child("the bare program", command, folder / "bare.log") as program,
    ):
        await program.wait_until(lambda: answers(port))

        async def endings() -> Mapping[str, float]:
            # Its only record is Temporal's: the closing of the workflow.
            return await closing_times(temporal_port)

        yield Contender("bare", port, temporal_port, (server.pid, program.pid), endings)
