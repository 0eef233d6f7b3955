"""A house: one whole installation of the product that faults are done to.

The bot lives in a child of the nursery, so that it can be killed and be back within a second.  The
target is a process of its own; Temporal is the product's own embedded server, either inside the bot's
life (`embedded`, as `paramedic up` runs it) or beside it, behind a proxy, so that the two can be hurt
one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.freeze_file import FILE_NAME
from activities.ledger import records
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from bench.processes import REPOSITORY
from bot.keys import ListenerKey
from bot.practice.hands import Hands
from bot.practice.server import PracticeServer
from bot.temporal_client import DATA_CONVERTER
from bot.temporal_server import TemporalServer, connect
from chaos.clock import MovedClock
from chaos.files import Files
from chaos.judge import Book, Delivery, Effect
from chaos.ports import lasting_port
from chaos.proxy import Proxy
from chaos.sender import Sender
from chaos.target import VICTIM
from chaos.targets import COMMANDS, ask_target, effects_of, target_process
from runbooks.model.record import Record, RecordKind

NAMESPACE = "paramedic"
TOKEN = "chaos-token"
READY_WITHIN = 60.0  # seconds
SETTLE_WITHIN = 180.0  # seconds until the next of what was delivered is explained, with no more harm done
LOOK_EVERY = 0.2  # seconds
DEAD_WITHIN = 60.0  # seconds until a life comes to the point at which it is to end
READY_EVERY = 0.05  # seconds; a thousand lives begin with it
_HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
"""

RUNBOOK = """\
runbook: {name}
summary: Mends what is broken.
autonomy: {autonomy}
when: [{{alert: {name}}}]
target: "{{{{ labels.instance }}}}"
limits: {{cooldown: {cooldown}}}
check:
  - name: It is broken
    uses: {check}
{gate}
do:
  - name: Mend it
    uses: {action}
    undo: none
verify:
  - name: It works
    uses: {verify}
    within: 20s
"""
_BROKEN = (
    'http.check\n    with: {endpoint: service, path: "/state/{{ target }}"}\n    expect: result.json.broken'
)
_ANY = (
    'http.check\n    with: {endpoint: service, path: "/state/{{ target }}"}\n    expect: result.status == 200'
)
_WHOLE = 'http.check\n    with: {endpoint: service, path: "/state/{{ target }}"}\n    expect: not result.json.broken'
_ACT = 'http.request\n    with: {endpoint: service, path: "/act/{{ target }}", method: POST, body: {}}'
_GUARDED = _ACT.replace("service", "guarded").replace("/act/", "/guarded/")
_MEASURED = (
    "prometheus.query\n    with: {query: 'errors{instance=\"{{ target }}\"}'}\n    expect: result.value > 0"
)
_SSH = 'ssh.run\n    with: {{host: web, argv: [sh, "{script}", "{{{{ target }}}}"]}}'
_RESTART = 'supervisor.restart\n    with: {supervisor: main, process: "{{ target }}"}'
_GATE = "gate: {approvers: [sre-oncall], within: 15m}"


def runbook(name: str, **parts: str) -> str:
    """Return a runbook that looks, acts and looks again, with some of its parts replaced."""
    usual = {
        "autonomy": "automatic",
        "gate": "",
        "cooldown": "0s",
        "check": _BROKEN,
        "action": _ACT,
        "verify": _WHOLE,
    }
    return RUNBOOK.format(name=name, **(usual | parts))


def runbooks(script: Path) -> dict[str, str]:
    """Return the runbooks of a house; `script` is what the command runs."""
    return {
        "mend": runbook("mend"),
        "ask": runbook("ask", autonomy="gated", gate=_GATE),
        "metric": runbook("metric", check=_MEASURED),
        "command": runbook("command", action=_SSH.format(script=script), verify=_BROKEN),
        "restart": runbook("restart", action=_RESTART, verify=_BROKEN),
        "guarded": runbook("guarded", action=_GUARDED),
        "rest": runbook("rest", cooldown="1h", check=_ANY),
    }


