"""The same faults with the safety switched off: plain Temporal activities with retries.

It is the bare program of the bench, which loses no alert, with one change: its action is tried again
when it fails, as Temporal does by itself and as most programs leave it.  There is no key, no intent
and no probe.  What the judge finds here says what a zero in the other half of the table is worth.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client, WorkflowExecutionStatus

from bench.processes import REPOSITORY
from bench.server import NAMESPACE, temporal_server
from chaos.house import HouseError, reset_to_beginning
from chaos.judge import Effect, Findings
from chaos.ports import lasting_port
from chaos.report import Row
from chaos.run import Plan, Tell
from chaos.sender import Sender
from chaos.target import VICTIM
from chaos.targets import ask_target, effects_of, target_process

ATTEMPTS = 10  # of one action; Temporal's own default is: for ever
SETTLE_WITHIN = 60.0  # seconds


@dataclass
class BareHouse:
    """The bare program, which can be killed and started."""

    folder: Path
    target_port: int
    temporal_port: int
    sender: Sender
    port: int
    kills: int = 0
    process: asyncio.subprocess.Process | None = None

    async def live(self) -> None:
        """Start the program and wait until it listens."""
        words = [
            *("--port", str(self.port), "--temporal", f"127.0.0.1:{self.temporal_port}"),
            *("--service", f"http://127.0.0.1:{self.target_port}", "--inbox", str(self.folder / "inbox.db")),
            *("--attempts", str(ATTEMPTS)),
        ]
        with (self.folder / "bare.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.bare", *words, stdout=log, stderr=log, cwd=REPOSITORY
            )  # fmt: skip
        (self.folder / "target" / VICTIM).write_text(str(self.process.pid))
        for _ in range(600):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise HouseError("the bare program does not listen")

    async def kill(self) -> None:
        """Kill it with -9, unless it is dead already."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.kills += 1

    async def died(self) -> None:
        """Wait until it was killed."""
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), 30)
        self.kills += 1

    async def client(self) -> Client:
        """Return a client of its Temporal server."""
        return await Client.connect(f"127.0.0.1:{self.temporal_port}", namespace=NAMESPACE)

    async def quiet(self) -> bool:
        """Wait until no workflow is open; False where one still is, in time."""
        client = await self.client()
        for _ in range(int(SETTLE_WITHIN)):
            states = [execution.status async for execution in client.list_workflows()]
            if states and WorkflowExecutionStatus.RUNNING not in states:
                return True
            await asyncio.sleep(1)
        return False


@contextlib.asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[BareHouse]:
    """Build the bare program's house, and take it down after."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - takes no time
    target_port, temporal_port, port = lasting_port(), lasting_port(), lasting_port()
    async with (
        target_process(folder, target_port),
        temporal_server(temporal_port, folder),
    ):
        sender = Sender(port, folder / "sender.jsonl", token="none")
        house = BareHouse(folder, target_port, temporal_port, sender, port)
        try:
            await house.live()
            yield house
        finally:
            await house.kill()
            await sender.aclose()


async def killed_at_random(house: BareHouse, name: str, tries: int, plan: Plan) -> None:
    """Alerts come to targets that work for a while, and the program is killed while they do."""
    await house_fault(house, name, "slow")
    chance = plan.random(name)
    for begin in range(0, tries, 3):
        await asyncio.gather(*(tell(house, f"{name}-{n}") for n in range(begin, min(begin + 3, tries))))
        await asyncio.sleep(chance.uniform(0, 0.9))
        await house.kill()
        await house.live()


async def killed_by_target(house: BareHouse, name: str, tries: int, _: Plan) -> None:
    """The target does what it is told, and kills the program instead of answering."""
    await house_fault(house, name, "kill")
    for number in range(tries):
        telling = asyncio.create_task(tell(house, f"{name}-{number}"))
        await house.died()
        await house.live()
        await telling


def failing(fault: str) -> Callable[[BareHouse, str, int, Plan], Awaitable[None]]:
    """Return what makes each target fail in this way the first time."""

    async def inflict(house: BareHouse, name: str, tries: int, _: Plan) -> None:
        await house_fault(house, name, fault)
        await asyncio.gather(*(tell(house, f"{name}-{number}") for number in range(tries)))

    return inflict


async def reset_after_success(house: BareHouse, name: str, tries: int, _: Plan) -> None:
    """After it succeeded an operator resets the workflow to its beginning."""
    client = await house.client()
    news = [house.sender.news("mend", f"{name}-{number}") for number in range(tries)]
    await asyncio.gather(*(house.sender.tell(each) for each in news))
    while {each.target for each in news} - {e.target for e in effects_of(house.folder)}:  # noqa: ASYNC110 - a file
        await asyncio.sleep(0.1)
    for each in news:
        alert = each.as_alert()
        workflow = f"alert/{alert['fingerprint']}@{alert['startsAt']}@firing/{each.target}"
        await client.get_workflow_handle(workflow).result()
        await reset_to_beginning(client, workflow)


async def house_fault(house: BareHouse, prefix: str, fault: str) -> None:
    """Give every target of this prefix a fault."""
    await ask_target(house.target_port, "PUT", f"/faults/{prefix}/{fault}")


async def tell(house: BareHouse, target: str) -> None:
    """Tell that a target is broken, until it is taken."""
    await house.sender.tell(house.sender.news("mend", target))


@dataclass(frozen=True)
class BareFault:
    """One row of the other half of the table; `name` is the row of ours that it stands beside."""

    name: str
    inflict: Callable[[BareHouse, str, int, Plan], Awaitable[None]]
    short: int
    long: int


FAULTS = (
    BareFault("killed-while-acting", killed_at_random, 6, 60),
    BareFault("killed-by-target", killed_by_target, 2, 50),
    BareFault("target-error", failing("error"), 4, 50),
    BareFault("target-hang", failing("hang"), 4, 50),
    BareFault("target-reset-after", failing("reset-after"), 4, 50),
    BareFault("target-half", failing("half"), 4, 50),
    BareFault("reset", reset_after_success, 2, 30),
)


async def run_bare(folder: Path, plan: Plan, say: Tell) -> list[Row]:
    """Do the faults to the bare program, and count what its targets say.  It has no ledger to be asked."""
    async with standing(folder) as house:
        done = []
        for fault in FAULTS:
            kills, tries = house.kills, plan.times(fault.short, fault.long)
            await fault.inflict(house, fault.name, tries, plan)
            done.append((fault.name, tries, house.kills - kills))
            say(f"{fault.name}, without safety: {tries} tries")
        quiet = await house.quiet()
        effects = list(effects_of(folder))
        told = {delivery.target for delivery in house.sender.deliveries()}
    return [
        Row(name, "without safety", tries, kills, count(name, told, effects), 0.0, safe=False,
            objections=() if quiet else ("the house did not become quiet",))
        for name, tries, kills in done
    ]  # fmt: skip


def count(name: str, told: set[str], effects: Sequence[Effect]) -> Findings:
    """Count effects; an alert is explained where its target had one."""
    own = [effect.target for effect in effects if effect.target.startswith(f"{name}-")]
    delivered = {target for target in told if target.startswith(f"{name}-")}
    return Findings(
        delivered=len(delivered),
        explained=len(delivered & set(own)),
        effects=len(own),
        duplicates=len(own) - len(set(own)),
    )
