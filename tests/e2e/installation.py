"""A whole installation in a folder: the real `paramedic up` as a child process, a practice workspace, and a sink.

    async with installation(folder, runbooks={"mend": TEXT}) as home:
        await home.start()
        await home.post(alert("Broken", service="web"))
        story = await home.ended("web")

The bot is killed and started again as often as a test likes; everything else stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from activities.ledger import records
from activities.ledger.store import Ledger
from bot.http.application import SLACK
from bot.http.server import HttpServer
from bot.practice.hands import Button, Hands, HandsError
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack.card import APPROVE
from bot.slack.manifest import Mode
from runbooks.model.record import SYSTEM, Record, RecordKind
from runbooks.policy.story import Story, read_story
from tests.components import free_port
from tests.e2e.terminal import Terminal

TOKEN = "webhook-token"
READY_WITHIN = 40.0  # seconds
_HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()  # until whoever started this ends it, or ends
"""
_minutes = itertools.count()


class Sink:
    """The target: broken until it is mended, and it remembers how often each was mended, under which keys."""

    def __init__(self) -> None:
        self.mended: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.helps = True
        self._server = HttpServer(
            Starlette(
                routes=[
                    Route("/state/{name:path}", self._state),
                    Route("/mend/{name:path}", self._mend, methods=["POST"]),
                ]
            ),
            host="127.0.0.1",
            port=0,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def _state(self, request: Request) -> JSONResponse:
        return JSONResponse({"broken": not (self.helps and self.mended[request.path_params["name"]])})

    async def _mend(self, request: Request) -> JSONResponse:
        self.mended[request.path_params["name"]] += 1
        self.keys.add(request.headers["idempotency-key"])
        return JSONResponse({"mended": True, "times": self.mended[request.path_params["name"]]})


def runbook(
    name: str,
    *,
    gate: bool | str = False,
    alert: str = "Broken",
    cooldown: str = "0s",
    action: str = "",
    within: str = "10s",
) -> str:
    """Return a runbook that mends `labels.service` at the sink.

    Args:
        gate: whether sre-oncall is asked; a text says who is asked instead, in turn.
    """
    act = action or 'uses: http.request\n    with: {endpoint: sink, path: "/mend/{{ target }}", method: POST}'
    asked = gate if isinstance(gate, str) else "{approvers: [sre-oncall], within: 15m}"
    head = f"gate: {asked}" if gate else ""
    return f"""
runbook: {name}
summary: Mend it.
autonomy: {"gated" if gate else "automatic"}
when: [{{alert: {alert}}}]
target: "{{{{ labels.service }}}}"
limits: {{cooldown: {cooldown}}}
check:
  - name: It is broken
    uses: http.check
    with: {{endpoint: sink, path: "/state/{{{{ target }}}}"}}
    expect: result.json.broken
{head}
do:
  - name: Mend it
    {act}
    undo: none
verify:
  - name: It works
    uses: http.check
    with: {{endpoint: sink, path: "/state/{{{{ target }}}}"}}
    expect: not result.json.broken
    within: {within}
otherwise:
  - name: Call people
    uses: slack.escalate
    with: {{to: sre-oncall, text: "Look at {{{{ target }}}}, please."}}
"""


def alert(name: str = "Broken", *, status: str = "firing", starts: str = "", **labels: str) -> dict[str, Any]:
    """Return one alert; each call is another episode unless `starts` says when it began."""
    began = starts or f"2026-01-01T{next(_minutes) // 60 % 24:02d}:{next(_minutes) % 60:02d}:00Z"
    ended = "0001-01-01T00:00:00Z" if status == "firing" else "2026-01-02T00:00:00Z"
    return {"status": status, "labels": {"alertname": name, **labels}, "annotations": {"summary": "It broke."},
            "startsAt": began, "endsAt": ended, "generatorURL": "http://prometheus/graph", "fingerprint": "0"}  # fmt: skip


def notification(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's payload, version 4."""
    return {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "paramedic",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": list(alerts)}  # fmt: skip


class Installation:
    """One installation, whose bot can be killed and started."""

    def __init__(
        self,
        folder: Path,
        practice: PracticeServer,
        sink: Sink,
        *,
        ledger_url: str = "",
        slack_mode: Mode = "socket",
    ) -> None:
        self.folder = folder
        self.slack_mode = slack_mode
        self.ledger_url = ledger_url or f"sqlite:///{folder / 'data' / 'ledger.db'}"
        self.practice = practice
        self.sink = sink
        self.hands = Hands(practice.page_url)
        self.port = free_port()
        self.temporal_port = free_port()
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=10,
            trust_env=False,
            limits=httpx.Limits(max_connections=200),
        )
        self.command = "up"
        self.further: dict[str, str] = {}  # settings of this process beyond those of `environment`
        self._child: subprocess.Popen[bytes] | None = None
        self._ledger: Ledger | None = None

    # --- the bot ------------------------------------------------------------------------------

    def _way_in(self) -> dict[str, str]:
        """How Slack calls the bot."""
        if self.slack_mode == "socket":
            return {"PARAMEDIC_SLACK_APP_TOKEN": self.practice.app_token}
        return {
            "PARAMEDIC_SLACK_MODE": "http",
            "PARAMEDIC_SLACK_SIGNING_SECRETS": f"{self.practice.signing_secret},one-that-is-rotated-out",
        }

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {
            "PARAMEDIC_DATA": str(self.folder / "data"),
            "PARAMEDIC_LEDGER_URL": self.ledger_url,
            "PARAMEDIC_RUNBOOKS": str(self.folder / "runbooks"),
            "PARAMEDIC_CONNECTIONS": str(self.folder / "connections.yaml"),
            "PARAMEDIC_HTTP_PORT": str(self.port),
            "PARAMEDIC_TEMPORAL_PORT": str(self.temporal_port),
            "PARAMEDIC_WEBHOOK_TOKENS": TOKEN,
            "PARAMEDIC_SLACK_BASE_URL": self.practice.base_url,
            "PARAMEDIC_SLACK_BOT_TOKEN": self.practice.bot_token,
            **self._way_in(),
            "PARAMEDIC_LOG_FORMAT": "text",
            "XDG_CONFIG_HOME": str(self.folder / "config"),  # where `paramedic login` keeps its token
            **self.further,
        }

    async def start(self) -> None:
        """Start the bot, and wait until it says that it is ready."""
        with (self.folder / "paramedic.log").open("ab") as output:
            self._child = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
                [sys.executable, "-m", "bot", self.command], stdout=output, stderr=output, env=self.environment, cwd=self.folder
            )  # fmt: skip
        if self.command != "worker":  # it answers nobody
            await self.until(self._is_ready, READY_WITHIN, "the bot to be ready")

    async def _is_ready(self) -> bool:
        assert self._child is not None
        if self._child.poll() is not None:
            pytest.fail(f"the bot ended:\n{self.log()}")
        with contextlib.suppress(httpx.HTTPError):
            return (await self.client.get("/readyz")).is_success
        return False

    def kill(self) -> None:
        """Kill the bot with -9."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def suspend(self) -> None:
        """Freeze the bot, as a machine does that swaps; everything that it started goes on."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the frozen bot go on as if no time had passed."""
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """Stop the bot as an operator would; return its exit code."""
        assert self._child is not None
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self._child.wait, 40)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            raise

    @property
    def temporal(self) -> psutil.Process:
        """The embedded Temporal server."""
        assert self._child is not None
        return next(each for each in psutil.Process(self._child.pid).children() if "temporal" in each.name())

    def connect(self, **systems: Mapping[str, Any]) -> None:
        """Name more outside systems in the connections file, which the bot reads when it starts."""
        file = self.folder / "connections.yaml"
        connections = json.loads(file.read_text())
        for name, part in systems.items():
            connections[name] = {**connections.get(name, {}), **part}
        file.write_text(json.dumps(connections))

    def log(self) -> str:
        return (self.folder / "paramedic.log").read_text(errors="replace")[-4000:]

    # --- the outside --------------------------------------------------------------------------

    async def post(self, *alerts: Mapping[str, Any], timeout: float = 10) -> httpx.Response:
        """Deliver a notification as Alertmanager does."""
        return await self.client.post("/alerts/alertmanager", json=notification(*alerts), timeout=timeout)

    async def press(self, action: str = APPROVE, *, person: str = "alice") -> None:
        """Press a button on the open card, as soon as there is one."""
        button = await self.hands.wait_for_button(action, timeout=30, as_person=person)
        if action == APPROVE:
            await self.hands.approve(button, as_person=person, timeout=30)
        else:
            await self.hands.press_button(button, person)

    async def approve_until_acknowledged(self, card: Button) -> None:
        """Approve as a person does whom Slack tells that the app did not answer.

        A slow machine takes longer than Slack waits.  Where the button is gone by then, that press has counted.
        """

        async def taken() -> bool:
            for left in await self.hands.modals():  # by a press that was acknowledged too late
                await self.hands.close_view(left["id"])
            try:
                return await self.hands.approve(card, timeout=30) == "acknowledged"
            except HandsError as error:
                return "element_not_found" in str(error)

        await self.until(taken, 60, "the press to be acknowledged")

    # --- the records --------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger.open(self.ledger_url, create=False)
        return self._ledger

    async def records(self, kind: RecordKind | None = None, stream: str | None = None) -> list[Record]:
        found = await self.ledger.read(lambda c: records.after(c, -1, 100_000, {kind} if kind else None))
        return [each for each in found if stream is None or each.stream == stream]

    async def recorded(self, kind: RecordKind, *, number: int = 1, within: float = 30) -> list[Record]:
        """Wait until that many records of a kind are there."""
        found: list[Record] = []

        async def there() -> bool:
            found[:] = await self.records(kind)
            return len(found) >= number

        await self.until(there, within, f"{number} records {kind}")
        return found

    async def stories(self) -> list[Story]:
        by_stream: dict[str, list[Record]] = {}
        for record in await self.records():
            if record.stream != SYSTEM:
                by_stream.setdefault(record.stream, []).append(record)
        return [read_story(each) for each in by_stream.values()]

    async def ended(self, target: str = "web", *, number: int = 1, within: float = 60) -> Story:
        """Wait until `number` remediations of `target` ended; return the last."""
        found: list[Story] = []

        async def there() -> bool:
            found[:] = [s for s in await self.stories() if s.target == target and s.ending is not None]
            return len(found) >= number

        await self.until(there, within, f"{number} endings for {target}")
        return found[-1]

    async def until(self, holds: Callable[[], Any], within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not await holds():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {within} s for {what}\n{self.log()}")
            await asyncio.sleep(0.05)

    def terminal(self, owner: str = "") -> Terminal:
        """Return a command line beside the bot: the machine's, or one of somebody's own, with a login of its own."""
        own = self.environment | {"XDG_CONFIG_HOME": str(self.folder / "config" / owner)}
        return Terminal(self.folder, own, self.hands)

    async def paramedic(self, *arguments: str) -> str:
        """Return what the product's own command prints; it must succeed."""
        answer = await self.terminal().run(*arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    async def log_in(self, person: str) -> str:
        """Let a person of Slack log in at the machine's command line.  Return what the command prints."""
        return await self.terminal().log_in(person)

    @contextlib.contextmanager
    def ledger_locked(self) -> Iterator[None]:
        """Keep the ledger from being written: another process holds SQLite's write lock."""
        lock = subprocess.Popen(
            [sys.executable, "-c", _HOLD_THE_LOCK, str(self.folder / "data" / "ledger.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with lock:
            assert lock.stdout is not None
            assert lock.stdout.readline() == b"held\n"
            try:
                yield
            finally:
                lock.kill()

    async def verify(self) -> None:
        """Let the product's own command verify the ledger."""
        assert "ledger verify: ok" in await self.paramedic("ledger", "verify")

    async def close(self) -> None:
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(psutil.Error, StopIteration):
                self.temporal.resume()
            await self.stop()
        if self._ledger is not None:
            self._ledger.close()
        await self.hands.aclose()
        await self.client.aclose()


@contextlib.asynccontextmanager
async def installation(
    folder: Path,
    *,
    runbooks: Mapping[str, str],
    connections: Mapping[str, Any] | None = None,
    start: bool = True,
    ledger_url: str = "",
    slack_mode: Mode = "socket",
) -> AsyncIterator[Installation]:
    """Make an installation with these runbooks; stop everything after.

    `ledger_url`: where its ledger is; a file in its folder, unless told otherwise.
    """
    (folder / "runbooks").mkdir(parents=True)
    for name, text in runbooks.items():
        (folder / "runbooks" / f"{name}.yaml").write_text(text)
    sink = Sink()
    await sink.start()
    async with PracticeServer(Workspace(patience=10.0)) as practice:
        practice.workspace.triggers.lifetime = 30.0  # a form must open on a slow machine too
        merged: dict[str, Any] = {"endpoints": {"sink": {"url": sink.url}}, "groups": {"sre-oncall": {}}}
        for name, part in (connections or {}).items():
            merged[name] = {**merged.get(name, {}), **part}
        (folder / "connections.yaml").write_text(json.dumps(merged))  # JSON is YAML
        home = Installation(folder, practice, sink, ledger_url=ledger_url, slack_mode=slack_mode)
        if slack_mode == "http":
            await practice.call_over_http(f"http://127.0.0.1:{home.port}{SLACK}")
        try:
            if start:
                await home.start()
            yield home
        finally:
            await home.close()
            await sink.stop()


def answered(responses: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)
