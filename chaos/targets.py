"""The targets from outside: started, given faults, and read as the judge reads them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.processes import Child, child
from chaos.judge import Effect
from chaos.target import EFFECTS

COMMANDS = "commands.txt"
"""File in which commands and restarted programs note that they ran: target and time."""


@contextlib.asynccontextmanager
async def target_process(folder: Path, port: int) -> AsyncIterator[Child]:
    """Run the HTTP target; what it keeps stands in `folder`/target."""
    (folder / "target").mkdir()
    command = [sys.executable, "-m", "chaos.target", str(port), str(folder / "target")]

    async def answers() -> bool:
        try:
            await ask_target(port, "GET", "/state/anything")
        except httpx.HTTPError:
            return False
        return True

    async with child("the target", command, folder / "target.log") as started:
        await started.wait_until(answers)
        yield started


async def ask_target(port: int, method: str, path: str) -> None:
    """Send one request to the target."""
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.request(method, f"http://127.0.0.1:{port}{path}")).raise_for_status()


def effects_of(folder: Path) -> Iterator[Effect]:
    """Yield what was done to the targets, as they wrote it down themselves."""
    for line in (folder / "target" / EFFECTS).read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        yield Effect(said["target"], datetime.fromtimestamp(said["at"], UTC), said["key"])
    commands = folder / COMMANDS
    if commands.exists():
        for line in commands.read_text(encoding="utf-8").splitlines():
            target, at = line.split()
            yield Effect(target, datetime.fromtimestamp(float(at), UTC))  # nobody tells a command its key
