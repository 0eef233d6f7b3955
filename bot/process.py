"""A process that keeps running: `python -m bot.process all`, or `web`, or `worker`.

The commands `up`, `serve` and `worker` become this process.  It is a fresh interpreter, because what
a command line needs for its help and its tables is 6 MiB that a server would carry for months.
"""

from __future__ import annotations

import sys

sys.modules["rich"] = None  # type: ignore[assignment]  # structlog takes it where it can, for tracebacks in colours

import asyncio  # noqa: E402 - the line above comes first
import os  # noqa: E402

import uvloop  # noqa: E402

from bot.app import Parts, run_process  # noqa: E402
from bot.logs import configure_logs  # noqa: E402
from bot.settings import Settings  # noqa: E402
from bot.visible import visible  # noqa: E402
from runbooks.errors import ParamedicError  # noqa: E402

INTERRUPTED = 130
WRONG = 2

PARTS = {"all": Parts.ALL, "web": Parts.WEB, "worker": Parts.WORKER}


def main(parts: Parts) -> int:
    """Run `parts` until they are told to stop.  Return the exit code."""
    try:
        settings = Settings.from_env(os.environ)
        configure_logs(settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_process(settings, parts))
    except KeyboardInterrupt:
        return INTERRUPTED
    except ParamedicError as error:
        for line in str(error).splitlines():
            print(visible(line), file=sys.stderr)
        return WRONG
    return 0


if __name__ == "__main__":
    code = main(PARTS[sys.argv[1]])
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed.  With a call to Temporal in flight, Python's own way out was seen to hang.
    os._exit(code)