_SCRIPT = """\
sleep 0.3
echo "$1 $(date +%s.%N)" >> {file}
sync {file}
sleep 0.2
"""


class HouseError(Exception):
    """The house does not stand: the suite cannot say anything."""


@dataclass
class Life:
    """One life of the bot.

    Attributes:
        code: with which it ended; negative where a signal ended it.
    """

    pid: int
    ended: asyncio.Event
    code: int = 0


class House:
    """One installation.  Use `standing` to build one."""

    def __init__(self, folder: Path, *, embedded: bool, practice: PracticeServer | None) -> None:
        self.folder = folder
        self.embedded = embedded
        self.practice = practice
        self.hands = Hands(practice.page_url) if practice else None
        self.port, self.target_port, self._temporal_port = lasting_port(), lasting_port(), lasting_port()
        self.sender = Sender(self.port, folder / "sender.jsonl", TOKEN)
        self.kills = 0
        self.resumed: list[float] = []
        self._stack = contextlib.AsyncExitStack()
        self._temporal: TemporalServer | None = None
        self.proxy = Proxy(self._temporal_port)
        self._nursery: asyncio.subprocess.Process | None = None
        self._life: Life | None = None
        self._ledger: Ledger | None = None
        self._records: list[Record] = []
        self._clock = MovedClock(folder / "clock")
        self._clock_moves = False
        self.webhook_tokens = (TOKEN,)
        self.files = Files(folder)

    # --- building -----------------------------------------------------------------------------

    async def build(self, connections: Mapping[str, Any]) -> None:
        """Start everything, the first life of the bot included."""
        await self._stack.enter_async_context(target_process(self.folder, self.target_port))
        script = self.folder / "act.sh"
        script.write_text(_SCRIPT.format(file=self.folder / COMMANDS), encoding="utf-8")
        service = {"url": f"http://127.0.0.1:{self.target_port}", "timeout": "PT10S"}
        everything = {
            "endpoints": {"service": service, "guarded": {**service, "token": f"file:{self.files.token}"}},
            "prometheus": service,
            "groups": {"sre-oncall": {}},
            **connections,
        }
        self.files.write(runbooks(script), everything)
        if not self.embedded:
            await self._start_temporal()
        self._nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaos.nursery", stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
        )  # fmt: skip
        await self.live()

    async def _start_temporal(self) -> None:
        server = TemporalServer(self.folder / "temporal", port=self._temporal_port, namespace=NAMESPACE)
        await server.start()
        self._temporal = server
        self._stack.push_async_callback(server.stop)
        supervising = asyncio.create_task(server.supervise())
        self._stack.callback(supervising.cancel)
        await self.proxy.start()
        self._stack.push_async_callback(self.proxy.stop)

    async def close(self) -> None:
        """End everything that was started."""
        if self._life is not None and not self._life.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._life.pid, signal.SIGCONT)
                os.kill(self._life.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._life.ended.wait(), 30)
        if self._nursery is not None:
            with contextlib.suppress(ProcessLookupError):
                self._nursery.kill()
            await self._nursery.wait()
        if self._ledger is not None:
            self._ledger.close()
        if self.hands is not None:
            await self.hands.aclose()
        await self.sender.aclose()
        await self._stack.aclose()

    # --- the bot's lives ----------------------------------------------------------------------

    async def live(self, crash_at: str = "") -> None:
        """Let the bot begin a life, and wait until it is ready.

        Args:
            crash_at: where it will kill itself, `after_effect:2`; see `crash_points`.

        Raises:
            HouseError: it would not begin.  One that is killed before it is ready lived long enough.
        """
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        begun = time.monotonic()
        order = {
            "environ": self.environment,
            "parts": ["temporal", "web", "worker"] if self.embedded else ["web", "worker"],
            "crash_at": crash_at,
            "clock": str(self._clock.file) if self._clock_moves else "",
            "log": str(self.folder / "paramedic.log"),
        }
        self._nursery.stdin.write(json.dumps(order).encode() + b"\n")
        self._life = Life((await self._heard())["began"], asyncio.Event())
        (self.folder / "target" / VICTIM).write_text(str(self._life.pid))
        self._watching = asyncio.create_task(self._watch(self._life))
        await self.until(self._is_ready, READY_WITHIN, "the bot to be ready", every=READY_EVERY)
        if self._life.ended.is_set() and self._life.code >= 0:
            raise HouseError(f"the bot ended at once, with {self._life.code}\n{self.log()}")
        self.resumed.append(time.monotonic() - begun)

    async def _heard(self) -> dict[str, int]:
        assert self._nursery is not None
        assert self._nursery.stdout is not None
        line = await self._nursery.stdout.readline()
        if not line:
            raise HouseError("the nursery ended")
        news: dict[str, int] = json.loads(line)
        return news

    async def _watch(self, life: Life) -> None:
        life.code = (await self._heard())["code"]
        life.ended.set()

    async def _is_ready(self) -> bool:
        assert self._life is not None
        return self._life.ended.is_set() or await self.sender.is_ready()

    async def died(self) -> None:
        """Wait until this life is over.

        Raises:
            HouseError: it does not end by itself: the point at which it was to die was never reached.
        """
        assert self._life is not None
        try:
            await asyncio.wait_for(self._life.ended.wait(), DEAD_WITHIN)
        except TimeoutError:
            raise HouseError(f"the bot did not die within {DEAD_WITHIN:.0f} s\n{self.log()}") from None
        self.kills += 1

    async def kill(self) -> None:
        """Kill the bot with -9."""
        assert self._life is not None
        if not self._life.ended.is_set():
            self.signal(signal.SIGKILL)
            await self._life.ended.wait()
        self.kills += 1

    async def kill_unless_dead(self) -> None:
        """Kill the bot where it lives: the next life shall begin under other conditions."""
        if self.alive:
            await self.kill()

    async def stop(self) -> None:
        """Tell the bot to stop, and wait until it has."""
        assert self._life is not None
        self.signal(signal.SIGTERM)
        await asyncio.wait_for(self._life.ended.wait(), 60)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the bot."""
        assert self._life is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._life.pid, number)

    @property
    def alive(self) -> bool:
        """Whether the bot lives."""
        return self._life is not None and not self._life.ended.is_set()

    @property
    def pid(self) -> int:
        """The bot's process id."""
        assert self._life is not None
        return self._life.pid

    @property
    def environment(self) -> dict[str, str]:
        """What the bot is told."""
        slack = (
            {
                "PARAMEDIC_SLACK_BASE_URL": self.practice.base_url,
                "PARAMEDIC_SLACK_BOT_TOKEN": self.practice.bot_token,
                "PARAMEDIC_SLACK_APP_TOKEN": self.practice.app_token,
            }
            if self.practice
            else {"PARAMEDIC_SLACK": "off"}
        )
        temporal = (
            {"PARAMEDIC_TEMPORAL_PORT": str(self._temporal_port)}
            if self.embedded
            else {"PARAMEDIC_TEMPORAL_ADDRESS": f"127.0.0.1:{self.proxy.port}"}
        )
        own = {name: value for name, value in os.environ.items() if not name.startswith("PARAMEDIC_")}
        return own | slack | temporal | {
            "PARAMEDIC_DATA": str(self.folder / "data"),
            "PARAMEDIC_RUNBOOKS": str(self.files.runbooks),
            "PARAMEDIC_CONNECTIONS": str(self.files.connections),
            "PARAMEDIC_WINDOWS": str(self.files.windows),
            "PARAMEDIC_POLICY": str(self.files.policy),
            "PARAMEDIC_HTTP_PORT": str(self.port),
            "PARAMEDIC_WEBHOOK_TOKENS": ",".join(self.webhook_tokens),
            "PARAMEDIC_LOG_FORMAT": "text",
        }  # fmt: skip

    @contextlib.asynccontextmanager
    async def moving_clock(self) -> AsyncIterator[MovedClock]:
        """Let the bot live by a clock that can be moved, and by the right one again after."""
        await self._live_by(moves=True)
        try:
            yield self._clock
        finally:
            self._clock.move(timedelta())
            await self._live_by(moves=False)

    async def _live_by(self, *, moves: bool) -> None:
        await self.kill_unless_dead()
        self._clock_moves = moves
        await self.live()

    # --- what surrounds it --------------------------------------------------------------------

    @property
    def temporal(self) -> psutil.Process:
        """The Temporal server."""
        if self._temporal is not None:
            return psutil.Process(self._temporal.pid)
        return next(each for each in psutil.Process(self.pid).children() if "temporal" in each.name())

    @contextlib.contextmanager
    def temporal_stopped(self) -> Iterator[None]:
        """Let the Temporal server stand still."""
        server = self.temporal
        server.suspend()
        try:
            yield
        finally:
            server.resume()

    async def temporal_is_back(self) -> bool:
        """Return whether the server answers."""
        try:
            await connect(f"127.0.0.1:{self._temporal_port}", NAMESPACE)
        except (RuntimeError, RPCError):
            return False
        return True

    async def temporal_client(self) -> Client:
        """Return a client as anybody can have one who reaches the server."""
        return await Client.connect(
            f"127.0.0.1:{self._temporal_port}", namespace=NAMESPACE, data_converter=DATA_CONVERTER
        )

    async def target_has(self, prefix: str, fault: str) -> None:
        """Give every target of this prefix a fault; see `chaos.target`."""
        await ask_target(self.target_port, "PUT", f"/faults/{prefix}/{fault}")

    async def prometheus_says(self, what: str) -> None:
        """Let the stand-in for Prometheus answer `one`, `empty`, `nan`, `infinite`, `many`, `stale` or be `down`."""
        await ask_target(self.target_port, "PUT", f"/value/{what}")

    @contextlib.contextmanager
    def ledger_locked(self) -> Iterator[None]:
        """Let another process hold the ledger's write lock."""
        lock = subprocess.Popen(
            [sys.executable, "-c", _HOLD_THE_LOCK, str(self.folder / "data" / "ledger.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with lock:
            assert lock.stdout is not None
            lock.stdout.readline()
            try:
                yield
            finally:
                lock.kill()

    @property
    def freeze_file(self) -> Path:
        """The file that freezes everything."""
        return self.folder / "data" / FILE_NAME

    @property
    def listener_key(self) -> ListenerKey:
        """The key with which this installation seals decisions."""
        return ListenerKey.load_or_create(self.folder / "data" / "keys")

    # --- what the judge reads -----------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened a second time, as an auditor would."""
        if self._ledger is None:
            self._ledger = Ledger.open(f"sqlite:///{self.folder / 'data' / 'ledger.db'}", create=False)
        return self._ledger

    async def records(self) -> list[Record]:
        """Return all records so far, in order."""
        last = self._records[-1].seq if self._records else -1
        new = await self.ledger.read(lambda c: records.after(c, last, 1_000_000))
        self._records += map(self._clock.corrected, new)
        return self._records

    def effects(self) -> list[Effect]:
        """Return what was done to the targets, as they wrote it down."""
        return list(effects_of(self.folder))

    async def verified(self) -> str:
        """Return what is wrong with the ledger as a whole; empty where nothing is."""
        found = await self.ledger.read(verify)
        return "" if found.exit_code == 0 else f"the ledger does not verify: {found.problem}"

    async def settled(self, deliveries: Callable[[], list[Delivery]]) -> bool:
        """Wait until everything that was delivered is explained; False where it is not, in time."""

        try:
            await self.calm(deliveries, 0)
        except HouseError:
            return False
        return True

    async def calm(self, deliveries: Callable[[], list[Delivery]], most: int) -> None:
        """Wait until at most so many of these have no outcome: for as long as one after the other gets its own.

        Raises:
            HouseError: they are more, and none of them has got one for all that time.
        """
        left = await self.waiting(deliveries())
        while len(left) > most:
            await self._one_less(left)
            left = await self.waiting(deliveries())

    async def _one_less(self, left: list[Delivery]) -> None:
        async def there() -> bool:
            return len(await self.waiting(left)) < len(left)

        what = f"one of {len(left)} alerts to have its outcome"
        await self.until(there, SETTLE_WITHIN, what, every=4 * LOOK_EVERY)

    async def idle(self) -> None:
        """Wait until everything has its outcome, and Temporal knows of it: no workflow is open.

        Raises:
            HouseError: one still is, after all that time.
        """
        await self.calm(self.sender.deliveries, 0)
        client = await self.temporal_client()

        async def closed() -> bool:
            return (await client.count_workflows("ExecutionStatus = 'Running'")).count == 0

        await self.until(closed, SETTLE_WITHIN, "every workflow to be closed")

    async def waiting(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Return those that were delivered and have no outcome yet."""
        book = Book(await self.records())
        return [each for each in deliveries if not book.explains(each)]

    async def stream_of(self, target: str) -> str:
        """Wait until a remediation of `target` asks people, and return its id."""
        found: list[str] = []

        async def asked() -> bool:
            known = await self.records()
            admitted = {r.stream for r in known if r.kind is RecordKind.ADMISSION and r.object == target}
            found[:] = [r.stream for r in known if r.kind is RecordKind.GATE_ASKED and r.stream in admitted]
            return bool(found)

        await self.until(asked, 60, f"a gate for {target}")
        return found[-1]

    async def seen(self, kind: RecordKind, target: str, number: int = 1, within: float = 30.0) -> None:
        """Wait until there are that many records of this kind about `target`."""

        async def there() -> bool:
            known = await self.records()
            return sum(1 for r in known if r.kind is kind and r.object == target) >= number

        await self.until(there, within, f"{number} of {kind} about {target}")

    async def until(
        self, holds: Callable[[], Awaitable[bool]], within: float, what: str, *, every: float = LOOK_EVERY
    ) -> None:
        """Wait until `holds`.

        Raises:
            HouseError: it does not, in time; with the end of the bot's log.
        """
        deadline = time.monotonic() + within
        while not await holds():
            if time.monotonic() > deadline:
                raise HouseError(f"waited {within:.0f} s for {what}\n{self.log()}")
            await asyncio.sleep(every if every < within else within / 10)

    def log(self) -> str:
        """Return the end of what the bot printed."""
        file = self.folder / "paramedic.log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""


async def reset_to_beginning(client: Client, name: str) -> None:
    """Do to a workflow what an operator's `temporal workflow reset --type FirstWorkflowTask` does."""
    handle = client.get_workflow_handle(name)
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    events = handle.fetch_history_events()
    first = await anext(event async for event in events if event.event_type == completed)
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=name),
            reason="chaos",
            workflow_task_finish_event_id=first.event_id,
            request_id=f"reset-{name}",
        )
    )


@contextlib.asynccontextmanager
async def standing(
    folder: Path,
    *,
    embedded: bool = False,
    chat: bool = False,
    connections: Mapping[str, Any] | None = None,
) -> AsyncIterator[House]:
    """Build a house in `folder`, and take it down after.

    Args:
        embedded: Temporal is inside the bot's life, as in `paramedic up`.
        chat: there is a practice workspace; else Slack is off.
    """
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - takes no time
    async with contextlib.AsyncExitStack() as stack:
        practice = await stack.enter_async_context(PracticeServer()) if chat else None
        if practice is not None:
            practice.workspace.triggers.lifetime = 30.0  # a form must open on a slow machine too
        house = House(folder, embedded=embedded, practice=practice)
        try:
            await house.build(connections or {})
            yield house
        finally:
            await house.close()
