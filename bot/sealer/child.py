"""The sealer beside everything else, where one machine runs it all: a child process that is kept running.

It gets the settings that it needs and no others: a token for Slack is nothing that it should hold.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import structlog

from bot.children import start_child, stop_child
from bot.settings import PREFIX, Settings

_NEEDS = (
    "data",
    "ledger_url",
    "sealer_folder",
    "checkpoint_folder",
    "checkpoint_git",
    "checkpoint_ssh",
    "log_format",
)
AGAIN_AFTER = 5.0  # seconds
LOOK_EVERY = 1.0  # seconds
STOP_WITHIN = 10.0  # seconds

log = structlog.get_logger(__name__)


class SealerChild:
    """The sealer as a child of this process."""

    def __init__(self, settings: Settings) -> None:
        self._environment = environment_of(settings)
        self._child: subprocess.Popen[bytes] | None = None

    async def supervise(self) -> None:
        """Keep it running, until cancelled.  That it refuses to sign does not stop those who mend things."""
        while True:
            self._child = start_child(
                [sys.executable, "-P", "-m", "bot.sealer"], environment=self._environment
            )
            while (code := self._child.poll()) is None:  # noqa: ASYNC110 - a child sets no event when it ends
                await asyncio.sleep(LOOK_EVERY)
            log.error("the sealer has ended and is started again", code=code, after=AGAIN_AFTER)
            await asyncio.sleep(AGAIN_AFTER)

    async def stop(self) -> None:
        """End it."""
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
