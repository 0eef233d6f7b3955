"""Child processes of the bench: started, waited for, measured, ended.

A contender is a tree of processes.  What it costs is the sum over the tree, so that nobody looks
cheap by moving work into a child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
START_WITHIN = 60.0  # seconds
STOP_WITHIN = 30.0  # seconds; then it is killed
_LOG_TAIL = 3000  # characters


class ContenderError(Exception):
    """A contender did not start, died, refused a request or lost an alert."""


@dataclass(frozen=True)
class Child:
    """One started process.  `log` holds what it printed."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Process id of the root of its tree."""
        return self.process.pid

    async def wait_until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Return when `ready` says so.

        Raises:
            ContenderError: it ended, or `START_WITHIN` was over; with the end of its log.
        """
        deadline = time.monotonic() + START_WITHIN
        while not await ready():
            if self.process.returncode is not None:
                raise ContenderError(f"{self.name} ended with code {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ContenderError(f"{self.name} was not ready in {START_WITHIN:.0f} s:\n{self.tail()}")
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]

    async def stop(self) -> None:
        """End it politely; whatever is left of its tree after `STOP_WITHIN` is killed."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            tree = [root, *root.children(recursive=True)]
            root.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN)
            for left in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
        await self.process.wait()


@asynccontextmanager
async def child(
    name: str, command: list[str], log: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run `command` in the repository's folder, in a process group of its own, for as long as the block lasts."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=REPOSITORY,
            env={**os.environ, **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started = Child(name, process, log)
    try:
        yield started
    finally:
        await started.stop()


def program(name: str) -> str:
    """Return the path of a program that was installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Usage:
    """What trees of processes have used so far: `cpu` in seconds, `memory` in MiB (resident, summed)."""

    cpu: float
    memory: float


def usage_of(roots: Iterable[int]) -> Usage:
    """Sum over the trees that begin at `roots`; children that have ended count as well."""
    cpu, memory = 0.0, 0.0
    for root in roots:
        tree = psutil.Process(root)
        for process in (tree, *tree.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                cpu += sum(process.cpu_times()[:4])  # user, system, and both of the children it has reaped
                memory += process.memory_info().rss / 2**20
    return Usage(cpu, memory)
