"""The bare Temporal program: what an expert would write with Temporal, a web server and SQLite.

One process.  An alert is answered 200 when it is durable in the inbox; feeders start one workflow
for each; the worker in the same process gets the first task with the answer to the start (eager
start).  There is no policy, no runbook, no ledger, no gate: it is the floor that the product is
measured against, so it may leave out everything but must not lose an alert or act twice.

    python -m bench.bare --port 8801 --temporal 127.0.0.1:7301 --service http://127.0.0.1:9001 --inbox inbox.db
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
import uvicorn
import uvloop
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from bench.bare_workflow import Order, Remedy, Service
from bench.server import NAMESPACE

TASK_QUEUE = "bare"
FEEDERS = 8


class Alert(BaseModel):
    """What is needed of one alert."""

    status: str
    labels: dict[str, str]
    starts_at: str = Field(alias="startsAt")
    fingerprint: str

    @property
    def key(self) -> str:
        """The same words twice have the same key."""
        return f"{self.fingerprint}@{self.starts_at}@{self.status}"


class Notification(BaseModel):
    """An Alertmanager notification, payload version 4."""

    alerts: list[Alert]


Row = tuple[str, str]
"""An inbox entry: key and target."""


@dataclass(frozen=True)
class _Addition:
    rows: Sequence[Row]
    durable: asyncio.Future[list[Row]]


class Inbox:
    """A table that alerts are durable in.  One thread writes; all who wait share one commit."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._orders: queue.SimpleQueue[_Addition | str | None] = queue.SimpleQueue()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS inbox (key TEXT PRIMARY KEY, target TEXT, done INTEGER DEFAULT 0)"
        )
        self._thread = threading.Thread(target=self._write, name="inbox")
        self._thread.start()

    async def add(self, rows: Sequence[Row]) -> list[Row]:
        """Make `rows` durable and return those that were not there before."""
        addition = _Addition(rows, self._loop.create_future())
        self._orders.put(addition)
        return await addition.durable

    def finish(self, key: str) -> None:
        """Note that Temporal has it.  Nobody waits: if the note is lost, it is started once more, in vain."""
        self._orders.put(key)

    def unfinished(self) -> list[Row]:
        """Return what an earlier process left.  Call it before anything is added."""
        return self._database.execute("SELECT key, target FROM inbox WHERE NOT done").fetchall()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._orders.put(None)
        self._thread.join()
        self._database.close()

    def _write(self) -> None:
        closing = False
        while not closing:
            batch = self._next_batch()
            closing = None in batch
            self._database.execute("BEGIN IMMEDIATE")
            settled = [(order, self._insert(order.rows)) for order in batch if isinstance(order, _Addition)]
            finished = [(order,) for order in batch if isinstance(order, str)]
            self._database.executemany("UPDATE inbox SET done = 1 WHERE key = ?", finished)
            self._database.execute("COMMIT")
            if settled:
                self._loop.call_soon_threadsafe(_settle, settled)

    def _next_batch(self) -> list[_Addition | str | None]:
        batch = [self._orders.get()]
        while not self._orders.empty():
            batch.append(self._orders.get())
        return batch

    def _insert(self, rows: Sequence[Row]) -> list[Row]:
        insert = "INSERT OR IGNORE INTO inbox (key, target) VALUES (?, ?)"
        return [row for row in rows if self._database.execute(insert, row).rowcount]


def _settle(settled: list[tuple[_Addition, list[Row]]]) -> None:
    for addition, new in settled:
        if not addition.durable.done():  # the sender may have gone away
            addition.durable.set_result(new)


class Program:
    """Web and feeders."""

    def __init__(self, inbox: Inbox, client: Client, attempts: int) -> None:
        self._inbox = inbox
        self._client = client
        self._attempts = attempts
        self._waiting: asyncio.Queue[Row] = asyncio.Queue()
        for row in inbox.unfinished():
            self._waiting.put_nowait(row)

    async def receive(self, request: Request) -> Response:
        """Answer 200 when every alert of the notification is durable."""
        try:
            notification = Notification.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        rows = {a.key: a.labels["instance"] for a in notification.alerts if a.status == "firing"}
        for row in await self._inbox.add(list(rows.items())):
            self._waiting.put_nowait(row)
        return JSONResponse({"alerts": len(notification.alerts)})

    async def feed(self) -> None:
        """Start one workflow after another."""
        while True:
            key, target = await self._waiting.get()
            with suppress(WorkflowAlreadyStartedError):  # by a process that died before it noted so
                await self._client.start_workflow(
                    Remedy.run,
                    Order(target=target, attempts=self._attempts),
                    id=f"alert/{key}/{target}",
                    task_queue=TASK_QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    request_eager_start=True,
                )
            self._inbox.finish(key)

    @asynccontextmanager
    async def feeding(self) -> AsyncIterator[None]:
        """Keep the feeders running for as long as the block lasts."""
        async with asyncio.TaskGroup() as group:
            feeders = [group.create_task(self.feed()) for _ in range(FEEDERS)]
            yield
            for feeder in feeders:
                feeder.cancel()


def build_web(program: Program, port: int) -> uvicorn.Server:
    """Wire the web server."""
    receive = Route("/alerts/alertmanager", program.receive, methods=["POST"])
    return uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[receive]),
            port=port,
            http="httptools",
            log_level="warning",
            access_log=False,
        )
    )


async def run(arguments: argparse.Namespace) -> None:
    """Run until SIGTERM."""
    inbox = Inbox(arguments.inbox, asyncio.get_running_loop())
    client = await Client.connect(
        arguments.temporal, namespace=NAMESPACE, data_converter=pydantic_data_converter
    )
    http = httpx.AsyncClient(base_url=arguments.service)
    service = Service(http)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Remedy],
        activities=[service.is_broken, service.act],
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_all_modules()
        ),
    )
    program = Program(inbox, client, arguments.attempts)
    async with http, worker, program.feeding():
        await build_web(program, arguments.port).serve()
    inbox.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The bare Temporal program")
    parser.add_argument("--port", type=int, required=True, help="port of the web server")
    parser.add_argument("--temporal", required=True, help="host:port of the Temporal server")
    parser.add_argument("--service", required=True, help="base URL of the target service")
    parser.add_argument("--inbox", required=True, help="SQLite file of the inbox")
    parser.add_argument("--attempts", type=int, default=1, help="how often an action is tried (1)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(run(parse_arguments()))
