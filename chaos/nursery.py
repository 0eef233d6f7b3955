"""The nursery: one interpreter with the product imported, which forks a child for each life of the bot.

A thousand deaths need a thousand starts, and most of a start is Python reading modules.  The child
runs `bot.process.main`, the same function as the process of an installation, in its own process id
and its own session; it is killed, stopped and continued like any other process.

Orders come on standard input, one JSON object a line, and news go to standard output:

    {"environ": {...}, "parts": ["web", "worker"], "crash_at": "after_effect:2", "clock": "", "log": "path"}
    {"began": 4711}
    {"ended": 4711, "code": -9}
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from bot import app, process
from bot.app import Parts
from chaos import clock, crash_points

_PR_SET_PDEATHSIG = 1
IMPORTED_WHEN_USED = (
    "asyncssh",
    "bot.slack.conversation",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "prometheus_api_client",
)


def main() -> None:
    """Raise one child after another until standard input ends."""
    die_with_parent()
    for name in IMPORTED_WHEN_USED:
        __import__(name)
    gc.freeze()  # what stays for ever stays shared with the children
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            live(order)
        tell({"began": pid})
        _, status = os.waitpid(pid, 0)
        tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def live(order: dict[str, Any]) -> None:
    """Be the bot, in the child.  Never returns."""
    die_with_parent()
    os.setsid()
    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(order["environ"])
    # Opening the ledger brings its tables up to date as well; a process of its own for that only saves memory.
    app.migrate_apart = lambda _url: None
    if order["crash_at"]:
        crash_points.install(order["crash_at"])
    if order["clock"]:
        clock.install(Path(order["clock"]), clock.product_modules())
    code = process.main(reduce(or_, (Parts[name.upper()] for name in order["parts"])))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die_with_parent() -> None:
    """See to it that nothing is left behind, whatever becomes of whoever started us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tell(news: dict[str, int]) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    main()
