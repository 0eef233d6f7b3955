"""The demo: a small service breaks for real, twice, and Paramedic heals it for real.

It starts what an installation has (the bot, Temporal, monitoring, a chat) around a patient under a
process manager.  First its queue fills, which standing orders allow to mend at once; then it falls
silent, and a person is asked.  What is told in the terminal comes from the ledger and from the
patient itself, so nothing is claimed that did not happen.

Where a person looks on, everything goes on running after the story, until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import httpx
from rich.console import Console

from activities.ledger import records
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from bot.children import start_child, stop_child
from bot.logs import configure_logs
from bot.ports import free_port
from bot.practice.hands import Hands, NotSeenError, Sight
from bot.practice.monitoring import Monitoring, monitoring
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack.card import APPROVE, DENY
from bot.slack.headline import headline
from bot.slack.interactions import REASON_BLOCK
from bot.slack.manifest import EVENTS, SHORTCUTS, usage_hint
from bot.slack.text import line
from bot.slack.usage import COMMAND
from bot.timeline import is_told_elsewhere, timeline
from bot.timeline_page import as_markdown_page
from bot.timeline_rows import row
from runbooks.errors import ParamedicError
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import Story, read_story

CATALOG = Path(__file__).resolve().parents[2] / "runbooks" / "catalog"
MARK = "made-by-paramedic-demo"

READY_WITHIN = 60.0  # seconds until the bot answers that it is ready
STORY_WITHIN = 90.0  # seconds from breaking the patient to an ending, where nobody has to be waited for
PERSON_WITHIN = 16 * 60.0  # the gate stays open for 15 minutes
CARD_WITHIN = 20.0  # seconds from an ending on record until its card says so
STOP_WITHIN = 30.0  # seconds

_SUPERVISOR = """\
[supervisord]
nodaemon=true
logfile=supervisord.log
pidfile=supervisord.pid
childlogdir=.
[inet_http_server]
port=127.0.0.1:{port}
username=demo
password={password}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:patient]
command={python} -m bot.practice.patient {patient}
directory={root}
startsecs=1
stopwaitsecs=2
redirect_stderr=true
"""

_CONNECTIONS = """\
endpoints:
  patient: {{url: "http://127.0.0.1:{patient}", timeout: PT1S}}
supervisors:
  patient: {{url: "http://127.0.0.1:{port}/RPC2", user: demo, password: "file:{secret}"}}
groups:
  sre-oncall: {{}}
