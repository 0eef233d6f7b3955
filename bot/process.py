"""A process that keeps running: `python -m bot.process all`, or `web`, or `worker`.

The commands `up`, `serve` and `worker` become this process.  It is a fresh interpreter, because what
a command line needs for its help and its tables is 6 MiB that a server would carry for months.
"""

from __future__ import annotations

import bot.without_extras  # noqa: F401 - before anything takes it

# isort: split
import os
import sys

import uvloop

from bot.app import Parts, run_process
from bot.daemon import run_daemon
from bot.settings import Settings

PARTS = {"all": Parts.ALL, "web": Parts.WEB, "worker": Parts.WORKER}


def main(parts: Parts) -> int:
    """Run `parts` until they are told to stop.  Return the exit code."""

    async def work(settings: Settings) -> int:
        await run_process(settings, parts)
        return 0

    return run_daemon(work, uvloop.new_event_loop)


if __name__ == "__main__":
    code = main(PARTS[sys.argv[1]])
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed.  With a call to Temporal in flight, Python's own way out was seen to hang.
    os._exit(code)
