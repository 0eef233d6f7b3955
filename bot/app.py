"""The wiring: one long straight function that opens everything in order, waits, and closes it in reverse.

It is not a chain of helpers on purpose: whoever wants to know what runs in a process, and in which
order it starts and stops, reads it from top to bottom.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from enum import Flag, auto
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from activities.actions import Registry
from activities.case import LedgerCase
from activities.freeze_file import FILE_NAME
from activities.guard import Guard
from activities.inventory import InventorySource
from activities.lazily import lazily
from activities.ledger.migrations import migrate_apart
from activities.ledger.store import Ledger
from activities.performing import Performer
from activities.plans import Plans
from activities.signatures import TrustedKeys
from activities.spool import FOLDER as SPOOL_FOLDER
from activities.spool import Spool
from activities.surroundings import Surroundings
from activities.windows import WindowsFile
from bot.answers import Answers, Silence, TemporalWorkflows
from bot.brake import Brake
from bot.catalog import Catalog
from bot.connections_file import read_connections
from bot.desk import Desk
from bot.feeder import Feeder
from bot.http.application import ALERTS, SLACK, build_http
from bot.http.authentication import Gatekeeper
from bot.http.health import Health, ledger_is_writable, temporal_is_reachable
from bot.http.receiver import Receiver
from bot.http.server import HttpServer
from bot.http.terminal import TerminalDoor
from bot.intake import Intake
from bot.keys import ListenerKey
from bot.logins import Logins
from bot.metrics import Metrics
from bot.only_one import only_one
from bot.operations import Operations
from bot.people import LocalPeople, OnePersonOneKey
from bot.policy.doorkeeper import Doorkeeper, Knower, LocalMembers
from bot.policy.policy_file import PolicyFile
from bot.reconcile import Reconciler, SeenWorkflows
from bot.running import until_signal
from bot.sealer.child import SealerOnCall
from bot.settings import Settings
from bot.stops import StoppableWorkflows, Stops
from bot.temporal_client import NoTemporalError, connect, connect_patiently
from bot.temporal_server import TemporalServer
from bot.trimming import can_trim, keep_trimming
from bot.worker import build_worker
from runbooks.errors import LedgerError, ParamedicError
from runbooks.model.record import SYSTEM, Entry, RecordKind

if TYPE_CHECKING:
    from bot.slack import conversation as slack
else:
    slack = lazily("bot.slack.conversation")

SWITCH_INTERVAL = 0.002  # seconds; with Python's own 0.005 appends waited for seconds under `bench.storm`
COLLECT_AFTER = (5_000, 10, 10)  # Python's own: 700, 10, 10
SETTLE_EVERY = 5.0  # seconds between two looks at the freeze file
LAST_LOOK = 5.0  # seconds to take in what was acknowledged, before the process ends
CATALOG_EVERY = 2.0  # seconds between two looks at the runbooks' folder

log = structlog.get_logger()


class Parts(Flag):
    """What one process runs."""

    TEMPORAL = auto()  # the embedded server
    WEB = auto()  # webhooks, metrics, health, and the conversation in Slack
    WORKER = auto()  # the engine and the actions
    ALL = TEMPORAL | WEB | WORKER


class NoSlackError(ParamedicError):
    """There are no Slack tokens, and nobody said that there should be no Slack."""

    code = "no_slack"


async def run_process(settings: Settings, parts: Parts) -> None:
    """Run `parts` until SIGTERM or SIGINT, then stop them in order.

    Raises:
        ParamedicError: something that it needs is missing or wrong; the message says what to do.
    """
    # The ledger's writer must not wait long for the interpreter while the event loop is busy.
    sys.setswitchinterval(SWITCH_INTERVAL)
    registry = Registry.installed()
    connections = read_connections(settings.connections)
    _refuse_silence(settings, parts)
    _refuse_nowhere(settings, parts)
    settings.data.mkdir(parents=True, exist_ok=True)
    freeze_file = settings.data / FILE_NAME
    windows = WindowsFile(settings.windows)
    inventory = InventorySource(settings.inventory, connections.prometheus)
    surroundings = Surroundings(freeze_file, windows=windows, inventory=inventory)
    surroundings.refuse_mistakes()
    policy = PolicyFile(settings.policy)
    log.info("policy in force", policy=policy.current().name)

    async with AsyncExitStack() as stack:
        for name in _names(parts):
            stack.enter_context(only_one(settings.data, name))
        running = await stack.enter_async_context(until_signal())
        await asyncio.to_thread(migrate_apart, settings.ledger)
        ledger = Ledger.open(settings.ledger)
        stack.callback(ledger.close)
        stack.push_async_callback(running.cancel)  # before the ledger closes under those who follow it

        await ledger.append(_process("started", parts))

        async def record_stop(kind: type[BaseException] | None, *_: object) -> None:
            if kind is None:  # else it did not stop in order, and must not say so
                await ledger.append(_process("stopped", parts))

        stack.push_async_exit(record_stop)

        catalog = Catalog.load(settings.runbooks, registry.vocabulary)
        _report(catalog)
        await catalog.record(ledger)

        address = settings.temporal_address
        if Parts.TEMPORAL in parts and address is None:
            server = TemporalServer(
                settings.data / "temporal",
                port=settings.temporal_port,
                namespace=settings.temporal_namespace,
                binary=settings.temporal_binary,
            )
            stack.push_async_callback(server.stop)
            await server.start()
            running.add("temporal", server.supervise())
            address = server.address
        # With the server in this process's care one client serves all: new workflows then start eagerly.
        embedded = settings.temporal_address is None
        client = await connect(settings, address, lazy=not embedded)

        voices = slack.Voices(settings, ledger, connections) if settings.slack == "on" else None
        key = await asyncio.to_thread(ListenerKey.looked_up, settings.data / "keys")
        trusted = TrustedKeys.from_texts([key.public_key], settings.decision_keys)

        if Parts.WORKER in parts:
            performer = Performer(registry, connections, voices.teller if voices else None)
            stack.push_async_callback(performer.aclose)
            await Spool(settings.data / SPOOL_FOLDER).settle(ledger)  # before an attempt has to guess
            running.add("reconciliation", Reconciler(ledger, SeenWorkflows(client)).run())
            plans = Plans(ledger)
            case = LedgerCase(ledger, performer, trusted, plans, surroundings)
            guard = Guard(ledger, performer, trusted, plans, surroundings)

            async def work() -> None:
                connected = client if embedded else await connect_patiently(settings, address)
                grace = settings.shutdown_grace
                activities = [*case.activities(), *performer.activities(plans)]
                await build_worker(connected, activities, guard, shutdown_grace=grace).run()

            running.add("worker", work())
            stack.push_async_callback(running.cancel, "worker")  # lets actions in progress finish

        if Parts.WEB in parts:
            metrics = Metrics(
                ledger, actions=list(registry), freeze_file=freeze_file, sealer=settings.sealers_folder
            )
            feeder = Feeder(ledger, client, on_failure=metrics.feeding_failed)
            stack.push_async_callback(feeder.stop)
            await feeder.start()
            intake = Intake(
                ledger,
                catalog,
                duplicate_window=settings.duplicate_window,
                wake=feeder.wake,
                suppressed=lambda repeated: metrics.suppressed(repeated, by="delivery"),
            )
            running.add("intake", intake.run())
            stack.push_async_callback(running.end, "intake", within=LAST_LOOK)
            stack.callback(intake.stop)
            running.add("metrics", metrics.follow())
            running.add("catalog", _watch(intake, ledger, policy))

            knowers: dict[str, Knower] = {"local": LocalMembers(connections.groups)}
            if voices is not None:
                knowers["slack"] = voices.people
            doorkeeper = Doorkeeper(
                policy,
                knowers,
                thaw_group=settings.thaw_group,
                owner_of=intake.owner_of,
                local_people=settings.local_people_decide,
            )
            logins = Logins(ledger, lifetime=settings.login_lifetime)
            running.add("logins", logins.run())
            operations = Operations(
                ledger, intake, freeze_file=freeze_file, doorkeeper=doorkeeper, windows=windows, logins=logins
            )
            running.add("brake", _settle(operations.brake))
            running.add("stops", Stops(ledger, StoppableWorkflows(client)).run())
            slack_receiver = None
            if voices is None:
                answers = Answers(
                    ledger,
                    key=key,
                    people=OnePersonOneKey(LocalPeople(connections.groups), connections.people),
                    workflows=TemporalWorkflows(client),
                    voice=Silence(),
                    doorkeeper=doorkeeper,
                )
                running.add("answers", answers.run())
            else:
                voices.tally.count = metrics.slack_call
                conversation = slack.Conversation(voices, ledger, operations, key, client)
                stack.push_async_callback(conversation.stop)
                await conversation.start(running)
                answers = conversation.answers
                slack_receiver = conversation.receiver(metrics.slack_request)

            receiver = Receiver(intake, Gatekeeper(settings.webhook_tokens, settings.webhook_basic), metrics)
            stack.callback(receiver.close)
            health = Health(
                {"ledger": ledger_is_writable(ledger), "temporal": temporal_is_reachable(client)},
                notes={"slack": voices.poster.note} if voices else {},
            )
            http = HttpServer(
                build_http(
                    receiver,
                    metrics,
                    health,
                    slack=slack_receiver,
                    terminal=TerminalDoor(logins, Desk(ledger, operations, logins, answers.receive)),
                ),
                host=settings.http_host,
                port=settings.http_port,
            )
            await http.start()
            stack.push_async_callback(http.stop)
            log.info("alerts are taken", url=f"http://{settings.http_host}:{http.port}{ALERTS}")
            if slack_receiver is not None:
                log.info("Slack is heard", url=f"http://{settings.http_host}:{http.port}{SLACK}")

        if Parts.TEMPORAL in parts and settings.sealer == "on":
            sealer = SealerOnCall(ledger, settings)
            stack.push_async_callback(sealer.stop)
            running.add("sealer", sealer.supervise())
            stack.push_async_callback(running.cancel, "sealer")

        if can_trim():
            running.add("trimming", keep_trimming())
        _collect_rarely()
        await running.until_told()


def _collect_rarely() -> None:
    """Let the garbage collector leave alone what stays for ever, and look for the rest less often.

    Nearly everything is freed as it falls out of use.  What the collector is for, rings of objects, is
    rare here, and each search through all modules comes between an alert and its action.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _refuse_silence(settings: Settings, parts: Parts) -> None:
    """Refuse to run without a chat that nobody said should be missing: nobody would be asked, or told."""
    over_http = settings.slack_mode == "http"
    tokens = settings.slack_bot_token and (
        settings.slack_signing_secrets if over_http else settings.slack_app_token
    )
    second = "PARAMEDIC_SLACK_SIGNING_SECRETS" if over_http else "PARAMEDIC_SLACK_APP_TOKEN"
    if parts & (Parts.WEB | Parts.WORKER) and settings.slack == "on" and not tokens:
        raise NoSlackError(
            f"there are no Slack tokens: set PARAMEDIC_SLACK_BOT_TOKEN and {second} (docs/slack.md), "
            "or say PARAMEDIC_SLACK=off if gates and escalations shall find nobody. To try Paramedic without Slack: make demo"
        )


