"""How a process that keeps running begins, and how it ends: in order, without a traceback, with an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from bot.logs import configure_logs
from bot.settings import Settings
from bot.visible import visible
from runbooks.errors import ParamedicError

WRONG = 2
"""Exit code where a setting, or what it names, is wrong or missing."""

INTERRUPTED = 130


def run_daemon(
    work: Callable[[Settings], Coroutine[Any, Any, int]],
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Read the settings, run `work` with them to its end, and return the exit code."""
    try:
        settings = Settings.from_env(os.environ)
        configure_logs(settings.log_format)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work(settings))
    except KeyboardInterrupt:
        return INTERRUPTED
    except ParamedicError as error:
        for line in str(error).splitlines():
            print(visible(line), file=sys.stderr)
        return WRONG
