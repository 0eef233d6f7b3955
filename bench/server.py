"""The Temporal server that both contenders run on: the dev server, tuned.

As it comes, each workflow task waits up to 50 ms for the next permitted read of a queue, and SQLite
runs with a rollback journal.  The flags below are the ones that the product's embedded server has;
`python -m bench` compares the two command lines and says so where they differ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from bench.processes import Child, child, program

NAMESPACE = "paramedic"
_QUEUE_READS = 5000  # a second, for each shard; the default is 20
_QUEUES = ("transfer", "timer", "visibility")
_TASK_RETRY = 'history.workflowTaskRetryMaxInterval="5s"'
_OWN = ("--port", "--db-filename")  # these differ between two servers by necessity


def command(port: int, database: Path) -> list[str]:
    """Return the command line of a server that keeps its state in `database`."""
    tuned = [f"history.{queue}ProcessorMaxPollRPS={_QUEUE_READS}" for queue in _QUEUES] + [_TASK_RETRY]
    return [
        *(program("temporal"), "server", "start-dev", "--headless"),
        *("--ip", "127.0.0.1", "--port", str(port), "--namespace", NAMESPACE),
        *("--db-filename", str(database)),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"),
        *("--log-level", "error", "--disable-config-file", "--disable-config-env"),
        *(word for value in tuned for word in ("--dynamic-config-value", value)),
    ]


def flags(words: Iterable[str]) -> list[str]:
    """Return what a server's command line decides, without port and file, in a comparable order."""
    found: list[list[str]] = []
    for word in list(words)[1:]:
        if word.startswith("--") or not found:
            found.append([word])
        else:
            found[-1].append(word)
    return sorted(" ".join(flag) for flag in found if flag[0] not in _OWN)


def flags_of(roots: Iterable[int]) -> list[str]:
    """Return the `flags` of the Temporal server in the trees that begin at `roots`; empty where none runs."""
    for root in roots:
        tree = psutil.Process(root)
        for process in (tree, *tree.children(recursive=True)):
            if "start-dev" in process.cmdline():
                return flags(process.cmdline())
    return []


@asynccontextmanager
async def temporal_server(port: int, folder: Path) -> AsyncIterator[Child]:
    """Run a server with a fresh database in `folder` for as long as the block lasts."""
    words = command(port, folder / "temporal.db")
    async with child("the Temporal server", words, folder / "temporal.log") as started:
        await started.wait_until(lambda: _is_ready(port))
        yield started


async def _is_ready(port: int) -> bool:
    try:
        await closing_times(port)
    except (RPCError, RuntimeError):  # RuntimeError: nobody listens yet
        return False
    return True


async def closing_times(port: int) -> dict[str, float]:
    """Return when each closed workflow was closed, by the last part of its id; unix seconds."""
    client = await Client.connect(
        f"127.0.0.1:{port}", namespace=NAMESPACE, data_converter=pydantic_data_converter
    )
    return {
        execution.id.rsplit("/", 1)[-1]: execution.close_time.timestamp()
        async for execution in client.list_workflows()
        if execution.close_time is not None
    }
