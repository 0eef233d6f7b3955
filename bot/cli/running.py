"""How a command that keeps running is run, and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import uvloop

from bot.cli.exits import Exit
from bot.cli.terminal import complain
from runbooks.errors import ParamedicError

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end.  Ctrl-C ends it in order, without a traceback."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        end(Exit.INTERRUPTED)
    except ParamedicError as error:
        complain(str(error), error.code)
        end(Exit.WRONG)


def end(code: int) -> NoReturn:
    """End the process at once: with a call to Temporal in flight, Python's own way out was seen to hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