def _refuse_nowhere(settings: Settings, parts: Parts) -> None:
    """Refuse to run without Temporal before anything is created."""
    if Parts.TEMPORAL not in parts and settings.temporal_address is None:
        raise NoTemporalError


def _process(what: str, parts: Parts) -> Entry:
    """Return the record of a process that starts or stops."""
    at, pid = datetime.now(UTC), os.getpid()
    return Entry(
        event_id=f"process/{what}/{at.isoformat()}/{pid}",
        stream=SYSTEM,
        kind=RecordKind.PROCESS,
        actor="bot:process",
        source="app",
        at=at,
        data={"what": what, "parts": list(_names(parts)), "version": version("paramedic"), "pid": pid},
    )


def _names(parts: Parts) -> Iterator[str]:
    return (str(part.name).lower() for part in Parts if part in parts)


def _report(catalog: Catalog) -> None:
    log.info("runbooks in force", folder=str(catalog.folder), runbooks=sorted(catalog.runbooks))
    if not catalog.runbooks:
        log.warning(
            "no runbook is in force: alerts are taken, and nothing is done about them; put *.yaml files directly "
            "into the folder, or set PARAMEDIC_RUNBOOKS to another one",
            folder=str(catalog.folder.resolve()),
        )
    for error in catalog.errors:
        log.error("a runbook is refused, the others keep working", problem=str(error))


async def _settle(brake: Brake) -> None:
    """Bring freezes onto record that were made while the ledger was down, or by hand."""
    while True:
        try:
            await brake.settle()
        except LedgerError as error:
            log.warning("a freeze is in force and not on record yet", error=str(error))
        await asyncio.sleep(SETTLE_EVERY)


async def _watch(intake: Intake, ledger: Ledger, policy: PolicyFile) -> None:
    """Take in what changes in the runbooks' folder, for remediations that begin after, and in the policy."""
    while True:
        await asyncio.sleep(CATALOG_EVERY)
        policy.current()
        if not await asyncio.to_thread(lambda: intake.catalog.outdated):
            continue
        new = await asyncio.to_thread(intake.catalog.reloaded)
        try:
            await new.record(ledger)
        except LedgerError as error:
            log.warning("the changed runbooks are not in force yet", error=str(error))
            continue
        intake.catalog = new
        _report(new)
