"""The sealer as a process of its own: `python -m bot.sealer`, which `paramedic sealer` becomes.

With `once` it seals and publishes what there is, and ends; with `everything` it compares the whole
ledger before.  It imports neither Temporal nor Slack nor a web server: what holds the key that
everything is proved with should be small.
"""

from __future__ import annotations

import bot.without_collector
import bot.without_extras  # noqa: F401 - both before anything takes them

# isort: split
import gc
import sys
from collections.abc import Sequence

import structlog

from activities.ledger.checkpoints import HistoryError
from bot.daemon import run_daemon
from bot.sealer.process import run_sealer, seal_once
from bot.sealer.words import BEHIND, EVERYTHING, ONCE, REFUSED
from bot.settings import Settings

log = structlog.get_logger("bot.sealer")


def main(words: Sequence[str] = ()) -> int:
    """Seal until told to stop, or what there is.  Return the exit code."""
    gc.freeze()  # else all modules are searched for garbage at the end, which is a fifth of a whole call
    gc.enable()

    async def work(settings: Settings) -> int:
        try:
            if ONCE in words:
                return 0 if await seal_once(settings, everything=EVERYTHING in words) else BEHIND
            await run_sealer(settings)
        except HistoryError as error:
            log.error("REFUSED TO SIGN: the ledger is not what it was", problem=str(error))  # noqa: TRY400 - the trace says no more
            return REFUSED
        return 0

    return run_daemon(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
