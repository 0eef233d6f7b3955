"""The sealer as a process of its own: `python -m bot.sealer`, which `paramedic sealer` becomes.

It imports neither Temporal nor Slack nor a web server: what holds the key that everything is proved
with should be small.
"""

from __future__ import annotations

import asyncio
import os
import sys

import structlog

from activities.ledger.checkpoints import HistoryError
from bot.logs import configure_logs
from bot.sealer.process import run_sealer
from bot.settings import Settings
from bot.visible import visible
from runbooks.errors import ParamedicError

INTERRUPTED = 130
WRONG = 2
REFUSED = 3
"""Exit code where the ledger is not what was sealed before."""

log = structlog.get_logger("bot.sealer")


def main() -> int:
    """Run the sealer until it is told to stop.  Return the exit code."""
    try:
        settings = Settings.from_env(os.environ)
        configure_logs(settings.log_format)
        asyncio.run(run_sealer(settings))
    except KeyboardInterrupt:
        return INTERRUPTED
    except HistoryError as error:
        log.error("REFUSED TO SIGN: the ledger is not what it was", problem=str(error))  # noqa: TRY400 - the trace says no more
        return REFUSED
    except ParamedicError as error:
        print(visible(str(error)), file=sys.stderr)
        return WRONG
    return 0


if __name__ == "__main__":
    sys.exit(main())