"""


class DemoError(ParamedicError):
    """The demo could not show what it is there to show."""

    code = "demo_failed"


@dataclass(frozen=True)
class Ports:
    """Where everything listens, on 127.0.0.1."""

    bot: int
    patient: int
    supervisor: int
    practice: int


class Demo:
    """One showing of the demo.

    Args:
        folder: what it writes goes here; a folder of an earlier showing is replaced.
        answer: `approve` or `deny` presses the button by itself; None waits for a person.
        console: where it is told.
    """

    def __init__(self, folder: Path, *, answer: str | None, console: Console) -> None:
        self._folder = folder.resolve()
        self._answer = answer
        self._console = console
        self._ports = Ports(
            bot=free_port(), patient=free_port(), supervisor=free_port(), practice=free_port()
        )
        self._token = secrets.token_urlsafe(24)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    async def show(self) -> bool:
        """Show everything once.  Return whether the patient is healthy again, or was left alone as told.

        Where a person answers, it returns only when that person is done looking.

        Raises:
            DemoError: something did not happen in its time.
        """
        async with self._stage() as stage:
            went_well = await stage.play()
            if self._answer is None:
                await self._stay(stage.remediation)
            return went_well

    async def _stay(self, remediation: str) -> None:
        """Go on running, and say what can be tried, until Ctrl-C."""
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        data = shlex.quote(str(self._folder / "data"))
        self._say("\n[bold]Everything still runs.[/bold]  Look around; Ctrl-C ends it.\n")
        self._say("  in the page     type [bold]/runbook status[/bold], or /runbook help")
        self._say("  the postmortem  the timeline files above, in Markdown")
        self._say(f"  the record      PARAMEDIC_DATA={data} {_command()} timeline {remediation}")
        self._say(f"                  PARAMEDIC_DATA={data} {_command()} ledger verify\n")
        await told.wait()
        self._say("Ending everything, in order ...")

    @asynccontextmanager
    async def _stage(self) -> AsyncIterator[_Stage]:
        """Start everything, in order; stop it in reverse, also when a start fails or Ctrl-C comes."""
        _make_folder(self._folder)
        self._write_files()
        self._say(
            "[bold]Paramedic demo[/bold]  everything runs on this machine, on loopback, and ends with Ctrl-C; "
            "times are UTC\n"
        )
        async with AsyncExitStack() as stack:
            configure_logs(
                "text", stack.enter_context((self._folder / "practice.log").open("w", buffering=1))
            )
            practice = PracticeServer(_workspace(), port=self._ports.practice, rate_limited=True)
            await practice.start()
            stack.push_async_callback(practice.stop)

            self._start(
                stack,
                "supervisord",
                [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"],
            )
            patient = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{self._ports.patient}", timeout=2.0, trust_env=False
            )
            stack.push_async_callback(patient.aclose)
            await self._answers(patient, "/healthz", "supervisord")

            self._start(
                stack,
                "paramedic",
                [sys.executable, "-m", "bot", "up"],
                self._bot_environment(practice),
            )
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{self._ports.bot}", trust_env=False
            ) as bot:
                await self._answers(bot, "/readyz", "paramedic")

            watch = self._monitoring()
            await watch.start()
            stack.push_async_callback(watch.stop)

            ledger = Ledger.open(f"sqlite:///{self._folder / 'data' / 'ledger.db'}", create=False)
            stack.callback(ledger.close)
            hands = Hands(practice.page_url)
            stack.push_async_callback(hands.aclose)
            self._introduce(practice, watch)
            yield _Stage(self._folder, self._answer, self._console, patient, ledger, hands, practice.page_url)

    def _monitoring(self) -> Monitoring:
        webhook = f"http://127.0.0.1:{self._ports.bot}/alerts/alertmanager"
        return monitoring(
            self._folder / "monitoring", patient=self._ports.patient, webhook=webhook, token=self._token
        )

    def _start(
        self, stack: AsyncExitStack, name: str, argv: list[str], environment: dict[str, str] | None = None
    ) -> None:
        with (self._folder / f"{name}.log").open("wb") as output:
            child = start_child(argv, output=output, cwd=self._folder, environment=environment)
        self._children[name] = child
        stack.push_async_callback(asyncio.to_thread, stop_child, child, STOP_WITHIN)

    async def _answers(self, client: httpx.AsyncClient, path: str, child: str) -> None:
        """Wait until `path` answers well, or say in which log the reason stands."""
        log = self._folder / f"{child}.log"
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(path)).is_success:
                    return
            if self._children[child].poll() is not None:
                raise DemoError(f"{child} ended at once; {log} says why:\n{_last_lines(log)}")
            if asyncio.get_running_loop().time() > deadline:
                raise DemoError(f"{child} did not answer within {READY_WITHIN:g} s; see {log}")
            await asyncio.sleep(0.1)

    def _bot_environment(self, practice: PracticeServer) -> dict[str, str]:
        """Return the bot's settings: as with real Slack, but for the base URL and the tokens."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARAMEDIC_")}
        return inherited | {
            "PARAMEDIC_DATA": str(self._folder / "data"),
            "PARAMEDIC_RUNBOOKS": str(CATALOG),
            "PARAMEDIC_CONNECTIONS": str(self._folder / "connections.yaml"),
            "PARAMEDIC_HTTP_PORT": str(self._ports.bot),
            "PARAMEDIC_TEMPORAL_PORT": "0",
            "PARAMEDIC_WEBHOOK_TOKENS": self._token,
            "PARAMEDIC_SLACK_BASE_URL": practice.base_url,
            "PARAMEDIC_SLACK_BOT_TOKEN": practice.bot_token,
            "PARAMEDIC_SLACK_APP_TOKEN": practice.app_token,
            "PARAMEDIC_LOG_FORMAT": "text",
        }

    def _write_files(self) -> None:
        password = secrets.token_urlsafe(16)
        secret = self._folder / "supervisor.password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        config = _SUPERVISOR.format(
            port=self._ports.supervisor,
            password=password,
            python=sys.executable,
            patient=self._ports.patient,
            root=CATALOG.parents[1],
        )
        (self._folder / "supervisord.conf").touch(mode=0o600)
        (self._folder / "supervisord.conf").write_text(config)
        connections = _CONNECTIONS.format(
            patient=self._ports.patient, port=self._ports.supervisor, secret=secret
        )
        (self._folder / "connections.yaml").write_text(connections)

    def _introduce(self, practice: PracticeServer, watch: Monitoring) -> None:
        self._say(f"  patient     process manager and service on 127.0.0.1:{self._ports.patient}")
        self._say(f"  monitoring  {watch.description}")
        self._say(f"  logs, data  {self._folder}")
        self._say(
            "  chat        the practice workspace, a local stand-in for Slack.  Open it in a browser:\n"
        )
        self._say(f"      [bold cyan]{practice.page_url}[/bold cyan]\n")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _workspace() -> Workspace:
    """Return a workspace in which the app is installed as its manifest says."""
    return Workspace(
        commands={COMMAND: usage_hint()},
        shortcuts={each.callback_id: each.name for each in SHORTCUTS},
        events=frozenset(event.name for event in EVENTS),
    )


