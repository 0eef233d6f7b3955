"""The tasks of a process: they run until a signal comes, or until one of them ends by itself, which is a fault."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


class Running:
    """The tasks that are under way."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._told = asyncio.Event()

    def add(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` until the process stops."""
        self._tasks[name] = asyncio.create_task(work, name=name)

    def tell(self, word: str) -> None:
        """Ask for the end, as a signal does."""
        log.info("stopping", because=word)
        self._told.set()

    async def until_told(self) -> None:
        """Wait for SIGTERM or SIGINT.

        Raises:
            BaseException: what a task raised that ended by itself; a process with a dead part must not look alive.
        """
        told = asyncio.create_task(self._told.wait())
        ended, _ = await asyncio.wait({told, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for task in ended - {told}:
            log.error("a part of the process ended", part=task.get_name(), error=str(task.exception()))
            task.result()
            raise RuntimeError(f"{task.get_name()} ended by itself")

    async def end(self, name: str, *, within: float) -> None:
        """Wait until a task that was told to end has ended; cancel it after so many seconds."""
        await asyncio.wait({self._tasks[name]}, timeout=within)
        await self.cancel(name)

    async def cancel(self, *names: str) -> None:
        """End these tasks, or all."""
        chosen = [task for name, task in self._tasks.items() if not names or name in names]
        for task in chosen:
            task.cancel()
        await asyncio.gather(*chosen, return_exceptions=True)


@contextlib.asynccontextmanager
async def until_signal() -> AsyncIterator[Running]:
    """Offer a place for tasks; SIGTERM and SIGINT tell it to stop, and all that still runs is cancelled after."""
    running = Running()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.tell, number.name)
    try:
        yield running
    finally:
        await running.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
