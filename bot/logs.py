"""Logs: one event a line, for machines as JSON, for people at a terminal as text."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Literal, TextIO, cast

import structlog

_QUIET = (
    "slack_bolt",
    "slack_sdk",
    "httpx",
    "httpcore",
    "asyncssh",
    "alembic",
    "urllib3",
    "asyncio",
    "temporalio",
)


class _Stderr:
    """Standard error as it is when something is written: it may have been exchanged since, and closed."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def configure_logs(
    form: Literal["json", "text"],
    output: TextIO | None = None,
    *,
    level: int = logging.INFO,
    for_good: bool = True,
) -> None:
    """Send all logs from `level` on to `output`, which is stderr where none is given.

    Libraries are heard from warnings on: some log whole bodies below that.

    Args:
        for_good: loggers keep what they find here, which is quicker, and nobody can say otherwise later.
    """
    output = output or cast("TextIO", _Stderr())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "text":
        colours = output.isatty() and not os.environ.get("NO_COLOR")
        renderer = structlog.dev.ConsoleRenderer(colors=colours)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        logger_factory=structlog.PrintLoggerFactory(output),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=for_good,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