class _Stage:
    """What the play needs while everything runs.

    Attributes:
        remediation: the newest one that was seen.
    """

    def __init__(
        self,
        folder: Path,
        answer: str | None,
        console: Console,
        patient: httpx.AsyncClient,
        ledger: Ledger,
        hands: Hands,
        page_url: str,
    ) -> None:
        self._folder = folder
        self._answer = answer
        self._console = console
        self._patient = patient
        self._ledger = ledger
        self._hands = hands
        self._page_url = page_url
        self._seen = -1
        self.remediation = ""

    async def play(self) -> bool:
        """Break the patient twice, and tell what happens.  Return whether it went as it should."""
        self._title("1  The queue of the patient fills up.  Standing orders: Paramedic may act at once.")
        await self._patient.post("/illness/backlog")
        first = await self._watch_one("patient-queue-full", STORY_WITHIN)

        self._title(
            "2  The patient falls silent: its process lives, and answers nobody.  A person must agree."
        )
        before = (await self._patient.get("/healthz")).json()["pid"]
        await self._patient.post("/illness/silence")
        self._line("broken", f"process {before} no longer answers; monitoring will notice in a few seconds")
        second = await self._watch_one(
            "patient-not-answering", STORY_WITHIN if self._answer else PERSON_WITHIN
        )

        healed = await self._patient_answers()
        after = (await self._patient.get("/healthz")).json()["pid"] if healed else "silent"
        self._title("Afterwards")
        self._line("patient", f"process {before} before, {after} after")
        for story in (first, second):
            self._line("timeline", str(await self._export(story)))
        report = await self._ledger.read(verify)
        self._line("ledger", f"verify: {report.state}, {report.size} records")
        return self._as_it_should(first, second, healed=healed) and str(report.state) == "ok"

    def _as_it_should(self, first: Story, second: Story, *, healed: bool) -> bool:
        if first.ending is not Ending.MITIGATED:
            return False
        if second.ending is Ending.MITIGATED:
            return healed
        return self._answer != "approve" and not healed

    async def _watch_one(self, runbook: str, within: float) -> Story:
        """Tell what the ledger records of the next remediation by `runbook`, until it has ended."""
        try:
            async with asyncio.timeout(within):
                return await self._follow(runbook)
        except TimeoutError:
            raise DemoError(
                f"{runbook} did not end within {within:g} s; see {self._folder / 'paramedic.log'}"
            ) from None

    async def _follow(self, runbook: str) -> Story:
        remediation, opened_for = "", []
        async for batch in self._ledger.follow(self._seen):
            for record in batch:
                self._seen = record.seq
                if record.kind is RecordKind.ADMISSION and record.data["runbook"] == runbook:
                    self.remediation = remediation = record.stream
                if not remediation or record.stream != remediation:
                    continue
                if record.kind is RecordKind.ADMISSION:
                    opened_for = record.data["entries"]
                self._tell(record, opened_for)
                if record.kind is RecordKind.GATE_ASKED:
                    await self._answer_or_wait(record)
                if record.kind is RecordKind.ENDING:
                    story = read_story(await self._records_of(remediation))
                    await self._see_ending(story)
                    return story
        raise DemoError("the ledger ended before the story did")

    async def _see_ending(self, story: Story) -> None:
        """Wait until the page shows how it ended: what is on record is shown a moment later."""
        ending = line(str(headline(story)), 160)

        def shown(sight: Sight) -> bool:
            texts = [str(message.get("text", "")) for message in sight.messages("#incidents")]
            return any(story.remediation in text and ending in text for text in texts)

        try:
            await self._hands.wait_for(shown, CARD_WITHIN)
        except NotSeenError:
            log = self._folder / "paramedic.log"
            self._line("chat", f"the page does not show this ending; {log} may say why")

    async def _answer_or_wait(self, asked: Record) -> None:
        if self._answer is None:
            self._console.print(
                f"\n      [bold]Now it is up to you.[/bold]  Open {self._page_url}\n"
                "      and press [green]Approve[/green] or [red]Deny[/red] as alice.  As mallory you will be refused.\n",
                highlight=False,
                soft_wrap=True,
            )
            return
        card = await self._hands.wait_for_button(APPROVE, asked.data["gate"])
        if self._answer == "approve":
            await self._hands.approve(card)
            return
        await self._hands.press(card.channel, card.ts, DENY, as_person="alice")
        modal = await self._hands.wait_for_modal(as_person="alice")
        await self._hands.submit(modal, {REASON_BLOCK: "This is only a demo."}, as_person="alice")

    def _tell(self, record: Record, opened_for: Sequence[str]) -> None:
        if is_told_elsewhere(record, {record.data.get("id", "")}, opened_for):
            return  # every click is judged a moment later
        told = row(record, record.at)
        details = f"  {'  '.join(told.details)}" if told.details else ""
        result = f"  {told.result}" if told.result else ""
        self._line(
            f"{record.at.astimezone(UTC):%H:%M:%S.%f}"[:-3], f"{told.what}{result}{details}", who=told.who
        )

    def _line(self, first: str, text: str, who: str = "") -> None:
        self._console.print(
            f"  [dim]{first:<13}[/dim] {who + ': ' if who else ''}{text}", highlight=False, soft_wrap=True
        )

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]", highlight=False, soft_wrap=True)

    async def _patient_answers(self) -> bool:
        try:
            return (await self._patient.get("/healthz")).is_success
        except httpx.HTTPError:
            return False

    async def _records_of(self, remediation: str) -> list[Record]:
        return await self._ledger.read(lambda c: records.stream_of(c, remediation))

    async def _export(self, story: Story) -> Path:
        told = timeline(await self._records_of(story.remediation))
        file = self._folder / f"timeline-{story.remediation}.md"
        file.write_text(as_markdown_page(told), encoding="utf-8")
        return file


def _make_folder(folder: Path) -> None:
    """Make an empty folder, in the place of an earlier showing's, and of nothing else."""
    if folder.exists():
        if not (folder / MARK).exists():
            raise DemoError(f"{folder} exists and was not made by the demo: choose another one with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    (folder / "monitoring").mkdir()


def _command() -> str:
    """Return how `paramedic` is called from here."""
    installed = Path(sys.executable).with_name("paramedic")
    return shlex.quote(str(installed)) if installed.exists() else f"{shlex.quote(sys.executable)} -m bot"


def _last_lines(file: Path, number: int = 3) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-number:])
