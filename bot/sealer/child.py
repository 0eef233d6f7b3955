"""The sealer beside everything else, where one machine runs it all: a child process that comes when it is called.

Between two checkpoints it is not there: an idle installation does not carry its memory, and nobody
holds its key.  It gets the settings that it needs and no others: a token for Slack is nothing that it
should hold.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from activities.ledger.checkpoints import look
from activities.ledger.store import Ledger
from bot.children import start_child, stop_child
from bot.sealer.cadence import SILENCE, Cadence
from bot.sealer.state import read_state
from bot.sealer.words import BEHIND, EVERYTHING, NOWHERE, ONCE
from bot.settings import PREFIX, Settings
from runbooks.errors import LedgerError

_NEEDS = (
    "data",
    "ledger_url",
    "sealer_folder",
    "checkpoint_folder",
    "checkpoint_git",
    "checkpoint_ssh",
    "log_format",
)
CADENCE = Cadence(urgent=timedelta(seconds=30))
"""To come costs a third of a second of a processor, so it comes at most twice a minute."""

COMPARE_EVERY = timedelta(days=1)
"""How often the whole ledger is compared with what was sealed; at each start, too."""

AGAIN_AFTER = (5.0, 30.0, 60.0)  # seconds after a failure, the last for all that follow
LOOK_EVERY = 1.0  # seconds
WITHIN = 900.0  # seconds for one call; to compare ten million records takes a third of that
STOP_WITHIN = 10.0  # seconds

log = structlog.get_logger(__name__)


class SealerOnCall:
    """Calls the sealer as a child of this process.

    When it comes is decided here; whether it signs, by the sealer alone, with what only it remembers.
    That it refuses to does not stop those who mend things.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        look_every: float = LOOK_EVERY,
        within: float = WITHIN,
        command: Sequence[str] = (sys.executable, "-P", "-m", "bot.sealer"),
    ) -> None:
        self._ledger = ledger
        self._folder = settings.sealers_folder
        self._environment = environment_of(settings)
        self._has_destination = any(
            (settings.checkpoint_folder, settings.checkpoint_git, settings.checkpoint_ssh)
        )
        self._monotonic = monotonic
        self._look_every = look_every
        self._within = within
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._sealed = 0  # how many records the last checkpoint covers
        self._called_at = -SILENCE.total_seconds()
        self._compared_at = -COMPARE_EVERY.total_seconds()
        self._failures = 0  # since it went well the last time

    async def supervise(self) -> None:
        """Call it whenever a checkpoint is due, until cancelled."""
        if not self._has_destination:
            log.warning(NOWHERE)
        while True:
            if await self._is_due():
                await self._call()
            await asyncio.sleep(self._look_every)

    async def _is_due(self) -> bool:
        waited = self._monotonic() - self._called_at
        if self._failures:
            return waited >= AGAIN_AFTER[min(self._failures, len(AGAIN_AFTER)) - 1]
        try:
            seen = await self._ledger.read(look)
        except LedgerError:
            return False  # nothing can be sealed then, and others say why
        return CADENCE.is_due(seen, self._sealed, timedelta(seconds=waited))

    async def _call(self) -> None:
        everything = self._monotonic() - self._compared_at >= COMPARE_EVERY.total_seconds()
        code = await self._run(ONCE, *([EVERYTHING] if everything else []))
        state = read_state(self._folder)
        self._sealed = 0 if state is None else state.size
        self._called_at = self._monotonic()
        if code == 0:
            self._failures = 0
            self._compared_at = self._called_at if everything else self._compared_at
            return
        self._failures += 1
        if code != BEHIND:  # it may be the ledger: next time all of it is compared
            self._compared_at = self._called_at - COMPARE_EVERY.total_seconds()
            log.error("the sealer has failed and is called again", code=code)

    async def _run(self, *words: str) -> int | None:
        """Return its exit code; None where it could not be started, or did not end."""
        try:
            self._child = start_child([*self._command, *words], environment=self._environment)
            return await asyncio.to_thread(self._child.wait, self._within)
        except subprocess.TimeoutExpired:
            log.error("the sealer does not end and is killed", after=self._within)  # noqa: TRY400 - the trace says no more
            await self.stop()
        except (OSError, subprocess.SubprocessError) as error:
            log.error("the sealer cannot be started", error=str(error))  # noqa: TRY400 - the trace says no more
        return None

    async def stop(self) -> None:
        """End it, if it is there."""
        if self._child is not None:
            await asyncio.to_thread(stop_child, self._child, STOP_WITHIN)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of the child: that of this process, and of the settings what a sealer needs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name in _NEEDS:
        value = getattr(settings, name)
        if value is not None:
            text = value.resolve() if isinstance(value, Path) else value
            environment[PREFIX + name.upper()] = str(text)
    return environment
